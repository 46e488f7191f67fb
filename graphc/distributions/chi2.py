"""The chi squared distribution."""

from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.gamma import Gamma


class Chi2(Gamma):
    """The sum of ``df`` squared normal numbers."""

    arg_constraints: ClassVar[Any] = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        half = df * 0.5
        super().__init__(half, 0.5, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new.concentration = self.concentration.expand(*batch_shape)
        new.rate = self.rate.expand(*batch_shape)
        return new

    df = property(lambda self: self.concentration * 2)
