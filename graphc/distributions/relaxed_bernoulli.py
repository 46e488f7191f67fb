"""Relaxed Bernoulli numbers, which have gradients."""

from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.odds import Odds
from graphc.distributions.parameters import as_parameter, broadcast_all, clamp_probs
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.transforms import SigmoidTransform
from graphc.nn.functional import softplus
from graphc.tensor import Tensor


class LogitRelaxedBernoulli(Odds):
    """The log odds of such numbers: logistic noise around ``logits``, divided by ``temperature``.

    Maddison, Mnih, Teh, "The concrete distribution: a continuous relaxation of discrete random
    variables" (2017).
    """

    arg_constraints: ClassVar[Any] = {
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    support = constraints.real
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self.temperature = temperature
        self._take_odds(probs, logits)
        Distribution.__init__(self, self._param.shape, validate_args=validate_args)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        p = clamp_probs(self.probs)
        u = clamp_probs(self._uniform(sample_shape, p))
        noise = u.log() - (-u).log1p()
        return (noise + p.log() - (-p).log1p()) / self.temperature

    def log_prob(self, value: Tensor) -> Tensor:
        logits, value = broadcast_all(self.logits, self._checked(value))
        apart = logits - value * self.temperature
        temperature = as_parameter(self.temperature, logits.dtype)
        return temperature.log() + apart - 2 * softplus(apart)


class RelaxedBernoulli(TransformedDistribution):
    """Numbers between 0 and 1, close to its ends for low temperatures."""

    arg_constraints: ClassVar[Any] = LogitRelaxedBernoulli.arg_constraints
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)

    temperature = property(lambda self: self.base_dist.temperature)
    logits = property(lambda self: self.base_dist.logits)
    probs = property(lambda self: self.base_dist.probs)
