"""Finite differences of graphs: the independent check of every gradient rule."""

from collections.abc import Collection, Sequence

import numpy as np

from graphc.autodiff import backward_graph
from graphc.interpret import Array, evaluate
from graphc.ir import Graph

STEP = 1e-5


def floating(arrays: Sequence[Array]) -> list[int]:
    return [i for i, a in enumerate(arrays) if a.dtype == np.float64]


def directions(arrays: Sequence[Array], seed: int) -> list[Array]:
    """For each array a random direction; zeros where it is not floating-point."""
    random = np.random.default_rng(seed)
    return [
        random.standard_normal(a.shape) if a.dtype == np.float64 else np.zeros_like(a)
        for a in arrays
    ]


def check_gradient(
    graph: Graph,
    arrays: Sequence[Array],
    name: str,
    stopped: Collection[int] = (),
    symmetric: Collection[int] = (),
) -> tuple[Graph, list[Array]]:
    """Compares ``<u, f(x + hv) - f(x - hv)> / 2h`` with ``<grad, v>`` for one input at a time.

    No gradient reaches the inputs in ``stopped``: theirs must be zero. The inputs in ``symmetric``
    are symmetric matrices and are moved in symmetric directions. Gives the graph of the
    gradients alone and its arguments, ready to be checked again.
    """
    outputs = evaluate(graph, arrays)[: len(graph.outputs)]
    followed = [i for i, y in enumerate(outputs) if y.dtype == np.float64]
    seeds = [directions([outputs[i]], 100 + i)[0] for i in followed]
    backward = backward_graph(graph)
    arguments = [*arrays, *seeds]
    grads = evaluate(backward, arguments)[len(outputs) :]
    v = directions(arrays, 7)
    for i in symmetric:
        v[i] = (v[i] + np.swapaxes(v[i], -1, -2)) / 2
    for position, i in enumerate(floating(arrays)):
        assert grads[position].shape == arrays[i].shape
        if i in stopped:
            assert not grads[position].any()
            continue
        sides = []
        for sign in (1, -1):
            moved = [a + sign * STEP * v[i] if j == i else a for j, a in enumerate(arrays)]
            sides.append(evaluate(graph, [np.asarray(a) for a in moved]))
        numeric = sum(
            float(np.sum(u * (sides[0][k] - sides[1][k]))) / (2 * STEP)
            for k, u in zip(followed, seeds, strict=True)
        )
        exact = float(np.sum(grads[position] * v[i]))
        scale = max(1.0, abs(numeric), float(np.sum(np.abs(grads[position] * v[i]))))
        assert abs(numeric - exact) <= 2e-6 * scale, (
            f"{name}: input {i}: finite differences give {numeric}, the rule {exact}"
        )
    alone = Graph(
        backward.name,
        backward.inputs,
        backward.outputs[len(outputs) :],
        (),
        backward.names,
        backward.locations,
    )
    return alone, arguments
