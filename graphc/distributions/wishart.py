"""The Wishart distribution."""

import math
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.exp_family import ExponentialFamily
from graphc.distributions.gamma_sampling import standard_gamma
from graphc.distributions.multivariate_normal import Scaled, given_matrix, half_log_det
from graphc.distributions.parameters import as_parameter, values_known
from graphc.functions.creation import arange
from graphc.functions.joining import broadcast_shapes
from graphc.functions.pointwise import where
from graphc.functions.random import randn
from graphc.linalg import slogdet
from graphc.tensor import Tensor


class Wishart(Scaled, ExponentialFamily):
    """The sum of ``df`` products ``x @ x.T`` of normal vectors around 0.

    Drawn by Bartlett's decomposition (1933). Raises ValueError unless exactly one matrix is given,
    and for a ``df`` that is not above the number of rows less 1.
    """

    arg_constraints: ClassVar[Any] = {
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
        "df": constraints.greater_than(0),
    }
    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(
        self,
        df: Any,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        name, matrix = given_matrix(covariance_matrix, precision_matrix, scale_tril)
        batch = broadcast_shapes(matrix.shape[:-2], getattr(df, "shape", ()))
        event = matrix.shape[-2:]
        self.df = as_parameter(df, matrix.dtype).expand(*batch)
        if values_known(self.df) and bool((self.df <= event[-1] - 1).any()):
            raise ValueError(
                f"Value of df={df} expected to be greater than ndim - 1 = {event[-1] - 1}."
            )
        vars(self)[name] = matrix.expand(*batch, *event)
        Distribution.__init__(self, batch, event, validate_args=validate_args)
        self._take_matrix(name, matrix, batch)

    @property
    def mean(self) -> Tensor:
        return self.df[..., None, None] * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = self.df - self._event_shape[-1] - 1
        positive = where(factor > 0, factor, math.nan)
        return positive[..., None, None] * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        matrix = self.covariance_matrix
        diagonal = matrix.diagonal(dim1=-2, dim2=-1)
        products = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        return self.df[..., None, None] * (matrix.square() + products)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        n = self._event_shape[-1]
        shape = self._extended_shape(sample_shape)
        freedom = self.df.unsqueeze(-1) - arange(n, dtype=self.df.dtype)
        squares = 2 * standard_gamma((freedom / 2).expand(*shape[:-1]))
        noise = randn(shape, dtype=self.df.dtype).tril(-1) + squares.sqrt().diag_embed()
        factor = self._unbroadcasted_scale_tril @ noise
        return factor @ factor.mT

    def _log_normaliser(self) -> Tensor:
        n, df = self._event_shape[-1], self.df
        factor = half_log_det(self._unbroadcasted_scale_tril)
        return df * (n * math.log(2) / 2 + factor) + (df / 2).mvlgamma(n)

    def log_prob(self, value: Tensor) -> Tensor:
        self._checked(value)
        n, df = self._event_shape[-1], self.df
        log_det = slogdet(value).logabsdet
        trace = (self.precision_matrix * value).sum((-2, -1))  # both are symmetric
        return (df - n - 1) / 2 * log_det - trace / 2 - self._log_normaliser()

    def entropy(self) -> Tensor:
        n, df = self._event_shape[-1], self.df
        factor = half_log_det(self._unbroadcasted_scale_tril)
        halves = df.unsqueeze(-1) / 2 - arange(n, dtype=df.dtype) / 2
        return (
            (n + 1) * (n * math.log(2) / 2 + factor)
            + (df / 2).mvlgamma(n)
            - (df - n - 1) / 2 * halves.digamma().sum(-1)
            + df * n / 2
        )

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        n = self._event_shape[-1]
        return -self.precision_matrix / 2, (self.df - n - 1) / 2

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        x, y = natural_params
        n = self._event_shape[-1]
        order = y + (n + 1) / 2
        return order * (-slogdet(-2 * x).logabsdet + math.log(2) * n) + order.mvlgamma(n)
