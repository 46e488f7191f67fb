"""The layers, one family a module; ``graphc.nn`` has all of them."""

import sys

from graphc.errors import unknown_name
from graphc.nn.modules import module, utils

__all__ = ["module", "utils"]


def __getattr__(name: str) -> object:
    """The layers by name, as programs for PyTorch import them from here, too."""
    layer = vars(sys.modules["graphc.nn"]).get(name)
    if isinstance(layer, type) and issubclass(layer, module.Module):
        return layer
    raise unknown_name("module 'graphc.nn.modules'", name, __all__)
