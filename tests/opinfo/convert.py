"""Values of PyTorch as values of graphc, and back: the same memory layout, dtype and flags."""

from typing import Any

import ml_dtypes
import numpy as np
import torch

import graphc
from graphc.trees import flatten, unflatten

# The kinds of element that graphc has; what PyTorch has beyond them is out of scope.
DTYPES = {
    str(t).removeprefix("torch."): t
    for t in (
        torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int8,
        torch.int16, torch.int32, torch.int64, torch.bool,
    )
}  # fmt: skip
NAMES = {t: name for name, t in DTYPES.items()}


def elements(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """The tensor's own memory as an array, strides kept; bfloat16 through ml_dtypes."""
    plain = tensor.detach()
    if plain.dtype is torch.bfloat16:
        return plain.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return plain.numpy()


def in_scope(value: Any) -> bool:
    """Whether graphc has values of this kind. It does not look at the memory."""
    if isinstance(value, torch.Tensor):
        plain = value.layout is torch.strided and not value.is_quantized
        return plain and value.dtype in NAMES and value.device.type == "cpu"
    if isinstance(value, torch.dtype):
        return value in NAMES
    if isinstance(value, torch.layout):
        return value is torch.strided
    if isinstance(value, torch.device):
        return value.type == "cpu"
    return not isinstance(value, complex)


def to_graphc(tensor: torch.Tensor) -> graphc.Tensor:
    """A copy as a graphc tensor with the same strides and ``requires_grad``."""
    array = elements(tensor)
    if array.flags.c_contiguous or not array.size:
        made = graphc.from_numpy(np.array(array, order="C", copy=True))
    else:
        made = graphc.from_numpy(elements(fresh(tensor)))
    return made.requires_grad_(tensor.requires_grad)


def fresh(tensor: torch.Tensor) -> torch.Tensor:
    """A copy as a leaf of PyTorch with the same strides and ``requires_grad``."""
    plain = tensor.detach()
    if plain.is_contiguous() or not plain.numel():
        made = plain.clone()
    else:
        # The span of memory that the tensor shows, with its gaps and overlaps.
        span = sum((n - 1) * s for n, s in zip(plain.shape, plain.stride(), strict=True))
        flat = plain.as_strided((span + 1,), (1,)).clone()
        made = flat.as_strided(plain.shape, plain.stride())
    return made.requires_grad_(tensor.requires_grad)


def from_graphc(tensor: graphc.Tensor) -> torch.Tensor:
    """The values as a PyTorch tensor."""
    array = np.array(tensor.detach().numpy(), order="C", copy=True)
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def translated(value: Any) -> Any:
    """One leaf of a call: tensors, dtypes, devices and formats in graphc's words."""
    if isinstance(value, torch.Tensor):
        return to_graphc(value)
    if isinstance(value, torch.dtype):
        return getattr(graphc, NAMES[value])
    if isinstance(value, (torch.memory_format, torch.layout)):
        return getattr(graphc, str(value).removeprefix("torch."))
    if isinstance(value, torch.device):
        return graphc.device(value.type)
    if isinstance(value, torch.Size):
        return graphc.Size(value)
    if isinstance(value, slice):
        return slice(translated(value.start), translated(value.stop), translated(value.step))
    if isinstance(value, torch.Generator):
        return graphc.Generator().manual_seed(value.initial_seed())
    if isinstance(value, torch.nn.Module):  # those of samples have neither arguments nor state
        return getattr(graphc.nn, type(value).__name__)()
    return value


def translate(nest: Any) -> Any:
    """A nest of lists, tuples and dicts, leaf by leaf."""
    leaves, tree = flatten(nest)
    return unflatten(tree, [translated(leaf) for leaf in leaves])
