"""Every ``GRAPHC_*`` environment variable, in one table, and the number of threads.

A variable is read when it is asked for, so that a test or a notebook may change it at any time::

    >>> from graphc import config
    >>> config.DEBUG.value
    0
"""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

STARTED = time.time()
"""When this process loaded graphc."""

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def _flag(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("0 or 1")


def _path(text: str) -> "Path | None":
    from pathlib import Path  # loads much

    return Path(text).expanduser()


def _text(text: str) -> str | None:
    return text


def _integer(low: int, high: int | None = None) -> Callable[[str], int]:
    wanted = f"a whole number from {low}" + ("" if high is None else f" to {high}")

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError(wanted) from None
        if number < low or (high is not None and number > high):
            raise ValueError(wanted)
        return number

    return parse


@dataclass(frozen=True)
class Variable(Generic[T]):
    """One environment variable; ``parse`` raises ValueError with what it would accept."""

    name: str
    parse: Callable[[str], T]
    default: T
    doc: str

    @property
    def value(self) -> T:
        """What the environment says now; unset or empty means the default.

        Raises ValueError, naming the variable and what it accepts.
        """
        text = os.environ.get(self.name, "").strip()
        if not text:
            return self.default
        try:
            return self.parse(text)
        except ValueError as wrong:
            raise ValueError(f"{self.name}={text!r}: expected {wrong}") from None


CACHE_DIR: "Variable[Path | None]" = Variable(
    "GRAPHC_CACHE_DIR",
    _path,
    None,
    "folder of compiled objects; default $XDG_CACHE_HOME/graphc or ~/.cache/graphc",
)
CACHE_SIZE: Variable[int] = Variable(
    "GRAPHC_CACHE_SIZE",
    _integer(1),
    2048,
    "megabytes that folder may hold; what was unused longest is deleted",
)
CC: Variable[str | None] = Variable(
    "GRAPHC_CC", _text, None, "C compiler with options; default gcc, clang, then the ziglang wheel"
)
DEBUG: Variable[int] = Variable(
    "GRAPHC_DEBUG", _integer(0, 4), 0, "1 receipts, 2 kernels, 3 graphs, 4 generated source"
)
DUMP: "Variable[Path | None]" = Variable(
    "GRAPHC_DUMP", _path, None, "folder that receives the IR of every stage and the sources"
)
LINE_DIRECTIVES: Variable[bool] = Variable(
    "GRAPHC_LINE_DIRECTIVES", _flag, False, "1 puts #line of the user's program into the C"
)
NUM_THREADS: Variable[int | None] = Variable(
    "GRAPHC_NUM_THREADS", _integer(1), None, "threads of a compiled program; default all CPUs"
)
PROFILE: Variable[bool] = Variable(
    "GRAPHC_PROFILE", _flag, False, "1 takes the time of every kernel, which explain() then tells"
)
SANITIZE: Variable[bool] = Variable(
    "GRAPHC_SANITIZE", _flag, False, "1 builds with the address and undefined-behaviour sanitizers"
)
VERIFY: Variable[bool] = Variable(
    "GRAPHC_VERIFY", _flag, False, "1 checks the graph after every pass"
)

VARIABLES: tuple[Variable[Any], ...] = (
    CACHE_DIR,
    CACHE_SIZE,
    CC,
    DEBUG,
    DUMP,
    LINE_DIRECTIVES,
    NUM_THREADS,
    PROFILE,
    SANITIZE,
    VERIFY,
)


# ----------------------------------------------------------------------------------------- threads


class _Threads:
    """The number asked for by :func:`set_num_threads`, and who wants to hear of changes."""

    chosen: int | None = None
    listeners: tuple[Callable[[int], None], ...] = ()


def available_cpus() -> int:
    """CPUs this process may use: its affinity, and its control group's quota (at least 1)."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        count = os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):  # no control groups here
        return count
    if quota.isdigit() and period.isdigit() and int(period):
        count = min(count, max(1, math.ceil(int(quota) / int(period))))
    return count


def get_num_threads() -> int:
    """Threads a compiled program uses at most, itself included."""
    return _Threads.chosen or NUM_THREADS.value or available_cpus()


def set_num_threads(count: int) -> None:
    """Sets that number for this process; it holds from the next run of any program.

    Raises ValueError when ``count`` is not a positive int.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"set_num_threads expects a positive integer, got {count!r}")
    _Threads.chosen = count
    for listener in _Threads.listeners:
        listener(count)


def on_num_threads(listener: Callable[[int], None]) -> None:
    """Calls ``listener`` with the present number, and again whenever it is set."""
    _Threads.listeners = (*_Threads.listeners, listener)
    listener(get_num_threads())
