"""The Kumaraswamy distribution."""

import math
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.parameters import EULER, broadcast_all, filled
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.transforms import AffineTransform, PowerTransform, Transform
from graphc.distributions.uniform import Uniform
from graphc.functions.pointwise import where
from graphc.tensor import Tensor


class Kumaraswamy(TransformedDistribution):
    """Density ``a b x**(a - 1) (1 - x**a)**(b - 1)``; ``a`` is concentration1, ``b`` is 0."""

    arg_constraints: ClassVar[Any] = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        base = Uniform(
            filled(self.concentration0, 0.0),
            filled(self.concentration0, 1.0),
            validate_args=validate_args,
        )
        chain = _chain(self.concentration1, self.concentration0)
        super().__init__(base, chain, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new.transforms = _chain(new.concentration1, new.concentration0)
        return new

    def _moment(self, n: int) -> Tensor:
        a, b = self.concentration1, self.concentration0
        order = 1 + n / a
        return (b.log() + order.lgamma() + b.lgamma() - (order + b).lgamma()).exp()

    @property
    def mean(self) -> Tensor:
        return self._moment(1)

    @property
    def mode(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        peak = ((a - 1) / (a * b - 1)).pow(a.reciprocal())
        return where((a < 1) | (b < 1), math.nan, peak)

    @property
    def variance(self) -> Tensor:
        return self._moment(2) - self.mean.square()

    def entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        harmonic = (b + 1).digamma() + EULER
        return 1 - b.reciprocal() + (1 - a.reciprocal()) * harmonic - a.log() - b.log()


def _chain(concentration1: Tensor, concentration0: Tensor) -> list[Transform]:
    return [
        PowerTransform(concentration0.reciprocal()),
        AffineTransform(1.0, -1.0),
        PowerTransform(concentration1.reciprocal()),
    ]
