"""The categorical distribution."""

import math
from typing import Any, ClassVar

from graphc import dtypes
from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.parameters import filled, lazy_property, logits_to_probs, probs_to_logits
from graphc.functions.creation import arange
from graphc.functions.joining import broadcast_tensors
from graphc.functions.sampling import multinomial
from graphc.modes import no_grad
from graphc.tensor import Size, Tensor


class Categorical(Distribution):
    """One of the integers below the size of the last dimension of ``probs`` or ``logits``.

    ``probs`` are normalised to sum 1, ``logits`` to log probabilities. Raises ValueError unless
    exactly one is given, with at least one dimension.
    """

    arg_constraints: ClassVar[Any] = {
        "probs": constraints.simplex,
        "logits": constraints.real_vector,
    }
    has_enumerate_support = True

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        name, given = ("probs", probs) if probs is not None else ("logits", logits)
        assert given is not None
        if given.ndim < 1:
            raise ValueError(f"`{name}` parameter must be at least one-dimensional.")
        if name == "probs":
            self._param = given / given.sum(-1, keepdim=True)
        else:
            self._param = given - given.logsumexp(dim=-1, keepdim=True)
        vars(self)[name] = self._param
        self._num_events = given.shape[-1]
        super().__init__(given.shape[:-1], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new._param = self._param.expand(*batch_shape, self._num_events)
        return new

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self._num_events - 1)

    @lazy_property
    def logits(self) -> Tensor:
        """Log probabilities."""
        return probs_to_logits(self.probs)

    @lazy_property
    def probs(self) -> Tensor:
        """Probabilities."""
        return logits_to_probs(self.logits)

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter that was given."""
        return self._param.size()

    mean = variance = property(lambda self: filled(self._param[..., 0], math.nan))
    mode = property(lambda self: self.probs.argmax(dim=-1))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            rows = self.probs.reshape(-1, self._num_events)
            drawn = multinomial(rows, math.prod(tuple(sample_shape)), True)
            return drawn.T.reshape(*shape)

    def log_prob(self, value: Tensor) -> Tensor:
        places = self._checked(value).long().unsqueeze(-1)
        places, logits = broadcast_tensors(places, self.logits)
        return logits.gather(-1, places[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        finite = self.logits.clamp(min=dtypes.finfo(self.logits.dtype).min)
        return -(finite * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return self._listed(arange(self._num_events), expand)
