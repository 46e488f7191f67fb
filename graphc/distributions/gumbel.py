"""The Gumbel distribution."""

import math
from typing import Any, ClassVar

from graphc import dtypes
from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.parameters import EULER
from graphc.tensor import Tensor


class Gumbel(Distribution):
    """Density ``exp(-z - exp(-z)) / scale`` with ``z = (x - loc) / scale``."""

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self._broadcast(validate_args, loc=loc, scale=scale)

    mean = property(lambda self: self.loc + self.scale * EULER)
    mode = property(lambda self: self.loc)
    stddev = property(lambda self: math.pi / math.sqrt(6) * self.scale)
    variance = property(lambda self: self.stddev.square())

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        drawn = self._uniform(sample_shape, self.loc)
        limits = dtypes.finfo(drawn.dtype)
        return self.icdf(drawn.clamp(min=limits.tiny, max=1 - limits.eps))

    def log_prob(self, value: Tensor) -> Tensor:
        z = (self._checked(value) - self.loc) / self.scale
        return -z - (-z).exp() - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        return (-(-(self._checked(value) - self.loc) / self.scale).exp()).exp()

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc - self.scale * (-value.log()).log()

    def entropy(self) -> Tensor:
        return self.scale.log() + (1 + EULER)
