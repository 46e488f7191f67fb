"""Exponential families: densities ``exp(t(x) . theta - F(theta) + k(x))``."""

from typing import Any

from graphc.autograd import grad
from graphc.distributions.distribution import Distribution
from graphc.distributions.parameters import sum_rightmost
from graphc.modes import enable_grad
from graphc.tensor import Tensor


class ExponentialFamily(Distribution):
    """Has natural parameters ``theta`` and the logarithm ``F`` of its normaliser.

    The entropy is the Bregman divergence of ``F`` (Nielsen and Nock, "Entropies and cross-entropies
    of exponential families", 2010), unless a subclass has a shorter formula.
    """

    @property
    def _mean_carrier_measure(self) -> float:
        raise NotImplementedError

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        raise NotImplementedError

    def _expected_statistics(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
        """Natural parameters, the gradients of F there, and F."""
        with enable_grad():
            theta = tuple(p.detach().requires_grad_() for p in self._natural_params)
            normaliser = self._log_normalizer(*theta)
            slopes: Any = grad(normaliser.sum(), theta, create_graph=True)
        return theta, slopes, normaliser

    def entropy(self) -> Tensor:
        theta, slopes, normaliser = self._expected_statistics()
        result = normaliser - self._mean_carrier_measure
        for parameter, slope in zip(theta, slopes, strict=True):
            product = (parameter * slope).reshape(*self._batch_shape, -1)
            result = result - product.sum(-1)
        return result


def divergence(p: ExponentialFamily, q: ExponentialFamily) -> Tensor:
    """The Kullback-Leibler divergence of two members of one family."""
    theta, slopes, normaliser = p._expected_statistics()
    result = q._log_normalizer(*q._natural_params) - normaliser
    for own, other, slope in zip(theta, q._natural_params, slopes, strict=True):
        result = result - sum_rightmost((other - own) * slope, len(q.event_shape))
    return result
