"""The Dirichlet distribution."""

from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.exp_family import ExponentialFamily
from graphc.distributions.gamma_sampling import log_standard_gamma
from graphc.functions.pointwise import where
from graphc.nn.functional import one_hot
from graphc.tensor import Tensor


class Dirichlet(ExponentialFamily):
    """Density proportional to the product of ``x**(concentration - 1)`` where the x sum to 1.

    Raises ValueError for a concentration without dimensions.
    """

    arg_constraints: ClassVar[Any] = {
        "concentration": constraints.independent(constraints.positive, 1)
    }
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.ndim < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        shape = concentration.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Tensor:
        above = (self.concentration - 1).clamp(min=0.0)
        peak = above / above.sum(-1, True)
        # Where all are below 1, every corner is a mode: as in PyTorch, the first.
        corner = one_hot(peak.argmax(-1), peak.shape[-1])
        flat = (self.concentration < 1).all(-1, keepdim=True)
        return where(flat, corner.to(peak.dtype), peak)

    @property
    def variance(self) -> Tensor:
        total = self.concentration.sum(-1, True)
        c = self.concentration
        return c * (total - c) / (total.square() * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return log_standard_gamma(self.concentration.expand(*shape)).softmax(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        c = self.concentration
        return (c - 1).xlogy(self._checked(value)).sum(-1) + c.sum(-1).lgamma() - c.lgamma().sum(-1)

    def entropy(self) -> Tensor:
        c, k = self.concentration, self.concentration.shape[-1]
        total = c.sum(-1)
        return (
            c.lgamma().sum(-1)
            - total.lgamma()
            - (k - total) * total.digamma()
            - ((c - 1) * c.digamma()).sum(-1)
        )

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.concentration,)

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        (x,) = natural_params
        return x.lgamma().sum(-1) - x.sum(-1).lgamma()
