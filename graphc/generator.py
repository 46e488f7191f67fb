"""Where random numbers come from: generators, and draws from them.

A generator's whole state is one int64 tensor ``(seed, stream)``. A draw is a function of that
state and of each element's position alone, and afterwards the stream advances by one, in place. A
traced draw reads and advances the very same tensor, so eager and compiled programs draw the same
numbers in the same order.
"""

import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.device import device as Device
from graphc.dtypes import dtype as DType
from graphc.functions.creation import tensor
from graphc.functions.promotion import cast
from graphc.ir import CPU
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

_DEFAULT_SEED = 67280421310721  # of a generator that nobody seeded, as in PyTorch
_LOCK = threading.Lock()  # a draw reads the state and advances it: two threads, two streams


class Generator:
    """A source of random numbers; the same seed gives the same numbers everywhere."""

    def __init__(self, device: Any = "cpu") -> None:
        self.device = Device(device)
        self._state: Tensor = Tensor._make(np.array([_DEFAULT_SEED, 0], np.int64))

    def manual_seed(self, seed: int) -> "Generator":
        """Starts the numbers of ``seed`` (-2**63 to 2**64 - 1) from their beginning."""
        if not isinstance(seed, int):
            raise TypeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        if not -(2**63) <= seed < 2**64:
            raise RuntimeError("Overflow when unpacking long long")
        self._state.copy_(tensor([_signed(seed % 2**64), 0], dtype=dtypes.int64))
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
        """A copy of the state: int64 ``[seed, stream]``."""
        return apply(OPS["clone"], (self._state,), {})

    def set_state(self, new_state: Tensor) -> None:
        """Continues from a state that :meth:`get_state` gave."""
        if not isinstance(new_state, Tensor) or new_state.dtype is not dtypes.int64:
            raise TypeError("set_state expects an int64 tensor that get_state returned")
        if tuple(new_state.shape) != (2,):
            raise RuntimeError(f"RNG state is wrong size: {list(new_state.shape)}, expected [2]")
        self._state._write(new_state)

    def clone_state(self) -> "Generator":
        """Another generator that continues with the same numbers."""
        other = Generator(self.device)
        other.set_state(self._state)
        return other

    def __deepcopy__(self, _memo: Any) -> "Generator":
        return self.clone_state()


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


default_generator = Generator()
default_generator.seed()


def draw(kind: str, shape: Sequence[int], dtype: DType, generator: Generator | None) -> Tensor:
    """One stream of the generator: float 'uniform' in [0, 1), 'normal', or int64 'bits'."""
    state = (default_generator if generator is None else generator)._state
    attrs = {"shape": tuple(shape), "dtype": dtype, "kind": kind}
    if MODES.trace is not None:
        drawn = apply(OPS["random"], (state,), attrs)
        step = {"shape": (2,), "dim": 0, "dtype": dtypes.int64, "start": 0, "step": 1}
        state._write(
            apply(OPS["add"], (state, apply(OPS["iota"], (), {**step, "device": CPU})), {})
        )
        return drawn
    with _LOCK:
        drawn = apply(OPS["random"], (state,), attrs)
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
