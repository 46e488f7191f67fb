"""Views: reshape, permute, expand, slice, and the write through a slice.

Each row is an index map: from the index of an element of the result to the index it is read at.
In eager a view shares memory with its operand where strides allow; ``put`` is a write through it.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc.errors import DimensionError, ShapeError
from graphc.expressions import Condition, Divisible, InRange
from graphc.ir import IndexMap, Op, Sample, Source, TensorType, register
from graphc.ops.rules import (
    HALVES,
    Array,
    Shape,
    normalise_dim,
    row,
    same_device,
    same_dtype,
    spread,
    zeros_like,
)
from graphc.sizes import Int, floordiv, mod, product

Index = tuple[Int, ...]
Amounts = tuple[int, ...]


def _known(*sizes: Int) -> bool:
    """Whether all sizes are plain numbers that can be checked now."""
    return all(isinstance(size, int) for size in sizes)


def per_dim(name: str, x: TensorType, **attrs: Any) -> None:
    """Attributes that hold one entry per dimension."""
    for attr, values in attrs.items():
        if len(values) != x.ndim:
            raise ShapeError(
                f"{name}: {attr}={tuple(values)} needs one entry for each of {x.ndim} dimensions"
            )


def arrays_of(*shapes: tuple[int, ...]) -> Iterable[Array]:
    """One array of each dtype family per shape."""
    for i, shape in enumerate(shapes):
        yield spread(shape, -2, 2, np.float64, i)
        yield spread(shape, -2, 2, np.float32, i + 1)
    yield spread(shapes[0], -100, 100, np.int64)
    yield spread(shapes[0], 0, 200, np.uint8)
    yield spread(shapes[0], -2, 2, np.float64) > 0
    for half in sorted(HALVES, key=str):
        yield spread(shapes[0], -2, 2, half)


# --------------------------------------------------------------------------------------- reshape


def _reshape_type(x: TensorType, *, shape: Shape) -> TensorType:
    size, wanted = product(x.shape), product(shape)
    negative = any(isinstance(n, int) and n < 0 for n in shape)
    if negative or size != wanted:
        listed = ", ".join(map(str, shape))
        raise ShapeError(f"shape '[{listed}]' is invalid for input of size {size}")
    return x.with_shape(shape)


def blocks(old: Shape, new: Shape) -> list[tuple[range, range]]:
    """The finest split of both shapes into consecutive dims that hold equally many elements.

    Dims of size 1 belong to no block. Element order inside a block is row-major on both sides.
    """
    left = [d for d, size in enumerate(old) if size != 1]
    right = [d for d, size in enumerate(new) if size != 1]
    found: list[tuple[range, range]] = []
    i = j = 0
    while i < len(left) and j < len(right):
        first_i, first_j = i, j
        a, b = old[left[i]], new[right[j]]
        i, j = i + 1, j + 1
        while a != b and (i < len(left) or j < len(right)):
            smaller = isinstance(a, int) and isinstance(b, int) and a < b
            if i < len(left) and (smaller or j == len(right) or not _known(a, b)):
                a, i = a * old[left[i]], i + 1
            elif j < len(right):
                b, j = b * new[right[j]], j + 1
            else:
                a, i = a * old[left[i]], i + 1
        found.append((range(first_i, i), range(first_j, j)))
    return [
        (
            range(left[a.start], left[a.stop - 1] + 1),
            range(right[b.start], right[b.stop - 1] + 1),
        )
        for a, b in found
    ]


def reshaped_index(index: Index, new: Shape, old: Shape) -> Index:
    """Where element ``index`` of shape ``new`` stands in shape ``old``, by the linear index."""
    result: list[Int] = [0] * len(old)
    if 0 in new:  # nothing is read; but what is read nowhere must not look the same everywhere
        return tuple(index[new.index(0)] if size == 0 else 0 for size in old)
    for old_dims, new_dims in blocks(old, new):
        linear: Int = 0
        for d in new_dims:
            linear = linear * new[d] + index[d]
        inner: Int = 1
        dims = [d for d in old_dims if old[d] != 1]
        for d in reversed(dims):
            place = floordiv(linear, inner)
            result[d] = place if d == dims[0] else mod(place, old[d])
            inner = inner * old[d]
    return tuple(result)


def _reshape_rule(index: Index, x: TensorType, *, shape: Shape) -> tuple[Source, ...]:
    return (Source(0, reshaped_index(index, shape, x.shape)),)


def _reshape_samples() -> Iterable[Sample]:
    pairs: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
        ((2, 3, 4), (6, 4)),
        ((2, 3, 4), (4, 3, 2)),
        ((6, 4), (2, 3, 2, 2)),
        ((2, 6), (1, 4, 1, 3)),
        ((1, 3, 1), (3,)),
        ((), (1, 1)),
        ((1,), ()),
        ((0, 3), (3, 0, 2)),
    )
    for old, new in pairs:
        for x in arrays_of(old):
            yield Sample((x,), {"shape": new})
    yield Sample((spread((4, 6), -1, 1, np.float32).T,), {"shape": (8, 3)})


RESHAPE = register(
    Op(
        "reshape",
        _reshape_type,
        lambda x, *, shape: x.reshape(shape),
        IndexMap(_reshape_rule),
        lambda g, _y, _x, *, shape: (row.reshape(g, shape=tuple(_x.shape)),),  # noqa: ARG005
        lambda base, value, *, shape: row.reshape(value, shape=tuple(base.shape)),  # noqa: ARG005
        _reshape_samples,
        lambda x, *, shape: np.array(x.ravel().tolist(), x.dtype).reshape(shape),
    )
)

# --------------------------------------------------------------------------------------- permute


def _permute_type(x: TensorType, *, dims: Amounts) -> TensorType:
    if len(dims) != x.ndim:
        raise ShapeError(
            "permute: number of dimensions in the tensor input does not match the length of the "
            f"desired ordering of dimensions i.e. input.dim() = {x.ndim} is not equal to "
            f"len(dims) = {len(dims)}"
        )
    for d in dims:
        normalise_dim(d, x.ndim)
    if sorted(dims) != list(range(x.ndim)):
        raise ShapeError("permute(): duplicate dims are not allowed.")
    return x.with_shape(x.shape[d] for d in dims)


def inverse(dims: Amounts) -> Amounts:
    """The permutation that undoes ``dims``."""
    result = [0] * len(dims)
    for place, d in enumerate(dims):
        result[d] = place
    return tuple(result)


def _permute_rule(index: Index, _x: TensorType, *, dims: Amounts) -> tuple[Source, ...]:
    return (Source(0, tuple(index[place] for place in inverse(dims))),)


def _permute_samples() -> Iterable[Sample]:
    for dims in ((0, 1, 2), (2, 0, 1), (1, 0, 2), (2, 1, 0)):
        for x in arrays_of((2, 3, 4)):
            yield Sample((x,), {"dims": dims})
    yield Sample((spread((), -1, 1, np.float32),), {"dims": ()})
    yield Sample((spread((0, 2), -1, 1, np.float32),), {"dims": (1, 0)})


def _permute_vjp(g: Any, _y: Any, _x: Any, *, dims: Amounts) -> tuple[Any]:
    return (row.permute(g, dims=inverse(dims)),)


PERMUTE = register(
    Op(
        "permute",
        _permute_type,
        lambda x, *, dims: x.transpose(dims),
        IndexMap(_permute_rule),
        _permute_vjp,
        lambda _base, value, *, dims: row.permute(value, dims=inverse(dims)),
        _permute_samples,
        lambda x, *, dims: np.einsum(x, list(range(x.ndim)), list(dims)),
    )
)

# ---------------------------------------------------------------------------------------- expand


def _expand_type(x: TensorType, *, shape: Shape) -> TensorType:
    if len(shape) != x.ndim:
        raise ShapeError(
            f"expand: the number of sizes provided ({len(shape)}) must be equal to the number of "
            f"dimensions in the tensor ({x.ndim})"
        )
    for d, (size, wanted) in enumerate(zip(x.shape, shape, strict=True)):
        if size not in (1, wanted):
            raise ShapeError(
                f"The expanded size of the tensor ({wanted}) must match the existing size ({size}) "
                f"at non-singleton dimension {d}.  Target sizes: {list(shape)}.  "
                f"Tensor sizes: {list(x.shape)}"
            )
    return x.with_shape(shape)


def _expand(x: Array, *, shape: tuple[int, ...]) -> Array:
    return x[...] if shape == x.shape else np.broadcast_to(x, shape)


def _expand_rule(index: Index, x: TensorType, *, shape: Shape) -> tuple[Source, ...]:
    del shape
    place = tuple(0 if size == 1 else i for i, size in zip(index, x.shape, strict=True))
    return (Source(0, place),)


def _expand_put(base: Any, value: Any, *, shape: Shape) -> Any:
    """Only an expansion that repeats nothing is ever written to."""
    old = tuple(base.shape)
    if old == tuple(shape):
        return value
    none, one = (0,) * len(old), (1,) * len(old)
    return row.slice(value, starts=none, stops=old, steps=one)


def _expand_samples() -> Iterable[Sample]:
    for x in arrays_of((2, 1, 3)):
        yield Sample((x,), {"shape": (2, 4, 3)})
        yield Sample((x,), {"shape": (2, 1, 3)})
    yield Sample((spread((1, 1), -1, 1, np.float64),), {"shape": (3, 0)})
    yield Sample((spread((), -1, 1, np.float64),), {"shape": ()})


EXPAND = register(
    Op(
        "expand",
        _expand_type,
        _expand,
        IndexMap(_expand_rule),
        lambda g, _y, _x, *, shape: (g,),  # noqa: ARG005 - the driver sums down
        _expand_put,
        _expand_samples,
        lambda x, *, shape: x + np.zeros(shape, x.dtype),
    )
)

# ----------------------------------------------------------------------------------------- slice


def slice_length(start: Int, stop: Int, step: int) -> Int:
    """How many elements ``range(start, stop, step)`` has, for ``start <= stop``."""
    return floordiv(stop - start + (step - 1), step)


def _slice_shape(
    name: str, x: TensorType, starts: Index, stops: Index, steps: Amounts
) -> tuple[Int, ...]:
    per_dim(name, x, starts=starts, stops=stops, steps=steps)
    shape: list[Int] = []
    for d, (size, start, stop, step) in enumerate(zip(x.shape, starts, stops, steps, strict=True)):
        if step < 1:
            raise ShapeError(f"{name}: step must be greater than zero, not {step} (dimension {d})")
        for bounds in ((0, start), (start, stop), (stop, size)):
            low, high = bounds
            if isinstance(low, int) and isinstance(high, int) and low > high:
                raise DimensionError(
                    f"{name}: {start}:{stop} lies outside of dimension {d} with size {size}"
                )
        shape.append(slice_length(start, stop, step))
    return tuple(shape)


def _slice_type(x: TensorType, *, starts: Index, stops: Index, steps: Amounts) -> TensorType:
    return x.with_shape(_slice_shape("slice", x, starts, stops, steps))


def _slices(starts: Amounts, stops: Amounts, steps: Amounts) -> tuple[slice, ...]:
    return tuple(map(slice, starts, stops, steps))


def _slice(x: Array, *, starts: Amounts, stops: Amounts, steps: Amounts) -> Array:
    places: tuple[Any, ...] = (*_slices(starts, stops, steps), ...)
    return np.asarray(x[places])  # the dots keep a view of zero-dim arrays


def _slice_rule(
    index: Index, _x: TensorType, *, starts: Index, stops: Index, steps: Amounts
) -> tuple[Source, ...]:
    del stops
    return (Source(0, tuple(i * k + a for i, a, k in zip(index, starts, steps, strict=True))),)


def _slice_vjp(
    g: Any, _y: Any, _x: Any, *, starts: Index, stops: Index, steps: Amounts
) -> tuple[Any]:
    """The cotangent back in its places among zeros."""
    del stops
    if any(step != 1 for step in steps):
        g = row.dilate(g, steps=steps)
    after = tuple(n - a - m for n, a, m in zip(_x.shape, starts, g.shape, strict=True))
    if not any(starts) and not any(after):
        return (g,)
    return (row.pad(g, before=tuple(starts), after=after, value=0),)


_SLICES: tuple[tuple[Amounts, Amounts, Amounts], ...] = (
    ((0, 1, 0), (2, 5, 4), (1, 1, 1)),
    ((0, 1, 1), (2, 5, 4), (1, 2, 2)),
    ((1, 0, 3), (2, 5, 4), (3, 3, 1)),
    ((0, 2, 0), (2, 2, 4), (1, 1, 1)),
    ((0, 0, 0), (2, 5, 4), (1, 1, 1)),
    ((2, 5, 0), (2, 5, 3), (1, 2, 2)),
)


def _slice_samples() -> Iterable[Sample]:
    for starts, stops, steps in _SLICES:
        for x in arrays_of((2, 5, 4)):
            yield Sample((x,), {"starts": starts, "stops": stops, "steps": steps})
    yield Sample((spread((), -1, 1, np.float64),), {"starts": (), "stops": (), "steps": ()})


def _positions(starts: Amounts, stops: Amounts, steps: Amounts) -> list[Array]:
    return [np.arange(*bounds) for bounds in zip(starts, stops, steps, strict=True)]


def _picked(x: Array, *, starts: Amounts, stops: Amounts, steps: Amounts) -> Array:
    """A slice taken as an outer index with lists."""
    if x.ndim == 0:
        return np.array(x)
    return np.asarray(x[np.ix_(*_positions(starts, stops, steps))])


SLICE = register(
    Op(
        "slice",
        _slice_type,
        _slice,
        IndexMap(_slice_rule),
        _slice_vjp,
        lambda base, value, **attrs: row.put_slice(base, value, **attrs),
        _slice_samples,
        _picked,
    )
)

# ------------------------------------------------------------------------------------- put_slice


def _put_slice_type(
    base: TensorType, value: TensorType, *, starts: Index, stops: Index, steps: Amounts
) -> TensorType:
    same_device(base, value)
    same_dtype("put_slice", base, value)
    shape = _slice_shape("put_slice", base, starts, stops, steps)
    if value.shape != shape:
        raise ShapeError(
            f"put_slice: a value of shape {list(value.shape)} cannot replace a slice of shape "
            f"{list(shape)}"
        )
    return base


def _put_slice(
    base: Array, value: Array, *, starts: Amounts, stops: Amounts, steps: Amounts
) -> Array:
    result: Array = base.copy()
    result[_slices(starts, stops, steps)] = value
    return result


def _put_slice_rule(
    index: Index,
    base: TensorType,
    value: TensorType,
    *,
    starts: Index,
    stops: Index,
    steps: Amounts,
) -> tuple[Source, ...]:
    conditions: list[Condition] = []
    place: list[Int] = []
    for d, (i, start, stop, step) in enumerate(zip(index, starts, stops, steps, strict=True)):
        inside = i - start
        if start != 0 or stop != base.shape[d]:
            conditions.append(InRange(inside, stop - start))
        if step != 1:
            conditions.append(Divisible(inside, step))
        place.append(floordiv(inside, step) if value.shape[d] != 1 else 0)
    return (Source(1, tuple(place), tuple(conditions)), Source(0, index))


def _put_slice_vjp(g: Any, _y: Any, _base: Any, _value: Any, **attrs: Any) -> tuple[Any, Any]:
    return lambda: row.put_slice(g, zeros_like(_value), **attrs), lambda: row.slice(g, **attrs)


def _put_slice_samples() -> Iterable[Sample]:
    for starts, stops, steps in _SLICES:
        attrs = {"starts": starts, "stops": stops, "steps": steps}
        for x in arrays_of((2, 5, 4)):
            value = (x * 0 + 1)[_slices(starts, stops, steps)].astype(x.dtype)
            yield Sample((x, value), attrs)


def _put_reference(
    base: Array, value: Array, *, starts: Amounts, stops: Amounts, steps: Amounts
) -> Array:
    result: Array = base.copy()
    result[np.ix_(*_positions(starts, stops, steps))] = value
    return result


PUT_SLICE = register(
    Op(
        "put_slice",
        _put_slice_type,
        _put_slice,
        IndexMap(_put_slice_rule),
        _put_slice_vjp,
        samples=_put_slice_samples,
        reference=_put_reference,
    )
)
