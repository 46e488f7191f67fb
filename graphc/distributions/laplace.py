"""The Laplace distribution."""

import math
from typing import Any, ClassVar

from graphc import dtypes
from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.tensor import Tensor


class Laplace(Distribution):
    """Density ``exp(-abs(x - loc) / scale) / (2 scale)``."""

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self._broadcast(validate_args, loc=loc, scale=scale)

    mean = mode = property(lambda self: self.loc)
    stddev = property(lambda self: math.sqrt(2) * self.scale)
    variance = property(lambda self: 2 * self.scale.square())

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        drawn = self._uniform(sample_shape, self.loc)
        u = (2 * drawn - 1).clamp(min=dtypes.finfo(drawn.dtype).eps - 1)
        return self.loc - self.scale * u.sign() * (-u.abs()).log1p()

    def log_prob(self, value: Tensor) -> Tensor:
        return -(2 * self.scale).log() - (self._checked(value) - self.loc).abs() / self.scale

    def cdf(self, value: Tensor) -> Tensor:
        distance = self._checked(value) - self.loc
        return 0.5 - 0.5 * distance.sign() * (-distance.abs() / self.scale).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        apart = value - 0.5
        return self.loc - self.scale * apart.sign() * (-2 * apart.abs()).log1p()

    def entropy(self) -> Tensor:
        return 1 + (2 * self.scale).log()
