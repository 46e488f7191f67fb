"""SciPy's special functions as NumPy rules: computed in float64, rounded once, loaded when used."""

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def scipy_function(name: str) -> Callable[..., Array]:
    """``scipy.special.<name>`` of arrays of one dtype, giving that dtype."""

    def evaluate(*arrays: Array) -> Array:
        from scipy import special

        wide = (a.astype(np.float64) for a in arrays)
        return np.asarray(getattr(special, name)(*wide)).astype(arrays[0].dtype)

    return evaluate
