"""The Weibull distribution."""

from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.exponential import Exponential
from graphc.distributions.parameters import EULER, broadcast_all, filled
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.transforms import AffineTransform, PowerTransform
from graphc.tensor import Tensor


class Weibull(TransformedDistribution):
    """``scale`` times an exponentially distributed number to the power ``1 / concentration``."""

    arg_constraints: ClassVar[Any] = {
        "scale": constraints.positive,
        "concentration": constraints.positive,
    }
    support = constraints.positive
    has_rsample = True

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        base = Exponential(filled(self.scale, 1.0), validate_args=validate_args)
        chain = [PowerTransform(self.concentration.reciprocal()), AffineTransform(0, self.scale)]
        super().__init__(base, chain, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new.transforms = [
            PowerTransform(new.concentration.reciprocal()),
            AffineTransform(0, new.scale),
        ]
        return new

    @property
    def mean(self) -> Tensor:
        return self.scale * (1 + self.concentration.reciprocal()).lgamma().exp()

    @property
    def mode(self) -> Tensor:
        c = self.concentration
        return self.scale * ((c - 1) / c) ** c.reciprocal()

    @property
    def variance(self) -> Tensor:
        inverse = self.concentration.reciprocal()
        first, second = (1 + inverse).lgamma(), (1 + 2 * inverse).lgamma()
        return self.scale.square() * (second.exp() - (2 * first).exp())

    def entropy(self) -> Tensor:
        inverse = self.concentration.reciprocal()
        return EULER * (1 - inverse) + (self.scale * inverse).log() + 1
