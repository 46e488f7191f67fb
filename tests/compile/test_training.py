"""Whole training steps: parameters, gradients, optimizer state and buffers change as in eager."""

from typing import Any

import numpy as np
import pytest

import graphc as torch
from graphc import nn
from tests.compile.comparing import assert_same


def data(n: int, *shape: int) -> Any:
    values = np.random.default_rng(n).standard_normal((n, *shape), np.float32)
    return torch.from_numpy(values)


def labels(n: int, classes: int) -> Any:
    return torch.from_numpy(np.random.default_rng(n).integers(0, classes, n))


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.last(torch.relu(self.norm(self.first(x))))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.last = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.last(torch.tanh(self.first(x)))


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Any) -> Any:
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.fc3(x)


class Trainer:
    """One model with its optimizer, and the step that trains it."""

    def __init__(self, net: type[nn.Module], optimizer: Any, **options: Any) -> None:
        torch.manual_seed(0)
        self.net = net()
        self.optimizer = optimizer(self.net.parameters(), **options)
        self.criterion = nn.CrossEntropyLoss()

    def step(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad()
        loss = self.criterion(self.net(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def state(self) -> Any:
        grads = {name: p.grad for name, p in self.net.named_parameters()}
        states = [dict(self.optimizer.state[p]) for p in self.net.parameters()]
        return dict(self.net.state_dict()), grads, states


def pair(*args: Any, **options: Any) -> tuple[Trainer, Trainer]:
    return Trainer(*args, **options), Trainer(*args, **options)


SGD = torch.optim.SGD


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.1},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    ],
    ids=["plain", "momentum", "nesterov"],
)
def test_whole_step(options: dict[str, Any]) -> None:
    eager, other = pair(Mlp, SGD, **options)
    step = torch.compile(other.step)
    kept = [p._value for p in other.net.parameters()]
    for i in range(6):
        x, y = data(8, 6), labels(8, 3)
        if i >= 3:
            eager.optimizer.param_groups[0]["lr"] = other.optimizer.param_groups[0]["lr"] = 0.05 / i
        assert_same(eager.step(x, y), step(x, y), rtol=1e-4)
        assert_same(eager.state(), other.state(), rtol=1e-3, atol=1e-5)
    assert [p._value is a for p, a in zip(other.net.parameters(), kept, strict=True)] == [True] * 6
    assert len(step.receipts) == 1, [receipt.reason for receipt in step.receipts]


def test_adam() -> None:
    # Without a norm: a bias before it has no gradient but rounding, which Adam would magnify.
    eager, other = pair(Plain, torch.optim.Adam, lr=0.01)
    step = torch.compile(other.step)
    for _ in range(5):
        x, y = data(8, 6), labels(8, 3)
        assert_same(eager.step(x, y), step(x, y), rtol=1e-4)
    assert_same(eager.state(), other.state(), rtol=2e-3, atol=2e-4)
    assert len(step.receipts) == 1, [receipt.reason for receipt in step.receipts]


def test_batches_of_two_sizes() -> None:
    eager, other = pair(Mlp, SGD, lr=0.1, momentum=0.9)
    step = torch.compile(other.step)
    for n in (8, 8, 5, 8, 5):
        assert_same(eager.step(data(n, 6), labels(n, 3)), step(data(n, 6), labels(n, 3)), 1e-4)
    assert_same(eager.state(), other.state(), rtol=1e-3, atol=1e-5)
    assert [receipt.reason for receipt in step.receipts] == [
        "first call",
        "x was f32[8, 6], is f32[5, 6]",
    ]


def test_gradients_accumulate_without_zero_grad() -> None:
    eager, other = pair(Mlp, SGD, lr=0.1)

    def accumulate(self: Trainer, x: Any, y: Any) -> Any:
        loss = self.criterion(self.net(x), y)
        loss.backward()
        return loss.detach()

    step = torch.compile(accumulate)
    for _ in range(4):
        x, y = data(8, 6), labels(8, 3)
        assert_same(accumulate(eager, x, y), step(other, x, y), rtol=1e-4)
        assert_same(eager.state(), other.state(), rtol=1e-3, atol=1e-5)
    assert len(step.receipts) == 2
    assert "grad was None, is a tensor" in step.receipts[1].reason


def test_zero_grad_in_place() -> None:
    eager, other = pair(Mlp, SGD, lr=0.1)

    def train(self: Trainer, x: Any, y: Any) -> None:
        self.optimizer.zero_grad(set_to_none=False)
        self.criterion(self.net(x), y).backward()
        self.optimizer.step()

    step = torch.compile(train)
    for _ in range(3):
        train(eager, data(8, 6), labels(8, 3))
        step(other, data(8, 6), labels(8, 3))
        assert_same(eager.state(), other.state(), rtol=1e-3, atol=1e-5)


def test_compiled_forward_with_eager_optimizer() -> None:
    eager, other = pair(Mlp, SGD, lr=0.1, momentum=0.9)
    other.net = torch.compile(other.net)
    for _ in range(4):
        x, y = data(8, 6), labels(8, 3)
        assert_same(eager.step(x, y), other.step(x, y), rtol=1e-4)
    other.net = other.net._orig_mod
    assert_same(eager.state(), other.state(), rtol=1e-3, atol=1e-5)


def test_state_dict_of_a_running_step() -> None:
    """Loading state replaces the optimizer's groups and tensors: nothing stale is used."""
    eager, other = pair(Mlp, SGD, lr=0.1, momentum=0.9)
    step = torch.compile(other.step)
    x, y = data(8, 6), labels(8, 3)
    for trainer, run in ((eager, eager.step), (other, step)):
        run(x, y)
        saved = trainer.optimizer.state_dict()
        weights = {k: v.clone() for k, v in trainer.net.state_dict().items()}
        run(x, y)
        trainer.optimizer.load_state_dict(saved)
        trainer.net.load_state_dict(weights)
        trainer.optimizer.param_groups[0]["lr"] = 0.01
        run(x, y)
    assert_same(eager.state(), other.state(), rtol=1e-3, atol=1e-5)


def test_frozen_parameters() -> None:
    eager, other = pair(Mlp, SGD, lr=0.1)
    step = torch.compile(other.step)
    for frozen in (False, True, False):
        for trainer in (eager, other):
            trainer.net.first.requires_grad_(not frozen)
        x, y = data(8, 6), labels(8, 3)
        assert_same(eager.step(x, y), step(x, y), rtol=1e-4)
        assert_same(eager.state(), other.state(), rtol=1e-3, atol=1e-5)
    assert len(step.receipts) == 2


def test_lenet_step_and_its_arena() -> None:
    eager, other = pair(LeNet, SGD, lr=0.01, momentum=0.9)
    step = torch.compile(other.step)
    x, y = data(16, 1, 32, 32), labels(16, 10)
    for _ in range(3):
        assert_same(eager.step(x, y), step(x, y), rtol=1e-4)
    assert_same(eager.state(), other.state(), rtol=1e-2, atol=1e-4)
    receipt = step.receipts[0]
    assert len(step.receipts) == 1
    assert 0 < receipt.live_bytes <= receipt.arena_bytes <= 1.3 * receipt.live_bytes
    # One kernel updates all parameters.
    assert sum("update" in kernel for kernel in receipt.kernels) == 1, receipt.kernels


def test_labels_out_of_range() -> None:
    eager, other = pair(Mlp, SGD, lr=0.1)
    step = torch.compile(other.step)
    x = data(4, 6)
    step(x, labels(4, 3))
    eager.step(x, labels(4, 3))
    before = {k: v.clone() for k, v in other.net.state_dict().items()}
    for run in (eager.step, step):
        with pytest.raises(IndexError, match="3 is out of bounds"):
            run(x, torch.tensor([0, 1, 3, 2]))
    weights = [k for k in before if k.endswith(("weight", "bias"))]
    after = other.net.state_dict()
    assert_same([before[k] for k in weights], [after[k] for k in weights])
    assert_same(eager.step(x, labels(4, 3)), step(x, labels(4, 3)), rtol=1e-4)
