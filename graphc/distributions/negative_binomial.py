"""The negative binomial distribution."""

from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.gamma import Gamma
from graphc.distributions.odds import Odds
from graphc.distributions.parameters import count_like, lazy_property
from graphc.functions.distributions import poisson
from graphc.functions.pointwise import where
from graphc.modes import no_grad
from graphc.nn.functional import logsigmoid
from graphc.tensor import Tensor


class NegativeBinomial(Odds):
    """How many trials succeed until ``total_count`` have failed."""

    arg_constraints: ClassVar[Any] = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self,
        total_count: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        param = logits if probs is None else probs
        (count,) = self._take_odds(probs, logits, count_like(total_count, param))
        self.total_count = count
        Distribution.__init__(self, self._param.shape, validate_args=validate_args)

    mean = property(lambda self: self.total_count * self.logits.exp())
    variance = property(lambda self: self.mean / (-self.logits).sigmoid())

    @property
    def mode(self) -> Tensor:
        n = self.total_count
        return where(n > 1, ((n - 1) * self.logits.exp()).floor(), 0.0)

    @lazy_property
    def _gamma(self) -> Gamma:
        return Gamma(self.total_count, (-self.logits).exp(), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            return poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._checked(value)
        n, logits = self.total_count, self.logits
        shares = n * logsigmoid(-logits) + value * logsigmoid(logits)
        ways = (n + value).lgamma() - (1 + value).lgamma() - n.lgamma()
        return shares + where(n + value == 0, 0.0, ways)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        vars(new).pop("_gamma", None)
        return new
