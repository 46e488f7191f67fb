"""Averages of weights along training: stochastic weight averaging and exponential moving averages.

Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018. The
module has PyTorch's name.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from itertools import chain
from typing import Any

from graphc import dtypes
from graphc.functions.creation import tensor
from graphc.modes import no_grad
from graphc.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, Module
from graphc.optim.lr_scheduler.base import LRScheduler, for_each_group, warn_of_get_lr
from graphc.optim.optimizer import Optimizer
from graphc.tensor import Tensor

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

_BATCH_NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d)


def _check_decay(decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[..., None]:
    """``f(averages, parameters, count)``, which moves each average by ``1 - decay`` of the way.

    Raises ValueError for a decay outside of [0, 1].
    """
    _check_decay(decay)

    @no_grad()
    def ema_update(averages: Sequence[Any], current: Sequence[Any], _: Any) -> None:
        for average, p in zip(averages, current, strict=True):
            if average.is_floating_point():
                average.lerp_(p, 1 - decay)
            else:
                average.copy_(average * decay + p * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn() -> Callable[..., None]:
    """``f(averages, parameters, count)``, which makes means of ``count`` those of one more."""

    @no_grad()
    def swa_update(averages: Sequence[Any], current: Sequence[Any], count: Any) -> None:
        for average, p in zip(averages, current, strict=True):
            if average.is_floating_point():
                average.lerp_(p, 1 / (count + 1))
            else:
                average.copy_(average + (p - average) / (count + 1))

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Callable[..., Tensor]:
    """``f(average, parameter, count)``: the average moved by ``1 - decay`` of the way.

    Raises ValueError for a decay outside of [0, 1].
    """
    _check_decay(decay)

    @no_grad()
    def ema_update(average: Any, current: Any, count: Any) -> Any:  # noqa: ARG001
        return decay * average + (1 - decay) * current

    return ema_update


def get_swa_avg_fn() -> Callable[..., Tensor]:
    """``f(average, parameter, count)``: the mean of ``count`` made that of one more."""

    @no_grad()
    def swa_update(average: Any, current: Any, count: Any) -> Any:
        return average + (current - average) / (count + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of those the model has had.

    Call :meth:`update_parameters` after steps. ``avg_fn(average, parameter, count)`` gives the next
    average of one parameter, ``multi_avg_fn`` writes those of a list; without either it is the
    mean. With ``use_buffers`` buffers are averaged too, else copied. Raises AssertionError when
    both functions are given.
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[..., Any] | None = None,
        multi_avg_fn: Callable[..., None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        count = tensor(0, dtype=dtypes.int64, device=device)
        self.register_buffer("n_averaged", count)
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Takes the model's parameters as they are now into the averages."""
        own = self._averaged(self.module)
        new = [p.detach() for p in self._averaged(model)]
        if bool(self.n_averaged.eq(0)):  # type: ignore[attr-defined]
            for average, p in zip(own, new, strict=True):
                average.detach().copy_(p)
        else:
            self._average([average.detach() for average in own], new)
        if not self.use_buffers:
            for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
                mine.detach().copy_(theirs.detach())  # type: ignore[attr-defined]
        self.n_averaged += 1  # type: ignore[operator]

    def _averaged(self, model: Module) -> list[Any]:
        return list(chain(model.parameters(), model.buffers() if self.use_buffers else ()))

    def _average(self, own: list[Any], new: list[Any]) -> None:
        count = self.n_averaged
        if self.avg_fn is not None:
            for average, p in zip(own, new, strict=True):
                average.copy_(self.avg_fn(average, p, count))
            return
        function = self.multi_avg_fn or get_swa_multi_avg_fn()
        kinds = dict.fromkeys(average.dtype for average in own)
        for kind in kinds:  # the function may rely on one dtype
            alike = [(a, p) for a, p in zip(own, new, strict=True) if a.dtype is kind]
            function([a for a, _ in alike], [p for _, p in alike], count)


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Computes the running statistics of batch normalisation anew, from one pass over the data.

    ``loader`` gives batches, or lists and tuples whose first entry is the batch. Parameters do not
    change. A model without batch normalisation is left alone.
    """
    momenta = {}
    for module in model.modules():
        if isinstance(module, _BATCH_NORMS):
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.momentum = None  # the mean of all batches
    for batch in loader:
        first = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(first if device is None else first.to(device))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the rates as they are to ``swa_lr`` in ``anneal_epochs`` epochs, then constant.

    Raises ValueError for an unknown ``anneal_strategy`` ("cos", "linear") and negative epochs.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        ends = for_each_group("swa_lr", optimizer, swa_lr)
        for group, end in zip(optimizer.param_groups, ends, strict=True):
            group["swa_lr"] = end
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How much of the way is done."""
        done = max(0, min(1, step / max(1, self.anneal_epochs)))
        return done if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * done)) / 2

    def get_lr(self) -> list[Any]:
        warn_of_get_lr(self)
        # PyTorch's: _step_count is 1 at the first epoch of a new schedule.
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            rate, end = group["lr"], group["swa_lr"]
            start = end if before == 1 else (rate - before * end) / (1 - before)
            rates.append(end * now + start * (1 - now))
        return rates
