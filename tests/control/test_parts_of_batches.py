"""Loops over a batch: parts of it go through the steps apart, where no step mixes rows."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import graphc
import graphc.nn.functional as F
from tests.control.test_scan import assert_close, lstm_loss, tensors

WHOLE = "1"


def parts(compiled: Any) -> list[str]:
    """The numbers of parts of a program's loops, in order."""
    lines = re.findall(r"/\* scan_\w+: \d+ steps of .* \*/", str(compiled.source))
    return [(re.findall(r"for (\d+) parts", line) or [WHOLE])[0] for line in lines]


def compare(function: Callable[..., Any], given: list[Any]) -> list[str]:
    """Values and gradients compiled, on one thread and on two, are those of eager code."""
    leaves = [t for t in given if t.requires_grad]

    def both(*given: Any) -> Any:
        loss = function(*given)
        return loss, graphc.autograd.grad(loss, leaves)

    loss, gradients = both(*given)
    compiled = graphc.compile(both)
    before = graphc.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            graphc.set_num_threads(threads)
            found.append(compiled(*given))
    finally:
        graphc.set_num_threads(before)
    for again, more in found:
        assert_close(again, loss)
        for a, b in zip(more, gradients, strict=True):
            assert_close(a, b)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    return parts(compiled)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("batch", "number"), [(64, "4"), (48, "2"), (24, "2"), (45, "5"), (31, WHOLE), (7, WHOLE)]
)
def test_rows_of_a_batch_go_through_the_steps_apart(batch: int, number: str, reverse: bool) -> None:
    given = tensors((7, batch, 64), (batch, 16), (batch, 16), (64, 16))
    assert compare(lambda *args: lstm_loss(*args, reverse), given) == [number, number]


def test_a_part_meets_no_other_thread() -> None:
    compiled = graphc.compile(lstm_loss)
    compiled(*tensors((7, 64, 128), (64, 32), (64, 32), (128, 32)))
    source = str(compiled.source)
    loop = source[source.index("for 4 parts") :]
    steps = loop[: loop.index("gc_barrier(t);")]
    assert steps.count("{") == steps.count("}")
    assert "(&gc_alone, " in steps


def test_operands_without_a_batch_are_whole() -> None:
    x, scales, h, shift, weight = tensors((5, 32, 16), (5, 16), (32, 16), (1, 16), (16, 16))

    def loss(x: Any, scales: Any, h: Any, shift: Any, weight: Any) -> Any:
        def step(h: Any, slices: Any) -> Any:
            v, scale = slices
            wide = graphc.cat([h, v * scale], 1) + graphc.zeros(32, 32)
            left, right = wide.reshape(32, 2, 16).transpose(1, 2).sin().unbind(2)
            h = (left @ weight + shift.expand(32, 16)).tanh() * right.softmax(1)
            return h, h.sum(1, keepdim=True)

        last, sums = graphc.scan(step, h, (x, scales))
        return (last * last).sum() + sums.exp().sum()

    given = [x, scales, h, shift, weight]
    # The gradients of the scales are sums over the batch.
    assert compare(loss, given) == ["2", WHOLE]


@pytest.mark.parametrize(
    "mix",
    [
        lambda h: h - h.mean(0, keepdim=True),
        lambda h: h.flip(0),
        lambda h: h @ (h.t() @ h) / 1024,
        lambda h: h.t().reshape(32, 256),
        lambda h: h[:16].repeat(2, 1),
        lambda h: h.cumsum(0) / 32,
        lambda h: h.roll(1, 0),
        lambda h: h[graphc.arange(31, -1, -1)],
    ],
)
def test_steps_that_mix_rows_keep_the_batch_whole(mix: Callable[[Any], Any]) -> None:
    given = tensors((5, 32, 256), (32, 256))

    def loss(mix: Callable[[Any], Any], x: Any, h: Any) -> Any:
        last, y = graphc.scan(lambda h, v: ((mix(h) + v).tanh().sin(), h), h, x)
        return (last * y.sum(0)).mean()

    assert set(compare(partial(loss, mix), given)) == {WHOLE}
    assert set(compare(partial(loss, lambda h: h.flip(1)), given)) == {"2"}


def test_a_result_that_is_the_same_for_all_rows_keeps_the_batch_whole() -> None:
    x, h, w = tensors((5, 32, 64), (32, 64), (64,))

    def loss(of: Callable[[Any], Any], x: Any, h: Any, w: Any) -> Any:
        last, (y, z) = graphc.scan(lambda h, v: ((h + v).tanh().sin(), (h, of(v))), h, x)
        return (last * y.sum(0)).sum() + (z * z).sum() + w.sum()

    assert compare(partial(loss, lambda _: w * 2), [x, h, w])[0] == WHOLE
    assert compare(partial(loss, lambda v: w * v), [x, h, w])[0] == "2"


def test_little_work_stays_together() -> None:
    given = tensors((5, 300), (300,))

    def loss(x: Any, h: Any) -> Any:
        last, y = graphc.scan(lambda h, v: (h * 0.5 + v, h), h, x)
        return (last * y.sum(0)).sum()

    assert set(compare(loss, given)) == {WHOLE}


def test_large_constants_are_divided_among_threads_instead() -> None:
    given = tensors((2, 32, 2048), (32, 512), (32, 512), (2048, 512))
    compiled = graphc.compile(lstm_loss)
    compiled(*given)
    assert set(parts(compiled)) == {WHOLE}


def test_a_constant_of_the_batch_is_divided_a_matrix_of_as_many_rows_is_not() -> None:
    x, h, mask, weight = tensors((5, 32, 32), (32, 32), (32, 32), (32, 32))

    def loss(x: Any, h: Any, mask: Any, weight: Any) -> Any:
        last, y = graphc.scan(lambda h, v: ((h * mask @ weight + v).tanh(), h), h, x)
        return (last * y.sum(0)).sum()

    assert compare(loss, [x, h, mask, weight]) == ["2", "2"]


def test_kernels_of_a_part_share_scratch_memory_with_nobody() -> None:
    x, h, w = tensors((3, 64, 4096), (64, 4), (4096, 4))

    def loss(x: Any, h: Any, w: Any) -> Any:
        def step(h: Any, v: Any) -> Any:
            return (h + v.sin() @ w / 64).tanh(), v.cos().sum(1)

        last, sums = graphc.scan(step, h, x)
        return last.sum() + sums.tanh().sum()

    assert compare(loss, [x, h, w]) == ["4", "4"]
    forward = graphc.compile(loss)
    forward(x, h, w)
    source = str(forward.source)
    inside = set(re.findall(r"(\w+)\(&gc_alone", source))
    sharing = set(re.findall(r"void (\w+)\([^()]*\*restrict shared\)", source))
    assert inside & sharing


def test_a_constant_is_turned_and_computed_with_before_the_loop() -> None:
    x, h, weight, scale = tensors((5, 4, 16), (4, 8), (16, 8), (8,))

    def loss(x: Any, h: Any, weight: Any, scale: Any) -> Any:
        def step(h: Any, v: Any) -> Any:
            gates = v + F.linear(h, weight)
            return gates[:, :8].tanh() * gates[:, 8:].sigmoid() * scale.exp(), h

        last, y = graphc.scan(step, h, x)
        return (last * y).sum()

    assert compare(loss, [x, h, weight, scale]) == [WHOLE, WHOLE]
    forward = graphc.compile(loss)
    forward(x, h, weight, scale)
    graph = forward.stages[0].graphs["loops"]
    (body,) = [n.attrs["body"].graph for n in graph.nodes if n.op.name == "scan"]
    assert "exp" in {n.op.name for n in graph.nodes}
    assert "exp" not in {n.op.name for n in body.nodes}
    (product,) = [n for n in body.nodes if n.op.name == "contract"]
    assert product.inputs[1] in body.inputs
    assert product.inputs[1].shape == (8, 16)


def test_the_time_of_parts_is_taken_by_the_thread_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_PROFILE", "1")
    x, h, weight = (t.detach() for t in tensors((7, 45, 64), (45, 64), (64, 64)))

    def last(x: Any, h: Any, weight: Any) -> Any:
        return graphc.scan(lambda h, v: ((h @ weight + v).tanh(), h), h, x)[0]

    before = graphc.get_num_threads()
    graphc.set_num_threads(2)  # for 5 parts: one has more to do than the other
    try:
        compiled = graphc.compile(last)
        compiled(x, h, weight)
    finally:
        graphc.set_num_threads(before)
    assert parts(compiled) == ["5"]
    assert "    35 runs of " in compiled.explain()
