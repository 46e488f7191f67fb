"""What came of comparing one sample, and how a comparison is carried out."""

import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.opinfo.compare import Difference, Inexact, same
from tests.opinfo.convert import NAMES
from tests.opinfo.names import LOOSE
from tests.opinfo.samples import Call, Missing, retold, seed, their_operation

DTYPES = ("float32", "float64", "int64", "uint8", "bool", "bfloat16", "float16")
GRADIENT_DTYPES = ("float64", "float32", "bfloat16")


@dataclass(frozen=True)
class Settings:
    """Which dtypes, and how many samples of each (None: all)."""

    dtypes: tuple[str, ...] = DTYPES
    limit: int | None = None
    first_only: bool = False


@dataclass
class Outcome:
    """What became of one sample: ``failure`` is None when the libraries agree."""

    operation: str
    mode: str
    dtype: str
    sample: str
    failure: str | None = None
    trace: str = ""
    excuse: str = ""


@dataclass
class Report:
    """All outcomes of one name in one mode."""

    mode: str
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def failures(self) -> list[Outcome]:
        return [o for o in self.outcomes if o.failure is not None]

    @property
    def passed(self) -> int:
        return len(self.outcomes) - len(self.failures)


def attempt(call: Any, mode: str, dtype: Any, check: Callable[[], None]) -> Outcome:
    """Runs one comparison and tells how it went."""
    name = NAMES.get(dtype, str(dtype))
    outcome = Outcome(getattr(call, "label", ""), mode, name, str(call))
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            check()
    except Missing as missing:
        outcome.failure = f"missing: graphc has no {missing}"
    except Difference as difference:
        outcome.failure = str(difference)
    except Exception as error:
        outcome.failure = f"{type(error).__name__}: {error}"
        outcome.trace = _tail(error)
    return outcome


def _tail(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    skipped = ("with_place", "with_out", "in_place")
    ours = [f for f in frames if "/graphc/" in f.filename and f.name not in skipped]
    shown = ours[-4:] or frames[-3:]
    return "\n".join(f"{f.filename}:{f.lineno} {f.name}: {f.line}" for f in shown)


def agree(found: Any, expected: Any, exact: Callable[[], Any], *args: Any) -> None:
    """``same``; where only rounding differs, ``exact`` (the result in float64) decides."""
    try:
        same(found, expected, *args)
    except Inexact:
        try:
            wide = exact()
        except (RuntimeError, TypeError):  # not for float64
            wide = None
        same(found, expected, *args, wide)


def exactly(info: Any, call: Call) -> Callable[[], Any]:
    """PyTorch's result of a call in float64."""

    def run() -> Any:
        args, kwargs = call.exact().theirs()
        seed()
        return their_operation(info)(*args, **kwargs)

    return run


def loose_for(info: Any) -> float:
    return LOOSE.get(info.name, 1.0)


def same_error(ours: Callable[[], Any], expected: BaseException) -> None:
    """Raises Difference unless ``ours`` raises an exception of the expected kind."""
    kinds = [
        k
        for k in (IndexError, TypeError, ValueError, NotImplementedError, RuntimeError, Exception)
        if isinstance(expected, k)
    ]
    try:
        ours()
    except Missing:
        raise
    except kinds[0]:
        return
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise Difference(
            f"{type(error).__name__} ({text}) is not {type(expected).__name__} "
            f"({' '.join(str(expected).split())[:200]})"
        ) from error
    raise Difference(
        f"no error; PyTorch: {type(expected).__name__} ({' '.join(str(expected).split())[:200]})"
    )


def processed(call: Call, expected: Any, found: Any) -> tuple[Any, Any]:
    """The parts of both results that are well defined."""
    return call.processed(expected), retold(call.processed)(found)  # type: ignore[arg-type]
