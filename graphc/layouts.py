"""How elements are ordered in memory: the types ``layout`` and ``memory_format``, and strides.

Every tensor is ``strided``. A memory format is an order of dimensions in memory; formats are
honoured by eager tensors, while compiled functions return row-major results.
"""

from collections.abc import Sequence
from typing import Any, Final, final

from graphc.errors import ShapeError


class _Named:
    """A constant that prints as PyTorch's of the same name."""

    __slots__ = ("name",)
    name: str

    def __new__(cls, *_args: object, **_kwargs: object) -> Any:
        raise TypeError(f"cannot create 'graphc.{cls.__name__}' instances")

    def __repr__(self) -> str:
        return f"graphc.{self.name}"

    def __reduce__(self) -> str:
        return self.name


def _define(kind: Any, name: str) -> Any:
    made = object.__new__(kind)
    made.name = name
    return made


@final
class layout(_Named):  # noqa: N801 - PyTorch's name
    """How a tensor stores its elements; ``strided`` is the only one."""

    __slots__ = ()


@final
class memory_format(_Named):  # noqa: N801 - PyTorch's name
    """The order of dimensions in memory that a new tensor gets."""

    __slots__ = ()


strided: Final[layout] = _define(layout, "strided")
contiguous_format: Final[memory_format] = _define(memory_format, "contiguous_format")
preserve_format: Final[memory_format] = _define(memory_format, "preserve_format")
channels_last: Final[memory_format] = _define(memory_format, "channels_last")
channels_last_3d: Final[memory_format] = _define(memory_format, "channels_last_3d")

_CHANNELS_LAST: Final = {channels_last: 4, channels_last_3d: 5}


def checked_layout(name: str, value: Any) -> None:
    """Raises TypeError unless ``value`` is None or ``strided``."""
    if value is not None and value is not strided:
        raise TypeError(
            f"{name}(): argument 'layout' must be graphc.strided, the only layout there is, "
            f"not {value!r}"
        )


def checked_format(name: str, value: Any, allowed: Sequence[memory_format]) -> memory_format:
    """The format; None is the first of those allowed. Raises TypeError or RuntimeError."""
    if value is None:
        return allowed[0]
    if not isinstance(value, memory_format):
        raise TypeError(
            f"{name}(): argument 'memory_format' must be graphc.memory_format, not "
            f"{type(value).__name__}"
        )
    if value not in allowed:
        raise RuntimeError(f"{name}(): unsupported memory format option {value.name}")
    return value


ANY: Final = (preserve_format, contiguous_format, channels_last, channels_last_3d)
DEFINITE: Final = (contiguous_format, channels_last, channels_last_3d)


def physical_order(rank: int, format: memory_format) -> tuple[int, ...]:
    """The dimensions from the slowest in memory to the fastest.

    Raises RuntimeError when the format is for tensors of another rank.
    """
    needed = _CHANNELS_LAST.get(format)
    if needed is None:
        return tuple(range(rank))
    if rank != needed:
        raise ShapeError(f"required rank {needed} tensor to use {format.name} format")
    return (0, *range(2, rank), 1)


def dense_strides(shape: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """Strides, in elements, of a tensor without gaps whose dimensions lie in this order."""
    strides = [0] * len(shape)
    step = 1
    for dim in reversed(order):
        strides[dim] = step
        step *= max(shape[dim], 1)
    return tuple(strides)


def follows(shape: Sequence[int], strides: Sequence[int], format: memory_format) -> bool:
    """Whether elements with these strides lie without gaps in the order of the format."""
    if format in _CHANNELS_LAST and len(shape) != _CHANNELS_LAST[format]:
        return False
    if 0 in shape:
        return True
    step = 1
    for dim in reversed(physical_order(len(shape), format)):
        if shape[dim] == 1:
            continue
        if strides[dim] != step:
            return False
        step *= shape[dim]
    return True


def order_of(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """The dimensions from the slowest to the fastest; equal strides keep their order."""
    return tuple(sorted(range(len(shape)), key=lambda dim: -strides[dim]))
