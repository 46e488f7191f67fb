"""The worker processes of one loader: started, listened to, and ended whatever happens.

Nothing waits for a fixed time: news are batches on a channel, or the end of a process, which its
sentinel tells. A pool that is dropped, closed, or alive at exit ends its workers.
"""

import contextlib
import os
import signal
import socket
import time
import weakref
from multiprocessing import connection
from typing import Any

from graphc.utils.data.messages import Channel
from graphc.utils.data.worker import Batch, Request, Task, work

_PATIENCE = 5.0  # seconds until a worker that does not end by itself is made to
_LOOK = 5.0  # seconds between looks at processes whose sentinel a child of theirs may hold open

_ends: "weakref.WeakSet[Channel]" = weakref.WeakSet()  # of this process, to its workers


def _forget() -> None:
    """A forked child must not keep the ends of its parent: workers wait for them to close."""
    for end in list(_ends):
        end.close()
    _ends.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class WorkerPool:
    """``count`` processes that serve requests; see :mod:`graphc.utils.data.worker`."""

    def __init__(self, context: Any, count: int, task: Task) -> None:
        self._channels: list[Channel] = []
        self._processes: list[Any] = []
        self.close = weakref.finalize(self, _end, os.getpid(), self._processes, self._channels)
        try:
            for number in range(count):
                self._start(context, number, task)
        except BaseException:
            self.close()
            raise

    def _start(self, context: Any, number: int, task: Task) -> None:
        here, there = socket.socketpair()
        channel, other = Channel(here), Channel(there)
        _ends.add(channel)
        self._channels.append(channel)
        try:
            process = context.Process(target=work, args=(other, number, task), daemon=True)
            process.start()
            self._processes.append(process)
        finally:
            other.close()

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return [process.pid for process in self._processes]

    def send(self, number: int, request: Request) -> None:
        """Asks one worker. Raises RuntimeError when it has ended."""
        self._check()
        try:
            self._channels[number].send(request)
        except OSError:
            raise self._lost([number]) from None

    def receive(self, timeout: float) -> Batch:
        """The next answer of any worker.

        Raises RuntimeError when a worker has ended, or when none answers within ``timeout`` seconds
        (0: wait as long as it takes).
        """
        self._check()
        deadline = time.monotonic() + timeout if timeout else None
        sentinels = [process.sentinel for process in self._processes]
        while True:
            left = _LOOK if deadline is None else min(_LOOK, deadline - time.monotonic())
            objects: list[Any] = [*self._channels, *sentinels]
            ready: list[Any] = connection.wait(objects, max(left, 0.0))
            for number, channel in enumerate(self._channels):
                if channel in ready:
                    try:
                        return channel.receive()  # type: ignore[no-any-return]
                    except (EOFError, ConnectionResetError):
                        raise self._lost([number]) from None
                    except BaseException:  # interrupted, perhaps in the middle of a message
                        self.close()
                        raise
            ended = [n for n, process in enumerate(self._processes) if not process.is_alive()]
            if ended:
                raise self._lost(ended)
            if deadline is not None and time.monotonic() >= deadline:
                raise RuntimeError(f"DataLoader timed out after {timeout} seconds")

    def _check(self) -> None:
        if not self.close.alive:
            raise RuntimeError("the workers of this DataLoader iterator have ended")

    def _lost(self, numbers: list[int]) -> RuntimeError:
        """The error for workers that ended by themselves; the others are ended as well."""
        processes = [self._processes[number] for number in numbers]
        words = []
        for process in processes:
            process.join(_PATIENCE)  # its channel is closed, so this takes no time
            words.append(_how_it_ended(process.exitcode))
        pids = ", ".join(str(process.pid) for process in processes)
        self.close()
        return RuntimeError(
            f"DataLoader worker (pid(s) {pids}) exited unexpectedly: {', '.join(words)}"
        )


def _how_it_ended(code: int | None) -> str:
    if code is None:
        return "it closed its connection"
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by signal: {signal.Signals(-code).name}"
    return f"killed by signal: {-code}"


def _end(owner: int, processes: list[Any], channels: list[Channel]) -> None:
    """Ends the workers politely, then by force; none stays behind, nor do their descriptors."""
    if os.getpid() != owner:
        return  # a forked child has a copy of the pool, not its processes
    for channel in channels:
        channel.close()  # a worker ends when it waits or writes the next time
    deadline = time.monotonic() + _PATIENCE
    for process in processes:
        process.join(max(deadline - time.monotonic(), 0.0))
    for process in processes:
        if process.is_alive():
            process.terminate()
            process.join(_PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
        process.close()
    processes.clear()
    channels.clear()
