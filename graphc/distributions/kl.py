"""The Kullback-Leibler divergence: rules for pairs of types.

Between members of different families it is ``-entropy(p) - E_p[log q]``, and the second term needs
a few expected values under ``p`` only: tables of these give all pairs.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any

from graphc.distributions.bernoulli import Bernoulli
from graphc.distributions.beta import Beta
from graphc.distributions.binomial import Binomial
from graphc.distributions.categorical import Categorical
from graphc.distributions.cauchy import Cauchy
from graphc.distributions.continuous_bernoulli import ContinuousBernoulli
from graphc.distributions.dirichlet import Dirichlet
from graphc.distributions.distribution import Distribution
from graphc.distributions.exp_family import ExponentialFamily, divergence
from graphc.distributions.exponential import Exponential
from graphc.distributions.gamma import Gamma
from graphc.distributions.geometric import Geometric
from graphc.distributions.gumbel import Gumbel
from graphc.distributions.half_normal import HalfNormal
from graphc.distributions.independent import Independent
from graphc.distributions.laplace import Laplace
from graphc.distributions.lowrank_multivariate_normal import (
    LowRankMultivariateNormal,
    lowrank_log_det,
    lowrank_mahalanobis,
)
from graphc.distributions.multivariate_normal import MultivariateNormal, half_log_det, mahalanobis
from graphc.distributions.normal import Normal
from graphc.distributions.one_hot_categorical import OneHotCategorical
from graphc.distributions.parameters import EULER, filled, sum_rightmost, values_known
from graphc.distributions.pareto import Pareto
from graphc.distributions.poisson import Poisson
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.uniform import Uniform
from graphc.functions.joining import broadcast_shapes
from graphc.functions.pointwise import where
from graphc.linalg import solve_triangular
from graphc.nn.functional import softplus
from graphc.tensor import Tensor

Rule = Callable[[Any, Any], Tensor]
_RULES: dict[tuple[type, type], Rule] = {}
_FOUND: dict[tuple[type, type], Rule | None] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Rule], Rule]:
    """A decorator for ``function(p, q)``, used for these types and their subclasses.

    Raises TypeError for what is no type of distributions.
    """
    for name, kind in (("type_p", type_p), ("type_q", type_q)):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise TypeError(f"Expected {name} to be a Distribution subclass but got {kind}")

    def register(function: Rule) -> Rule:
        _RULES[type_p, type_q] = function
        _FOUND.clear()
        return function

    return register


def _rule(type_p: type, type_q: type) -> Rule | None:
    """The rule for the nearest types; a warning where two are equally near."""
    matches = [(p, q) for p, q in _RULES if issubclass(type_p, p) and issubclass(type_q, q)]
    if not matches:
        return None

    def distance(match: tuple[type, type]) -> tuple[int, int]:
        return type_p.__mro__.index(match[0]), type_q.__mro__.index(match[1])

    by_p = min(matches, key=distance)
    by_q = min(matches, key=lambda match: distance(match)[::-1])
    if _RULES[by_p] is not _RULES[by_q]:
        warnings.warn(
            f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). Please "
            f"register_kl({by_p[0].__name__}, {by_q[1].__name__})",
            RuntimeWarning,
            stacklevel=4,
        )
    return _RULES[by_p]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The expected value of ``p.log_prob(x) - q.log_prob(x)`` under ``p``, of the batch's shape.

    Raises NotImplementedError for types without a rule.
    """
    key = (type(p), type(q))
    if key not in _FOUND:
        _FOUND[key] = _rule(*key)
    rule = _FOUND[key]
    if rule is None:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {type(p).__name__} and q type "
            f"{type(q).__name__}"
        )
    return rule(p, q)


# ----------------------------------------------------------------------------------- of one family


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Tensor:
    def part(chance: Tensor, own: Tensor, other: Tensor, impossible: Tensor) -> Tensor:
        term = chance * (softplus(other) - softplus(own))
        return where(chance.eq(0), 0.0, where(impossible, math.inf, term))

    ones = part(p.probs, -p.logits, -q.logits, q.probs == 0)
    return ones + part(1 - p.probs, p.logits, q.logits, q.probs == 1)


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Tensor:
    return kl_divergence(p._dirichlet, q._dirichlet)


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Tensor:
    if values_known(p.total_count, q.total_count) and bool((p.total_count < q.total_count).any()):
        raise NotImplementedError(
            "KL between Binomials where q.total_count > p.total_count is not implemented"
        )
    each = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return where(p.total_count > q.total_count, math.inf, p.total_count * each)


@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    terms = where(p.probs == 0, 0.0, where(q.probs == 0, math.inf, terms))
    return terms.sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: Any, q: Any) -> Tensor:
    return _categorical(p._categorical, q._categorical)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Tensor:
    # Chyzak and Nielsen, "A closed-form formula for the Kullback-Leibler divergence between Cauchy
    # distributions" (2019)
    apart = (p.scale + q.scale).square() + (p.loc - q.loc).square()
    return apart.log() - (4 * p.scale * q.scale).log()


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: Any, q: Any) -> Tensor:
    def constant(d: Any) -> Any:
        return d._cont_bern_log_norm() + (-d.probs).log1p()

    return p.mean * (p.logits - q.logits) + constant(p) - constant(q)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Tensor:
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    normalisers = total.lgamma() - b.sum(-1).lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
    return normalisers + ((a - b) * (a.digamma() - total.digamma().unsqueeze(-1))).sum(-1)


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(ExponentialFamily, ExponentialFamily)
def _family(p: Any, q: Any) -> Tensor:
    if type(p) is not type(q):
        raise NotImplementedError(
            "The cross KL-divergence between different exponential families cannot be computed "
            "using Bregman divergences"
        )
    return divergence(p, q)


@register_kl(Gamma, Gamma)
def _gamma(p: Any, q: Any) -> Tensor:
    a, b = p.concentration, q.concentration
    return (
        b * (p.rate / q.rate).log()
        + b.lgamma()
        - a.lgamma()
        + (a - b) * a.digamma()
        + (q.rate - p.rate) * (a / p.rate)
    )


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Tensor:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Any, q: Any) -> Tensor:
    ratio, apart = p.scale / q.scale, (p.loc - q.loc) / q.scale
    tail = (-apart + (1 + ratio).lgamma()).exp()
    return -ratio.log() + apart + ratio * EULER + tail - (1 + EULER)


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Tensor:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Tensor:
    ratio, apart = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + apart / q.scale + ratio * (-apart / p.scale).exp() - 1


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Tensor:
    ratio = (p.scale / q.scale).square()
    apart = ((p.loc - q.loc) / q.scale).square()
    return 0.5 * (ratio + apart - 1 - ratio.log())


@register_kl(Pareto, Pareto)
def _pareto(p: Any, q: Any) -> Tensor:
    ratio = q.alpha / p.alpha
    result = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return where(p.scale < q.scale, math.inf, result)


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Tensor:
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return where((q.low > p.low) | (q.high < p.high), math.inf, result)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: Any, q: Any) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError(
            "KL between transformed distributions needs equal transforms and event shapes"
        )
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            "KL between Independent distributions needs equal reinterpreted_batch_ndims"
        )
    result = kl_divergence(p.base_dist, q.base_dist)
    return sum_rightmost(result, p.reinterpreted_batch_ndims)


# --------------------------------------------------------------------------- of normal vectors


def _same_events(p: Any, q: Any) -> None:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Multivariate Normals with different event shapes cannot be "
            "computed"
        )


def _squares(matrix: Tensor) -> Tensor:
    """The trace of ``matrix @ matrix.T``."""
    return matrix.square().sum((-2, -1))


def _spread(p: Any) -> tuple[Tensor, ...]:
    """Matrices whose products with their transposes sum to the covariance."""
    if isinstance(p, LowRankMultivariateNormal):
        return p._factor, p._diagonal.sqrt().diag_embed()
    return (p._unbroadcasted_scale_tril,)


def _log_det(p: Any) -> Tensor:
    if isinstance(p, LowRankMultivariateNormal):
        return lowrank_log_det(p._diagonal, p._capacitance_tril)
    return 2 * half_log_det(p._unbroadcasted_scale_tril)


def _vectors_and_factor(p: Any, q: Any) -> Tensor:
    _same_events(p, q)
    factor = q._unbroadcasted_scale_tril
    trace: Any = 0.0
    for part in _spread(p):
        batch = broadcast_shapes(factor.shape[:-2], part.shape[:-2])
        whole = factor.expand(*batch, *factor.shape[-2:])
        scaled = solve_triangular(whole, part.expand(*batch, *part.shape[-2:]), upper=False)
        trace = trace + _squares(scaled)
    squared = mahalanobis(factor, q.loc - p.loc)
    return 0.5 * (_log_det(q) - _log_det(p) + trace + squared - p.event_shape[0])


def _vectors_and_low_rank(p: Any, q: Any) -> Tensor:
    _same_events(p, q)
    scaled = q._factor.mT / q._diagonal.unsqueeze(-2)
    inner = solve_triangular(q._capacitance_tril, scaled, upper=False)
    trace: Any = 0.0
    for part in _spread(p):  # the inverse of q's covariance is inv(D) - inner.T @ inner
        trace = trace + _squares(part / q._diagonal.sqrt().unsqueeze(-1)) - _squares(inner @ part)
    squared = lowrank_mahalanobis(q._factor, q._diagonal, q.loc - p.loc, q._capacitance_tril)
    return 0.5 * (_log_det(q) - _log_det(p) + trace + squared - p.event_shape[0])


for _kind in (MultivariateNormal, LowRankMultivariateNormal):
    register_kl(_kind, MultivariateNormal)(_vectors_and_factor)
    register_kl(_kind, LowRankMultivariateNormal)(_vectors_and_low_rank)


# ---------------------------------------------------------------------------- of different families


def _x_log_x(x: Tensor) -> Tensor:
    return x.xlogy(x)


def _mean_log_between(low: Tensor, high: Tensor) -> Tensor:
    return (_x_log_x(high) - _x_log_x(low)) / (high - low) - 1


_MEAN_LOG: dict[type, Callable[[Any], Tensor]] = {  # E[log x]
    Beta: lambda p: p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma(),
    Exponential: lambda p: -p.rate.log() - EULER,
    Gamma: lambda p: p.concentration.digamma() - p.rate.log(),
    Pareto: lambda p: p.scale.log() + p.alpha.reciprocal(),
    Uniform: lambda p: _mean_log_between(p.low, p.high),
}
_MEAN_EXP: dict[type, Callable[[Any, Tensor], Tensor]] = {  # E[exp(-x / s)]
    Exponential: lambda p, s: p.rate * s / (p.rate * s + 1),
    Gamma: lambda p, s: (1 + (p.rate * s).reciprocal()).pow(-p.concentration),
    Normal: lambda p, s: (-p.loc / s + 0.5 * (p.scale / s).square()).exp(),
    Uniform: lambda p, s: s / (p.high - p.low) * ((-p.low / s).exp() - (-p.high / s).exp()),
}


def _mean_distance(p: Any, centre: Tensor) -> Tensor:
    """E[abs(x - centre)] under a normal distribution."""
    apart = p.loc - centre
    scaled = apart / p.scale
    near = math.sqrt(2 / math.pi) * p.scale * (-0.5 * scaled.square()).exp()
    return near + apart * (math.sqrt(0.5) * scaled).erf()


# E_p[log q], by the type of q; it may use the tables above.
_EXPECTED: dict[type, Callable[[Any, Any], Any]] = {
    Beta: lambda p, q: (
        (q.concentration1 - 1) * _mean_log_between(p.low, p.high)
        + (q.concentration0 - 1) * _mean_log_between(1 - p.high, 1 - p.low)
        + (q.concentration1 + q.concentration0).lgamma()
        - q.concentration1.lgamma()
        - q.concentration0.lgamma()
    ),
    ContinuousBernoulli: lambda p, q: (
        p.mean * q.logits + (-q.probs).log1p() + q._cont_bern_log_norm()
    ),
    Exponential: lambda p, q: q.rate.log() - q.rate * p.mean,
    Gamma: lambda p, q: (
        q.concentration.xlogy(q.rate)
        - q.concentration.lgamma()
        + (q.concentration - 1) * _MEAN_LOG[_base(p)](p)
        - q.rate * p.mean
    ),
    Gumbel: lambda p, q: (
        -(p.mean - q.loc) / q.scale
        - (q.loc / q.scale).exp() * _MEAN_EXP[_base(p)](p, q.scale)
        - q.scale.log()
    ),
    Laplace: lambda p, q: -(2 * q.scale).log() - _mean_distance(p, q.loc) / q.scale,
    Normal: lambda p, q: (
        -0.5 * math.log(2 * math.pi)
        - q.scale.log()
        - (p.variance + (p.mean - q.loc).square()) / (2 * q.scale.square())
    ),
    Pareto: lambda p, q: (
        q.alpha.log() + q.alpha.xlogy(q.scale) - (q.alpha + 1) * _MEAN_LOG[_base(p)](p)
    ),
    Poisson: lambda p, q: p.probs * q.rate.log() - q.rate,
    Uniform: lambda _, q: -(q.high - q.low).log(),
}


def _base(p: Any) -> type:
    """The type of the table that a distribution belongs to."""
    return next(kind for kind in type(p).__mro__ if kind in _MEAN_LOG or kind in _MEAN_EXP)


_INSIDE: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {
    # Where p gives values that q does not, the divergence is infinite.
    (Beta, Uniform): lambda _, q: (q.low <= 0) & (q.high >= 1),
    (ContinuousBernoulli, Uniform): lambda _, q: (q.low < 0) & (q.high > 1),
    (Uniform, Beta): lambda p, _: (p.low >= 0) & (p.high <= 1),
    (Uniform, ContinuousBernoulli): lambda p, _: (p.low > 0) & (p.high < 1),
    (Uniform, Exponential): lambda p, _: p.low >= 0,
    (Uniform, Gamma): lambda p, _: p.low >= 0,
    (Uniform, Pareto): lambda p, q: p.low >= q.scale,
    # Where p has no such moment, neither.
    (Pareto, Exponential): lambda p, _: p.alpha > 1,
    (Pareto, Gamma): lambda p, _: p.alpha > 1,
    (Pareto, Normal): lambda p, _: p.alpha > 2,
}


def _across(kind_p: type, kind_q: type) -> Rule:
    expected, inside = _EXPECTED[kind_q], _INSIDE.get((kind_p, kind_q))

    def rule(p: Any, q: Any) -> Tensor:
        result = -p.entropy() - expected(p, q)
        return result if inside is None else where(inside(p, q), result, math.inf)

    return rule


def _infinite(p: Any, q: Any) -> Tensor:
    del q
    return filled(p.mean, math.inf)


_FINITE: dict[type, str] = {
    Bernoulli: "Poisson",
    Beta: "ContinuousBernoulli Exponential Gamma Normal Uniform",
    ContinuousBernoulli: "Exponential Normal Uniform",
    Exponential: "Gamma Gumbel Normal",
    Gamma: "Exponential Gumbel Normal",
    Gumbel: "Normal",
    Laplace: "Normal",
    Normal: "Gumbel Laplace",
    Pareto: "Exponential Gamma Normal",
    Uniform: "Beta ContinuousBernoulli Exponential Gamma Gumbel Normal Pareto",
}
_INFINITE: dict[type, str] = {
    Beta: "Pareto",
    ContinuousBernoulli: "Pareto",
    Exponential: "Beta ContinuousBernoulli Pareto Uniform",
    Gamma: "Beta ContinuousBernoulli Pareto Uniform",
    Gumbel: "Beta ContinuousBernoulli Exponential Gamma Pareto Uniform",
    Laplace: "Beta ContinuousBernoulli Exponential Gamma Pareto Uniform",
    Normal: "Beta ContinuousBernoulli Exponential Gamma Pareto Uniform",
    Pareto: "Beta ContinuousBernoulli Uniform",
    Poisson: "Bernoulli Binomial",
}
_BY_NAME: dict[str, type] = {kind.__name__: kind for kind in (*_EXPECTED, Bernoulli, Binomial)}
for _p, _names in _FINITE.items():
    for _name in _names.split():
        register_kl(_p, _BY_NAME[_name])(_across(_p, _BY_NAME[_name]))
for _p, _names in _INFINITE.items():
    for _name in _names.split():
        register_kl(_p, _BY_NAME[_name])(_infinite)
