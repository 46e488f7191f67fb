"""Schedules along cosines and cycles."""

import math
from typing import Any

from graphc.optim.lr_scheduler.base import LRScheduler, each_group
from graphc.optim.optimizer import Optimizer


class CosineAnnealingLR(LRScheduler):
    """From the initial rate to ``eta_min`` along half a cosine of ``T_max`` epochs.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,  # noqa: N803
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        epoch, length = self.last_epoch, self.T_max
        if epoch == 0:
            return self._now
        if (epoch - 1 - length) % (2 * length) == 0:
            turn = (1 - math.cos(math.pi / length)) / 2
            return [
                rate + (base - self.eta_min) * turn
                for base, rate in zip(self.base_lrs, self._now, strict=True)
            ]
        now = 1 + math.cos(math.pi * epoch / length)
        before = 1 + math.cos(math.pi * (epoch - 1) / length)
        return [now / before * (rate - self.eta_min) + self.eta_min for rate in self._now]

    def _get_closed_form_lr(self) -> list[float]:
        share = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half cosines one after the other, each ``T_mult`` times as long as the one before."""

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,  # noqa: N803
        T_mult: int = 1,  # noqa: N803
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Begins the next epoch; ``epoch`` may be a fraction between two."""
        if epoch is not None and epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        self._step_count += 1
        self.last_epoch = self.last_epoch + 1 if epoch is None else math.floor(epoch)
        left = float(self.last_epoch) if epoch is None else epoch
        length = self.T_0
        if self.T_mult == 1:
            left %= length
        else:
            while left >= length:
                left -= length
                length *= self.T_mult
        self.T_cur, self.T_i = left, length
        self._set(self.get_lr())


class OneCycleLR(LRScheduler):
    """Up from ``max_lr / div_factor`` to ``max_lr``, then far down, in ``total_steps`` steps.

    Smith and Topin, "Super-convergence", 2018. With ``cycle_momentum`` the momentum (or the first
    of ``betas``) moves the other way.
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
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(
                    "You must define either total_steps OR (epochs AND steps_per_epoch)"
                )
            total_steps = epochs * steps_per_epoch
        if total_steps <= 0 or not isinstance(total_steps, int):
            raise ValueError(f"Expected positive integer total_steps, but got {total_steps}")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self.total_steps = total_steps
        self.anneal_strategy = anneal_strategy
        rise = float(pct_start * total_steps) - 1
        phases: list[tuple[float, str, str]] = [(rise, "initial_lr", "max_lr")]
        if three_phase:
            phases += [(2 * rise, "max_lr", "initial_lr"), (total_steps - 1, "initial_lr",
                                                                "min_lr")]  # fmt: skip
        else:
            phases += [(total_steps - 1, "max_lr", "min_lr")]
        self._phases = phases
        for group, most in zip(
            optimizer.param_groups, each_group(optimizer, max_lr, "max_lr"), strict=True
        ):
            if last_epoch == -1:
                group["initial_lr"] = most / div_factor
                group["max_lr"] = most
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            if not {"momentum", "betas"} & set(optimizer.defaults):
                raise ValueError(
                    "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
                )
            low = each_group(optimizer, base_momentum, "base_momentum")
            high = each_group(optimizer, max_momentum, "max_momentum")
            if last_epoch == -1:
                for group, a, b in zip(optimizer.param_groups, low, high, strict=True):
                    group["base_momentum"], group["max_momentum"] = a, b
                    _set_momentum(group, b)
        super().__init__(optimizer, last_epoch)

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "linear":
            return (end - start) * share + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)

    def get_lr(self) -> list[float]:
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"Tried to step {step} times. The specified number of total steps is "
                f"{self.total_steps}"
            )
        which = next((i for i, phase in enumerate(self._phases) if step <= phase[0]), -1)
        end, first, last = self._phases[which]
        which %= len(self._phases)
        start = self._phases[which - 1][0] if which else 0.0
        share = (step - start) / (end - start)
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[first], group[last], share))
            if self.cycle_momentum:
                ends = {"initial_lr": "max_momentum", "max_lr": "base_momentum",
                        "min_lr": "max_momentum"}  # fmt: skip
                moment = self._between(group[ends[first]], group[ends[last]], share)
                _set_momentum(group, moment)
        return rates


def _set_momentum(group: dict[str, Any], value: float) -> None:
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value
