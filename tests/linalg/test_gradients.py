"""Gradients where formulas are delicate: equal values, singular matrices, whole training steps."""

import numpy as np
import pytest

import graphc
from graphc import linalg


def values(t, *shape):
    count = int(np.prod(shape))
    made = t.tensor([((i * 7919) % 23 - 11) / 4 for i in range(count)], dtype=t.float64)
    return made.reshape(shape)


def square(t, *shape):
    return values(t, *shape) + 3 * t.eye(shape[-1], dtype=t.float64)


def positive(t, x):
    return x @ x.mT + t.eye(x.shape[-1], dtype=t.float64)


def function_of(t, x):
    """A matrix function, which does not depend on the choice of eigenvectors."""
    w, v = t.linalg.eigh(positive(t, x))
    return (v * w.sqrt().unsqueeze(-2)) @ v.mT


def polar(t, x):
    u, _, vh = t.linalg.svd(x, full_matrices=False)
    return u @ vh


def packed_lu(t, x):
    factors, pivots = t.linalg.lu_factor(x)
    return factors, t.linalg.lu_solve(factors, pivots, values(t, *x.shape))


def reflections(t, x):
    a, tau = x[..., :-1], x[..., 0, :-1]
    return t.linalg.householder_product(a, tau), t.ormqr(a, tau, x, True, True)


def squares(t, x):
    """By each driver; the last has more columns than rows."""
    b = values(t, *x.shape[:-1], 2)
    tall = [t.linalg.lstsq(x, b, driver=d) for d in ("gels", "gelsy", "gelsd")]
    wide = t.linalg.lstsq(x.mT, values(t, x.shape[-1], 1), driver="gels")
    return [r.solution for r in tall], tall[0].residuals, tall[2].residuals, wide.solution


# Programs and the shape of their operand.
PROGRAMS = [
    (lambda t, x: t.linalg.cholesky(positive(t, x)), (2, 3, 3)),
    (lambda t, x: t.cholesky_solve(x, t.linalg.cholesky(positive(t, x))), (3, 3)),
    (lambda t, x: t.cholesky_inverse(t.linalg.cholesky(positive(t, x), upper=True), True), (3, 3)),
    (lambda t, x: t.linalg.qr(x)[1].abs(), (4, 3)),
    (lambda t, x: (t.linalg.qr(x)[0] @ t.linalg.qr(x)[1].tril(1)).square(), (2, 4)),
    (polar, (4, 3)),
    (polar, (3, 4)),
    (lambda t, x: t.linalg.svdvals(x), (2, 4, 3)),
    (function_of, (3, 3)),
    (lambda t, x: t.linalg.eigvalsh(positive(t, x)), (2, 3, 3)),
    (lambda t, x: t.linalg.lu(x)[1:], (4, 3)),
    (lambda t, x: t.linalg.lu(x)[1:], (2, 3, 4)),
    (packed_lu, (2, 3, 3)),
    (lambda t, x: t.linalg.solve(x, x.mT, left=False), (2, 3, 3)),
    (lambda t, x: t.linalg.solve_triangular(x, x, upper=True, unitriangular=True), (3, 3)),
    (lambda t, x: t.linalg.pinv(x), (4, 3)),
    (lambda t, x: t.linalg.pinv(positive(t, x), hermitian=True), (3, 3)),
    (squares, (4, 3)),
    (lambda t, x: t.linalg.det(x), (2, 3, 3)),
    (lambda t, x: t.linalg.slogdet(x)[1], (2, 3, 3)),
    (lambda t, x: t.linalg.matrix_exp(x * 0.3), (2, 3, 3)),
    (reflections, (4, 4)),
    (lambda t, x: [t.linalg.cond(x, p) for p in (None, -2)], (3, 3)),
]
# PyTorch cannot differentiate these.
FURTHER = [
    (lambda t, x: [t.linalg.cond(x, p) for p in (1, float("inf"), "fro", "nuc")], (3, 3)),
    (lambda t, x: t.linalg.qr(x, mode="r")[1].abs(), (4, 3)),
    (lambda t, x: t.linalg.qr(x, mode="complete")[1].abs(), (4, 3)),
]


def flat(results):
    if isinstance(results, (tuple, list)):
        return [x for part in results for x in flat(part)]
    return [results]


def loss(t, program, x):
    parts = flat(program(t, x))
    return sum((p * (values(t, *p.shape) + 0.3)).sum() for p in parts)


def both_orders(t, program, shape):
    x = square(t, *shape) if shape[-1] == shape[-2] else values(t, *shape)
    x = x + 0.01 * values(t, *shape[::-1]).reshape(shape) ** 2
    x.requires_grad_()
    (first,) = t.autograd.grad(loss(t, program, x), (x,), create_graph=True)
    (second,) = t.autograd.grad((first * values(t, *shape)).sum(), (x,))
    return first.detach().numpy(), second.numpy()


def near(actual, expected, tolerance=1e-9):
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.differential
@pytest.mark.parametrize(("program", "shape"), PROGRAMS)
def test_first_and_second_gradients_agree_with_pytorch(program, shape):
    torch = pytest.importorskip("torch")
    for ours, theirs in zip(
        both_orders(graphc, program, shape), both_orders(torch, program, shape), strict=True
    ):
        near(ours, theirs)


@pytest.mark.parametrize(("program", "shape"), PROGRAMS + FURTHER)
def test_gradients_agree_with_finite_differences(program, shape):
    x = square(graphc, *shape) if shape[-1] == shape[-2] else values(graphc, *shape)
    x = (x + 0.01 * values(graphc, *shape[::-1]).reshape(shape) ** 2).requires_grad_()
    direction = values(graphc, *shape).flip(-1)
    (gradient,) = graphc.autograd.grad(loss(graphc, program, x), (x,))
    h = 1e-6
    with graphc.no_grad():
        ahead, behind = (loss(graphc, program, x + s * h * direction) for s in (1, -1))
    near((gradient * direction).sum().item(), ((ahead - behind) / (2 * h)).numpy(), 1e-6)


def test_values_have_gradients_where_they_are_equal():
    x = graphc.eye(3, dtype=graphc.float64).requires_grad_()
    for result in (
        linalg.svdvals(x),
        linalg.svd(x).S,
        linalg.svd(graphc.cat([x, x * 0])).S,
        linalg.eigvalsh(x),
        linalg.eigh(x).eigenvalues,
    ):
        (gradient,) = graphc.autograd.grad(result.sum(), (x,))
        near(gradient.numpy(), np.eye(3))


def test_vectors_have_no_finite_gradient_where_values_are_equal():
    x = graphc.eye(3, dtype=graphc.float64).requires_grad_()
    for vectors in (linalg.eigh(x).eigenvectors, linalg.svd(x).U, linalg.svd(x).Vh):
        (gradient,) = graphc.autograd.grad(vectors[0, 1], (x,))
        assert not bool(gradient.isfinite().all())


SINGULAR = {
    "rank 3 of 4": np.diag([2.0, 0.0, 3.0, -1.0])[[1, 0, 2, 3]],
    "rank 2 of 4": np.outer([1.0, 2, 0, 1], [1.0, 0, 1, 2])
    + np.outer([0.0, 1, 1, 0], [2.0, 1, 0, 0]),
    "rank 1 of 3": np.outer([1.0, 2.0, 3.0], [1.0, -1.0, 2.0]),
    "zero": np.zeros((2, 2)),
}


@pytest.mark.parametrize("x", SINGULAR.values(), ids=SINGULAR.keys())
def test_determinants_of_singular_matrices(x):
    """Polynomials: differences over a small step in one element and in two are exact."""
    n = len(x)

    def det(*moves):
        y = x.copy()
        for i, j in moves:
            y[i, j] += 1
        return np.linalg.det(y)

    a = graphc.tensor(x).requires_grad_()
    (first,) = graphc.autograd.grad(linalg.det(a), (a,), create_graph=True)
    places = [(i, j) for i in range(n) for j in range(n)]
    cofactors = np.array([det(p) - det() for p in places]).reshape(n, n)
    near(first.detach().numpy(), cofactors)
    for p in ((0, 0), (n - 1, 0)):
        (second,) = graphc.autograd.grad(first[p], (a,), retain_graph=True)
        others = [
            det(p, q) - det(p) - det(q) + det() if q[0] != p[0] and q[1] != p[1] else 0.0
            for q in places
        ]
        near(second.numpy(), np.array(others).reshape(n, n))


def test_a_gaussian_process_learns_the_same_compiled():
    """Its likelihood has a factor, a solution and a determinant; the step is one program."""

    def fit(life):
        points = graphc.linspace(0, 1, 12, dtype=graphc.float64)
        targets = (6 * points).sin()
        scales = graphc.tensor([0.0, -1.0, -2.0], dtype=graphc.float64).requires_grad_()

        def step():
            scales.grad = None
            apart = points.unsqueeze(0) - points.unsqueeze(1)
            height, width, noise = scales.exp()
            kernel = height * (-0.5 * (apart / width) ** 2).exp()
            factor = linalg.cholesky(kernel + noise * graphc.eye(12, dtype=graphc.float64))
            weights = graphc.cholesky_solve(targets.unsqueeze(-1), factor).squeeze(-1)
            loss = 0.5 * targets @ weights + factor.diagonal().log().sum()
            loss.backward()
            with graphc.no_grad():
                scales.sub_(0.05 * scales.grad)
            return loss

        step = life(step)
        return [step().item() for _ in range(8)], scales.detach().numpy()

    losses, scales = fit(lambda f: f)
    assert losses[-1] < losses[0] - 0.5
    compiled, same = fit(graphc.compile)
    near(np.array(compiled), np.array(losses))
    near(same, scales)
