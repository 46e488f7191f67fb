"""The LU factorization with exchanged rows.

The row ``lu`` gives ``[..., m + 1, n]``: L below U, then the pivots, which count from 1 as LAPACK's
do, and zeros beyond them. L has ones on its diagonal, which are not stored.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import DtypeError, ShapeError
from graphc.ir import Op, Sample, TensorType, register
from graphc.ops.linalg.matrices import (
    FLOATS,
    HOST,
    above,
    as_column,
    batches,
    below,
    check_kernel,
    in_batch,
    join,
    least,
    matrices,
    part,
    product,
    right_of,
    rows,
    scipy_linalg,
    solve_upper,
    transposed,
    with_last_row,
)
from graphc.ops.rules import Array, row
from graphc.sizes import Int


def _lu_type(x: TensorType, *, strict: str) -> TensorType:
    del strict
    if x.ndim < 2:
        raise ShapeError(
            f"linalg.lu: Expected tensor with 2 or more dimensions. Got size: {list(x.shape)} "
            "instead"
        )
    check_kernel("lu_cpu", x)
    return x.with_shape((*x.shape[:-2], x.shape[-2] + 1, x.shape[-1]))


def _lu(x: Array, *, strict: str) -> Array:
    """A zero on U's diagonal is an error under the name ``strict``, if there is one."""
    m, n = x.shape[-2:]
    result = np.zeros((*x.shape[:-2], m + 1, n), x.dtype)
    if not result.size or not min(m, n):
        return result
    lapack = scipy_linalg("the LU factorization").lapack
    getrf = lapack.dgetrf if x.dtype == np.float64 else lapack.sgetrf
    for index, (matrix,) in batches(x):
        factors, pivots, info = getrf(matrix)
        if info > 0 and strict:
            raise RuntimeError(
                f"{strict}: {in_batch(x, index)}U[{info},{info}] is zero and using it on lu_solve "
                "would result in a division by zero. If you still want to perform the "
                "factorization, consider calling linalg.lu(A, pivot) or "
                "linalg.lu_factor_ex(A, pivot)"
            )
        result[index][:m] = factors
        result[index][m, : len(pivots)] = pivots + 1
    return result


def lu_parts(packed: Any) -> tuple[Any, Any]:
    """The factors in one matrix, and the pivots as integers."""
    m, n = packed.shape[-2] - 1, packed.shape[-1]
    k = least(m, n)
    last = rows(packed, m, m + 1)
    pivots = row.reshape(part(last, 0, k), shape=(*packed.shape[:-2], k))
    return rows(packed, 0, m), row.cast(pivots, dtype=dtypes.int32)


def permuted(x: Any, order: Any) -> Any:
    """``x`` with the rows in another order: row i is the operand's row ``order[i]``."""
    wide = row.expand(as_column(order), shape=tuple(x.shape))
    return row.gather(x, wide, dim=len(x.shape) - 2)


def _lu_vjp(g: Any, y: Any, _x: Any, *, strict: str) -> tuple[Any]:
    """``P L^-T (tril(L^T gL, -1) + triu(gU U^T)) U^-T`` of the leading square.

    What lies beside or below it adds to the cotangents of L and U there.
    """
    del strict
    factors, pivots = lu_parts(y)
    g, _ = lu_parts(g)
    m, n = factors.shape[-2:]
    k = least(m, n)
    square, gs = part(rows(factors, 0, k), 0, k), part(rows(g, 0, k), 0, k)
    lower, upper = below(square, -1), above(square)  # L has ones on its diagonal
    gl, gu = below(gs, -1), above(gs)
    left = gl + product(transposed(lower), gl)  # L^T gL
    right = product(gu, transposed(upper))
    pieces: list[Any] = []
    if m != k:  # L2 = A2 U^-1
        l2, g2 = rows(factors, k, m), rows(g, k, m)
        right = right - product(transposed(l2), g2)
        pieces.append(right_of(g2, upper))
    if n != k:  # U2 = L^-1 A2
        u2, g2 = part(factors, k, n), part(g, k, n)
        left = left - product(g2, transposed(u2))
        pieces.append(solve_upper(transposed(lower), g2, unit=True))
    inner = below(left, -1) + above(right)
    lead = right_of(solve_upper(transposed(lower), inner, unit=True), upper)
    whole = lead if not pieces else join([lead, *pieces], -2 if m != k else -1)
    return (permuted(whole, row.pivot_order(pivots, size=m, inverse=True)),)


def _lu_reference(x: Array, *, strict: str) -> Array:
    """Doolittle's elimination with partial pivoting, in float64."""
    del strict
    a = x.astype(np.float64)
    m, n = a.shape[-2:]
    pivots = np.zeros((*a.shape[:-2], min(m, n)))
    for index, (matrix,) in batches(a):
        exchanges = pivots[index]
        for k in range(min(m, n)):
            p = k + int(np.argmax(np.abs(matrix[k:, k])))
            matrix[[k, p]] = matrix[[p, k]]
            exchanges[k] = p + 1
            if matrix[k, k]:
                matrix[k + 1 :, k] /= matrix[k, k]
                matrix[k + 1 :, k + 1 :] -= np.outer(matrix[k + 1 :, k], matrix[k, k + 1 :])
    return with_last_row(a, pivots).astype(x.dtype)


def _lu_samples() -> Iterable[Sample]:
    for shape in (
        (3, 3),
        (4, 2),
        (2, 4),
        (2, 3, 3),
        (2, 3, 2),
        (2, 2, 3),
        (3, 0),
        (0, 2),
        (0, 2, 2),
    ):
        for dtype in FLOATS:
            x = np.flip(matrices(shape, dtype, 2), -2).copy()  # so that rows are exchanged
            yield Sample((x,), {"strict": "lu"})
    yield Sample((np.array([[1.0, 2.0], [2.0, 4.0]]),), {"strict": ""}, differentiable=False)


LU = register(Op("lu", _lu_type, _lu, HOST, _lu_vjp, samples=_lu_samples, reference=_lu_reference))


def _order_type(pivots: TensorType, *, size: Int, inverse: bool) -> TensorType:
    del inverse
    if pivots.dtype is not dtypes.int32:
        raise DtypeError(f"pivots are of dtype int32, not {pivots.dtype}")
    if not pivots.ndim:
        raise ShapeError("pivots need at least 1 dimension")
    return TensorType((*pivots.shape[:-1], size), dtypes.int64, pivots.device)


def _pivot_order(pivots: Array, *, size: int, inverse: bool) -> Array:
    """The order of rows after exchanging row k with row ``pivots[k] - 1``, for each k in turn.

    With ``inverse`` the order that puts them back.
    """
    lead = pivots.shape[:-1]
    swaps = pivots.reshape(math.prod(lead), pivots.shape[-1])
    if swaps.size and not ((swaps >= 1) & (swaps <= size)).all():
        raise RuntimeError(
            f"pivots have to be between 1 and LU.size(-2) = {size} inclusive; did you call this "
            "function with the output of lu_factor?"
        )
    order = np.tile(np.arange(size, dtype=np.int64), (len(swaps), 1))
    every = np.arange(len(swaps))
    for k in range(swaps.shape[1]):
        p = swaps[:, k] - 1
        first = order[:, k].copy()
        order[:, k] = order[every, p]
        order[every, p] = first
    if inverse:
        order = np.argsort(order, -1)
    return order.reshape(*lead, size)


def _order_reference(pivots: Array, *, size: int, inverse: bool) -> Array:
    orders = []
    for swaps in pivots.reshape(math.prod(pivots.shape[:-1]), pivots.shape[-1]).tolist():
        order = list(range(size))
        for k, p in enumerate(swaps):
            order[k], order[p - 1] = order[p - 1], order[k]
        orders.append([order.index(i) for i in range(size)] if inverse else order)
    return np.array(orders, np.int64).reshape(*pivots.shape[:-1], size)


PIVOT_ORDER = register(
    Op(
        "pivot_order",
        _order_type,
        _pivot_order,
        HOST,
        samples=lambda: [
            Sample((np.array(pivots, np.int32),), {"size": size, "inverse": inverse})
            for inverse in (False, True)
            for pivots, size in (
                ([3, 2, 3], 3),
                ([[2, 4], [1, 2]], 4),
                ([[[1]], [[3]]], 3),
                (np.zeros((2, 0)), 2),
                (np.zeros((0, 2)), 2),
            )
        ],
        reference=_order_reference,
    )
)

__all__ = ["LU", "PIVOT_ORDER", "lu_parts", "permuted"]
