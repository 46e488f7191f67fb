"""Which OpInfo entries and written cases check a name, and running them."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import graphc
from tests.opinfo import deliberate
from tests.opinfo.compare import Difference, same
from tests.opinfo.modes import MODES
from tests.opinfo.names import ELSEWHERE
from tests.opinfo.outcomes import Outcome, Report, Settings, attempt, same_error
from tests.opinfo.samples import BY_ALIAS, BY_NAME, Missing, found, seed
from tests.opinfo.written import CASES
from tests.opinfo.written.case import Case


def infos_of(name: str) -> list[Any]:
    """The OpInfo entries, all variants, that check a name."""
    name = ELSEWHERE.get(name, name)
    bare = name.removeprefix("Tensor.")
    if bare in BY_NAME:
        return BY_NAME[bare]
    return BY_NAME[BY_ALIAS[bare].name] if bare in BY_ALIAS else []


def is_tested(name: str) -> bool:
    """Whether something checks the name."""
    return bool(infos_of(name) or CASES.get(name))


def is_missing(name: str) -> bool:
    """Whether graphc lacks the name altogether."""
    try:
        found(name.removeprefix("Tensor."))
    except Missing:
        return True
    return False


def run_mode(name: str, mode: str, settings: Settings) -> Report:
    """All outcomes of a name in one mode; stops early when only the first failure is wanted.

    Deliberate differences count as agreement; one that is none any more counts as a failure.
    """
    report = Report(mode)
    entries = deliberate.entries_of(name, mode)
    used: set[int] = set()
    for outcome in _outcomes(name, mode, settings):
        if outcome.failure is not None:
            for i, entry in enumerate(entries):
                if entry.covers(outcome.dtype, outcome.sample):
                    used.add(i)
                    outcome.excuse, outcome.failure = entry.reason, None
                    break
        report.outcomes.append(outcome)
        if settings.first_only and outcome.failure is not None:
            return report
    if settings.limit is None and not is_missing(name):
        for i, entry in enumerate(entries):
            seen = any(entry.covers(o.dtype, o.sample) for o in report.outcomes)
            if seen and i not in used:
                text = f"agrees with PyTorch by now; take it from deliberate.py: {entry.reason}"
                report.outcomes.append(Outcome(name, mode, entry.dtype, entry.sample, text))
    return report


def _outcomes(name: str, mode: str, settings: Settings) -> Iterator[Outcome]:
    for info in infos_of(name):
        yield from MODES[mode](info, settings)
    for number, case in enumerate(CASES.get(name, ())):
        yield from _written(name, number, case, mode)


def _written(name: str, number: int, case: Case, mode: str) -> Iterator[Outcome]:
    known = case.program.__name__ != "<lambda>"
    label = f"{name}: {case.program.__name__ if known else f'written case {number}'}"
    if mode == "eager":
        yield attempt(label, mode, "", lambda: _told(case, compiled=False))
    elif mode == "compiled" and case.compiled:
        yield attempt(label, mode, "", lambda: _told(case, compiled=True))


def _told(case: Case, compiled: bool) -> None:
    program = case.program
    with _quiet():
        seed()
        try:
            expected = program(torch)
        except Exception as error:
            same_error(lambda: program(graphc), error)
            return
        graphc.manual_seed(0)
        ours = graphc.compile(lambda: program(graphc))() if compiled else program(graphc)
        same(ours, expected, values=case.values)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


__all__ = ["Difference", "infos_of", "is_missing", "is_tested", "run_mode"]
