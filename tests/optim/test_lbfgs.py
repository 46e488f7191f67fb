"""L-BFGS against PyTorch, its state, compiled closures, and steps inside compiled functions."""

import warnings

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.differential

SETTINGS = (
    {},
    {"lr": 0.1, "max_iter": 4},
    {"max_iter": 6, "history_size": 3},
    {"max_iter": 30, "max_eval": 9},
    {"tolerance_grad": 1e-2},
    {"tolerance_change": 1e-3},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "lr": 2.0, "max_iter": 5},
    {"line_search_fn": "strong_wolfe", "max_eval": 4},
    {"line_search_fn": "strong_wolfe", "lr": 1e-3, "history_size": 2},
)


def problem(t):
    """Rosenbrock's valley in four dimensions and a bowl: hard enough to bend the path."""
    x = t.nn.Parameter(t.tensor([-1.2, 1.0, 0.7, -0.4], dtype=t.float64))
    y = t.nn.Parameter(t.tensor([[2.0, -1.0]], dtype=t.float64))
    idle = t.nn.Parameter(t.ones(2, dtype=t.float64))

    def loss():
        valley = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        return valley / 10 + (y * y * t.tensor([1.0, 30.0], dtype=t.float64)).sum().cosh().log()

    return [x, y, idle], loss


def minimised(t, settings, steps, compile=lambda f: f):
    params, loss = problem(t)
    optimizer = t.optim.LBFGS(params, **settings)

    def backward():
        value = loss()
        value.backward()
        return value

    run = compile(backward)

    def closure():
        optimizer.zero_grad()
        return run()

    found = []
    for _ in range(steps):
        value = optimizer.step(closure)
        found.append([value.item(), *(p.detach().numpy().copy() for p in params)])
    return found, optimizer


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_path(settings):
    mine, own = minimised(graphc, settings, 3)
    theirs, other = minimised(torch, settings, 3)
    for a, b in zip(mine, theirs, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, 1e-5, 1e-7)
    entries = [o.state_dict()["state"][0] for o in (own, other)]
    for name in ("func_evals", "n_iter"):
        assert entries[0][name] == entries[1][name]
    assert entries[0].keys() == entries[1].keys()
    assert len(entries[0]["old_dirs"]) == len(entries[1]["old_dirs"])


def test_state_comes_from_pytorch_and_goes_there():
    settings = {"max_iter": 3, "line_search_fn": "strong_wolfe"}

    def carried(t, value):
        if isinstance(value, (torch.Tensor, graphc.Tensor)):
            return t.tensor(value.detach().numpy().tolist(), dtype=t.float64)
        if isinstance(value, dict):
            return {k: carried(t, v) for k, v in value.items()}
        return [carried(t, v) for v in value] if isinstance(value, list) else value

    ends = []
    for first, second in ((torch, torch), (torch, graphc), (graphc, torch)):
        _, optimizer = minimised(first, settings, 3)
        params, loss = problem(second)
        with second.no_grad():
            for p, before in zip(params, optimizer.param_groups[0]["params"], strict=True):
                p.copy_(carried(second, before))
        other = second.optim.LBFGS(params, **settings)
        other.load_state_dict(carried(second, optimizer.state_dict()))

        def closure(other=other, loss=loss):
            other.zero_grad()
            value = loss()
            value.backward()
            return value

        for _ in range(2):
            other.step(closure)
        ends.append([p.detach().numpy() for p in params])
    for end in ends[1:]:
        for a, b in zip(end, ends[0], strict=True):
            np.testing.assert_allclose(a, b, 1e-5, 1e-8)


def test_a_compiled_closure():
    eager, _ = minimised(graphc, {"line_search_fn": "strong_wolfe"}, 2)
    made = []

    def compile(function):
        made.append(graphc.compile(function))
        return made[0]

    compiled, _ = minimised(graphc, {"line_search_fn": "strong_wolfe"}, 2, compile)
    for a, b in zip(compiled, eager, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, 1e-6, 1e-9)
    assert [r.reason for r in made[0].receipts] == ["first call"]


def test_a_step_in_a_compiled_function_runs_eagerly_and_says_so():
    params, loss = problem(graphc)
    optimizer = graphc.optim.LBFGS(params, max_iter=5)

    def step():
        def closure():
            optimizer.zero_grad()
            value = loss()
            value.backward()
            return value

        return optimizer.step(closure)

    run = graphc.compile(step)
    with pytest.warns(UserWarning, match="LBFGS.step calls its closure .* runs eagerly"):
        losses = [run().item()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses += [run().item() for _ in range(2)]
    expected = [found[0] for found in minimised(torch, {"max_iter": 5}, 3)[0]]
    np.testing.assert_allclose(losses, expected, 1e-6)
    with pytest.raises(RuntimeError, match="LBFGS"):
        graphc.compile(step, fullgraph=True)()


def test_an_unknown_line_search():
    for t in (graphc, torch):
        with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
            minimised(t, {"line_search_fn": "armijo"}, 1)
