"""Optimizers that scale each parameter's step by the size of its past gradients."""

from typing import Any

from graphc.functions.creation import full_like
from graphc.optim.optimizer import Optimizer, check


class RMSprop(Optimizer):
    """Steps by the gradient over the root of the running mean of its squares.

    ``centered`` subtracts the square of the running mean; ``momentum`` accumulates the steps.
    Tieleman and Hinton, lecture 6.5 of "Neural networks for machine learning", 2012.
    """

    runtime_numbers = frozenset({"lr"})

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
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
        check(lr >= 0.0, "learning rate", lr)
        check(eps >= 0.0, "epsilon value", eps)
        check(momentum >= 0.0, "momentum value", momentum)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        check(alpha >= 0.0, "alpha value", alpha)
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        lr, alpha = self.number(group, "lr"), group["alpha"]
        for p, grad in self.with_gradients(group):
            state = self.create(p, step=0.0, square_avg=None)
            state["step"].add_(1)
            if group["maximize"]:
                grad = -grad
            if group["weight_decay"] != 0:
                grad = grad.add(p, alpha=group["weight_decay"])
            square = state["square_avg"]
            square.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
            if group["centered"]:
                mean = self.create(p, grad_avg=None)["grad_avg"]
                mean.lerp_(grad, 1 - alpha)
                square = square.addcmul(mean, mean, value=-1)
            scaled = grad / (square.sqrt() + group["eps"])
            if group["momentum"] > 0:
                buffer = self.create(p, momentum_buffer=None)["momentum_buffer"]
                scaled = buffer.mul_(group["momentum"]).add_(scaled)
            p.add_(scaled, alpha=-lr)


class Adagrad(Optimizer):
    """Steps by the gradient over the root of the sum of its squares.

    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", 2011.
    """

    runtime_numbers = frozenset({"lr"})

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
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
        check(lr >= 0.0, "learning rate", lr)
        check(lr_decay >= 0.0, "lr_decay value", lr_decay)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        check(
            initial_accumulator_value >= 0.0,
            "initial_accumulator_value value",
            initial_accumulator_value,
        )
        check(eps >= 0.0, "epsilon value", eps)
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                start = full_like(p, float(group["initial_accumulator_value"]))
                self.create(p, step=0.0, sum=start)

    def update(self, group: dict[str, Any]) -> None:
        lr = self.number(group, "lr")
        for p, grad in self.with_gradients(group):
            state = self.create(p, step=0.0, sum=None)
            state["step"].add_(1)
            if group["maximize"]:
                grad = -grad
            if group["weight_decay"] != 0:
                grad = grad.add(p, alpha=group["weight_decay"])
            rate = lr
            if group["lr_decay"] != 0:
                rate = lr / ((state["step"] - 1) * group["lr_decay"] + 1)
            total = state["sum"]
            total.addcmul_(grad, grad, value=1)
            p.addcdiv_(grad, total.sqrt() + group["eps"], value=-rate)


class Adadelta(Optimizer):
    """Steps in the units of the parameters: Zeiler, "ADADELTA", 2012."""

    runtime_numbers = frozenset({"lr"})

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check(lr >= 0.0, "learning rate", lr)
        check(0.0 <= rho <= 1.0, "rho value", rho)
        check(eps >= 0.0, "epsilon value", eps)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay,
            "maximize": maximize, "capturable": capturable, "foreach": foreach,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        lr, rho, eps = self.number(group, "lr"), group["rho"], group["eps"]
        for p, grad in self.with_gradients(group):
            state = self.create(p, step=0.0, square_avg=None, acc_delta=None)
            state["step"].add_(1)
            if group["maximize"]:
                grad = -grad
            if group["weight_decay"] != 0:
                grad = grad.add(p, alpha=group["weight_decay"])
            square, moved = state["square_avg"], state["acc_delta"]
            square.mul_(rho).addcmul_(grad, grad, value=1 - rho)
            delta = (moved + eps).sqrt() / (square + eps).sqrt() * grad
            moved.mul_(rho).addcmul_(delta, delta, value=1 - rho)
            p.add_(delta, alpha=-lr)


class Adamax(Optimizer):
    """Adam by the largest past gradient: Kingma and Ba, 2015, section 7.1."""

    runtime_numbers = frozenset({"lr"})

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check(lr >= 0.0, "learning rate", lr)
        check(eps >= 0.0, "epsilon value", eps)
        check(0.0 <= betas[0] < 1.0, "beta parameter at index 0", betas[0])
        check(0.0 <= betas[1] < 1.0, "beta parameter at index 1", betas[1])
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
            "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = self.number(group, "lr"), group["betas"]
        for p, grad in self.with_gradients(group):
            state = self.create(p, step=0.0, exp_avg=None, exp_inf=None)
            state["step"].add_(1)
            if group["maximize"]:
                grad = -grad
            if group["weight_decay"] != 0:
                grad = grad.add(p, alpha=group["weight_decay"])
            mean, largest = state["exp_avg"], state["exp_inf"]
            mean.lerp_(grad, 1 - beta1)
            largest.copy_((largest * beta2).maximum(grad.abs() + group["eps"]))
            size = lr / (1 - beta1 ** state["step"].double())
            p.sub_(mean / largest * size)
