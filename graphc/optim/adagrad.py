"""Adagrad: Duchi, Hazan and Singer, "Adaptive subgradient methods", 2011."""

from typing import Any

from graphc.functions.creation import full_like
from graphc.optim.groupwise import GroupwiseOptimizer, check, check_fused, check_lr
from graphc.optim.numbers import is_set, rate, value_of
from graphc.tracing import suspended


class Adagrad(GroupwiseOptimizer):
    """Steps by the gradient over the root of the sum of its squares."""

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check(lr_decay >= 0.0, f"Invalid lr_decay value: {lr_decay}")
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        check(
            initial_accumulator_value >= 0.0,
            f"Invalid initial_accumulator_value value: {initial_accumulator_value}",
        )
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)
        for group in self.param_groups:
            for p in group["params"]:
                self._create(p)

    def _create(self, p: Any) -> dict[str, Any]:
        if "sum" in self.state[p]:
            return self.create(p, step=0.0)
        with suspended(record=False):
            start = full_like(p, float(self.defaults["initial_accumulator_value"]))
        return self.create(p, step=0.0, sum=start)

    def share_memory(self) -> None:
        """For processes that train together, as in PyTorch: puts the sums into shared memory."""
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["sum"].share_memory_()

    def update(self, group: dict[str, Any]) -> None:
        lr = rate(group["lr"])
        for p, grad in self.with_gradients(group):
            state = self._create(p)
            state["step"].add_(1)
            if is_set(group, "weight_decay"):
                grad = grad.add(p, alpha=group["weight_decay"])
            now = lr
            if is_set(group, "lr_decay"):
                now = lr / (1 + (value_of(state["step"]) - 1) * group["lr_decay"])
            total = state["sum"]
            total.addcmul_(grad, grad, value=1)
            p.addcdiv_(grad, total.sqrt() + group["eps"], value=-now)
