"""Weight normalization (https://arxiv.org/abs/1602.07868): a magnitude and a direction.

``w = g v / |v|``, with one norm for each slice along ``dim``. This is the older form, where a hook
computes the weight before each forward; :func:`parametrizations.weight_norm` is the newer one.
"""

import warnings
from typing import Any, TypeVar

from graphc.nn.module import Module
from graphc.nn.parameter import Parameter
from graphc.tensor import Tensor

__all__ = ["WeightNorm", "remove_weight_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


def norm_except_dim(v: Any, dim: int) -> Tensor:
    """The norms over all dimensions but one, which keep their places; over all for dim -1."""
    if dim == -1:
        return v.norm()  # type: ignore[no-any-return]
    others = [d for d in range(v.ndim) if d != dim]
    return v.norm(dim=others, keepdim=True)  # type: ignore[no-any-return]


def weight_of(v: Any, g: Any, dim: int) -> Tensor:
    """The weight of a direction and a magnitude."""
    return v * (g / norm_except_dim(v, dim))  # type: ignore[no-any-return]


class WeightNorm:
    """The hook that sets ``module.weight`` from ``weight_g`` and ``weight_v``."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Tensor:
        """The weight as the two parameters are now."""
        g, v = (getattr(module, f"{self.name}_{part}") for part in "gv")
        return weight_of(v, g, self.dim)

    @staticmethod
    def apply(module: Module, name: str, dim: int | None) -> "WeightNorm":
        """Takes a parameter apart. Raises RuntimeError the second time."""
        for known in module._forward_pre_hooks.values():
            if isinstance(known, WeightNorm) and known.name == name:
                raise RuntimeError(
                    f"Cannot register two weight_norm hooks on the same parameter {name}"
                )
        warnings.warn(
            "`graphc.nn.utils.weight_norm` is deprecated in favor of "
            "`graphc.nn.utils.parametrizations.weight_norm`.",
            FutureWarning,
            stacklevel=3,
        )
        hook = WeightNorm(name, dim)
        weight = getattr(module, name)
        delattr(module, name)
        magnitude = norm_except_dim(weight.detach(), hook.dim)
        module.register_parameter(f"{name}_g", Parameter(magnitude))
        module.register_parameter(f"{name}_v", Parameter(weight.detach()))
        setattr(module, name, hook.compute_weight(module))
        module.register_forward_pre_hook(hook)
        return hook

    def remove(self, module: Module) -> None:
        """Puts a parameter in the place of the two."""
        weight = self.compute_weight(module).detach()
        for name in (self.name, f"{self.name}_g", f"{self.name}_v"):
            delattr(module, name)
        setattr(module, self.name, Parameter(weight))

    def __call__(self, module: Module, inputs: Any) -> None:
        del inputs
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Replaces a parameter by ``name_g`` and ``name_v``; ``dim=None`` has one norm for all."""
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Undoes :func:`weight_norm`. Raises ValueError where there is none."""
    for number, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[number]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")
