"""The multinomial distribution."""

import math
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.binomial import Binomial
from graphc.distributions.categorical import Categorical
from graphc.distributions.distribution import Distribution
from graphc.distributions.parameters import broadcast_all
from graphc.functions.creation import arange
from graphc.functions.pointwise import where
from graphc.nn.functional import one_hot
from graphc.tensor import Tensor


class Multinomial(Distribution):
    """How often each category occurs in ``total_count`` draws; parameters as of Categorical."""

    arg_constraints: ClassVar[Any] = {
        "probs": constraints.simplex,
        "logits": constraints.real_vector,
    }
    total_count: int

    def __init__(
        self,
        total_count: int = 1,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs, logits)
        own = self._categorical
        super().__init__(own.batch_shape, own.param_shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new._categorical = self._categorical.expand(batch_shape)
        return new

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    probs = property(lambda self: self._categorical.probs)
    logits = property(lambda self: self._categorical.logits)
    param_shape = property(lambda self: self._categorical.param_shape)
    mean = property(lambda self: self.probs * self.total_count)
    variance = property(lambda self: self.total_count * self.probs * (1 - self.probs))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        drawn = self._categorical.sample((self.total_count, *sample_shape))
        counts = one_hot(drawn, self._categorical._num_events).sum(0)
        return counts.to(self._categorical._param.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        logits, value = broadcast_all(self.logits, self._checked(value))
        ways = (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1)
        possible = where(value.eq(0) & logits.eq(-math.inf), 0.0, logits)
        return ways + (possible * value).sum(-1)

    def entropy(self) -> Tensor:
        n = self.total_count
        # Each category's count is binomial: the expected logarithm of its factorial.
        counts = Binomial(n, probs=self.probs)
        values = arange(1, n + 1, dtype=self.probs.dtype)
        values = values.reshape(-1, *(1,) * self.probs.ndim)
        factorials = (counts.log_prob(values).exp() * (values + 1).lgamma()).sum((0, -1))
        return n * self._categorical.entropy() - math.lgamma(n + 1) + factorials
