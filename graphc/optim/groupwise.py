"""What graphc's own optimizers share: a step goes group by group, and compiles.

Such a step is a plain sequence of in-place tensor operations, so it runs eagerly and inside a
compiled function alike. Numbers that change from step to step (learning rates, counts of steps)
are computed with through :mod:`graphc.optim.numbers`, never tested. State is created with
:meth:`GroupwiseOptimizer.create`, outside of the trace, since it outlives the step.
"""

from collections.abc import Iterator
from typing import Any

from graphc import dtypes
from graphc.functions.creation import full, zeros_like
from graphc.modes import MODES
from graphc.optim.optimizer import Closure, Optimizer
from graphc.tensor import Tensor
from graphc.tracing import suspended

# Hyperparameters that PyTorch added later: what a group saved without them means.
_ADDED_LATER = {
    "amsgrad": False, "capturable": False, "centered": False, "decoupled_weight_decay": False,
    "differentiable": False, "foreach": None, "fused": None, "maximize": False, "momentum": 0,
    "nesterov": False,
}  # fmt: skip
_NUMBERS = ("step", "eta", "mu", "mu_product")


class GroupwiseOptimizer(Optimizer):
    """An optimizer whose subclasses write :meth:`update`."""

    def step(self, closure: Closure | None = None) -> Any:
        """One update from the gradients; ``closure`` recomputes the loss, which is returned."""
        loss = None
        recorded = MODES.grad
        try:
            if closure is not None:
                MODES.grad = True
                loss = closure()
            MODES.grad = bool(self.defaults.get("differentiable"))
            for group in self.param_groups:
                self.update(group)
        finally:
            MODES.grad = recorded
        return loss

    def update(self, group: dict[str, Any]) -> None:
        """Updates the parameters of one group in place; gradients are not being recorded."""
        raise NotImplementedError

    def with_gradients(self, group: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
        """The parameters of a group that have a gradient, each with it (or minus it)."""
        for p in group["params"]:
            grad = p.grad
            if grad is None:
                continue
            yield p, -grad if group.get("maximize") else grad

    def kept(self, entry: Any) -> Any:
        """State to compute with, copied if gradients are to go through the step.

        The next step writes into the state itself.
        """
        return entry.clone() if self.defaults.get("differentiable") else entry

    def create(self, p: Tensor, **entries: Any) -> dict[str, Any]:
        """The state of a parameter; what is missing is made: of a float a number, of None zeros.

        Names that begin with an underscore stay out of :meth:`state_dict`.
        """
        state: dict[str, Any] = self.state[p]
        for name, value in entries.items():
            if state.get(name) is not None:
                continue
            with suspended(record=False):
                made = zeros_like(p) if value is None else value
                if isinstance(made, float):
                    made = full((), made, dtype=number_dtype())
            state[name] = made
            trace = MODES.trace and MODES.trace.unmapped()
            if trace is not None:
                trace.made_state += [(self.state, p, state), (state, name, made)]
                stem = trace.names.get(id(p), "parameter")
                trace.names[id(made)] = f"{stem}.{name}"
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        known = set(state.get("defaults") or self.defaults)
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in _ADDED_LATER.items():
                if name in known:
                    group.setdefault(name, value)
            for p in group["params"]:
                values = self.state.get(p, {})
                for name in _NUMBERS:
                    if name in values and not isinstance(values[name], Tensor):
                        values[name] = full((), float(values[name]), dtype=number_dtype())


def number_dtype() -> Any:
    """The dtype of numbers in the state."""
    wide = dtypes.get_default_dtype() is dtypes.float64
    return dtypes.float64 if wide else dtypes.float32


def check(condition: Any, message: str) -> None:
    """Raises ValueError for a hyperparameter outside its range."""
    if not condition:
        raise ValueError(message)


def check_lr(lr: Any) -> None:
    """Raises ValueError for a learning rate that is negative, or not one number."""
    check(not isinstance(lr, Tensor) or lr.numel() == 1, "Tensor lr must be 1-element")
    check(lr >= 0.0, f"Invalid learning rate: {lr}")


def check_betas(betas: Any) -> None:
    """Raises ValueError for decays outside of [0, 1)."""
    for i in range(2):
        check(0.0 <= betas[i] < 1.0, f"Invalid beta parameter at index {i}: {betas[i]}")


def check_fused(fused: bool | None, foreach: bool | None, differentiable: bool) -> None:
    """Raises RuntimeError for switches that exclude each other."""
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
