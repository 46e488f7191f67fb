"""RAdam: Liu et al., "On the variance of the adaptive learning rate and beyond", 2020."""

from typing import Any

from graphc.optim.groupwise import GroupwiseOptimizer, check, check_betas, check_lr
from graphc.optim.numbers import choose, is_set, rate, value_of


class RAdam(GroupwiseOptimizer):
    """Adam that divides by the root of the squares once their variance allows it.

    That is when the length ``rho`` of the simple mean with the same centre of mass exceeds 5.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = rate(group["lr"]), group["betas"]
        longest = 2 / (1 - beta2) - 1
        for p, grad in self.with_gradients(group):
            state = self.create(p, step=0.0, exp_avg=None, exp_avg_sq=None)
            mean, square = state["exp_avg"], state["exp_avg_sq"]
            state["step"].add_(1)
            if is_set(group, "weight_decay"):
                if group["decoupled_weight_decay"]:
                    p.mul_(1 - lr * group["weight_decay"])
                else:
                    grad = grad.add(p, alpha=group["weight_decay"])
            mean.lerp_(grad, 1 - beta1)
            square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            count = value_of(state["step"])
            correction = 1 - beta2**count
            length = longest - 2 * count * beta2**count / correction
            plain = mean / (1 - beta1**count) * lr

            early = length <= 5
            if early is True:  # a plain bool: eager
                p.sub_(plain)
                continue
            room = (length - 4) * (length - 2) * longest
            most = (longest - 4) * (longest - 2) * length
            rectified = choose(early, 1.0, room / most) ** 0.5
            adapted = plain * (correction**0.5 / (square.sqrt() + group["eps"])) * rectified
            p.sub_(choose(early, plain, adapted))
