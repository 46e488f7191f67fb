"""Which elements each element of a resampled dim is made of, and with what weights.

One dim at a time: element ``o`` of the result is ``sum_k weight[o, k] * x[index[o, k]]``, over its
"taps". Transposing such a table gives that of the gradient, so both directions only read, and no
order of additions is left to chance.

Positions are computed in the precision that PyTorch uses (float32 for all but float64), because
``floor`` of a rounded product decides which element is the nearest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Taps:
    """Tables ``[size, taps]``: int64 indices, and float64 weights.

    Elements with fewer taps than others read their last one several times and share its weight out
    among these, so that infinities stay what they are. Weights of an element without any are 0.
    """

    index: Array
    weight: Array

    @property
    def width(self) -> int:
        return int(self.index.shape[1])

    @property
    def used(self) -> Array:
        """Which elements have any taps."""
        return np.asarray(self.weight.any(1))

    @property
    def is_exact(self) -> bool:
        """Whether all weights are 1."""
        return bool((self.weight == 1).all())


def _shared(index: Array, weight: Array, count: Array) -> Taps:
    """A table of which only the first ``count`` taps of each element are meant."""
    width = index.shape[1]
    steps = np.arange(width)
    last = np.maximum(count - 1, 0)[:, None]
    at = np.minimum(steps, last)
    copies = np.where(steps < last, 1, width - last)
    weight = np.take_along_axis(weight, at, 1) / copies
    weight = np.where(count[:, None] > 0, weight, 0.0)
    return Taps(np.take_along_axis(index, at, 1).astype(np.int64), weight)


class Settings(NamedTuple):
    """How a dim of ``source`` elements becomes one of ``target``.

    scale   the caller's factor, which need not be ``target / source``; None where there is none
    single  positions in float32
    """

    method: str
    source: int
    target: int
    scale: float | None
    align_corners: bool
    single: bool

    @property
    def real(self) -> Any:
        return np.float32 if self.single else np.float64

    @property
    def step(self) -> Any:
        """How far apart neighbours of the result are in the source."""
        if self.align_corners:
            last = self.target - 1
            return self.real(self.source - 1) / self.real(last) if last > 0 else self.real(0)
        if self.scale is not None and self.scale > 0:
            return self.real(1.0 / self.scale)
        return self.real(self.source) / self.real(self.target)


def _exactly(index: Array) -> Taps:
    """Copies: one tap of weight 1."""
    column = index.astype(np.int64).reshape(-1, 1)
    return Taps(column, np.ones(column.shape))


def _floor(position: Array, s: Settings) -> Array:
    """As PyTorch rounds down: in float32, whatever the position was computed in."""
    return np.asarray(np.minimum(np.floor(position.astype(np.float32)), s.source - 1))


def _nearest(s: Settings) -> Taps:
    """OpenCV's rule: the element at ``floor(o * step)``."""
    position = np.arange(s.target).astype(s.real) * s.step
    return _exactly(_floor(position, s))


def _nearest_exact(s: Settings) -> Taps:
    """The element whose middle is nearest to the middle of the result's."""
    position = (np.arange(s.target).astype(s.real) + s.real(0.5)) * s.step
    return _exactly(_floor(position, s))


def _middles(s: Settings, cubic: bool) -> Array:
    """Where the elements of the result lie, counted in elements of the source."""
    at: Array = np.arange(s.target).astype(s.real)
    if s.align_corners:
        return np.asarray(at * s.step)
    middle = (at + s.real(0.5)) * s.step - s.real(0.5)
    return np.asarray(middle if cubic else np.maximum(middle, s.real(0)))


def _whole(s: Settings, index: Array, weight: Array) -> Taps:
    return Taps(np.clip(index, 0, s.source - 1).astype(np.int64), weight.astype(np.float64))


def _linear(s: Settings) -> Taps:
    middle = _middles(s, cubic=False)
    first = np.minimum(np.floor(middle), s.source - 1)
    part = np.clip(middle - first, 0, 1)
    index = np.stack([first, first + 1], 1)
    return _whole(s, index, np.stack([1 - part, part], 1))


def _cubic_kernel(distance: Array, a: float) -> Array:
    """Keys, "Cubic convolution interpolation for digital image processing", 1981."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return np.asarray(np.where(d < 1, near, np.where(d < 2, far, 0.0)))


def _cubic(s: Settings) -> Taps:
    middle = _middles(s, cubic=True)
    first = np.minimum(np.floor(middle), s.source - 1)
    part = np.clip(middle - first, 0, 1).astype(np.float64)
    steps = np.arange(-1, 3)
    weight = _cubic_kernel(part[:, None] - steps, -0.75)
    return _whole(s, first[:, None] + steps, weight)


def windows(source: int, target: int) -> tuple[Array, Array]:
    """Begins and ends of the ``target`` windows that cover ``source`` elements evenly."""
    at = np.arange(target)
    return at * source // target, -(-(at + 1) * source // target)


def _area(s: Settings) -> Taps:
    """The mean of a window, as in adaptive average pooling."""
    begin, end = windows(s.source, s.target)
    count = end - begin
    index = begin[:, None] + np.minimum(np.arange(count.max()), count[:, None] - 1)
    return _shared(index, np.broadcast_to(1.0 / count[:, None], index.shape), count)


def _triangle(distance: Array) -> Array:
    return np.asarray(np.maximum(1 - np.abs(distance), 0.0))


def _lanczos_kernel(distance: Array) -> Array:
    return np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0.0)


# The kernel and its reach on both sides, in elements of the source where it enlarges.
_FILTERS: dict[str, tuple[Callable[[Array], Array], float]] = {
    "linear-antialias": (_triangle, 1.0),
    "cubic-antialias": (lambda d: _cubic_kernel(d, -0.5), 2.0),
    "lanczos-antialias": (_lanczos_kernel, 3.0),
}


def _antialiased(s: Settings) -> Taps:
    """A kernel as wide as the step, where that is more than one element; weights add up to 1."""
    kernel, reach = _FILTERS[s.method]
    step = float(s.step)
    wide = max(step, 1.0)
    middle = (np.arange(s.target) + 0.5) * step
    begin = np.maximum(np.trunc(middle - reach * wide + 0.5), 0).astype(np.int64)
    end = np.minimum(np.trunc(middle + reach * wide + 0.5), s.source).astype(np.int64)
    count = np.maximum(end - begin, 1)
    steps = np.arange(int(count.max()))
    index = begin[:, None] + steps
    weight = kernel((index - middle[:, None] + 0.5) / wide)
    weight = np.where(steps < count[:, None], weight, 0.0)
    total = weight.sum(1, keepdims=True)
    weight = np.where(total != 0, weight / np.where(total, total, 1), 0.0)
    return _shared(np.minimum(index, s.source - 1), weight, count)


_METHODS: dict[str, Callable[[Settings], Taps]] = {
    "nearest": _nearest,
    "nearest-exact": _nearest_exact,
    "linear": _linear,
    "cubic": _cubic,
    "area": _area,
    **dict.fromkeys(_FILTERS, _antialiased),
}
METHODS = tuple(_METHODS)
# Those that copy where nothing is to be resized, whatever the scale.
_COPYING = frozenset(("linear", "area", *_FILTERS))


@lru_cache(maxsize=256)
def forward(settings: Settings) -> Taps:
    """The table of one dim."""
    if settings.source == settings.target and settings.method in _COPYING:
        return _exactly(np.arange(settings.target))
    return _METHODS[settings.method](settings)


@lru_cache(maxsize=256)
def backward(settings: Settings) -> Taps:
    """The transposed table: which elements of the result each element of the source went into."""
    taps = forward(settings)
    result = np.repeat(np.arange(len(taps.index)), taps.width)
    source, weight = taps.index.reshape(-1), taps.weight.reshape(-1)
    order = np.argsort(source, kind="stable")
    result, source, weight = result[order], source[order], weight[order]
    count = np.bincount(source, minlength=settings.source)
    begin = np.cumsum(count) - count
    width = max(int(count.max(initial=1)), 1)
    at = begin[:, None] + np.minimum(np.arange(width), np.maximum(count - 1, 0)[:, None])
    at = np.minimum(at, max(len(result) - 1, 0))
    return _shared(result[at], weight[at], count)


def fixed_point(taps: Taps) -> tuple[Array, int]:
    """Weights as 16-bit integers and how many of their bits lie behind the point.

    As Pillow does for images of bytes: as many bits as the largest weight leaves. What taps of one
    element weigh together, at the borders, is rounded together.
    """
    rows = np.arange(len(taps.index))
    weight = np.zeros_like(taps.weight)
    for k in range(taps.width):
        first = (taps.index == taps.index[:, k : k + 1]).argmax(1)
        weight[rows, first] += taps.weight[:, k]
    largest = float(weight.max(initial=0.0))
    bits = 0
    while bits < 22 and int(0.5 + largest * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    scaled = weight * (1 << bits)
    return np.trunc(np.where(scaled < 0, scaled - 0.5, scaled + 0.5)).astype(np.int64), bits


def repeats(taps: Taps, source: int) -> int | None:
    """How often every element of the source is repeated, where the table is just that."""
    times, rest = divmod(len(taps.index), source) if source else (0, 1)
    if taps.width != 1 or rest or not times or not (taps.weight == 1).all():
        return None
    return times if (taps.index[:, 0] == np.arange(len(taps.index)) // times).all() else None


def every(taps: Taps) -> tuple[int, int] | None:
    """Begin and step, where the table picks elements at equal distances."""
    if taps.width != 1 or not len(taps.index) or not (taps.weight == 1).all():
        return None
    picked = taps.index[:, 0]
    step = int(picked[1] - picked[0]) if len(picked) > 1 else 1
    begin = int(picked[0])
    return (
        (begin, step) if step > 0 and not np.ptp(picked - np.arange(len(picked)) * step) else None
    )


def blocks(taps: Taps, source: int) -> bool:
    """Whether the taps of each element are a block of their own, and the blocks fill the source."""
    return taps.index.size == source and bool((taps.index.reshape(-1) == np.arange(source)).all())
