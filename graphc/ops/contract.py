"""Products that sum: ``contract`` and what is written with it (matmul, linear, dot, outer).

``contract(a, b, spec="mk,kn->mn")`` is the sum over the letters that the result lacks. A letter
stands in at least two of (a, b, result), and plays one of four parts: *batch* (in all three),
*rows* (a and result), *cols* (b and result), *depth* (a and b, summed). The gradients are
contractions of the same letters.
"""

import string
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from graphc.errors import DtypeError, ShapeError
from graphc.ir import Contract, Op, Sample, TensorType, register
from graphc.ops.evaluation import Quiet
from graphc.ops.rules import (
    HALVES,
    Array,
    Kind,
    Shape,
    broadcast,
    check_kind,
    composite,
    row,
    same_device,
    same_dtype,
    spread,
)
from graphc.sizes import Int, product


@lru_cache(maxsize=4096)
def letters(spec: str) -> tuple[str, str, str]:
    """The letters of both operands and of the result. Raises ShapeError for anything else."""
    inputs, arrow, out = spec.partition("->")
    a, comma, b = inputs.partition(",")
    if not arrow or not comma or (a + b + out).strip(string.ascii_letters):
        raise ShapeError(f"contract: expected a spec such as 'mk,kn->mn', not {spec!r}")
    for part in (a, b, out):
        if len(set(part)) != len(part):
            raise ShapeError(f"contract: a letter is repeated within {part!r} of {spec!r}")
    for letter in {*a, *b, *out}:
        if (letter in a) + (letter in b) + (letter in out) < 2:
            raise ShapeError(
                f"contract: {letter!r} of {spec!r} stands alone; sum it or repeat it outside"
            )
    return a, b, out


def _contract_type(a: TensorType, b: TensorType, *, spec: str) -> TensorType:
    in_a, in_b, out = letters(spec)
    same_device(a, b)
    dtype = same_dtype("contract", a, b)
    check_kind("contract", a, Kind.NUMBER)
    sizes: dict[str, Int] = {}
    for operand, named in ((a, in_a), (b, in_b)):
        if operand.ndim != len(named):
            raise ShapeError(
                f"contract: {spec!r} names {len(named)} dimensions of an operand of shape "
                f"{list(operand.shape)}"
            )
        for letter, size in zip(named, operand.shape, strict=True):
            known = sizes.setdefault(letter, size)
            if known != size:
                raise ShapeError(
                    f"contract: {letter!r} of {spec!r} has size {known} in the first operand and "
                    f"{size} in the second"
                )
    return TensorType(tuple(sizes[letter] for letter in out), dtype, a.device)


# ------------------------------------------------------------------------------------ evaluation


@dataclass(frozen=True)
class Plan:
    """A contraction as one (batched) matrix product of transposed and merged operands.

    ``swap`` exchanges the operands where the result wants columns first. ``lhs`` and ``rhs``
    transpose them to (batch, rows, depth) and (batch, depth, cols); the counts say how many dims
    each part merges; ``out`` transposes the product, or is None.
    """

    swap: bool
    lhs: tuple[int, ...]
    rhs: tuple[int, ...]
    batch: int
    rows: int
    cols: int
    depth: int
    out: tuple[int, ...] | None


@lru_cache(maxsize=4096)
def plan(spec: str) -> Plan:
    """How a contraction maps on a matrix product."""
    a, b, out = letters(spec)
    first = next((x for x in out if (x in a) != (x in b)), "")
    swap = bool(first) and first not in a
    if swap:
        a, b = b, a
    batch = [x for x in out if x in a and x in b]
    rows = [x for x in out if x in a and x not in b]
    cols = [x for x in out if x in b and x not in a]
    depth = [x for x in a if x in b and x not in out]
    made = [*batch, *rows, *cols]
    order = tuple(made.index(x) for x in out)
    return Plan(
        swap,
        tuple(a.index(x) for x in (*batch, *rows, *depth)),
        tuple(b.index(x) for x in (*batch, *depth, *cols)),
        len(batch),
        len(rows),
        len(cols),
        len(depth),
        None if order == tuple(range(len(out))) else order,
    )


def fit_for_blas(x: Array) -> Array:
    """The matrices of ``x`` as BLAS takes them: NumPy multiplies any others element by element."""
    item = x.itemsize
    down, right = x.strides[-2:]
    if right == item and (down >= item * x.shape[-1] or x.shape[-2] == 1):
        return x
    if down == item and (right >= item * x.shape[-2] or x.shape[-1] == 1):
        return x
    return np.ascontiguousarray(x)


def multiply(a: Array, b: Array) -> Array:
    """``a @ b`` of (stacks of) matrices, through BLAS where the dtype allows."""
    return np.asarray(np.matmul(fit_for_blas(a), fit_for_blas(b)))


def _evaluate(a: Array, b: Array, *, spec: str) -> Array:
    p = plan(spec)
    if p.swap:
        a, b = b, a
    a, b = a.transpose(p.lhs), b.transpose(p.rhs)
    if p.rows == p.cols == p.depth == 1:
        result = multiply(a, b)
    else:
        batch = a.shape[: p.batch]
        rows = a.shape[p.batch : p.batch + p.rows]
        depth = a.shape[p.batch + p.rows :]
        cols = b.shape[p.batch + p.depth :]
        m, k, n = _count(rows), _count(depth), _count(cols)
        a, b = a.reshape((*batch, m, k)), b.reshape((*batch, k, n))
        result = multiply(a, b) if depth else np.multiply(a, b)
        result = result.reshape((*batch, *rows, *cols))
    return np.asarray(result) if p.out is None else np.asarray(result).transpose(p.out)


def _count(sizes: tuple[int, ...]) -> int:
    count = 1
    for size in sizes:
        count *= size
    return count


def _vjp(g: Any, _y: Any, a: Any, b: Any, *, spec: str) -> tuple[Any, Any]:
    """Each operand's cotangent is the contraction of the other two, to its own letters."""
    in_a, in_b, out = letters(spec)
    return (
        lambda: row.contract(g, b, spec=f"{out},{in_b}->{in_a}"),
        lambda: row.contract(a, g, spec=f"{in_a},{out}->{in_b}"),
    )


_SPECS = (
    "mk,kn->mn",
    "mk,kn->nm",
    "km,nk->mn",
    "km,nk->nm",
    "bmk,bkn->bmn",
    "mbk,nkb->mbn",
    "bmk,bnk->mnb",
    "bhqd,bhkd->bhqk",
    "bqhd,bkhd->bhqk",
    "k,k->",
    "mk,k->m",
    "k,kn->n",
    "bk,bk->b",
    "m,n->mn",
    "m,n->nm",
    "b,b->b",
    "bm,bn->bmn",
    "abk,kc->abc",
    "akb,ckd->acbd",
    "ncxij,ocij->nox",
    "abij,ijc->acb",
    "abij,jic->acb",
    ",n->n",
    "n,->n",
    ",->",
)


def _samples() -> Iterable[Sample]:
    size = {x: 2 + i % 3 for i, x in enumerate("bmknhqdacxijo")}
    for spec in _SPECS:
        a, b, _ = letters(spec)
        shapes = tuple(size[x] for x in a), tuple(size[x] for x in b)
        for dtype in (np.float64, np.float32):
            yield Sample(
                (spread(shapes[0], -2, 2, dtype), spread(shapes[1], -2, 2, dtype, 1)),
                {"spec": spec},
            )
        halves = tuple(spread(s, -2, 2, sorted(HALVES, key=str)[i]) for i, s in enumerate(shapes))
        yield Sample((halves[0], halves[1].astype(halves[0].dtype)), {"spec": spec})
    for name in ("int64", "int32", "int8", "uint8"):
        arrays = spread((3, 5), 0, 120, name), spread((5, 2), 0, 120, name, 1)
        yield Sample(arrays, {"spec": "mk,kn->mn"})
    for m, k, n in ((0, 3, 2), (2, 0, 3), (2, 3, 0)):
        arrays = spread((m, k), -1, 1, np.float32), spread((k, n), -1, 1, np.float32)
        yield Sample(arrays, {"spec": "mk,kn->mn"})
    wide = spread((8, 10), -1, 1, np.float32)
    yield Sample((wide[::2, ::3], wide[::2, ::-3].T), {"spec": "mk,kn->mn"})
    infinite = np.array([[np.inf, 0.0], [np.nan, 1.0]], np.float32)
    yield Sample((infinite, wide[:2, :3]), {"spec": "mk,kn->mn"}, differentiable=False)


def _reference(a: Array, b: Array, *, spec: str) -> Array:
    return np.asarray(np.einsum(spec, _wide(a), _wide(b))).astype(a.dtype)


CONTRACT = register(
    Op(
        "contract",
        _contract_type,
        Quiet(_evaluate),
        Contract(),
        _vjp,
        samples=_samples,
        reference=_reference,
    )
)

# ---------------------------------------------------------------------------------------- matmul


def _by(sizes: Iterable[Int]) -> str:
    return "x".join(map(str, sizes))


def _matrix_dtype(name: str, a: TensorType, b: TensorType) -> None:
    if a.dtype is not b.dtype:
        found = " != ".join(t.dtype.type_name.lower() for t in (a, b))
        raise DtypeError(f"expected m1 and m2 to have the same dtype, but got: {found}")
    same_device(a, b)
    check_kind(name, a, Kind.NUMBER)


def _matmul_type(a: TensorType, b: TensorType) -> TensorType:
    if not a.ndim or not b.ndim:
        raise ShapeError(
            f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D"
        )
    _matrix_dtype("matmul", a, b)
    depth = a.shape[-1]
    if depth != (b.shape[-2] if b.ndim > 1 else b.shape[-1]):
        raise ShapeError(_misfit(a.shape, b.shape))
    batch = broadcast(a.shape[:-2], b.shape[:-2])
    return a.with_shape((*batch, *a.shape[-2:-1], *(b.shape[-1:] if b.ndim > 1 else ())))


def _misfit(a: Shape, b: Shape) -> str:
    """PyTorch's words for an inner size that differs; they depend on the dimensions."""
    if len(a) == len(b) == 1:
        return (
            f"inconsistent tensor size, expected tensor [{a[0]}] and src [{b[0]}] to have the same "
            f"number of elements, but got {a[0]} and {b[0]} elements respectively"
        )
    if len(b) == 1:
        return (
            f"size mismatch, got input ({product(a[:-1])}), mat ({product(a[:-1])}x{a[-1]}), "
            f"vec ({b[0]})"
        )
    if len(a) <= 2 or len(b) <= 2:
        left = (product(a[:-1]), a[-1])
        if len(b) > 2:
            return f"mat1 and mat2 shapes cannot be multiplied ({_by(left)} and {_by(b[-2:])})"
        return f"mat1 and mat2 shapes cannot be multiplied ({_by(left)} and {_by(b)})"
    batch = product(broadcast(a[:-2], b[:-2]))
    return (
        f"Expected size for first two dimensions of batch2 tensor to be: [{batch}, {a[-1]}] but "
        f"got: [{batch}, {b[-2]}]."
    )


def _matmul_letters(a: Shape, b: Shape) -> tuple[str, str, str, Shape, Shape]:
    """Letters of ``a``, ``b`` and the product, and both shapes without broadcast batch dims.

    A batch dim of size 1 that the other operand repeats is dropped before the contraction.
    """
    batch = broadcast(a[:-2], b[:-2])
    names = string.ascii_lowercase[: len(batch)]

    def side(shape: Shape, inner: str) -> tuple[str, Shape]:
        lead = shape[:-2]
        offset = len(batch) - len(lead)
        kept = [i for i, size in enumerate(lead) if size == batch[offset + i]]
        own = inner if len(shape) > 1 else "K"
        return (
            "".join(names[offset + i] for i in kept) + own,
            (*(lead[i] for i in kept), *shape[-2:]),
        )

    in_a, shape_a = side(a, "MK")
    in_b, shape_b = side(b, "KN")
    out = names + ("M" if len(a) > 1 else "") + ("N" if len(b) > 1 else "")
    return in_a, in_b, out, shape_a, shape_b


def _as(x: Any, shape: Shape) -> Any:
    return x if tuple(x.shape) == shape else row.reshape(x, shape=shape)


def _matmul(a: Any, b: Any) -> Any:
    in_a, in_b, out, shape_a, shape_b = _matmul_letters(tuple(a.shape), tuple(b.shape))
    return row.contract(_as(a, shape_a), _as(b, shape_b), spec=f"{in_a},{in_b}->{out}")


def _matmul_vjp(g: Any, _y: Any, a: Any, b: Any) -> tuple[Any, Any]:
    old_a, old_b = tuple(a.shape), tuple(b.shape)
    in_a, in_b, out, shape_a, shape_b = _matmul_letters(old_a, old_b)
    return (
        lambda: _as(row.contract(g, _as(b, shape_b), spec=f"{out},{in_b}->{in_a}"), old_a),
        lambda: _as(row.contract(_as(a, shape_a), g, spec=f"{in_a},{out}->{in_b}"), old_b),
    )


def _fast_matmul(a: Array, b: Array) -> Array:
    if a.ndim > 1:
        if a.ndim > 2 and b.ndim == 2 and a.flags.c_contiguous:  # one product, not a stack
            rows = a.reshape(_count(a.shape[:-1]), a.shape[-1])
            return multiply(rows, b).reshape(*a.shape[:-1], b.shape[-1])
        a = fit_for_blas(a)
    return np.asarray(np.matmul(a, fit_for_blas(b) if b.ndim > 1 else b))


def _matmul_samples() -> Iterable[Sample]:
    for old, other in (
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 4)),
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3,)),
        ((3,), (5, 3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((5, 2, 3), (5, 3, 4)),
        ((5, 2, 3), (1, 3, 4)),
        ((1, 2, 3), (5, 3, 4)),
        ((2, 1, 2, 3), (4, 3, 2)),
        ((1, 1, 2, 3), (1, 3, 2)),
        ((1, 2, 3), (3, 2)),
    ):
        for dtype in (np.float64, np.float32):
            yield Sample((spread(old, -2, 2, dtype), spread(other, -2, 2, dtype, 1)))
    yield Sample((spread((0, 3), -2, 2, np.float32), spread((3, 2), -2, 2, np.float32)))
    yield Sample((spread((2, 0), -2, 2, np.float32), spread((0, 2), -2, 2, np.float32)))
    yield Sample((spread((2, 3, 0), -2, 2, np.float32), spread((0, 2), -2, 2, np.float32)))
    yield Sample((spread((2, 3), -9, 9, np.int64), spread((3, 2), -9, 9, np.int64)))
    for half in sorted(HALVES, key=str):
        yield Sample((spread((2, 3), -2, 2, half), spread((3, 2), -2, 2, half, 1)))


def _wide(x: Array) -> Array:
    return x.astype(np.float64 if x.dtype.kind not in "iu" else np.int64)


MATMUL = composite(
    "matmul",
    _matmul,
    _matmul_vjp,
    infer=_matmul_type,
    numpy=_fast_matmul,
    samples=_matmul_samples,
    reference=lambda a, b: np.asarray(np.matmul(_wide(a), _wide(b))).astype(a.dtype),
)

# ---------------------------------------------------------------------------------------- linear


def _linear_type(x: TensorType, w: TensorType, *bias: TensorType) -> TensorType:
    if not x.ndim or w.ndim not in (1, 2):
        raise ShapeError(
            f"linear: expected input of at least 1D and weight of 1D or 2D, but they are "
            f"{x.ndim}D and {w.ndim}D"
        )
    for other in (w, *bias):
        _matrix_dtype("linear", x, other)
    if x.shape[-1] != w.shape[-1]:
        if w.ndim == 1:
            raise ShapeError(_misfit(x.shape, w.shape))
        left = (product(x.shape[:-1]), x.shape[-1])
        raise ShapeError(
            f"mat1 and mat2 shapes cannot be multiplied ({_by(left)} and {_by(w.shape[::-1])})"
        )
    result = x.with_shape((*x.shape[:-1], *w.shape[:-1]))
    if bias and broadcast(result.shape, bias[0].shape) != result.shape:
        raise ShapeError(
            f"The expanded size of the tensor ({result.shape[-1] if result.shape else 1}) must "
            f"match the existing size ({bias[0].shape[-1]}) at non-singleton dimension "
            f"{result.ndim - 1}.  Target sizes: {list(result.shape)}.  "
            f"Tensor sizes: {list(bias[0].shape)}"
        )
    return result


def _linear_letters(x: Any, w: Any) -> tuple[str, str, str]:
    lead = string.ascii_lowercase[: len(x.shape) - 1]
    cols = "N" if len(w.shape) == 2 else ""
    return f"{lead}K", f"{cols}K", f"{lead}{cols}"


def _linear(x: Any, w: Any, *bias: Any) -> Any:
    in_x, in_w, out = _linear_letters(x, w)
    y = row.contract(x, w, spec=f"{in_x},{in_w}->{out}")
    return y + bias[0] if bias else y


def _linear_vjp(g: Any, _y: Any, x: Any, w: Any, *_bias: Any) -> tuple[Any, ...]:
    in_x, in_w, out = _linear_letters(x, w)
    return (
        lambda: row.contract(g, w, spec=f"{out},{in_w}->{in_x}"),
        lambda: row.contract(g, x, spec=f"{out},{in_x}->{in_w}"),
        *(g for _ in _bias),
    )


def _fast_linear(x: Array, w: Array, *bias: Array) -> Array:
    y = _fast_matmul(x, w.T)
    if bias:
        y += bias[0]
    return y


def _linear_samples() -> Iterable[Sample]:
    for dtype in (np.float64, np.float32):
        w, b = spread((4, 3), -2, 2, dtype), spread((4,), -2, 2, dtype, 1)
        for shape in ((3,), (2, 3), (5, 2, 3), (0, 3)):
            x = spread(shape, -2, 2, dtype, 2)
            yield Sample((x, w))
            yield Sample((x, w, b))
        yield Sample((x, w[0], b[0]))
    for half in sorted(HALVES, key=str):
        yield Sample(tuple(spread(s, -2, 2, half, i) for i, s in enumerate(((2, 3), (4, 3), (4,)))))


def _linear_reference(x: Array, w: Array, *bias: Array) -> Array:
    y = np.einsum("...k,nk->...n" if w.ndim == 2 else "...k,k->...", _wide(x), _wide(w))
    return np.asarray(y + (_wide(bias[0]) if bias else 0)).astype(x.dtype)


LINEAR = composite(
    "linear",
    _linear,
    _linear_vjp,
    infer=_linear_type,
    numpy=_fast_linear,
    wide=True,
    samples=_linear_samples,
    reference=_linear_reference,
)

# ------------------------------------------------------------------------------------ dot, outer


def _vectors(name: str) -> Any:
    def infer(a: TensorType, b: TensorType) -> TensorType:
        if a.ndim != 1 or b.ndim != 1:
            raise ShapeError(f"1D tensors expected, but got {a.ndim}D and {b.ndim}D tensors")
        if name == "outer":
            return a.with_shape((a.shape[0], b.shape[0]))
        if a.dtype is not b.dtype:
            raise DtypeError(
                f"dot : expected both vectors to have same dtype, but found {a.dtype.type_name} "
                f"and {b.dtype.type_name}"
            )
        if a.shape != b.shape:
            raise ShapeError(_misfit(a.shape, b.shape))
        check_kind(name, a, Kind.NUMBER)
        return a.with_shape(())

    return infer


def _vector_samples(*lengths: int) -> Iterable[Sample]:
    for dtype in (np.float64, np.float32, np.int64):
        a = spread((lengths[0],), -5, 5, dtype)
        yield Sample((a, spread((lengths[1],), -5, 5, dtype, 1)))
        yield Sample((a[:0], a[:0]))


DOT = composite(
    "dot",
    lambda a, b: row.contract(a, b, spec="k,k->"),
    lambda g, _y, a, b: (lambda: g * b, lambda: g * a),
    infer=_vectors("dot"),
    numpy=np.dot,
    samples=lambda: _vector_samples(5, 5),
    reference=lambda a, b: np.asarray(sum(_wide(a) * _wide(b))).astype(a.dtype),
)
OUTER = composite(
    "outer",
    lambda a, b: row.reshape(a, shape=(a.shape[0], 1)) * row.reshape(b, shape=(1, b.shape[0])),
    lambda g, _y, a, b: (
        lambda: row.contract(g, b, spec="mn,n->m"),
        lambda: row.contract(a, g, spec="m,mn->n"),
    ),
    infer=_vectors("outer"),
    numpy=np.multiply.outer,
    samples=lambda: _vector_samples(3, 4),
    reference=lambda a, b: np.array(
        [[x * y for y in b.tolist()] for x in a.tolist()], a.dtype
    ).reshape(a.size, b.size),
)
