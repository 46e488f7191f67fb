"""Python's ``multiprocessing``, through which tensors travel as shared memory.

A tensor that is sent (through queues and pipes, or as an argument to a process that is spawned)
moves to shared memory, and the receiver gets a tensor on the same memory: what one writes the other
sees. Where that cannot be, since other tensors share the old memory, the receiver gets a copy.
Processes that are forked share what was shared before, and copies of everything else.
"""

import contextlib
import multiprocessing as _multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import *  # noqa: F403 - this module is that one, and more
from multiprocessing import connection, context, get_context, reduction
from typing import Any

from graphc import shared_memory
from graphc.functions.copying import leaf_on
from graphc.nn.parameter import Parameter
from graphc.storage import held_memory, on_shared_memory
from graphc.tensor import Tensor

_STRATEGY = "file_descriptor"
_PIPE = 1 << 14  # bytes

# ---------------------------------------------------------------------------------------- tensors


def _receive(
    cls: type, descriptor: Any, size: int, dtype: Any, shape: Any, requires_grad: bool
) -> Tensor:
    pages = shared_memory.Held(descriptor.detach(), size)
    return leaf_on(cls, on_shared_memory(pages, dtype, shape), requires_grad)


def _reduce(tensor: Tensor) -> Any:
    """How a tensor is pickled for another process."""
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd "
            "does not support crossing process boundaries. If you just want to transfer the data, "
            "call detach() on the tensor before serializing (e.g., putting it on the queue)."
        )
    if tensor._base is not None:
        return tensor.__reduce_ex__(pickle.HIGHEST_PROTOCOL)  # its base, and how to view it
    try:
        sent = tensor.share_memory_()  # type: ignore[attr-defined]
    except RuntimeError:  # other tensors share the memory
        sent = tensor.detach().clone().share_memory_()
    pages = held_memory(sent)
    assert pages is not None
    descriptor = reduction.DupFd(_outliving(pages))
    shape = tuple(tensor.shape)
    made = (type(tensor), descriptor, pages.size, tensor.dtype, shape, tensor.requires_grad)
    return _receive, made, tensor.__dict__ or None


def _outliving(pages: shared_memory.Held) -> int:
    """A descriptor that is open until it is sent.

    Python duplicates it at once, but not while it starts a process: then it has to stay open, and
    to be another one for each tensor, until that has happened.
    """
    starting: Any = context.get_spawning_popen()
    if starting is None:
        return pages.descriptor
    own = shared_memory.Held(os.dup(pages.descriptor), pages.size)
    vars(starting).setdefault("_graphc_memory", []).append(own)
    return own.descriptor


if shared_memory.AVAILABLE:
    for _kind in (Tensor, Parameter):
        reduction.ForkingPickler.register(_kind, _reduce)


def get_all_sharing_strategies() -> set[str]:
    """The ways to share memory: descriptors of files without names."""
    return {_STRATEGY}


def get_sharing_strategy() -> str:
    """How memory is shared."""
    return _STRATEGY


def set_sharing_strategy(new_strategy: str) -> None:
    """Raises AssertionError for anything but the only strategy there is."""
    if new_strategy != _STRATEGY:
        raise AssertionError(f"Invalid strategy {new_strategy!r}: there is {_STRATEGY!r} only")


# -------------------------------------------------------------------------------------- processes


class ProcessException(Exception):  # noqa: N818 - PyTorch's name
    """A process failed; ``error_index`` and ``error_pid`` tell which."""

    def __init__(self, msg: str, error_index: int, error_pid: int) -> None:
        super().__init__(msg, error_index, error_pid)
        self.msg, self.error_index, self.error_pid = msg, error_index, error_pid

    def __str__(self) -> str:
        return self.msg


class ProcessRaisedException(ProcessException):
    """Its function raised; the message has the traceback."""


class ProcessExitedException(ProcessException):
    """It ended without a word."""

    def __init__(
        self,
        msg: str,
        error_index: int,
        error_pid: int,
        exit_code: int,
        signal_name: str | None = None,
    ) -> None:
        super().__init__(msg, error_index, error_pid)
        self.args = (msg, error_index, error_pid, exit_code, signal_name)
        self.exit_code, self.signal_name = exit_code, signal_name


def _run(function: Callable[..., Any], index: int, args: Sequence[Any], failure: Any) -> None:
    try:
        function(index, *args)
    except KeyboardInterrupt:
        pass  # the parent was interrupted as well, and tells the user
    except Exception:
        # Nobody reads before the process has ended: no more than a pipe holds.
        failure.send_bytes(traceback.format_exc().encode()[-_PIPE:])
        raise SystemExit(1) from None


class ProcessContext:
    """Processes that run one function."""

    def __init__(self, processes: list[Any], failures: list[Any]) -> None:
        self.processes = processes
        self._failures = failures
        self.sentinels = {process.sentinel: i for i, process in enumerate(processes)}

    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.pid for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Waits until a process ends; True when all have.

        When one has failed, the others are ended (after ``grace_period`` seconds) and
        ProcessRaisedException or ProcessExitedException is raised.
        """
        if not self.sentinels:
            return True
        for sentinel in connection.wait(list(self.sentinels), timeout):
            index = self.sentinels.pop(sentinel)  # type: ignore[call-overload]
            self.processes[index].join()
            if self.processes[index].exitcode:
                self._end(grace_period)
                raise self._failure(index)
        return not self.sentinels

    def _end(self, grace_period: float | None) -> None:
        self._wait(grace_period or 0.0)
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        self._wait(30.0 if grace_period is None else grace_period)
        for process in self.processes:
            if process.is_alive():
                process.kill()
            process.join()

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(end - time.monotonic(), 0.0))

    def _failure(self, index: int) -> ProcessException:
        process, failure = self.processes[index], self._failures[index]
        with contextlib.suppress(EOFError):  # it has said nothing
            words = failure.recv_bytes().decode(errors="replace")
            message = f"\n\n-- Process {index} terminated with the following error:\n{words}"
            return ProcessRaisedException(message, index, process.pid)
        code = process.exitcode
        if code > 0:
            message = f"process {index} terminated with exit code {code}"
            return ProcessExitedException(message, index, process.pid, code)
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"<Unknown signal {-code}>"
        message = f"process {index} terminated with signal {name}"
        return ProcessExitedException(message, index, process.pid, code, name)


def start_processes(
    fn: Callable[..., Any],
    args: Sequence[Any] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """``nprocs`` processes that call ``fn(index, *args)``.

    Waits for them with ``join``, else returns them. Errors as of :meth:`ProcessContext.join`.
    """
    method: Any = get_context(start_method)
    processes, failures = [], []
    for index in range(nprocs):
        here, there = method.Pipe(duplex=False)
        process = method.Process(target=_run, args=(fn, index, args, there), daemon=daemon)
        process.start()
        there.close()
        processes.append(process)
        failures.append(here)
    started = ProcessContext(processes, failures)
    if not join:
        return started
    while not started.join():
        continue
    return None


def spawn(
    fn: Callable[..., Any],
    args: Sequence[Any] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """``start_processes`` with fresh interpreters."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)


__all__ = [
    *_multiprocessing.__all__,
    "ProcessContext",
    "ProcessException",
    "ProcessExitedException",
    "ProcessRaisedException",
    "get_all_sharing_strategies",
    "get_sharing_strategy",
    "set_sharing_strategy",
    "spawn",
    "start_processes",
]
