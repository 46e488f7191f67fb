"""What is refused, in PyTorch's words: each line runs on graphc and on PyTorch."""

import sys

import pytest

import graphc
from graphc import linalg

SQUARE = "must be batches of square matrices, but they are 2 by 3 matrices"
DIMENSIONS = "must have at least 2 dimensions"
LONG = "Expected a floating point or complex tensor as input. Got Long"


def eye(t, *lead):
    return t.eye(3).expand(*lead, 3, 3)


def ones(t, *shape):
    return t.ones(shape)


def second_singular(t):
    return t.stack([t.eye(2), t.ones(2, 2)])


def halves(t, *shape):
    return t.ones(shape, dtype=t.float16)


def integers(t, *shape):
    return t.ones(shape, dtype=t.int64)


# What is done, the exception, what its message says.
SHAPES = [
    (lambda t: t.linalg.inv(ones(t, 2, 3)), f"linalg.inv: A {SQUARE}"),
    (lambda t: t.linalg.inv(ones(t, 3)), f"linalg.inv: The input tensor A {DIMENSIONS}"),
    (lambda t: t.inverse(ones(t, 2, 3)), f"linalg.inv: A {SQUARE}"),
    (lambda t: t.linalg.inv_ex(ones(t, 2, 3)), f"linalg.inv: A {SQUARE}"),
    (lambda t: t.linalg.det(ones(t, 2, 3)), f"linalg.det: A {SQUARE}"),
    (lambda t: t.linalg.slogdet(ones(t, 2, 3)), f"linalg.slogdet: A {SQUARE}"),
    (lambda t: t.logdet(ones(t, 2, 3)), f"logdet: A {SQUARE}"),
    (lambda t: t.linalg.matrix_exp(ones(t, 2, 3)), f"linalg.matrix_exp: A {SQUARE}"),
    (lambda t: t.linalg.cholesky(ones(t, 2, 3)), f"linalg.cholesky: A {SQUARE}"),
    (lambda t: t.cholesky(ones(t, 2, 3)), f"cholesky: A {SQUARE}"),
    (lambda t: t.cholesky_inverse(ones(t, 2, 3)), f"cholesky_inverse: A {SQUARE}"),
    (lambda t: t.linalg.eigh(ones(t, 2, 3)), f"linalg.eigh: A {SQUARE}"),
    (lambda t: t.linalg.eigvalsh(ones(t, 2, 3)), f"linalg.eigh: A {SQUARE}"),
    (lambda t: t.linalg.eigh(eye(t), "X"), "Expected UPLO argument to be 'L' or 'U', but got X"),
    (lambda t: t.linalg.svd(ones(t, 3)), f"linalg.svd: The input tensor A {DIMENSIONS}"),
    (lambda t: t.svd(ones(t, 3)), "linalg.svd: input should have at least 2 dimensions"),
    (lambda t: t.linalg.svd(eye(t), driver="gesvd"), "only supported on CUDA"),
    (lambda t: t.linalg.qr(ones(t, 3)), f"linalg.qr: The input tensor A {DIMENSIONS}"),
    (lambda t: t.linalg.qr(eye(t), "full"), "qr received unrecognized mode 'full'"),
    (lambda t: t.geqrf(ones(t, 3)), f"torch.geqrf: input {DIMENSIONS}"),
    (lambda t: t.linalg.lu(ones(t, 3)), "Expected tensor with 2 or more dimensions. Got size: [3]"),
    (lambda t: t.linalg.lu(eye(t), pivot=False), "LU without pivoting is not implemented"),
    (lambda t: t.linalg.pinv(ones(t, 3)), "linalg.pinv(Float{[3]}): expected a tensor with 2 or"),
    (lambda t: t.linalg.matrix_rank(ones(t, 3)), f"The input tensor input {DIMENSIONS}"),
    (lambda t: t.linalg.cond(ones(t, 3)), f"linalg.cond: The input tensor {DIMENSIONS}"),
    (lambda t: t.linalg.cond(ones(t, 2, 3), 1), f"linalg.cond(ord=1): A {SQUARE}"),
    (lambda t: t.linalg.cond(eye(t), 3), "linalg.cond got an invalid norm type: 3"),
    (lambda t: t.linalg.cond(eye(t), "two"), "linalg.cond got an invalid norm type: two"),
    (lambda t: t.linalg.solve(ones(t, 2, 3), ones(t, 2)), f"linalg.solve: A {SQUARE}"),
    (
        lambda t: t.linalg.solve(eye(t), ones(t, 2, 4)),
        "linalg.solve: Incompatible shapes of A and B for the equation AX = B (3x3 and 2x4)",
    ),
    (
        lambda t: t.linalg.solve(eye(t), ones(t, 3, 2), left=False),
        "linalg.solve: Incompatible shapes of A and B for the equation XA = B (3x3 and 3x2)",
    ),
    (
        lambda t: t.linalg.solve(eye(t), ones(t, 3, 2).double()),
        "linalg.solve: Expected A and B to have the same dtype, but found A of type Float and B of "
        "type Double instead",
    ),
    (
        lambda t: t.linalg.solve_triangular(eye(t), ones(t, 2, 4), upper=True),
        "Incompatible shapes of A and B for the equation AX = B (3x3 and 2x4)",
    ),
    (
        lambda t: t.linalg.lu_solve(eye(t), integers(t, 3), ones(t, 3, 1)),
        "linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32",
    ),
    (
        lambda t: t.linalg.lu_solve(eye(t), integers(t, 2).int(), ones(t, 3, 1)),
        "Number of pivots per batch should be same as the dimension of the matrix",
    ),
    (
        lambda t: t.cholesky_solve(ones(t, 2, 1), eye(t)),
        "Incompatible matrix sizes for cholesky_solve: each A matrix is 3 by 3 but each b matrix "
        "is 2 by 1",
    ),
    (
        lambda t: t.triangular_solve(ones(t, 2, 1), eye(t)),
        "Incompatible matrix sizes for triangular_solve: each A matrix is 3 by 3 but each b matrix "
        "is 2 by 1",
    ),
    (
        lambda t: t.linalg.lstsq(eye(t), ones(t, 2, 4)),
        "torch.linalg.lstsq: input.size(-2) should match other.size(-2)",
    ),
    (
        lambda t: t.linalg.lstsq(eye(t), eye(t), driver="qr"),
        "parameter `driver` should be one of (gels, gelsy, gelsd, gelss)",
    ),
    (
        lambda t: t.linalg.householder_product(ones(t, 2, 3), ones(t, 2)),
        "input.shape[-2] must be greater than or equal to input.shape[-1]",
    ),
    (
        lambda t: t.linalg.householder_product(ones(t, 3, 2), ones(t, 3)),
        "input.shape[-1] must be greater than or equal to tau.shape[-1]",
    ),
    (
        lambda t: t.ormqr(ones(t, 3, 2), ones(t, 2), ones(t, 2, 4)),
        "torch.ormqr: other.shape[-2] must be equal to input.shape[-2]",
    ),
    (lambda t: t.linalg.tensorinv(ones(t, 6, 2, 3), 0), "Expected a strictly positive integer"),
    (lambda t: t.linalg.tensorinv(ones(t, 2, 3, 5)), "to satisfy the requirement prod(self.shape"),
    (
        lambda t: t.linalg.tensorsolve(ones(t, 2, 3, 5), ones(t, 2, 3)),
        "prod(self.shape[:other.ndim]), but got 5 != 6",
    ),
    (lambda t: t.linalg.inv(integers(t, 2, 2)), f"linalg.inv: {LONG}"),
    (lambda t: t.linalg.svd(integers(t, 2, 2)), f"linalg.svd: {LONG}"),
    (lambda t: t.linalg.qr(integers(t, 2, 2)), f"linalg.qr: {LONG}"),
    (
        lambda t: t.linalg.inv(halves(t, 2, 2)),
        "linalg.inv: Low precision dtypes not supported. Got",
    ),
    (lambda t: t.linalg.matrix_rank(integers(t, 2, 2)), "types other than float and double"),
]

UNIMPLEMENTED = [
    (lambda t: t.linalg.cholesky(halves(t, 2, 2)), "\"cholesky_cpu\" not implemented for 'Half'"),
    (lambda t: t.cholesky(integers(t, 2, 2)), "\"cholesky_cpu\" not implemented for 'Long'"),
    (lambda t: t.linalg.eigh(integers(t, 2, 2)), "\"linalg_eigh_cpu\" not implemented for 'Long'"),
    (lambda t: t.linalg.svd(halves(t, 2, 2)), "\"linalg_svd_cpu\" not implemented for 'Half'"),
    (lambda t: t.linalg.qr(halves(t, 2, 2)), "\"geqrf_cpu\" not implemented for 'Half'"),
    (lambda t: t.linalg.lu(integers(t, 2, 2)), "\"lu_cpu\" not implemented for 'Long'"),
    (lambda t: t.linalg.solve(halves(t, 2, 2), halves(t, 2, 1)), '"lu_cpu" not implemented for'),
    (
        lambda t: t.linalg.solve_triangular(integers(t, 2, 2), integers(t, 2, 1), upper=True),
        "\"triangular_solve_cpu\" not implemented for 'Long'",
    ),
]

TYPES = [
    (lambda t: t.linalg.inv([[1.0]]), "linalg_inv(): argument 'A' (position 1) must be Tensor"),
    (lambda t: t.inverse([[1.0]]), "inverse(): argument 'input' (position 1) must be Tensor"),
    (lambda t: t.linalg.solve(eye(t), [1.0]), "argument 'B' (position 2) must be Tensor, not list"),
    (lambda t: t.linalg.eigh(eye(t), 3), "linalg_eigh(): argument 'UPLO'"),
    (lambda t: t.linalg.qr(eye(t), 3), "linalg_qr(): argument 'mode'"),
]

# These depend on values: a compiled program raises them when it runs.
VALUES = [
    (
        lambda t: t.linalg.inv(t.zeros(3, 3)),
        "linalg.inv: The diagonal element 1 is zero, the inversion could not be completed because "
        "the input matrix is singular.",
    ),
    (
        lambda t: t.linalg.inv(second_singular(t)),
        "linalg.inv: (Batch element 1): The diagonal element 2 is zero",
    ),
    (
        lambda t: t.linalg.inv_ex(t.zeros(2, 2), check_errors=True),
        "linalg.inv_ex: The diagonal element 1 is zero",
    ),
    (
        lambda t: t.linalg.solve(t.zeros(3, 3), t.eye(3)),
        "torch.linalg.solve: The solver failed because the input matrix is singular.",
    ),
    (
        lambda t: t.linalg.solve_ex(second_singular(t), t.eye(2), check_errors=True),
        "torch.linalg.solve_ex: (Batch element 1): The solver failed",
    ),
    (
        lambda t: t.linalg.cholesky(-t.eye(3)),
        "linalg.cholesky: The factorization could not be completed because the input is not "
        "positive-definite (the leading minor of order 1 is not positive-definite).",
    ),
    (
        lambda t: t.cholesky(second_singular(t)),
        "cholesky: (Batch element 1): The factorization could not be completed because the input "
        "is not positive-definite (the leading minor of order 2",
    ),
    (
        lambda t: t.linalg.cholesky_ex(-t.eye(3), check_errors=True),
        "linalg.cholesky_ex: The factorization could not be completed",
    ),
    (
        lambda t: t.linalg.cholesky(t.full((2, 2), float("nan"))),
        "the leading minor of order 1 is not positive-definite",
    ),
    (
        lambda t: t.cholesky_inverse(t.zeros(2, 2)),
        "cholesky_inverse: The diagonal element 1 is zero, the inversion could not be completed",
    ),
    (
        lambda t: t.linalg.svd(t.full((2, 2), float("nan"))),
        "linalg.svd: The algorithm failed to converge because the input matrix contained "
        "non-finite values.",
    ),
    (
        lambda t: t.linalg.eigh(t.full((3, 3), float("nan"))),
        "linalg.eigh: The algorithm failed to converge",
    ),
    (
        lambda t: t.linalg.lstsq(t.ones(4, 3), t.ones(4, 1), driver="gels"),
        "The least squares solution could not be computed because the input matrix does not have "
        "full rank",
    ),
]


def refused(t, program, error, message):
    with pytest.raises(error) as caught:
        program(t)
    assert message in str(caught.value)
    return caught.value


@pytest.mark.parametrize(("program", "message"), SHAPES)
def test_shapes_and_dtypes(program, message):
    refused(graphc, program, RuntimeError, message)


@pytest.mark.parametrize(("program", "message"), UNIMPLEMENTED)
def test_dtypes_without_a_kernel(program, message):
    refused(graphc, program, NotImplementedError, message)


@pytest.mark.parametrize(("program", "message"), TYPES)
def test_what_is_no_tensor(program, message):
    refused(graphc, program, TypeError, message)


@pytest.mark.parametrize(("program", "message"), VALUES)
def test_matrices_that_cannot_be_taken(program, message):
    error = refused(graphc, program, linalg.LinAlgError, message)
    assert isinstance(error, RuntimeError)
    refused(graphc, graphc.compile(program), linalg.LinAlgError, message)


@pytest.mark.differential
@pytest.mark.parametrize(
    ("program", "message", "error"),
    [
        (*case, error)
        for cases, error in (
            (SHAPES, RuntimeError),
            (UNIMPLEMENTED, NotImplementedError),
            (TYPES, TypeError),
        )
        for case in cases
    ],
)
def test_pytorch_says_the_same(program, message, error):
    refused(pytest.importorskip("torch"), program, error, message)


@pytest.mark.differential
@pytest.mark.parametrize(("program", "message"), VALUES)
def test_pytorch_says_the_same_of_values(program, message):
    torch = pytest.importorskip("torch")
    refused(torch, program, torch.linalg.LinAlgError, message)


def test_a_factor_that_cannot_solve():
    for call in (linalg.lu_factor, lambda x: linalg.lu_factor_ex(x, check_errors=True)):
        with pytest.raises(RuntimeError, match=r"\(Batch element 1\): U\[2,2\] is zero"):
            call(second_singular(graphc))
    with pytest.raises(RuntimeError, match="between 1 and LU.size"):
        graphc.lu_unpack(graphc.eye(2), graphc.tensor([1, 3], dtype=graphc.int32))


def test_columns_that_are_any_basis_have_no_gradient():
    x = graphc.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]).requires_grad_()
    q, r = linalg.qr(x, mode="complete")
    r.sum().backward()  # does not depend on them
    assert x.grad is not None
    q, r = linalg.qr(x, mode="complete")
    with pytest.raises(RuntimeError, match="not differentiable when mode='complete'"):
        q.sum().backward()


@pytest.mark.parametrize(
    "call",
    [
        lambda: linalg.lu(graphc.eye(2)),
        lambda: linalg.solve_triangular(graphc.eye(2), graphc.eye(2), upper=True),
        lambda: linalg.lstsq(graphc.eye(2), graphc.eye(2)),
    ],
)
def test_without_scipy_the_error_says_what_to_install(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.linalg", None)
    with pytest.raises(ImportError, match=r"pip install 'graphc\[linalg\]'"):
        call()


def test_most_needs_no_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    x = graphc.tensor([[2.0, 1.0], [1.0, 3.0]]).requires_grad_()
    results = (
        linalg.inv(x), linalg.solve(x, x), linalg.cholesky(x), linalg.qr(x).R, linalg.svdvals(x),
        linalg.eigh(x).eigenvalues, linalg.det(x), linalg.slogdet(x).logabsdet, linalg.pinv(x),
        linalg.cond(x), linalg.matrix_exp(x),
    )  # fmt: skip
    assert all(bool(y.isfinite().all()) for y in results)
