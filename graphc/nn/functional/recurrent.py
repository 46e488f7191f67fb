"""Recurrent layers: cells, and sequences of their steps.

A layer multiplies all steps of its input at once; what is left of a step is a product with the
state and pointwise work. Compiled, the steps are one ``scan``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphc.autocasting import lowered
from graphc.control import Known, repeated
from graphc.functions.joining import cat, stack
from graphc.functions.pointwise import where
from graphc.functions.splitting import chunk
from graphc.modes import MODES
from graphc.nn.functional.linear import linear
from graphc.nn.functional.normalization import dropout
from graphc.tensor import Tensor

State = tuple[Tensor, ...]


class Weights(NamedTuple):
    """The parameters of one layer in one direction; ``hr`` projects the LSTM's output."""

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    hr: Tensor | None = None


@dataclass(frozen=True)
class Cell:
    """One kind of cell. ``step(x, state, weights)`` takes the product of input and weights.

    ``gates`` are the rows of the weights for each feature of the state. ``joined``: the state's
    bias is added to the product of the input, with that of the input, for all steps at once.
    """

    gates: int
    states: int
    step: Callable[[Tensor, State, Weights], State]
    joined: bool = True

    def inputs(self, x: Tensor, weights: Weights) -> Tensor:
        """The part of all steps that does not wait for the state."""
        bias = weights.bias_ih
        if self.joined and bias is not None and weights.bias_hh is not None:
            bias = bias + weights.bias_hh
        return linear(x, weights.ih, bias)


def _plain(activation: str) -> Cell:
    def step(x: Tensor, state: State, weights: Weights) -> State:
        return (getattr(x + linear(state[0], weights.hh), activation)(),)

    return Cell(1, 1, step)


def _lstm(x: Tensor, state: State, weights: Weights) -> State:
    i, f, g, o = chunk(x + linear(state[0], weights.hh), 4, -1)
    c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h if weights.hr is None else linear(h, weights.hr)), c


def _gru(x: Tensor, state: State, weights: Weights) -> State:
    (h,) = state
    reset, update, new = chunk(x, 3, -1)
    reset_h, update_h, new_h = chunk(linear(h, weights.hh, weights.bias_hh), 3, -1)
    z = (update + update_h).sigmoid()
    n = (new + (reset + reset_h).sigmoid() * new_h).tanh()
    return (n + z * (h - n),)


CELLS = {
    "RNN_TANH": _plain("tanh"),
    "RNN_RELU": _plain("relu"),
    "LSTM": Cell(4, 2, _lstm),
    "GRU": Cell(3, 1, _gru, joined=False),
}


def cell_step(mode: str, input: Tensor, state: State, weights: Weights) -> State:
    """One step: ``input`` is ``[batch, features]``, the state ``[batch, hidden]`` tensors."""
    cell = CELLS[mode]
    return cell.step(cell.inputs(input, weights), state, weights)


_STEPS: dict[Any, Any] = {}  # traced steps, for sequences outside of traces


def _direction(
    cell: Cell, x: Tensor, state: State, weights: Weights, inside: Tensor | None, reverse: bool
) -> tuple[Tensor, State]:
    """One layer in one direction over ``x`` ``[steps, batch, features]``."""
    sequences = [cell.inputs(x, weights), *(() if inside is None else (inside,))]

    def run(before: list[Tensor], slices: list[Tensor]) -> tuple[Sequence[Tensor], list[Tensor]]:
        after: Sequence[Tensor] = cell.step(slices[0], tuple(before), weights)
        if inside is not None:  # sequences that are over, or have not begun, keep their state
            after = [where(slices[1], a, b) for a, b in zip(after, before, strict=True)]
        return after, [after[0]]

    about = (cell, inside is None, tuple(w is None for w in weights))
    known = Known(_STEPS, about, [w for w in weights if w is not None])
    last, (output,) = repeated(
        run, state, sequences, x.shape[0], reverse=reverse, name="cell", known=known
    )
    return output, tuple(last)


def _in_region(
    mode: str, x: Tensor, state: State, weights: Sequence[Weights], padded: bool
) -> tuple[Tensor, State, list[Weights]]:
    """The operands under autocast, in precisions that a step does not change.

    Weights are cast once for all steps. An LSTM computes in the low precision throughout, unless
    it is padded or projects its output; of others, the part of the state that is a product.
    """
    low = [Weights._make(w if w is None else lowered(w)[0] for w in each) for each in weights]
    projects = low[0].hr is not None
    if mode == "LSTM" and not padded and not projects:
        return lowered(x)[0], lowered(*state), low
    if mode.startswith("RNN") or projects:
        return x, (*lowered(state[0]), *state[1:]), low
    return x, state, low


def recurrent(
    mode: str,
    input: Tensor,
    state: State,
    weights: Sequence[Weights],
    *,
    bidirectional: bool = False,
    dropout_p: float = 0.0,
    training: bool = False,
    inside: Tensor | None = None,
) -> tuple[Tensor, State]:
    """A stack of recurrent layers of one kind of :data:`CELLS`.

    ``input`` is ``[steps, batch, features]``; ``state`` holds one tensor ``[layers * directions,
    batch, hidden]`` for each state of the cell; ``weights`` one entry for each layer and
    direction. ``inside`` (bool, ``[steps, batch, 1]``) is false where a sequence has no element.
    Gives the output of the last layer, ``[steps, batch, directions * hidden]``, and the states
    after the last step.
    """
    cell = CELLS[mode]
    if MODES.autocast is not None:
        input, state, weights = _in_region(mode, input, state, weights, inside is not None)
    directions = 2 if bidirectional else 1
    layers = len(weights) // directions
    ends: list[State] = []
    x = input
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            number = layer * directions + direction
            start = tuple(s[number] for s in state)
            output, end = _direction(cell, x, start, weights[number], inside, direction == 1)
            outputs.append(output)
            ends.append(end)
        x = outputs[0] if directions == 1 else cat(outputs, -1)
        if dropout_p and layer + 1 < layers:
            x = dropout(x, dropout_p, training)
    return x, tuple(stack(list(each)) for each in zip(*ends, strict=True))


def _named_cell(mode: str, several: bool) -> Callable[..., Any]:
    def function(
        input: Tensor,
        hx: Any,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None = None,
        b_hh: Tensor | None = None,
    ) -> Any:
        state = tuple(hx) if several else (hx,)
        made = cell_step(mode, input, state, Weights(w_ih, w_hh, b_ih, b_hh))
        return made if several else made[0]

    return function


lstm_cell = _named_cell("LSTM", several=True)
gru_cell = _named_cell("GRU", several=False)
rnn_tanh_cell = _named_cell("RNN_TANH", several=False)
rnn_relu_cell = _named_cell("RNN_RELU", several=False)
