"""The von Mises distribution."""

import math
from typing import Any, ClassVar

from graphc import dtypes, special
from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.parameters import lazy_property
from graphc.functions.pointwise import where
from graphc.functions.random import rand
from graphc.modes import no_grad
from graphc.tensor import Tensor

_ATTEMPTS = 16


class VonMises(Distribution):
    """Density ``exp(concentration cos(x - loc)) / (2 pi I0(concentration))`` on the circle.

    Drawn by Best and Fisher, "Efficient simulation of the von Mises distribution" (1979), with a
    fixed number of attempts, at each of which about every third value is refused at worst.
    """

    arg_constraints: ClassVar[Any] = {
        "loc": constraints.real,
        "concentration": constraints.positive,
    }
    support = constraints.real
    has_rsample = False

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self._broadcast(validate_args, loc=loc, concentration=concentration)

    mean = mode = property(lambda self: self.loc)

    @lazy_property
    def variance(self) -> Tensor:  # type: ignore[override]
        """The circular variance."""
        return 1 - special.i1e(self.concentration) / special.i0e(self.concentration)

    def log_prob(self, value: Tensor) -> Tensor:
        distance = (self._checked(value) - self.loc).cos()
        k = self.concentration
        return k * (distance - 1) - math.log(2 * math.pi) - special.i0e(k).log()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            shape = self._extended_shape(sample_shape)
            k = self.concentration.double()
            tau = 1 + (1 + 4 * k.square()).sqrt()
            rho = (tau - (2 * tau).sqrt()) / (2 * k)
            exact = (1 + rho.square()) / (2 * rho)
            # Where k is small, rounding takes the roots apart: their series at 0.
            r = where(k < 1e-5, 1 / k + k, exact)
            u = rand((_ATTEMPTS, 3, *shape), dtype=dtypes.float64)
            z = (math.pi * u[:, 0]).cos()
            f = (1 + r * z) / (r + z)
            c = k * (r - f)
            found = (c * (2 - c) - u[:, 1] > 0) | ((c / u[:, 1]).log() + 1 - c >= 0)
            chosen = f[-1]
            for attempt in reversed(range(_ATTEMPTS)):
                chosen = where(found[attempt], f[attempt], chosen)
            angle = (u[0, 2] - 0.5).sign() * chosen.clamp(min=-1, max=1).acos()
            turned = angle + math.pi + self.loc.double()
            return (turned.remainder(2 * math.pi) - math.pi).to(self.loc.dtype)
