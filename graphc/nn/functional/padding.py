"""Padding by constants, reflection, repetition and wrapping; neighbourhoods as columns."""

from collections.abc import Sequence
from typing import Any

from graphc.functions.joining import cat
from graphc.functions.rearranging import flip
from graphc.functions.shape import narrow
from graphc.nn.functional.arguments import Sizes, ntuple
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Tensor:
    """Elements around ``input``; ``pad`` lists (before, after) from the last dimension backwards.

    mode  'constant' (negative amounts crop), 'reflect', 'replicate' or 'circular'
    """
    amounts = [int(p) for p in pad]
    if len(amounts) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(amounts) // 2 > input.ndim:
        raise RuntimeError(
            f"Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(amounts)} and input of dimension {input.ndim}"
        )
    pairs = [(amounts[i], amounts[i + 1]) for i in range(0, len(amounts), 2)]
    if mode == "constant":
        return _constant(input, pairs, 0.0 if value is None else value)
    if value is not None and value != 0:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in ("reflect", "replicate", "circular"):
        raise ValueError(f"Unrecognised padding mode {mode}")
    if input.ndim - len(pairs) not in (1, 2):
        raise ValueError(
            "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now"
        )
    for i, (before, after) in enumerate(pairs):
        input = _extended(input, input.ndim - 1 - i, before, after, mode)
    return input


def _constant(input: Tensor, pairs: list[tuple[int, int]], value: Any) -> Tensor:
    before, after = [0] * input.ndim, [0] * input.ndim
    for i, pair in enumerate(pairs):
        dim = input.ndim - 1 - i
        before[dim], after[dim] = pair
        if int(input.shape[dim]) + sum(pair) < 0:
            raise RuntimeError(
                f"The input size {input.shape[dim]}, plus negative padding {pair[0]} and {pair[1]} "
                "resulted in a negative output size, which is invalid. Check dimension "
                f"{dim} of your input."
            )
    if not input.dtype.is_floating_point:
        value = int(value)
    attrs = {"before": tuple(before), "after": tuple(after), "value": value}
    return apply(OPS["pad"], (input,), attrs)


def _extended(x: Tensor, dim: int, before: int, after: int, mode: str) -> Tensor:
    """One dimension made longer with elements of its own (or cropped by negative amounts)."""
    size = int(x.shape[dim])
    if mode != "circular" and (before < 0 or after < 0):
        start, stop = max(0, -before), size - max(0, -after)
        cropped: Tensor = narrow(x, dim, start, stop - start)
        return _extended(cropped, dim, max(0, before), max(0, after), mode)
    largest = size - 1 if mode == "reflect" else size
    if mode != "replicate" and max(before, after) > largest:
        words = {
            "reflect": "Padding size should be less than the corresponding input dimension, but "
            f"got: padding ({before}, {after}) at dimension {dim} of input {list(x.shape)}",
            "circular": "Padding value causes wrapping around more than once.",
        }
        raise RuntimeError(words[mode])
    if mode == "circular" and (before < 0 or after < 0):
        return _constant(x, [(0, 0)] * (x.ndim - 1 - dim) + [(before, after)], 0)

    def part(start: int, length: int) -> Any:
        return narrow(x, dim, start, length)

    parts: list[Any] = []
    if mode == "reflect":
        parts = [flip(part(1, before), dim), x, flip(part(size - 1 - after, after), dim)]
    elif mode == "circular":
        parts = [part(size - before, before), x, part(0, after)]
    else:
        first = [part(0, 1)] * before
        last = [part(size - 1, 1)] * after
        parts = [*first, x, *last]
    kept = [p for p in parts if p.shape[dim]]
    return cat(kept, dim) if len(kept) > 1 else x  # type: ignore[no-any-return]


def unfold(
    input: Tensor, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Tensor:
    """Every window of (N, C, H, W) as a column: (N, C * kernel, windows)."""
    added = input.ndim == 3
    x = input.unsqueeze(0) if added else input  # type: ignore[attr-defined]
    kernel, strides, dilations, pads = (
        ntuple(v, 2, "unfold", what)
        for v, what in ((kernel_size, "kernel_size"), (stride, "stride"), (dilation, "dilation"),
                        (padding, "padding"))
    )  # fmt: skip
    if any(pads):
        x = _constant(x, [(pads[1], pads[1]), (pads[0], pads[0])], 0)
    shown = apply(
        OPS["window"],
        (x,),
        {"dims": (2, 3), "sizes": kernel, "strides": strides, "dilations": dilations},
    )
    batch, channels, rows, columns = (int(n) for n in shown.shape[:4])
    ordered = apply(OPS["permute"], (shown,), {"dims": (0, 1, 4, 5, 2, 3)})
    shape = (batch, channels * kernel[0] * kernel[1], rows * columns)
    result = apply(OPS["reshape"], (ordered,), {"shape": shape})
    return result.squeeze(0) if added else result  # type: ignore[attr-defined, no-any-return]


def fold(
    input: Tensor,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    """The columns of :func:`unfold` added back where they came from: (N, C, H, W)."""
    added = input.ndim == 2
    x: Any = input.unsqueeze(0) if added else input  # type: ignore[attr-defined]
    size, kernel, strides, dilations, pads = (
        ntuple(v, 2, "fold", what)
        for v, what in ((output_size, "output_size"), (kernel_size, "kernel_size"),
                        (stride, "stride"), (dilation, "dilation"), (padding, "padding"))
    )  # fmt: skip
    padded = tuple(n + 2 * p for n, p in zip(size, pads, strict=True))
    counts = tuple(
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(padded, kernel, strides, dilations, strict=True)
    )
    batch, width = int(x.shape[0]), int(x.shape[1])
    if width % (kernel[0] * kernel[1]) or int(x.shape[2]) != counts[0] * counts[1]:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={kernel}, dilation={dilations}, padding={pads},"
            f" stride={strides}, expected size of input's dimension 2 to match the calculated "
            f"number of sliding blocks {counts[0]} * {counts[1]} = {counts[0] * counts[1]}, but "
            f"got input {list(input.shape)}."
        )
    channels = width // (kernel[0] * kernel[1])
    apart = x.reshape(batch, channels, *kernel, *counts).permute(0, 1, 4, 5, 2, 3)
    result = apply(
        OPS["fold"],
        (apart,),
        {"shape": (batch, channels, *padded), "dims": (2, 3), "sizes": kernel,
         "strides": strides, "dilations": dilations},
    )  # fmt: skip
    if any(pads):
        result = _constant(result, [(-pads[1], -pads[1]), (-pads[0], -pads[0])], 0)
    return result.squeeze(0) if added else result  # type: ignore[attr-defined, no-any-return]
