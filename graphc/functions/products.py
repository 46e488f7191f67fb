"""Matrix products and their relatives."""

from typing import Any

from graphc.errors import ShapeError
from graphc.functions.promotion import promoted
from graphc.functions.registry import tensor_function
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _same_dtype(name: str, a: Tensor, b: Tensor) -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a.dtype} != "
                           f"{b.dtype} ({name})")  # fmt: skip


def _ranks(name: str, a: Tensor, b: Tensor, rank_a: int, rank_b: int) -> None:
    if a.ndim != rank_a or b.ndim != rank_b:
        raise ShapeError(
            f"{name}: expected operands of {rank_a} and {rank_b} dimensions, got {a.ndim} and "
            f"{b.ndim}: {list(a.shape)} and {list(b.shape)}"
        )


@tensor_function(out=True)
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product of vectors, matrices or batches of matrices, batches broadcast."""
    _same_dtype("matmul", input, other)
    return apply(OPS["matmul"], (input, other), {})


def _product(name: str, rank_a: int, rank_b: int, text: str) -> None:
    def function(input: Tensor, other: Tensor) -> Tensor:
        _ranks(name, input, other, rank_a, rank_b)
        return matmul(input, other)  # type: ignore[no-any-return]

    function.__name__ = name
    function.__doc__ = text
    tensor_function(function, out=True)


_product("mm", 2, 2, "The product of two matrices.")
_product("bmm", 3, 3, "The products of two batches of matrices.")
_product("mv", 2, 1, "The product of a matrix and a vector.")
_product("dot", 1, 1, "The inner product of two vectors.")


@tensor_function(out=True, aliases=("ger",))
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The matrix of all products of two vectors' elements."""
    _ranks("outer", input, vec2, 1, 1)
    a, b = promoted("outer", input, vec2)
    column = apply(OPS["reshape"], (a,), {"shape": (int(a.shape[0]), 1)})
    return apply(OPS["mul"], (column, b), {})


def _plus(input: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    if not (isinstance(alpha, (int, float)) and alpha == 1):
        product = product * alpha  # type: ignore[operator]
    if isinstance(beta, (int, float)) and beta == 0:
        return product
    if not (isinstance(beta, (int, float)) and beta == 1):
        input = input * beta  # type: ignore[operator]
    return input + product  # type: ignore[operator]


@tensor_function(inplace=True, out=True)
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``."""
    _ranks("addmm", mat1, mat2, 2, 2)
    return _plus(input, matmul(mat1, mat2), beta, alpha)


@tensor_function(inplace=True, out=True)
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat @ vec)``."""
    _ranks("addmv", mat, vec, 2, 1)
    return _plus(input, matmul(mat, vec), beta, alpha)


@tensor_function(inplace=True, out=True)
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """``beta * input + alpha * (batch1 @ batch2)``, batched."""
    _ranks("baddbmm", batch1, batch2, 3, 3)
    return _plus(input, matmul(batch1, batch2), beta, alpha)


def _operator(self: Tensor, other: Any) -> Any:
    return matmul(self, other) if isinstance(other, Tensor) else NotImplemented


setattr(Tensor, "__matmul__", _operator)  # noqa: B010 - mypy knows the declaration
