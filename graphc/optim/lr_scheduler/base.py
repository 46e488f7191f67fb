"""The base of all schedules."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from graphc.optim.optimizer import Optimizer


class LRScheduler:
    """The base: subclasses write :meth:`get_lr`, the rates of epoch ``last_epoch``.

    Calling :meth:`step` begins the next epoch. ``last_epoch`` continues an earlier run whose
    groups hold an "initial_lr".
    """

    base_lrs: list[float]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming an "
                    "optimizer"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._steps_before = optimizer.steps
        self._step_count = 0
        self.step()

    def get_lr(self) -> list[float]:
        """The learning rates of this epoch, one for each group."""
        raise TypeError(f"{type(self).__name__} is missing the required get_lr")

    def get_last_lr(self) -> list[float]:
        """The learning rates that were set last."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Begins the next epoch (or the given one) and sets its learning rates."""
        if self._step_count == 1 and self.optimizer.steps == self._steps_before:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. You should call "
                "them in the opposite order: `optimizer.step()` before `lr_scheduler.step()`. "
                "Failure to do this will skip the first value of the learning rate schedule.",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is None:
            self.last_epoch += 1
            rates = self.get_lr()
        else:
            self.last_epoch = epoch
            closed = getattr(self, "_get_closed_form_lr", self.get_lr)
            rates = closed()
        self._set(rates)

    def _set(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    @property
    def _now(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and plain functions."""
        kept = {k: v for k, v in self.__dict__.items() if k != "optimizer"}
        if "lr_lambdas" in kept:
            kept["lr_lambdas"] = [
                None if isinstance(f, type(_plain)) else dict(f.__dict__) for f in self.lr_lambdas
            ]
        return kept

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from a :meth:`state_dict`."""
        state = dict(state_dict)
        for i, values in enumerate(state.pop("lr_lambdas", ())):
            if values is not None:
                self.lr_lambdas[i].__dict__.update(values)
        self.__dict__.update(state)

    lr_lambdas: list[Callable[[int], float]]


def _plain() -> None:
    """Its type is that of plain functions."""


def each_group(optimizer: Optimizer, value: Any, what: str) -> list[Any]:
    """One value for each group."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(f"Expected {groups} {what}, but got {len(value)}")
    return list(value)
