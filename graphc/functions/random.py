"""Tensors of random numbers, and the state of the default generator."""

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.functions.creation import like_function
from graphc.functions.factory import checked_size, factory, one_size, refuse_rest
from graphc.functions.promotion import cast
from graphc.functions.registry import tensor_function
from graphc.generator import Generator, checked_integers, default_generator, draw
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

# ------------------------------------------------------------------------------------- the state


@tensor_function(method=False)
def manual_seed(seed: Any) -> Generator:
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


def float_dtype(kernel: str, dtype: DType | None) -> DType:
    """The dtype, or the default. Raises NotImplementedError when it is no float."""
    kind = dtype or dtypes.get_default_dtype()
    if not kind.is_floating_point:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{kind.type_name}'")
    return kind


def _continuous(kind: str, name: str, kernel: str, text: str) -> Callable[..., Tensor]:
    def function(
        *size: Any,
        generator: Generator | None = None,
        dtype: DType | None = None,
        **named: Any,
    ) -> Tensor:
        shape = one_size(name, size, named)
        return draw(kind, shape, float_dtype(kernel, dtype), generator)

    function.__name__ = name
    function.__doc__ = text
    return factory(function)  # type: ignore[no-any-return]


rand = _continuous(
    "uniform", "rand", "check_uniform_bounds", "Uniform numbers in ``[0, 1)`` of shape ``size``."
)
randn = _continuous(
    "normal",
    "randn",
    "normal_kernel_cpu",
    "Normal numbers with mean 0 and variance 1, of shape ``size``.",
)


def _bound(name: str, value: Any) -> int:
    if isinstance(value, Tensor) and not value.ndim:
        value = value._array().item()
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}(): bounds must be integers, not {type(value).__name__}")
    return int(value)


@factory
def randint(
    *bounds: Any,
    generator: Generator | None = None,
    dtype: DType | None = None,
    **named: Any,
) -> Tensor:
    """``randint([low,] high, size)``: integers in ``[low, high)``, low 0 unless given.

    Raises RuntimeError when there are none, or when the dtype cannot hold them.
    """
    given = list(bounds)
    if "size" not in named and not (given and isinstance(given[-1], (tuple, list))):
        raise TypeError("randint(): argument 'size' must be tuple of ints")
    size = named.pop("size") if "size" in named else given.pop()
    if "high" not in named and not given:
        raise TypeError('randint() missing 1 required positional arguments: "high"')
    high = named.pop("high") if "high" in named else given.pop()
    low = named.pop("low") if "low" in named else (given.pop() if given else 0)
    refuse_rest("randint", named)
    if given:
        raise TypeError(f"randint() takes 3 positional arguments, but {3 + len(given)} were given")
    shape = checked_size("randint", (size,))
    kind = dtype or dtypes.int64
    return checked_integers(shape, _bound("randint", low), _bound("randint", high), kind, generator)


rand_like = like_function(
    rand, "rand_like", "Uniform numbers in ``[0, 1)`` with the shape and dtype of ``input``."
)
randn_like = like_function(
    randn, "randn_like", "Normal numbers with the shape and dtype of ``input``."
)
randint_like = like_function(
    randint,
    "randint_like",
    "``randint_like(input, [low,] high)``: integers with the shape and dtype of ``input``.",
    places=2,
)


@factory
def randperm(n: int, *, generator: Generator | None = None, dtype: DType | None = None) -> Tensor:
    """The integers below ``n`` in random order: that of ``n`` random numbers."""
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    keys = draw("bits", (n,), dtypes.int64, generator)
    order = apply(OPS["argsort"], (keys,), {"dim": 0, "descending": False, "first": n})
    return cast(order, dtype or dtypes.int64)
