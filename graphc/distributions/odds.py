"""What distributions of trials have in common: probabilities of success, or their log odds."""

from typing import Any

from graphc.distributions.distribution import Distribution
from graphc.distributions.parameters import (
    broadcast_all,
    lazy_property,
    logits_to_probs,
    probs_to_logits,
)
from graphc.nn.functional import binary_cross_entropy_with_logits
from graphc.tensor import Size, Tensor


class Odds(Distribution):
    """Parameters ``probs`` or ``logits``, of which the other one is made when asked for."""

    _param: Tensor

    def _take_odds(self, probs: Any, logits: Any, *others: Any) -> list[Tensor]:
        """Keeps the one that is given, in one shape with other parameters, which are returned.

        Raises ValueError unless exactly one is given.
        """
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        name = "logits" if probs is None else "probs"
        *rest, param = broadcast_all(*others, logits if probs is None else probs)
        vars(self)[name] = self._param = param
        return rest

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new._param = self._param.expand(*batch_shape)
        return new

    @lazy_property
    def logits(self) -> Tensor:
        """The log odds of success."""
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self) -> Tensor:
        """The probabilities of success."""
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter that was given."""
        return self._param.size()

    def _surprise(self, value: Tensor) -> Tensor:
        """Minus the logarithm of the probability of one trial."""
        logits, value = broadcast_all(self.logits, value)
        return binary_cross_entropy_with_logits(logits, value, reduction="none")
