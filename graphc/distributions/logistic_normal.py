"""The logistic-normal distribution."""

import copy
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.normal import Normal
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.transforms import StickBreakingTransform
from graphc.tensor import Size


class LogisticNormal(TransformedDistribution):
    """Normal numbers as parts of a stick, broken off one after the other."""

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args=validate_args)
        if not base.batch_shape:
            base = base.expand([1])
        super().__init__(base, StickBreakingTransform(), validate_args=validate_args)

    loc = property(lambda self: self.base_dist.base_dist.loc)
    scale = property(lambda self: self.base_dist.base_dist.scale)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = copy.copy(self) if _instance is None else _instance
        vars(new).update(vars(self))
        new.base_dist = self.base_dist.expand(batch_shape)
        new._batch_shape = Size(batch_shape)
        return new
