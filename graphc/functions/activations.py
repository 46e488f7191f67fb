"""Activations that are methods of tensors, too."""

from graphc.functions.registry import tensor_function
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


@tensor_function
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``input``, its negative part times ``weight``: one number, or one for each channel."""
    if weight.numel() != 1:
        channels = int(input.shape[1]) if input.ndim > 1 else 1
        if weight.ndim > 1 or weight.numel() != channels:
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.numel()} and channel size = {channels}."
            )
        shape = (1, channels, *(1,) * (input.ndim - 2))
        weight = apply(OPS["reshape"], (weight,), {"shape": shape})
    elif weight.ndim:
        weight = apply(OPS["reshape"], (weight,), {"shape": ()})
    positive = apply(OPS["gt"], (input, 0), {})
    scaled = apply(OPS["mul"], (input, weight), {})
    return apply(OPS["where"], (positive, input, scaled), {})


@tensor_function(out=True)
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``input`` outside ``[-lambd, lambd]``, else 0."""
    inside = apply(OPS["le"], (apply(OPS["abs"], (input,), {}), lambd), {})
    return apply(OPS["where"], (inside, 0, input), {})
