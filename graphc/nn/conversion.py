"""A module moved to another dtype, device or memory: all its parameters and buffers, in place."""

from collections.abc import Callable
from typing import Any, TypeVar

from graphc.dtypes import dtype as DType
from graphc.functions.conversion import _target
from graphc.functions.creation import empty_like
from graphc.functions.factory import checked_dtype
from graphc.modes import no_grad
from graphc.nn.members import Members
from graphc.nn.structure import STRUCTURE
from graphc.tensor import Tensor

C = TypeVar("C", bound="Convertible")


class Convertible(Members):
    """``to`` and its shorter forms."""

    def _apply(self: C, fn: Callable[[Any], Any], recurse: bool = True) -> C:
        """Puts what ``fn`` makes of each parameter, gradient and buffer in its place."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            with no_grad():
                _exchange(parameter, fn(parameter))
                if parameter.grad is not None:
                    parameter.grad = fn(parameter.grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        STRUCTURE.version += 1
        return self

    def to(self: C, *args: Any, **kwargs: Any) -> C:
        """``to(device, dtype)``, ``to(dtype)`` or ``to(tensor)``: floating tensors get the dtype.

        Also takes ``non_blocking`` and ``memory_format`` (of parameters with 4 or 5 dims). Raises
        TypeError for a dtype that is not floating.
        """
        target = _target(args, kwargs)
        dtype = checked_dtype("to", target.pop("dtype", None))
        format = target.pop("memory_format", None)
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, but got desired "
                f"dtype={dtype}"
            )

        def moved(t: Tensor) -> Any:
            more = {} if format is None or t.ndim not in (4, 5) else {"memory_format": format}
            return t.to(dtype=dtype if t.is_floating_point() else None, **target, **more)

        return self._apply(moved)

    def type(self: C, dst_type: DType | str) -> C:
        """All parameters and buffers in one dtype."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self: C) -> C:
        """Floating tensors in float32."""
        return self._apply(lambda t: t.float() if t.is_floating_point() else t)

    def double(self: C) -> C:
        """Floating tensors in float64."""
        return self._apply(lambda t: t.double() if t.is_floating_point() else t)

    def half(self: C) -> C:
        """Floating tensors in float16."""
        return self._apply(lambda t: t.half() if t.is_floating_point() else t)

    def bfloat16(self: C) -> C:
        """Floating tensors in bfloat16."""
        return self._apply(lambda t: t.bfloat16() if t.is_floating_point() else t)

    def cpu(self: C) -> C:
        """Everything in main memory."""
        return self._apply(lambda t: t.cpu())

    def cuda(self: C, device: Any = None) -> C:
        """Everything on a GPU."""
        return self._apply(lambda t: t.cuda(device))

    def to_empty(self: C, *, device: Any, recurse: bool = True) -> C:
        """New memory on a device, whose contents mean nothing yet."""
        return self._apply(lambda t: empty_like(t, device=device), recurse=recurse)

    def share_memory(self: C) -> C:
        """Moves everything to memory that processes forked from this one share."""
        return self._apply(lambda t: t.share_memory_())


def _exchange(parameter: Any, new: Any) -> None:
    if new is not parameter:
        parameter.data = new
