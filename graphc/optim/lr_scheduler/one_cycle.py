"""One cycle: Smith and Topin, "Super-convergence", 2018."""

import math
from typing import Any

from graphc.optim.lr_scheduler import momentum
from graphc.optim.lr_scheduler.base import (
    LRScheduler,
    check_optimizer,
    for_each_group,
    warn_of_get_lr,
)
from graphc.optim.optimizer import Optimizer

# The ends of a phase, by the names of the groups' entries: of the rate, and of the momentum.
_RISE = ("initial_lr", "max_lr", "max_momentum", "base_momentum")
_FALL = ("max_lr", "initial_lr", "base_momentum", "max_momentum")
_FAR_DOWN = ("max_lr", "min_lr", "base_momentum", "max_momentum")
_FADE = ("initial_lr", "min_lr", "max_momentum", "max_momentum")
_ENDS = ("start_lr", "end_lr", "start_momentum", "end_momentum")


class OneCycleLR(LRScheduler):
    """Up from ``max_lr / div_factor`` to ``max_lr``, then far down, in ``total_steps`` steps.

    ``total_steps`` may be given as ``epochs * steps_per_epoch``. With ``cycle_momentum`` the
    momentum (or the first of ``betas``) moves the other way. ``three_phase`` comes down as it went
    up before it fades to the initial rate over ``final_div_factor``. Raises ValueError for numbers
    out of their range, and at a step beyond the last.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Any,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.85,
        max_momentum: Any = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        self.total_steps = _total(total_steps, epochs, steps_per_epoch)
        steps = self.total_steps
        phases = [(float(pct_start * steps) - 1, _RISE)]
        if three_phase:
            phases += [(float(2 * pct_start * steps) - 2, _FALL), (steps - 1, _FADE)]
        else:
            phases += [(steps - 1, _FAR_DOWN)]
        self._schedule_phases = [
            {"end_step": end, **dict(zip(_ENDS, names, strict=True))} for end, names in phases
        ]
        if pct_start < 0 or pct_start > 1 or not isinstance(pct_start, float):
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._anneal_func_type = anneal_strategy
        tops = for_each_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, top in zip(optimizer.param_groups, tops, strict=True):
                group["initial_lr"] = top / div_factor
                group["max_lr"] = top
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1, _, _ = momentum.begin(
                optimizer, base_momentum, max_momentum, last_epoch == -1
            )
        super().__init__(optimizer, last_epoch)

    def _anneal(self, start: Any, end: Any, share: float) -> Any:
        if self._anneal_func_type == "linear":
            return (end - start) * share + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)

    def get_lr(self) -> list[Any]:
        warn_of_get_lr(self)
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"Tried to step {step} times. The specified number of total steps is "
                f"{self.total_steps}"
            )
        phases: list[dict[str, Any]] = self._schedule_phases
        ends = [phase["end_step"] for phase in phases]
        which = next((i for i, end in enumerate(ends) if step <= end), len(phases) - 1)
        phase, start = phases[which], ends[which - 1] if which else 0.0
        share = (step - start) / (ends[which] - start)
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._anneal(group[phase["start_lr"]], group[phase["end_lr"]], share))
            if self.cycle_momentum:
                low, high = group[phase["start_momentum"]], group[phase["end_momentum"]]
                momentum.put_momentum(group, self._anneal(low, high, share), self.use_beta1)
        return rates


def _total(steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    """The number of steps, in one way or the other."""
    if steps is None and (epochs is None or steps_per_epoch is None):
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    if steps is not None:
        given: dict[str, Any] = {"total_steps": steps}
    else:
        given = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    for name, value in given.items():
        if value <= 0 or not isinstance(value, int):
            raise ValueError(f"Expected positive integer {name}, but got {value}")
    return math.prod(given.values())
