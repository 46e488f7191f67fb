"""Mixtures of distributions of one kind."""

from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.categorical import Categorical
from graphc.distributions.distribution import Distribution
from graphc.modes import no_grad
from graphc.tensor import Size, Tensor


class MixtureSameFamily(Distribution):
    """A component, along the last batch dimension, is drawn; then a value of it.

    Raises ValueError for arguments of other types or shapes.
    """

    arg_constraints: ClassVar[Any] = {}

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                " The Mixture distribution needs to be an  instance of "
                "graphc.distributions.Categorical"
            )
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                "The Component distribution needs to be an instance of "
                "graphc.distributions.Distribution"
            )
        own, batch = mixture_distribution.batch_shape, component_distribution.batch_shape[:-1]
        for a, b in zip(reversed(own), reversed(batch), strict=False):
            if a not in (1, b) and b != 1:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({own}) is not compatible with "
                    f"`component_distribution.batch_shape`({batch})"
                )
        count, found = mixture_distribution.logits.shape[-1], component_distribution.batch_shape[-1]
        if count != found:
            raise ValueError(
                f"`mixture_distribution component` ({count}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({found})"
            )
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        event = component_distribution.event_shape
        self._event_ndims = len(event)
        super().__init__(batch, event, validate_args=validate_args)

    mixture_distribution = property(lambda self: self._mixture_distribution)
    component_distribution = property(lambda self: self._component_distribution)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        count = self._mixture_distribution._num_events
        new._component_distribution = self._component_distribution.expand(
            Size((*batch_shape, count))
        )
        new._mixture_distribution = self._mixture_distribution.expand(Size(batch_shape))
        return new

    @constraints.dependent_property
    def support(self) -> Any:
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def _component(self) -> int:
        """The dimension of components, counted from the right."""
        return -1 - self._event_ndims

    def _weights(self) -> Tensor:
        """Probabilities of the components, with dimensions for the events behind them."""
        probs = self._mixture_distribution.probs
        return probs.reshape(*probs.shape, *(1,) * self._event_ndims)

    @property
    def mean(self) -> Tensor:
        return (self._weights() * self._component_distribution.mean).sum(self._component)

    @property
    def variance(self) -> Tensor:
        parts = self._component_distribution
        apart = (parts.mean - self.mean.unsqueeze(self._component)).square()
        return (self._weights() * (parts.variance + apart)).sum(self._component)

    def cdf(self, value: Tensor) -> Tensor:
        each = self._component_distribution.cdf(value.unsqueeze(self._component))
        return (each * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._checked(value)
        each = self._component_distribution.log_prob(value.unsqueeze(self._component))
        return (each + self._mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            chosen = self._mixture_distribution.sample(sample_shape)
            values = self._component_distribution.sample(sample_shape)
            places = chosen.reshape(*chosen.shape, 1, *(1,) * self._event_ndims)
            places = places.expand(*values.shape[: chosen.ndim], 1, *self._event_shape)
            return values.gather(chosen.ndim, places).squeeze(chosen.ndim)

    def __repr__(self) -> str:
        parts = f"\n  {self._mixture_distribution},\n  {self._component_distribution}"
        return f"MixtureSameFamily({parts})"
