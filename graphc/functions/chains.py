"""Chains and powers of matrices: the cheapest order of products, traces, Vandermonde matrices."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from graphc import dtypes
from graphc.errors import DtypeError, ShapeError
from graphc.functions.products import matmul, ranks, same_dtype
from graphc.functions.promotion import cast
from graphc.functions.registry import FUNCTIONS, tensor_function
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

_HALVES = (dtypes.float16, dtypes.bfloat16)


def _reshape(x: Tensor, *shape: Any) -> Tensor:
    return apply(OPS["reshape"], (x,), {"shape": shape})


# -------------------------------------------------------------------------------- square matrices


@tensor_function
def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal; integers sum in int64."""
    if input.ndim != 2:
        raise ShapeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    return FUNCTIONS["sum"](FUNCTIONS["diagonal"](input))  # type: ignore[no-any-return]


def _square(name: str, input: Tensor) -> None:
    if input.ndim < 2:
        raise ShapeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if input.shape[-1] != input.shape[-2]:
        raise ShapeError(
            f"{name}: A must be batches of square matrices, but they are {input.shape[-2]} by "
            f"{input.shape[-1]} matrices"
        )


@tensor_function(out=True)
def matrix_power(input: Tensor, n: int) -> Tensor:
    """The ``n``-th power of square matrices, by squaring; a negative one powers the inverse."""
    _square("linalg.matrix_power", input)
    if not isinstance(n, int):
        raise TypeError(f"matrix_power(): argument 'n' must be int, not {type(n).__name__}")
    if n == 0:
        one = FUNCTIONS["eye"](input.shape[-1], dtype=input.dtype)
        never = apply(OPS["gt"], (one, 1), {})
        ones = apply(OPS["where"], (never, input, one), {})  # of the input's shape, on its tape
        return apply(OPS["sign"], (ones,), {}) if input.requires_grad else ones  # a constant
    if n < 0:
        from graphc import linalg

        input, n = linalg.inv(input), -n
    result: Tensor | None = None
    square = input
    while True:
        if n & 1:
            result = square if result is None else matmul(result, square)
        n >>= 1
        if not n:
            break
        square = matmul(square, square)
    assert result is not None
    return result.clone() if result is input else result  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------ chains of matrices


def _order(sizes: Sequence[int]) -> list[list[int]]:
    """Where to split each chain ``i..j`` of matrices ``sizes[i] x sizes[i + 1]``.

    Cormen et al., "Introduction to Algorithms", 15.2: fewest multiplications.
    """
    count = len(sizes) - 1
    cost: list[list[float]] = [[0.0] * count for _ in range(count)]
    split = [[0] * count for _ in range(count)]
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i][j] = math.inf
            for k in range(i, j):
                total = cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1]
                if total < cost[i][j]:
                    cost[i][j], split[i][j] = total, k
    return split


def _multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of two or more matrices in the cheapest order; the ends may be vectors.

    Raises RuntimeError for fewer than two tensors, other ranks, or sizes that do not fit.
    """
    given = list(tensors)
    if len(given) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(given)}")
    for i, x in enumerate(given):
        ends = i in (0, len(given) - 1)
        if x.ndim != 2 and not (ends and x.ndim == 1):
            raise ShapeError(
                f"multi_dot(): tensor {i} must be {'1D or 2D' if ends else '2D'} but got {x.ndim}D"
            )
    same_dtype("multi_dot", *given)
    drop_first, drop_last = given[0].ndim == 1, given[-1].ndim == 1
    if drop_first:
        given[0] = _reshape(given[0], 1, given[0].shape[0])
    if drop_last:
        given[-1] = _reshape(given[-1], given[-1].shape[0], 1)
    for i, (a, b) in enumerate(pairwise(given)):
        if a.shape[1] != b.shape[0]:
            raise ShapeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(tensors[i].shape)} and "
                f"{list(tensors[i + 1].shape)} cannot be multiplied"
            )
    split = _order([given[0].shape[0], *(x.shape[1] for x in given)])

    def chain(i: int, j: int) -> Tensor:
        if i == j:
            return given[i]
        return matmul(chain(i, split[i][j]), chain(split[i][j] + 1, j))  # type: ignore[no-any-return]

    result = chain(0, len(given) - 1)
    rows, cols = result.shape
    return _reshape(result, *(() if drop_first else (rows,)), *(() if drop_last else (cols,)))


multi_dot = tensor_function(_multi_dot, name="multi_dot", method=False, public=False, out=True)


@tensor_function(method=False)
def chain_matmul(*matrices: Tensor, out: Tensor | None = None) -> Tensor:
    """The product of matrices in the cheapest order; a single one is itself."""
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    for x in matrices:
        ranks("chain_matmul", matrix=(x, 2))
    if len(matrices) > 1:
        return multi_dot(matrices, out=out)  # type: ignore[no-any-return]
    return matrices[0] if out is None else out.copy_(matrices[0])  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------ powers of vectors


def _powers(name: str, x: Tensor, count: int) -> Tensor:
    if x.dtype is dtypes.bool or x.dtype in _HALVES:
        raise DtypeError(
            f"{name}: Expected a floating point, complex or integral tensor but got {x.dtype}"
        )
    if not x.dtype.is_floating_point:
        x = cast(x, dtypes.int64)
    one = x._full_like(1)
    powers = [one]
    for _ in range(count - 1):
        powers.append(apply(OPS["mul"], (powers[-1], x), {}) if len(powers) > 1 else x)
    if not count:
        return FUNCTIONS["zeros"](*x.shape, 0, dtype=x.dtype)  # type: ignore[no-any-return]
    columns = [_reshape(p, *x.shape, 1) for p in powers]
    return apply(OPS["cat"], columns, {"dim": x.ndim})


@tensor_function(method=False)
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:  # noqa: N803
    """The Vandermonde matrix of a vector: its powers as columns, the highest first."""
    if x.ndim != 1:
        raise ShapeError(f"x must be a one-dimensional tensor, but it has {x.ndim} dimensions")
    count = int(x.shape[0]) if N is None else N
    if count < 0:
        raise RuntimeError(f"N must be non-negative, not {count}")
    result = _powers("vander", x, count)
    return result if increasing else apply(OPS["flip"], (result,), {"dims": (1,)})


def linalg_vander(x: Tensor, *, N: int | None = None) -> Tensor:  # noqa: N803
    """Vandermonde matrices of (batches of) vectors: powers 0 to ``N - 1`` as columns."""
    if not x.ndim:
        x = _reshape(x, 1)
    count = int(x.shape[-1]) if N is None else N
    if count <= 1:
        raise RuntimeError("linalg.vander: N must be greater than 1.")
    return _powers("linalg.vander", x, count)
