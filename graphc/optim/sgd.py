"""Stochastic gradient descent."""

from typing import Any

from graphc.functions.pointwise import where
from graphc.optim.groupwise import GroupwiseOptimizer, check, check_fused
from graphc.optim.numbers import is_set, rate
from graphc.tensor import Tensor


class SGD(GroupwiseOptimizer):
    """Stochastic gradient descent, with momentum, Nesterov momentum and weight decay.

    ``buf = momentum * buf + (1 - dampening) * grad``, ``p -= lr * buf``; the first ``buf`` is the
    gradient itself. Sutskever et al., "On the importance of initialization and momentum in deep
    learning", 2013.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check(not isinstance(lr, Tensor) or lr.numel() == 1, "Tensor lr must be 1-element")
        check(not lr < 0.0, f"Invalid learning rate: {lr}")
        check(not momentum < 0.0, f"Invalid momentum value: {momentum}")
        check(not weight_decay < 0.0, f"Invalid weight_decay value: {weight_decay}")
        check(
            not nesterov or (momentum > 0 and dampening == 0),
            "Nesterov momentum requires a momentum and zero dampening",
        )
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)

    def __setstate__(self, state: dict[str, Any]) -> None:
        for group in state["param_groups"]:
            group.setdefault("fused", False)
        super().__setstate__(state)

    def update(self, group: dict[str, Any]) -> None:
        lr, momentum, dampening = rate(group["lr"]), group["momentum"], group["dampening"]
        for p, grad in self.with_gradients(group):
            if is_set(group, "weight_decay"):
                grad = grad.add(p, alpha=group["weight_decay"])
            if is_set(group, "momentum"):
                buffer = self._momentum(p, grad, momentum, dampening)
                grad = grad.add(buffer, alpha=momentum) if group["nesterov"] else buffer
            p.add_(grad, alpha=-lr)

    def _momentum(self, p: Any, grad: Any, momentum: Any, dampening: float) -> Any:
        if dampening == 0:  # from zeros, so that the first step is like all others
            if self.defaults["differentiable"] and self.state[p].get("momentum_buffer") is None:
                grad = grad.detach()  # as PyTorch: no gradient goes through the first buffer
            buffer = self.create(p, momentum_buffer=None)["momentum_buffer"]
            return buffer.mul_(momentum).add_(grad)
        # The first buffer is the gradient itself. Whether this is the first step is state too, so
        # that a compiled step need not know.
        first = 1.0 if self.state[p].get("momentum_buffer") is None else 0.0
        state = self.create(p, momentum_buffer=None, _first=first)
        share = where(state["_first"] > 0, grad, grad * (1 - dampening))
        state["_first"].zero_()
        return state["momentum_buffer"].mul_(momentum).add_(share)
