"""The normal distribution of vectors."""

import math
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.parameters import lazy_property
from graphc.functions.creation import eye
from graphc.functions.joining import broadcast_shapes
from graphc.linalg import cholesky, solve_triangular
from graphc.tensor import Tensor


def batch_mv(matrix: Tensor, vector: Tensor) -> Tensor:
    """Products of matrices with vectors."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def mahalanobis(factor: Tensor, apart: Tensor) -> Tensor:
    """Squared lengths of ``inv(factor) @ apart``, of lower triangular factors."""
    if factor.ndim > 2:
        batch = broadcast_shapes(factor.shape[:-2], apart.shape[:-1])
        factor = factor.expand(*batch, *factor.shape[-2:])
        columns = apart.expand(*batch, apart.shape[-1]).unsqueeze(-1)
        return solve_triangular(factor, columns, upper=False).square().sum((-2, -1))
    columns = apart.reshape(-1, apart.shape[-1]).T  # one factor for all of them
    squares = solve_triangular(factor, columns, upper=False).square().sum(0)
    return squares.reshape(*apart.shape[:-1])


def half_log_det(factor: Tensor) -> Tensor:
    """Half the logarithm of the determinant of ``factor @ factor.T``."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def precision_to_scale_tril(precision: Tensor) -> Tensor:
    """The Cholesky factor of the inverse of matrices.

    With rows and columns reversed, the factor of the matrix becomes upper triangular; the inverse
    of its transpose is the factor wanted.
    """
    flipped = cholesky(precision.flip(-2, -1)).flip(-2, -1).mT
    identity = eye(precision.shape[-1], dtype=precision.dtype)
    return solve_triangular(flipped, identity.expand(*flipped.shape), upper=False)


def given_matrix(
    covariance_matrix: Tensor | None,
    precision_matrix: Tensor | None,
    scale_tril: Tensor | None,
) -> tuple[str, Tensor]:
    """The one of three matrices that is given, with its name.

    Raises ValueError unless exactly one is, with at least two dimensions.
    """
    named = {
        "covariance_matrix": covariance_matrix,
        "precision_matrix": precision_matrix,
        "scale_tril": scale_tril,
    }
    given = [(name, matrix) for name, matrix in named.items() if matrix is not None]
    if len(given) != 1:
        raise ValueError(
            "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified."
        )
    name, matrix = given[0]
    if matrix.ndim < 2:
        noun = "scale_tril matrix" if name == "scale_tril" else name
        raise ValueError(
            f"{noun} must be at least two-dimensional, with optional leading batch dimensions"
        )
    return name, matrix


class Scaled(Distribution):
    """Has a Cholesky factor, from which its matrices are made when they are asked for."""

    _unbroadcasted_scale_tril: Tensor

    def _take_matrix(self, name: str, matrix: Tensor, batch: Any) -> None:
        vars(self)[name] = matrix.expand(*batch, *matrix.shape[-2:])
        if name == "scale_tril":
            self._unbroadcasted_scale_tril = matrix
        elif name == "covariance_matrix":
            self._unbroadcasted_scale_tril = cholesky(matrix)
        else:
            self._unbroadcasted_scale_tril = precision_to_scale_tril(matrix)

    def _expanded(self, matrix: Tensor) -> Tensor:
        n = self._event_shape[-1]
        return matrix.expand(*self._batch_shape, n, n)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The lower triangular Cholesky factor of the covariance."""
        return self._expanded(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The covariance of the parts."""
        factor = self._unbroadcasted_scale_tril
        return self._expanded(factor @ factor.mT)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        return self._expanded(self._unbroadcasted_scale_tril.cholesky_inverse())


class MultivariateNormal(Scaled):
    """Vectors around ``loc``; one of three matrices tells how they spread.

    Raises ValueError for other numbers of dimensions, and unless exactly one matrix is given;
    LinAlgError for a covariance or precision that is not positive definite.
    """

    arg_constraints: ClassVar[Any] = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.ndim < 1:
            raise ValueError("loc must be at least one-dimensional.")
        name, matrix = given_matrix(covariance_matrix, precision_matrix, scale_tril)
        batch = broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        self.loc = loc.expand(*batch, loc.shape[-1])
        vars(self)[name] = matrix.expand(*batch, *matrix.shape[-2:])
        super().__init__(batch, loc.shape[-1:], validate_args=validate_args)
        self._take_matrix(name, matrix, batch)

    mean = mode = property(lambda self: self.loc)

    @property
    def variance(self) -> Tensor:
        own = self._unbroadcasted_scale_tril.square().sum(-1)
        return own.expand(*self._batch_shape, *self._event_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        normal = self._normal(sample_shape, self.loc)
        return self.loc + batch_mv(self._unbroadcasted_scale_tril, normal)

    def log_prob(self, value: Tensor) -> Tensor:
        factor = self._unbroadcasted_scale_tril
        squared = mahalanobis(factor, self._checked(value) - self.loc)
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + squared) - half_log_det(factor)

    def entropy(self) -> Tensor:
        constant = 0.5 * self._event_shape[0] * (1 + math.log(2 * math.pi))
        own = constant + half_log_det(self._unbroadcasted_scale_tril)
        return own.expand(*self._batch_shape)
