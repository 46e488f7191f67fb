"""The Poisson distribution."""

from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.exp_family import ExponentialFamily
from graphc.distributions.parameters import broadcast_all
from graphc.functions.distributions import poisson
from graphc.modes import no_grad
from graphc.tensor import Tensor


class Poisson(ExponentialFamily):
    """How many of many rare events happen: ``rate**k exp(-rate) / k!``."""

    arg_constraints: ClassVar[Any] = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        self._broadcast(validate_args, rate=rate)

    mean = variance = property(lambda self: self.rate)
    mode = property(lambda self: self.rate.floor())

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            return poisson(self.rate.expand(*self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        rate, value = broadcast_all(self.rate, self._checked(value))
        return value.xlogy(rate) - rate - (value + 1).lgamma()

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.rate.log(),)

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        return natural_params[0].exp()
