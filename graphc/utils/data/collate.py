"""Examples joined to batches."""

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.functions.creation import as_tensor, tensor
from graphc.functions.joining import stack
from graphc.tensor import Tensor

Collate = Callable[..., Any]
CollateMap = Mapping[Any, Collate]


def _is_text(dtype: "np.dtype[Any]") -> bool:
    """Strings and objects, which no tensor holds."""
    return dtype.kind in "SUO"


# ------------------------------------------------------------------------- containers of any kind


def _same_mapping(data: Mapping[Any, Any], entries: dict[Any, Any]) -> Any:
    """Entries in a mapping of the same type, with its other attributes, where it can be made."""
    try:
        if isinstance(data, MutableMapping):
            copied = copy.copy(data)
            copied.update(entries)
            return copied
        return type(data)(entries)  # type: ignore[call-arg]
    except TypeError:
        return entries


def _same_sequence(data: Sequence[Any], items: list[Any]) -> Any:
    """Items in a sequence of the same type where it can be made (a range cannot)."""
    try:
        if isinstance(data, MutableSequence):
            copied = copy.copy(data)
            for place, item in enumerate(items):
                copied[place] = item
            return copied
        return type(data)(items)  # type: ignore[call-arg]
    except TypeError:
        return items


def default_convert(data: Any) -> Any:
    """NumPy's arrays and numbers as tensors, also inside containers; everything else as it is."""
    if isinstance(data, (np.ndarray, np.generic)):
        if (isinstance(data, np.ndarray) and _is_text(data.dtype)) or isinstance(data, np.str_):
            return data
        return as_tensor(data)
    if isinstance(data, Mapping):
        return _same_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple):
        items = [default_convert(value) for value in data]
        return type(data)(*items) if hasattr(data, "_fields") else items
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _same_sequence(data, [default_convert(value) for value in data])
    return data


# ------------------------------------------------------------------------------------- collation


def _refused(kind: Any) -> TypeError:
    return TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {kind}"
    )


def collate(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Examples as one: leaves joined by the functions of a map, containers by element.

    ``collate_fn_map`` maps types (or tuples of types) to ``function(batch, collate_fn_map=)``; the
    exact type comes before those it inherits from. Raises TypeError for a leaf of another type,
    RuntimeError for sequences of different lengths.
    """
    first = batch[0]
    if collate_fn_map is not None:
        found = collate_fn_map.get(type(first)) or next(
            (function for kind, function in collate_fn_map.items() if isinstance(first, kind)), None
        )
        if found is not None:
            return found(batch, collate_fn_map=collate_fn_map)

    def joined(column: Sequence[Any]) -> Any:
        return collate(column, collate_fn_map=collate_fn_map)

    if isinstance(first, Mapping):
        columns = {key: joined([example[key] for example in batch]) for key in first}
        return _same_mapping(first, columns)
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(joined(column) for column in zip(*batch, strict=False)))
    if isinstance(first, Sequence):
        if any(len(example) != len(first) for example in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        items = [joined(column) for column in zip(*batch, strict=True)]
        return items if isinstance(first, tuple) else _same_sequence(first, items)
    raise _refused(type(first))


def collate_tensor_fn(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """Tensors of one shape, stacked."""
    del collate_fn_map
    return stack(list(batch), 0)  # type: ignore[no-any-return]


def _arrays(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Any:
    if _is_text(batch[0].dtype):
        raise _refused(batch[0].dtype)
    return collate([as_tensor(array) for array in batch], collate_fn_map=collate_fn_map)


def _scalars(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Tensor:
    del collate_fn_map
    return as_tensor(np.stack(batch))  # type: ignore[no-any-return]


def _floats(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Tensor:
    del collate_fn_map
    return tensor(batch, dtype=dtypes.float64)


def _integers(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Tensor:
    del collate_fn_map
    return tensor(batch)


def _unchanged(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Any:
    del collate_fn_map
    return batch


default_collate_fn_map: dict[Any, Collate] = {
    Tensor: collate_tensor_fn,
    np.ndarray: _arrays,
    (np.bool_, np.number, np.object_): _scalars,
    float: _floats,
    int: _integers,
    str: _unchanged,
    bytes: _unchanged,
}


def default_collate(batch: Sequence[Any]) -> Any:
    """Examples as one: tensors, arrays and numbers stacked; tuples, lists and dicts by element.

    What is done for a type can be changed in ``default_collate_fn_map``. Errors as of ``collate``.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)
