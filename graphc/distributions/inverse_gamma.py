"""The inverse gamma distribution."""

import math
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.gamma import Gamma
from graphc.distributions.parameters import filled
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.transforms import PowerTransform
from graphc.functions.pointwise import where
from graphc.tensor import Tensor


class InverseGamma(TransformedDistribution):
    """``1 / x`` has a gamma distribution."""

    arg_constraints: ClassVar[Any] = {
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.positive
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        base = Gamma(concentration, rate, validate_args=validate_args)
        inverse = PowerTransform(filled(base.rate, -1.0))
        super().__init__(base, inverse, validate_args=validate_args)

    concentration = property(lambda self: self.base_dist.concentration)
    rate = property(lambda self: self.base_dist.rate)
    mode = property(lambda self: self.rate / (self.concentration + 1))

    @property
    def mean(self) -> Tensor:
        c = self.concentration
        return where(c > 1, self.rate / (c - 1), math.inf)

    @property
    def variance(self) -> Tensor:
        c = self.concentration
        return where(c > 2, self.rate.square() / ((c - 1).square() * (c - 2)), math.inf)

    def entropy(self) -> Tensor:
        c = self.concentration
        return c + self.rate.log() + c.lgamma() - (1 + c) * c.digamma()
