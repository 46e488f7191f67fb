"""The public functions, one family a module; importing the package attaches them to tensors."""

from graphc.functions import (
    chains,
    conversion,
    counting,
    creation,
    differences,
    distances,
    einsum,
    indexing,
    norms,
    pointwise,
    products,
    random,
    reduction,
    scans,
    shape,
    sorting,
    statistics,
)
from graphc.functions.registry import FUNCTIONS

__all__ = [
    "FUNCTIONS",
    "chains",
    "conversion",
    "counting",
    "creation",
    "differences",
    "distances",
    "einsum",
    "indexing",
    "norms",
    "pointwise",
    "products",
    "random",
    "reduction",
    "scans",
    "shape",
    "sorting",
    "statistics",
]
