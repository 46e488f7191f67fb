"""Functions that draw random numbers, and the state of the default generator."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.device import device as Device
from graphc.dtypes import dtype as DType
from graphc.functions.promotion import cast
from graphc.functions.registry import fitted, tensor_function
from graphc.generator import Generator, default_generator, draw, integers, uniform
from graphc.ir import CPU
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

# ------------------------------------------------------------------------------------- the state


@tensor_function(method=False)
def manual_seed(seed: int) -> Generator:
    """Seeds the default generator; the same seed gives the same numbers."""
    return default_generator.manual_seed(int(seed))


@tensor_function(method=False)
def seed() -> int:
    """Seeds the default generator from the operating system's entropy; returns the seed."""
    return default_generator.seed()


@tensor_function(method=False)
def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


@tensor_function(method=False)
def get_rng_state() -> Tensor:
    """The state of the default generator."""
    return default_generator.get_state()


@tensor_function(method=False)
def set_rng_state(new_state: Tensor) -> None:
    """Sets the state of the default generator."""
    default_generator.set_state(new_state)


# --------------------------------------------------------------------------------------- creation


def _shape(size: Sequence[Any]) -> tuple[int, ...]:
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = size[0]
    sizes = tuple(int(n) for n in size)
    for n in sizes:
        if n < 0:
            raise RuntimeError(
                f"Trying to create tensor with negative dimension {n}: {list(sizes)}"
            )
    return sizes


def _finish(result: Tensor, device: Any, requires_grad: bool) -> Tensor:
    if device is not None:
        result = result.to(Device(device))  # type: ignore[attr-defined]
    return result.requires_grad_() if requires_grad else result


def _float_dtype(name: str, dtype: DType | None) -> DType:
    kind = dtype or dtypes.get_default_dtype()
    if not kind.is_floating_point:
        raise RuntimeError(f"\"{name}\" not implemented for '{kind.type_name}'")
    return kind


@tensor_function(method=False, out=True)
def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Uniform numbers in ``[0, 1)`` of shape ``size``."""
    del pin_memory
    kind = _float_dtype("check_uniform_bounds", dtype)
    drawn = draw("uniform", _shape(size), kind, generator)
    return _finish(drawn, device, requires_grad)


@tensor_function(method=False, out=True)
def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Normal numbers with mean 0 and variance 1, of shape ``size``."""
    del pin_memory
    kind = _float_dtype("normal_kernel_cpu", dtype)
    drawn = draw("normal", _shape(size), kind, generator)
    return _finish(drawn, device, requires_grad)


@tensor_function(method=False, out=True)
def randint(
    *bounds: Any,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    **named: Any,
) -> Tensor:
    """``randint([low,] high, size)``: integers in ``[low, high)``, low 0 unless given."""
    given = list(bounds)
    size = named.pop("size") if "size" in named else given.pop()
    high = named.pop("high") if "high" in named else given.pop()
    low = named.pop("low") if "low" in named else (given.pop() if given else 0)
    if named or given:
        extra = next(iter(named), None) or given[0]
        raise TypeError(f"randint() got an unexpected argument {extra!r}")
    low, high = int(low), int(high)
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    drawn = integers(_shape((tuple(size),)), low, high, dtype or dtypes.int64, generator)
    return _finish(drawn, device, requires_grad)


@tensor_function(method=False, out=True)
def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """The integers below ``n`` in random order: the ranks of ``n`` random numbers."""
    del pin_memory
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    keys = draw("bits", (n,), dtypes.int64, generator)
    ranks = _ranks(keys) if MODES.trace is None else _compared(keys)
    return _finish(cast(ranks, dtype or dtypes.int64), device, requires_grad)


def _ranks(keys: Tensor) -> Tensor:
    order = np.argsort(keys._array(), kind="stable")
    ranks = np.empty(order.size, np.int64)
    ranks[order] = np.arange(order.size)
    return Tensor._make(ranks)  # type: ignore[no-any-return]


def _compared(keys: Tensor) -> Tensor:
    """The same inside a graph: how many keys are smaller, or equal and earlier."""
    n = keys.numel()
    column, row = (apply(OPS["reshape"], (keys,), {"shape": s}) for s in ((n, 1), (1, n)))
    places = {"dim": 0, "dtype": dtypes.int64, "start": 0, "step": 1, "device": CPU}
    place = apply(OPS["iota"], (), {"shape": (n,), **places})
    earlier = apply(OPS["lt"], (place, apply(OPS["reshape"], (place,), {"shape": (n, 1)})), {})
    below = apply(OPS["lt"], (row, column), {})
    tied = apply(OPS["logical_and"], (apply(OPS["eq"], (row, column), {}), earlier), {})
    counted = cast(apply(OPS["logical_or"], (below, tied), {}), dtypes.int64)
    return apply(OPS["sum"], (counted,), {"dims": (1,), "keepdim": False})


@tensor_function(method=False)
def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers in ``[0, 1)`` with the shape and dtype of ``input``."""
    return rand(
        tuple(input.shape), generator=generator, dtype=dtype or input.dtype, device=device,
        requires_grad=requires_grad,
    )  # fmt: skip


@tensor_function(method=False)
def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers with the shape and dtype of ``input``."""
    return randn(
        tuple(input.shape), generator=generator, dtype=dtype or input.dtype, device=device,
        requires_grad=requires_grad,
    )  # fmt: skip


@tensor_function(method=False)
def randint_like(
    input: Tensor,
    *bounds: int,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``randint_like(input, [low,] high)``: integers with the shape and dtype of ``input``."""
    return randint(
        *bounds, tuple(input.shape), generator=generator, dtype=dtype or input.dtype,
        device=device, requires_grad=requires_grad,
    )  # fmt: skip


@tensor_function(method=False, out=True)
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers; ``mean`` and ``std`` are numbers (with ``size``) or tensors."""
    _check_std("normal", std)
    tensors = [x for x in (mean, std) if isinstance(x, Tensor)]
    if tensors and size is not None:
        raise TypeError("normal() takes size only when mean and std are numbers")
    if tensors:
        shape = np.broadcast_shapes(*(tuple(x.shape) for x in tensors))
        kind = tensors[0].dtype
    elif size is None:
        raise TypeError("normal() missing 1 required argument: 'size'")
    else:
        shape, kind = _shape((tuple(size),)), _float_dtype("normal_kernel_cpu", dtype)
    drawn = draw("normal", shape, kind, generator)
    return _finish(drawn * std + mean, device, requires_grad)  # type: ignore[operator]


def _check_std(name: str, std: Any) -> None:
    if not isinstance(std, Tensor) and std < 0:
        raise RuntimeError(f"{name} expects std >= 0.0, but found std {std}")


@tensor_function(out=True)
def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Ones with the probability that each element (or ``p``) gives, else zeros."""
    if not input.dtype.is_floating_point and p is None:
        raise RuntimeError(f"\"bernoulli_tensor_cpu_p_\" not implemented for '{input.dtype}'")
    chance = input.detach() if p is None else p
    return _coins(input, chance, generator)


def _coins(like: Tensor, chance: Any, generator: Generator | None) -> Tensor:
    if not isinstance(chance, Tensor) and not 0 <= chance <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={chance}")
    kind = dtypes.float64 if like.dtype is dtypes.float64 else dtypes.float32
    drawn = draw("uniform", tuple(like.shape), kind, generator)
    return cast(drawn < chance, like.dtype)  # type: ignore[operator]


# --------------------------------------------------------------------------------------- in place

_method = tensor_function(public=False)


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
    if low > high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}"
        )
    kind = _float_dtype("check_uniform_bounds", self.dtype)
    return self._write(uniform(tuple(self.shape), low, high, kind, generator))


def _renamed(name: str, low: Any, high: Any, named: dict[str, Any]) -> tuple[Any, Any]:
    """``from`` is a word of Python, so it can only come in a dictionary."""
    low, high = named.pop("from", low), named.pop("to", high)
    if named:
        raise TypeError(f"{name}() got an unexpected keyword argument {next(iter(named))!r}")
    return low, high


@_method
def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fills with normal numbers."""
    _check_std("normal_", std)
    kind = _float_dtype("normal_kernel_cpu", self.dtype)
    drawn = draw("normal", tuple(self.shape), kind, generator)
    return self._write(drawn if (mean, std) == (0, 1) else drawn * std + mean)  # type: ignore[operator]


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
    low, high = _renamed("random_", low, high, named)
    if high is None and low != 0 and "from" not in named:
        low, high = 0, low
    if high is None:
        high = _largest(self.dtype) + 1
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    return self._write(integers(tuple(self.shape), low, high, self.dtype, generator))


def _largest(dtype: DType) -> int:
    if dtype is dtypes.bool:
        return 1
    if dtype.is_floating_point:
        return round(2 / dtypes.finfo(dtype).eps)
    return int(dtypes.iinfo(dtype).max)


@_method
def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fills with ones with probability ``p`` (a number or a tensor), else zeros."""
    chance = p if not isinstance(p, Tensor) else fitted(p, self, "bernoulli_")
    return self._write(_coins(self, chance, generator))


@_method
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fills with numbers of density ``lambd * exp(-lambd * x)``, all above zero."""
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    kind = _float_dtype("exponential", self.dtype)
    wide = kind if kind in (dtypes.float32, dtypes.float64) else dtypes.float32
    least = 2.0**-54 if wide is dtypes.float64 else 2.0**-25
    drawn = draw("uniform", tuple(self.shape), wide, generator) + least  # type: ignore[operator]
    return self._write(cast(-drawn.log() / lambd, kind))


@_method
def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Fills with the exponentials of normal numbers."""
    return self._write(
        normal(mean, std, tuple(self.shape), generator=generator).to(self.dtype).exp()
    )
