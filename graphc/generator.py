"""Where random numbers come from: generators, and draws from them.

A generator's whole state is one int64 tensor ``(seed, stream)``. A draw is a function of that
state and of each element's position alone, and afterwards the stream advances by one, in place. A
traced draw reads and advances the very same tensor, so eager and compiled programs draw the same
numbers in the same order.
"""

import os
import threading
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.device import device as Device
from graphc.dtypes import dtype as DType
from graphc.functions.creation import tensor
from graphc.functions.promotion import cast, supported
from graphc.ir import CPU
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

_DEFAULT_SEED = 67280421310721  # of a generator that nobody seeded, as in PyTorch
_BYTES = 16
_LOCK = threading.Lock()  # a draw reads the state and advances it: two threads, two streams


def _unlock() -> None:
    """In a forked child, the thread that held the lock is not there to release it."""
    global _LOCK
    _LOCK = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


class Generator:
    """A source of random numbers; the same seed gives the same numbers everywhere."""

    def __init__(self, device: Any = "cpu") -> None:
        self.device = supported(Device(device))
        first = np.array([_DEFAULT_SEED, 0], np.int64)
        state: Tensor = Tensor._make(first)
        # One that a compiled function makes for itself is part of its graph.
        self._state = state if MODES.trace is None else MODES.trace.literal(first, state._type)

    def manual_seed(self, seed: int) -> "Generator":
        """Starts the numbers of ``seed`` (-2**63 to 2**64 - 1) from their beginning."""
        if not isinstance(seed, int):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        if not -(2**63) <= seed < 2**64:
            raise ValueError("Overflow when unpacking long long")
        self._state._write(tensor([_signed(seed % 2**64), 0], dtype=dtypes.int64))
        return self

    def seed(self) -> int:
        """Seeds from the operating system's entropy and returns the seed."""
        chosen = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(chosen)
        return chosen

    def initial_seed(self) -> int:
        """The seed that the numbers began with."""
        return int(self._state._array()[0]) % 2**64

    def get_state(self) -> Tensor:
        """The state as 16 bytes: a uint8 tensor."""
        words = apply(OPS["reshape"], (self._state,), {"shape": (2, 1)})
        shifted = apply(OPS["bitwise_right_shift"], (words, _places()), {})
        low = apply(OPS["bitwise_and"], (shifted, 255), {})
        return apply(OPS["reshape"], (cast(low, dtypes.uint8),), {"shape": (_BYTES,)})

    def set_state(self, new_state: Tensor) -> None:
        """Continues from a state that :meth:`get_state` gave.

        Raises TypeError for another dtype, RuntimeError for another size.
        """
        if not isinstance(new_state, Tensor) or new_state.dtype is not dtypes.uint8:
            raise TypeError("RNG state must be a graphc.ByteTensor, as get_state returned it")
        if tuple(new_state.shape) != (_BYTES,):
            raise RuntimeError(
                f"RNG state is wrong size: {list(new_state.shape)}, expected [{_BYTES}]"
            )
        rows = apply(OPS["reshape"], (cast(new_state, dtypes.int64),), {"shape": (2, 8)})
        shifted = apply(OPS["bitwise_left_shift"], (rows, _places()), {})
        self._state._write(apply(OPS["sum"], (shifted,), {"dims": (1,), "keepdim": False}))

    def clone_state(self) -> "Generator":
        """Another generator that continues with the same numbers."""
        other = Generator(self.device)
        other._state._write(self._state)
        return other

    def __deepcopy__(self, _memo: Any) -> "Generator":
        return self.clone_state()


def _places() -> Tensor:
    """How many bits lie below each byte of a word."""
    attrs = {"shape": (8,), "dim": 0, "dtype": dtypes.int64, "start": 0, "step": 8, "device": CPU}
    return apply(OPS["iota"], (), attrs)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


default_generator = Generator()
default_generator.seed()


def draw(kind: str, shape: Sequence[int], dtype: DType, generator: Generator | None) -> Tensor:
    """One stream of the generator: float 'uniform' in [0, 1), 'normal', or int64 'bits'."""
    attrs = {"shape": tuple(shape), "dtype": dtype, "kind": kind}
    return _advancing("random", (), attrs, generator)


def apply_draw(row: str, parameters: Sequence[Tensor], generator: Generator | None) -> Tensor:
    """One stream of the generator for a row that draws with parameters from tensors."""
    return _advancing(row, parameters, {}, generator)


def take_stream(generator: Generator | None) -> Tensor:
    """The state for one stream in memory of its own, for rows that draw when they please."""
    return _advancing("clone", (), {}, generator)


def _advancing(
    row: str, parameters: Sequence[Tensor], attrs: dict[str, Any], generator: Generator | None
) -> Tensor:
    """Applies a row that reads the state, and goes on to the next stream."""
    if generator is not None and not isinstance(generator, Generator):
        raise TypeError(f"generator must be a graphc.Generator, not {type(generator).__name__}")
    state = (default_generator if generator is None else generator)._state
    if MODES.trace is not None:
        drawn = apply(OPS[row], (state, *parameters), attrs)
        step = {"shape": (2,), "dim": 0, "dtype": dtypes.int64, "start": 0, "step": 1}
        state._write(
            apply(OPS["add"], (state, apply(OPS["iota"], (), {**step, "device": CPU})), {})
        )
        return drawn
    with _LOCK:
        drawn = apply(OPS[row], (state, *parameters), attrs)
        state._value[1] += 1
        state._storage.version += 1
        state._seen = state._storage.version
    return drawn


def uniform(
    shape: Sequence[int], low: float, high: float, dtype: DType, generator: Generator | None = None
) -> Tensor:
    """Numbers in ``[low, high)``."""
    drawn = draw("uniform", shape, dtype, generator)
    if low == 0 and high == 1:
        return drawn
    scaled = apply(OPS["mul"], (drawn, high - low), {})
    return apply(OPS["add"], (scaled, low), {})


def checked_integers(
    shape: Sequence[int], low: int, high: int, dtype: DType, generator: Generator | None
) -> Tensor:
    """Integers in ``[low, high)``.

    Raises RuntimeError when there are none or the dtype cannot hold them; warns where a float
    dtype holds only some of them.
    """
    if high > 2**63:
        raise ValueError("Overflow when unpacking long long")
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    first, last = _limits(dtype)
    for end, value in (("from", low), ("to - 1", high - 1)):
        if not first <= value <= last:
            raise RuntimeError(f"{end} is out of bounds for {dtype.name}")
        if dtype.is_floating_point and abs(value) > _exact(dtype):
            warnings.warn(
                f"{end} is out of bounds [-(2^{_exact(dtype).bit_length() - 1}), "
                f"2^{_exact(dtype).bit_length() - 1}]. Due to precision limitations {dtype.name} "
                "can support discrete uniform distribution only within this range.",
                stacklevel=4,
            )
    return integers(shape, low, high, dtype, generator)


def _exact(dtype: DType) -> int:
    """The integer up to which a float dtype holds every one."""
    return round(2 / dtypes.finfo(dtype).eps)


def _limits(dtype: DType) -> tuple[float, float]:
    if dtype is dtypes.bool_:
        return 0, 1
    limits: Any = dtypes.finfo(dtype) if dtype.is_floating_point else dtypes.iinfo(dtype)
    return limits.min, limits.max


def integers(
    shape: Sequence[int], low: int, high: int, dtype: DType, generator: Generator | None
) -> Tensor:
    """Integers in ``[low, high)``; a span of 2**64 takes the bits as they are."""
    bits = draw("bits", shape, dtypes.int64, generator)
    span = high - low
    if span < 2**63:
        bits = apply(OPS["remainder"], (bits, span), {})
    if low:
        bits = apply(OPS["add"], (bits, _signed(low % 2**64)), {})
    return cast(bits, dtype)
