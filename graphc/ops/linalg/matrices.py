"""What the rows of LAPACK have in common: checks, matrices built from rows, arrays in batches.

Every row takes stacks of matrices ``[..., m, n]``. Checks raise with PyTorch's words under the name
of the public function, so that rows and public functions say the same. NumPy evaluates what it has;
the rest comes from SciPy, which is imported when it is first needed.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.errors import DtypeError, LinAlgError, ShapeError
from graphc.ir import Host
from graphc.ops.rules import Array, full_like, row, spread, zeros_like
from graphc.sizes import Int

HOST = Host()

# ------------------------------------------------------------------------------------------ checks


def check_matrix(name: str, x: Any, argument: str = "A") -> None:
    """At least two dimensions."""
    if len(x.shape) < 2:
        raise ShapeError(f"{name}: The input tensor {argument} must have at least 2 dimensions.")


def check_square(name: str, x: Any, argument: str = "A") -> None:
    """A stack of square matrices."""
    check_matrix(name, x, argument)
    m, n = x.shape[-2:]
    if m != n:
        raise ShapeError(
            f"{name}: {argument} must be batches of square matrices, but they are {m} by {n} "
            "matrices"
        )


def check_floating(name: str, x: Any, kernel: str = "") -> None:
    """float32 or float64. Halves raise NotImplementedError where PyTorch names a kernel."""
    if not x.dtype.is_floating_point:
        raise DtypeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {x.dtype.type_name}"
        )
    if kernel:
        check_kernel(kernel, x)
    elif x.dtype.itemsize < 4:
        raise DtypeError(f"{name}: Low precision dtypes not supported. Got {x.dtype.type_name}")


def check_kernel(kernel: str, x: Any) -> None:
    """float32 or float64, else NotImplementedError with the name of PyTorch's kernel."""
    if not x.dtype.is_floating_point or x.dtype.itemsize < 4:
        raise NotImplementedError(f'"{kernel}" not implemented for {x.dtype.type_name!r}')


def least(m: Int, n: Int) -> Int:
    """The smaller of two sizes."""
    if m == n:
        return m
    if isinstance(m, int) and isinstance(n, int):
        return min(m, n)
    raise ShapeError(f"which of the sizes {m} and {n} is smaller has to be known")


# -------------------------------------------------------------------- matrices as rows build them


def transposed(x: Any) -> Any:
    """``x.mT``."""
    n = len(x.shape)
    return row.permute(x, dims=(*range(n - 2), n - 1, n - 2))


def part(x: Any, start: Int, stop: Int, dim: int = -1) -> Any:
    """``x[..., start:stop]``, or that of another dimension counted from the back."""
    shape = tuple(x.shape)
    axis = len(shape) + dim
    if (start, stop) == (0, shape[axis]):
        return x
    return row.slice(
        x,
        starts=tuple(start if d == axis else 0 for d in range(len(shape))),
        stops=tuple(stop if d == axis else size for d, size in enumerate(shape)),
        steps=(1,) * len(shape),
    )


def rows(x: Any, start: Int, stop: Int) -> Any:
    """``x[..., start:stop, :]``."""
    return part(x, start, stop, -2)


def join(matrices: Sequence[Any], dim: int = -1) -> Any:
    """Matrices side by side, or (``dim=-2``) on top of each other."""
    return row.cat(*matrices, dim=len(matrices[0].shape) + dim)


def as_row(x: Any) -> Any:
    """A vector as a matrix of one row: it scales columns."""
    return row.reshape(x, shape=(*x.shape[:-1], 1, x.shape[-1]))


def as_column(x: Any) -> Any:
    """A vector as a matrix of one column: it scales rows."""
    return row.reshape(x, shape=(*x.shape, 1))


def as_vector(x: Any) -> Any:
    """A matrix of one row or one column as a vector."""
    m, n = x.shape[-2:]
    return row.reshape(x, shape=(*x.shape[:-2], n if m == 1 else m))


def _offsets(x: Any) -> Any:
    """For each element of the matrices how far it lies right of the diagonal."""
    shape = tuple(x.shape[-2:])
    attrs = {"shape": shape, "dtype": dtypes.int64, "start": 0, "step": 1, "device": x.device}
    i, j = (x.__apply__(row.iota, (), {**attrs, "dim": dim}) for dim in (0, 1))
    return row.sub(j, i)


def below(x: Any, offset: int = 0) -> Any:
    """The lower triangle up to the diagonal ``offset``, zeros above."""
    return row.where(row.le(_offsets(x), offset), x, 0)


def above(x: Any, offset: int = 0) -> Any:
    """The upper triangle from the diagonal ``offset``, zeros below."""
    return row.where(row.ge(_offsets(x), offset), x, 0)


def on_diagonal(x: Any) -> Any:
    """Whether an element of the matrices stands on the diagonal."""
    return row.eq(_offsets(x), 0)


def diagonal(x: Any) -> Any:
    """The main diagonals as vectors."""
    n = len(x.shape)
    return row.diagonal(x, offset=0, dim1=n - 2, dim2=n - 1)


def halved_diagonal(x: Any) -> Any:
    """The matrices with half their diagonal."""
    return row.where(on_diagonal(x), x * 0.5, x)


def diagonal_matrix(x: Any) -> Any:
    """Square matrices with these diagonals and zeros elsewhere."""
    square = zeros_like(as_column(x) * as_row(x))
    n = len(square.shape)
    return row.put_diagonal(square, x, offset=0, dim1=n - 2, dim2=n - 1)


def identity_like(x: Any) -> Any:
    """Ones on the diagonal of matrices of this shape."""
    return row.where(on_diagonal(x), full_like(x, 1), 0)


def constant(like: Any, shape: Sequence[Int], value: float, dtype: DType | None = None) -> Any:
    """An operand with one value everywhere, of the dtype of ``like`` unless one is given."""
    attrs = {
        "value": value,
        "shape": tuple(shape),
        "dtype": dtype or like.dtype,
        "device": like.device,
    }
    return like.__apply__(row.full, (), attrs)


def product(a: Any, b: Any, *more: Any) -> Any:
    """``a @ b @ ...``"""
    result = row.matmul(a, b)
    for matrix in more:
        result = row.matmul(result, matrix)
    return result


def solve_upper(a: Any, b: Any, unit: bool = False) -> Any:
    """``a^-1 b`` of upper triangular matrices."""
    return row.solve_triangular(a, b, upper=True, unit=unit)


def right_of(g: Any, r: Any) -> Any:
    """``g r^-T`` with upper triangular ``r``."""
    return transposed(solve_upper(r, transposed(g)))


def ratio(a: Any, b: Any) -> Any:
    """``a / b``, and 0 where b is 0."""
    zero = row.eq(b, 0)
    return row.where(zero, 0, a / row.where(zero, full_like(b, 1), b))


def coupled(a: Any, b: Any, g: Any) -> Any:
    """``a / b``, where ``a`` is linear in the cotangent ``g`` of vectors; 0 where all of g is 0.

    b are differences of eigenvalues. Where two are equal, what depends on values alone still has a
    gradient, and no cotangent of vectors; with one the result is infinite or NaN.
    """
    same = row.eq(b, 0)
    n = len(g.shape)
    used = row.any(row.ne(g, 0), dims=(n - 2, n - 1), keepdim=True)
    steep = row.where(row.logical_and(same, used), full_like(b, np.inf), 0)
    return row.where(same, a * steep, a / row.where(same, full_like(b, 1), b))


# ------------------------------------------------------------------------------- arrays in batches


def scipy_linalg(needed: str) -> Any:
    """``scipy.linalg``. Raises ImportError that says what to install."""
    try:
        import scipy.linalg
    except ImportError as error:
        raise ImportError(
            f"{needed} needs SciPy, which is not installed: `pip install 'graphc[linalg]'` or "
            "`pip install scipy` brings it"
        ) from error
    return scipy.linalg


def batches(*arrays: Array) -> Iterator[tuple[tuple[int, ...], tuple[Array, ...]]]:
    """The index of each matrix of a stack, with the matrices (or vectors) of equal stacks there."""
    for index in np.ndindex(arrays[0].shape[:-2]):
        yield index, tuple(a[index] for a in arrays)


def in_batch(x: Array, index: tuple[int, ...]) -> str:
    """How PyTorch's messages name one matrix of a stack: by its number in row-major order."""
    if x.ndim == 2:
        return ""
    return f"(Batch element {np.ravel_multi_index(index, x.shape[:-2])}): "


def check_finite(name: str, x: Array) -> None:
    """What iterates over a matrix with an infinity or NaN would never end, or end anywhere."""
    finite = np.isfinite(x).all((-2, -1))
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise LinAlgError(
            f"{name}: {in_batch(x, index)}The algorithm failed to converge because the input "
            "matrix contained non-finite values."
        )


def converging(name: str, function: Callable[[Array], Any], x: Array) -> Any:
    """Runs an iteration of NumPy's LAPACK. Raises LinAlgError for a matrix where it does not end.

    ``function`` takes stacks and fails as a whole, so that the culprit is looked for.
    """
    check_finite(name, x)
    try:
        return function(x)
    except np.linalg.LinAlgError:
        for index, (matrix,) in batches(x):
            try:
                function(matrix)
            except np.linalg.LinAlgError:
                raise LinAlgError(
                    f"{name}: {in_batch(x, index)}The algorithm failed to converge because the "
                    "input matrix is ill-conditioned or has too many repeated values."
                ) from None
        raise


def stacked(*parts: Array) -> Array:
    """Matrices on top of each other."""
    return np.concatenate(parts, axis=-2)


def with_last_row(x: Array, values: Array) -> Array:
    """Matrices with one more row: the values, then zeros."""
    last = np.zeros((*x.shape[:-2], 1, x.shape[-1]), x.dtype)
    last[..., 0, : values.shape[-1]] = values
    return stacked(x, last)


# ---------------------------------------------------------------------------------------- samples


def matrices(shape: tuple[int, ...], dtype: Any, salt: int = 0) -> Array:
    """Reproducible full-rank matrices with singular values apart from each other."""
    x = spread(shape, -1, 1, np.float64, salt)
    m, n = shape[-2:]
    return np.asarray(x + np.diag(np.arange(1.0, max(m, n) + 1))[:m, :n] * 1.5, dtype)


def symmetric(shape: tuple[int, ...], dtype: Any, salt: int = 0) -> Array:
    """Reproducible positive-definite matrices with eigenvalues apart from each other."""
    x = matrices(shape, np.float64, salt)
    return np.asarray(x @ np.swapaxes(x, -1, -2) / 4 + np.eye(shape[-1]), dtype)


FLOATS = (np.float64, np.float32)
