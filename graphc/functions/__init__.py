"""The public functions, one family a module; importing the package attaches them to tensors."""

from graphc.functions import (
    conversion,
    creation,
    indexing,
    pointwise,
    products,
    random,
    reduction,
    shape,
)
from graphc.functions.registry import FUNCTIONS

__all__ = [
    "FUNCTIONS",
    "conversion",
    "creation",
    "indexing",
    "pointwise",
    "products",
    "random",
    "reduction",
    "shape",
]
