"""Initial values of parameters, written in place and never recorded."""

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.generator import Generator, draw
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

_LINEAR = (
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "sigmoid",
)  # fmt: skip


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """What a layer's standard deviation is multiplied by to survive a nonlinearity."""
    if nonlinearity in _LINEAR:
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "selu":
        return 3.0 / 4
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, (int, float))):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def _written(tensor: Tensor, write: Callable[[Any], Any]) -> Tensor:
    recorded, MODES.grad = MODES.grad, False
    try:
        write(tensor)
    finally:
        MODES.grad = recorded
    return tensor


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Numbers in ``[a, b)``."""
    return _written(tensor, lambda t: t.uniform_(a, b, generator=generator))


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Normal numbers."""
    return _written(tensor, lambda t: t.normal_(mean, std, generator=generator))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers, those outside ``[a, b]`` excluded: the inverse distribution of uniforms.

    ``a`` and ``b`` are values, not deviations. Beyond six deviations from the mean there is little
    to tell numbers apart, and the result is the nearer bound.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of "
            "values may be incorrect.",
            stacklevel=2,
        )

    def below(x: float) -> float:
        return math.erf((x - mean) / std / math.sqrt(2.0))

    low, high = below(a), below(b)

    def write(t: Any) -> None:
        drawn: Any = draw("uniform", tuple(t.shape), dtypes.float64, generator)
        spread: Any = apply(OPS["erfinv"], (drawn * (high - low) + low,), {})
        t.copy_((spread * (std * math.sqrt(2.0)) + mean).clamp(a, b))

    return _written(tensor, write)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One number everywhere."""
    return _written(tensor, lambda t: t.fill_(val))


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity, for matrices."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _written(tensor, lambda t: t.copy_(Tensor._make(np.eye(*t.shape)).to(t.dtype)))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """The identity of convolutions: a one in the middle of each channel's own kernel."""
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    sizes = tuple(int(n) for n in tensor.shape)
    if sizes[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    values = np.zeros(sizes)
    per_group, middle = sizes[0] // groups, tuple(n // 2 for n in sizes[2:])
    for group in range(groups):
        for d in range(min(per_group, sizes[1])):
            place = (group * per_group + d, d, *middle)
            values[place] = 1
    return _written(tensor, lambda t: t.copy_(Tensor._make(values).to(t.dtype)))


def _fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs one output sees, and how many outputs one input feeds."""
    if tensor.ndim < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    field = math.prod(int(n) for n in tensor.shape[2:])
    return int(tensor.shape[1]) * field, int(tensor.shape[0]) * field


# Names that programs written for PyTorch import.
_calculate_fan_in_and_fan_out = _fans


def _fan(tensor: Tensor, mode: str) -> int:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return _fans(tensor)[mode.lower() == "fan_out"]


_calculate_correct_fan = _fan


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Glorot and Bengio (2010): variance ``2 gain**2 / (fan_in + fan_out)``, uniform."""
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Glorot and Bengio (2010), normal."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """He et al. (2015): variance ``gain**2 / fan``, uniform."""
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    gain = calculate_gain(nonlinearity, a)
    bound = math.sqrt(3.0) * gain / math.sqrt(_fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """He et al. (2015), normal."""
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    gain = calculate_gain(nonlinearity, a)
    return normal_(tensor, 0.0, gain / math.sqrt(_fan(tensor, mode)), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A (semi-)orthogonal matrix over the first and all other dimensions (Saxe et al., 2013)."""
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    rows = int(tensor.shape[0])
    if not tensor.numel():
        return tensor
    columns = tensor.numel() // rows

    def write(t: Any) -> None:
        drawn = draw("normal", (rows, columns), t.dtype, generator)._array().astype(np.float64)
        q, r = np.linalg.qr(drawn.T if rows < columns else drawn)
        q = q * np.sign(np.diag(r))  # uniform over all orthogonal matrices
        made = (q.T if rows < columns else q).reshape(tuple(t.shape))
        t.copy_(Tensor._make(np.ascontiguousarray(made)).to(t.dtype) * gain)

    return _written(tensor, write)


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """Normal numbers, in each column of a matrix the fraction ``sparsity`` set to zero."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = (int(n) for n in tensor.shape)
    zeros = math.ceil(sparsity * rows)

    def write(t: Any) -> None:
        values = draw("normal", (rows, columns), t.dtype, generator) * std  # type: ignore[operator]
        keys = draw("uniform", (rows, columns), t.dtype, generator)._array()
        kept = np.argsort(np.argsort(keys, axis=0), axis=0) >= zeros
        t.copy_(values * Tensor._make(kept))  # type: ignore[operator]

    return _written(tensor, write)


# ------------------------------------------------------------------------------------- old names


def _old(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An initialisation under the name that it had before PyTorch 0.4."""
    new = function.__name__
    old = new[:-1]

    @functools.wraps(function)
    def renamed(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(
            f"`nn.init.{old}` is now deprecated in favor of `nn.init.{new}`.",
            FutureWarning,
            stacklevel=2,
        )
        return function(*args, **kwargs)

    renamed.__name__ = renamed.__qualname__ = old
    renamed.__doc__ = f"The old name of :func:`{new}`."
    return renamed


uniform = _old(uniform_)
normal = _old(normal_)
constant = _old(constant_)
eye = _old(eye_)
dirac = _old(dirac_)
xavier_uniform = _old(xavier_uniform_)
xavier_normal = _old(xavier_normal_)
kaiming_uniform = _old(kaiming_uniform_)
kaiming_normal = _old(kaiming_normal_)
orthogonal = _old(orthogonal_)
sparse = _old(sparse_)
