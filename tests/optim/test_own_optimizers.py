"""Optimizers that programs write themselves: everyday classes, eager and in a compiled step."""

import math
import warnings

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import assert_same, values  # noqa: E402

pytestmark = pytest.mark.differential


def momentum(t):
    class Momentum(t.optim.Optimizer):
        def __init__(self, params, lr=0.1, momentum=0.0, weight_decay=0.0):
            super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

        @t.no_grad()
        def step(self, closure=None):
            loss = None
            if closure is not None:
                with t.enable_grad():
                    loss = closure()
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    d = p.grad.data
                    if group["weight_decay"] != 0:
                        d = d.add(p.data, alpha=group["weight_decay"])
                    if group["momentum"] != 0:
                        state = self.state[p]
                        if "buffer" not in state:
                            state["buffer"] = t.clone(d).detach()
                        else:
                            state["buffer"].mul_(group["momentum"]).add_(d)
                        d = state["buffer"]
                    p.data.add_(d, alpha=-group["lr"])
            return loss

    return Momentum


def replacing(t):
    class Replacing(t.optim.Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        def step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    p.data = p.data - group["lr"] * p.grad.data

    return Replacing


def lion(t):
    class Lion(t.optim.Optimizer):
        def __init__(self, params, lr=1e-2, betas=(0.9, 0.99)):
            super().__init__(params, dict(lr=lr, betas=betas))

        @t.no_grad()
        def step(self):
            for group in self.param_groups:
                first, second = group["betas"]
                for p in group["params"]:
                    state = self.state[p]
                    if len(state) == 0:
                        state["mean"] = t.zeros_like(p)
                    mean = state["mean"]
                    direction = mean.clone().mul_(first).add(p.grad, alpha=1 - first).sign_()
                    p.add_(direction, alpha=-group["lr"])
                    mean.mul_(second).add_(p.grad, alpha=1 - second)

    return Lion


def in_tensors(t):
    class CountsInTensors(t.optim.Optimizer):
        def __init__(self, params, lr=1e-2):
            super().__init__(params, dict(lr=lr))
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p] = {"step": t.zeros(()), "mean": t.zeros_like(p)}

        @t.no_grad()
        def step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    state["step"] += 1
                    state["mean"].mul_(0.9).add_(p.grad, alpha=0.1)
                    p -= group["lr"] * state["mean"] / (1 - 0.9 ** state["step"])

    return CountsInTensors


def twice(t):
    class Twice(t.optim.Adam):
        def step(self, closure=None):
            super().step(closure)
            return super().step()

    return Twice


def as_it_is(t):
    class Named(t.optim.AdamW):
        pass

    return Named


def counting(t):
    class Counting(t.optim.Optimizer):
        def __init__(self, params, lr=1e-2):
            super().__init__(params, dict(lr=lr))

        @t.no_grad()
        def step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    if len(state) == 0:
                        state["step"] = 0
                        state["square"] = t.zeros_like(p)
                    state["step"] += 1
                    state["square"].mul_(0.9).addcmul_(p.grad, p.grad, value=0.1)
                    scale = math.sqrt(1 - 0.9 ** state["step"])
                    root = state["square"].sqrt().add_(1e-8)
                    p.addcdiv_(p.grad, root, value=-group["lr"] * scale)

    return Counting


# The class, its settings, and why it is compiled when its rate changes every step.
OWN = {
    "plain": (momentum, {}, ["first call"]),
    "with state": (
        momentum,
        {"momentum": 0.9, "weight_decay": 0.1},
        ["first call", "optimizer.state holds other values"],
    ),
    "replacing": (replacing, {}, ["first call"]),
    "lion": (lion, {}, ["first call", "optimizer.state holds other values"]),
    "counts in tensors": (in_tensors, {}, ["first call"]),
    "twice": (twice, {}, ["first call"]),
    "as it is": (as_it_is, {}, ["first call"]),
    "counting": (counting, {}, ["first call"]),
}


def train(t, make, settings, compiled=False):
    net = t.nn.Linear(3, 2)
    with t.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(values(t, *p.shape, salt=i) / 4)
    optimizer = make(t)(net.parameters(), **settings)
    schedule = t.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

    def step(x):
        optimizer.zero_grad()
        loss = (net(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    run = graphc.compile(step) if compiled else step
    losses = []
    for i in range(10):
        losses.append(run(values(t, 4, 3, salt=i)))
        schedule.step()
    return (losses, list(net.parameters()), optimizer.state_dict()["state"]), run


@pytest.mark.parametrize("name", OWN)
def test_eager(name):
    make, settings, _ = OWN[name]
    assert_same(train(graphc, make, settings)[0], train(torch, make, settings)[0])


@pytest.mark.parametrize("name", OWN)
def test_compiled(name):
    make, settings, reasons = OWN[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mine, run = train(graphc, make, settings, compiled=True)
    assert_same(mine, train(torch, make, settings)[0])
    assert [r.reason for r in run.receipts] == reasons
    said = [str(w.message) for w in caught]
    if name == "counting":  # numbers of Python that change at each step
        assert len(said) == 1
        assert "a step changes the number 'step' in optimizer.state" in said[0]
        assert "runs eagerly from here on" in said[0]
    else:
        assert said == []


def test_rates_read_in_other_ways():
    """Whatever way a step takes to a rate, the program sees it change."""

    class Odd(graphc.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.5})

        @graphc.no_grad()
        def step(self):
            for group in self.param_groups:
                rates = [group.get("lr"), dict(group)["lr"], {**group}["lr"], *(
                    value for key, value in group.items() if key == "lr"
                )]  # fmt: skip
                for p in group["params"]:
                    for rate in rates:
                        p.sub_(p.grad, alpha=rate)

    p = graphc.nn.Parameter(graphc.zeros(2))
    optimizer = Odd([p])

    @graphc.compile
    def step():
        optimizer.zero_grad()
        p.sum().backward()
        optimizer.step()
        return optimizer.param_groups[0]["lr"]

    told = []
    for rate in (0.5, 0.25, 0.125):
        optimizer.param_groups[0]["lr"] = rate
        told.append(step())
    assert told == [0.5, 0.25, 0.125]
    np.testing.assert_allclose(p.detach().numpy(), -4 * 0.875)
    assert [r.reason for r in step.receipts] == ["first call"]


def test_a_rate_that_the_step_sets():
    p = graphc.nn.Parameter(graphc.zeros(1))
    optimizer = graphc.optim.SGD([p], 1.0)

    @graphc.compile
    def step():
        p.grad = graphc.ones(1)
        optimizer.step()
        optimizer.param_groups[0]["lr"] *= 0.5

    for _ in range(4):
        step()
    assert p.item() == -1.875
    assert optimizer.param_groups[0]["lr"] == 0.0625
    assert [r.reason for r in step.receipts] == ["first call"]
