"""Where the values come from that rows are compared with: PyTorch, or a function of the row."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.dtypes import bfloat16, float16
from graphc.ir import OPS, Op

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

Array = np.ndarray[Any, Any]
_HALVES = (float16.numpy, bfloat16.numpy)
# Names of attributes in rows and in PyTorch.
_KEYWORDS = {"dims": "dim"}


def find_reference(op: Op) -> Callable[..., Array] | None:
    """PyTorch's function of the row's name, else Python's own ``math`` or ``scipy.special``."""
    if callable(op.reference):
        return op.reference  # type: ignore[no-any-return]
    if torch is not None:
        return _torch_function(op.reference)
    return _elementwise(op.name)


def to_torch(array: Array) -> Any:
    if array.dtype == bfloat16.numpy:
        return torch.from_numpy(array.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(np.ascontiguousarray(array)).reshape(array.shape)


def from_torch(tensor: Any) -> Array:
    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.float().numpy(), bfloat16.numpy)
    return np.asarray(tensor.numpy())


def _torch_function(path: str) -> Callable[..., Array]:
    function: Any = torch
    for name in path.split("."):
        function = getattr(function, name)

    def reference(*arrays: Array, **attrs: Any) -> Array:
        attrs = {_KEYWORDS.get(k, k): v for k, v in attrs.items()}
        return from_torch(function(*map(to_torch, arrays), **attrs))

    return reference


def _elementwise(name: str) -> Callable[..., Array] | None:
    function = getattr(math, name, None)
    if function is None:
        return None

    def one(*values: Any) -> Any:
        try:
            return function(*values)
        except (ValueError, OverflowError):
            return None  # math raises where IEEE arithmetic has a value

    def reference(*arrays: Array, **attrs: Any) -> Array:
        assert not attrs
        wide = [a.astype(np.float64) if a.dtype in _HALVES else a for a in arrays]
        values = np.frompyfunc(one, len(arrays), 1)(*wide)
        own = np.asarray(OPS[name].evaluate(*arrays))
        unknown = np.equal(values, None)
        return np.where(unknown, own, np.where(unknown, 0, values).astype(own.dtype))

    return reference
