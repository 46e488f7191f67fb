"""Adadelta: Zeiler, "ADADELTA: an adaptive learning rate method", 2012."""

from typing import Any

from graphc.optim.groupwise import GroupwiseOptimizer, check, check_lr
from graphc.optim.numbers import is_set, rate


class Adadelta(GroupwiseOptimizer):
    """Steps in the units of the parameters: by the ratio of past steps to past gradients."""

    def __init__(
        self,
        params: Any,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(0.0 <= rho <= 1.0, f"Invalid rho value: {rho}")
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay,
            "maximize": maximize, "capturable": capturable, "foreach": foreach,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        lr, rho, eps = rate(group["lr"]), group["rho"], group["eps"]
        for p, grad in self.with_gradients(group):
            state = self.create(p, step=0.0, square_avg=None, acc_delta=None)
            state["step"].add_(1)
            if is_set(group, "weight_decay"):
                grad = grad.add(p, alpha=group["weight_decay"])
            square, moved = state["square_avg"], state["acc_delta"]
            square.mul_(rho).addcmul_(grad, grad, value=1 - rho)
            delta = (moved + eps).sqrt() / (square + eps).sqrt() * grad
            moved.mul_(rho).addcmul_(delta, delta, value=1 - rho)
            p.add_(delta, alpha=-lr)
