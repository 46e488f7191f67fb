"""One row per operation: type rule, NumPy evaluation, gradient, lowering, samples for tests.

Every module of this package is one family of rows. Importing the package imports them all, so the
registry :data:`graphc.ir.OPS` is full afterwards. Rows name each other only when their rules run;
the order of the families therefore does not matter.
"""

import pkgutil
from importlib import import_module

from graphc.ir import OPS

FAMILIES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))

for _family in FAMILIES:
    import_module(f"{__name__}.{_family}")

__all__ = ["FAMILIES", "OPS"]
