"""Rprop: Riedmiller and Braun, "The RPROP algorithm", 1993."""

from typing import Any

from graphc.functions.creation import full_like, ones_like
from graphc.functions.pointwise import where
from graphc.optim.groupwise import GroupwiseOptimizer, check, check_lr
from graphc.optim.numbers import first_rate
from graphc.tracing import suspended


class Rprop(GroupwiseOptimizer):
    """Steps by signs: each element has a step size, which grows while its gradient keeps its sign.

    ``etas`` are the factors on a change of sign (and then there is no step) and on none;
    ``step_sizes`` are the bounds. The first step size is ``lr``.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(0.0 < etas[0] < 1.0 < etas[1], f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        shrink, grow = group["etas"]
        smallest, largest = group["step_sizes"]
        for p, grad in self.with_gradients(group):
            if "step_size" not in self.state[p]:
                with suspended(record=False):
                    start = full_like(p, first_rate(group))
                self.create(p, step=0.0, prev=None, step_size=start)
            state = self.create(p, step=0.0, prev=None)
            state["step"].add_(1)
            agreement = grad * state["prev"]
            factor = where(agreement > 0, grow, where(agreement < 0, shrink, ones_like(p)))
            size = state["step_size"]
            size.copy_((size * factor).clamp(smallest, largest))
            grad = where(agreement < 0, 0.0, grad)
            p.addcmul_(grad.sign(), size, value=-1)
            state["prev"].copy_(grad)
