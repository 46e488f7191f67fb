"""Names for annotations."""

import builtins
import os
from collections.abc import Sequence
from typing import IO, Union

from graphc.device import device as _device
from graphc.dtypes import dtype as _dtype
from graphc.layouts import layout as _layout
from graphc.tensor import Size, Tensor

_bool = builtins.bool
_float = builtins.float
_int = builtins.int
_size = Union[Size, list[int], tuple[int, ...]]
_TensorOrTensors = Union[Tensor, Sequence[Tensor]]
_TensorOrTensorsOrGradEdge = _TensorOrTensors
Device = Union[_device, str, int, None]
DeviceLikeType = Union[str, _device, int]
Number = Union[int, float, bool]
FileLike = Union[str, os.PathLike[str], IO[bytes]]

__all__ = [
    "Device",
    "DeviceLikeType",
    "FileLike",
    "Number",
    "Size",
    "Tensor",
    "_bool",
    "_device",
    "_dtype",
    "_float",
    "_int",
    "_layout",
    "_size",
]
