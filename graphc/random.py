"""``graphc.random``: generators, their state, and the functions that draw."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from graphc.functions.random import (
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from graphc.generator import Generator, default_generator


@contextmanager
def fork_rng(
    devices: Any = None,
    enabled: bool = True,
    _caller: str = "fork_rng",
    _devices_kw: str = "devices",
    device_type: str = "cuda",
) -> Iterator[None]:
    """Draws inside leave the default generator as it was before; there are no other devices'."""
    del devices, _caller, _devices_kw, device_type
    kept = default_generator.get_state() if enabled else None
    try:
        yield
    finally:
        if kept is not None:
            default_generator.set_state(kept)


__all__ = [
    "Generator",
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]
