"""Norms of vectors and matrices, and what scales by them.

``graphc.norm`` is here with ``graphc.linalg``'s ``norm``, ``vector_norm`` and ``matrix_norm``.
Gradients are subgradients: 0 where a norm is 0.
"""

import math
from typing import Any

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.errors import DimensionError, DtypeError, ShapeError
from graphc.functions.dims import Dims, normalise_dim, normalise_dims
from graphc.functions.promotion import cast
from graphc.functions.registry import tensor_function
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

_HALVES = (dtypes.float16, dtypes.bfloat16)


def _reduced(row: str, x: Tensor, dims: tuple[int, ...], keepdim: bool = False) -> Tensor:
    return apply(OPS[row], (x,), {"dims": dims, "keepdim": keepdim})


def _checked(name: str, x: Any, dtype: DType | None) -> Tensor:
    """The operand in the dtype to compute in. Raises RuntimeError for one that would narrow it."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}")
    if not x.dtype.is_floating_point:
        raise DtypeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {x.dtype.type_name}"
        )
    if dtype is None:
        return x
    if not dtype.is_floating_point:
        raise DtypeError(f"{name}: dtype should be floating point or complex. Got {dtype}")
    if dtypes.promote_types(x.dtype, dtype) is not dtype:
        raise DtypeError(
            f"{name}: the dtype of the input ({x.dtype}) should be convertible without narrowing "
            f"to the specified dtype ({dtype})"
        )
    return cast(x, dtype)


def _vector(x: Tensor, p: float, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    attrs = {"p": float(p), "dims": dims, "keepdim": keepdim}
    return apply(OPS["vector_norm"], (x,), attrs)


def _order(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}(): the order must be a number, not {type(value).__name__}")
    return float(value)


# ------------------------------------------------------------------------------------------ vectors


def vector_norm(
    input: Tensor,
    ord: Any = 2,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """The vector norm of order ``ord`` over ``dim`` (default: all elements).

    ``inf`` and ``-inf`` take the largest and smallest size, 0 counts what is not zero. Raises
    RuntimeError for integers and for empty dimensions where the order has no identity.
    """
    x = _checked("linalg.vector_norm", input, dtype)
    return _vector(x, _order("linalg_vector_norm", ord), _dims(dim, x.ndim), keepdim)


def _dims(dim: Dims, ndim: int) -> tuple[int, ...]:
    return normalise_dims(dim, ndim, "linalg.vector_norm")


vector_norm = tensor_function(vector_norm, method=False, public=False, out=True)

# ----------------------------------------------------------------------------------------- matrices


def _matrix_dims(name: str, dim: Any, ndim: int) -> tuple[int, int]:
    if len(tuple(dim)) != 2:
        raise ShapeError(f"{name}: dim must be a 2-tuple. Got {list(dim)}")
    if ndim < 2:
        raise ShapeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    a, b = (normalise_dim(d, ndim) for d in dim)
    if a == b:
        raise ShapeError(f"{name}: dims must be different. Got ({dim[0]}, {dim[1]})")
    return a, b


def _singular_values(x: Tensor, rows: int, cols: int) -> Tensor:
    """The singular values in a last dimension, the matrix dimensions taken out."""
    from graphc import linalg

    rest = [d for d in range(x.ndim) if d not in (rows, cols)]
    matrices = apply(OPS["permute"], (x,), {"dims": (*rest, rows, cols)})
    return linalg.svdvals(matrices)  # type: ignore[no-any-return]


def _with_ones(result: Tensor, dims: tuple[int, ...]) -> Tensor:
    """A reduced result with dimensions of size 1 in the places of ``dims``."""
    shape = list(result.shape)
    for d in sorted(dims):
        shape.insert(d, 1)
    return apply(OPS["reshape"], (result,), {"shape": tuple(shape)})


def _matrix(name: str, x: Tensor, order: Any, dims: tuple[int, int], keepdim: bool) -> Tensor:
    rows, cols = dims
    if order == "fro":
        return _vector(x, 2, tuple(sorted(dims)), keepdim)
    if order == "nuc" or (not isinstance(order, str) and abs(order) == 2):
        if x.dtype in _HALVES:
            raise DtypeError(f"{name}: Low precision dtypes not supported. Got {x.dtype.type_name}")
        values = _singular_values(x, rows, cols)
        last = (values.ndim - 1,)
        row = "sum" if order == "nuc" else _extreme(name, order, values, last[0])
        result = _reduced(row, values, last)
        return _with_ones(result, dims) if keepdim else result
    if isinstance(order, str):
        raise RuntimeError(f"{name}: Order {order} not supported.")
    if abs(order) not in (1, math.inf):
        raise RuntimeError(f"{name}: Order {order} not supported.")
    summed, compared = (rows, cols) if abs(order) == 1 else (cols, rows)
    sums = _vector(x, 1, (summed,), True)
    result = _reduced(_extreme(name, order, sums, compared), sums, (compared,), True)
    if keepdim:
        return result
    shape = tuple(n for d, n in enumerate(result.shape) if d not in dims)
    return apply(OPS["reshape"], (result,), {"shape": shape})


def _extreme(name: str, order: float, x: Tensor, dim: int) -> str:
    """The row that compares along ``dim``: nothing has norm 0, but no smallest part."""
    if x.shape[dim] != 0:
        return "amax" if order > 0 else "amin"
    if order > 0:
        return "sum"
    raise DimensionError(
        f"{name}: Expected reduction dim {dim} to have non-zero size for order {order}."
    )


def matrix_norm(
    input: Tensor,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """The norm of matrices: 'fro', 'nuc', or an order of 1, 2, inf and their negatives."""
    x = _checked("linalg.matrix_norm", input, dtype)
    if not isinstance(ord, str):
        ord = _order("linalg_matrix_norm", ord)
    dims = _matrix_dims("linalg.matrix_norm", dim, x.ndim)
    return _matrix("linalg.matrix_norm", x, ord, dims, keepdim)


matrix_norm = tensor_function(matrix_norm, method=False, public=False, out=True)


def linalg_norm(
    input: Tensor,
    ord: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """The vector norm over one ``dim``, the matrix norm over two, or by the rank of ``input``.

    Without ``ord`` the 2-norm of the elements. Raises RuntimeError where neither fits.
    """
    if dim is not None:
        dim = (dim,) if isinstance(dim, int) else tuple(dim)
        if len(dim) not in (1, 2):
            raise ShapeError(
                f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dim)}"
            )
    x = _checked("linalg.norm", input, dtype)
    if ord is None:
        return _vector(x, 2, _dims(dim, x.ndim), keepdim)
    if dim is None and x.ndim not in (1, 2):
        raise ShapeError(
            "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
            f"{x.ndim}D."
        )
    if (len(dim) if dim is not None else x.ndim) == 2:
        if not isinstance(ord, str):
            ord = _order("linalg_norm", ord)
        dims = _matrix_dims("linalg.matrix_norm", (0, 1) if dim is None else dim, x.ndim)
        return _matrix("linalg.matrix_norm", x, ord, dims, keepdim)
    if isinstance(ord, str):
        raise RuntimeError(f"linalg.norm: Order {ord} of vectors is not supported.")
    return _vector(x, _order("linalg_norm", ord), _dims(dim, x.ndim), keepdim)


linalg_norm = tensor_function(linalg_norm, name="linalg_norm", method=False, public=False, out=True)


@tensor_function(out=True)
def norm(
    input: Tensor,
    p: Any = "fro",
    dim: Dims = None,
    keepdim: bool = False,
    dtype: DType | None = None,
) -> Tensor:
    """The vector p-norm over ``dim``; 'fro' is the 2-norm, 'nuc' the sum of singular values.

    All elements without ``dim``. Raises RuntimeError for integers and unknown words.
    """
    x = _checked("norm", input, None)
    if dtype is not None:
        x = cast(x, dtype)
    if p == "nuc":
        dims = tuple(range(x.ndim)) if dim is None else (dim,) if isinstance(dim, int) else dim
        return _matrix("linalg.matrix_norm", x, "nuc", _matrix_dims("norm", dims, x.ndim), keepdim)
    if p is None or p == "fro":
        return _vector(x, 2, _dims(dim, x.ndim), keepdim)
    if isinstance(p, str):
        raise RuntimeError(f"only valid string values are 'fro' and 'nuc', found {p}")
    return _vector(x, _order("norm", p), _dims(dim, x.ndim), keepdim)


# ------------------------------------------------------------------------------------------ scaling


@tensor_function(inplace=True, out=True)
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Every slice along ``dim`` whose p-norm exceeds ``maxnorm`` scaled down to it."""
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    if input.ndim < 2:
        raise ShapeError(f"renorm: input needs at least 2 dimensions, got {input.ndim} dimensions")
    axis = normalise_dim(dim, input.ndim)
    others = tuple(d for d in range(input.ndim) if d != axis)
    wide = cast(input, dtypes.float32) if input.dtype in _HALVES else input
    size = _vector(wide, p, others, True)
    shrunk = apply(OPS["div"], (maxnorm, apply(OPS["add"], (size, 1e-7), {})), {})
    factor = apply(OPS["where"], (size.gt(maxnorm), shrunk, 1), {})
    return apply(OPS["mul"], (input, cast(factor, input.dtype)), {})
