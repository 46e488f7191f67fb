"""Saving and loading in PyTorch's file format, without PyTorch."""

from typing import Any

from graphc.errors import unknown_name
from graphc.serialization.loading import (
    default_restore_location,
    get_unsafe_globals_in_checkpoint,
    load,
)
from graphc.serialization.restricted import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    safe_globals,
)
from graphc.serialization.saving import DEFAULT_PROTOCOL, save

__all__ = [
    "DEFAULT_PROTOCOL",
    "add_safe_globals",
    "clear_safe_globals",
    "default_restore_location",
    "get_safe_globals",
    "get_unsafe_globals_in_checkpoint",
    "load",
    "safe_globals",
    "save",
]


def __getattr__(name: str) -> Any:
    raise unknown_name("module 'graphc.serialization'", name, globals())
