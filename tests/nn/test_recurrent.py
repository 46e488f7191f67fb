"""Recurrent layers and cells compared with PyTorch, eager and compiled, with the same weights."""

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.ops.loops import SCAN

torch = pytest.importorskip("torch")

from tests.nn.same_program import assert_same, same_error, values  # noqa: E402

pytestmark = pytest.mark.differential

LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "rnn": ("RNN", {}),
    "rnn relu, two layers": ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    "rnn both directions": ("RNN", {"bidirectional": True, "num_layers": 2}),
    "lstm": ("LSTM", {}),
    "lstm both directions": ("LSTM", {"bidirectional": True, "num_layers": 2}),
    "lstm without bias, batch first": ("LSTM", {"bias": False, "batch_first": True}),
    "lstm with projection": ("LSTM", {"proj_size": 3, "num_layers": 2, "bidirectional": True}),
    "lstm float64": ("LSTM", {"dtype": "float64"}),
    "gru": ("GRU", {}),
    "gru both directions": ("GRU", {"bidirectional": True, "num_layers": 2}),
    "gru without bias, batch first": ("GRU", {"bias": False, "batch_first": True}),
}
STEPS, BATCH, WIDTH, HIDDEN = 6, 4, 5, 7


def pair(name: str, *args: Any, **options: Any) -> tuple[Any, Any]:
    """The module of graphc and that of PyTorch with the same weights."""
    made = []
    for t in (graphc, torch):
        given = dict(options)
        if "dtype" in given:
            given["dtype"] = getattr(t, given["dtype"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.append(getattr(t.nn, name)(*args, **given))
    mine, theirs = made
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert repr(mine) == repr(theirs)
    state = {k: graphc.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()}
    mine.load_state_dict(state)
    return mine, theirs


def inputs(t: Any, name: str, options: dict[str, Any], state: bool) -> list[Any]:
    dtype = options.get("dtype", "float32")
    first, second = (BATCH, STEPS) if options.get("batch_first") else (STEPS, BATCH)
    given = [values(t, first, second, WIDTH, dtype=dtype)]
    if state:
        count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
        sizes = [options.get("proj_size", HIDDEN), HIDDEN] if name == "LSTM" else [HIDDEN]
        given += [
            values(t, count, BATCH, n, dtype=dtype, salt=i) / 3 for i, n in enumerate(sizes, 1)
        ]
    return [x.requires_grad_() for x in given]


def flat(output: Any, last: Any) -> list[Any]:
    return [output, *(last if isinstance(last, tuple) else (last,))]


def run(t: Any, module: Any, call: Any, given: list[Any]) -> list[Any]:
    """The results, and the gradients of inputs and parameters."""
    state = given[1] if len(given) == 2 else tuple(given[1:]) or None
    results = flat(*call(given[0], state))
    loss = sum((y * values(t, *y.shape, dtype=str(y.dtype).split(".")[1])).sum() for y in results)
    return [*results, *t.autograd.grad(loss, [*given, *module.parameters()])]


@pytest.mark.parametrize("state", [False, True], ids=["from zeros", "from a state"])
@pytest.mark.parametrize("case", LAYERS)
def test_values_and_gradients(case: str, state: bool, full: bool) -> None:
    name, options = LAYERS[case]
    mine, theirs = pair(name, WIDTH, HIDDEN, **options)
    expected = run(torch, theirs, theirs, inputs(torch, name, options, state))
    assert_same(run(graphc, mine, mine, inputs(graphc, name, options, state)), expected)
    if state or not options or full:  # options mean the same from zeros
        compiled = graphc.compile(mine)
        assert_same(run(graphc, mine, compiled, inputs(graphc, name, options, state)), expected)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_without_a_batch(name: str) -> None:
    mine, theirs = pair(name, WIDTH, HIDDEN, bidirectional=True)
    x = [values(t, STEPS, WIDTH) for t in (graphc, torch)]
    assert_same(flat(*mine(x[0])), flat(*theirs(x[1])))
    state = [[values(t, 2, HIDDEN)] * (2 if name == "LSTM" else 1) for t in (graphc, torch)]
    h = [tuple(s) if name == "LSTM" else s[0] for s in state]
    assert_same(flat(*mine(x[0], h[0])), flat(*theirs(x[1], h[1])))


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_packed_sequences(name: str, compiled: bool) -> None:
    mine, theirs = pair(name, WIDTH, HIDDEN, bidirectional=True, num_layers=2)
    found = []
    for t, module in ((graphc, mine), (torch, theirs)):
        x = values(t, STEPS, BATCH, WIDTH).requires_grad_()

        def program(x: Any, t: Any = t, module: Any = module) -> Any:
            packed = t.nn.utils.rnn.pack_padded_sequence(x, [3, 6, 1, 4], enforce_sorted=False)
            output, last = module(packed)
            padded, lengths = t.nn.utils.rnn.pad_packed_sequence(output)
            return [padded, lengths, *flat(output.data, last)]

        call = graphc.compile(program) if compiled and t is graphc else program
        results = call(x)
        loss = sum((y * values(t, *y.shape)).sum() for y in results if y.is_floating_point())
        found.append([*results, *t.autograd.grad(loss, [x, *module.parameters()])])
    assert_same(*found)


@pytest.mark.parametrize("mode", ["eager", "model", "step"])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_twenty_steps_of_training(name: str, mode: str) -> None:
    mine, theirs = pair(name, WIDTH, HIDDEN, num_layers=2)
    losses = []
    for t, module in ((graphc, mine), (torch, theirs)):
        x, y = values(t, STEPS, BATCH, WIDTH), values(t, STEPS, BATCH, HIDDEN, salt=3) / 4
        optimizer = t.optim.Adam(module.parameters(), lr=0.02)
        here = t is graphc
        call = graphc.compile(module) if here and mode == "model" else module

        def step(x: Any, y: Any, t: Any = t, call: Any = call, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = t.nn.functional.mse_loss(call(x)[0], y)
            loss.backward()
            optimizer.step()
            return loss

        train = graphc.compile(step) if here and mode == "step" else step
        losses.append([train(x, y).item() for _ in range(20)])
        if here and mode == "step":
            assert len(train.receipts) <= 2  # Adam makes its state at the first step
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_dropout_between_layers() -> None:
    mine = graphc.nn.GRU(WIDTH, HIDDEN, num_layers=2, dropout=0.5)
    x = values(graphc, STEPS, BATCH, WIDTH)
    compiled = graphc.compile(mine)
    draws = []
    for call in (mine, compiled, compiled):
        graphc.manual_seed(3)
        draws.append(call(x)[0])
    assert_same(draws[1], draws[0])
    assert_same(draws[2], draws[0])
    assert not np.allclose(mine(x)[0].detach().numpy(), draws[0].detach().numpy())
    mine.eval()
    np.testing.assert_array_equal(mine(x)[0].detach().numpy(), mine(x)[0].detach().numpy())


def test_a_layer_is_one_loop_of_any_length() -> None:
    """Compile time and code do not grow; the input is multiplied once for all steps."""
    lines = []
    for steps in (8, 300):
        module = graphc.nn.LSTM(WIDTH, HIDDEN)
        compiled = graphc.compile(module)
        output, _ = compiled(values(graphc, steps, BATCH, WIDTH))
        output.sum().backward()
        graphs = compiled.stages[0].graphs
        graph = graphs["loops"]
        assert sum(n.op is SCAN for n in graph.nodes) == 1
        products = [n for n in graph.nodes if n.op.name == "contract"]
        assert [n.shape for n in products] == [(steps, BATCH, 4 * HIDDEN)]
        lines.append(str(compiled.source).count("\n"))
    assert lines[1] < 1.5 * lines[0]


CELLS = {"RNNCell": 1, "LSTMCell": 2, "GRUCell": 1}


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_cells(name: str, bias: bool, batched: bool) -> None:
    mine, theirs = pair(name, WIDTH, HIDDEN, bias=bias)
    shape = (BATCH,) if batched else ()
    found = []
    for t, call, module in (
        (torch, theirs, theirs),
        (graphc, mine, mine),
        (graphc, graphc.compile(mine), mine),
    ):
        x = values(t, *shape, WIDTH).requires_grad_()
        state = [values(t, *shape, HIDDEN, salt=i).requires_grad_() for i in range(CELLS[name])]
        results: list[Any] = []
        for given in (None, tuple(state) if len(state) > 1 else state[0]):
            made = call(x, given)
            results += made if isinstance(made, tuple) else [made]
        loss = sum((y * y).sum() for y in results)
        found.append([*results, *t.autograd.grad(loss, [x, *state, *module.parameters()])])
    assert_same(found[1], found[0])
    assert_same(found[2], found[0])


def test_relu_cells_and_functions() -> None:
    mine, theirs = pair("RNNCell", WIDTH, HIDDEN, nonlinearity="relu")
    assert_same(mine(values(graphc, 2, WIDTH)), theirs(values(torch, 2, WIDTH)))
    for name, states in (("lstm", 2), ("gru", 1), ("rnn_tanh", 1), ("rnn_relu", 1)):
        kind = {"lstm": "LSTMCell", "gru": "GRUCell"}.get(name, "RNNCell")
        mine, theirs = pair(kind, WIDTH, HIDDEN)
        results = []
        for t, module in ((graphc, mine), (torch, theirs)):
            x, h = values(t, BATCH, WIDTH), values(t, BATCH, HIDDEN)
            hx = (h, h) if states == 2 else h
            weights = (module.weight_ih, module.weight_hh, module.bias_ih, module.bias_hh)
            results.append(getattr(t, f"{name}_cell")(x, hx, *weights))
        assert_same(*results)


WRONG = {
    "rank": lambda t: t.nn.LSTM(5, 7)(t.zeros(5)),
    "width": lambda t: t.nn.GRU(5, 7)(t.zeros(3, 2, 4)),
    "state rank": lambda t: t.nn.RNN(5, 7)(t.zeros(3, 2, 5), t.zeros(1, 7)),
    "unbatched state": lambda t: t.nn.RNN(5, 7)(t.zeros(3, 5), t.zeros(1, 1, 7)),
    "lstm state rank": lambda t: t.nn.LSTM(5, 7)(t.zeros(3, 2, 5), (t.zeros(1, 7), t.zeros(1, 7))),
    "state size": lambda t: t.nn.RNN(5, 7)(t.zeros(3, 2, 5), t.zeros(1, 3, 7)),
    "lstm state size": lambda t: t.nn.LSTM(5, 7)(
        t.zeros(3, 2, 5), (t.zeros(1, 2, 7), t.zeros(1, 2, 8))
    ),
    "input size": lambda t: t.nn.LSTM(0, 7),
    "input type": lambda t: t.nn.LSTM(2.0, 7),
    "hidden size": lambda t: t.nn.GRU(5, -1),
    "layers": lambda t: t.nn.GRU(5, 7, num_layers=0),
    "projection": lambda t: t.nn.LSTM(5, 7, proj_size=7),
    "projected gru": lambda t: t.nn.GRU(5, 7, proj_size=2),
    "dropout": lambda t: t.nn.GRU(5, 7, dropout=1.5),
    "bias": lambda t: t.nn.GRU(5, 7, 1, 3),
    "nonlinearity": lambda t: t.nn.RNN(5, 7, nonlinearity="sigmoid"),
    "cell rank": lambda t: t.nn.GRUCell(5, 7)(t.zeros(1, 2, 5)),
    "cell state rank": lambda t: t.nn.LSTMCell(5, 7)(
        t.zeros(2, 5), (t.zeros(1, 2, 7), t.zeros(2, 7))
    ),
    "cell width": lambda t: t.nn.GRUCell(5, 7)(t.zeros(2, 4)),
    "cell batch": lambda t: t.nn.GRUCell(5, 7)(t.zeros(2, 5), t.zeros(3, 7)),
    "cell hidden": lambda t: t.nn.GRUCell(5, 7)(t.zeros(2, 5), t.zeros(2, 6)),
    "cell nonlinearity": lambda t: t.nn.RNNCell(5, 7, nonlinearity="elu")(t.zeros(2, 5)),
    "dtype": lambda t: t.nn.LSTM(5, 7)(t.zeros(3, 2, 5, dtype=t.float64)),
    "no steps": lambda t: t.nn.LSTM(5, 7)(t.zeros(0, 2, 5)),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_those_of_pytorch(case: str) -> None:
    same_error(WRONG[case])


def test_a_warning_where_dropout_does_nothing() -> None:
    with pytest.warns(UserWarning, match="adds dropout after all but last"):
        graphc.nn.LSTM(5, 7, dropout=0.5)


def test_initialisation_and_copies() -> None:
    graphc.manual_seed(0)
    module = graphc.nn.LSTM(30, 64, num_layers=2)
    for p in module.parameters():
        bound = 1 / 8
        assert float(p.abs().max()) <= bound
        assert float(p.std()) == pytest.approx(bound / 3**0.5, rel=0.1)
    assert [len(each) for each in module.all_weights] == [4, 4]
    module.flatten_parameters()
    x = values(graphc, 3, 2, 30)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert_same(other(x)[0], module(x)[0])
