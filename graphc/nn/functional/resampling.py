"""Images made larger or smaller: interpolation."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

from graphc import dtypes
from graphc.errors import ShapeError
from graphc.functions.promotion import cast
from graphc.nn.functional.adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
)
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

# What each mode is along one dim, and for how many spatial dims PyTorch has it.
_ANY = (1, 2, 3)
_MODES: dict[str, tuple[str, tuple[int, ...]]] = {
    "nearest": ("nearest", _ANY),
    "nearest-exact": ("nearest-exact", _ANY),
    "linear": ("linear", (1,)),
    "bilinear": ("linear", (2,)),
    "bicubic": ("cubic", (2,)),
    "trilinear": ("linear", (3,)),
    "lanczos": ("lanczos", (2,)),
    "area": ("area", _ANY),
}
_WITHOUT_CORNERS = ("nearest", "area", "nearest-exact")
_ANTIALIASED = ("bilinear", "bicubic", "lanczos")


def _is_integer(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, Tensor)


def _sizes_and_scales(
    x: Tensor, size: Any, scale_factor: Any
) -> tuple[list[int] | None, list[float] | None]:
    """One entry for each spatial dim, of one of the two. Raises ValueError or TypeError."""
    spatial = x.ndim - 2
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    given = scale_factor if size is None else size
    several = isinstance(given, (list, tuple))
    if several and len(given) != spatial:
        what = "output size" if scale_factor is None else "scale_factor of shape"
        raise ValueError(
            "Input and output must have the same number of spatial dimensions, but got input with "
            f"spatial dimensions of {list(x.shape[2:])} and {what} {given}. Please provide input "
            "tensor in (N, C, d1, d2, ...,dK) format and one entry for each of d1 to dK."
        )
    each = list(given) if several else [given] * spatial
    if size is None:
        return None, [float(s) for s in each]
    if not all(map(_is_integer, each)):
        raise TypeError(
            "expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, "
            f"int], but got size with types {[type(s) for s in each]}"
        )
    return [int(s) for s in each], None


def _check_mode(x: Tensor, mode: str, align_corners: bool | None, antialias: bool) -> None:
    spatial = x.ndim - 2
    if antialias and not (mode in _ANTIALIASED and x.ndim == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires "
            "a 4-D tensor as input"
        )
    if mode in _MODES and spatial in _MODES[mode][1]:
        if mode == "lanczos" and align_corners:
            raise ValueError("Lanczos mode does not support align_corners=True")
        if mode == "lanczos" and not antialias:
            raise ValueError("Lanczos mode requires antialias=True")
        return
    if mode in ("linear", "bilinear", "trilinear") and spatial in _ANY:
        needed = _MODES[mode][1][0] + 2
        raise NotImplementedError(f"Got {x.ndim}D input, but {mode} mode needs {needed}D input")
    raise NotImplementedError(
        f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {x.ndim}D) for the modes: "
        f"{' | '.join(_MODES)} (got {mode})"
    )


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """``input`` (N, C, ...) with its one to three spatial dims resampled; the dtype stays.

    size, scale_factor      what the result's spatial size is, or is of the input's; one of them
    mode                    'nearest', 'nearest-exact', 'linear' (3-D), 'bilinear', 'bicubic',
                            'lanczos' (4-D), 'trilinear' (5-D) or 'area'
    align_corners           whether the middles of the corner elements stay where they are
    recompute_scale_factor  steps follow from the sizes and not from ``scale_factor``
    antialias               filters as wide as the step, where it is more than one element

    Bytes are computed in fixed point. Raises ValueError for arguments that exclude each other,
    NotImplementedError for modes and dtypes that an input of this rank does not have.
    """
    if mode in _WITHOUT_CORNERS and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear "
            "| bicubic | trilinear"
        )
    sizes, scales = _sizes_and_scales(input, size, scale_factor)
    if recompute_scale_factor and sizes is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    source = [int(n) for n in input.shape[2:]]
    targets = sizes
    if targets is None:
        assert scales is not None
        targets = [math.floor(n * s) for n, s in zip(source, scales, strict=True)]
    if recompute_scale_factor or mode == "area":
        scales = None
    _check_mode(input, mode, align_corners, antialias)
    if mode == "area":
        pools = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)
        return pools[len(source) - 1](input, targets)
    method = _MODES[mode][0] + ("-antialias" if antialias else "")
    _check_operand(input, mode, targets)
    return _resampled(input, targets, scales, method, bool(align_corners))


def _check_operand(x: Tensor, mode: str, targets: list[int]) -> None:
    source = [int(n) for n in x.shape[2:]]
    if any(n < 1 for n in (*source, *targets)):
        raise ShapeError(
            f"Input and output sizes should be greater than 0, but got input {tuple(source)} and "
            f"output {tuple(targets)}"
        )
    if not x.shape[1]:
        raise ShapeError(
            f"Non-empty {x.ndim}D data tensor expected but got a tensor with sizes {list(x.shape)}"
        )
    bytes_too = mode not in ("linear", "trilinear")
    if not (x.dtype.is_floating_point or (bytes_too and x.dtype is dtypes.uint8)):
        kernel = f"upsample_{mode.replace('-', '_')}{x.ndim - 2}d"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{x.dtype.type_name}'")


def _resampled(
    x: Tensor, targets: Sequence[int], scales: Sequence[float] | None, method: str, corners: bool
) -> Tensor:
    """Dim by dim, the last one first; 16 bits are rounded only once."""
    half = x.dtype if x.dtype in (dtypes.float16, dtypes.bfloat16) else None
    copies = method.startswith("nearest")
    y = cast(x, dtypes.float32) if half is not None and not copies else x
    for d in reversed(range(len(targets))):
        attrs = {
            "dim": 2 + d,
            "size": targets[d],
            "method": method,
            "scale": None if scales is None else scales[d],
            "align_corners": corners,
        }
        y = apply(OPS["resample"], (y,), attrs)
    return y if half is None else cast(y, half)


def _deprecated(name: str) -> None:
    warnings.warn(
        f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=3,
    )


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """The former name of :func:`interpolate`."""
    _deprecated("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """:func:`interpolate` with the nearest elements."""
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """:func:`interpolate` of images (N, C, H, W), linearly and with aligned corners."""
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)
