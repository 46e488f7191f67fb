"""What PyTorch's files call things, and what they are here.

A file names its functions and classes as PyTorch has them (``torch.FloatStorage``,
``torch._utils._rebuild_tensor_v2``). Writing uses these names without PyTorch being there; reading
finds graphc's object of the same name.
"""

import importlib
from typing import Any, NamedTuple

import numpy as np

from graphc import dtypes, layouts
from graphc.device import device
from graphc.dtypes import dtype as DType
from graphc.nn.parameter import Buffer, Parameter
from graphc.tensor import Size, Tensor


class Named:
    """Stands for an object of PyTorch that is written by its name only."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *_args: Any) -> Any:
        raise TypeError(f"{self.module}.{self.name} is a name to be written, not a function")

    def __repr__(self) -> str:
        return f"{self.module}.{self.name}"


class StorageType(NamedTuple):
    """A class of PyTorch's storages: its name, and the dtype it stands for."""

    name: str
    dtype: DType


_CLASSES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
}

DTYPES: dict[str, DType] = {d.name: d for d in dtypes.ALL}
STORAGES: dict[str, StorageType] = {
    name: StorageType(name, DTYPES[of]) for name, of in _CLASSES.items()
}

# What writes the storage of a dtype; newer dtypes have no class and travel as bytes.
_TORCH, _STORAGE = "torch", "torch.storage"
UNTYPED = Named(_STORAGE, "UntypedStorage")
STORAGE_OF: dict[DType, Named] = {
    DTYPES[of]: Named(_TORCH, name) for name, of in _CLASSES.items() if name != "UntypedStorage"
}

REBUILD_TENSOR = Named("torch._utils", "_rebuild_tensor_v2")
REBUILD_TENSOR_OF_BYTES = Named("torch._utils", "_rebuild_tensor_v3")
REBUILD_PARAMETER = Named("torch._utils", "_rebuild_parameter")
REBUILD_PARAMETER_WITH_STATE = Named("torch._utils", "_rebuild_parameter_with_state")
REBUILD_FROM_TYPE = Named("torch._tensor", "_rebuild_from_type_v2")

# Objects of graphc's that PyTorch has too.
WRITTEN: dict[Any, tuple[str, str]] = {
    Tensor: ("torch", "Tensor"),
    Parameter: ("torch.nn.parameter", "Parameter"),
    Buffer: ("torch.nn.parameter", "Buffer"),
    Size: ("torch", "Size"),
    device: ("torch", "device"),
    **{d: ("torch", name) for name, d in DTYPES.items()},
}

_FOREIGN = {
    "complex": "complex64 complex128 complex32 cfloat cdouble chalf "
    "ComplexFloatStorage ComplexDoubleStorage",
    "quantized": "qint8 quint8 qint32 quint4x2 quint2x4 QInt8Storage QInt32Storage QUInt8Storage "
    "QUInt4x2Storage QUInt2x4Storage _rebuild_qtensor per_tensor_affine per_channel_affine "
    "per_tensor_symmetric per_channel_symmetric per_channel_affine_float_qparams",
    "8-bit float": "float8_e5m2 float8_e4m3fn float8_e5m2fnuz float8_e4m3fnuz float8_e8m0fnu",
    "4-bit float": "float4_e2m1fn_x2",
    "sparse": "_rebuild_sparse_tensor _rebuild_sparse_csr_tensor",
    "nested": "_rebuild_nested_tensor",
    "meta": "_rebuild_meta_tensor_no_storage",
    "bit": "bits8 bits16 bits1x8 bits2x4 bits4x2",
    "unsigned": "uint16 uint32 uint64",
}
_KIND_OF = {name: kind for kind, names in _FOREIGN.items() for name in names.split()}


GET_LAYOUT = Named("torch.serialization", "_get_layout")


def layout_named(text: Any) -> Any:
    """The layout that PyTorch calls so. Raises RuntimeError for all but the dense one."""
    if text != "torch.strided":
        raise RuntimeError("the file names a layout of tensors that graphc does not have")
    return layouts.strided


def refuse_foreign(module: str, name: str) -> None:
    """Raises RuntimeError for the names of tensors that graphc does not have."""
    kind = _KIND_OF.get(name)
    if module.partition(".")[0] == "torch" and kind is not None and name not in DTYPES:
        raise RuntimeError(
            f"the file holds {kind} tensors ({module}.{name}), which graphc does not have. "
            "Convert them with PyTorch (x.to(torch.float32), x.dequantize(), x.to_dense(), ...) "
            "and save them again."
        )


def found_here(module: str, name: str) -> Any:
    """graphc's object for a name of PyTorch's: of the same module, or a module around that one.

    Raises AttributeError when there is none.
    """
    refuse_foreign(module, name)
    parts = ["graphc", *module.split(".")[1:]]
    if parts[1:2] == ["_C"]:  # compiled functions, which PyTorch also has under public names
        parts = ["graphc", "nn", "functional"] if "_nn" in parts else ["graphc"]
    while parts:
        try:
            found: Any = importlib.import_module(".".join(parts))
            for step in name.split("."):
                found = getattr(found, step)
        except (ImportError, AttributeError):
            parts.pop()
        else:
            return found
    raise AttributeError(
        f"the file needs {module}.{name}, which graphc does not have; with PyTorch, save the "
        "state_dict() instead of the whole object"
    )


def swapped(flat: "np.ndarray[Any, Any]", kind: DType) -> None:
    """Turns the bytes of each element around, in place."""
    if kind.itemsize > 1:
        flat.view(f"u{kind.itemsize}").byteswap(inplace=True)
