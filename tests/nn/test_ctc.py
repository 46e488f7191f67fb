"""Connectionist temporal classification: lengths, targets and reductions as PyTorch has them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import assert_same, classes, same_error, values  # noqa: E402

pytestmark = pytest.mark.differential

TIME, BATCH, CLASSES = 9, 4, 5


def scores(t: Any, dtype: str = "float32") -> Any:
    return values(t, TIME, BATCH, CLASSES, dtype=dtype)


def padded(t: Any) -> Any:
    return classes(t, BATCH, 6, count=4) + 1


def steps(t: Any) -> Any:
    return t.tensor([9, 8, 3, 7])  # the third is too short for its labels


def counts(t: Any) -> Any:
    return t.tensor([4, 3, 5, 0])


PROGRAMS: dict[str, Callable[[Any, Any], Any]] = {
    "padded": lambda t, x: t.nn.functional.ctc_loss(
        x, padded(t), steps(t), counts(t), zero_infinity=True
    ),
    "joined": lambda t, x: t.nn.functional.ctc_loss(
        x, classes(t, 12, count=4) + 1, steps(t), counts(t), reduction="sum", zero_infinity=True
    ),
    "tuples": lambda t, x: t.nn.functional.ctc_loss(
        x, padded(t), (9, 8, 7, 9), (4, 3, 2, 0), reduction="none"
    ),
    "other blank": lambda t, x: t.nn.functional.ctc_loss(
        x, padded(t) - 1, steps(t), counts(t), blank=4, reduction="none", zero_infinity=True
    ),
    "infinite": lambda t, x: t.nn.functional.ctc_loss(
        x, padded(t), steps(t), counts(t), reduction="none"
    ),
    "no time": lambda t, x: t.nn.functional.ctc_loss(
        x, padded(t), t.tensor([9, 0, 0, 1]), t.tensor([2, 2, 0, 0]), reduction="none"
    ),
    "one example": lambda t, x: t.nn.functional.ctc_loss(
        x[:, 0], padded(t)[0, :3], t.tensor(9), t.tensor(3), reduction="none"
    ),
    "int32": lambda t, x: t.nn.functional.ctc_loss(
        x, padded(t).int(), t.tensor([9] * 4), t.tensor([1, 2, 3, 4], dtype=t.int32)
    ),
}


def outcome(t: Any, name: str, dtype: str, compiled: bool = False) -> list[Any]:
    x = scores(t, dtype).log_softmax(2).detach().requires_grad_()

    def program(x: Any) -> Any:
        return PROGRAMS[name](t, x)

    loss = (graphc.compile(program) if compiled else program)(x)
    loss.sum().backward()
    return [loss, x.grad]


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_and_gradients(name: str, dtype: str) -> None:
    expected = outcome(torch, name, dtype)
    for compiled in (False, True):
        assert_same(outcome(graphc, name, dtype, compiled), expected)


def test_the_gradient_through_log_softmax_is_exact() -> None:
    labels, times, lengths = padded(graphc), (9, 8, 7, 9), (4, 3, 2, 0)

    def loss(x: graphc.Tensor) -> graphc.Tensor:
        logs = graphc.nn.functional.log_softmax(x, 2)
        return graphc.nn.functional.ctc_loss(logs, labels, times, lengths)

    x = scores(graphc, "float64").requires_grad_()
    assert graphc.autograd.gradcheck(loss, (x,))


def test_compiling_takes_one_kernel_whatever_the_length() -> None:
    kernels = []
    for length in (10, 200):
        program = graphc.compile(
            lambda x, n=length: graphc.nn.functional.ctc_loss(
                x.log_softmax(2), padded(graphc), (n,) * BATCH, (4, 3, 2, 0)
            )
        )
        x = values(graphc, length, BATCH, CLASSES).requires_grad_()
        program(x).backward()
        assert np.isfinite(x.grad.numpy()).all()
        kernels.append(len(program.receipts[0].kernels))
    assert kernels[0] == kernels[1]


MISTAKES: dict[str, Callable[[Any], Any]] = {
    "half": lambda t: t.nn.functional.ctc_loss(
        scores(t, "float16"), padded(t), steps(t), counts(t)
    ),
    "time": lambda t: t.nn.functional.ctc_loss(scores(t), padded(t), steps(t) + 1, counts(t)),
    "labels": lambda t: t.nn.functional.ctc_loss(scores(t), padded(t), steps(t), counts(t) + 2),
    "batch": lambda t: t.nn.functional.ctc_loss(scores(t), padded(t), steps(t)[:3], counts(t)),
    "blank": lambda t: t.nn.functional.ctc_loss(
        scores(t), padded(t), steps(t), counts(t), blank=7
    ),
    "reduction": lambda t: t.nn.functional.ctc_loss(
        scores(t), padded(t), steps(t), counts(t), reduction="all"
    ),
    "kinds": lambda t: t.nn.functional.ctc_loss(
        scores(t), padded(t), steps(t).float(), counts(t)
    ),
    "negative": lambda t: t.nn.functional.ctc_loss(scores(t), padded(t), steps(t), -counts(t)),
    "empty": lambda t: t.nn.functional.ctc_loss(
        scores(t)[:, :0], padded(t)[:0], steps(t)[:0], counts(t)[:0]
    ),
    "second": lambda t: t.autograd.grad(
        t.autograd.grad(
            t.nn.functional.ctc_loss(
                x := scores(t).requires_grad_(), padded(t), t.tensor([9] * 4), counts(t)
            ),
            x, create_graph=True,
        )[0].sum(),
        x,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    same_error(MISTAKES[name])
