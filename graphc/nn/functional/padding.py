"""Padding by constants, reflection, repetition and wrapping; neighbourhoods as columns."""

from collections.abc import Sequence
from typing import Any

from graphc import dtypes
from graphc.errors import ShapeError
from graphc.functions.joining import cat
from graphc.functions.rearranging import flip
from graphc.functions.registry import tensor_function
from graphc.functions.shape import narrow
from graphc.nn.functional.arguments import Sizes, ntuple
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Tensor:
    """Elements around ``input``; ``pad`` lists (before, after) from the last dimension backwards.

    mode  'constant', 'reflect', 'replicate' or 'circular'; amounts below zero crop

    Raises RuntimeError for amounts that do not fit, NotImplementedError for other modes and ranks.
    """
    for p in pad:
        if isinstance(p, bool) or not hasattr(p, "__index__"):
            raise TypeError(
                f"pad(): argument 'pad' must be tuple of ints, but found element of type "
                f"{type(p).__name__}"
            )
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
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in _EXTENDED:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if input.ndim - len(pairs) not in (1, 2) or len(pairs) > 3:
        raise NotImplementedError(
            f"Padding size {len(amounts)} is not supported for {input.ndim}D input tensor. Only "
            "2D, 3D, 4D, 5D padding with non-constant padding are supported for now"
        )
    for i, (before, after) in enumerate(pairs):
        wrong = _refusal(input, input.ndim - 1 - i, before, after, mode, len(pairs) == 1)
        if wrong:
            raise RuntimeError(wrong)
    result = input
    for i, (before, after) in enumerate(pairs):
        if before or after:
            result = _EXTENDED[mode](result, input.ndim - 1 - i, before, after)
    return input.clone() if result is input else result  # type: ignore[attr-defined, no-any-return]


def _refusal(x: Tensor, dim: int, before: int, after: int, mode: str, alone: bool) -> str:
    """Why a dim cannot be extended by these amounts; empty where it can."""
    size = int(x.shape[dim])
    if mode == "circular":
        if max(before, after) > size:
            return "Padding value causes wrapping around more than once."
        kept = size + min(before, 0) + min(after, 0)
        if kept < 0 or max(before, after) > kept:
            return "Negative padding value is resulting in an empty dimension"
    elif mode == "reflect" and max(before, after) >= size:
        return (
            "Padding size should be less than the corresponding input dimension, but got: padding "
            f"({before}, {after}) at dimension {dim} of input {list(x.shape)}"
        )
    elif before + size + after < alone or not size:
        return (
            f"input (size {size} at dimension {dim}) is too small. Calculated output size: "
            f"{before + size + after}"
        )
    return ""


def _constant(input: Tensor, pairs: list[tuple[int, int]], value: Any) -> Tensor:
    before, after = [0] * input.ndim, [0] * input.ndim
    for i, pair in enumerate(pairs):
        dim = input.ndim - 1 - i
        before[dim], after[dim] = pair
        size = int(input.shape[dim])
        if size + sum(min(p, 0) for p in pair) < 0:
            raise RuntimeError(
                f"The input size {size}, plus negative padding {pair[0]} and {pair[1]} "
                "resulted in a negative output size, which is invalid. Check dimension "
                f"{dim} of your input."
            )
    if not input.dtype.is_floating_point:
        value = int(value)
    attrs = {"before": tuple(before), "after": tuple(after), "value": value}
    return apply(OPS["pad"], (input,), attrs)


def _split(size: int, before: int, after: int) -> tuple[int, int, int, int]:
    """How many elements of the result lie before the input, within it and behind it.

    The first of them shows the place ``start`` within; amounts below zero crop, if need be into
    what the other end added.
    """
    total = before + size + after
    first = min(max(before, 0), total)
    start = max(-before, 0)
    within = max(min(size, size + after) - start, 0)
    return first, within, total - first - within, start


def _reflected(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    size = int(x.shape[dim])
    first, within, last, start = _split(size, before, after)
    end = 2 * (size - 1) - max(size, -before)  # what the first element behind the input shows
    parts = [
        flip(narrow(x, dim, before - first + 1, first), dim) if first else None,
        narrow(x, dim, start, within) if within else None,
        flip(narrow(x, dim, end - last + 1, last), dim) if last else None,
    ]
    return _joined(x, parts, dim)


def _replicated(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    size = int(x.shape[dim])
    first, within, last, start = _split(size, before, after)

    def repeated(place: int, times: int) -> Tensor | None:
        shape = tuple(times if d == dim else int(n) for d, n in enumerate(x.shape))
        one = narrow(x, dim, place, 1)
        return apply(OPS["expand"], (one,), {"shape": shape}) if times else None

    middle = narrow(x, dim, start, within) if within else None
    return _joined(x, [repeated(0, first), middle, repeated(size - 1, last)], dim)


def _wrapped(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    start = max(-before, 0)
    kept = int(x.shape[dim]) - start - max(-after, 0)
    middle = narrow(x, dim, start, kept)
    parts = [
        narrow(middle, dim, kept - before, before) if before > 0 else None,
        middle,
        narrow(middle, dim, 0, after) if after > 0 else None,
    ]
    return _joined(x, parts, dim)


_EXTENDED = {"reflect": _reflected, "replicate": _replicated, "circular": _wrapped}


def _joined(x: Tensor, parts: list[Any], dim: int) -> Tensor:
    there = [p for p in parts if p is not None] or [narrow(x, dim, 0, 0)]
    # One part alone is a view, and padding gives memory of its own.
    return cat(there, dim) if len(there) > 1 else there[0].clone()  # type: ignore[no-any-return]


@tensor_function(method=False)
def constant_pad_nd(input: Tensor, pad: Sequence[int], value: Any = 0) -> Tensor:
    """``value`` around ``input``; ``pad`` lists (before, after) from the last dimension backwards.

    Amounts below zero crop. Raises RuntimeError for amounts that do not fit.
    """
    amounts = [int(p) for p in pad]
    if len(amounts) % 2:
        raise RuntimeError(f"Length of pad must be even but instead it equals {len(amounts)}")
    if len(amounts) // 2 > input.ndim:
        raise RuntimeError(
            f"Length of pad should be no more than twice the number of dimensions of the input. "
            f"Pad length is {len(amounts)} while the input has {input.ndim} dimensions."
        )
    return _constant(
        input, [(amounts[i], amounts[i + 1]) for i in range(0, len(amounts), 2)], value
    )


# ------------------------------------------------------------------------------- windows as columns


def _block_settings(
    name: str, kernel_size: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes
) -> dict[str, tuple[int, ...]]:
    """Two entries of each. Raises RuntimeError for what is too small."""
    given = {
        "kernel size": ("kernel_size", kernel_size, 1),
        "dilation": ("dilation", dilation, 1),
        "padding": ("padding", padding, 0),
        "stride": ("stride", stride, 1),
    }
    result = {}
    for words, (what, value, least) in given.items():
        pair = ntuple(value, 2, name, what)
        if min(pair) < least:
            need = "greater than zero" if least else "non-negative"
            raise ShapeError(f"{words} should be {need}, but got {what}: {list(pair)} ({name})")
        result[what] = pair
    return result


def _blocks(
    size: Sequence[int], settings: dict[str, tuple[int, ...]], kind: str
) -> tuple[int, ...]:
    """How many windows fit in each dim. Raises RuntimeError where there is none."""
    each = zip(size, *(settings[k] for k in ("kernel_size", "dilation", "padding", "stride")),
               strict=True)  # fmt: skip
    counts = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in each)
    if min(counts) < 1:
        told = ", ".join(f"{what}={value}" for what, value in settings.items())
        raise ShapeError(
            f"Given {kind} with spatial size {tuple(size)}, {told}, calculated shape of the array "
            f"of sliding blocks as {counts}, but its components must be at least one"
        )
    return counts


def _check_block_operand(name: str, x: Tensor, ranks: tuple[int, int]) -> None:
    batched = x.ndim == ranks[1]
    if x.ndim not in ranks or not all(x.shape[1 if batched else 0 :]):
        raise ShapeError(
            f"Expected {ranks[0]}D or {ranks[1]}D (batch mode) tensor with possibly 0 batch size "
            f"and other non-zero dimensions for input, but got: {list(x.shape)}"
        )
    if not x.dtype.is_floating_point and x.dtype is not dtypes.bool_:
        raise NotImplementedError(f"\"{name}\" not implemented for '{x.dtype.type_name}'")


def unfold(
    input: Tensor, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Tensor:
    """Every window of (N, C, H, W) as a column: (N, C * kernel, windows).

    One example (C, H, W) gives (C * kernel, windows). Raises RuntimeError where no window fits.
    """
    settings = _block_settings("unfold", kernel_size, dilation, padding, stride)
    _check_block_operand("im2col", input, (3, 4))
    _blocks(tuple(int(n) for n in input.shape[-2:]), settings, "input")
    kernel, dilations, pads, strides = settings.values()
    added = input.ndim == 3
    x = input.unsqueeze(0) if added else input  # type: ignore[attr-defined]
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
    """The columns of :func:`unfold` added back where they came from: (N, C, H, W).

    One example (C * kernel, windows) gives (C, H, W). Raises RuntimeError where the columns are
    not those of the windows.
    """
    size = ntuple(output_size, 2, "fold", "output_size")
    settings = _block_settings("fold", kernel_size, dilation, padding, stride)
    _check_block_operand("col2im", input, (2, 3))
    kernel, dilations, pads, strides = settings.values()
    added = input.ndim == 2
    x: Any = input.unsqueeze(0) if added else input  # type: ignore[attr-defined]
    if x.shape[1] % (kernel[0] * kernel[1]):
        raise ShapeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, "
            f"but got input.size(1)={x.shape[1]} and kernel_size={kernel}."
        )
    counts = _blocks(size, settings, "output_size")
    padded = tuple(n + 2 * p for n, p in zip(size, pads, strict=True))
    batch, width = int(x.shape[0]), int(x.shape[1])
    if int(x.shape[2]) != counts[0] * counts[1]:
        raise ShapeError(
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
