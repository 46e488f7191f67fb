"""Modules without initial values."""

import inspect
from typing import Any

from graphc.generator import default_generator
from graphc.nn.module import Module

__all__ = ["skip_init"]


def skip_init(module_cls: type, *args: Any, **kwargs: Any) -> Any:
    """A module whose parameters mean nothing yet, for one whose values are loaded.

    Random numbers that initialisation draws are not taken from the generator. Raises RuntimeError
    for what is no module, and for modules without an argument ``device``.
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    state = default_generator.get_state()
    try:
        return module_cls(*args, **kwargs)
    finally:
        default_generator.set_state(state)
