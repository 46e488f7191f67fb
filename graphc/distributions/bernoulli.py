"""The Bernoulli distribution."""

import math
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.exp_family import ExponentialFamily
from graphc.distributions.odds import Odds
from graphc.functions.creation import arange
from graphc.functions.distributions import bernoulli
from graphc.functions.pointwise import where
from graphc.modes import no_grad
from graphc.nn.functional import softplus
from graphc.tensor import Tensor


class Bernoulli(Odds, ExponentialFamily):
    """1 with probability ``probs``, else 0."""

    arg_constraints: ClassVar[Any] = {
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    support = constraints.boolean
    has_enumerate_support = True
    _mean_carrier_measure = 0

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._take_odds(probs, logits)
        Distribution.__init__(self, self._param.shape, validate_args=validate_args)

    mean = property(lambda self: self.probs)
    variance = property(lambda self: self.probs * (1 - self.probs))

    @property
    def mode(self) -> Tensor:
        p = self.probs
        return where(p == 0.5, math.nan, (p >= 0.5).to(p.dtype))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            return bernoulli(self.probs.expand(*self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        return -self._surprise(self._checked(value))

    def entropy(self) -> Tensor:
        return self._surprise(self.probs)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return self._listed(arange(2, dtype=self._param.dtype), expand)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        return softplus(natural_params[0])
