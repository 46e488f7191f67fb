"""The half Cauchy distribution."""

import math
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.cauchy import Cauchy
from graphc.distributions.parameters import as_parameter, filled
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.transforms import AbsTransform
from graphc.functions.pointwise import where
from graphc.tensor import Tensor


class HalfCauchy(TransformedDistribution):
    """The absolute values of numbers of the Cauchy distribution around 0."""

    arg_constraints: ClassVar[Any] = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        base = Cauchy(0, scale, validate_args=False)
        super().__init__(base, AbsTransform(), validate_args=validate_args)

    scale = property(lambda self: self.base_dist.scale)
    mean = property(lambda self: filled(self.scale, math.inf))
    mode = property(lambda self: filled(self.scale, 0.0))
    variance = property(lambda self: self.base_dist.variance)

    def log_prob(self, value: Tensor) -> Tensor:
        value = as_parameter(value, self.scale.dtype)
        result = self.base_dist.log_prob(self._checked(value)) + math.log(2)
        return where(value >= 0, result, -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        return 2 * self.base_dist.cdf(self._checked(value)) - 1

    def icdf(self, value: Tensor) -> Tensor:
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() - math.log(2)
