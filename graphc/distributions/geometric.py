"""The geometric distribution."""

from typing import Any, ClassVar

from graphc import dtypes
from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.odds import Odds
from graphc.distributions.parameters import broadcast_all, filled, values_known
from graphc.functions.pointwise import where
from graphc.modes import no_grad
from graphc.tensor import Tensor


class Geometric(Odds):
    """How many trials fail until the first one succeeds."""

    arg_constraints: ClassVar[Any] = {
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._take_odds(probs, logits)
        Distribution.__init__(self, self._param.shape, validate_args=validate_args)
        looked_at = self._validate_args and probs is not None and values_known(self._param)
        if looked_at and not bool((self._param > 0).all()):
            raise ValueError(
                f"Expected parameter probs (Tensor of shape {tuple(self._param.shape)}) of "
                f"distribution {self!r} to be positive but found invalid values:\n{self._param}"
            )

    mean = property(lambda self: 1 / self.probs - 1)
    mode = property(lambda self: filled(self.probs, 0.0))
    variance = property(lambda self: (1 / self.probs - 1) / self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            drawn = self._uniform(sample_shape, self.probs)
            drawn = drawn.clamp(min=dtypes.finfo(drawn.dtype).tiny)
            return (drawn.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        value, probs = broadcast_all(self._checked(value), self.probs)
        failing = where(probs.eq(1) & value.eq(0), 0.0, probs)
        return value * (-failing).log1p() + probs.log()

    def entropy(self) -> Tensor:
        return self._surprise(self.probs) / self.probs
