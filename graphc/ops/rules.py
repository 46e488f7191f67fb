"""What rows have in common: type rules, samples, constructors of whole rows.

Rules of gradients and decompositions call other rows through :data:`row`: ``row.exp(x)`` is the
registered operation ``exp``, looked up when the rule runs.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from itertools import pairwise
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.errors import DimensionError, DtypeError, ShapeError, hinted
from graphc.ir import OPS, Decompose, Lowering, Op, Sample, Scalar, TensorType, register
from graphc.ops.evaluation import HALVES as HALVES
from graphc.ops.evaluation import Quiet
from graphc.ops.operands import ByRule, infer_rule
from graphc.sizes import Int

Array = np.ndarray[Any, Any]
Shape = tuple[Int, ...]


class _Rows:
    """The registry with attribute access."""

    def __getattr__(self, name: str) -> Op:
        return OPS[name]


row = _Rows()


def full_like(like: Any, value: bool | int | float, dtype: DType | None = None) -> Any:
    """A constant operand with the shape (and, unless given, the dtype) of ``like``."""
    attrs = {
        "value": value,
        "shape": tuple(like.shape),
        "dtype": dtype or like.dtype,
        "device": like.device,
    }
    return like.__apply__(OPS["full"], (), attrs)


def zeros_like(like: Any) -> Any:
    return full_like(like, 0)


# ------------------------------------------------------------------------------------ type rules


class Kind(Enum):
    """The dtypes a row accepts."""

    FLOAT = "floating-point"
    NUMBER = "integer or floating-point"
    INTEGER = "integer"
    INTEGRAL = "integer or boolean"
    ANY = "any"

    def accepts(self, dtype: DType) -> bool:
        if self is Kind.ANY:
            return True
        if dtype.is_floating_point:
            return self in (Kind.FLOAT, Kind.NUMBER)
        if dtype is dtypes.bool:
            return self is Kind.INTEGRAL
        return self is not Kind.FLOAT


def broadcast(*shapes: Shape) -> Shape:
    """The common shape; sizes agree when equal or 1. Named sizes agree only with themselves."""
    first = shapes[0]
    if all(shape == first for shape in shapes[1:]):
        return first
    result = list(first)
    for shape in shapes[1:]:
        longer, shorter = (result, shape) if len(result) >= len(shape) else (list(shape), result)
        lead = len(longer) - len(shorter)
        merged = list(longer)
        for i, size in enumerate(shorter):
            dim = lead + i
            other = longer[dim]
            if size == other or size == 1:
                continue
            if other != 1:
                a, b = (other, size) if longer is result else (size, other)
                raise ShapeError(
                    f"The size of tensor a ({a}) must match the size of tensor b ({b}) at "
                    f"non-singleton dimension {dim}"
                )
            merged[dim] = size
        result = merged
    return tuple(result)


def check_kind(name: str, type: TensorType, kind: Kind) -> None:
    if not kind.accepts(type.dtype):
        raise DtypeError(f"{name} needs a tensor of {kind.value} dtype, not {type.dtype}")


def same_dtype(name: str, *types: TensorType) -> DType:
    """The dtype that all operands share; promotion has happened before a row is applied."""
    dtype = types[0].dtype
    for type in types[1:]:
        if type.dtype is not dtype:
            found = ", ".join(str(t.dtype) for t in types)
            raise DtypeError(f"{name} needs operands of one dtype, not {found}")
    return dtype


def same_device(*types: TensorType) -> None:
    device = types[0].device
    for type in types[1:]:
        if type.device != device:
            raise hinted(
                RuntimeError(
                    "Expected all tensors to be on the same device, but found at least two "
                    f"devices, {device} and {type.device}!"
                ),
                f"move one of them with .to({str(device)!r})",
            )


def pointwise_type(name: str, *types: TensorType) -> TensorType:
    """Operands of one dtype and device, broadcast."""
    first = types[0]
    if len(types) == 1:
        return first
    same_device(*types)
    return TensorType(broadcast(*(t.shape for t in types)), same_dtype(name, *types), first.device)


def normalise_dim(dim: int, ndim: int) -> int:
    """A dimension counted from the front; a zero-dimensional tensor has dimension 0 too."""
    limit = max(ndim, 1)
    if not -limit <= dim < limit:
        raise DimensionError(
            f"Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], "
            f"but got {dim})"
        )
    return dim % limit


def check_dims(name: str, dims: Sequence[int], ndim: int) -> None:
    """Attributes ``dims`` of a row: in range, ascending, each once."""
    for dim in dims:
        if not 0 <= dim < ndim:
            normalise_dim(dim, ndim)
            raise DimensionError(f"{name}: dim {dim} of a tensor with {ndim} dimensions")
    if any(a >= b for a, b in pairwise(dims)):
        if len(set(dims)) < len(dims):
            repeated = next(d for i, d in enumerate(dims) if d in dims[:i])
            raise ShapeError(f"dim {repeated} appears multiple times in the list of dims ({name})")
        raise DimensionError(f"{name}: dims {dims} are not in ascending order")


def reduced_shape(shape: Shape, dims: Sequence[int], keepdim: bool) -> Shape:
    if keepdim:
        return tuple(1 if i in dims else size for i, size in enumerate(shape))
    return tuple(size for i, size in enumerate(shape) if i not in dims)


def restored(g: Any, like: Any, dims: Sequence[int], keepdim: bool) -> Any:
    """A reduced operand with its dims put back and expanded to the shape of ``like``."""
    shape = tuple(like.shape)
    if not keepdim and dims:
        g = row.reshape(g, shape=reduced_shape(shape, dims, True))
    return row.expand(g, shape=shape) if tuple(g.shape) != shape else g


def kept(g: Any, like: Any, dims: Sequence[int], keepdim: bool) -> Any:
    """A reduced operand with its dims put back as size 1, ready to broadcast."""
    if keepdim or not dims:
        return g
    return row.reshape(g, shape=reduced_shape(tuple(like.shape), dims, True))


# --------------------------------------------------------------------------------------- samples

_SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, np.inf, -np.inf, np.nan, 1e-40, 1e30)
_INTEGERS = (0, 1, 2, 3, 5, 100, 127, -1, -2, -7, -128)


def spread(shape: tuple[int, ...], low: float, high: float, dtype: Any, salt: int = 0) -> Array:
    """Reproducible values between ``low`` and ``high``, no two alike and none at a simple spot."""
    count = int(np.prod(shape))
    fractions = (np.arange(1, count + 1) * 0.6180339887498949 + 0.137 * (salt + 1)) % 1.0
    return (low + (high - low) * fractions).reshape(shape).astype(dtype)


def special(dtype: Any) -> Array:
    """Zeros of both signs, infinities, NaN, a subnormal and a huge number."""
    with np.errstate(all="ignore"):
        return np.array(_SPECIAL, np.float32).astype(dtype)


def integers(dtype: Any, nonzero: bool = False) -> Array:
    """Small and extreme integers of the dtype."""
    limits = np.iinfo(dtype)
    values = {*(v for v in _INTEGERS if limits.min <= v <= limits.max), limits.min, limits.max}
    return np.array(sorted(values - {0} if nonzero else values), dtype)


def unary_samples(
    domain: tuple[float, float], kind: Kind, attrs: Sequence[dict[str, Any]] = ({},)
) -> Callable[[], Iterable[Sample]]:
    """Arrays that try a one-operand row: dtypes, empty and zero-dim, special values."""
    low, high = domain

    def samples() -> Iterable[Sample]:
        for each in attrs:
            if kind in (Kind.FLOAT, Kind.NUMBER, Kind.ANY):
                yield Sample((spread((2, 3), low, high, np.float64),), each)
                yield Sample((spread((3, 4), low, high, np.float32, 1),), each)
                yield Sample((spread((), low, high, np.float32, 2),), each)
                yield Sample((np.empty((0, 3), np.float32),), each)
                for half in sorted(HALVES, key=str):
                    yield Sample((spread((5,), low, high, half, 3),), each)
                for dtype in (np.float32, np.float64):
                    yield Sample((special(dtype),), each, differentiable=False)
            if kind is not Kind.FLOAT:
                for name in ("int64", "int32", "int16", "int8", "uint8"):
                    yield Sample((integers(name),), each)
            if kind in (Kind.INTEGRAL, Kind.ANY):
                yield Sample((np.array([[True], [False]]),), each)

    return samples


def binary_samples(
    domains: Sequence[tuple[float, float]],
    kind: Kind,
    attrs: Sequence[dict[str, Any]] = ({},),
    nonzero: bool = False,
) -> Callable[[], Iterable[Sample]]:
    """Arrays that try a row of several operands, broadcasting included."""
    count = len(domains)

    def grid(values: Array, last: Array | None = None) -> tuple[Array, ...]:
        """Every combination of the values, by broadcasting."""
        shapes = [tuple(-1 if i == j else 1 for j in range(count)) for i in range(count)]
        arrays = [values] * count
        if last is not None:
            arrays[-1] = last
        return tuple(a.reshape(shape) for a, shape in zip(arrays, shapes, strict=True))

    def floats(shapes: Sequence[tuple[int, ...]], dtype: Any, salt: int) -> tuple[Array, ...]:
        return tuple(
            spread(shape, low, high, dtype, salt + 3 * i)
            for i, (shape, (low, high)) in enumerate(zip(shapes, domains, strict=False))
        )

    def samples() -> Iterable[Sample]:
        for each in attrs:
            if kind in (Kind.FLOAT, Kind.NUMBER, Kind.ANY):
                yield Sample(floats([(2, 3)] * count, np.float64, 0), each)
                yield Sample(floats([(2, 1), (3,), ()], np.float64, 1), each)
                yield Sample(floats([(3, 4), (4,), (3, 1)], np.float32, 2), each)
                yield Sample(floats([(), (2, 1, 2), (2,)], np.float32, 3), each)
                yield Sample(floats([(0, 3), (1, 3), ()], np.float32, 4), each)
                for half in sorted(HALVES, key=str):
                    yield Sample(floats([(5,)] * count, half, 5), each)
                for dtype in (np.float32, np.float64):
                    yield Sample(grid(special(dtype)), each, differentiable=False)
            if kind is not Kind.FLOAT:
                for name in ("int64", "int32", "int16", "int8", "uint8"):
                    yield Sample(grid(integers(name), integers(name, nonzero)), each)
            if kind in (Kind.INTEGRAL, Kind.ANY):
                yield Sample(grid(np.array([True, False])), each)

    return samples


# ----------------------------------------------------------------------------- constructors of rows


def elementwise(
    name: str,
    operands: int,
    c: str | Lowering,
    numpy: Callable[..., Any],
    vjp: Callable[..., tuple[Any, ...]] | None = None,
    *,
    kind: Kind = Kind.FLOAT,
    predicate: bool = False,
    domains: Sequence[tuple[float, float]] = (),
    attrs: Sequence[dict[str, Any]] = ({},),
    nonzero: bool = False,
    refusals: dict[DType, str] | None = None,
    samples: Callable[[], Iterable[Sample]] | None = None,
    reference: Any = None,
) -> Op:
    """A registered row with one scalar expression per element of the broadcast operands.

    predicate  the result is boolean whatever the operands are
    domains    where each operand is sampled for gradients
    nonzero    integer samples of the last operand avoid zero
    samples    in place of those made from ``domains``, ``attrs`` and ``kind``
    refusals   PyTorch's own words for dtypes that are not accepted
    reference  the torch name when it differs from ``name``, or a function
    """
    lowering = Scalar(c) if isinstance(c, str) else c

    def infer(*types: TensorType, **_attrs: Any) -> TensorType:
        result = pointwise_type(name, *types)
        if refusals and result.dtype in refusals:
            raise DtypeError(refusals[result.dtype])
        check_kind(name, result, kind)
        return result.with_dtype(dtypes.bool) if predicate else result

    ranges = tuple(domains) or ((-3.0, 3.0),) * operands
    if samples is None and operands == 1:
        samples = unary_samples(ranges[0], kind, attrs)
    elif samples is None:
        samples = binary_samples(ranges, kind, attrs, nonzero)
    return register(
        Op(name, infer, Quiet(numpy), lowering, vjp, samples=samples, reference=reference or name)
    )


def unary(
    name: str,
    c: str | Lowering,
    numpy: Callable[..., Any],
    vjp: Callable[..., tuple[Any, ...]] | None = None,
    **options: Any,
) -> Op:
    """A row of one operand; see :func:`elementwise`."""
    return elementwise(name, 1, c, numpy, vjp, **options)


def binary(
    name: str,
    c: str | Lowering,
    numpy: Callable[..., Any],
    vjp: Callable[..., tuple[Any, ...]] | None = None,
    **options: Any,
) -> Op:
    """A row of two broadcast operands of one dtype; see :func:`elementwise`."""
    return elementwise(name, 2, c, numpy, vjp, **options)


def comparison(name: str, c: str, numpy: Callable[..., Any]) -> Op:
    """A row of two operands of any dtype whose result is boolean."""
    return elementwise(name, 2, c, numpy, kind=Kind.ANY, predicate=True)


def _rounded_once(rule: Callable[..., Any]) -> Callable[..., Any]:
    def once(*operands: Any, **attrs: Any) -> Any:
        half = next((x.dtype for x in operands if x.dtype.numpy in HALVES), None)
        if half is None:
            return rule(*operands, **attrs)
        widened = (row.cast(x, dtype=dtypes.float32) if x.dtype is half else x for x in operands)
        return row.cast(rule(*widened, **attrs), dtype=half)

    return once


def composite(
    name: str,
    rule: Callable[..., Any],
    vjp: Callable[..., tuple[Any, ...]] | None = None,
    *,
    infer: Callable[..., TensorType] | None = None,
    numpy: Callable[..., Any] | None = None,
    wide: bool = False,
    samples: Callable[[], Iterable[Sample]],
    reference: Any = None,
) -> Op:
    """A registered row that is written in terms of other rows.

    rule   the decomposition, on any operands
    infer  a type rule, where that of the decomposition would say too little on bad input
    numpy  a faster evaluation of the same values
    wide   halves are computed in float32 and rounded once, as rows of one expression do it;
           the gradient too
    """
    if wide:
        rule = _rounded_once(rule)
    evaluate = ByRule(rule) if numpy is None else Quiet(numpy)
    return register(
        Op(
            name,
            infer or infer_rule(rule),
            evaluate,
            Decompose(rule),
            vjp,
            samples=samples,
            reference=reference or name,
            wide=wide,
        )
    )
