"""NAdam: Dozat, "Incorporating Nesterov momentum into Adam", 2016."""

from typing import Any

from graphc.optim.groupwise import GroupwiseOptimizer, check, check_betas, check_lr
from graphc.optim.numbers import is_set, rate, value_of


class NAdam(GroupwiseOptimizer):
    """Adam that looks ahead along its momentum, which grows by a schedule of its own.

    The momentum of step t is ``mu_t = beta1 * (1 - 0.96 ** (t * momentum_decay) / 2)``; means are
    corrected by the product of all of them, which is kept in the state.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
        check(momentum_decay >= 0.0, f"Invalid momentum_decay value: {momentum_decay}")
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        lr, (beta1, beta2), decay = rate(group["lr"]), group["betas"], group["momentum_decay"]
        for p, grad in self.with_gradients(group):
            state = self.create(p, step=0.0, mu_product=1.0, exp_avg=None, exp_avg_sq=None)
            mean, square = state["exp_avg"], state["exp_avg_sq"]
            state["step"].add_(1)
            if is_set(group, "weight_decay"):
                if group["decoupled_weight_decay"]:
                    p.mul_(1 - lr * group["weight_decay"])
                else:
                    grad = grad.add(p, alpha=group["weight_decay"])
            count = value_of(state["step"])
            mu = beta1 * (1.0 - 0.5 * 0.96 ** (count * decay))
            mu_next = beta1 * (1.0 - 0.5 * 0.96 ** ((count + 1) * decay))
            state["mu_product"].mul_(mu)
            product = value_of(state["mu_product"])
            mean.lerp_(grad, 1 - beta1)
            square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            denominator = (square / (1 - beta2**count)).sqrt() + group["eps"]
            p.addcdiv_(grad, denominator, value=-lr * (1.0 - mu) / (1.0 - product))
            size = lr * mu_next / (1.0 - product * mu_next)
            p.addcdiv_(self.kept(mean), denominator, value=-size)
