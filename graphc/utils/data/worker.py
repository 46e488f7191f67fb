"""What a worker process does: it fetches the batches it is asked for and sends them back."""

import io
import pickle
import random
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

from graphc import config
from graphc.functions.random import manual_seed
from graphc.tensor import Tensor
from graphc.utils.data.dataset import IterableDataset
from graphc.utils.data.fetch import make_fetcher
from graphc.utils.data.messages import Channel


@dataclass(frozen=True)
class WorkerInfo:
    """Who a worker is: its number, how many there are, its seed, and its copy of the data set."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None
_CLOSED = (EOFError, BrokenPipeError, ConnectionResetError)  # of a channel's other end


def get_worker_info() -> WorkerInfo | None:
    """Which worker this process is; None in the process that iterates over a loader."""
    return _info


@dataclass(frozen=True)
class Request:
    """A batch to be fetched; requests of earlier epochs may be left undone."""

    epoch: int
    number: int
    index: Any


@dataclass(frozen=True)
class Batch:
    """The answer to a request."""

    epoch: int
    number: int
    data: Any


class StreamEnded:
    """Instead of a batch: the worker's stream has no more examples."""


class _Readable(str):
    """A message that KeyError, which shows the ``repr`` of its argument, shows as it is."""

    def __repr__(self) -> str:
        return str(self)


class Failure:
    """Instead of a batch: the exception that fetching it raised."""

    def __init__(self, error: BaseException, where: str) -> None:
        self.kind: type[BaseException] = type(error)
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.message = f"Caught {self.kind.__name__} {where}.\nOriginal {text}"
        try:
            pickle.dumps(self.kind)
        except Exception:  # a class inside a function; the message names it
            self.kind = RuntimeError

    def reraise(self) -> None:
        """Raises an exception of the same type, whose message has the original traceback.

        A type that cannot be made from one message becomes RuntimeError.
        """
        message = _Readable(self.message) if self.kind is KeyError else self.message
        if getattr(self.kind, "message", None):
            raise self.kind(message=message)  # type: ignore[call-arg]
        try:
            error = self.kind(message)
        except Exception:
            raise RuntimeError(message) from None
        raise error


@dataclass(frozen=True)
class Task:
    """What all workers of a loader are told at their start."""

    dataset: Any
    batches: bool
    collate: Callable[[Any], Any]
    drop_last: bool
    init: Callable[[int], None] | None
    num_workers: int
    base_seed: int

    def __reduce__(self) -> Any:
        """For a worker that is no fork: it gets tensors of its own, however many there are."""
        stream = io.BytesIO()
        _Copying(stream, pickle.HIGHEST_PROTOCOL).dump(vars(self))
        return _task, (stream.getvalue(),)


def _task(pickled: bytes) -> Task:
    return Task(**pickle.loads(pickled))


class _Copying(ForkingPickler):
    """Pickles what only processes can be given, and tensors by value."""

    def reducer_override(self, obj: Any) -> Any:
        return obj.__reduce_ex__(2) if isinstance(obj, Tensor) else NotImplemented


def _seed(base_seed: int, worker: int) -> int:
    """Seeds every generator of this process; NumPy's with bits of its own."""
    seed = base_seed + worker
    random.seed(seed)
    manual_seed(seed)
    words = [worker, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    np.random.seed(np.random.SeedSequence(words).generate_state(4))
    return seed


class _Worker:
    def __init__(self, channel: Channel, number: int, task: Task) -> None:
        self._channel = channel
        self._where = f"in DataLoader worker process {number}"
        self._task = task
        self._requests: deque[Request] = deque()
        self._epoch = -1
        self._latest = -1
        self._fetcher: Any = None
        self._refusal: Failure | None = None
        if task.init is not None:
            try:
                task.init(number)
            except Exception as error:
                self._refusal = Failure(error, self._where)

    def _listen(self) -> None:
        request = self._channel.receive()
        self._requests.append(request)
        self._latest = request.epoch

    def run(self) -> None:
        while True:
            if not self._requests:
                self._listen()
            request = self._requests.popleft()
            if request.epoch < self._latest:
                continue
            data = self._answer(request)
            try:
                self._send(request, data)
            except _CLOSED:
                raise
            except Exception as error:  # what was fetched cannot be pickled
                self._send(request, Failure(error, self._where))

    def _send(self, request: Request, data: Any) -> None:
        self._channel.send(Batch(request.epoch, request.number, data), meanwhile=self._listen)

    def _answer(self, request: Request) -> Any:
        if self._refusal is not None:
            return self._refusal
        task = self._task
        try:
            if request.epoch != self._epoch:
                self._epoch, self._fetcher = request.epoch, None
            if self._fetcher is None:
                self._fetcher = make_fetcher(
                    task.dataset, task.batches, task.collate, task.drop_last
                )
            return self._fetcher.fetch(request.index)
        except StopIteration as error:
            if isinstance(task.dataset, IterableDataset):
                return StreamEnded()
            return Failure(error, self._where)
        except Exception as error:
            return Failure(error, self._where)


def work(channel: Channel, number: int, task: Task) -> None:
    """Serves requests until the other end of the channel is closed."""
    global _info
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handler is not for its workers
        # An interrupt goes to the parent as well, which decides what becomes of the workers.
        signal.signal(signal.SIGINT, lambda *_: None)
    channel.never_block()
    config.set_num_threads(1)
    seed = _seed(task.base_seed, number)
    _info = WorkerInfo(number, task.num_workers, seed, task.dataset)
    try:
        _Worker(channel, number, task).run()
    except _CLOSED:
        pass  # the loader has no more use for batches
    finally:
        channel.close()
        sys.stdout.flush()
