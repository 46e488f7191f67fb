"""Activations: rows where there is one, a line of arithmetic where there is none."""

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

from graphc.dtypes import dtype as DType
from graphc.errors import DtypeError
from graphc.functions.dims import normalise_dim
from graphc.functions.promotion import cast
from graphc.functions.reduction import log_softmax as _log_softmax
from graphc.functions.reduction import softmax as _softmax
from graphc.functions.registry import assign, tensor_function
from graphc.generator import Generator, uniform
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _floating(name: str, input: Tensor) -> Tensor:
    if not isinstance(input, Tensor):
        raise TypeError(
            f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}"
        )
    if not input.dtype.is_floating_point:
        raise DtypeError(f"\"{name}\" not implemented for '{input.dtype.type_name}'")
    return input


def _done(name: str, input: Tensor, result: Tensor, inplace: bool) -> Tensor:
    return assign(input, result, name) if inplace else result


_with_out = functools.partial(tensor_function, method=False, public=False, out=True)


def _writing(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The in-place twin of an activation."""

    def in_place(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(input, *args, inplace=True, **kwargs)

    in_place.__name__ = in_place.__qualname__ = f"{function.__name__}_"
    in_place.__doc__ = f":func:`{function.__name__}` in place."
    return in_place


def _kept(input: Tensor, inplace: bool) -> Tensor:
    """What an activation of several steps computes with: their gradients read it afterwards."""
    return apply(OPS["clone"], (input,), {}) if inplace and input._tracked() else input


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``max(input, 0)``, elementwise."""
    return _done("relu", input, apply(OPS["relu"], (input,), {}), inplace)


relu_ = _writing(relu)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``input`` where it is greater than ``threshold``, else ``value``."""
    kept = apply(OPS["gt"], (input, threshold), {})
    return _done("threshold", input, apply(OPS["where"], (kept, input, value), {}), inplace)


threshold_ = _writing(threshold)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """``input`` limited to ``[min_val, max_val]``; no gradient at the bounds and beyond."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    above = apply(OPS["where"], (apply(OPS["gt"], (input, min_val), {}), input, min_val), {})
    within = apply(OPS["lt"], (above, max_val), {})
    return _done("hardtanh", input, apply(OPS["where"], (within, above, max_val), {}), inplace)


hardtanh_ = _writing(hardtanh)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(input, 0), 6)``."""
    return hardtanh(input, 0.0, 6.0, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``input``, its negative part times ``negative_slope``."""
    _floating("leaky_relu_cpu", input)
    result = apply(OPS["leaky_relu"], (input,), {"slope": float(negative_slope)})
    return _done("leaky_relu", input, result, inplace)


leaky_relu_ = _writing(leaky_relu)


def rrelu(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Negative elements times a slope: drawn from ``[lower, upper)`` in training, else the mean."""
    if lower > upper:
        raise RuntimeError(
            "Lower bound should be less than or equal to the upper bound, but got "
            f"{lower} > {upper}"
        )
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    _floating("rrelu_with_noise_out_cpu", input)
    slopes = uniform(tuple(input.shape), lower, upper, input.dtype, generator)
    scaled = apply(OPS["mul"], (input, slopes), {})
    positive = apply(OPS["gt"], (input, 0), {})
    return _done("rrelu", input, apply(OPS["where"], (positive, input, scaled), {}), inplace)


rrelu_ = _writing(rrelu)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``input`` where positive, else ``alpha * (exp(input) - 1)``."""
    _floating("elu_cpu", input)
    result = apply(OPS["elu"], (input,), {"alpha": float(alpha)})
    return _done("elu", input, result, inplace)


elu_ = _writing(elu)


_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The self-normalising :func:`elu` of Klambauer et al. (2017)."""
    stretched = elu(_kept(input, inplace), _SELU_ALPHA)
    result = apply(OPS["mul"], (stretched, _SELU_SCALE), {})
    return _done("selu", input, result, inplace)


selu_ = _writing(selu)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))``."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    _floating("celu", input)
    scaled = apply(OPS["div"], (input, float(alpha)), {})
    result = apply(OPS["mul"], (apply(OPS["elu"], (scaled,), {"alpha": 1.0}), float(alpha)), {})
    return _done("celu", input, result, inplace)


celu_ = _writing(celu)


@_with_out
def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """``x * Phi(x)``, with ``approximate='tanh'`` by the tanh formula."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    _floating("GeluKernelImpl", input)
    return apply(OPS["gelu"], (input,), {"approximate": approximate})


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * sigmoid(x)``, also known as swish."""
    _floating("silu_cpu", input)
    return _done("silu", input, apply(OPS["silu"], (input,), {}), inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * tanh(softplus(x))``."""
    _floating("mish_cpu", input)
    return _done("mish", input, apply(OPS["mish"], (input,), {}), inplace)


@_with_out
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``; ``x`` itself where ``beta * x > threshold``."""
    _floating("softplus_cpu", input)
    attrs = {"beta": float(beta), "threshold": float(threshold)}
    return apply(OPS["softplus"], (input,), attrs)


@_with_out
def logsigmoid(input: Tensor) -> Tensor:
    """``log(sigmoid(x))``."""
    _floating("log_sigmoid_cpu", input)
    return apply(OPS["log_sigmoid"], (input,), {})


def sigmoid(input: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``."""
    return input.sigmoid()  # type: ignore[attr-defined, no-any-return]


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return input.tanh()  # type: ignore[attr-defined, no-any-return]


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """``relu6(x + 3) / 6``."""
    _floating("hardsigmoid_cpu", input)
    shifted = relu6(apply(OPS["add"], (input, 3), {}))
    return _done("hardsigmoid", input, apply(OPS["div"], (shifted, 6), {}), inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * relu6(x + 3) / 6``."""
    _floating("hardswish_cpu", input)
    kept = _kept(input, inplace)
    gate = relu6(apply(OPS["add"], (kept, 3), {}))
    product = apply(OPS["mul"], (kept, gate), {})
    return _done("hardswish", input, apply(OPS["div"], (product, 6), {}), inplace)


@_with_out
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``input`` moved towards zero by ``lambd``."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    below = apply(OPS["where"], (apply(OPS["lt"], (input, -lambd), {}), input + lambd, 0), {})  # type: ignore[operator]
    return apply(OPS["where"], (apply(OPS["gt"], (input, lambd), {}), input - lambd, below), {})  # type: ignore[operator]


def tanhshrink(input: Tensor) -> Tensor:
    """``x - tanh(x)``."""
    return input - tanh(input)  # type: ignore[operator, no-any-return]


def softsign(input: Tensor) -> Tensor:
    """``x / (1 + |x|)``."""
    return input / (input.abs() + 1)  # type: ignore[attr-defined, operator, no-any-return]


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along ``dim`` times the sigmoid of the second."""
    if input.ndim == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    size = int(input.shape[normalise_dim(dim, input.ndim)])
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {size}")
    a, b = input.split(size // 2, dim)  # type: ignore[attr-defined]
    return a * sigmoid(b)  # type: ignore[no-any-return]


def _implicit_dim(name: str, ndim: int) -> int:
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include "
        "dim=X as an argument.",
        stacklevel=3,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """``exp(x) / sum(exp(x))`` along ``dim``."""
    del _stacklevel
    dim = _implicit_dim("softmax", input.ndim) if dim is None else dim
    return _softmax(_cast(input, dtype), dim)  # type: ignore[no-any-return]


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """:func:`softmax` of ``-x``."""
    dim = _implicit_dim("softmin", input.ndim) if dim is None else dim
    return softmax(apply(OPS["neg"], (input,), {}), dim, _stacklevel, dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """The logarithm of :func:`softmax`, computed without overflow."""
    del _stacklevel
    dim = _implicit_dim("log_softmax", input.ndim) if dim is None else dim
    return _log_softmax(_cast(input, dtype), dim)  # type: ignore[no-any-return]


def _cast(input: Tensor, dtype: DType | None) -> Tensor:
    return input if dtype is None else cast(input, dtype)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A sample of the Gumbel-softmax distribution; ``hard`` gives one-hot with soft gradients."""
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    least = math.ulp(0.0) if logits.dtype.itemsize == 8 else 2.0**-25
    drawn: Any = uniform(tuple(logits.shape), 0, 1, logits.dtype) + least  # type: ignore[operator]
    gumbels = -(-drawn.log()).log()
    soft = softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    axis = normalise_dim(dim, soft.ndim)
    best = soft.argmax(axis, True)  # type: ignore[attr-defined]
    picked = soft._zeros().scatter(axis, best, 1.0)  # type: ignore[attr-defined]
    return picked - soft.detach() + soft  # type: ignore[no-any-return]
