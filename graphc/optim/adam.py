"""Adam and the optimizers that grew from it.

Kingma and Ba, "Adam: a method for stochastic optimization", 2015; Loshchilov and Hutter,
"Decoupled weight decay regularization", 2019.
"""

from typing import Any

from graphc import dtypes
from graphc.functions.promotion import cast
from graphc.optim.optimizer import Optimizer, check


class Adam(Optimizer):
    """Steps by the mean of the gradients over the root of the mean of their squares.

    Both means are exponential, with ``betas``, and corrected for starting at zero; ``amsgrad``
    divides by the largest root so far. ``weight_decay`` is added to the gradient, or with
    ``decoupled_weight_decay`` taken from the parameters themselves.
    """

    runtime_numbers = frozenset({"lr"})

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check(lr >= 0.0, "learning rate", lr)
        check(eps >= 0.0, "epsilon value", eps)
        check(0.0 <= betas[0] < 1.0, "beta parameter at index 0", betas[0])
        check(0.0 <= betas[1] < 1.0, "beta parameter at index 1", betas[1])
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable, "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = self.number(group, "lr"), group["betas"]
        for p, grad in self.with_gradients(group):
            state = self.create(p, step=0.0, exp_avg=None, exp_avg_sq=None)
            if group["amsgrad"]:
                self.create(p, max_exp_avg_sq=None)
            if group["maximize"]:
                grad = -grad
            if group["weight_decay"] != 0:
                if group["decoupled_weight_decay"]:
                    p.mul_(1 - lr * group["weight_decay"])
                else:
                    grad = grad.add(p, alpha=group["weight_decay"])
            step, mean, square = state["step"], state["exp_avg"], state["exp_avg_sq"]
            step.add_(1)
            mean.lerp_(grad, 1 - beta1)
            square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            count = cast(step, dtypes.float64)
            size = lr / (1 - beta1**count)
            scale = (1 - beta2**count).sqrt()
            if group["amsgrad"]:
                square = _largest(state["max_exp_avg_sq"], square)
            p.sub_(mean / (square.sqrt() / scale + group["eps"]) * size)


def _largest(kept: Any, now: Any) -> Any:
    return kept.copy_(kept.maximum(now))


class AdamW(Adam):
    """:class:`Adam` whose weight decay acts on the parameters themselves."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
            capturable=capturable, differentiable=differentiable, fused=fused,
            decoupled_weight_decay=True,
        )  # fmt: skip
