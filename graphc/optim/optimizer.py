"""The base of all optimizers."""

from typing import Any


class Optimizer:
    """Holds parameter groups and per-parameter state."""

    runtime_numbers: frozenset[str] = frozenset()
    param_groups: list[dict[str, Any]]
    state: dict[Any, dict[str, Any]]
