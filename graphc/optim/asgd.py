"""ASGD: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992."""

from typing import Any

from graphc.optim.groupwise import GroupwiseOptimizer, check, check_lr
from graphc.optim.numbers import choose, first_rate, is_set, larger, rate, value_of
from graphc.tensor import Tensor


class ASGD(GroupwiseOptimizer):
    """Gradient descent whose state keeps the mean ("ax") of the parameters since step ``t0``.

    ``lambd`` decays the parameters, ``alpha`` is the power by which the rate "eta" falls.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
            "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        lr, lambd = rate(group["lr"]), group["lambd"]
        for p, grad in self.with_gradients(group):
            state = self.create(p, step=0.0, eta=first_rate(group), mu=1.0, ax=None)
            eta, mu, mean = state["eta"], state["mu"], state["ax"]
            state["step"].add_(1)
            if is_set(group, "weight_decay"):
                grad = grad.add(p, alpha=group["weight_decay"])
            size, share = value_of(eta), value_of(mu)
            p.mul_(1 - lambd * size)
            p.add_(grad, alpha=-size)
            # With a share of 1 the mean is p itself: not quite what the formula would round to.
            mean.copy_(choose(share == 1, p, mean + (p - mean) * share))
            count = value_of(state["step"])
            _set(eta, lr / (1 + lambd * lr * count) ** group["alpha"])
            _set(mu, 1 / larger(count - group["t0"], 1.0))


def _set(state: Any, number: Any) -> None:
    if isinstance(number, Tensor):
        state.copy_(number.detach())
    else:
        state.fill_(number)
