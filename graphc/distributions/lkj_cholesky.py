"""The LKJ distribution of correlation matrices."""

import math
from typing import Any, ClassVar

from graphc import dtypes
from graphc.distributions import constraints
from graphc.distributions.beta import Beta
from graphc.distributions.distribution import Distribution
from graphc.distributions.parameters import broadcast_all
from graphc.functions.creation import arange
from graphc.functions.pointwise import where
from graphc.modes import no_grad
from graphc.tensor import Tensor


class LKJCholesky(Distribution):
    """Cholesky factors of matrices of density proportional to ``det(matrix)**(concentration - 1)``.

    Drawn by the onion method of Lewandowski, Kurowicka, Joe, "Generating random correlation
    matrices based on vines and extended onion method" (2009). Raises ValueError for fewer than two
    rows.
    """

    arg_constraints: ClassVar[Any] = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(
        self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        if dim < 2:
            raise ValueError(
                f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}."
            )
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        # The squared length of row i but for its diagonal follows Beta(i / 2, ...); row 0 has
        # nothing else. (PyTorch draws from Beta(i - 1 / 2, ...), which is another law for i > 1.)
        row = (arange(dim, dtype=self.concentration.dtype) - 1).clamp(min=0)
        first = self.concentration.unsqueeze(-1) + 0.5 * (dim - 2) - 0.5 * row
        self._beta = Beta(0.5 * row + 0.5, first, validate_args=False)
        super().__init__(self.concentration.shape, (dim, dim), validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new._beta = self._beta.expand((*batch_shape, self.dim))
        return new

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            square = self._beta.sample(sample_shape).unsqueeze(-1)
            noise = self._normal(sample_shape, square).tril(-1)
            length = noise.square().sum(-1, True).sqrt()
            rows = square.sqrt() * where(length > 0, noise / length, 0.0)
            tiny = dtypes.finfo(rows.dtype).tiny
            rest = (1 - rows.square().sum(-1)).clamp(min=tiny).sqrt()
            return rows + rest.diag_embed()

    def log_prob(self, value: Tensor) -> Tensor:
        n, c = self.dim, self.concentration
        diagonal = self._checked(value).diagonal(dim1=-1, dim2=-2)[..., 1:]
        # det**(c - 1) is the product of diagonal**(2 c - 2); from factors to matrices volumes grow
        # by the product of diagonal**(n - i).
        order = 2 * (c - 1).unsqueeze(-1) + n - arange(2, n + 1)
        alpha = c + 0.5 * (n - 1)
        normaliser = (
            0.5 * (n - 1) * math.log(math.pi)
            + (alpha - 0.5).mvlgamma(n - 1)
            - (n - 1) * alpha.lgamma()
        )
        return (order * diagonal.log()).sum(-1) - normaliser
