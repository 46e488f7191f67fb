"""Examples of a data set at given indices, as a batch; in the loader's process or in a worker."""

from collections.abc import Callable
from typing import Any

from graphc import dtypes
from graphc.functions.creation import tensor
from graphc.tensor import Tensor
from graphc.utils.data.collate import collate_tensor_fn, default_collate, default_collate_fn_map
from graphc.utils.data.dataset import IterableDataset, TensorDataset


class _ByIndex:
    """From a data set with indices."""

    def __init__(
        self, dataset: Any, batches: bool, collate: Callable[[Any], Any], drop_last: bool
    ) -> None:
        del drop_last  # the sampler has done that
        self._dataset = dataset
        self._batches = batches
        self._collate = collate

    def fetch(self, index: Any) -> Any:
        if not self._batches:
            return self._collate(self._dataset[index])
        if callable(getattr(self._dataset, "__getitems__", None)):
            return self._collate(self._dataset.__getitems__(index))
        if self._whole(index):  # one gather per tensor gives the same as stacking examples
            picked = tensor(index, dtype=dtypes.int64)
            return [column[picked] for column in self._dataset.tensors]
        return self._collate([self._dataset[i] for i in index])

    def _whole(self, index: Any) -> bool:
        return (
            type(self._dataset) is TensorDataset
            and self._collate is default_collate
            and default_collate_fn_map[Tensor] is collate_tensor_fn
            and bool(index)
            and all(type(i) is int for i in index)
        )


class _FromStream:
    """From a stream; indices only say how many."""

    def __init__(
        self, dataset: Any, batches: bool, collate: Callable[[Any], Any], drop_last: bool
    ) -> None:
        self._examples = iter(dataset)
        self._batches = batches
        self._collate = collate
        self._drop_last = drop_last
        self._ended = False

    def fetch(self, index: Any) -> Any:
        """Raises StopIteration at the end, and from then on."""
        if self._ended:
            raise StopIteration
        if not self._batches:
            return self._collate(next(self._examples))
        batch = []
        for _ in index:
            try:
                batch.append(next(self._examples))
            except StopIteration:
                self._ended = True
                break
        if not batch or (self._drop_last and len(batch) < len(index)):
            raise StopIteration
        return self._collate(batch)


def make_fetcher(
    dataset: Any, batches: bool, collate: Callable[[Any], Any], drop_last: bool
) -> _ByIndex | _FromStream:
    """What fetches from a data set, of either kind; a stream starts."""
    kind = _FromStream if isinstance(dataset, IterableDataset) else _ByIndex
    return kind(dataset, batches, collate, drop_last)
