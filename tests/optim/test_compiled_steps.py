"""Whole training steps compiled: trajectories as in eager, and no compilation but the first."""

import copy
import warnings
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import nn, optim
from graphc.nn import functional as F

OPTIMIZERS = (
    "SGD(p, lr=0.1)",
    "SGD(p, 0.1, momentum=0.9, weight_decay=0.05, nesterov=True)",
    "SGD(p, 0.1, momentum=0.8, dampening=0.3)",
    "Adam(p, 0.05, amsgrad=True)",
    "AdamW(p, 0.05)",
    "RMSprop(p, 0.02, 0.9, centered=True, momentum=0.5)",
    "Adagrad(p, 0.1, 0.05, 0.1, 0.3)",
    "Adadelta(p, 0.5)",
    "Adamax(p)",
    "NAdam(p, 0.05, weight_decay=0.1, decoupled_weight_decay=True)",
    "RAdam(p, 0.05, (0.9, 0.8))",
    "ASGD(p, 0.05, t0=2)",
    "Rprop(p, 0.02)",
    "Adafactor(p, 0.05)",
)


def values(*shape: int, salt: int = 0) -> graphc.Tensor:
    count = int(np.prod(shape))
    numbers = [((i + 1 + salt * 31) * 7919 % 1009) / 168 - 3 for i in range(count)]
    return graphc.tensor(numbers).reshape(shape)


def network() -> nn.Module:
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    with graphc.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(values(*p.shape, salt=i) / 4)
    return net


def make(text: str, net: nn.Module) -> optim.Optimizer:
    return eval(f"o.{text}", {"o": optim, "p": net.parameters()})


def train(text: str, compiled: bool) -> tuple[list[Any], Any]:
    net = network()
    optimizer = make(text, net)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.8)

    def step(x: graphc.Tensor, y: graphc.Tensor) -> graphc.Tensor:
        optimizer.zero_grad()
        loss = F.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = graphc.compile(step) if compiled else step
    losses = []
    for i in range(5):
        losses.append(run(values(3, 4, salt=i), values(3, 2, salt=i + 50)).item())
        if i >= 2:  # before, the rate stays, so that a rate frozen in the program shows
            schedule.step()
    state = [v.numpy() for s in optimizer.state_dict()["state"].values() for v in s.values()]
    return [np.array(losses), *(p.detach().numpy() for p in net.parameters()), *state], run


@pytest.mark.parametrize("text", OPTIMIZERS)
def test_trajectory(text: str) -> None:
    eager, _ = train(text, False)
    compiled, run = train(text, True)
    assert [r.reason for r in run.receipts] == ["first call"]
    assert len(eager) == len(compiled)
    for a, b in zip(compiled, eager, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_a_compiled_run_continues_an_eager_one_and_the_other_way_round() -> None:
    ends = []
    for kinds in ((False,) * 6, (True, False, False, True, True, False)):
        net = network()
        optimizer = make("SGD(p, 0.1, momentum=0.8, dampening=0.3)", net)

        def step(x: graphc.Tensor, net: Any = net, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()

        compiled = graphc.compile(step)
        for i, kind in enumerate(kinds):
            (compiled if kind else step)(values(3, 4, salt=i))
        ends.append([p.detach().numpy() for p in net.parameters()])
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_a_changed_constant_compiles_again() -> None:
    net = network()
    optimizer = make("SGD(p, 0.1, momentum=0.9)", net)

    @graphc.compile
    def step(x: graphc.Tensor) -> None:
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()

    step(values(3, 4))
    optimizer.param_groups[0]["momentum"] = 0.5
    before = net[0].bias.detach().clone()
    buffer = optimizer.state[net[0].bias]["momentum_buffer"].clone()
    step(values(3, 4))
    now = optimizer.state[net[0].bias]["momentum_buffer"]
    np.testing.assert_allclose((now - buffer * 0.5).numpy(), net[0].bias.grad.numpy(), atol=1e-6)
    np.testing.assert_allclose((before - net[0].bias).detach().numpy(), (now * 0.1).numpy(), 1e-4)
    assert len(step.receipts) == 2
    assert "momentum" in step.receipts[1].reason


def test_gradients_clipped_in_the_compiled_step() -> None:
    norms, ends = [], []
    for compiled in (False, True):
        net = network()
        optimizer = make("SGD(p, 0.1)", net)

        def step(x: graphc.Tensor, net: Any = net, optimizer: Any = optimizer) -> graphc.Tensor:
            optimizer.zero_grad()
            net(x).square().sum().backward()
            norm = nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            optimizer.step()
            return norm

        run = graphc.compile(step) if compiled else step
        norms.append([run(values(3, 4, salt=i)).item() for i in range(3)])
        ends.append([p.detach().numpy() for p in net.parameters()])
    np.testing.assert_allclose(norms[1], norms[0], rtol=1e-5)
    assert norms[0][0] > 0.5
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


# Optimizer -> at most so many kernels for the update of 20 parameters: one for the parameters, one
# for what is computed before them or after (counts of steps, their norms).
KERNELS = {
    "SGD(p, 0.1)": 1,
    "SGD(p, 0.1, momentum=0.9, weight_decay=0.1, nesterov=True)": 1,
    "SGD(p, 0.1, momentum=0.9, dampening=0.1)": 2,
    "Adam(p, amsgrad=True)": 2,
    "AdamW(p)": 2,
    "NAdam(p)": 2,
    "RAdam(p)": 2,
    "Adamax(p)": 2,
    "RMSprop(p, centered=True, momentum=0.9)": 2,
    "Adagrad(p, lr_decay=0.1)": 2,
    "Adadelta(p)": 2,
    "ASGD(p)": 2,
    "Rprop(p)": 2,
    "Adafactor(p)": 5,
}


@pytest.mark.parametrize("text", KERNELS)
def test_a_handful_of_kernels_updates_twenty_parameters(text: str) -> None:
    layers: list[nn.Module] = [nn.Linear(3 + i, 4 + i) for i in range(10)]
    net = nn.Sequential(*layers)
    optimizer = make(text, net)
    for i, p in enumerate(net.parameters()):
        p.grad = values(*p.shape, salt=i)

    @graphc.compile
    def step() -> None:
        optimizer.step()

    step()
    for rate in (0.5, 0.25):  # by hand, and then through a schedule
        optimizer.param_groups[0]["lr"] = rate
        step()
    schedule = optim.lr_scheduler.StepLR(optimizer, 1)
    step()
    schedule.step()
    step()
    (receipt,) = step.receipts
    assert len(receipt.kernels) <= KERNELS[text]


@pytest.mark.parametrize("text", ["SGD(p, 0.1, momentum=0.9)", "Adam(p, 0.1)"])
def test_cycled_momentum_compiles_nothing(text: str) -> None:
    ends, receipts = [], []
    for compiled in (False, True):
        net = network()
        optimizer = make(text, net)
        schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 10)

        def step(x: graphc.Tensor, net: Any = net, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()

        run = graphc.compile(step) if compiled else step
        for i in range(10):
            run(values(3, 4, salt=i))
            schedule.step()
        ends.append([p.detach().numpy() for p in net.parameters()])
        receipts.append([r.reason for r in getattr(run, "receipts", [])])
    assert receipts[1] == ["first call"]
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_a_cycle_whose_momentum_ends_at_zero() -> None:
    """Whether there is momentum is a matter of the program, how much is not."""
    net = network()
    optimizer = make("SGD(p, 0.1, momentum=0.9)", net)
    optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 10)

    @graphc.compile
    def step(x: graphc.Tensor) -> None:
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()

    for momentum in (0.9, 0.5, 0.0):
        optimizer.param_groups[0]["momentum"] = momentum
        before = net[0].bias.detach().clone()
        step(values(3, 4))
    assert len(step.receipts) == 2
    moved = (before - net[0].bias).detach().numpy()
    rate = optimizer.param_groups[0]["lr"]
    np.testing.assert_allclose(moved, rate * net[0].bias.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_a_schedule_inside_the_step_runs_eagerly_and_says_so() -> None:
    p = nn.Parameter(graphc.zeros(1))
    optimizer = optim.SGD([p], 1.0)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    @graphc.compile
    def step() -> None:
        p.grad = graphc.ones(1)
        optimizer.step()
        schedule.step()

    with pytest.warns(UserWarning, match="call its step outside; step runs eagerly"):
        step()
    step()
    step()
    assert p.item() == -1.75
    assert schedule.last_epoch == 3


def test_no_warning_of_order_where_steps_were_compiled_before() -> None:
    p = nn.Parameter(graphc.zeros(1))
    optimizer = optim.SGD([p], 1.0)

    @graphc.compile
    def step() -> None:
        p.grad = graphc.ones(1)
        optimizer.step()

    step()
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule.step()


def test_hooks_that_come_later_are_seen() -> None:
    p = nn.Parameter(graphc.zeros(1))
    optimizer = optim.SGD([p], 1.0)

    @graphc.compile
    def step() -> None:
        p.grad = graphc.ones(1)
        optimizer.step()

    def clip(optimizer: Any, args: Any, kwargs: Any) -> None:
        p.grad.clamp_(max=0.5)

    step()
    handle = optimizer.register_step_pre_hook(clip)
    step()
    handle.remove()
    step()
    assert p.item() == -2.5


@pytest.mark.parametrize("text", OPTIMIZERS)
def test_resumes_bit_for_bit(text: str) -> None:
    """Six steps are three, a checkpoint, and three more; compiled as well as eager."""
    for compiled in (False, True):
        ends = []
        for interrupted in (False, True):
            net = network()
            optimizer = make(text, net)
            for i in range(2):
                if i == 1 and interrupted:
                    saved = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
                    net = network()
                    optimizer = make(text, net)
                    net.load_state_dict(saved[0])
                    optimizer.load_state_dict(saved[1])

                def step(x: graphc.Tensor, net: Any = net, optimizer: Any = optimizer) -> None:
                    optimizer.zero_grad()
                    net(x).square().mean().backward()
                    optimizer.step()

                run = graphc.compile(step) if compiled else step
                for j in range(3):
                    run(values(3, 4, salt=3 * i + j))
            ends.append([p.detach().numpy() for p in net.parameters()])
        for a, b in zip(*ends, strict=True):
            np.testing.assert_array_equal(a, b)
