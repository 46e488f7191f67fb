"""Memory shared with other libraries: DLPack in both directions, and Python's buffers.

NumPy makes and reads the capsules. It knows no bfloat16, so such elements travel as 16-bit integers
whose type code is exchanged inside the capsule: the fields ``code, bits, lanes`` of the structure
``DLTensor`` (https://dmlc.github.io/dlpack/latest/c_api.html).
"""

import ctypes
import enum
import warnings
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.functions.creation import from_numpy, tensor
from graphc.functions.factory import checked_device, checked_dtype, checked_options
from graphc.functions.literals import frozen
from graphc.functions.promotion import cast
from graphc.functions.registry import tensor_function
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Array, Tensor, apply


class DLDeviceType(enum.IntEnum):
    """The kinds of devices that DLPack numbers; tensors are on the first."""

    kDLCPU = 1  # noqa: N815 - the standard's names
    kDLCUDA = 2  # noqa: N815


_HOST = (DLDeviceType.kDLCPU, 0)
_UNSIGNED, _BFLOAT = 1, 4  # kDLUInt, kDLBfloat


class _Type(ctypes.Structure):
    """``DLDataType``."""

    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    """The beginning of ``DLTensor``."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("dtype", _Type),
    )


class _Versioned(ctypes.Structure):
    """The beginning of ``DLManagedTensorVersioned``; the older structure begins with the tensor."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


def _type_in(capsule: Any) -> tuple[_Type, bool]:
    """The element type inside a capsule, to be read or changed, and whether it has a version.

    Raises RuntimeError for what is no capsule, or a used one.
    """
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype = ctypes.c_void_p
    pointer_of.argtypes = (ctypes.py_object, ctypes.c_char_p)
    is_valid = ctypes.pythonapi.PyCapsule_IsValid
    is_valid.argtypes = (ctypes.py_object, ctypes.c_char_p)
    if is_valid(capsule, b"dltensor_versioned"):
        address = pointer_of(capsule, b"dltensor_versioned")
        return _Versioned.from_address(address).tensor.dtype, True
    if is_valid(capsule, b"dltensor"):
        return _Tensor.from_address(pointer_of(capsule, b"dltensor")).dtype, False
    raise RuntimeError(
        "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only "
        "once, so you might have already constructed a tensor from it once."
    )


# ------------------------------------------------------------------------------------------- giving


@tensor_function(public=False)
def __dlpack_device__(self: Tensor) -> tuple[DLDeviceType, int]:  # noqa: N807 - the protocol's name
    """The kind and number of the device: main memory."""
    del self
    return _HOST


@tensor_function(public=False)
def __dlpack__(  # noqa: N807 - the protocol's name
    self: Tensor,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """A capsule with the memory of the tensor, or with a copy.

    Raises BufferError for a tensor that requires gradients and for another device.
    """
    if stream is not None:
        raise AssertionError("stream should be None on cpu.")
    if dl_device is not None and tuple(int(n) for n in dl_device) != _HOST:
        raise BufferError(f"a tensor on the CPU cannot be exported to the device {dl_device}")
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    array = self._array()
    if copy:
        array = array.copy()
    half = self.dtype is dtypes.bfloat16
    if half:
        array = array.view(np.uint16)
    capsule = array.__dlpack__(max_version=max_version)  # type: ignore[call-arg]
    if half:
        _type_in(capsule)[0].code = _BFLOAT
    return capsule


@tensor_function(method=False)
def to_dlpack(tensor: Tensor) -> Any:
    """A capsule with the memory of a tensor, for one call of somebody's ``from_dlpack``."""
    return tensor.__dlpack__()  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------- taking


class _Capsule:
    """A capsule as the object that NumPy expects; knows what its elements really are."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule
        kind, self.versioned = _type_in(capsule)
        self.is_bfloat16 = (kind.code, kind.bits) == (_BFLOAT, 16)
        if self.is_bfloat16:
            kind.code = _UNSIGNED

    def __dlpack__(self, **_named: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return _HOST


class _Writable:
    """The memory of an array that NumPy marks as read-only, although its owner may write to it."""

    def __init__(self, array: Array) -> None:
        self._array = array
        described = dict(array.__array_interface__)
        described["data"] = (described["data"][0], False)
        self.__array_interface__ = described


def _asked_for(source: Any, copy: bool | None) -> Any:
    """The capsule of an object; older objects do not know all the keywords."""
    given: dict[str, Any] = {"max_version": (1, 0)}
    if copy is not None:
        given["copy"] = copy
    try:
        return source.__dlpack__(**given)
    except TypeError:
        return source.__dlpack__()


@tensor_function(method=False)
def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor on the memory of an object with ``__dlpack__``, or of a capsule.

    ``copy=True`` gives the tensor memory of its own. Memory that its owner marks as read-only stays
    so. Raises RuntimeError for other objects and used capsules, TypeError for element types
    without a dtype here, BufferError for memory of another device.
    """
    if MODES.trace is not None:
        raise frozen("memory")
    checked_device(device)
    capsule = ext_tensor
    if hasattr(ext_tensor, "__dlpack__"):
        kind, number = ext_tensor.__dlpack_device__()
        if int(kind) != DLDeviceType.kDLCPU:
            raise BufferError(f"memory of the device ({int(kind)}, {number}) is not on the CPU")
        capsule = _asked_for(ext_tensor, copy)
    wrapped = _Capsule(capsule)
    array: Array = np.from_dlpack(wrapped)  # type: ignore[arg-type]
    if not wrapped.versioned and not array.flags.writeable:
        array = np.asarray(_Writable(array))
    if wrapped.is_bfloat16:
        array = array.view(dtypes.bfloat16.numpy)
    return _shared(array.copy() if copy and capsule is ext_tensor else array)


def _shared(array: Array) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return from_numpy(array)  # type: ignore[no-any-return]


# -------------------------------------------------------------------------------- Python's buffers


@tensor_function(method=False)
def frombuffer(
    buffer: Any,
    *,
    dtype: DType,
    count: int = -1,
    offset: int = 0,
    requires_grad: bool = False,
) -> Tensor:
    """A vector on the memory of an object with Python's buffer protocol.

    ``count`` elements (-1: all) from byte ``offset`` on. Raises ValueError where they do not lie
    in the buffer.
    """
    kind = checked_dtype("frombuffer", dtype)
    assert kind is not None
    if MODES.trace is not None:
        raise frozen("a buffer")
    try:
        view = memoryview(buffer).cast("B")
    except TypeError:
        raise ValueError("object does not implement Python buffer protocol.") from None
    length, size = len(view), kind.itemsize
    if length == 0 or count == 0:
        raise ValueError(f"both buffer length ({length}) and count ({count}) must not be 0")
    if not 0 <= offset < length:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length "
            f"({length} bytes) minus 1"
        )
    if count < 0 and (length - offset) % size:
        raise ValueError(
            f"buffer length ({length - offset} bytes) after offset ({offset} bytes) must be a "
            f"multiple of element size ({size})"
        )
    number = (length - offset) // size if count < 0 else count
    if number * size > length - offset:
        raise ValueError(
            f"requested buffer length ({number} * {size} bytes) after offset ({offset} bytes) must "
            f"not be greater than actual buffer length ({length} bytes)"
        )
    flat = np.frombuffer(view, np.uint8, number * size, offset)
    made = _shared(flat.view(kind.numpy))
    return made.requires_grad_() if requires_grad else made


# --------------------------------------------------------------------------------- anything at all


@tensor_function(method=False)
def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool | None = None,
) -> Tensor:
    """A tensor from a tensor, an array, a DLPack capsule, a buffer, or nested sequences.

    Memory is shared where it can be, unless ``copy`` is True. Raises ValueError where it cannot and
    ``copy`` is False.
    """
    kind = checked_dtype("asarray", dtype)
    checked_options("asarray", None, device, False)
    shared = _aliased(obj, kind)
    if shared is None:
        if copy is False:
            raise ValueError("can't alias arbitrary sequence into a tensor.")
        result: Tensor = tensor(obj, dtype=kind)
    else:
        result = _converted(shared, kind, copy)
    if requires_grad is None:
        return result
    if requires_grad and result.is_leaf:
        return (result.detach() if result is obj else result).requires_grad_()
    return result.detach() if result.requires_grad and not requires_grad else result


def _aliased(obj: Any, dtype: DType | None) -> Tensor | None:
    """A tensor on the memory of the object, if it has any."""
    if isinstance(obj, Tensor):
        return obj
    if isinstance(obj, np.ndarray) and MODES.trace is None:
        return from_numpy(obj)  # type: ignore[no-any-return]
    if type(obj).__name__ == "PyCapsule" or hasattr(obj, "__dlpack__"):
        return None if isinstance(obj, (np.ndarray, np.generic)) else from_dlpack(obj)  # type: ignore[no-any-return]
    if isinstance(obj, np.generic) or not _has_buffer(obj):
        return None
    return frombuffer(obj, dtype=dtype or dtypes.get_default_dtype())  # type: ignore[no-any-return]


def _has_buffer(obj: Any) -> bool:
    try:
        memoryview(obj).release()
    except TypeError:
        return False
    return True


def _converted(shared: Tensor, dtype: DType | None, copy: bool | None) -> Tensor:
    if dtype is not None and dtype is not shared.dtype:
        if copy is False:
            raise ValueError(
                f"can't alias tensor with dtype '{shared.dtype.type_name}' into dtype "
                f"'{dtype.type_name}'."
            )
        return cast(shared, dtype)
    return apply(OPS["clone"], (shared,), {}) if copy else shared
