"""When operations begin and end, on the thread that is being watched.

Nothing in the way of an operation knows of this: while a profiler runs, Python itself calls back at
every call (``sys.setprofile``), and the calls of a few functions are noted.
"""

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

from graphc.modes import MODES
from graphc.tensor import Tensor, apply

Name = Callable[[dict[str, Any]], str]

# What is noted: the code of a function, and how its local variables name a call.
WATCHED: dict[CodeType, Name] = {}


def watch(function: Callable[..., Any], name: Name) -> None:
    """Lets calls of a Python function be noted under ``name(its arguments)``."""
    WATCHED[function.__code__] = name


watch(apply, lambda arguments: str(arguments["op"].name))


@dataclass(eq=False)
class Event:
    """One call, in microseconds since the recording began."""

    name: str
    start: float
    end: float = 0.0
    parent: "Event | None" = None
    shapes: tuple[tuple[int, ...], ...] = ()
    children: float = 0.0  # the time of the calls right inside
    frame: FrameType | None = field(default=None, repr=False)

    @property
    def cpu_time_total(self) -> float:
        return self.end - self.start

    @property
    def self_cpu_time_total(self) -> float:
        return self.cpu_time_total - self.children


class Recording:
    """The calls between ``start`` and ``stop``, in the order of their ends."""

    active: "Recording | None" = None

    def __init__(self, shapes: bool = False) -> None:
        self.events: list[Event] = []
        self._shapes = shapes
        self._open: list[Event] = []
        self._begin = time.perf_counter()
        self._outer: Any = None

    def start(self) -> None:
        """Begins. Raises RuntimeError while another recording runs."""
        if Recording.active is not None:
            raise RuntimeError("a profiler is running already; profilers do not nest")
        Recording.active = self
        self._begin = time.perf_counter()
        self._outer = sys.getprofile()
        sys.setprofile(self._called)

    def stop(self) -> None:
        """Ends; calls that are not over end now."""
        sys.setprofile(self._outer)
        while self._open:
            self.leave()
        Recording.active = None

    def _now(self) -> float:
        return (time.perf_counter() - self._begin) * 1e6

    def enter(self, name: str, shapes: Any = (), frame: FrameType | None = None) -> None:
        """A call begins."""
        parent = self._open[-1] if self._open else None
        self._open.append(Event(name, self._now(), parent=parent, shapes=shapes, frame=frame))

    def leave(self) -> None:
        """The innermost call ends."""
        event = self._open.pop()
        event.end = self._now()
        event.frame = None
        if event.parent is not None:
            event.parent.children += event.cpu_time_total
        self.events.append(event)

    def _called(self, frame: FrameType, what: str, _argument: Any) -> None:
        if what == "call":
            name = WATCHED.get(frame.f_code)
            if name is not None and MODES.trace is None:
                arguments = frame.f_locals
                self.enter(name(arguments), self._shapes_of(arguments), frame)
        elif what == "return" and self._open and self._open[-1].frame is frame:
            self.leave()

    def _shapes_of(self, arguments: dict[str, Any]) -> tuple[tuple[int, ...], ...]:
        if not self._shapes:
            return ()
        given = arguments.get("operands", ())
        return tuple(tuple(x.shape) if isinstance(x, Tensor) else () for x in given)


class record_function:  # noqa: N801 - PyTorch's name
    """Gives a stretch of code a name in profiles, by ``with`` or as a decorator."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.args = args
        self._recording: Recording | None = None

    def __enter__(self) -> "record_function":
        self._recording = Recording.active if MODES.trace is None else None
        if self._recording is not None:
            self._recording.enter(self.name)
        return self

    def __exit__(self, *_exc: object) -> None:
        recording, self._recording = self._recording, None
        if recording is not None and recording is Recording.active:
            recording.leave()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def named(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)

        return named
