"""Passes over a loader: in the process that iterates, or with workers."""

import itertools
import multiprocessing
import warnings
from collections import deque
from typing import TYPE_CHECKING, Any

from graphc.utils.data.fetch import make_fetcher
from graphc.utils.data.sampler import drawn_seed
from graphc.utils.data.worker import Failure, Request, StreamEnded, Task
from graphc.utils.data.worker_pool import WorkerPool

if TYPE_CHECKING:
    from graphc.utils.data.dataloader import DataLoader


class Pass:
    """What both kinds have in common: indices, and a count of batches against what was promised.

    Attributes of the loader are copied: a loader with persistent workers refers to its pass.
    """

    def __init__(self, loader: "DataLoader") -> None:
        if loader.pin_memory:
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device "
                "pinned memory won't be used.",
                stacklevel=4,
            )
        self._dataset = loader.dataset
        self._num_workers = loader.num_workers
        self._sampler = loader._index_sampler
        self._restart(loader)
        self._base_seed = drawn_seed(loader.generator)

    def _restart(self, loader: "DataLoader") -> None:
        self._indices = iter(self._sampler)
        self._promised = loader._promised
        self._yielded = 0

    def __iter__(self) -> "Pass":
        return self

    def __len__(self) -> int:
        return len(self._sampler)

    def __next__(self) -> Any:
        data = self._next()
        self._yielded += 1
        if self._promised is not None and self._yielded > self._promised:
            message = (
                f"Length of IterableDataset {self._dataset} was reported to be {self._promised} "
                f"(when accessing len(dataloader)), but {self._yielded} samples have been fetched. "
            )
            if self._num_workers:
                message += (
                    "For multiprocessing data-loading, this could be caused by not properly "
                    "configuring the IterableDataset replica at each worker: see get_worker_info."
                )
            warnings.warn(message, stacklevel=2)
        return data

    def _next(self) -> Any:
        raise NotImplementedError

    def __getstate__(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} cannot be pickled")


class PassHere(Pass):
    """Fetches a batch when it is asked for."""

    def __init__(self, loader: "DataLoader") -> None:
        super().__init__(loader)
        self._fetcher = make_fetcher(
            loader.dataset, loader._batches, loader.collate_fn, loader.drop_last
        )

    def _next(self) -> Any:
        return self._fetcher.fetch(next(self._indices))


class PassOfWorkers(Pass):
    """Has batches fetched ahead by worker processes.

    Requests are numbered, and given to the workers in turn. One is added for each batch that is
    taken out, so that everything that decides about the order happens in the order of the numbers,
    and two passes with the same seed are equal whatever the workers' speed.
    """

    def __init__(self, loader: "DataLoader") -> None:
        super().__init__(loader)
        context = loader.multiprocessing_context or multiprocessing.get_context()
        task = Task(
            loader.dataset,
            loader._batches,
            loader.collate_fn,
            loader.drop_last,
            loader.worker_init_fn,
            loader.num_workers,
            self._base_seed,
        )
        self._pool = WorkerPool(context, loader.num_workers, task)
        self._epoch = -1
        self._timeout = loader.timeout
        self._in_order = loader.in_order
        self._ahead = max(loader.prefetch_factor or 0, 1)
        self._persistent = loader.persistent_workers
        self._begin()

    def again(self, loader: "DataLoader") -> None:
        """Another pass with the same workers; batches of the last one still to come are dropped."""
        self._restart(loader)
        self._begin()

    def _begin(self) -> None:
        self._epoch += 1
        self._asked = 0
        self._taken = 0
        self._workers: dict[int, int] = {}  # of the requests under way
        self._arrived: dict[int, Any] = {}
        self._order: deque[int] = deque()  # of arrival
        self._turns = itertools.cycle(range(self._num_workers))
        self._ended: set[int] = set()
        for _ in range(self._ahead * self._num_workers):
            self._ask(None)

    def _ask(self, worker: int | None) -> None:
        """One more request, to a worker whose stream goes on."""
        if len(self._ended) == self._num_workers:
            return
        while worker is None or worker in self._ended:
            worker = next(self._turns)
        try:
            index = next(self._indices)
        except StopIteration:
            return
        number = self._asked
        self._asked += 1
        self._workers[number] = worker
        self._pool.send(worker, Request(self._epoch, number, index))

    def _next(self) -> Any:
        while self._taken < self._asked:
            number = self._arrival()
            data = self._arrived.pop(number)
            self._taken += 1
            worker = self._workers.pop(number)
            if isinstance(data, StreamEnded):
                self._ended.add(worker)
            self._ask(None if self._in_order else worker)
            if isinstance(data, Failure):
                data.reraise()
            if not isinstance(data, StreamEnded):
                return data
        if not self._persistent:
            self._pool.close()
        raise StopIteration

    def _arrival(self) -> int:
        """The number of the request to be taken next, once it has arrived."""
        while self._taken not in self._arrived if self._in_order else not self._order:
            batch = self._pool.receive(self._timeout)
            if batch.epoch == self._epoch:
                self._arrived[batch.number] = batch.data
                self._order.append(batch.number)
        return self._taken if self._in_order else self._order.popleft()
