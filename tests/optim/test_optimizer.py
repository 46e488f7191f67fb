"""Optimizers by hand: first steps worked out on paper, state and groups."""

import copy
import pickle

import numpy as np
import pytest

import graphc
from graphc import nn, optim


def stepped(make: str, gradients: list[float], start: float = 1.0) -> float:
    p = nn.Parameter(graphc.tensor([start]))
    optimizer = eval(f"o.{make}", {"o": optim, "p": p})
    for g in gradients:
        p.grad = graphc.tensor([g])
        optimizer.step()
    return p.item()


BY_HAND = (
    ("SGD([p], lr=0.1)", [2.0], 0.8),
    ("SGD([p], lr=0.1, weight_decay=0.5)", [2.0], 0.75),
    ("SGD([p], lr=0.1, maximize=True)", [2.0], 1.2),
    # buf: 2, then 0.9 * 2 + 1 = 2.8
    ("SGD([p], lr=0.1, momentum=0.9)", [2.0, 1.0], 1 - 0.2 - 0.28),
    # Nesterov: 2 + 0.9 * 2 = 3.8, then 1 + 0.9 * 2.8 = 3.52
    ("SGD([p], lr=0.1, momentum=0.9, nesterov=True)", [2.0, 1.0], 1 - 0.38 - 0.352),
    # dampening: 2, then 0.9 * 2 + 0.5 * 1 = 2.3
    ("SGD([p], lr=0.1, momentum=0.9, dampening=0.5)", [2.0, 1.0], 1 - 0.2 - 0.23),
    # the corrected means of the first step are g and g**2: a step of lr
    ("Adam([p], lr=0.1)", [5.0], 0.9),
    ("Adam([p], lr=0.1)", [-5.0], 1.1),
    ("AdamW([p], lr=0.1, weight_decay=0.5)", [5.0], 0.95 - 0.1),
    ("Adamax([p], lr=0.1)", [5.0], 0.9),
    # mean of squares 0.01 * 16, root 0.4
    ("RMSprop([p], lr=0.1)", [4.0], 1 - 0.1 * 4 / 0.4),
    ("Adagrad([p], lr=0.1)", [4.0], 0.9),
    ("Adagrad([p], lr=0.1, lr_decay=1.0)", [4.0, 4.0], 0.9 - 0.1 / 2 * 4 / 32**0.5),
)


@pytest.mark.parametrize(("make", "gradients", "expected"), BY_HAND)
def test_first_steps_by_hand(make: str, gradients: list[float], expected: float) -> None:
    assert stepped(make, gradients) == pytest.approx(expected, rel=1e-5)


def test_zero_grad_forgets_or_fills() -> None:
    p = nn.Parameter(graphc.ones(2))
    optimizer = optim.SGD([p], 0.1)
    p.grad = graphc.ones(2)
    kept = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is kept
    assert kept.tolist() == [0, 0]
    optimizer.zero_grad()
    assert p.grad is None


def test_the_step_records_nothing_and_the_closure_does() -> None:
    p = nn.Parameter(graphc.ones(2))
    optimizer = optim.Adam([p], 0.1)
    loss = optimizer.step(lambda: (p.sum().backward(), p.sum())[1])
    assert loss.requires_grad
    assert p.is_leaf
    assert all(not v.requires_grad for v in optimizer.state[p].values())


def test_state_dict_is_numbered_and_loads_into_another() -> None:
    p, q = nn.Parameter(graphc.ones(2)), nn.Parameter(graphc.ones(3))
    first = optim.Adam([{"params": [p], "lr": 0.5}, {"params": [q]}])
    p.grad, q.grad = graphc.ones(2), graphc.ones(3)
    first.step()
    saved = first.state_dict()
    assert [g["params"] for g in saved["param_groups"]] == [[0], [1]]
    assert saved["state"][1]["step"].item() == 1
    other = optim.Adam([{"params": [p]}, {"params": [q]}], lr=7.0)
    other.load_state_dict(copy.deepcopy(saved))
    assert [g["lr"] for g in other.param_groups] == [0.5, 0.001]
    assert other.state[q]["exp_avg"].tolist() == first.state[q]["exp_avg"].tolist()
    assert other.state[q]["exp_avg"] is not first.state[q]["exp_avg"]


def test_a_pickled_optimizer_continues() -> None:
    p = nn.Parameter(graphc.ones(2))
    optimizer = optim.SGD([p], 0.1, momentum=0.9)
    p.grad = graphc.ones(2)
    optimizer.step()
    other = pickle.loads(pickle.dumps(optimizer))
    (copied,) = other.param_groups[0]["params"]
    for o, target in ((optimizer, p), (other, copied)):
        target.grad = graphc.ones(2)
        o.step()
    assert copied is not p
    np.testing.assert_array_equal(copied.detach().numpy(), p.detach().numpy())


def test_hooks_of_a_step() -> None:
    p = nn.Parameter(graphc.ones(1))
    optimizer = optim.SGD([p], 0.1)
    seen: list[str] = []
    before = optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    optimizer.step()
    before.remove()
    optimizer.step()
    assert seen == ["before", "after", "after"]


def test_a_required_setting_is_asked_for() -> None:
    class Plain(optim.Optimizer):
        def __init__(self, params: object) -> None:
            super().__init__(params, {"lr": optim.optimizer.required})

    with pytest.raises(ValueError, match="required optimization parameter lr"):
        Plain([graphc.ones(1)])
    with pytest.raises(NotImplementedError):
        Plain([{"params": graphc.ones(1), "lr": 1.0}]).step()
    with pytest.raises(AttributeError, match="did you mean 'SGD'"):
        _ = optim.SDG
