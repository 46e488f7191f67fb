"""Recurrent layers and their cells."""

import math
import warnings
from collections.abc import Iterator
from typing import Any

from graphc.functions.creation import arange, empty, zeros
from graphc.functions.gathering import index_select
from graphc.modes import MODES
from graphc.nn import init
from graphc.nn.functional.recurrent import CELLS, State, Weights, cell_step, recurrent
from graphc.nn.module import Module
from graphc.nn.parameter import Parameter
from graphc.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from graphc.tensor import Tensor

_DEFAULTS = {
    "proj_size": 0,
    "num_layers": 1,
    "bias": True,
    "batch_first": False,
    "dropout": 0,
    "bidirectional": False,
}


class RNNBase(Module):
    """What :class:`RNN`, :class:`LSTM` and :class:`GRU` share.

    ``input`` is ``[steps, batch, input_size]``, ``[batch, steps, input_size]`` with
    ``batch_first``, ``[steps, input_size]`` without a batch, or a ``PackedSequence``. Gives the
    output of the last layer, in the same form, and the state after the last step, ``[layers *
    directions, batch, hidden_size]``.

    Raises TypeError and ValueError for options that make no sense, RuntimeError for tensors of
    other sizes than these.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        _check_dropout(dropout, num_layers)
        for name, value, kind in (
            ("bias", bias, bool),
            ("batch_first", batch_first, bool),
            ("input_size", input_size, int),
            ("hidden_size", hidden_size, int),
        ):
            if not isinstance(value, kind):
                found = type(value).__name__
                raise TypeError(f"{name} should be of type {kind.__name__}, got: {found}")
        for name, value in (
            ("input_size", input_size),
            ("hidden_size", hidden_size),
            ("num_layers", num_layers),
        ):
            if value <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if proj_size < 0:
            raise ValueError(
                "proj_size should be a positive integer or zero to disable projections"
            )
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if mode not in CELLS:
            raise ValueError(f"Unrecognized RNN mode: {mode}")
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        output = proj_size or hidden_size
        rows = CELLS[mode].gates * hidden_size
        for suffix, width in self._places():
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (rows, width),
                "weight_hh": (rows, output),
            }
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if proj_size:
                shapes["weight_hr"] = (proj_size, hidden_size)
            for name, shape in shapes.items():
                made = Parameter(empty(*shape, device=device, dtype=dtype))
                setattr(self, f"{name}{suffix}", made)
        self.reset_parameters()

    def _places(self) -> Iterator[tuple[str, int]]:
        """The suffix of the parameters of each layer and direction, and the width of its input."""
        directions = ("", "_reverse") if self.bidirectional else ("",)
        width = self.input_size
        for layer in range(self.num_layers):
            for direction in directions:
                yield f"_l{layer}{direction}", width
            width = (self.proj_size or self.hidden_size) * len(directions)

    def reset_parameters(self) -> None:
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Accepted for PyTorch's sake: parameters lie in memory of their own here."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [
            [p for name, p in self._parameters.items() if p is not None and name.endswith(suffix)
             and name[: -len(suffix)] in _NAMES]
            for suffix, _ in self._places()
        ]  # fmt: skip

    def _weights(self) -> list[Weights]:
        found = []
        for suffix, _ in self._places():
            ih, hh, *rest = (getattr(self, f"{name}{suffix}", None) for name in _NAMES)
            assert ih is not None
            assert hh is not None
            found.append(Weights(ih, hh, *rest))
        return found

    # ------------------------------------------------------------------------------------- checks

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Raises RuntimeError for a wrong rank or width, ValueError for another dtype."""
        weight = self._weights()[0].ih
        if input.dtype != weight.dtype and MODES.autocast is None:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). "
                f"Convert input: input.to({weight.dtype}), or convert model: "
                f"model.to({input.dtype})"
            )
        expected = 3 if batch_sizes is None else 2
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. "
                f"Expected {self.input_size}, got {input.shape[-1]}"
            )

    def _state_sizes(self, batch: int) -> list[tuple[int, int, int]]:
        count = self.num_layers * (2 if self.bidirectional else 1)
        sizes = [(count, batch, self.proj_size or self.hidden_size)]
        if CELLS[self.mode].states == 2:
            sizes.append((count, batch, self.hidden_size))
        return sizes

    def _check_state(self, state: State, batch: int) -> None:
        for i, (found, size) in enumerate(zip(state, self._state_sizes(batch), strict=True)):
            if tuple(found.shape) != size:
                which = f"hidden[{i}]" if len(state) > 1 else "hidden"
                raise RuntimeError(f"Expected {which} size {size}, got {list(found.shape)}")

    def _ranks(self, state: State, batched: bool) -> None:
        """Raises RuntimeError for a state without a batch where the input has one, or with one."""
        rank = 3 if batched else 2
        if all(t.dim() == rank for t in state):
            return
        names = "hx" if len(state) == 1 else "hx and cx"
        found = (
            f"{state[0].dim()}-D tensor"
            if len(state) == 1
            else f"({', '.join(f'{t.dim()}-D' for t in state)}) tensors"
        )
        kind = "batched 3-D" if batched else "unbatched 2-D"
        raise RuntimeError(f"For {kind} input, {names} should also be {rank}-D but got {found}")

    # ------------------------------------------------------------------------------------ forward

    def _given(self, hx: Any) -> State:
        return (hx,)

    def _made(self, state: State) -> Any:
        return state[0]

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        state = None if hx is None else self._given(hx)
        if isinstance(input, PackedSequence):
            return self._packed(input, state)
        if input.dim() not in (2, 3):
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.dim()}D instead"
            )
        batched = input.dim() == 3
        x = input
        if not batched:
            x = x.unsqueeze(1)
        elif self.batch_first:
            x = x.transpose(0, 1)
        if state is not None:
            self._ranks(state, batched)
            if not batched:
                state = tuple(t.unsqueeze(1) for t in state)
        self.check_input(x, None)
        output, last = self._run(x, state, None)
        if not batched:
            return output.squeeze(1), self._made(tuple(t.squeeze(1) for t in last))
        return (output.transpose(0, 1) if self.batch_first else output), self._made(last)

    def _packed(self, input: PackedSequence, state: State | None) -> tuple[PackedSequence, Any]:
        data, batch_sizes, order, back = input
        self.check_input(data, batch_sizes)
        x, lengths = pad_packed_sequence(PackedSequence(data, batch_sizes))
        if state is not None and order is not None:
            state = tuple(index_select(t, 1, order) for t in state)
        inside = None
        if lengths.tolist() != [x.shape[0]] * x.shape[1]:
            inside = (arange(x.shape[0], device=lengths.device)[:, None] < lengths).unsqueeze(-1)
        output, last = self._run(x, state, inside)
        packed = pack_padded_sequence(output, lengths)
        if back is not None:
            last = tuple(index_select(t, 1, back) for t in last)
        return PackedSequence(packed.data, batch_sizes, order, back), self._made(last)

    def _run(self, x: Tensor, state: State | None, inside: Tensor | None) -> tuple[Tensor, State]:
        batch = x.shape[1]
        if state is None:
            state = tuple(
                zeros(*size, dtype=x.dtype, device=x.device) for size in self._state_sizes(batch)
            )
        else:
            self._check_state(state, batch)
        if x.shape[0] == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        return recurrent(
            self.mode,
            x,
            state,
            self._weights(),
            bidirectional=self.bidirectional,
            dropout_p=self.dropout,
            training=self.training,
            inside=inside,
        )

    def extra_repr(self) -> str:
        given = [
            f"{name}={getattr(self, name)}"
            for name, default in _DEFAULTS.items()
            if getattr(self, name) != default
        ]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *given])


_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")


def _check_dropout(dropout: Any, num_layers: Any) -> None:
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an "
            "element being zeroed"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout "
            f"expects num_layers greater than 1, but got dropout={dropout} and "
            f"num_layers={num_layers}",
            UserWarning,
            stacklevel=4,
        )


class RNN(RNNBase):
    """``h = tanh(W_ih x + b_ih + W_hh h + b_hh)`` over a sequence; or with ``relu``.

    See :class:`RNNBase` for the shapes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if len(args) > 3:
            nonlinearity = args[3]
            args = args[:3] + args[4:]
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity


class GRU(RNNBase):
    """Gated recurrent units over a sequence; see :class:`RNNBase` for the shapes.

    ``r, z = sigmoid(W_i x + b_i + W_h h + b_h)``; ``n = tanh(W_in x + b_in + r (W_hn h + b_hn))``;
    the next ``h = (1 - z) n + z h``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class LSTM(RNNBase):
    """Long short-term memory over a sequence; see :class:`RNNBase` for the shapes.

    ``i, f, g, o = W_ih x + b_ih + W_hh h + b_hh``; ``c = sigmoid(f) c + sigmoid(i) tanh(g)``; ``h =
    sigmoid(o) tanh(c)``, multiplied by ``weight_hr`` with a ``proj_size``. The state is ``(h, c)``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def _given(self, hx: Any) -> State:
        return tuple(hx)

    def _made(self, state: State) -> Any:
        return state


class RNNCellBase(Module):
    """What the cells share: ``input`` is ``[batch, input_size]`` or ``[input_size]``."""

    nonlinearity = "tanh"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(empty(rows, hidden_size, device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            made = Parameter(empty(rows, device=device, dtype=dtype)) if bias else None
            self.register_parameter(name, made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if not self.bias:
            text += f", bias={self.bias}"
        if self.nonlinearity != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text

    def _step(self, mode: str, input: Tensor, state: State | None) -> State:
        name = type(self).__name__
        if input.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        states = CELLS[mode].states
        for i, t in enumerate(state or ()):
            if t.dim() not in (1, 2):
                which = "hidden" if states == 1 else f"hx[{i}]"
                raise ValueError(f"{name}: Expected {which} to be 1D or 2D, got {t.dim()}D instead")
        batched = input.dim() == 2
        x = input if batched else input.unsqueeze(0)
        if state is None:
            size = (x.shape[0], self.hidden_size)
            state = (zeros(*size, dtype=x.dtype, device=x.device),) * states
        elif not batched:
            state = tuple(t.unsqueeze(0) for t in state)
        self._check(x, state)
        weights = Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        made = cell_step(mode, x, state, weights)
        return made if batched else tuple(t.squeeze(0) for t in made)

    def _check(self, x: Tensor, state: State) -> None:
        if x.shape[1] != self.input_size:
            raise RuntimeError(
                f"input has inconsistent input_size: got {x.shape[1]} expected {self.input_size}"
            )
        for i, t in enumerate(state):
            if t.shape[0] != x.shape[0]:
                raise RuntimeError(
                    f"Input batch size {x.shape[0]} doesn't match hidden{i} batch size {t.shape[0]}"
                )
            if t.shape[1] != self.hidden_size:
                raise RuntimeError(
                    f"hidden{i} has inconsistent hidden_size: got {t.shape[1]}, "
                    f"expected {self.hidden_size}"
                )


class RNNCell(RNNCellBase):
    """One step of an :class:`RNN`: ``cell(input, hx) -> h``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        mode = f"RNN_{self.nonlinearity.upper()}"
        return self._step(mode, input, None if hx is None else (hx,))[0]


class LSTMCell(RNNCellBase):
    """One step of an :class:`LSTM`: ``cell(input, (h, c)) -> (h, c)``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, ...]:
        return self._step("LSTM", input, None if hx is None else tuple(hx))


class GRUCell(RNNCellBase):
    """One step of a :class:`GRU`: ``cell(input, hx) -> h``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step("GRU", input, None if hx is None else (hx,))[0]
