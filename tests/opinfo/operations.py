"""Which OpInfo entries check a name, and running them."""

from typing import Any

import graphc
from tests.opinfo.modes import MODES, Report, Settings
from tests.opinfo.names import ELSEWHERE
from tests.opinfo.samples import BY_ALIAS, BY_NAME, Missing, found


def infos_of(name: str) -> list[Any]:
    """The OpInfo entries, all variants, that check a name."""
    name = ELSEWHERE.get(name, name)
    bare = name.removeprefix("Tensor.")
    if bare in BY_NAME:
        return BY_NAME[bare]
    return BY_NAME[BY_ALIAS[bare].name] if bare in BY_ALIAS else []


def is_missing(name: str) -> bool:
    """Whether graphc lacks the name altogether."""
    try:
        found(name if not name.startswith("Tensor.") else name.removeprefix("Tensor."))
    except Missing:
        return not hasattr(graphc.Tensor, name.removeprefix("Tensor."))
    return False


def run_mode(name: str, mode: str, settings: Settings) -> Report:
    """All outcomes of a name in one mode; stops early when only the first failure is wanted."""
    report = Report(mode)
    for info in infos_of(name):
        for outcome in MODES[mode](info, settings):
            report.outcomes.append(outcome)
            if settings.first_only and outcome.failure is not None:
                return report
    return report
