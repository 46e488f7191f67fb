"""Elements and slices written, or joined, at places that index tensors and masks name.

Where places repeat, sums, products and extremes count every element and of plain writes the last
one stays, so results never depend on chance.
"""

import warnings
from typing import Any

from graphc import dtypes
from graphc.errors import DimensionError
from graphc.functions.dims import normalise_dim
from graphc.functions.factory import converted
from graphc.functions.gathering import index_of, lifted, not_wrapped
from graphc.functions.indexing import exactly
from graphc.functions.promotion import cast
from graphc.functions.registry import tensor_function
from graphc.functions.shape import expand, reshaped
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.ops.rules import broadcast
from graphc.tensor import Tensor, apply, number


def _full(like: Tensor, shape: tuple[int, ...], value: Any) -> Tensor:
    attrs = {"value": value, "shape": shape, "dtype": like.dtype, "device": like.device}
    return apply(OPS["full"], (), attrs)


def _value(value: Any, dtype: dtypes.dtype) -> Tensor:
    """A number, or a tensor of one element, as a zero-dim tensor of the dtype."""
    if isinstance(value, Tensor):
        return cast(value, dtype)
    return number(converted(value, dtype), dtype)


# ---------------------------------------------------------------------- an index of the same rank


def _cropped(src: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The part of ``src`` that an index of this shape uses."""
    if tuple(src.shape) == shape:
        return src
    attrs = {"starts": (0,) * len(shape), "stops": shape, "steps": (1,) * len(shape)}
    return apply(OPS["slice"], (src,), attrs)


def _entries(name: str, input: Tensor, dim: int, index: Tensor, src: Any) -> Any:
    """Operands of a scatter: the data, an index and values of its shape, and the dimension."""
    axis = normalise_dim(dim, input.ndim)
    places = lifted(index_of(name, index))
    data = lifted(input)
    if not isinstance(src, Tensor):
        return data, places, expand(_value(src, input.dtype), tuple(places.shape)), axis
    if src.dtype is not input.dtype:
        raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
    values = lifted(src)
    larger = values.ndim != places.ndim or any(
        n > m for n, m in zip(places.shape, values.shape, strict=True)
    )
    if places.ndim != data.ndim or larger:
        raise RuntimeError(
            f"Expected index {list(index.shape)} to be no larger than self {list(input.shape)} "
            f"apart from dimension {dim} and to be no larger size than src {list(src.shape)}"
        )
    return data, places, _cropped(values, tuple(places.shape)), axis


def _untouched(input: Tensor, dim: int, index: Tensor, src: Any) -> Tensor:
    """A copy into which nothing is written; where ``src`` is on the tape, so is the result."""
    normalise_dim(dim, input.ndim)
    if not isinstance(src, Tensor) or src.dtype is not input.dtype:
        return apply(OPS["clone"], (input,), {})
    data, values = reshaped(input, (input.numel(),)), reshaped(src, (src.numel(),))[:0]
    places = cast(reshaped(index, (0,)), dtypes.int64)
    return reshaped(_put(data, places, values, 0, True), tuple(input.shape))


def _scattered(row: str, name: str, input: Tensor, dim: int, index: Tensor, src: Any,
               **attrs: Any) -> Tensor:  # fmt: skip
    if not index.numel():
        return _untouched(input, dim, index, src)
    data, places, values, axis = _entries(name, input, dim, index, src)
    result = apply(OPS[row], (data, places, values), {"dim": axis, **attrs})
    return result if input.ndim else reshaped(result, ())


@tensor_function(inplace=True, out=True)
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None,
    reduce: str | None = None,
) -> Tensor:  # fmt: skip
    """A copy with ``src`` (or a number) written at ``index`` along ``dim``.

    ``reduce`` ("add" or "multiply") joins with what is there.
    """
    given = src if value is None else value
    if reduce is None:
        return _scattered("scatter", "scatter", input, dim, index, given, add=False)
    if reduce not in ("add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    if isinstance(given, Tensor):
        warnings.warn(
            "The reduce argument of torch.scatter with Tensor src is deprecated and will be "
            "removed in a future PyTorch release. Use torch.scatter_reduce instead for more "
            "reduction options.",
            UserWarning,
            stacklevel=4,
        )
    if reduce == "add":
        return _scattered("scatter", "scatter", input, dim, index, given, add=True)
    return _scattered("scatter_fold", "scatter", input, dim, index, given, how="prod")


@tensor_function(inplace=True, out=True)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy with ``src`` added at ``index`` along ``dim``; duplicates add up in order."""
    return _scattered("scatter", "scatter_add", input, dim, index, src, add=True)


_FOLDS = {"prod": "prod", "amax": "max", "amin": "min"}
_REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


def _identity(how: str, dtype: dtypes.dtype) -> Any:
    """What a reduction starts from where the data does not count."""
    if how in ("sum", "mean"):
        return 0
    if how == "prod":
        return 1
    if dtype.is_floating_point:
        return float("-inf") if how == "amax" else float("inf")
    if dtype is dtypes.bool:
        return how == "amin"
    limits = dtypes.iinfo(dtype)
    return limits.min if how == "amax" else limits.max


def _joined(how: str, data: Tensor, places: Tensor, values: Tensor, axis: int) -> Tensor:
    if how in _FOLDS:
        attrs = {"dim": axis, "how": _FOLDS[how]}
        return apply(OPS["scatter_fold"], (data, places, values), attrs)
    return apply(OPS["scatter"], (data, places, values), {"dim": axis, "add": True})


def _reduced(
    how: str, data: Tensor, places: Tensor, values: Tensor, axis: int, include_self: bool
) -> Tensor:
    if data.dtype is dtypes.bool:
        kept = "amax" if how == "sum" else how
        wide = (cast(x, dtypes.uint8) for x in (data, values))
        first, second = wide
        return cast(_reduced(kept, first, places, second, axis, include_self), dtypes.bool)
    start = data
    if not include_self:
        blank = _full(data, tuple(places.shape), _identity(how, data.dtype))
        start = apply(OPS["scatter"], (data, places, blank), {"dim": axis, "add": False})
    result = _joined(how, start, places, values, axis)
    if how != "mean":
        return result
    one = _full(data, tuple(data.shape), 1 if include_self else 0)
    ones = _full(data, tuple(places.shape), 1)
    if data.dtype in (dtypes.float16, dtypes.bfloat16):  # which cannot count far
        one, ones = cast(one, dtypes.float32), cast(ones, dtypes.float32)
    count = apply(OPS["scatter"], (one, places, ones), {"dim": axis, "add": True})
    count = cast(apply(OPS["maximum"], (count, 1), {}), data.dtype)
    if data.dtype.is_floating_point:
        return apply(OPS["div"], (result, count), {})
    return apply(OPS["floor_divide"], (result, count), {})


@tensor_function(inplace=True, out=True)
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy with ``src`` joined at ``index`` along ``dim``: sum, prod, mean, amax or amin.

    Without ``include_self`` elements that are written to do not count themselves.
    """
    if reduce not in _REDUCTIONS:
        raise RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}."
        )
    if not index.numel():
        return _untouched(input, dim, index, src)
    data, places, values, axis = _entries("scatter", input, dim, index, src)
    result = _reduced(reduce, data, places, values, axis, include_self)
    return result if input.ndim else reshaped(result, ())


# ------------------------------------------------------------------------- a vector of positions


def _slices(
    name: str, input: Tensor, dim: int, index: Tensor, source: Tensor
) -> tuple[Tensor, Tensor, Tensor, int]:
    """The data, positions along ``dim`` and one slice of ``source`` for each position."""
    axis = normalise_dim(dim, input.ndim)
    if index.ndim > 1:
        raise DimensionError(f"{name}(): Index is supposed to be a vector, but got dim: "
                             f"{index.ndim} with type: {index.dtype.type_name} and size: "
                             f"{list(index.shape)}")  # fmt: skip
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}(): self ({input.dtype.type_name}) and source ({source.dtype.type_name}) must "
            "have the same scalar type"
        )
    data, values = lifted(input), source
    if not source.ndim:
        values = reshaped(source, (1,) * data.ndim)
    expected = (*data.shape[:axis], index.numel(), *data.shape[axis + 1 :])
    if tuple(values.shape) != expected:
        kind = DimensionError if name == "index_copy" and values.ndim != data.ndim else RuntimeError
        raise kind(
            f"{name}(): source tensor shape must match self tensor shape, excluding the specified "
            f"dimension, and the number of indices ({index.numel()}) the size there. Got "
            f"self.shape = {list(input.shape)} source.shape = {list(source.shape)}"
        )
    places = not_wrapped(lifted(cast(index, dtypes.int64)), data.shape[axis])
    return data, places, values, axis


def _put(data: Tensor, places: Tensor, values: Tensor, axis: int, add: bool) -> Tensor:
    return apply(OPS["put_index"], (data, places, values), {"dim": axis, "add": add})


@tensor_function(inplace=True, out=True)
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """A copy with ``alpha * source`` added to the slices along ``dim`` that ``index`` names."""
    data, places, values, axis = _slices("index_add", input, dim, index, source)
    if alpha != 1:
        if isinstance(alpha, float) and not input.dtype.is_floating_point:
            raise RuntimeError("For integral input tensors, argument alpha must not be a floating "
                               "point number.")  # fmt: skip
        values = apply(OPS["mul"], (values, _value(alpha, values.dtype)), {})
    return reshaped(_put(data, places, values, axis, True), tuple(input.shape))


@tensor_function(inplace=True, out=True)
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy with the slices along ``dim`` that ``index`` names replaced by those of ``source``."""
    data, places, values, axis = _slices("index_copy", input, dim, index, source)
    return reshaped(_put(data, places, values, axis, False), tuple(input.shape))


@tensor_function(inplace=True)
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy with a number in all slices along ``dim`` that ``index`` names."""
    axis = normalise_dim(dim, input.ndim)
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise DimensionError("index_fill_(): Expected dtype int64 for index.")
    if index.ndim > 1:
        raise DimensionError("index_fill_(): Index is supposed to be a vector")
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.ndim} dimension(s)."
        )
    data, places = lifted(input), lifted(cast(index, dtypes.int64))
    size = data.shape[axis]
    hits = _put(_full(places, (size,), 0), places, _full(places, (places.numel(),), 1), 0, False)
    aligned = tuple(size if d == axis else 1 for d in range(data.ndim))
    named = reshaped(apply(OPS["ne"], (hits, 0), {}), aligned)
    filled = apply(OPS["where"], (named, _value(value, input.dtype), data), {})
    return reshaped(filled, tuple(input.shape))


@tensor_function(inplace=True, out=True)
def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *,
    include_self: bool = True,
) -> Tensor:  # fmt: skip
    """A copy with slices of ``source`` joined along ``dim``: prod, mean, amax or amin."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"reduce argument must be either prod, mean, amax or amin, got {reduce}."
        )
    data, places, values, axis = _slices("index_reduce", input, dim, index, source)
    if not values.numel():
        return apply(OPS["clone"], (input,), {})
    aligned = tuple(-1 if d == axis else 1 for d in range(data.ndim))
    aligned = tuple(places.numel() if n == -1 else n for n in aligned)
    spread = expand(reshaped(places, aligned), tuple(values.shape))
    result = _reduced(reduce, data, spread, values, axis, include_self)
    return reshaped(result, tuple(input.shape))


# --------------------------------------------------------------------------- flat places, masks


@tensor_function(inplace=True)
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with ``source`` at positions of the flattened tensor; sums with ``accumulate``."""
    if index.dtype is not dtypes.int64:
        raise RuntimeError(
            f"put_(): Expected a long tensor for index, but got {index.dtype.type_name}"
        )
    if source.dtype is not input.dtype:
        raise RuntimeError(
            "put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{input.dtype.type_name} and source.dtype = {source.dtype.type_name}"
        )
    if index.numel() != source.numel():
        raise RuntimeError(
            "put_(): Expected source and index to have the same number of elements, but got "
            f"source.numel() = {source.numel()}, index.numel() = {index.numel()}"
        )
    if index.numel() and not input.numel():
        raise DimensionError("put_(): tried to put elements into an empty tensor")
    flat, count = reshaped(input, (input.numel(),)), (index.numel(),)
    written = _put(flat, reshaped(index, count), reshaped(source, count), 0, accumulate)
    return reshaped(written, tuple(input.shape))


@tensor_function(inplace=True)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy with elements of ``source``, in order, where ``mask`` holds; both broadcast."""
    if mask.dtype is not dtypes.bool:
        raise RuntimeError(
            f"masked_scatter_ only supports boolean masks, but got mask with dtype {mask.dtype}"
        )
    if source.dtype is not input.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got "
            f"{input.dtype.type_name} and {source.dtype.type_name}"
        )
    shape: Any = broadcast(tuple(input.shape), tuple(mask.shape))
    data, mask = expand(input, shape), expand(mask, shape)
    size, count = source.numel(), data.numel()
    flat = reshaped(source, (size,)) if size else _full(source, (1,), 0)
    if not count:
        return apply(OPS["clone"], (data,), {})
    truth = cast(reshaped(mask, (count,)), dtypes.int64)
    ranks = apply(OPS["cumsum"], (truth,), {"dim": 0, "reverse": False})
    if MODES.trace is None:
        if int(ranks._array()[-1]) > size:
            raise RuntimeError("Number of elements of source < number of ones in mask")
    else:  # then a position outside is reported when the program runs
        excess = apply(OPS["sum"], (truth,), {"dims": (0,), "keepdim": True}) - size
        ranks = ranks + exactly(apply(OPS["maximum"], (excess, 0), {}), 0)
    last = max(size - 1, 0)
    inside = apply(OPS["minimum"], (apply(OPS["maximum"], (ranks - 1, 0), {}), last), {})
    taken = reshaped(apply(OPS["take"], (flat, inside), {"dim": 0}), shape)
    return apply(OPS["where"], (mask, taken, data), {})
