"""Convolutions and their gradients in NumPy: windows of a few images stored, multiplied by BLAS.

A window is stored as a column, one element of it in each row. Where strides are 1, the elements of
a row lie behind each other in the bordered image, except that some between two lines of the result
belong to no window. Rows are stored with these (:class:`_Lines`): they are copied as they lie, and
what the columns between lines give is passed over.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from graphc.ops.contract import multiply
from graphc.ops.rules import Array
from graphc.ops.windows import windows_in

Amounts = tuple[int, ...]

# Elements of stored windows at a time: they stay in the cache until they are multiplied.
_CHUNK = 1 << 18


def _with_border(x: Array, padding: Amounts) -> Array:
    if not any(padding):
        return x
    result: Array = np.zeros(_bordered(x.shape, padding), x.dtype)
    result[_inside(x.shape[2:], padding)] = x
    return result


def _bordered(shape: Amounts, padding: Amounts) -> Amounts:
    return (*shape[:2], *(n + 2 * p for n, p in zip(shape[2:], padding, strict=True)))


def _inside(sizes: Amounts, padding: Amounts) -> tuple[Any, ...]:
    return (..., *(slice(p, p + n) for n, p in zip(sizes, padding, strict=True)))


def _chunks(images: int, per_image: int) -> Iterator[slice]:
    """The batch in parts whose stored windows stay small."""
    step = max(1, _CHUNK // max(per_image, 1))
    for start in range(0, images, step):
        yield slice(start, min(start + step, images))


def _is_pointwise(kernel: Amounts, stride: Amounts, padding: Amounts, groups: int) -> bool:
    return groups == 1 and set(kernel) == {1} == set(stride) and not any(padding)


def _is_finite(x: Array) -> bool:
    """False also where the sum alone overflows."""
    return x.dtype.kind != "f" or bool(np.isfinite(np.add.reduce(x, axis=None)))


# --------------------------------------------------------------------------- lines, of stride 1


class _Lines:
    """Windows of stride 1 as rows of whole lines, for images of one size."""

    def __init__(self, bordered: Amounts, out: Amounts, kernel: Amounts, dilation: Amounts) -> None:
        self.out, self.kernel = out, kernel
        self.steps = tuple(math.prod(bordered[3 + d :]) for d in range(len(out)))
        self.inner = tuple(s * d for s, d in zip(self.steps, dilation, strict=True))
        # From the first window to the last: none of the columns reads behind the image.
        self.length = 1 + sum((n - 1) * s for n, s in zip(out, self.steps, strict=True))

    @property
    def is_worthwhile(self) -> bool:
        """Whether most columns are windows."""
        return self.length <= 2 * math.prod(self.out)

    def stored(self, x: Array, groups: int) -> Array:
        """(n, groups, C / groups * K, length) of bordered images."""
        images, channels = x.shape[:2]
        item = x.itemsize
        rows = np.lib.stride_tricks.as_strided(
            x,
            (images, channels, *self.kernel, self.length),
            (*x.strides[:2], *(s * item for s in self.inner), item),
        )
        depth = channels // groups * math.prod(self.kernel)
        return np.ascontiguousarray(rows).reshape(images, groups, depth, self.length)

    def windows(self, rows: Array) -> Array:
        """The view (n, O, *T) of what belongs to windows, of (n, O, length)."""
        steps = (s * rows.itemsize for s in self.steps)
        return np.lib.stride_tricks.as_strided(
            rows, (*rows.shape[:2], *self.out), (*rows.strides[:2], *steps)
        )

    def spread(self, g: Array) -> Array:
        """(n, O, length) of (n, O, *T): zeros between the lines."""
        rows: Array = np.zeros((*g.shape[:2], self.length), g.dtype)
        self.windows(rows)[...] = g
        return rows

    def offsets(self) -> Iterator[tuple[Amounts, int]]:
        """Every place in a window, and where its row begins in the image."""
        for at in np.ndindex(*self.kernel):
            yield at, sum(k * s for k, s in zip(at, self.inner, strict=True))


def _lines(
    bordered: Amounts, out: Amounts, kernel: Amounts, stride: Amounts, dilation: Amounts
) -> _Lines | None:
    """The lines, where they are worthwhile."""
    if set(stride) != {1}:
        return None
    lines = _Lines(bordered, out, kernel, dilation)
    return lines if lines.is_worthwhile else None


# ----------------------------------------------------------------------------------- single windows


def _patches(x: Array, out: Amounts, kernel: Amounts, stride: Amounts, dilation: Amounts) -> Array:
    """The view (C, *K, N, *T) of the windows of a padded ``x``."""
    images, channels, *steps = x.strides
    inner = (step * d for step, d in zip(steps, dilation, strict=True))
    outer = (step * s for step, s in zip(steps, stride, strict=True))
    return np.lib.stride_tricks.as_strided(
        x, (x.shape[1], *kernel, x.shape[0], *out), (channels, *inner, images, *outer)
    )


def _by_channel(g: Array, groups: int) -> Array:
    """(n, O, *T) as a matrix for each group: (groups, O / groups, n * T)."""
    n, channels = g.shape[:2]
    shown = g.reshape(n, channels, -1).swapaxes(0, 1)
    return np.ascontiguousarray(shown).reshape(groups, channels // groups, -1)


# ----------------------------------------------------------------------------------- the three rows


def convolved(
    x: Array, w: Array, *, stride: Amounts, padding: Amounts, dilation: Amounts, groups: int
) -> Array:
    """(N, O, *T) of ``x`` (N, C, *S) and ``w`` (O, C / groups, *K)."""
    images, channels = x.shape[:2]
    kernel, bordered = w.shape[2:], _bordered(x.shape, padding)
    out: Any = tuple(map(windows_in, bordered[2:], kernel, stride, dilation))
    result: Array = np.empty((images, len(w), *out), x.dtype)
    if not result.size or not w.size:
        result[...] = 0
        return result
    if _is_pointwise(kernel, stride, padding, groups):
        flat = x.reshape(images, channels, -1)
        return np.asarray(multiply(w.reshape(len(w), channels), flat).reshape(result.shape))
    depth = math.prod(w.shape[1:])
    matrices = w.reshape(groups, len(w) // groups, depth)
    wide = np.ascontiguousarray(_with_border(x, padding))
    lines = _lines(bordered, out, kernel, stride, dilation)
    if lines is not None:
        for part in _chunks(images, groups * depth * lines.length):
            product = np.matmul(matrices, lines.stored(wide[part], groups))
            result[part] = lines.windows(product.reshape(-1, len(w), lines.length))
        return result
    for part in _chunks(images, groups * depth * math.prod(out)):
        shown = _patches(wide[part], out, kernel, stride, dilation)
        stored = np.ascontiguousarray(shown).reshape(groups, depth, -1)
        product = np.matmul(matrices, stored)
        result[part] = product.reshape(len(w), -1, *out).swapaxes(0, 1)
    return result


def input_grad(
    g: Array,
    w: Array,
    *,
    input_shape: Amounts,
    stride: Amounts,
    padding: Amounts,
    dilation: Amounts,
    groups: int,
) -> Array:
    """Every cotangent times the whole kernel, added where the windows lay."""
    images, channels, *sizes = input_shape
    kernel, out = w.shape[2:], g.shape[2:]
    if not g.size or not w.size:
        return np.zeros(input_shape, g.dtype)
    if _is_pointwise(kernel, stride, padding, groups):
        flat = g.reshape(images, len(w), -1)
        return multiply(w.reshape(len(w), channels).T, flat).reshape(input_shape)
    depth = math.prod(w.shape[1:])
    matrices = w.reshape(groups, len(w) // groups, depth).swapaxes(1, 2)
    bordered = _bordered(input_shape, padding)
    wide: Array = np.zeros(bordered, g.dtype)
    lines = _lines(bordered, out, kernel, stride, dilation)
    if lines is not None and _is_finite(w):  # zeros between the lines must give zeros
        flat = wide.reshape(images, channels, -1)
        for part in _chunks(images, groups * depth * lines.length):
            rows = lines.spread(g[part]).reshape(-1, groups, len(w) // groups, lines.length)
            product = np.matmul(matrices, rows).reshape(-1, channels, *kernel, lines.length)
            for at, begin in lines.offsets():
                source: tuple[Any, ...] = (slice(None), slice(None), *at)
                flat[part, :, begin : begin + lines.length] += product[source]
        return np.ascontiguousarray(wide[_inside(tuple(sizes), padding)])
    for part in _chunks(images, groups * depth * math.prod(out)):
        product = np.matmul(matrices, _by_channel(g[part], groups))
        product = product.reshape(channels, *kernel, -1, *out)
        target = wide[part].swapaxes(0, 1)
        for at in np.ndindex(*kernel):
            spots = tuple(
                slice(k * d, k * d + (n - 1) * s + 1, s)
                for k, d, n, s in zip(at, dilation, out, stride, strict=True)
            )
            place: tuple[Any, ...] = (slice(None), slice(None), *spots)
            source = (slice(None), *at)
            target[place] += product[source]
    return np.ascontiguousarray(wide[_inside(tuple(sizes), padding)])


def weight_grad(
    g: Array,
    x: Array,
    *,
    weight_shape: Amounts,
    stride: Amounts,
    padding: Amounts,
    dilation: Amounts,
    groups: int,
) -> Array:
    """The sum over all windows of the cotangent times the window."""
    images, out = x.shape[0], g.shape[2:]
    kernel, depth = weight_shape[2:], math.prod(weight_shape[1:])
    each = weight_shape[0] // groups
    result: Array = np.zeros((groups, each, depth), g.dtype)
    if not g.size or not depth:
        return result.reshape(weight_shape)
    wide = np.ascontiguousarray(_with_border(x, padding))
    lines = _lines(wide.shape, out, kernel, stride, dilation)
    if lines is not None and _is_finite(x):  # what lies between the lines is multiplied by zeros
        for part in _chunks(images, groups * depth * lines.length):
            rows = lines.spread(g[part]).reshape(-1, groups, each, lines.length)
            stored = lines.stored(wide[part], groups)
            result += np.add.reduce(np.matmul(rows, stored.swapaxes(2, 3)), axis=0)
        return result.reshape(weight_shape)
    for part in _chunks(images, groups * depth * math.prod(out)):
        shown = _patches(wide[part], out, kernel, stride, dilation)
        stored = np.ascontiguousarray(shown).reshape(groups, depth, -1)
        result += np.matmul(_by_channel(g[part], groups), stored.swapaxes(1, 2))
    return result.reshape(weight_shape)
