"""What all distributions have in common."""

import copy
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.parameters import broadcast_all, lazy_property, values_known
from graphc.functions.random import rand, randn
from graphc.modes import no_grad
from graphc.tensor import Size, Tensor


class Distribution:
    """A probability distribution, or a batch of them.

    ``batch_shape`` counts the distributions, ``event_shape`` is the shape of one of their values; a
    sample has the shape ``sample_shape + batch_shape + event_shape``.

    With ``validate_args`` (the default, unless Python runs with ``-O``) parameters are checked
    against ``arg_constraints`` and values against ``support``: ValueError. In a compiled function
    shapes are checked and values are not, since they are known only when the program runs.
    """

    has_rsample: Any = False
    has_enumerate_support: Any = False
    arg_constraints: ClassVar[Any]
    support: Any
    _validate_args: bool = __debug__
    _watched_whole: ClassVar[bool] = True  # by compiled functions, which do not read its code

    if TYPE_CHECKING:  # parameters are kept by name

        def __getattr__(self, name: str) -> Any: ...

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check parameters and values unless told otherwise."""
        if value not in (True, False):
            raise ValueError(f"expected True or False, got {value!r}")
        Distribution._validate_args = value

    def __init__(
        self,
        batch_shape: Any = (),
        event_shape: Any = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape = Size(batch_shape)
        self._event_shape = Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    def _broadcast(self, validate_args: bool | None, **parameters: Any) -> None:
        """Keeps parameters of single numbers, brought to one shape, which is the batch's."""
        tensors = broadcast_all(*parameters.values())
        vars(self).update(zip(parameters, tensors, strict=True))
        Distribution.__init__(self, tensors[0].shape, validate_args=validate_args)

    def _check_parameters(self) -> None:
        try:
            checked = self.arg_constraints
        except AttributeError:
            warnings.warn(
                f"{type(self)} does not define `arg_constraints`. Please set `arg_constraints = "
                "{}` or initialize the distribution with `validate_args=False` to turn off "
                "validation.",
                stacklevel=4,
            )
            return
        for name, constraint in checked.items():
            derived = isinstance(getattr(type(self), name, None), lazy_property)
            if constraints.is_dependent(constraint) or (name not in vars(self) and derived):
                continue
            value = getattr(self, name)
            if values_known(value) and not bool(constraint.check(value).all()):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape "
                    f"{tuple(value.shape)}) of distribution {self!r} to satisfy the constraint "
                    f"{constraint!r}, but found invalid values:\n{value}"
                )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distributions with another batch shape, which the present one expands to."""
        new = copy.copy(self) if _instance is None else _instance
        shape = Size(batch_shape)
        vars(new).update(vars(self))
        for name, constraint in self.arg_constraints.items():
            if name in vars(self):
                value = getattr(self, name)
                kept = value.shape[value.ndim - constraint.event_dim :]
                setattr(new, name, value.expand(*shape, *kept))
        new._batch_shape = shape
        return new

    @property
    def batch_shape(self) -> Size:
        """The shape of the batch of distributions."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one value."""
        return self._event_shape

    @property
    def mean(self) -> Tensor:
        """The expected value."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Tensor:
        """The expected square of the distance from the mean."""
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """The square root of the variance."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Values, without gradients."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Values, with gradients with respect to the parameters."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Tensor:
        """``sample((n,))``."""
        warnings.warn(
            "`sample_n(n)` will be deprecated. Use `sample((n,))` instead.",
            FutureWarning,
            stacklevel=2,
        )
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability (density) of values."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of values up to these."""
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """The values up to which the probability is this."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution, along dimension 0."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """The expected value of ``-log_prob``."""
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """The exponential of the entropy."""
        return self.entropy().exp()

    def _extended_shape(self, sample_shape: Any = ()) -> Size:
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _uniform(self, sample_shape: Any, like: Tensor) -> Tensor:
        return rand(self._extended_shape(sample_shape), dtype=like.dtype)

    def _normal(self, sample_shape: Any, like: Tensor) -> Tensor:
        return randn(self._extended_shape(sample_shape), dtype=like.dtype)

    def _listed(self, values: Tensor, expand: bool) -> Tensor:
        """Values along dimension 0, with the batch's dimensions behind it."""
        values = values.reshape(-1, *(1,) * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values

    def _checked(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return value

    def _validate_sample(self, value: Tensor) -> None:
        """Raises ValueError for a value of another shape, or outside of the support."""
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        found = value.shape
        if tuple(found[len(found) - len(self._event_shape) :]) != tuple(self._event_shape):
            raise ValueError(
                f"The right-most size of value must match event_shape: {found} vs "
                f"{self._event_shape}."
            )
        wanted = Size((*self._batch_shape, *self._event_shape))
        for i, j in zip(reversed(found), reversed(wanted), strict=False):
            if i not in (1, j) and j != 1:
                raise ValueError(
                    f"Value is not broadcastable with batch_shape+event_shape: {found} vs {wanted}."
                )
        if not values_known(value, *vars(self).values()):
            return
        try:
            support = self.support
        except (AttributeError, NotImplementedError):
            warnings.warn(
                f"{type(self)} does not define `support` to enable sample validation. Please "
                "initialize the distribution with `validate_args=False` to turn off validation.",
                stacklevel=4,
            )
            return
        if not bool(support.check(value).all()):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) "
                f"to be within the support ({support!r}) of the distribution {self!r}, but found "
                f"invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        given = {name: vars(self)[name] for name in self.arg_constraints if name in vars(self)}
        words = [f"{n}: {p if p.numel() == 1 else p.size()}" for n, p in given.items()]
        return f"{type(self).__name__}({', '.join(words)})"
