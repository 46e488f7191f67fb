"""The generalised Pareto distribution."""

import math
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.parameters import filled
from graphc.functions.closeness import isclose
from graphc.functions.pointwise import where
from graphc.tensor import Tensor


class GeneralizedPareto(Distribution):
    """What exceeds a high threshold: ``1 - cdf = (1 + concentration z)**(-1 / concentration)``.

    ``z = (x - loc) / scale``; concentration 0 is the exponential distribution, and a negative one
    ends at ``loc - scale / concentration``.
    """

    arg_constraints: ClassVar[Any] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample = True

    def __init__(
        self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None
    ) -> None:
        self._broadcast(validate_args, loc=loc, scale=scale, concentration=concentration)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        end = self.loc - self.scale / self.concentration
        return constraints.interval(self.loc, where(self.concentration < 0, end, math.inf))

    def _flat(self) -> tuple[Tensor, Tensor]:
        """Where the concentration is as good as 0, and one that can be divided by."""
        c = self.concentration
        flat = isclose(c, filled(c, 0.0))
        return flat, where(flat, 1.0, c)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.icdf(self._uniform(sample_shape, self.loc))

    def _survival(self, value: Tensor) -> Tensor:
        """The logarithm of the probability of more."""
        z = (value - self.loc) / self.scale
        flat, c = self._flat()
        return where(flat, -z, -(c * z).log1p() / c)

    def log_prob(self, value: Tensor) -> Tensor:
        z = (self._checked(value) - self.loc) / self.scale
        flat, c = self._flat()
        return where(flat, -z, -(1 + 1 / c) * (c * z).log1p()) - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        return 1 - self._survival(self._checked(value)).exp()

    def log_survival_function(self, value: Tensor) -> Tensor:
        """The logarithm of the probability of more than a value."""
        return self._survival(value)

    def log_cdf(self, value: Tensor) -> Tensor:
        """The logarithm of the probability of values up to this."""
        return (-self._survival(self._checked(value)).exp()).log1p()

    def icdf(self, value: Tensor) -> Tensor:
        flat, c = self._flat()
        left = (-value).log1p()
        z = where(flat, -left, (-c * left).expm1() / c)
        return self.loc + self.scale * z

    @property
    def mean(self) -> Tensor:
        c = self.concentration
        return where(c < 1, self.loc + self.scale / (1 - c), math.nan)

    @property
    def variance(self) -> Tensor:
        c = self.concentration
        finite = self.scale.square() / ((1 - c).square() * (1 - 2 * c))
        return where(c < 0.5, finite, math.nan)

    def entropy(self) -> Tensor:
        return self.scale.log() + self.concentration + 1

    mode = property(lambda self: self.loc)
