"""Student's t distribution."""

import math
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.chi2 import Chi2
from graphc.distributions.distribution import Distribution
from graphc.distributions.parameters import broadcast_all
from graphc.functions.pointwise import where
from graphc.tensor import Tensor


class StudentT(Distribution):
    """A normal number divided by the root of the mean of ``df`` squared ones."""

    arg_constraints: ClassVar[Any] = {
        "df": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.real
    has_rsample = True

    def __init__(
        self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        df, loc, scale = broadcast_all(df, loc, scale)
        self._chi2 = Chi2(df)
        self._broadcast(validate_args, df=df, loc=loc, scale=scale)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new._chi2 = self._chi2.expand(batch_shape)
        return new

    mean = property(lambda self: where(self.df > 1, self.loc, math.nan))
    mode = property(lambda self: self.loc)

    @property
    def variance(self) -> Tensor:
        finite = self.scale.square() * self.df / (self.df - 2)
        return where(self.df > 2, finite, where(self.df > 1, math.inf, math.nan))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        normal = self._normal(sample_shape, self.df)
        mean_square = self._chi2.rsample(sample_shape) / self.df
        return self.loc + self.scale * normal * mean_square.rsqrt()

    def _log_normaliser(self) -> Tensor:
        half = 0.5 * self.df
        return 0.5 * (self.df * math.pi).log() + half.lgamma() - (half + 0.5).lgamma()

    def log_prob(self, value: Tensor) -> Tensor:
        y = (self._checked(value) - self.loc) / self.scale
        tail = (0.5 * (self.df + 1)) * (y.square() / self.df).log1p()
        return -tail - self._log_normaliser() - self.scale.log()

    def entropy(self) -> Tensor:
        half, more = 0.5 * self.df, 0.5 * (self.df + 1)
        return self.scale.log() + more * (more.digamma() - half.digamma()) + self._log_normaliser()
