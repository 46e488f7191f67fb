"""SciPy's special functions as NumPy rules: computed in float64, rounded once, loaded when used."""

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def scipy_function(name: str) -> Callable[..., Array]:
    """``scipy.special.<name>`` of arrays of one dtype, giving that dtype.

    Calling it without SciPy raises ImportError that says what to install.
    """

    def evaluate(*arrays: Array) -> Array:
        try:
            from scipy import special
        except ImportError as error:
            raise ImportError(
                f"{name} outside of compiled functions needs SciPy, which is not installed: "
                "`pip install 'graphc[linalg]'` or `pip install scipy` brings it"
            ) from error
        wide = (a.astype(np.float64) for a in arrays)
        return np.asarray(getattr(special, name)(*wide)).astype(arrays[0].dtype)

    return evaluate
