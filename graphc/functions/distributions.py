"""Numbers drawn from distributions: with parameters from tensors, and in place.

What is drawn has no slope: gradients with respect to parameters are zero, as PyTorch's are.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.functions.factory import (
    checked_number,
    checked_size,
    factory,
    fits,
    flat_slope,
)
from graphc.functions.promotion import cast
from graphc.functions.random import float_dtype
from graphc.functions.registry import fitted, tensor_function, write_out
from graphc.generator import Generator, apply_draw, checked_integers, draw, uniform
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

_WIDE = (dtypes.float32, dtypes.float64)


def _wide(dtype: DType) -> DType:
    """The dtype to compute in: halves are computed in float32."""
    return dtype if dtype in _WIDE else dtypes.float32


def _need(holds: bool, message: str) -> None:
    if not holds:
        raise RuntimeError(message)


def _eager(*tensors: Any) -> bool:
    """Whether values can be looked at, to refuse parameters out of range."""
    return MODES.trace is None and all(isinstance(t, Tensor) and not t._traced for t in tensors)


# --------------------------------------------------------------------- parameters from tensors


@factory
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Normal numbers; ``mean`` and ``std`` are numbers (with ``size``) or tensors.

    The dtype is that of the first tensor. Raises RuntimeError for a negative ``std``.
    """
    _check_std("normal", std)
    tensors = [x for x in (mean, std) if isinstance(x, Tensor)]
    if tensors:
        if size is not None:
            raise TypeError("normal() takes size only when mean and std are numbers")
        shape = np.broadcast_shapes(*(tuple(x.shape) for x in tensors))
        kind = float_dtype("normal_kernel_cpu", dtype or tensors[0].dtype)
    elif size is None:
        raise TypeError('normal() missing 1 required positional arguments: "size"')
    else:
        shape, kind = checked_size("normal", (size,)), float_dtype("normal_kernel_cpu", dtype)
    centre, spread = (x.detach() if isinstance(x, Tensor) else x for x in (mean, std))
    return flat_slope(_normal(shape, centre, spread, kind, generator), mean, std)


def _check_std(name: str, std: Any) -> None:
    if not isinstance(std, Tensor):
        number = checked_number(name, "std", std)
        _need(number >= 0, f"normal expects std >= 0.0, but found std {std}")
    elif _eager(std) and bool((std._array() < 0).any()):
        raise RuntimeError("normal expects all elements of std >= 0.0")


def _normal(shape: Any, mean: Any, std: Any, dtype: DType, generator: Generator | None) -> Tensor:
    drawn = draw("normal", shape, _wide(dtype), generator)
    tensors = isinstance(mean, Tensor) or isinstance(std, Tensor)
    if tensors or (mean, std) != (0, 1):
        scale, shift = (
            cast(x, drawn.dtype) if isinstance(x, Tensor) else float(x) for x in (std, mean)
        )
        drawn = OPS["add"](OPS["mul"](drawn, scale), shift)
    return cast(drawn, dtype)


@tensor_function
def bernoulli(
    input: Tensor,
    p: float | None = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Ones with the probability that each element (or ``p``) gives, else zeros.

    ``out`` may have any dtype. Raises RuntimeError for probabilities outside ``[0, 1]``.
    """
    drawn = _coins(input, input.detach() if p is None else p, generator)
    if out is not None:
        return write_out(out, cast(drawn, out.dtype), "bernoulli")
    return flat_slope(drawn, input) if p is None else drawn


def _coins(like: Tensor, chance: Any, generator: Generator | None) -> Tensor:
    if isinstance(chance, Tensor):
        float_dtype("bernoulli_tensor_cpu_p_", chance.dtype)
        kind = _wide(chance.dtype)
        if _eager(chance) and not bool(_within(chance._array(), 0, 1).all()):
            raise RuntimeError("bernoulli expects probabilities in [0, 1], NaN excluded")
        chance = cast(chance, kind)
    else:
        chance = checked_number("bernoulli", "p", chance)
        _need(0 <= chance <= 1, f"bernoulli_ expects p to be in [0, 1], but got p={chance}")
        kind = _wide(like.dtype) if like.dtype.is_floating_point else dtypes.float32
    drawn = draw("uniform", tuple(like.shape), kind, generator)
    return cast(apply(OPS["lt"], (drawn, chance), {}), like.dtype)


def _within(values: Any, low: float, high: float) -> Any:
    return (values >= low) & (values <= high)


@tensor_function(method=False)
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson numbers whose means are the elements of ``input``, in its dtype.

    Raises RuntimeError for a mean that is negative or NaN.
    """
    float_dtype("poisson_cpu", input.dtype)
    if _eager(input) and not bool((input._array() >= 0).all()):
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    return flat_slope(apply_draw("poisson", (input.detach(),), generator), input)


@tensor_function(method=False)
def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """How many of ``count`` independent trials succeed, each with probability ``prob``.

    The dtype is that of ``count``. Raises ValueError for dtypes that are no floats.
    """
    for name, tensor in (("count", count), ("prob", prob)):
        if not tensor.dtype.is_floating_point:
            raise ValueError(
                f"binomial only supports floating-point dtypes for {name}, got: "
                f"{tensor.dtype.type_name}"
            )
    operands = (count.detach(), cast(prob.detach(), count.dtype))
    return flat_slope(apply_draw("binomial", operands, generator), count, prob)


# --------------------------------------------------------------------------------------- in place

_method = tensor_function(public=False)


def _renamed(name: str, low: Any, high: Any, named: dict[str, Any]) -> tuple[Any, Any]:
    """``from`` is a word of Python, so it can only come in a dictionary."""
    low, high = named.pop("from", low), named.pop("to", high)
    if named:
        raise TypeError(f"{name}() got an unexpected keyword argument {next(iter(named))!r}")
    return low, high


@_method
def uniform_(
    self: Tensor,
    low: float = 0.0,
    high: float = 1.0,
    *,
    generator: Generator | None = None,
    **named: float,
) -> Tensor:
    """Fills with numbers in ``[from, to)``, given by position or as ``**{"from": a, "to": b}``."""
    low, high = _renamed("uniform_", low, high, named)
    kind = float_dtype("check_uniform_bounds", self.dtype)
    for end, bound in (("from", low), ("to", high)):
        if not (math.isfinite(bound) and fits(bound, kind)):
            raise RuntimeError(f"{end} is out of bounds for {kind.name}")
    _need(
        low <= high,
        f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}",
    )
    _need(
        fits(high - low, kind),
        f"uniform_ expects to-from <= the largest number of {kind.name}, but found to={high} and "
        f"from={low} which result in to-from to exceed the limit",
    )
    if (low, high) == (0, 1):
        return self._write(draw("uniform", tuple(self.shape), kind, generator))
    drawn = uniform(tuple(self.shape), low, high, _wide(kind), generator)
    return self._write(cast(drawn, kind))


@_method
def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fills with normal numbers."""
    _check_std("normal_", std)
    kind = float_dtype("normal_kernel_cpu", self.dtype)
    return self._write(_normal(tuple(self.shape), mean, std, kind, generator))


@_method
def random_(
    self: Tensor,
    low: int = 0,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    **named: int,
) -> Tensor:
    """``random_()``, ``random_(to)`` or ``random_(from, to)``: integers below ``to``.

    Without ``to``: all non-negative integers that the dtype holds exactly.
    """
    one = high is None and low != 0 and "from" not in named
    low, high = _renamed("random_", low, high, named)
    if one and high is None:
        low, high = 0, low
    if high is None:
        high = _largest(self.dtype) + 1
    drawn = checked_integers(tuple(self.shape), int(low), int(high), self.dtype, generator)
    return self._write(drawn)


def _largest(dtype: DType) -> int:
    if dtype is dtypes.bool_:
        return 1
    if dtype.is_floating_point:
        return round(2 / dtypes.finfo(dtype).eps)
    return int(dtypes.iinfo(dtype).max)


@_method
def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fills with ones with probability ``p`` (a number or a tensor), else zeros."""
    chance = fitted(p.detach(), self, "bernoulli_") if isinstance(p, Tensor) else p
    return self._write(_coins(self, chance, generator))


def _between(tensor: Tensor, dtype: DType, generator: Generator | None) -> Tensor:
    """Uniform numbers between 0 and 1, neither of them included."""
    drawn = draw("uniform", tuple(tensor.shape), dtype, generator)
    unit = 2.0**-54 if dtype is dtypes.float64 else 2.0**-25
    # The sum of the largest number below 1 and half its distance from 1 would be rounded to 1.
    return apply(OPS["minimum"], (OPS["add"](drawn, unit), 1.0 - 2 * unit), {})


def _filling(
    name: str, text: str, formula: Callable[..., Any], kernel: str, integers: bool = False
) -> None:
    """``Tensor.name_(parameters)``: a formula over uniforms in the wide dtype, written in place."""

    def function(self: Tensor, *args: Any, generator: Generator | None = None, **kw: Any) -> Tensor:
        if not self.dtype.is_floating_point and (not integers or self.dtype is dtypes.bool_):
            raise _refusal(name, kernel, self.dtype)
        kind = _wide(self.dtype) if self.dtype.is_floating_point else dtypes.float64
        drawn = formula(lambda: _between(self, kind, generator), *args, **kw)
        return self._write(cast(drawn, self.dtype))

    function.__name__ = f"{name}_"
    function.__doc__ = text
    _method(function)


def _refusal(name: str, kernel: str, dtype: DType) -> Exception:
    if kernel:
        return NotImplementedError(f"\"{kernel}\" not implemented for '{dtype.type_name}'")
    return RuntimeError(
        f"{name.capitalize()} distribution is a continuous probability distribution. dtype must "
        f"be a floating point but you specified {dtype.type_name}"
    )


def _exponential(between: Callable[[], Tensor], lambd: float = 1.0) -> Any:
    _need(lambd > 0, f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    return OPS["mul"](OPS["log"](between()), -1.0 / lambd)


def _cauchy(between: Callable[[], Tensor], median: float = 0.0, sigma: float = 1.0) -> Any:
    _need(sigma > 0, f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    angle = OPS["mul"](OPS["sub"](between(), 0.5), math.pi)
    return OPS["add"](OPS["mul"](OPS["tan"](angle), float(sigma)), float(median))


def _geometric(between: Callable[[], Tensor], p: Any) -> Any:
    p = checked_number("geometric_", "p", p)
    _need(0 < p < 1, f"geometric_ expects p to be in (0, 1), but got p={p}")
    return OPS["ceil"](OPS["div"](OPS["log"](between()), math.log1p(-p)))


_filling(
    "exponential",
    "``exponential_(lambd=1)`` fills with numbers of density ``lambd * exp(-lambd * x)``, x > 0.",
    _exponential,
    "",
)
_filling(
    "cauchy",
    "``cauchy_(median=0, sigma=1)`` fills with numbers of density "
    "``sigma / pi / (sigma**2 + (x - median)**2)``.",
    _cauchy,
    "",
)
_filling(
    "geometric",
    "``geometric_(p)`` fills with the number of trials until the first success.",
    _geometric,
    "geometric_cpu",
    integers=True,
)


@_method
def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Fills with the exponentials of normal numbers."""
    _need(std > 0, f"log_normal_ expects std > 0.0, but found std={std}")
    kind = float_dtype("log_normal_cpu", self.dtype)
    drawn = _normal(tuple(self.shape), mean, std, _wide(kind), generator)
    return self._write(cast(OPS["exp"](drawn), kind))
