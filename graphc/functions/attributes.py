"""What a tensor tells of itself: sizes, strides, memory, and what kind of tensor it is."""

import math
from typing import Any

from graphc import dtypes, layouts
from graphc.functions.dims import normalise_dim
from graphc.functions.factory import filled, flat_slope
from graphc.functions.promotion import cast
from graphc.functions.registry import tensor_function
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

method = tensor_function(public=False)

# ----------------------------------------------------------------------------------------- numbers


@method
def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or the size of one dimension."""
    return self.shape if dim is None else self.shape[normalise_dim(dim, self.ndim)]


@method
def dim(self: Tensor) -> int:
    """The number of dimensions."""
    return self.ndim


tensor_function(dim, name="ndimension", public=False)


@tensor_function
def numel(input: Tensor) -> int:
    """The number of elements. Raises TypeError for what is no tensor."""
    _need_tensor("numel", input)
    count = 1
    for n in input._type.shape:
        count *= n  # type: ignore[assignment]
    return count


tensor_function(numel, name="nelement", public=False)


def _need_tensor(name: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name}(): argument 'input' (position 1) must be Tensor, not {type(value).__name__}"
        )


def strides_of(tensor: Tensor) -> tuple[int, ...]:
    """Steps in memory, in elements, along each dimension."""
    if tensor._base is None and 0 in tensor._type.shape:  # NumPy has no particular ones then
        return layouts.dense_strides(tuple(tensor.shape), range(tensor.ndim))
    item = tensor.dtype.itemsize
    return tuple(s // item for s in tensor._layout().strides)


@method
def stride(self: Tensor, dim: int | None = None) -> Any:
    """Steps in memory, in elements, along each dimension or one."""
    strides = strides_of(self)
    return strides if dim is None else strides[normalise_dim(dim, self.ndim)]


@method
def storage_offset(self: Tensor) -> int:
    """How many elements into its memory the tensor begins."""
    base = self if self._base is None else self._base
    apart = self._layout().__array_interface__["data"][0]
    return int((apart - base._layout().__array_interface__["data"][0]) // self.dtype.itemsize)


@method
def is_contiguous(self: Tensor, memory_format: Any = None) -> bool:
    """Whether the elements lie without gaps, row-major or in the order of the format."""
    format = layouts.checked_format("is_contiguous", memory_format, _CONTIGUOUS)
    if format is layouts.contiguous_format or format is layouts.preserve_format:
        return bool(self._layout().flags.c_contiguous)
    return layouts.follows(tuple(self.shape), strides_of(self), format)


_CONTIGUOUS = (*layouts.DEFINITE, layouts.preserve_format)


@method
def dim_order(self: Tensor, ambiguity_check: Any = False) -> tuple[int, ...]:
    """The dimensions from the slowest in memory to the fastest.

    Raises RuntimeError when ``ambiguity_check`` is set and several orders describe the memory.
    """
    shape, strides = tuple(self.shape), strides_of(self)
    order = layouts.order_of(shape, strides)
    if ambiguity_check and len({strides[d] for d in range(self.ndim)}) < self.ndim:
        raise RuntimeError(
            "The tensor does not have unique dim order, or cannot map to exact one of the given "
            f"memory formats: strides {list(strides)}"
        )
    return order


@method
def data_ptr(self: Tensor) -> int:
    """The address of the first element; 0 of a tensor without elements."""
    return int(self._array().__array_interface__["data"][0]) if self.numel() else 0


tensor_function(data_ptr, name="const_data_ptr", public=False)


@method
def element_size(self: Tensor) -> int:
    """Bytes per element."""
    return self.dtype.itemsize


@method
def get_device(self: Tensor) -> int:
    """The number of the GPU where the tensor is, -1 of one in main memory."""
    return -1 if self.device.index is None else self.device.index


# -------------------------------------------------------------------------------- yes or no answers


@tensor_function(method=False)
def is_tensor(obj: Any) -> bool:
    """Whether ``obj`` is a tensor."""
    return isinstance(obj, Tensor)


@tensor_function
def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a float."""
    _need_tensor("is_floating_point", input)
    return input.dtype.is_floating_point


@tensor_function
def is_complex(input: Tensor) -> bool:
    """Whether the dtype is complex; none is."""
    _need_tensor("is_complex", input)
    return input.dtype.is_complex


@tensor_function
def is_signed(input: Tensor) -> bool:
    """Whether the dtype has negative numbers."""
    return input.dtype.is_signed


@tensor_function
def is_nonzero(input: Tensor) -> bool:
    """Whether the one element is not zero. Raises RuntimeError for more elements or none."""
    return bool(input)


@tensor_function
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape."""
    return input._type.shape == other._type.shape


@tensor_function
def is_inference(input: Tensor) -> bool:
    """False: tensors made in inference mode are ordinary ones that do not require gradients."""
    del input
    return False


@method
def is_pinned(self: Tensor, device: Any = None) -> bool:
    """Whether the memory is pinned for a GPU; none is."""
    del self, device
    return False


@tensor_function
def is_conj(input: Tensor) -> bool:
    """Whether the tensor is a lazy conjugate; none is."""
    del input
    return False


@tensor_function
def is_neg(input: Tensor) -> bool:
    """Whether the tensor is a lazy negation; none is."""
    del input
    return False


def _itself(name: str, text: str) -> None:
    def function(input: Tensor) -> Tensor:
        return input

    function.__name__ = name
    function.__doc__ = text
    tensor_function(function)


_itself("resolve_conj", "The tensor itself: no tensor is a lazy conjugate.")
_itself("resolve_neg", "The tensor itself: no tensor is a lazy negation.")
_itself("conj", "The tensor itself: real numbers are their own conjugates.")
_itself("conj_physical", "The tensor itself: real numbers are their own conjugates.")
_itself("real", "The tensor itself: all its numbers are real.")


@tensor_function
def imag(input: Tensor) -> Tensor:
    """The imaginary parts. Raises RuntimeError: only complex tensors have them."""
    raise RuntimeError(
        f"imag is not implemented for tensors with non-complex dtypes: {input.dtype}"
    )


@tensor_function(out=True)
def angle(input: Tensor) -> Tensor:
    """The angle of each number in the complex plane: 0, pi for negative numbers, NaN for NaN."""
    x = input if input.dtype.is_floating_point else cast(input, dtypes.get_default_dtype())
    turned = apply(OPS["where"], (OPS["lt"](x, 0), filled((), math.pi, x.dtype), 0.0), {})
    result = apply(OPS["where"], (apply(OPS["isnan"], (x,), {}), x.detach(), turned), {})
    return flat_slope(result, x)


@method
def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both tensors have the same elements in the same memory."""
    return (
        self._storage is tensor._storage
        and self._type == tensor._type
        and strides_of(self) == strides_of(tensor)
        and storage_offset(self) == storage_offset(tensor)
    )


# --------------------------------------------------------------------------------------- properties


def _kind(name: str) -> Any:
    """Whether the device is of this kind."""
    return property(lambda self: self.device.type == name)


def _never(text: str) -> Any:
    return property(lambda _self: False, doc=text)


_PROPERTIES: dict[str, Any] = {
    "itemsize": property(element_size),
    "nbytes": property(lambda self: numel(self) * self.dtype.itemsize),
    "layout": property(lambda _self: layouts.strided),
    "names": property(lambda self: (None,) * self.ndim),
    "output_nr": property(lambda _self: 0),
    "is_cuda": _kind("cuda"),
    "is_cpu": _kind("cpu"),
    **{
        f"is_{name}": _never(f"Whether the tensor is {name}; none is.")
        for name in (
            *("sparse", "sparse_csr", "quantized", "mkldnn", "meta", "nested", "mps", "xpu"),
            *("ipu", "maia", "mtia", "vulkan", "xla"),
        )
    },
    "volatile": _never("False, as it is in PyTorch since 0.4."),
}
for _name, _property in _PROPERTIES.items():
    setattr(Tensor, _name, _property)
