"""Stochastic gradient descent."""

from typing import Any

from graphc.functions.pointwise import where
from graphc.optim.optimizer import Optimizer, check


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum, Nesterov momentum and weight decay.

    ``buf = momentum * buf + (1 - dampening) * grad``, ``p -= lr * buf``; the first ``buf`` is the
    gradient itself. Sutskever et al., "On the importance of initialization and momentum in deep
    learning", 2013.
    """

    runtime_numbers = frozenset({"lr"})

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
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
        check(lr >= 0.0, "learning rate", lr)
        check(momentum >= 0.0, "momentum value", momentum)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        step = -self.number(group, "lr")
        momentum, dampening = group["momentum"], group["dampening"]
        for p, grad in self.with_gradients(group):
            if group["maximize"]:
                grad = -grad
            if group["weight_decay"] != 0:
                grad = grad.add(p, alpha=group["weight_decay"])
            if momentum != 0:
                buffer = self._momentum(p, grad, momentum, dampening)
                grad = grad.add(buffer, alpha=momentum) if group["nesterov"] else buffer
            p.add_(grad, alpha=step)

    def _momentum(self, p: Any, grad: Any, momentum: float, dampening: float) -> Any:
        if dampening == 0:  # from zeros, so that the first step is like all others
            buffer = self.create(p, momentum_buffer=None)["momentum_buffer"]
            return buffer.mul_(momentum).add_(grad)
        # The first buffer is the gradient itself. Whether this is the first step is state too, so
        # that a compiled step need not know.
        first = 0.0 if "momentum_buffer" in self.state[p] else 1.0
        state = self.create(p, momentum_buffer=None, _first=first)
        share = where(state["_first"] > 0, grad, grad * (1 - dampening))
        state["_first"].zero_()
        return state["momentum_buffer"].mul_(momentum).add_(share)
