"""The continuous Bernoulli distribution."""

import math
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.exp_family import ExponentialFamily
from graphc.distributions.odds import Odds
from graphc.distributions.parameters import clamp_probs, lazy_property, logits_to_probs
from graphc.functions.pointwise import where
from graphc.tensor import Tensor


class ContinuousBernoulli(Odds, ExponentialFamily):
    """Density proportional to ``probs**x (1 - probs)**(1 - x)`` between 0 and 1.

    Loaiza-Ganem and Cunningham, "The continuous Bernoulli: fixing a pervasive error in variational
    autoencoders" (2019). Where probabilities lie between the two ``lims``, around 1/2, formulas are
    replaced by their Taylor series.
    """

    arg_constraints: ClassVar[Any] = {
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        self._take_odds(probs, logits)
        self._lims = lims
        Distribution.__init__(self, self._param.shape, validate_args=validate_args)
        if probs is not None:  # checked as they were given
            self._param = vars(self)["probs"] = clamp_probs(self._param)

    @lazy_property
    def probs(self) -> Tensor:  # type: ignore[override]
        """The probabilities, away from 0 and 1."""
        return clamp_probs(logits_to_probs(self.logits, is_binary=True))

    def _cut(self, probs: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Where formulas hold, and probabilities for which they do."""
        p = self.probs if probs is None else probs
        holds = (p <= self._lims[0]) | (p > self._lims[1])
        return holds, where(holds, p, self._lims[0])

    def _cont_bern_log_norm(self) -> Tensor:
        """The logarithm of the normalising constant."""
        holds, p = self._cut()
        ratio = ((-p).log1p() - p.log()).abs().log() - (1 - 2 * p).abs().log()
        x = (self.probs - 0.5).square()
        return where(holds, ratio, math.log(2.0) + (4 / 3 + 104 / 45 * x) * x)

    @property
    def mean(self) -> Tensor:
        holds, p = self._cut()
        x = self.probs - 0.5
        exact = p / (2 * p - 1) + 1 / ((-p).log1p() - p.log())
        return where(holds, exact, 0.5 + (1 / 3 + 16 / 45 * x.square()) * x)

    @property
    def variance(self) -> Tensor:
        holds, p = self._cut()
        x = (self.probs - 0.5).square()
        exact = p * (p - 1) / (1 - 2 * p).square() + ((-p).log1p() - p.log()).pow(-2)
        return where(holds, exact, 1 / 12 - (1 / 15 - 128 / 945 * x) * x)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.icdf(self._uniform(sample_shape, self.probs))

    def log_prob(self, value: Tensor) -> Tensor:
        return -self._surprise(self._checked(value)) + self._cont_bern_log_norm()

    def cdf(self, value: Tensor) -> Tensor:
        self._checked(value)
        holds, p = self._cut()
        exact = (p.pow(value) * (1 - p).pow(1 - value) + p - 1) / (2 * p - 1)
        return where(holds, exact, value).clamp(min=0, max=1)

    def icdf(self, value: Tensor) -> Tensor:
        holds, p = self._cut()
        odds = p.log() - (-p).log1p()
        exact = ((-p + value * (2 * p - 1)).log1p() - (-p).log1p()) / odds
        return where(holds, exact, value)

    def entropy(self) -> Tensor:
        low, odds = (-self.probs).log1p(), self.logits
        return -self.mean * odds - self._cont_bern_log_norm() - low

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        (x,) = natural_params
        holds = (x <= logit(self._lims[0])) | (x > logit(self._lims[1]))
        cut = where(holds, x, logit(self._lims[0]))
        exact = cut.expm1().abs().log() - cut.abs().log()
        series = 0.5 * x + x.square() / 24 - x.pow(4) / 2880
        return where(holds, exact, series)


def logit(p: float) -> float:
    """The log odds of a probability."""
    return math.log(p / (1 - p))
