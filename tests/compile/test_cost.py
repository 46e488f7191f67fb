"""What calls leave behind: memory that stays. (What a call costs is a benchmark: tiny_call.)"""

import gc
import os
from collections.abc import Callable
from typing import Any

import graphc as torch
from graphc import nn


def resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(call: Callable[[], Any], calls: int = 10_000) -> int:
    for _ in range(1000):
        call()
    gc.collect()
    before = resident_bytes()
    gc.disable()  # what is freed has to be freed without the cyclic collector
    try:
        for _ in range(calls):
            call()
        return resident_bytes() - before
    finally:
        gc.enable()


def test_memory_of_calls() -> None:
    x = torch.ones(100)
    f = torch.compile(lambda x: (x * 2 + 1, x.sum()))
    assert growth(lambda: f(x)) < 1 << 20
    g = torch.compile(lambda x, a: x.t() * a)
    square = torch.ones(4, 4).t()
    assert growth(lambda: g(square, 0.5)) < 1 << 20


def test_memory_of_backward_calls() -> None:
    w = torch.ones(4, 3).requires_grad_()
    x = torch.ones(2, 4)
    f = torch.compile(lambda x: (x @ w).tanh().sum())

    def step() -> None:
        f(x).backward()
        f(x)  # a result whose backward never comes

    assert growth(step, 5_000) < 1 << 20


def test_memory_of_training_steps() -> None:
    net = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)

    @torch.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = torch.ones(5, 4), torch.tensor([0, 1, 2, 0, 1])
    assert growth(lambda: step(x, y)) < 1 << 20
    assert len(step.receipts) == 1
