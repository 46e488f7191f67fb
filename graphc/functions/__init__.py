"""The public functions, one family a module; importing the package attaches them to tensors."""

from graphc.functions import (
    chains,
    conversion,
    creation,
    distances,
    einsum,
    indexing,
    norms,
    pointwise,
    products,
    random,
    reduction,
    shape,
    sorting,
    statistics,
)
from graphc.functions.registry import FUNCTIONS

__all__ = [
    "FUNCTIONS",
    "chains",
    "conversion",
    "creation",
    "distances",
    "einsum",
    "indexing",
    "norms",
    "pointwise",
    "products",
    "random",
    "reduction",
    "shape",
    "sorting",
    "statistics",
]
