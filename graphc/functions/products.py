"""Matrix products and their relatives."""

from typing import Any

from graphc import dtypes
from graphc.errors import DtypeError, ShapeError
from graphc.functions.dims import normalise_dim
from graphc.functions.promotion import cast, promoted
from graphc.functions.registry import FUNCTIONS, tensor_function, write_out
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

_HALVES = (dtypes.float16, dtypes.bfloat16)


def same_dtype(name: str, *tensors: Tensor) -> None:
    if any(x.dtype is not tensors[0].dtype for x in tensors):
        found = " != ".join(str(x.dtype) for x in tensors)
        raise DtypeError(f"{name}: expected operands of the same dtype, but got: {found}")


def ranks(name: str, **expected: tuple[Tensor, int]) -> None:
    for argument, (x, rank) in expected.items():
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}(): {argument} must be a Tensor, not {type(x).__name__}")
        if x.ndim != rank:
            raise ShapeError(
                f"{name}: expected {argument} to have {rank} dimension{'s' * (rank != 1)}, but it "
                f"has {x.ndim}: {list(x.shape)}"
            )


def _reshape(x: Tensor, *shape: Any) -> Tensor:
    return apply(OPS["reshape"], (x,), {"shape": shape})


def _permute(x: Tensor, *dims: int) -> Tensor:
    return apply(OPS["permute"], (x,), {"dims": dims})


def _total(x: Tensor, dims: tuple[int, ...], keepdim: bool = False) -> Tensor:
    return apply(OPS["sum"], (x,), {"dims": dims, "keepdim": keepdim})


@tensor_function(out=True)
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product of vectors, matrices or batches of matrices, batches broadcast."""
    same_dtype("matmul", input, other)
    return apply(OPS["matmul"], (input, other), {})


def _product(name: str, first_rank: int, second_rank: int, second: str, text: str) -> None:
    def function(input: Tensor, other: Tensor) -> Tensor:
        ranks(name, input=(input, first_rank), **{second: (other, second_rank)})
        return matmul(input, other)  # type: ignore[no-any-return]

    function.__name__ = name
    function.__doc__ = text
    tensor_function(_renamed(function, second), name=name, out=True)


def _renamed(function: Any, second: str) -> Any:
    """The function with its second parameter under PyTorch's name for it."""

    def named(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if second in kwargs and not args:
            return function(input, kwargs.pop(second), **kwargs)  # type: ignore[no-any-return]
        return function(input, *args, **kwargs)  # type: ignore[no-any-return]

    named.__name__ = function.__name__
    named.__doc__ = function.__doc__
    return named


_product("mm", 2, 2, "mat2", "The product of two matrices.")
_product("bmm", 3, 3, "mat2", "The products of two batches of matrices.")
_product("mv", 2, 1, "vec", "The product of a matrix and a vector.")
_product("dot", 1, 1, "tensor", "The inner product of two vectors.")
_product("vdot", 1, 1, "other", "The inner product of two vectors (the first one conjugated).")


@tensor_function(out=True, aliases=("ger",))
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The matrix of all products of two vectors' elements."""
    ranks("outer", input=(input, 1), vec2=(vec2, 1))
    a, b = promoted("outer", input, vec2)
    return apply(OPS["mul"], (_reshape(a, a.shape[0], 1), b), {})


@tensor_function(out=True)
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last dimension of both; a zero-dim operand multiplies."""
    if not input.ndim or not other.ndim:
        a, b = promoted("inner", input, other)
        return apply(OPS["mul"], (a, b), {})
    if input.shape[-1] != other.shape[-1]:
        raise ShapeError(
            f"inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input.shape)} and {list(other.shape)}"
        )
    if input.ndim == other.ndim == 1:
        return FUNCTIONS["dot"](input, other)  # type: ignore[no-any-return]
    return tensordot(input, other, ([-1], [-1]))  # type: ignore[no-any-return]


# --------------------------------------------------------------------------- products and a sum


def _scale(value: Any, dtype: dtypes.dtype) -> Any:
    """A factor as a number of the result's dtype: fractions are cut off for integers."""
    if isinstance(value, Tensor) or dtype.is_floating_point:
        return value
    return bool(value) if dtype is dtypes.bool else int(value)


def _is(value: Any, number: int) -> bool:
    return not isinstance(value, Tensor) and value == number


def _plus(name: str, input: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    """``beta * input + alpha * product``; ``input`` broadcasts to the product, never beyond.

    With ``beta`` 0 the values of ``input`` do not matter, not even a NaN.
    """
    shape = tuple(product.shape)
    lead = len(shape) - input.ndim
    if lead < 0 or any(n not in (1, shape[lead + i]) for i, n in enumerate(input.shape)):
        raise ShapeError(
            f"{name}: The expanded size of the tensor {list(shape)} must match the existing size "
            f"of input {list(input.shape)} at every non-singleton dimension"
        )
    alpha, beta = _scale(alpha, product.dtype), _scale(beta, product.dtype)
    if not _is(alpha, 1):
        product = apply(OPS["mul"], (product, alpha), {})
    if _is(beta, 0):
        if not input.requires_grad:
            return product
        ignored = input._full_like(0).ne(1)
        input = apply(OPS["where"], (ignored, 0, input), {})
    elif not _is(beta, 1):
        input = apply(OPS["mul"], (input, beta), {})
    return apply(OPS["add"], (input, product), {})


def _accumulated(name: str, input: Tensor, a: Tensor, b: Tensor, beta: Any, alpha: Any) -> Tensor:
    """``beta * input + alpha * (a @ b)``: 16-bit floats are rounded once, at the end."""
    same_dtype(name, input, a, b)
    if input.dtype is dtypes.bool:
        raise NotImplementedError(f"{name} is not implemented for graphc.bool")
    dtype = input.dtype
    if dtype in _HALVES:
        input, a, b = (cast(x, dtypes.float32) for x in (input, a, b))
    return cast(_plus(name, input, matmul(a, b), beta, alpha), dtype)


@tensor_function(inplace=True, out=True)
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``."""
    ranks("addmm", mat1=(mat1, 2), mat2=(mat2, 2))
    return _accumulated("addmm", input, mat1, mat2, beta, alpha)


@tensor_function(inplace=True, out=True)
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat @ vec)``."""
    ranks("addmv", mat=(mat, 2), vec=(vec, 1))
    return _accumulated("addmv", input, mat, vec, beta, alpha)


@tensor_function(inplace=True, out=True)
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """``beta * input + alpha * (batch1 @ batch2)``, batched."""
    ranks("baddbmm", batch1=(batch1, 3), batch2=(batch2, 3))
    _batches("baddbmm", batch1, batch2)
    return _accumulated("baddbmm", input, batch1, batch2, beta, alpha)


@tensor_function(out=True)
def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """``beta * input + alpha * sum(batch1 @ batch2)``, summed over the batch."""
    ranks("addbmm", batch1=(batch1, 3), batch2=(batch2, 3))
    _batches("addbmm", batch1, batch2)
    rows = _permute(batch1, 1, 0, 2)  # one long product instead of a sum of many
    a = _reshape(rows, batch1.shape[1], batch1.shape[0] * batch1.shape[2])
    b = _reshape(batch2, batch2.shape[0] * batch2.shape[1], batch2.shape[2])
    return _accumulated("addbmm", input, a, b, beta, alpha)


@tensor_function(public=False)
def addbmm_(
    self: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """In-place version of :func:`addbmm`; a smaller tensor takes the shape of the result."""
    result = addbmm(self, batch1, batch2, beta=beta, alpha=alpha)
    return write_out(self, result, "addbmm_")


def _batches(name: str, a: Tensor, b: Tensor) -> None:
    if a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        raise ShapeError(
            f"{name}: Expected size for first two dimensions of batch2 tensor to be: "
            f"[{a.shape[0]}, {a.shape[2]}] but got: [{b.shape[0]}, {b.shape[1]}]."
        )


@tensor_function(inplace=True, out=True)
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * outer(vec1, vec2)``; the dtypes are promoted."""
    ranks("addr", vec1=(vec1, 1), vec2=(vec2, 1))
    input, a, b = promoted("addr", input, vec1, vec2)
    for name, value in (("beta", beta), ("alpha", alpha)):
        if isinstance(value, float) and not input.dtype.is_floating_point:
            raise RuntimeError(
                f"For integral input tensors, argument {name} must not be a floating point number."
            )
        if isinstance(value, bool) and input.dtype is not dtypes.bool:
            raise RuntimeError(f"Boolean {name} only supported for Boolean results.")
    a = apply(OPS["mul"], (a, _scale(alpha, a.dtype)), {})
    return _plus("addr", input, outer(a, b), beta, 1)


# ------------------------------------------------------------------------------- along dimensions


def _axes(given: Any, ndim: int) -> list[int]:
    axes = [given] if isinstance(given, int) else [int(d) for d in given]
    return [normalise_dim(d, ndim) for d in axes]


@tensor_function(method=False, out=True)
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Products summed over dimensions of both operands.

    ``dims`` is a number n (the last n of ``a`` with the first n of ``b``), or the dimensions of
    ``a`` and those of ``b``. A size 1 meets any size. Raises RuntimeError where sizes differ.
    """
    if isinstance(dims, Tensor):
        dims = dims.tolist()  # type: ignore[no-untyped-call]
    if isinstance(dims, (list, tuple)) and len(dims) == 1 and isinstance(dims[0], int):
        dims = dims[0]
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(
                f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims} for "
                f"{list(a.shape)} and {list(b.shape)}"
            )
        dims = (list(range(a.ndim - dims, a.ndim)), list(range(dims)))
    over_a, over_b = _axes(dims[0], a.ndim), _axes(dims[1], b.ndim)
    if len(over_a) != len(over_b):
        raise RuntimeError("both dimension lists should have same length")
    for axes in (over_a, over_b):
        if len(set(axes)) != len(axes):
            raise RuntimeError(f"dim {axes[0]} appears multiple times in the list of dims")
    if a.dtype is not b.dtype:
        raise DtypeError("both inputs should have same dtype")
    letters = iter("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    names_a = [next(letters) for _ in a.shape]
    names_b = [next(letters) for _ in b.shape]
    ones_a, ones_b = [], []  # contracted dimensions that only one operand has
    for i, j in zip(over_a, over_b, strict=True):
        if a.shape[i] == b.shape[j]:
            names_b[j] = names_a[i]
        elif b.shape[j] == 1 or a.shape[i] == 1:
            ones_a.append(i)
            ones_b.append(j)
        else:
            raise ShapeError(
                f"contracted dimensions need to match, but first has size {a.shape[i]} in dim {i} "
                f"and second has size {b.shape[j]} in dim {j}"
            )
    a, b = _total(a, tuple(sorted(ones_a))), _total(b, tuple(sorted(ones_b)))
    left = "".join(x for i, x in enumerate(names_a) if i not in ones_a)
    right = "".join(x for j, x in enumerate(names_b) if j not in ones_b)
    summed = {names_a[i] for i in over_a}
    out = "".join(x for x in left + right if x not in summed)
    return apply(OPS["contract"], (a, b), {"spec": f"{left},{right}->{out}"})


@tensor_function(out=True)
def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: every element of ``input`` times the whole of ``other``."""
    a, b = promoted("kron", input, other)
    rank = max(a.ndim, b.ndim)
    rows = (1,) * (rank - a.ndim) + tuple(a.shape)
    cols = (1,) * (rank - b.ndim) + tuple(b.shape)
    wide = _reshape(a, *(n for size in rows for n in (size, 1)))
    tall = _reshape(b, *(n for size in cols for n in (1, size)))
    product = apply(OPS["mul"], (wide, tall), {})
    return _reshape(product, *(m * n for m, n in zip(rows, cols, strict=True)))


def linalg_cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product along ``dim``, which has size 3; the others broadcast.

    Raises RuntimeError for another size or for operands of different ranks.
    """
    if input.ndim != other.ndim:
        raise ShapeError("linalg.cross: inputs must have the same number of dimensions.")
    axis = normalise_dim(dim, input.ndim)
    if not input.ndim or input.shape[axis] != 3 or other.shape[axis] != 3:
        raise ShapeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got "
            f"{input.shape[axis] if input.ndim else 1} and {other.shape[axis] if other.ndim else 1}"
        )
    same_dtype("linalg.cross", input, other)

    def turned(x: Tensor, by: int) -> Tensor:
        parts = (_stretch(x, axis, by, 3), _stretch(x, axis, 0, by))
        return apply(OPS["cat"], parts, {"dim": axis})

    first = apply(OPS["mul"], (turned(input, 1), turned(other, 2)), {})
    second = apply(OPS["mul"], (turned(input, 2), turned(other, 1)), {})
    return apply(OPS["sub"], (first, second), {})


def _stretch(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    starts = tuple(start if d == axis else 0 for d in range(x.ndim))
    stops = tuple(stop if d == axis else n for d, n in enumerate(x.shape))
    return apply(OPS["slice"], (x,), {"starts": starts, "stops": stops, "steps": (1,) * x.ndim})


linalg_cross = tensor_function(
    linalg_cross, name="linalg_cross", method=False, public=False, out=True
)


@tensor_function(out=True)
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along ``dim`` (default: the first dimension of size 3)."""
    if dim is None:
        if input.ndim != other.ndim:
            raise ShapeError("linalg.cross: inputs must have the same number of dimensions.")
        threes = [d for d, size in enumerate(input.shape) if size == 3]
        if not threes:
            raise ShapeError("no dimension of size 3 in input")
        dim = threes[0]
    return linalg_cross(input, other, dim=dim)  # type: ignore[no-any-return]


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """Inner products along ``dim``; the other dimensions broadcast. Floating-point only."""
    for each in (x, y):
        if not each.dtype.is_floating_point:
            raise DtypeError(
                "linalg.vecdot: Expected a floating point or complex tensor as input. Got "
                f"{each.dtype.type_name}"
            )
    same_dtype("linalg.vecdot", x, y)
    product = apply(OPS["mul"], (x, y), {})
    axis = normalise_dim(dim, product.ndim)
    return _total(product, (axis,) if product.ndim else ())


vecdot = tensor_function(vecdot, name="vecdot", method=False, public=False, out=True)


def _operator(self: Tensor, other: Any) -> Any:
    return matmul(self, other) if isinstance(other, Tensor) else NotImplemented


def _reflected(self: Tensor, other: Any) -> Any:
    return matmul(other, self) if isinstance(other, Tensor) else NotImplemented


setattr(Tensor, "__matmul__", _operator)  # noqa: B010 - mypy knows the declaration
setattr(Tensor, "__rmatmul__", _reflected)  # noqa: B010
