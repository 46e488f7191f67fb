"""Batches of a data set."""

import multiprocessing
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from graphc.config import available_cpus
from graphc.generator import Generator
from graphc.utils.data.collate import default_collate, default_convert
from graphc.utils.data.dataset import IterableDataset
from graphc.utils.data.iterators import Pass, PassHere, PassOfWorkers
from graphc.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from graphc.utils.data.worker import get_worker_info

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

_FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


class _Endless:
    """Indices for a stream, which has none: they only say how many examples make a batch."""

    def __iter__(self) -> Iterator[None]:
        while True:
            yield None


class DataLoader:
    """Iterates over a data set in batches.

    ``shuffle`` reads in random order (``generator`` decides which), ``sampler`` and
    ``batch_sampler`` give an order of their own, ``drop_last`` leaves out a smaller last batch and
    ``collate_fn`` joins examples. ``batch_size=None`` gives single examples.

    With ``num_workers`` that many processes fetch ``prefetch_factor`` (2 unless given) batches each
    ahead, while the program goes on; tensors and arrays come through shared memory. The order of
    batches is the same as without workers (``in_order=False``: as they are ready). Each worker
    calls ``worker_init_fn(number)`` first, and its generators (Python's, NumPy's, graphc's) are
    seeded with a number drawn from ``generator`` plus its own; ``get_worker_info`` tells it which
    one it is. ``persistent_workers`` stay for the next pass. ``multiprocessing_context`` is a start
    method or context, Python's default unless given; for "spawn" and "forkserver" the data set, the
    functions and the examples have to be picklable.

    An exception in a worker is raised where its batch is taken, with the original traceback in its
    message. RuntimeError is raised when a worker process ends by itself, and when no batch comes
    for ``timeout`` seconds (0: wait). Dropping an iterator, or leaving the program, ends the
    workers.

    Raises ValueError for arguments that exclude each other.
    """

    multiprocessing_context: Any
    _ready = False

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        stream = isinstance(dataset, IterableDataset)
        if stream:
            for name, given in (
                ("shuffle", shuffle or None),
                ("sampler", sampler),
                ("batch_sampler", batch_sampler),
            ):
                if given is not None:
                    raise ValueError(
                        f"DataLoader with IterableDataset: expected unspecified {name} option, "
                        f"but got {name}={given}"
                    )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                    "and drop_last"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with "
                "drop_last"
            )
        order: Any = sampler
        if order is None:
            if stream:
                order = _Endless()
            elif shuffle:
                order = RandomSampler(dataset, generator=generator)
            else:
                order = SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(order, batch_size, drop_last)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = _context(multiprocessing_context, num_workers)
        self.in_order = in_order
        self.generator = generator
        self.drop_last = drop_last
        self.batch_size = batch_size
        self.sampler = order
        self.batch_sampler: Any = batch_sampler
        self.collate_fn = collate_fn or (default_collate if self._batches else default_convert)
        self.persistent_workers = persistent_workers
        self._iterator: PassOfWorkers | None = None
        self._promised: int | None = None  # examples of a stream, where somebody asked how many
        if num_workers > available_cpus():
            warnings.warn(
                f"This DataLoader will create {num_workers} worker processes in total. Our "
                f"suggested max number of worker in current system is {available_cpus()}, which is "
                "smaller than what this DataLoader is going to create. Please be aware that "
                "excessive worker creation might get DataLoader running slow or even freeze, lower "
                "the worker number to avoid potential slowness/freeze if necessary.",
                stacklevel=2,
            )
        self._ready = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self._ready and name in _FIXED:
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized"
            )
        if self._ready and name == "multiprocessing_context":
            value = _context(value, self.num_workers)
        super().__setattr__(name, value)

    @property
    def _batches(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        return self.batch_sampler if self._batches else self.sampler

    def __iter__(self) -> Pass:
        if not self.num_workers:
            return PassHere(self)
        if not self.persistent_workers:
            return PassOfWorkers(self)
        if self._iterator is None:
            self._iterator = PassOfWorkers(self)
        else:
            self._iterator.again(self)
        return self._iterator

    def __len__(self) -> int:
        if not isinstance(self.dataset, IterableDataset):
            return len(self._index_sampler)
        total = self._promised = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return total
        return total // self.batch_size if self.drop_last else -(-total // self.batch_size)


def _check_workers(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent: bool
) -> None:
    if num_workers < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to disable "
            "multiprocessing."
        )
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing. let num_workers > "
            "0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _context(given: Any, num_workers: int) -> Any:
    """A start method or context, as a context. Raises ValueError or TypeError for anything else."""
    if given is None:
        return None
    if not num_workers:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading (num_workers > "
            f"0), but got num_workers={num_workers}"
        )
    if isinstance(given, str):
        methods = multiprocessing.get_all_start_methods()
        if given not in methods:
            raise ValueError(
                "multiprocessing_context option should specify a valid start method in "
                f"{methods!r}, but got multiprocessing_context={given!r}"
            )
        return multiprocessing.get_context(given)
    if not isinstance(given, multiprocessing.context.BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string "
            f"specifying the start method, but got multiprocessing_context={given}"
        )
    return given
