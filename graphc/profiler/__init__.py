"""Where the time goes: ``with profile() as p: ...; print(p.key_averages().table())``.

Eager operations are timed one by one, each call of a compiled function as a whole (``f.explain()``
tells of its kernels), and what :class:`record_function` names. Watching costs time itself: compare
the times with each other.
"""

import enum
import json
import os
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from graphc.profiler.recording import Recording, record_function
from graphc.profiler.tables import EventList

__all__ = [
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]


class ProfilerActivity(enum.Enum):
    """Where things happen; here it is the CPU."""

    CPU = 0
    CUDA = 2
    XPU = 1


class ProfilerAction(enum.Enum):
    """What a profiler does during a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """What can be watched: the CPU."""
    return {ProfilerActivity.CPU}


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0,
    skip_first_wait: int = 0,
) -> Callable[[int], ProfilerAction]:  # fmt: skip
    """Steps to wait, to warm up, and to record, again and again or ``repeat`` times.

    Raises AssertionError for numbers that make no cycle.
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active <= 0:
        raise AssertionError("Invalid profiler schedule arguments")
    cycle = wait + warmup + active

    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise AssertionError(f"Step must be non-negative. Got {step}.")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:  # the first cycle does not wait
            step += wait
        if repeat and step >= repeat * cycle:
            return ProfilerAction.NONE
        place = step % cycle
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD_AND_SAVE if place == cycle - 1 else ProfilerAction.RECORD

    return action


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False
) -> Callable[["profile"], None]:
    """For ``on_trace_ready``: writes each recording into a folder, for Chrome and TensorBoard."""
    if use_gzip:
        raise ValueError("tensorboard_trace_handler: traces are written as plain text")

    def write(finished: "profile") -> None:
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        name = f"{worker}.{time.time_ns()}.pt.trace.json"
        finished.export_chrome_trace(os.path.join(dir_name, name))

    return write


class profile:  # noqa: N801 - PyTorch's name
    """Records the calls of operations on this thread, by ``with`` or ``start`` and ``stop``.

    With a ``schedule``, :meth:`step` after each iteration decides; ``on_trace_ready`` is called
    with the profiler at the end of each recording. ``record_shapes`` notes the shapes of operands.
    The other arguments are PyTorch's, and change nothing.
    """

    def __init__(
        self,
        activities: Iterable[ProfilerActivity] | None = None,
        *,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[["profile"], Any] | None = None,
        record_shapes: bool = False,
        **_others: Any,
    ) -> None:
        del activities
        self.step_num = 0
        self._schedule = schedule
        self._ready = on_trace_ready
        self._shapes = record_shapes
        self._recording: Recording | None = None
        self._events = EventList()
        self._action = ProfilerAction.NONE

    def __enter__(self) -> "profile":
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begins, unless the schedule waits."""
        self._follow()

    def stop(self) -> None:
        """Ends a recording that is running."""
        if self._finish() and self._ready is not None:
            self._ready(self)

    def step(self) -> None:
        """The next iteration of the schedule begins."""
        ended = self._action
        self.step_num += 1
        if self._schedule is None:
            return
        if ended is ProfilerAction.RECORD_AND_SAVE:
            self.stop()
        self._follow()

    def _follow(self) -> None:
        always = ProfilerAction.RECORD
        self._action = self._schedule(self.step_num) if self._schedule is not None else always
        recorded = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        if self._action not in recorded:
            self._finish()
        elif self._recording is None:
            self._recording = Recording(self._shapes)
            self._recording.start()

    def _finish(self) -> bool:
        """Whether there was a recording, which is over now."""
        recording, self._recording = self._recording, None
        if recording is None:
            return False
        recording.stop()
        self._events = EventList(recording.events)
        return True

    def events(self) -> EventList:
        """Every call of the last recording, in order of their ends."""
        return self._events

    def key_averages(self, group_by_input_shape: bool = False, **_others: Any) -> EventList:
        """The calls of each operation together."""
        return self._events.key_averages(group_by_input_shape)

    def total_average(self) -> Any:
        """All calls together."""
        return self._events.total_average()

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all operations in microseconds."""
        return self._events.self_cpu_time_total

    def table(self, *args: Any, **kwargs: Any) -> str:
        """``key_averages().table(...)``."""
        return self.key_averages().table(*args, **kwargs)

    def export_chrome_trace(self, path: str) -> None:
        """Writes the last recording for chrome://tracing and Perfetto."""
        place = {"ph": "X", "pid": os.getpid(), "tid": 0, "cat": "cpu_op"}
        events = [
            {
                **place, "name": e.name, "ts": e.start, "dur": e.cpu_time_total,
                "args": {"Input Dims": e.shapes},
            }
            for e in self._events
        ]  # fmt: skip
        Path(path).write_text(json.dumps({"traceEvents": events}))

    def add_metadata(self, key: str, value: str) -> None:
        """Accepted and dropped."""
        del key, value

    add_metadata_json = add_metadata
