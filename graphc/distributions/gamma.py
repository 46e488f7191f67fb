"""The gamma distribution."""

from typing import Any, ClassVar

from graphc import dtypes
from graphc.distributions import constraints
from graphc.distributions.exp_family import ExponentialFamily
from graphc.distributions.gamma_sampling import standard_gamma
from graphc.distributions.parameters import as_parameter
from graphc.functions.pointwise import where
from graphc.tensor import Tensor


class Gamma(ExponentialFamily):
    """Density ``rate**c x**(c - 1) exp(-rate x) / Gamma(c)`` with ``c`` the concentration."""

    arg_constraints: ClassVar[Any] = {
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self._broadcast(validate_args, concentration=concentration, rate=rate)

    mean = property(lambda self: self.concentration / self.rate)
    mode = property(lambda self: ((self.concentration - 1) / self.rate).clamp(min=0))
    variance = property(lambda self: self.concentration / self.rate.square())

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        value = standard_gamma(self.concentration.expand(*shape)) / self.rate
        tiny = dtypes.finfo(value.dtype).tiny
        return where(value.detach() < tiny, tiny + (value - value.detach()), value)

    def log_prob(self, value: Tensor) -> Tensor:
        value = as_parameter(value, self.rate.dtype)
        self._checked(value)
        c = self.concentration
        return c.xlogy(self.rate) + (c - 1).xlogy(value) - self.rate * value - c.lgamma()

    def cdf(self, value: Tensor) -> Tensor:
        return self.concentration.igamma(self.rate * self._checked(value))

    def entropy(self) -> Tensor:
        c = self.concentration
        return c - self.rate.log() + c.lgamma() + (1 - c) * c.digamma()

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        x, y = natural_params
        return (x + 1).lgamma() + (x + 1) * (-y.reciprocal()).log()
