"""The step of a small convolutional network: forward, backward and update in few kernels."""

from typing import Any

import numpy as np

from graphc import dtypes
from graphc.autodiff import gradients
from graphc.ir import Graph, Node
from graphc.kernel import Contraction
from graphc.lowering import lower
from tests.lowering.lowered_programs import arguments, check, graph_of, kernel_names, row

F32 = dtypes.float32
PARAMETERS = (
    (6, 1, 5, 5),
    (6,),
    (16, 6, 5, 5),
    (16,),
    (120, 400),
    (120,),
    (84, 120),
    (84,),
    (10, 84),
    (10,),
)
POOL = {
    "kernel": (2, 2),
    "stride": (2, 2),
    "padding": (0, 0),
    "dilation": (1, 1),
    "ceil_mode": False,
}
CONVOLUTION = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


def convolution(x: Node, w: Node, b: Node) -> Node:
    y = row.convolution(x, w, **CONVOLUTION)
    return row.max_pool(row.relu(y + row.reshape(b, shape=(1, *b.shape, 1, 1))), **POOL)


def linear(x: Node, w: Node, b: Node) -> Node:
    return row.contract(x, w, spec="mk,nk->mn") + b


def training_step(batch: int) -> Graph:
    """Inputs: images, classes, learning rate, then each parameter with its momentum."""

    def build(x: Node, target: Node, lr: Node, *state: Node) -> Any:
        p, m = state[::2], state[1::2]
        h = convolution(convolution(x, p[0], p[1]), p[2], p[3])
        h = row.relu(linear(row.reshape(h, shape=(batch, 400)), p[4], p[5]))
        scores = linear(row.relu(linear(h, p[6], p[7])), p[8], p[9])
        loss = row.cross_entropy(scores, target, ignore_index=-100, reduction="mean")
        one = row.exp(loss * 0.0)
        writes: list[tuple[Node, Node]] = []
        for parameter, momentum, g in zip(p, m, gradients([loss], [one], p), strict=True):
            new = momentum * 0.9 + g
            writes += [(momentum, new), (parameter, parameter - lr * new)]
        return loss, writes

    shapes = [(batch, 1, 32, 32), (batch,), (), *(s for s in PARAMETERS for _ in range(2))]
    return graph_of(build, *shapes, kinds=(F32, dtypes.int64))


def test_a_training_step_is_two_dozen_kernels() -> None:
    graph = training_step(3)
    arrays = [a * np.float32(0.1) if a.dtype == np.float32 else a for a in arguments(graph, 0, 10)]
    lowered = check(graph, arrays, tolerance=1e-3)
    names = kernel_names(lowered)
    assert len(names) <= 25
    contractions = [
        launch
        for launch in lowered.program.launches()
        if isinstance(launch.kernel.nests[0], Contraction)
    ]
    assert len(contractions) == 14  # five forward, five by weight, four by input
    assert names[-1] == "update"
    assert len(lowered.program.kernels[-1].nests) == 10
    assert lowered.program.arena_bytes <= 1.3 * lowered.explanation.arena_live


def test_windows_are_never_stored() -> None:
    lowered = lower(training_step(12), threads=2)
    largest = max(np.prod(b.shape) for b in lowered.program.buffers)
    assert largest == 12 * 6 * 28 * 28


def test_the_explanation_tells_of_every_kernel() -> None:
    lowered = check(training_step(2), tolerance=1e-2)
    text = str(lowered.explanation)
    for name in kernel_names(lowered):
        assert name in text
    flops = sum(k.flops for k in lowered.explanation.kernels if k.kernel.startswith("matmul"))
    products = ((400, 120), (120, 84), (84, 10))
    assert flops >= sum(3 * 2 * 2 * a * b for a, b in products)
    assert "read by" in text
