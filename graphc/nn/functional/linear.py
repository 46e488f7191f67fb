"""Linear maps and convolutions."""

from collections.abc import Callable
from typing import Any

from graphc import dtypes
from graphc.errors import DtypeError, ShapeError
from graphc.functions.registry import tensor_function
from graphc.nn.functional.arguments import Sizes, batched, ntuple, unbatched
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


@tensor_function(method=False, public=False, out=True)
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias`` over the last dimension; ``weight`` is (out, in).

    Raises RuntimeError where the last dimension or the dtypes do not fit.
    """
    operands = (input, weight) if bias is None else (input, weight, bias)
    return apply(OPS["linear"], operands, {})


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input1 @ weight[k] @ input2`` for each output ``k``; ``weight`` is (out, in1, in2)."""
    lead = tuple(input1.shape)[:-1]
    if lead != tuple(input2.shape)[:-1]:
        raise ShapeError(
            f"bilinear(): input batch dimensions do not match: got {list(input1.shape)} and "
            f"{list(input2.shape)}"
        )
    for i, x in enumerate((input1, input2), 1):
        if weight.ndim == 3 and x.shape[-1] != weight.shape[i]:
            raise ShapeError(
                f"bilinear(): input{i} size does not match weight size: got {x.shape[-1]} but "
                f"expected {weight.shape[i]}"
            )
    a, b = (x.reshape(-1, x.shape[-1]) for x in (input1, input2))  # type: ignore[attr-defined]
    half = apply(OPS["contract"], (a, weight), {"spec": "ni,oij->noj"})
    whole = apply(OPS["contract"], (half, b), {"spec": "noj,nj->no"})
    result = whole.reshape(*lead, weight.shape[0])  # type: ignore[attr-defined]
    return result if bias is None else result + bias  # type: ignore[no-any-return]


def _paddings(
    padding: Any, stride: tuple[int, ...], dilation: tuple[int, ...], kernel: tuple[int, ...],
    name: str,
) -> tuple[tuple[int, ...], tuple[int, ...]]:  # fmt: skip
    """Zeros before and after each dimension; 'same' puts an odd one after."""
    n = len(kernel)
    if padding == "valid":
        return (0,) * n, (0,) * n
    if padding == "same":
        if any(s != 1 for s in stride):
            raise RuntimeError("padding='same' is not supported for strided convolutions")
        whole = tuple(d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
        return tuple(w // 2 for w in whole), tuple(w - w // 2 for w in whole)
    if isinstance(padding, str):
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    amounts = ntuple(padding, n, name, "padding")
    if any(p < 0 for p in amounts):
        raise RuntimeError("negative padding is not supported")
    return amounts, amounts


def _check_convolution(
    name: str, input: Tensor, weight: Tensor, bias: Tensor | None, channels: int
) -> None:
    if weight.ndim != input.ndim:
        raise ShapeError(
            f"weight should have {input.ndim} dimensions for {name}, but got weight of size: "
            f"{list(weight.shape)}"
        )
    for other, what in ((weight, "weight"), (bias, "bias")):
        if other is not None and other.dtype is not input.dtype:
            raise DtypeError(
                f"Input type ({input.dtype.type_name.lower()}) and {what} type "
                f"({other.dtype.type_name.lower()}) should be the same"
            )
    if input.dtype is dtypes.bool_:
        raise NotImplementedError(f"\"{name}\" not implemented for 'Bool'")
    if bias is not None and tuple(bias.shape) != (channels,):
        raise ShapeError(
            f"Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional with "
            f"{channels} elements, but got bias of size {list(bias.shape)} instead"
        )


def _convolution(spatial: int) -> Callable[..., Tensor]:
    name = f"conv{spatial}d"

    def convolution(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Sizes = 1,
        padding: Any = 0,
        dilation: Sizes = 1,
        groups: int = 1,
    ) -> Tensor:
        x, added = batched(name, input, spatial)
        _check_convolution(name, x, weight, bias, int(weight.shape[0]))
        strides = ntuple(stride, spatial, name, "stride")
        dilations = ntuple(dilation, spatial, name, "dilation")
        kernel = tuple(int(k) for k in weight.shape[2:])
        before, after = _paddings(padding, strides, dilations, kernel, name)
        if before != after:
            x = apply(OPS["pad"], (x,), {"before": (0, 0, *before), "after": (0, 0, *after),
                                         "value": 0})  # fmt: skip
            before = (0,) * spatial
        attrs = {"stride": strides, "padding": before, "dilation": dilations, "groups": groups}
        return unbatched(_biased(apply(OPS["convolution"], (x, weight), attrs), bias), added)

    convolution.__name__ = name
    convolution.__doc__ = f"""A {spatial}-dimensional convolution (cross-correlation).

    ``input`` is (N, C, ...) or (C, ...), ``weight`` (out, C / groups, ...), ``bias`` (out,);
    ``padding`` is 'valid', 'same' or zeros on both sides. Raises RuntimeError where channels,
    sizes or dtypes do not fit.
    """
    tensor_function(convolution, method=False)
    return convolution


def _biased(result: Tensor, bias: Tensor | None) -> Tensor:
    """A number for each channel added."""
    if bias is None:
        return result
    shape = (1, int(bias.shape[0]), *(1,) * (result.ndim - 2))
    column = apply(OPS["reshape"], (bias,), {"shape": shape})
    return apply(OPS["add"], (result, column), {})


conv1d = _convolution(1)
conv2d = _convolution(2)
conv3d = _convolution(3)


def _transposed(spatial: int) -> Callable[..., Tensor]:
    name = f"conv_transpose{spatial}d"

    def convolution(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        dilation: Sizes = 1,
    ) -> Tensor:
        x, added = batched(name, input, spatial)
        if weight.ndim != x.ndim or x.shape[1] != weight.shape[0]:
            raise ShapeError(
                f"Given transposed=1, weight of size {list(weight.shape)}, expected input"
                f"{list(input.shape)} to have {weight.shape[0]} channels, but got {x.shape[1]} "
                "channels instead"
            )
        channels = int(weight.shape[1]) * groups
        _check_convolution(name, x, weight, bias, channels)
        strides = ntuple(stride, spatial, name, "stride")
        pads = ntuple(padding, spatial, name, "padding")
        more = ntuple(output_padding, spatial, name, "output_padding")
        dilations = ntuple(dilation, spatial, name, "dilation")
        if any(o >= max(s, d) for o, s, d in zip(more, strides, dilations, strict=True)):
            raise RuntimeError(
                "output padding must be smaller than either stride or dilation, but got "
                f"output_padding: {list(more)}, stride: {list(strides)}, dilation: "
                f"{list(dilations)}"
            )
        for what, amounts in (("padding", pads), ("output_padding", more)):
            if any(n < 0 for n in amounts):
                raise RuntimeError(f"negative {what} is not supported")
        if any(s < 1 for s in strides):
            raise RuntimeError("non-positive stride is not supported")
        reaches = tuple(
            (int(n) - 1) * s + d * (int(k) - 1) + 1
            for n, s, d, k in zip(x.shape[2:], strides, dilations, weight.shape[2:], strict=True)
        )
        sizes = tuple(r - 2 * p + o for r, p, o in zip(reaches, pads, more, strict=True))
        if not all(n > 0 for n in (*x.shape[2:], *sizes)):
            raise ShapeError(
                f"{name}: an input of size {list(x.shape)} with kernel {list(weight.shape[2:])} and"
                f" padding {list(pads)} would give the spatial size {list(sizes)}"
            )
        # What the output padding adds is the place of a further window where it is as long as a
        # stride: then the windows that there are give the whole, which is cropped and extended.
        beyond = any(o >= s for o, s in zip(more, strides, strict=True))
        attrs = {
            "input_shape": (int(x.shape[0]), channels, *(reaches if beyond else sizes)),
            "stride": strides,
            "padding": (0,) * spatial if beyond else pads,
            "dilation": dilations,
            "groups": groups,
        }
        result = apply(OPS["conv_input_grad"], (x, weight), attrs)
        if beyond:
            before = tuple(-p for p in pads)
            after = tuple(o - p for o, p in zip(more, pads, strict=True))
            around = {"before": (0, 0, *before), "after": (0, 0, *after), "value": 0}
            result = apply(OPS["pad"], (result,), around)
        return unbatched(_biased(result, bias), added)

    convolution.__name__ = name
    convolution.__doc__ = f"""The gradient of :func:`conv{spatial}d` with respect to its input.

    ``input`` is (N, C, ...) or (C, ...), ``weight`` (C, out / groups, ...), ``bias`` (out,).
    """
    tensor_function(convolution, method=False)
    return convolution


conv_transpose1d = _transposed(1)
conv_transpose2d = _transposed(2)
conv_transpose3d = _transposed(3)
tensor_function(bilinear, method=False)


@tensor_function(method=False)
def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """A convolution along time of (time, batch, in) with (width, in, out): (time', batch, out).

    ``bias`` is (out,); ``pad`` zeros stand at both ends. Raises RuntimeError where sizes or dtypes
    do not fit.
    """
    if input.ndim != 3:
        raise ShapeError("Input must have 3 dims: time, batch, in_channel")
    if weight.ndim != 3:
        raise ShapeError("Weight tensor must have 3 dims: kernel_width, in_channels, out_channels.")
    if bias.ndim != 1:
        raise ShapeError("Bias must be 1-D")
    if input.shape[2] != weight.shape[1]:
        raise ShapeError("Input dim 2 (input channels) is not == dim 1 in the weight tensor")
    if weight.shape[2] != bias.shape[0]:
        raise ShapeError("Bias size must equal dim 2 in the weight tensor (output channels).")
    lines = apply(OPS["permute"], (input,), {"dims": (1, 2, 0)})
    kernel = apply(OPS["permute"], (weight,), {"dims": (2, 1, 0)})
    return apply(OPS["permute"], (conv1d(lines, kernel, bias, 1, pad),), {"dims": (2, 0, 1)})
