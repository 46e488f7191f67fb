"""Several threads call one compiled function at once."""

import threading
from collections.abc import Callable

import graphc as torch
from graphc.modes import MODES
from tests.compile.comparing import assert_same


def together(count: int, work: Callable[[int], None]) -> None:
    """Runs ``work(0..count-1)`` on threads that start at once; raises what they raise."""
    start = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_same_shapes() -> None:
    f = torch.compile(lambda x, a: (x @ x).tanh() * a + x)

    def work(number: int) -> None:
        x = torch.full((20, 20), 0.01 * (number + 1))
        for _ in range(200):
            assert_same(f(x, float(number)), f._function(x, float(number)), rtol=1e-4)

    together(4, work)
    assert len(f.receipts) == 1


def test_different_shapes() -> None:
    f = torch.compile(lambda x: (x * 2).sum(0))

    def work(number: int) -> None:
        for i in range(60):
            n = (number + i) % 4 + 1
            x = torch.full((n, 3), float(number))
            assert_same(f(x), f._function(x))

    together(4, work)
    assert len(f.receipts) == 4


def test_gradients() -> None:
    w = torch.ones(5, 5)
    f = torch.compile(lambda x: (x @ w).tanh().sum())

    def work(number: int) -> None:
        for _ in range(50):
            x = torch.full((3, 5), 0.1 * number).requires_grad_()
            y = torch.full((3, 5), 0.1 * number).requires_grad_()
            f(x).backward()
            f._function(y).backward()
            assert_same(x.grad, y.grad, rtol=1e-4)

    together(3, work)
    assert len(f.receipts) == 1


def test_modes_belong_to_threads() -> None:
    f = torch.compile(lambda x: x * 2)

    def work(number: int) -> None:
        x = torch.ones(3).requires_grad_()
        for _ in range(100):
            with torch.set_grad_enabled(number % 2 == 0):
                assert f(x).requires_grad is (number % 2 == 0)
            assert MODES.trace is None

    together(4, work)
    assert len(f.receipts) == 2


def test_draws_do_not_repeat() -> None:
    f = torch.compile(lambda: torch.rand(4))
    f()
    drawn: list[tuple[float, ...]] = []

    def work(_number: int) -> None:
        for _ in range(200):
            drawn.append(tuple(f().tolist()))

    together(4, work)
    assert len(set(drawn)) == len(drawn) == 800
