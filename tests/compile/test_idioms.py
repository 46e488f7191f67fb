"""Idioms of everyday training code, each whole step compiled against eager."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as torch
import graphc.nn.functional as F
from graphc import nn
from tests.compile.comparing import assert_same

SGD = torch.optim.SGD


def data(n: int, *shape: int) -> Any:
    return torch.from_numpy(np.random.default_rng(n).standard_normal((n, *shape), np.float32))


def labels(n: int, classes: int) -> Any:
    return torch.from_numpy(np.random.default_rng(n).integers(0, classes, n))


def mlp(*extra: nn.Module) -> Any:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), *extra, nn.Linear(8, 3))


def run(
    make: Callable[[], tuple[Any, Callable[..., Any]]], compiles: int = 1, steps: int = 4
) -> None:
    """``make`` gives modules and a step; both lives take the same steps to the same weights."""
    outcomes = []
    for compiled in (False, True):
        torch.manual_seed(0)
        modules, step = make()
        life = torch.compile(step) if compiled else step
        torch.manual_seed(1)
        results = [life(data(8, 6), labels(8, 3)) for _ in range(steps)]
        outcomes.append((results, [dict(m.state_dict()) for m in modules]))
        if compiled:
            assert len(life.receipts) == compiles, [r.reason for r in life.receipts]
    assert_same(*outcomes, rtol=1e-3, atol=1e-5)


def test_gradient_clipping() -> None:
    def make() -> Any:
        net = mlp()
        optimizer = SGD(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(net.parameters(), 0.1)
            optimizer.step()
            return {"loss": loss.detach(), "norm": norm}

        return [net], step

    run(make)


def test_dropout_and_its_random_state() -> None:
    def make() -> Any:
        net = mlp(nn.Dropout(0.3))
        optimizer = SGD(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return [net], step

    run(make)


def test_moving_average_of_weights() -> None:
    def make() -> Any:
        net, average = mlp(), mlp()
        average.load_state_dict(net.state_dict())
        optimizer = SGD(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for mine, theirs in zip(average.parameters(), net.parameters(), strict=True):
                    mine.mul_(0.9).add_(theirs, alpha=0.1)
            return loss.detach(), average(x).argmax(1)

        return [net, average], step

    run(make)


def test_two_networks_two_optimizers() -> None:
    def make() -> Any:
        maker, critic = nn.Linear(6, 6), nn.Linear(6, 1)
        first, second = SGD(maker.parameters(), lr=0.1), SGD(critic.parameters(), lr=0.2)

        def step(x: Any, _y: Any) -> Any:
            second.zero_grad()
            made = maker(torch.randn(8, 6))
            gap = critic(made.detach()).mean() - critic(x).mean()
            gap.backward()
            second.step()
            first.zero_grad()
            loss = -critic(made).mean()
            loss.backward()
            first.step()
            return gap.detach(), loss.detach()

        return [maker, critic], step

    run(make)


def test_gradient_penalty() -> None:
    def make() -> Any:
        net = mlp()
        optimizer = SGD(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            x = x.clone().requires_grad_()
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            (g,) = torch.autograd.grad(loss, x, create_graph=True)
            (loss + (g**2).sum()).backward()
            optimizer.step()
            return loss.detach(), g.detach()

        return [net], step

    run(make)


def test_accumulation_over_micro_batches() -> None:
    def make() -> Any:
        net = mlp()
        optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            total = 0.0
            for part, target in zip(x.chunk(2), y.chunk(2), strict=True):
                loss = F.cross_entropy(net(part), target) / 2
                loss.backward()
                total = total + loss.detach()
            optimizer.step()
            return total

        return [net], step

    run(make)


def test_shared_weights() -> None:
    def make() -> Any:
        net = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Linear(6, 3))
        net[2].weight = net[0].weight
        optimizer = SGD(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return [net], step

    run(make)


def test_weights_by_hand() -> None:
    def make() -> Any:
        net = mlp()

        def step(x: Any, y: Any) -> Any:
            net.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            with torch.no_grad():
                for p in net.parameters():
                    p -= 0.1 * p.grad
            return loss.detach()

        return [net], step

    run(make)


def test_data_of_parameters() -> None:
    def make() -> Any:
        net = mlp()

        def step(x: Any, y: Any) -> Any:
            loss = F.cross_entropy(net(x), y)
            grads = torch.autograd.grad(loss, list(net.parameters()))
            for p, g in zip(net.parameters(), grads, strict=True):
                p.data.add_(g, alpha=-0.1)
            return loss.detach()

        return [net], step

    run(make)


def test_learning_rate_in_a_schedule() -> None:
    def make(compiled: bool) -> Any:
        net = mlp()
        optimizer = SGD(net.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)

        @torch.compile
        def train(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        def step(x: Any, y: Any) -> Any:
            loss = (train if compiled else train._function)(x, y)
            scheduler.step()
            return loss

        return net, train, step

    outcomes = []
    for compiled in (False, True):
        torch.manual_seed(0)
        net, train, step = make(compiled)
        results = [step(data(8, 6), labels(8, 3)) for _ in range(6)]
        outcomes.append((results, dict(net.state_dict())))
    assert len(train.receipts) == 1, [r.reason for r in train.receipts]
    assert_same(*outcomes, rtol=1e-3, atol=1e-5)


def test_metrics_kept_in_tensors() -> None:
    def make() -> Any:
        net = mlp()
        right = torch.zeros((), dtype=torch.int64)

        class Metric(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("count", torch.zeros(()))

        metric = Metric()

        def step(x: Any, y: Any) -> Any:
            with torch.no_grad():
                right.add_((net(x).argmax(1) == y).sum())
                metric.count += len(y)
            return right + 0

        return [net, metric], step

    run(make)


def test_weighted_masked_loss() -> None:
    def make() -> Any:
        net = mlp()
        weight = torch.tensor([0.2, 1.0, 3.0])
        optimizer = SGD(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            mask = x[:, 0] > 0
            each = F.cross_entropy(net(x), y, weight=weight, reduction="none")
            loss = torch.where(mask, each, torch.zeros_like(each)).sum() / mask.sum()
            loss.backward()
            optimizer.step()
            return loss.detach(), mask

        return [net], step

    run(make)


def test_embedding_by_index() -> None:
    def make() -> Any:
        table = nn.Embedding(10, 4)
        head = nn.Linear(4, 3)
        optimizer = SGD([*table.parameters(), *head.parameters()], lr=0.5)

        def step(_x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(head(table(y * 3 + 1).tanh()), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return [table, head], step

    run(make)


def test_evaluation_between_steps() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    optimizer = SGD(net.parameters(), lr=0.1)

    @torch.compile
    def train(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    @torch.compile
    def evaluate(x: Any) -> Any:
        return net(x).softmax(-1)

    for _ in range(3):
        net.train()
        train(data(8, 6), labels(8, 3))
        net.eval()
        with torch.no_grad():
            assert_same(evaluate(data(5, 6)), net(data(5, 6)).softmax(-1))
    assert len(train.receipts) == len(evaluate.receipts) == 1


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_other_precisions(dtype: str) -> None:
    kind = getattr(torch, dtype)

    def losses(compiled: bool) -> list[Any]:
        torch.manual_seed(0)
        net = mlp().to(kind)
        optimizer = SGD(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        life = torch.compile(step) if compiled else step
        return [life(data(8, 6).to(kind), labels(8, 3)) for _ in range(4)]

    rtol = 2e-2 if dtype == "bfloat16" else 1e-9
    assert_same(losses(False), losses(True), rtol=rtol)
