"""Images read at the places of a grid: ``grid_sample``, and the grids of affine maps.

A grid holds places between -1 and 1, the last dimension of the image first. All of it is composed
of gathers and weights, so that the gradients with respect to image and grid come from theirs; the
places of ``affine_grid`` melt into the sampling that reads them.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import product
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import DtypeError, ShapeError
from graphc.functions.joining import stack
from graphc.functions.literals import literal
from graphc.functions.promotion import cast
from graphc.functions.registry import tensor_function
from graphc.functions.shape import narrow
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")
_HALVES = (dtypes.float16, dtypes.bfloat16)


def _where(condition: Tensor, yes: Any, no: Any) -> Any:
    return apply(OPS["where"], (condition, yes, no), {})


def _reshaped(x: Tensor, *shape: int) -> Any:
    return apply(OPS["reshape"], (x,), {"shape": shape})


# ------------------------------------------------------------------------------------- coordinates


def _in_elements(x: Any, size: int, align_corners: bool) -> Any:
    """From [-1, 1] to elements: -1 is the middle of the first one, or its outer border."""
    if align_corners:
        return (x + 1) * ((size - 1) / 2)
    return ((x + 1) * size - 1) / 2


def _clipped(x: Any, size: int) -> Any:
    """At least 0, at most ``size - 1``; no gradient at the ends. NaN becomes 0."""
    last = size - 1
    return _where(x > 0, _where(x < last, x, float(last)), 0.0)


def _mirrored(x: Any, size: int, align_corners: bool) -> Any:
    """Folded back at the middles of the outer elements, or at their borders."""
    low, span = (0.0, size - 1.0) if align_corners else (-0.5, float(size))
    if not span:
        return x * 0
    shifted = x - low
    away = _where(shifted < 0, -shifted, shifted)
    rest = apply(OPS["fmod"], (away, span), {})
    turns = apply(OPS["fmod"], ((away.detach() / span).floor(), 2.0), {})
    return _where(apply(OPS["eq"], (turns, 0), {}), rest + low, span + low - rest)


def _kept(x: Any, size: int, padding: str, align_corners: bool) -> Any:
    """Places outside the image brought inside, as the padding wants."""
    if padding == "border":
        return _clipped(x, size)
    if padding == "reflection":
        return _clipped(_mirrored(x, size, align_corners), size)
    return x


# ----------------------------------------------------------------------------------------- reading


class _Image:
    """An image whose elements are read at places that may lie outside."""

    def __init__(self, x: Tensor) -> None:
        self.batch, self.channels, *self.sizes = (int(n) for n in x.shape)
        self.flat = _reshaped(x, self.batch, self.channels, math.prod(self.sizes))

    def at(self, places: Sequence[Any]) -> tuple[Any, Any]:
        """Elements (N, C, P) at whole floating-point places (N, P) of each dim, and which exist.

        What lies outside is an element of the image; the caller leaves it out.
        """
        inside: Any = None
        index: Any = 0
        for place, size in zip(places, self.sizes, strict=True):
            here = apply(OPS["logical_and"], (place >= 0, place <= size - 1), {})
            inside = here if inside is None else apply(OPS["logical_and"], (inside, here), {})
            index = index * size + cast(_where(here, place, 0.0), dtypes.int64)
        count = int(index.shape[1])
        row = _reshaped(index, self.batch, 1, count)
        wide = apply(OPS["expand"], (row,), {"shape": (self.batch, self.channels, count)})
        read = apply(OPS["gather"], (self.flat, wide), {"dim": 2})
        return read, _reshaped(inside, self.batch, 1, count)

    def weighted(self, places: Sequence[Any], weight: Any) -> Any:
        read, inside = self.at(places)
        return _where(inside, read * _reshaped(weight, self.batch, 1, int(weight.shape[1])), 0.0)


def _total(image: _Image, taps: Sequence[Sequence[tuple[Any, Any]]]) -> Any:
    """The sum over all combinations of the places of each dim, weighted by products of weights."""
    total: Any = None
    for chosen in product(*taps):
        weight = reduce(lambda a, b: a * b, (w for _, w in chosen))
        part = image.weighted([place for place, _ in chosen], weight)
        total = part if total is None else total + part
    return total


def _nearest(image: _Image, at: Sequence[Any], padding: str, align_corners: bool) -> Any:
    places = [
        _kept(x, size, padding, align_corners).round()
        for x, size in zip(at, image.sizes, strict=True)
    ]
    read, inside = image.at(places)
    return _where(inside, read, 0.0)


def _linear(image: _Image, at: Sequence[Any], padding: str, align_corners: bool) -> Any:
    kept = [_kept(x, n, padding, align_corners) for x, n in zip(at, image.sizes, strict=True)]
    first = [x.detach().floor() for x in kept]
    ends = [(low, low + 1) for low in first]
    sides = [(high - x, x - low) for x, (low, high) in zip(kept, ends, strict=True)]
    return _total(image, [list(zip(*pair, strict=True)) for pair in zip(ends, sides, strict=True)])


def _cubic_weights(t: Any) -> list[Any]:
    """Of the four elements around a place ``t`` behind the second (Keys, 1981; a = -0.75)."""
    a = -0.75

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _cubic(image: _Image, at: Sequence[Any], padding: str, align_corners: bool) -> Any:
    taps = []
    for x, size in zip(at, image.sizes, strict=True):
        low = x.detach().floor()
        places = [_kept(p, size, padding, align_corners) for p in (low - 1, low, low + 1, low + 2)]
        taps.append(list(zip(places, _cubic_weights(x - low), strict=True)))
    return _total(image, taps)


_READERS: dict[str, Callable[[_Image, Sequence[Any], str, bool], Any]] = {
    "bilinear": _linear,
    "nearest": _nearest,
    "bicubic": _cubic,
}


def _check(input: Tensor, grid: Tensor, mode: str) -> None:
    shapes = f"but got input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
    if input.dtype is not grid.dtype:
        raise DtypeError(
            "grid_sampler(): expected input and grid to have same dtype, but input has "
            f"{input.dtype} and grid has {grid.dtype}"
        )
    if input.ndim not in (4, 5) or grid.ndim != input.ndim:
        raise ShapeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, "
            f"{shapes}"
        )
    if input.shape[0] != grid.shape[0]:
        raise ShapeError(
            f"grid_sampler(): expected grid and input to have same batch size, {shapes}"
        )
    if grid.shape[-1] != input.ndim - 2:
        raise ShapeError(
            f"grid_sampler(): expected grid to have size {input.ndim - 2} in last dimension, but "
            f"got grid with sizes {list(grid.shape)}"
        )
    if not all(input.shape[2:]):
        raise ShapeError(
            "grid_sampler(): expected input to have non-empty spatial dimensions, but input has "
            f"sizes {list(input.shape)}"
        )
    if mode == "bicubic" and input.ndim == 5:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"\"grid_sampler\" not implemented for '{input.dtype.type_name}'")


def _sampled(input: Tensor, grid: Tensor, mode: str, padding: str, align_corners: bool) -> Tensor:
    _check(input, grid, mode)
    half = input.dtype if input.dtype in _HALVES else None
    if half is not None:
        input, grid = cast(input, dtypes.float32), cast(grid, dtypes.float32)
    image = _Image(input)
    out = tuple(int(n) for n in grid.shape[1:-1])
    spatial = len(image.sizes)
    at = []
    for d, size in enumerate(image.sizes):
        column = narrow(grid, spatial + 1, spatial - 1 - d, 1)
        places = _reshaped(column, image.batch, math.prod(out))
        at.append(_in_elements(places, size, align_corners))
    result = _reshaped(
        _READERS[mode](image, at, padding, align_corners), image.batch, image.channels, *out
    )
    return result if half is None else cast(result, half)  # type: ignore[no-any-return]


def _default_corners(align_corners: bool | None) -> bool:
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since "
            "1.3.0. Please specify align_corners=True if the old behavior is desired. See the "
            "documentation of grid_sample for details.",
            stacklevel=3,
        )
    return bool(align_corners)


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """``input`` (N, C, H, W) at the places ``grid`` (N, H', W', 2): (N, C, H', W').

    Volumes (N, C, D, H, W) take a grid (N, D', H', W', 3). A place is (x, y[, z]), where -1 and 1
    are the ends of a dim: its outer borders, or with ``align_corners`` the middles of its outer
    elements.

    mode          'bilinear', 'nearest', or 'bicubic' (images only)
    padding_mode  what lies outside: 'zeros', the 'border' elements, or a 'reflection'

    Raises ValueError for other modes, RuntimeError for shapes and dtypes that do not fit.
    """
    for what, value, known in (
        ("mode", mode, _MODES),
        ("padding_mode", padding_mode, _PADDINGS),
    ):
        if value not in known:
            words = ", ".join(f"'{k}'" for k in known[:-1])
            raise ValueError(
                f"nn.functional.grid_sample(): expected {what} to be {words} or '{known[-1]}', but "
                f"got: '{value}'"
            )
    return _sampled(input, grid, mode, padding_mode, _default_corners(align_corners))


def _by_number(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    mode, padding = ("bilinear", "nearest", "bicubic")[interpolation_mode], _PADDINGS[padding_mode]
    return _sampled(input, grid, mode, padding, align_corners)


@tensor_function(method=False)
def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """:func:`grid_sample` with its modes as numbers, in the order of its documentation."""
    return _by_number(input, grid, interpolation_mode, padding_mode, align_corners)


@tensor_function(method=False)
def grid_sampler_2d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """:func:`grid_sampler` of images."""
    return _by_number(input, grid, interpolation_mode, padding_mode, align_corners)


@tensor_function(method=False)
def grid_sampler_3d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """:func:`grid_sampler` of volumes."""
    return _by_number(input, grid, interpolation_mode, padding_mode, align_corners)


# ------------------------------------------------------------------------------------ affine grids


def _positions(theta: Tensor, size: int, align_corners: bool) -> Tensor:
    """``size`` places from -1 to 1, or within."""
    at = np.linspace(-1, 1, size) if size > 1 else np.zeros(size)
    if not align_corners and size:
        at = at * ((size - 1) / size)
    return literal(at.astype(theta.dtype.numpy))


def _affine(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """Row ``i`` of the matrices gives coordinate ``i``: products with broadcast positions."""
    batch, _, *out = (int(n) for n in size)
    n = len(out)
    if tuple(theta.shape) != (batch, n, n + 1):
        raise ShapeError(
            f"Expected a batch of {batch} {n}D affine matrices of shape {n}x{n + 1} for size "
            f"{list(size)}. Got {list(theta.shape)}."
        )
    along = []
    for d in reversed(range(n)):  # x is the last dim
        shape = [1] * (n + 1)
        shape[1 + d] = out[d]
        along.append(_reshaped(_positions(theta, out[d], align_corners), *shape))
    coordinates = []
    for i in range(n):

        def entry(j: int, i: int = i) -> Any:
            one = narrow(narrow(theta, 1, i, 1), 2, j, 1)
            return _reshaped(one, batch, *(1,) * n)

        total = entry(n)
        for j, x in enumerate(along):
            total = x * entry(j) + total
        whole = apply(OPS["expand"], (total,), {"shape": (batch, *out)})
        coordinates.append(whole)
    return stack(coordinates, n + 1)  # type: ignore[no-any-return]


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The grid for :func:`grid_sample` that moves an image by ``theta``.

    ``theta`` is (N, 2, 3) for ``size`` (N, C, H, W), the result (N, H, W, 2); volumes take
    (N, 3, 4) and five sizes. Raises ValueError for shapes and dtypes that do not fit,
    NotImplementedError for other ranks.
    """
    corners = _default_corners(align_corners)
    if not theta.dtype.is_floating_point:
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    sizes = [int(n) for n in size]
    if len(sizes) not in (4, 5):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
            f"respectively. Got size {size}."
        )
    n = len(sizes) - 2
    if theta.ndim != 3 or tuple(theta.shape[1:]) != (n, n + 1):
        raise ValueError(
            f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {size}. Got "
            f"{theta.shape}."
        )
    if corners and min(sizes[2:]) == 1:
        warnings.warn(
            "Since version 1.3.0, affine_grid behavior has changed for unit-size grids when "
            "align_corners=True. This is not an intended use case of affine_grid. See the "
            "documentation of affine_grid for details.",
            stacklevel=2,
        )
    elif min(sizes) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    return affine_grid_generator(theta, sizes, corners)


@tensor_function(method=False)
def affine_grid_generator(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """:func:`affine_grid` without its checks."""
    return _affine(theta, size, align_corners)
