"""Parametrizations to choose from: weights of given norm, spectral norm one, or orthogonal."""

from typing import Any

from graphc import linalg
from graphc.dtypes import finfo
from graphc.functions.registry import FUNCTIONS
from graphc.modes import no_grad
from graphc.nn.functional.normalization import normalize
from graphc.nn.module import Module
from graphc.nn.utils.parametrize import register_parametrization
from graphc.nn.utils.spectral_norm import as_matrix, output_dim
from graphc.nn.utils.weight_norm import norm_except_dim, weight_of
from graphc.tensor import Tensor

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _weight(module: Module, name: str) -> Any:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return weight


# ------------------------------------------------------------------------------------- weight norm


class _WeightNorm(Module):
    """``g v / |v|`` from the magnitudes ``g`` (``original0``) and ``v`` (``original1``)."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_of(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Keeps a magnitude for each slice along ``dim`` (None: one for all) and a direction.

    State dicts of the older ``nn.utils.weight_norm`` (``weight_g``, ``weight_v``) load.
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict: Any, prefix: str, *_others: Any) -> None:
        old = [f"{prefix}{name}_{part}" for part in "gv"]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(rename)
    return module


# ----------------------------------------------------------------------------------- spectral norm


class _SpectralNorm(Module):
    """The weight over its largest singular value, estimated by the power method."""

    _u: Any
    _v: Any

    def __init__(
        self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{weight.ndim}, "
                f"{weight.ndim - 1}] but got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got "
                f"n_power_iterations={n_power_iterations}"
            )
        self.dim = dim % weight.ndim
        self.eps = eps
        if weight.ndim == 1:
            return
        self.n_power_iterations = n_power_iterations
        matrix = as_matrix(weight, self.dim)
        for name, size in zip(("_u", "_v"), matrix.shape, strict=True):
            vector = matrix.new_empty(size).normal_(0, 1)
            self.register_buffer(name, normalize(vector, dim=0, eps=eps))
        self._power_method(matrix, 15)

    @no_grad()
    def _power_method(self, matrix: Any, count: int) -> None:
        for _ in range(count):
            self._u.copy_(normalize(matrix.mv(self._v), dim=0, eps=self.eps))
            self._v.copy_(normalize(matrix.t().mv(self._u), dim=0, eps=self.eps))

    def forward(self, weight: Any) -> Any:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        # Another forward may change the buffers before this one's backward reads them.
        u, v = self._u.clone(), self._v.clone()
        return weight / u.vdot(matrix.mv(v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value  # it may not have spectral norm one: it is divided when it is read


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divides a tensor by its largest singular value; of a vector, by its norm.

    ``dim`` counts outputs: 0, and 1 of transposed convolutions. In training, each reading makes
    ``n_power_iterations`` steps of the power method. Raises ValueError where there is no tensor of
    that name, and for no iterations.
    """
    weight = _weight(module, name)
    made = _SpectralNorm(weight, n_power_iterations, output_dim(module, dim), eps)
    return register_parametrization(module, name, made)


# -------------------------------------------------------------------------------------- orthogonal

_MAPS = ("matrix_exp", "cayley", "householder")


def _is_orthogonal(q: Any) -> bool:
    n, k = q.shape[-2:]
    one = FUNCTIONS["eye"](k, dtype=q.dtype)
    close = 10.0 * n * finfo(q.dtype).eps
    return bool(FUNCTIONS["allclose"](q.mT @ q, one, atol=close))


def _made_orthogonal(tall: Any) -> Any:
    """The factor Q whose R has a diagonal that is not negative."""
    packed, tau = FUNCTIONS["geqrf"](tall)
    signs = packed.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)
    return linalg.householder_product(packed, tau) * signs


class _Orthogonal(Module):
    """A matrix with orthonormal columns (rows, where there are more columns than rows)."""

    base: Any

    def __init__(self, weight: Any, orthogonal_map: str, use_trivialization: bool = True) -> None:
        super().__init__()
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Any) -> Any:
        wide = x.shape[-2] < x.shape[-1]
        q = self._of_tall(x.mT if wide else x)
        if hasattr(self, "base"):
            q = self.base @ q
        return q.mT if wide else q

    def _of_tall(self, x: Any) -> Any:
        n, k = x.shape[-2:]
        if self.orthogonal_map == "householder":
            below = x.tril(diagonal=-1)
            tau = 2.0 / (1.0 + (below * below).sum(dim=-2))
            signs = x.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)  # as they were stored
            return linalg.householder_product(below, tau) * signs
        lower = x.tril()
        if n != k:
            missing = x.new_zeros(n, n - k).expand(*x.shape[:-2], -1, -1)
            lower = FUNCTIONS["cat"]([lower, missing], dim=-1)
        skew = lower - lower.mT
        if self.orthogonal_map == "matrix_exp":
            q = linalg.matrix_exp(skew)
        else:
            one = FUNCTIONS["eye"](n, dtype=x.dtype)
            q = linalg.solve(one - skew * 0.5, one + skew * 0.5)
        return q[..., :k] if n != k else q

    @no_grad()
    def right_inverse(self, value: Any) -> Any:
        if value.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of "
                f"shape {value.shape}."
            )
        wide = value.shape[-2] < value.shape[-1]
        q = value.mT if wide else value
        n, k = q.shape[-2:]
        if not hasattr(self, "base"):
            return self._reflectors(q, wide)
        if n != k:
            further = FUNCTIONS["randn"](*q.shape[:-2], n, n - k, dtype=q.dtype)
            q = _made_orthogonal(FUNCTIONS["cat"]([q, further], dim=-1))
        else:
            q = q.clone() if _is_orthogonal(q) else _made_orthogonal(q)
        self.base = q
        start = value.new_zeros(value.shape)
        start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
        return start

    def _reflectors(self, q: Any, wide: bool) -> Any:
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                "It is not possible to assign to the matrix exponential or the Cayley "
                "parametrizations when use_trivialization=False."
            )
        packed, tau = FUNCTIONS["geqrf"](q)
        diagonal = packed.diagonal(dim1=-2, dim2=-1)
        diagonal.sign_()
        # Where tau is zero the reflector is one, not its negative.
        diagonal.copy_(FUNCTIONS["where"](tau == 0.0, -diagonal, diagonal))
        return packed.mT if wide else packed


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keeps a matrix (or a stack of them) orthogonal: orthonormal columns, or rows of a wide one.

    ``orthogonal_map`` is ``matrix_exp`` (for square ones), ``cayley`` or ``householder``. With
    ``use_trivialization`` it begins at the nearest orthogonal matrix to the present one, kept in a
    buffer. Raises ValueError where there is no such tensor, or no such map.
    """
    weight = _weight(module, name)
    if weight.ndim < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions."
        )
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square else "householder"
    if orthogonal_map not in _MAPS:
        raise ValueError(
            'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". '
            f"Got: {orthogonal_map}"
        )
    made = _Orthogonal(weight, orthogonal_map, use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)
