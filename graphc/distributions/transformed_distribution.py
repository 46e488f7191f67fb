"""Distributions of functions of random values."""

from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.independent import Independent
from graphc.distributions.parameters import sum_rightmost
from graphc.distributions.transforms import ComposeTransform, Transform
from graphc.modes import no_grad
from graphc.tensor import Size, Tensor


class TransformedDistribution(Distribution):
    """The distribution of ``transforms`` of values of ``base_distribution``.

    Raises ValueError for what is no transform, or a base with too few dimensions.
    """

    arg_constraints: ClassVar[Any] = {}

    def __init__(
        self, base_distribution: Distribution, transforms: Any, validate_args: bool | None = None
    ) -> None:
        self.transforms: list[Transform] = (
            [transforms] if isinstance(transforms, Transform) else transforms
        )
        if not isinstance(self.transforms, list):
            raise ValueError(f"transforms must be a Transform or list, but was {transforms}")
        if not all(isinstance(t, Transform) for t in self.transforms):
            raise ValueError("transforms must be a Transform or a list of Transforms")
        base, own_dims = base_distribution, len(base_distribution.event_shape)
        shape = Size((*base.batch_shape, *base.event_shape))
        whole = ComposeTransform(self.transforms)
        if len(shape) < whole.domain.event_dim:
            raise ValueError(
                f"base_distribution needs to have shape with size at least "
                f"{whole.domain.event_dim}, but got {shape}."
            )
        result = whole.forward_shape(shape)
        wanted = whole.inverse_shape(result)
        if tuple(wanted) != tuple(shape):
            base = base.expand(Size(wanted[: len(wanted) - own_dims]))
        if whole.domain.event_dim > own_dims:
            base = Independent(base, whole.domain.event_dim - own_dims)
        self.base_dist: Any = base
        gained = whole.codomain.event_dim - whole.domain.event_dim
        dims = max(whole.codomain.event_dim, own_dims + gained)
        cut = len(result) - dims
        super().__init__(result[:cut], result[cut:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        shape = Size((*batch_shape, *self.event_shape))
        for transform in reversed(self.transforms):
            shape = transform.inverse_shape(shape)
        own = len(shape) - len(self.base_dist.event_shape)
        new.base_dist = self.base_dist.expand(Size(shape[:own]))
        return new

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        if not self.transforms:
            return self.base_dist.support
        last = self.transforms[-1].codomain
        more = len(self.event_shape) - last.event_dim
        return constraints.independent(last, more) if more > 0 else last

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return bool(self.base_dist.has_rsample)

    def _forward(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            return self._forward(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self._forward(self.base_dist.rsample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        y = self._checked(value)
        dims = len(self.event_shape)
        result: Any = 0.0
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            dims += transform.domain.event_dim - transform.codomain.event_dim
            grown = transform.log_abs_det_jacobian(x, y)
            result = result - sum_rightmost(grown, dims - transform.domain.event_dim)
            y = x
        own = self.base_dist.log_prob(y)
        return result + sum_rightmost(own, dims - len(self.base_dist.event_shape))

    def _in_order(self, probability: Tensor) -> Tensor:
        """A falling transform exchanges the two tails."""
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        return probability if _is_one(sign) else sign * (probability - 0.5) + 0.5

    def cdf(self, value: Tensor) -> Tensor:
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        if self._validate_args:
            self.base_dist._validate_sample(value)
        return self._in_order(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        return self._forward(self.base_dist.icdf(self._in_order(value)))


def _is_one(sign: Any) -> bool:
    return isinstance(sign, int) and sign == 1
