"""The ways in which an operation is compared with PyTorch's, by name."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.opinfo.eager import eager, errors, second
from tests.opinfo.forms import forms
from tests.opinfo.outcomes import DTYPES, Outcome, Settings
from tests.opinfo.programs import compiled, compiled_gradient, gradient

MODES: dict[str, Callable[[Any, Settings], Iterator[Outcome]]] = {
    "eager": eager,
    "forms": forms,
    "errors": errors,
    "compiled": compiled,
    "gradient": gradient,
    "compiled_gradient": compiled_gradient,
    "second": second,
}

__all__ = ["DTYPES", "MODES"]
