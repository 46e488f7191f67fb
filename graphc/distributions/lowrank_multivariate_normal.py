"""The normal distribution of vectors whose covariance is a diagonal and a low-rank matrix."""

import math
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.multivariate_normal import Scaled, batch_mv, half_log_det, mahalanobis
from graphc.distributions.parameters import lazy_property
from graphc.functions.creation import eye
from graphc.functions.joining import broadcast_shapes
from graphc.functions.random import randn
from graphc.linalg import cholesky, solve_triangular
from graphc.tensor import Tensor


def capacitance_tril(factor: Tensor, diagonal: Tensor) -> Tensor:
    """The Cholesky factor of ``I + factor.T @ inv(D) @ factor``."""
    inner = (factor.mT / diagonal.unsqueeze(-2)) @ factor
    return cholesky(inner + eye(factor.shape[-1], dtype=factor.dtype))


def lowrank_log_det(diagonal: Tensor, capacitance: Tensor) -> Tensor:
    """The logarithm of the determinant of the covariance (the matrix determinant lemma)."""
    return 2 * half_log_det(capacitance) + diagonal.log().sum(-1)


def lowrank_mahalanobis(
    factor: Tensor, diagonal: Tensor, apart: Tensor, capacitance: Tensor
) -> Tensor:
    """``apart @ inv(covariance) @ apart`` (the Woodbury identity)."""
    inner = batch_mv(factor.mT / diagonal.unsqueeze(-2), apart)
    return (apart.square() / diagonal).sum(-1) - mahalanobis(capacitance, inner)


class LowRankMultivariateNormal(Scaled):
    """Covariance ``cov_factor @ cov_factor.T + diag(cov_diag)``.

    Raises ValueError for shapes that do not fit together.
    """

    arg_constraints: ClassVar[Any] = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        cov_factor: Tensor,
        cov_diag: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        if loc.ndim < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event = loc.shape[-1:]
        if cov_factor.ndim < 2:
            raise ValueError(
                "cov_factor must be at least two-dimensional, with optional leading batch "
                "dimensions"
            )
        if tuple(cov_factor.shape[-2:-1]) != tuple(event):
            raise ValueError(f"cov_factor must be a batch of matrices with shape {event[0]} x m")
        if tuple(cov_diag.shape[-1:]) != tuple(event):
            raise ValueError(f"cov_diag must be a batch of vectors with shape {event}")
        try:
            batch = broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        except RuntimeError as error:
            raise ValueError(
                f"Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, "
                f"cov_diag {cov_diag.shape}"
            ) from error
        self.loc = loc.expand(*batch, *event)
        self.cov_factor = cov_factor.expand(*batch, *cov_factor.shape[-2:])
        self.cov_diag = cov_diag.expand(*batch, *event)
        self._factor, self._diagonal = cov_factor, cov_diag
        super().__init__(batch, event, validate_args=validate_args)
        self._capacitance_tril = capacitance_tril(cov_factor, cov_diag)

    mean = mode = property(lambda self: self.loc)

    @lazy_property
    def variance(self) -> Tensor:  # type: ignore[override]
        """The diagonal of the covariance."""
        own = self._factor.square().sum(-1) + self._diagonal
        return own.expand(*self._batch_shape, *self._event_shape)

    @lazy_property
    def _unbroadcasted_scale_tril(self) -> Tensor:  # type: ignore[override]
        # The eigenvalues of I + D^-1/2 W W' D^-1/2 are not below 1, so its factor is accurate.
        root = self._diagonal.sqrt().unsqueeze(-1)
        scaled = self._factor / root
        inner = scaled @ scaled.mT + eye(self._event_shape[0], dtype=scaled.dtype)
        return root * cholesky(inner)

    @lazy_property
    def covariance_matrix(self) -> Tensor:  # type: ignore[override]
        """The covariance of the parts."""
        return self._expanded(self._factor @ self._factor.mT + self._diagonal.diag_embed())

    @lazy_property
    def precision_matrix(self) -> Tensor:  # type: ignore[override]
        """The inverse of the covariance (the Woodbury identity)."""
        scaled = self._factor.mT / self._diagonal.unsqueeze(-2)
        inner = solve_triangular(self._capacitance_tril, scaled, upper=False)
        return self._expanded(self._diagonal.reciprocal().diag_embed() - inner.mT @ inner)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        rank = self.cov_factor.shape[-1]
        inner = randn((*shape[:-1], rank), dtype=self.loc.dtype)
        own = randn(shape, dtype=self.loc.dtype)
        return self.loc + batch_mv(self._factor, inner) + self._diagonal.sqrt() * own

    def log_prob(self, value: Tensor) -> Tensor:
        apart = self._checked(value) - self.loc
        squared = lowrank_mahalanobis(self._factor, self._diagonal, apart, self._capacitance_tril)
        log_det = lowrank_log_det(self._diagonal, self._capacitance_tril)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + log_det + squared)

    def entropy(self) -> Tensor:
        log_det = lowrank_log_det(self._diagonal, self._capacitance_tril)
        own = 0.5 * (self._event_shape[0] * (1 + math.log(2 * math.pi)) + log_det)
        return own.expand(*self._batch_shape)
