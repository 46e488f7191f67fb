"""Adamax: Kingma and Ba, "Adam: a method for stochastic optimization", 2015, section 7.1."""

from typing import Any

from graphc.optim.groupwise import GroupwiseOptimizer, check, check_betas, check_lr
from graphc.optim.numbers import is_set, rate, value_of


class Adamax(GroupwiseOptimizer):
    """Adam by the largest past gradient, each forgotten by ``betas[1]`` a step."""

    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
            "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = rate(group["lr"]), group["betas"]
        for p, grad in self.with_gradients(group):
            state = self.create(p, step=0.0, exp_avg=None, exp_inf=None)
            state["step"].add_(1)
            if is_set(group, "weight_decay"):
                grad = grad.add(p, alpha=group["weight_decay"])
            mean, largest = state["exp_avg"], state["exp_inf"]
            mean.lerp_(grad, 1 - beta1)
            largest.copy_((largest * beta2).maximum(grad.abs() + group["eps"]))
            size = lr / (1 - beta1 ** value_of(state["step"]))
            p.addcdiv_(mean, largest, value=-size)
