"""RMSprop: Tieleman and Hinton, lecture 6.5 of "Neural networks for machine learning", 2012."""

from typing import Any

from graphc.optim.groupwise import GroupwiseOptimizer, check, check_lr
from graphc.optim.numbers import is_set, rate


class RMSprop(GroupwiseOptimizer):
    """Steps by the gradient over the root of the running mean of its squares.

    ``centered`` subtracts the square of the running mean; ``momentum`` accumulates the steps.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
        check(momentum >= 0.0, f"Invalid momentum value: {momentum}")
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        check(alpha >= 0.0, f"Invalid alpha value: {alpha}")
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        lr, alpha = rate(group["lr"]), group["alpha"]
        for p, grad in self.with_gradients(group):
            state = self.create(p, step=0.0, square_avg=None)
            if is_set(group, "momentum"):
                self.create(p, momentum_buffer=None)
            if group["centered"]:
                self.create(p, grad_avg=None)
            state["step"].add_(1)
            if is_set(group, "weight_decay"):
                grad = grad.add(p, alpha=group["weight_decay"])
            square = state["square_avg"]
            square.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
            if group["centered"]:
                mean = state["grad_avg"]
                mean.lerp_(grad, 1 - alpha)
                square = square.addcmul(mean, mean, value=-1)
            root = square.sqrt() + group["eps"]
            if is_set(group, "momentum"):
                p.add_(state["momentum_buffer"].mul_(group["momentum"]).addcdiv_(grad, root),
                       alpha=-lr)  # fmt: skip
            else:
                p.addcdiv_(grad, root, value=-lr)
