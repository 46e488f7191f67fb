"""Differences of neighbours, and what is made of them: integrals and derivatives of samples."""

from collections.abc import Sequence
from typing import Any

from graphc import dtypes
from graphc.errors import DimensionError
from graphc.functions.dims import normalise_dim
from graphc.functions.promotion import cast, common_dtype
from graphc.functions.registry import tensor_function
from graphc.functions.scans import cumsum
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _part(x: Tensor, axis: int, start: int, stop: int | None = None) -> Tensor:
    """``x[start:stop]`` along one dim."""
    begin, end, _ = slice(start, stop).indices(x.shape[axis])
    return x.narrow(axis, begin, max(end - begin, 0))  # type: ignore[no-any-return]


def _joined(parts: Sequence[Tensor], axis: int) -> Tensor:
    dtype = common_dtype(parts)
    return apply(OPS["cat"], [cast(x, dtype) for x in parts], {"dim": axis})


# ------------------------------------------------------------------------------------- differences


@tensor_function(out=True)
def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """The ``n``-th differences of neighbours along ``dim``, with elements put before or after.

    Of bools, whether neighbours differ. Raises RuntimeError for a tensor without dimensions, a
    negative ``n``, and parts whose other dimensions do not fit.
    """
    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    axis = normalise_dim(dim, input.ndim)
    for part in (prepend, append):
        if part is not None:
            _check_part(input, part, axis)
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    if n == 0:
        return apply(OPS["clone"], (input,), {})
    given = [x for x in (prepend, input, append) if x is not None]
    result = _joined(given, axis) if len(given) > 1 else input
    subtract = OPS["logical_xor" if result.dtype is dtypes.bool else "sub"]
    for _ in range(min(n, result.shape[axis])):
        result = apply(subtract, (_part(result, axis, 1), _part(result, axis, 0, -1)), {})
    return apply(OPS["clone"], (result,), {}) if result is input else result


def _check_part(input: Tensor, part: Tensor, axis: int) -> None:
    if part.ndim != input.ndim:
        raise RuntimeError("diff expects prepend or append to be the same dimension as input")
    for d, (mine, theirs) in enumerate(zip(input.shape, part.shape, strict=True)):
        if mine != theirs and d != axis:
            raise RuntimeError(
                "diff expects the shape of tensor to prepend or append to match that of input "
                f"except along the differencing dimension; input.size({d}) = {mine}, but got "
                f"tensor.size({d}) = {theirs}"
            )


# --------------------------------------------------------------------------------------- integrals


def _refuse_bool(name: str, what: str, *operands: Tensor) -> None:
    if any(x.dtype is dtypes.bool for x in operands):
        raise RuntimeError(f"{name}: received a bool input for {what}, but bool is not supported")


def _widths(name: str, y: Tensor, x: Tensor, axis: int) -> Tensor:
    """The distances between sample points, in a shape that broadcasts with ``y``."""
    shape = tuple(x.shape)
    if x.ndim == 1:
        if x.shape[0] != y.shape[axis]:
            raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
        shape = tuple(x.shape[0] if d == axis else 1 for d in range(y.ndim))
    elif x.ndim < y.ndim:
        shape = (1,) * (y.ndim - x.ndim) + shape
    points = apply(OPS["reshape"], (x,), {"shape": shape})
    return _part(points, axis, 1) - _part(points, axis, 0, -1)  # type: ignore[no-any-return]


def _sampled(name: str, y: Tensor, x: Tensor | None, dx: Any, dim: int) -> int:
    """The dim of the samples, counted from the front, once the arguments are found to fit."""
    if x is not None and dx is not None:
        raise TypeError(f"{name}() takes the sample points x or their distance dx, not both")
    if not y.ndim:
        raise DimensionError(f"Dimension specified as {dim} but tensor has no dimensions")
    if x is None:
        _refuse_bool(name, "`y`", y)
    else:
        _refuse_bool(name, "`x` or `y`", x, y)
    return normalise_dim(dim, y.ndim)


def _pairs(y: Tensor, axis: int) -> Tensor:
    return _part(y, axis, 0, -1) + _part(y, axis, 1)  # type: ignore[no-any-return]


@tensor_function(method=False, aliases=("trapz",))
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral of samples ``y`` along ``dim`` by the trapezoidal rule.

    ``x`` are the sample points (a vector, or a shape that broadcasts with that of ``y``), ``dx``
    is their distance where it is constant (default 1). No samples integrate to 0.
    """
    axis = _sampled("trapezoid", y, x, dx, dim)
    if not y.shape[axis]:
        return cast(y.sum(axis), y.dtype)
    if x is not None:
        areas = _pairs(y, axis) * _widths("trapezoid", y, x, axis)
        return areas.sum(axis) / 2.0  # type: ignore[no-any-return]
    ends = (y.select(axis, 0) + y.select(axis, -1)) * 0.5
    return (y.sum(axis) - ends) * float(1 if dx is None else dx)  # type: ignore[no-any-return]


@tensor_function(method=False)
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1
) -> Tensor:
    """The integral up to each sample but the first along ``dim``; see :func:`trapezoid`."""
    axis = _sampled("cumulative_trapezoid", y, x, dx, dim)
    if x is not None:
        areas = _pairs(y, axis) * _widths("cumulative_trapezoid", y, x, axis)
        return cumsum(areas, axis) / 2.0  # type: ignore[no-any-return]
    return cumsum(_pairs(y, axis) * (float(1 if dx is None else dx) / 2.0), axis)  # type: ignore[no-any-return]


# -------------------------------------------------------------------------------------- derivatives


@tensor_function(method=False)
def gradient(
    input: Tensor, *, spacing: Any = None, dim: Any = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """The derivative along each dim (or those of ``dim``), from samples: one tensor a dim.

    Inside by the parabola through three neighbours, at the borders by the line through two or
    (``edge_order=2``) the parabola. ``spacing`` is the distance of samples (default 1), one for
    each dim, or the coordinates themselves, a vector for each dim. Raises RuntimeError for dims
    shorter than ``edge_order + 1``.
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"gradient(): input must be a Tensor, not {type(input).__name__}")
    if isinstance(spacing, Tensor):
        raise TypeError("gradient(): spacing must be a number, or a sequence of numbers or tensors")
    given = None if dim is None else [dim] if isinstance(dim, int) else list(dim)
    spacings = _spacings(input, spacing, given)
    if input.dtype is dtypes.uint8:
        raise RuntimeError("torch.gradient does not support uint8 input.")
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    axes = [normalise_dim(d, input.ndim) for d in (range(input.ndim) if given is None else given)]
    for d in axes:
        if axes.count(d) > 1:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
        if input.ndim == 0 or input.shape[d] < edge_order + 1:
            raise RuntimeError(
                "torch.gradient expected each dimension size to be at least edge_order+1"
            )
    return tuple(
        _derivative(input, axis, each, edge_order)
        for axis, each in zip(axes, spacings, strict=True)
    )


def _spacings(input: Tensor, spacing: Any, dims: list[int] | None) -> list[Any]:
    """What was given for each dim."""
    count = input.ndim if dims is None else len(dims)
    if not isinstance(spacing, (list, tuple)):
        return [1 if spacing is None else spacing] * count
    if len(spacing) != count:
        wanted = (
            f"a list of length equal to 'self.dim() = {count}', since dim argument was not given"
            if dims is None
            else "it's spacing and dim arguments to have the same length"
        )
        raise RuntimeError(
            f"torch.gradient expected spacing to be unspecified, a scalar or {wanted}, but got a "
            f"list of length {len(spacing)}"
        )
    for each in spacing:
        if isinstance(each, Tensor) and each.ndim != 1:
            raise RuntimeError(
                "torch.gradient expected each element of spacing to have one dimension, but got an "
                f"element with {each.ndim} dimensions!"
            )
    return list(spacing)


def _derivative(x: Tensor, axis: int, spacing: Any, edge_order: int) -> Tensor:
    if isinstance(spacing, Tensor):
        steps = diff(spacing).reshape(tuple(-1 if d == axis else 1 for d in range(x.ndim)))
        return _uneven(x, axis, steps, edge_order)
    middle: Any = _part(x, axis, 2) - _part(x, axis, 0, -2)
    if edge_order == 1:
        first: Any = _part(x, axis, 1, 2) - _part(x, axis, 0, 1)
        last: Any = _part(x, axis, -1) - _part(x, axis, -2, -1)
    else:
        first = _weighed(x, axis, 0, (-1.5, 2.0, -0.5))
        last = _weighed(x, axis, -3, (0.5, -2.0, 1.5))
    # Python numbers: a half stays a half.
    return _joined([first / spacing, middle / (2 * spacing), last / spacing], axis)


def _weighed(x: Tensor, axis: int, start: int, weights: Sequence[Any]) -> Any:
    """Neighbours from ``start`` on, one for each weight, scaled and added."""
    begin = start % x.shape[axis]
    parts = [w * _part(x, axis, begin + i, begin + i + 1) for i, w in enumerate(weights)]
    return parts[0] + parts[1] + parts[2]


def _uneven(x: Tensor, axis: int, steps: Any, edge_order: int) -> Tensor:
    """With the distance of neighbours in ``steps``: Lagrange's parabola through three points."""
    left, right = _part(steps, axis, 0, -1), _part(steps, axis, 1)
    both = left + right
    middle: Any = (
        -right / (left * both) * _part(x, axis, 0, -2)
        + (right - left) / (left * right) * _part(x, axis, 1, -1)
        + left / (right * both) * _part(x, axis, 2)
    )
    if edge_order == 1:
        first = (_part(x, axis, 1, 2) - _part(x, axis, 0, 1)) / _part(steps, axis, 0, 1)
        last = (_part(x, axis, -1) - _part(x, axis, -2, -1)) / _part(steps, axis, -1)
    else:
        a, b = _part(steps, axis, 0, 1), _part(steps, axis, 1, 2)
        weights = (-(2.0 * a + b) / (a * (a + b)), (a + b) / (a * b), -a / (b * (a + b)))
        first = _weighed(x, axis, 0, weights)
        a, b = _part(steps, axis, -2, -1), _part(steps, axis, -1)
        weights = (b / (a * (a + b)), -(a + b) / (a * b), (2.0 * b + a) / (b * (a + b)))
        last = _weighed(x, axis, -3, weights)
    return _joined([first, middle, last], axis)
