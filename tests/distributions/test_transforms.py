"""Transforms and constraints, as PyTorch has them."""

from typing import Any

import numpy as np
import pytest

import graphc
from graphc import distributions as d

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.differential


def numbers(t: Any, *shape: int, scale: float = 1.0) -> Any:
    count = int(np.prod(shape))
    made = [scale * (((i + 1) * 7919 % 101) / 50.0 - 1.0) for i in range(count)]
    return t.tensor(made, dtype=t.float64).reshape(*shape)


VECTOR, MATRIX = (4, 3), (2, 3, 3)
TRANSFORMS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "Exp": (lambda t, k: k.ExpTransform(), VECTOR),
    "Sigmoid": (lambda t, k: k.SigmoidTransform(), VECTOR),
    "Softplus": (lambda t, k: k.SoftplusTransform(), VECTOR),
    "Tanh": (lambda t, k: k.TanhTransform(), VECTOR),
    "Abs": (lambda t, k: k.AbsTransform(), VECTOR),
    "Softmax": (lambda t, k: k.SoftmaxTransform(), VECTOR),
    "Affine": (lambda t, k: k.AffineTransform(1.5, -2.0), VECTOR),
    "Affine tensor": (lambda t, k: k.AffineTransform(numbers(t, 3), numbers(t, 4, 1)), VECTOR),
    "Affine event": (lambda t, k: k.AffineTransform(0.0, numbers(t, 3), 1), VECTOR),
    "StickBreaking": (lambda t, k: k.StickBreakingTransform(), VECTOR),
    "CorrCholesky": (lambda t, k: k.CorrCholeskyTransform(), (2, 6)),
    "CorrCholesky 2": (lambda t, k: k.CorrCholeskyTransform(), (2, 1)),
    "LowerCholesky": (lambda t, k: k.LowerCholeskyTransform(), MATRIX),
    "PositiveDefinite": (lambda t, k: k.PositiveDefiniteTransform(), MATRIX),
    "Reshape": (lambda t, k: k.ReshapeTransform((3,), (3, 1)), VECTOR),
    "Cumulative": (
        lambda t, k: k.CumulativeDistributionTransform(k.Normal(numbers(t, 3), 2.0)),
        VECTOR,
    ),
    "Compose": (
        lambda t, k: k.ComposeTransform(
            [k.ExpTransform(), k.PowerTransform(0.5), k.AffineTransform(1.0, -2.0)]
        ),
        VECTOR,
    ),
    "Compose events": (
        lambda t, k: k.ComposeTransform(
            [k.AffineTransform(0.0, 2.0), k.StickBreakingTransform(), k.ExpTransform()]
        ),
        VECTOR,
    ),
    "identity": (lambda t, k: k.identity_transform, VECTOR),
    "Independent": (lambda t, k: k.IndependentTransform(k.ExpTransform(), 1), VECTOR),
    "inverse": (lambda t, k: k.SigmoidTransform().inv.inv, VECTOR),
    "Cat": (
        lambda t, k: k.CatTransform(
            [k.ExpTransform(), k.AffineTransform(1.0, 2.0)], dim=-1, lengths=[1, 2]
        ),
        VECTOR,
    ),
    "Stack": (
        lambda t, k: k.StackTransform([k.ExpTransform(), k.TanhTransform()], dim=0),
        (2, 3),
    ),
}


def assert_same(a: Any, b: Any) -> None:
    a, b = np.array(a.detach().numpy()), np.array(b.detach().numpy())
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_values_inverses_and_volumes(name: str) -> None:
    build, shape = TRANSFORMS[name]
    own, theirs = build(graphc, d), build(torch, torch.distributions)
    x, z = numbers(graphc, *shape), numbers(torch, *shape)
    y, w = own(x), theirs(z)
    assert_same(y, w)
    assert_same(own.inv(y), theirs.inv(w))
    assert own.bijective == theirs.bijective
    try:
        wanted = theirs.log_abs_det_jacobian(z, w)
    except NotImplementedError:
        with pytest.raises(NotImplementedError):
            own.log_abs_det_jacobian(x, y)
    else:
        assert_same(own.log_abs_det_jacobian(x, y), wanted)
        assert_same(own.inv.log_abs_det_jacobian(y, x), theirs.inv.log_abs_det_jacobian(w, z))
    assert tuple(own.forward_shape(x.shape)) == tuple(theirs.forward_shape(z.shape))
    assert tuple(own.inverse_shape(y.shape)) == tuple(theirs.inverse_shape(w.shape))
    assert own.domain.event_dim == theirs.domain.event_dim
    assert own.codomain.event_dim == theirs.codomain.event_dim
    if name not in ("Cat", "Stack", "Cumulative"):  # their addresses are shown, or constraints
        assert repr(own) == repr(theirs)
        assert repr(own.codomain) == repr(theirs.codomain)
    assert (own == build(graphc, d)) == (theirs == build(torch, torch.distributions))
    assert own == own
    assert own != d.CorrCholeskyTransform()


def test_the_latest_pair_is_kept() -> None:
    cached = d.TanhTransform(cache_size=1)
    x = graphc.tensor([20.0, -30.0])  # whose tangents are 1 and -1
    y = cached(x)
    assert cached.inv(y) is x
    assert cached(x) is y
    assert bool(d.TanhTransform().inv(y).isinf().all())
    assert d.TanhTransform().with_cache(1)._cache_size == 1
    squashed = d.TransformedDistribution(d.Normal(0.0, 50.0), [cached])
    graphc.manual_seed(0)
    assert bool(squashed.log_prob(squashed.rsample((100,))).isfinite().all())


CONSTRAINTS: dict[str, Any] = {
    "real": lambda c: c.real,
    "positive": lambda c: c.positive,
    "nonnegative": lambda c: c.nonnegative,
    "greater_than": lambda c: c.greater_than(2.0),
    "greater_than_eq": lambda c: c.greater_than_eq(-1.0),
    "less_than": lambda c: c.less_than(2.0),
    "unit_interval": lambda c: c.unit_interval,
    "interval": lambda c: c.interval(-1.0, 3.0),
    "half_open_interval": lambda c: c.half_open_interval(-1.0, 3.0),
    "simplex": lambda c: c.simplex,
    "lower_cholesky": lambda c: c.lower_cholesky,
    "positive_definite": lambda c: c.positive_definite,
    "real_vector": lambda c: c.real_vector,
    "independent": lambda c: c.independent(c.positive, 1),
    "cat": lambda c: c.cat([c.positive, c.real], -1, [1, 2]),
    "stack": lambda c: c.stack([c.positive, c.real, c.unit_interval], -2),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("registry", ["biject_to", "transform_to"])
def test_transforms_of_constraints(name: str, registry: str) -> None:
    constraint = CONSTRAINTS[name](d.constraints)
    if registry == "biject_to" and name in ("lower_cholesky", "positive_definite"):
        for t in (graphc, torch):
            with pytest.raises(NotImplementedError):
                t.distributions.biject_to(CONSTRAINTS[name](t.distributions.constraints))
        return
    own = getattr(d, registry)(constraint)
    theirs = getattr(torch.distributions, registry)(
        CONSTRAINTS[name](torch.distributions.constraints)
    )
    y = own(numbers(graphc, *MATRIX))
    assert_same(y, theirs(numbers(torch, *MATRIX)))
    assert bool(constraint.check(y).all())
    assert_same(own.inv(y), theirs.inv(theirs(numbers(torch, *MATRIX))))


CHECKED: dict[str, Any] = {
    **CONSTRAINTS,
    "boolean": lambda c: c.boolean,
    "one_hot": lambda c: c.one_hot,
    "integer_interval": lambda c: c.integer_interval(-1, 2),
    "nonnegative_integer": lambda c: c.nonnegative_integer,
    "positive_integer": lambda c: c.positive_integer,
    "multinomial": lambda c: c.multinomial(2),
    "lower_triangular": lambda c: c.lower_triangular,
    "corr_cholesky": lambda c: c.corr_cholesky,
    "square": lambda c: c.square,
    "symmetric": lambda c: c.symmetric,
    "positive_semidefinite": lambda c: c.positive_semidefinite,
    "mixture": lambda c: c.MixtureSameFamilyConstraint(c.positive),
}
VALUES: list[Any] = [
    lambda t: numbers(t, *MATRIX, scale=3.0),
    lambda t: t.eye(3, dtype=t.float64).reshape(1, 3, 3),
    lambda t: t.tensor([[[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 1.0]]]),
    lambda t: t.tensor([[[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [float("nan"), 1.0, 2.0]]]),
    lambda t: t.tensor([[[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, -1.0]]]),
]


@pytest.mark.parametrize("name", CHECKED)
def test_constraints_hold_for_the_same_values(name: str) -> None:
    own = CHECKED[name](d.constraints)
    theirs = CHECKED[name](torch.distributions.constraints)
    assert own.event_dim == theirs.event_dim
    assert own.is_discrete == theirs.is_discrete
    if name not in ("cat", "stack"):
        assert repr(own) == repr(theirs)
    for value in VALUES:
        if name == "positive_semidefinite" and value is VALUES[3]:
            continue  # the eigenvalues of a NaN
        mine, wanted = own.check(value(graphc)), theirs.check(value(torch))
        assert tuple(mine.shape) == tuple(wanted.shape)
        assert mine.tolist() == wanted.tolist()


def test_dependent_constraints() -> None:
    for t in (graphc, torch):
        k, c = t.distributions, t.distributions.constraints
        assert c.is_dependent(k.Categorical.support)
        assert not c.is_dependent(k.Normal.support)
        assert k.Categorical.support.is_discrete
        assert k.Categorical.support.event_dim == 0
        with pytest.raises(NotImplementedError):
            _ = c.dependent.event_dim
        with pytest.raises(ValueError, match="dependent constraint"):
            c.dependent.check(t.zeros(2))
        assert c.dependent(event_dim=2).event_dim == 2
