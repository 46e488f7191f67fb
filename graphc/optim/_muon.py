"""Muon: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.

The module has PyTorch's name, so that pickles and imports find it.
"""

import math
from typing import Any

from graphc import dtypes
from graphc.functions.products import addmm
from graphc.optim.groupwise import GroupwiseOptimizer, check
from graphc.optim.numbers import rate
from graphc.tensor import Tensor

_ADJUSTMENTS = (None, "original", "match_rms_adamw")


class Muon(GroupwiseOptimizer):
    """Momentum made orthogonal: every singular value of a step is brought near 1.

    For matrices only. ``ns_steps`` iterations of Newton and Schulz, with ``ns_coefficients``, take
    the place of a singular value decomposition; they are carried out in bfloat16.
    ``adjust_lr_fn`` scales the rate by the matrix's shape.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check(not isinstance(lr, Tensor) or lr.numel() == 1, "Tensor lr must be 1-element")
        check(lr >= 0.0, f"Learning rate should be >= 0 but is: {lr}")
        check(momentum >= 0.0, f"momentum should be >= 0 but is: {momentum}")
        check(weight_decay >= 0.0, f"weight decay should be >= 0 but is: {weight_decay}")
        check(
            adjust_lr_fn in _ADJUSTMENTS,
            f"Adjust learning rate function {adjust_lr_fn} is not supported",
        )
        defaults = {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                check(
                    p.ndim == 2,
                    "Muon only supports 2D parameters whereas we found a parameter with size: "
                    f"{p.size()}",
                )

    def update(self, group: dict[str, Any]) -> None:
        lr, momentum = rate(group["lr"]), group["momentum"]
        for p, grad in self.with_gradients(group):
            if p.is_complex():
                raise RuntimeError("Muon does not support complex parameters")
            check(grad.ndim == 2, "Param gradient must be a 2D matrix")
            buffer = self.create(p, momentum_buffer=None)["momentum_buffer"]
            buffer.lerp_(grad, 1 - momentum)
            update = grad.lerp(buffer, momentum) if group["nesterov"] else buffer
            update = _orthogonal(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
            p.mul_(1 - lr * group["weight_decay"])
            p.add_(update, alpha=-lr * _adjustment(group["adjust_lr_fn"], p.shape))


def _orthogonal(matrix: Any, coefficients: tuple[float, ...], steps: int, eps: float) -> Any:
    """The nearest matrix with singular values near 1, in bfloat16.

    Raises ValueError for 100 steps and more, and for other than three coefficients.
    """
    check(steps < 100, "Number of steps must be less than 100 for computational efficiency")
    check(len(coefficients) == 3, "Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.to(dtypes.bfloat16)
    x = x.T if tall else x
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = addmm(x, addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def _adjustment(how: str | None, shape: tuple[int, ...]) -> float:
    rows, columns = shape[:2]
    if how == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))
