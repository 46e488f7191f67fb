"""Momentum that a schedule moves against the rate: ``momentum``, or the first of ``betas``."""

from typing import Any

from graphc.optim.lr_scheduler.base import for_each_group
from graphc.optim.optimizer import Optimizer


def begin(
    optimizer: Optimizer, base: Any, most: Any, from_the_start: bool
) -> tuple[bool, list[Any], list[Any]]:
    """Whether it is the first of ``betas``, and the bounds of each group.

    ``from_the_start`` sets the momentum to its upper bound. The bounds are kept in the groups.
    Raises ValueError for an optimizer without momentum.
    """
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ValueError(
            "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
        )
    in_betas = "betas" in optimizer.defaults
    bases = for_each_group("base_momentum", optimizer, base)
    tops = for_each_group("max_momentum", optimizer, most)
    if from_the_start:
        for group, low, high in zip(optimizer.param_groups, bases, tops, strict=True):
            put_momentum(group, high, in_betas)
            group["max_momentum"] = high
            group["base_momentum"] = low
    return in_betas, bases, tops


def put_momentum(group: dict[str, Any], value: Any, in_betas: bool) -> None:
    """Sets the momentum of a group."""
    if in_betas:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value
