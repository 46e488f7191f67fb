"""Adam: Kingma and Ba, "Adam: a method for stochastic optimization", 2015."""

from typing import Any

from graphc.optim.groupwise import GroupwiseOptimizer, check, check_betas, check_fused, check_lr
from graphc.optim.numbers import is_set, rate, value_of
from graphc.tensor import Tensor


class Adam(GroupwiseOptimizer):
    """Steps by the mean of the gradients over the root of the mean of their squares.

    Both means are exponential, with ``betas``, and corrected for starting at zero; ``amsgrad``
    divides by the largest root so far. ``weight_decay`` is added to the gradient, or with
    ``decoupled_weight_decay`` taken from the parameters themselves.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
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
        if isinstance(lr, Tensor):
            check(
                capturable or not foreach,
                "lr as a Tensor is not supported for capturable=False and foreach=True",
            )
        check_lr(lr)
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        check(
            all(isinstance(b, float) for b in betas) or all(isinstance(b, Tensor) for b in betas),
            "betas must be either both floats or both Tensors",
        )
        for i, beta in enumerate(betas):
            if isinstance(beta, Tensor):
                check(
                    capturable or not foreach,
                    f"betas[{i}] as a Tensor is not supported for capturable=False and "
                    "foreach=True",
                )
                check(beta.numel() == 1, f"Tensor betas[{i}] must be 1-element")
        defaults = {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable, "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)

    def update(self, group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = rate(group["lr"]), map(rate, group["betas"])
        for p, grad in self.with_gradients(group):
            state = self.create(p, step=0.0, exp_avg=None, exp_avg_sq=None)
            if group["amsgrad"]:
                self.create(p, max_exp_avg_sq=None)
            step, mean, square = state["step"], state["exp_avg"], state["exp_avg_sq"]
            step.add_(1)
            if is_set(group, "weight_decay"):
                if group["decoupled_weight_decay"]:
                    p.mul_(1 - lr * group["weight_decay"])
                else:
                    grad = grad.add(p, alpha=group["weight_decay"])
            mean.lerp_(grad, 1 - beta1)
            square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            count = value_of(step)
            size = lr / (1 - beta1**count)
            scale = (1 - beta2**count) ** 0.5
            if group["amsgrad"]:
                square = state["max_exp_avg_sq"].copy_(state["max_exp_avg_sq"].maximum(square))
            p.addcdiv_(self.kept(mean), square.sqrt() / scale + group["eps"], value=-size)
