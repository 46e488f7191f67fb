"""Tables and bags: gradients of padding, norms limited in place, frequencies, empty bags."""

from collections.abc import Callable
from typing import Any

import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import assert_same, same_error, values  # noqa: E402

pytestmark = pytest.mark.differential

INDEX = [[0, 2, 2], [4, 1, 2], [1, 1, 3]]
FLAT = [0, 2, 2, 4, 1, 2, 1, 3]
STARTS = [0, 3, 3, 5]
SCALES = [0.5, -1.0, 2.0, 1.5, 0.25, 3.0, -0.5, 1.0]

# (layer, arguments): the arguments are lists of integers, or of numbers for weights.
LAYERS: dict[str, tuple[Callable[[Any], Any], tuple[Any, ...]]] = {
    "plain": (lambda t: t.nn.Embedding(5, 3), (INDEX,)),
    "padding": (lambda t: t.nn.Embedding(5, 3, padding_idx=-3), (INDEX,)),
    "norm": (lambda t: t.nn.Embedding(5, 3, max_norm=1.5), (INDEX,)),
    "norm of order 1": (lambda t: t.nn.Embedding(5, 3, max_norm=2.0, norm_type=1.0), (INDEX,)),
    "frequency": (lambda t: t.nn.Embedding(5, 3, scale_grad_by_freq=True), (INDEX,)),
    "frequency and padding": (
        lambda t: t.nn.Embedding(5, 3, padding_idx=2, scale_grad_by_freq=True), (INDEX,),
    ),
    "one number": (lambda t: t.nn.Embedding(5, 3), (3,)),
    "no numbers": (lambda t: t.nn.Embedding(5, 3), ([],)),
    "bags": (lambda t: t.nn.EmbeddingBag(5, 3), (INDEX,)),
    "sums": (lambda t: t.nn.EmbeddingBag(5, 3, mode="sum"), (INDEX,)),
    "largest": (lambda t: t.nn.EmbeddingBag(5, 3, mode="max"), (INDEX,)),
    "padded means": (lambda t: t.nn.EmbeddingBag(5, 3, padding_idx=2), (INDEX,)),
    "padded largest": (lambda t: t.nn.EmbeddingBag(5, 3, mode="max", padding_idx=1), (INDEX,)),
    "offsets": (lambda t: t.nn.EmbeddingBag(5, 3), (FLAT, STARTS)),
    "offsets, sums": (lambda t: t.nn.EmbeddingBag(5, 3, mode="sum"), (FLAT, STARTS)),
    "offsets, largest": (lambda t: t.nn.EmbeddingBag(5, 3, mode="max"), (FLAT, STARTS)),
    "offsets, padded": (lambda t: t.nn.EmbeddingBag(5, 3, padding_idx=2), (FLAT, STARTS)),
    "offsets, padded largest": (
        lambda t: t.nn.EmbeddingBag(5, 3, mode="max", padding_idx=2), (FLAT, STARTS),
    ),
    "offsets with the end": (
        lambda t: t.nn.EmbeddingBag(5, 3, mode="sum", include_last_offset=True),
        (FLAT, [0, 3, 3, 5, 8]),
    ),
    "weights": (lambda t: t.nn.EmbeddingBag(5, 3, mode="sum"), (FLAT, STARTS, SCALES)),
    "norm of bags": (lambda t: t.nn.EmbeddingBag(5, 3, max_norm=1.5), (FLAT, STARTS)),
}  # fmt: skip


def outcome(t: Any, name: str, compiled: bool = False) -> list[Any]:
    make, arguments = LAYERS[name]
    layer = make(t)
    with t.no_grad():
        layer.weight.copy_(values(t, 5, 3))
    given = [t.tensor(x, dtype=t.float32 if x is SCALES else t.int64) for x in arguments]
    for x in given:
        x.requires_grad_(x.is_floating_point())

    def program(*given: Any) -> Any:
        y = layer(*given)
        (y * values(t, *y.shape, salt=4)).sum().backward()
        return y

    y = (graphc.compile(program) if compiled else program)(*given)
    return [y, layer.weight, layer.weight.grad, *(x.grad for x in given if x.requires_grad)]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("compiled", [False, True])
def test_layer(name: str, compiled: bool) -> None:
    assert_same(outcome(graphc, name, compiled), outcome(torch, name))


@pytest.mark.parametrize("name", LAYERS)
def test_text(name: str) -> None:
    assert repr(LAYERS[name][0](graphc)) == repr(LAYERS[name][0](torch))


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_frequency_divides_the_gradients_of_bags(mode: str) -> None:
    """PyTorch divides by the counts of other rows there: it takes the wrong index into them."""
    grads = []
    for scaled in (False, True):
        table = values(graphc, 5, 3).requires_grad_()
        y = graphc.nn.functional.embedding_bag(
            graphc.tensor(FLAT), table, graphc.tensor(STARTS), mode=mode, scale_grad_by_freq=scaled
        )
        (y * values(graphc, *y.shape, salt=4)).sum().backward()
        grads.append(table.grad.numpy())
    counts = graphc.tensor(FLAT).bincount().numpy()
    assert_same(graphc.tensor(grads[1]), graphc.tensor((grads[0].T / counts).T.astype("float32")))


def test_dense_gradients_where_sparse_ones_are_asked_for() -> None:
    for make in (
        lambda t: t.nn.Embedding(5, 3, sparse=True),
        lambda t: t.nn.EmbeddingBag(5, 3, mode="sum", sparse=True),
    ):
        grads = []
        for t in (graphc, torch):
            layer = make(t)
            layer(t.tensor(INDEX)).sum().backward()
            grads.append(layer.weight.grad if t is graphc else layer.weight.grad.to_dense())
        assert_same(*grads)


def test_tables_that_exist() -> None:
    def program(t: Any) -> Any:
        table = values(t, 4, 3)
        frozen = t.nn.Embedding.from_pretrained(table, padding_idx=1)
        trained = t.nn.EmbeddingBag.from_pretrained(table, freeze=False, mode="max")
        table[0, 0] = 9.0  # the layers are made of this very memory
        index = t.tensor([[0, 1], [3, 0]])
        return [
            frozen(index), frozen.weight.requires_grad, frozen.padding_idx, trained(index),
            trained.weight.requires_grad,
        ]  # fmt: skip

    assert_same(program(graphc), program(torch))


def functional(name: str, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
    def program(t: Any) -> Any:
        lists = [t.tensor(x) if isinstance(x, list) else x for x in args]
        named = {k: t.tensor(v) if isinstance(v, list) else v for k, v in kwargs.items()}
        return getattr(t.nn.functional, name)(*lists, **named)

    return program


TABLE = [[1.0, 2.0], [3.0, 4.0]]
MISTAKES = {
    "no such row": functional("embedding", [0, 2], TABLE),
    "a negative row": functional("embedding", [-1], TABLE),
    "floats": functional("embedding", [0.5], TABLE),
    "padding": functional("embedding", [0], TABLE, padding_idx=2),
    "negative padding": functional("embedding", [0], TABLE, padding_idx=-3),
    "a vector": functional("embedding", [0], [1.0, 2.0]),
    "no offsets": functional("embedding_bag", [0, 1], TABLE),
    "offsets of rows": functional("embedding_bag", [[0, 1]], TABLE, [0]),
    "offsets begin late": functional("embedding_bag", [0, 1], TABLE, [1]),
    "offsets end late": functional("embedding_bag", [0, 1], TABLE, [0, 3]),
    "offsets of offsets": functional("embedding_bag", [0, 1], TABLE, [[0]]),
    "mode": functional("embedding_bag", [0, 1], TABLE, [0], mode="median"),
    "weights of a mean": functional(
        "embedding_bag", [0, 1], TABLE, [0], per_sample_weights=[1.0, 2.0]
    ),
    "too few weights": functional(
        "embedding_bag", [0, 1], TABLE, [0], mode="sum", per_sample_weights=[1.0]
    ),
    "frequency of the largest": functional(
        "embedding_bag", [0, 1], TABLE, [0], mode="max", scale_grad_by_freq=True
    ),
    "three dimensions": functional("embedding_bag", [[[0]]], TABLE),
    "layer padding": lambda t: t.nn.Embedding(3, 2, padding_idx=3),
    "layer shape": lambda t: t.nn.Embedding(3, 2, _weight=t.zeros(2, 2)),
    "vector as a table": lambda t: t.nn.Embedding.from_pretrained(t.zeros(2)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    same_error(MISTAKES[name])
