"""Every loss trains a small network for 20 steps as PyTorch does: eager, or parts compiled."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import classes, plain, values  # noqa: E402

pytestmark = pytest.mark.differential

STEPS = 20
BATCH, FEATURES = 6, 5


def inputs(t: Any, *lead: int, salt: int = 0) -> Any:
    return values(t, *(lead or (BATCH,)), FEATURES, dtype="float64", salt=salt)


def direct(t: Any, net: Any, loss: Any, target: Any) -> Any:
    return loss(net(inputs(t)), target)


def probabilities(t: Any, net: Any, loss: Any, target: Any) -> Any:
    return loss(net(inputs(t)).sigmoid(), target)


def log_probabilities(t: Any, net: Any, loss: Any, target: Any) -> Any:
    return loss(net(inputs(t)).log_softmax(1), target)


def pairs(t: Any, net: Any, loss: Any, target: Any) -> Any:
    return loss(net(inputs(t)), net(inputs(t, salt=1)), target)


def one_each(t: Any, net: Any, loss: Any, target: Any) -> Any:
    first, second = net(inputs(t)), net(inputs(t, salt=1))
    return loss(first[:, 0], second[:, 0], target)


def triples(t: Any, net: Any, loss: Any, _target: Any) -> Any:
    return loss(net(inputs(t)), net(inputs(t, salt=1)), net(inputs(t, salt=2)))


def with_variance(t: Any, net: Any, loss: Any, target: Any) -> Any:
    out = net(inputs(t))
    return loss(out[:, :2], target, out[:, 2:].exp())


def over_places(t: Any, net: Any, loss: Any, target: Any) -> Any:
    """(N, C, 4) scores of a (N, 4) target."""
    return loss(net(inputs(t, BATCH, 4)).transpose(1, 2), target)


def over_time(t: Any, net: Any, loss: Any, target: Any) -> Any:
    times = t.tensor([7, 7, 5, 6, 7, 3])
    labels = t.tensor([3, 2, 2, 1, 0, 2])
    return loss(net(inputs(t, 7, BATCH)).log_softmax(2), target, times, labels)


def with_output(t: Any, net: Any, loss: Any, target: Any) -> Any:
    return loss(net(inputs(t)), target).loss


class Case(NamedTuple):
    """``compute(t, net, make(t), target(t))`` is trained; the network has ``width`` outputs."""

    make: Callable[[Any], Any]
    target: Callable[[Any], Any]
    compute: Callable[..., Any] = direct
    width: int = 3


def numbers(*shape: int) -> Callable[[Any], Any]:
    return lambda t: values(t, *shape, dtype="float64", salt=7)


def between(*shape: int) -> Callable[[Any], Any]:
    return lambda t: values(t, *shape, dtype="float64", salt=7).sigmoid()


def signs(*shape: int) -> Callable[[Any], Any]:
    return lambda t: (classes(t, *shape, count=2) * 2 - 1).double()


def labels(*shape: int, count: int = 3) -> Callable[[Any], Any]:
    return lambda t: classes(t, *shape, count=count)


def nothing(_t: Any) -> None:
    return None


def weights(t: Any, count: int = 3) -> Any:
    return values(t, count, dtype="float64", salt=9).abs() + 0.5


SHAPE = (BATCH, 3)
CASES = {
    "L1": Case(lambda t: t.nn.L1Loss(), numbers(*SHAPE)),
    "MSE": Case(lambda t: t.nn.MSELoss(), numbers(*SHAPE)),
    "MSE summed": Case(lambda t: t.nn.MSELoss(reduction="sum"), numbers(*SHAPE)),
    "smooth L1": Case(lambda t: t.nn.SmoothL1Loss(beta=0.4), numbers(*SHAPE)),
    "Huber": Case(lambda t: t.nn.HuberLoss(delta=0.7), numbers(*SHAPE)),
    "NLL": Case(lambda t: t.nn.NLLLoss(weights(t), ignore_index=1), labels(BATCH),
                log_probabilities),
    "cross-entropy": Case(lambda t: t.nn.CrossEntropyLoss(), labels(BATCH)),
    "cross-entropy, all options": Case(
        lambda t: t.nn.CrossEntropyLoss(weights(t), ignore_index=2, label_smoothing=0.2),
        labels(BATCH, 4), over_places,
    ),
    "cross-entropy of probabilities": Case(
        lambda t: t.nn.CrossEntropyLoss(weights(t), label_smoothing=0.1),
        lambda t: between(*SHAPE)(t).softmax(1),
    ),
    "binary": Case(lambda t: t.nn.BCELoss(weights(t)), between(*SHAPE), probabilities),
    "binary of logits": Case(
        lambda t: t.nn.BCEWithLogitsLoss(pos_weight=weights(t)), between(*SHAPE)
    ),
    "divergence": Case(
        lambda t: t.nn.KLDivLoss(reduction="batchmean"), lambda t: between(*SHAPE)(t).softmax(1),
        log_probabilities,
    ),
    "divergence of logarithms": Case(
        lambda t: t.nn.KLDivLoss(reduction="sum", log_target=True),
        lambda t: between(*SHAPE)(t).log_softmax(1), log_probabilities,
    ),
    "Poisson": Case(lambda t: t.nn.PoissonNLLLoss(full=True),
                    lambda t: classes(t, *SHAPE, count=5).double()),
    "Gaussian": Case(lambda t: t.nn.GaussianNLLLoss(full=True), numbers(BATCH, 2), with_variance,
                     width=4),
    "cosine embedding": Case(lambda t: t.nn.CosineEmbeddingLoss(margin=0.1), signs(BATCH), pairs),
    "ranking": Case(lambda t: t.nn.MarginRankingLoss(margin=0.3), signs(BATCH), one_each),
    "hinge embedding": Case(lambda t: t.nn.HingeEmbeddingLoss(margin=1.2), signs(*SHAPE)),
    "soft margin": Case(lambda t: t.nn.SoftMarginLoss(), signs(*SHAPE)),
    "several labels, soft": Case(
        lambda t: t.nn.MultiLabelSoftMarginLoss(weights(t)), lambda t: labels(*SHAPE)(t) % 2
    ),
    "several labels": Case(
        lambda t: t.nn.MultiLabelMarginLoss(),
        lambda t: t.tensor([[0, 2, -1], [1, -1, 0], [-1, 0, 0],
                            [2, 1, 0], [0, -1, 2], [1, 2, 0]]),
    ),
    "margin": Case(lambda t: t.nn.MultiMarginLoss(p=2, margin=0.8, weight=weights(t)),
                   labels(BATCH)),
    "triplet": Case(lambda t: t.nn.TripletMarginLoss(margin=0.7, swap=True), nothing, triples),
    "triplet by a distance": Case(
        lambda t: t.nn.TripletMarginWithDistanceLoss(
            distance_function=lambda x, y: 1 - t.nn.functional.cosine_similarity(x, y), swap=True
        ),
        nothing, triples,
    ),
    "connectionist": Case(lambda t: t.nn.CTCLoss(zero_infinity=True),
                          lambda t: classes(t, BATCH, 3, count=3) + 1, over_time, width=4),
    "linear and cross-entropy": Case(
        lambda t: t.nn.LinearCrossEntropyLoss(3, 4, bias=True, label_smoothing=0.1).double(),
        labels(BATCH, count=4),
    ),
    "adaptive softmax": Case(
        lambda t: t.nn.AdaptiveLogSoftmaxWithLoss(8, 9, [2, 5], div_value=2.0).double(),
        labels(BATCH, count=9), with_output, width=8,
    ),
}  # fmt: skip


def trained(t: Any, case: Case, compiled: str = "") -> list[Any]:
    """The loss of every step, then all parameters."""
    net = t.nn.Sequential(
        t.nn.Linear(FEATURES, 8), t.nn.Tanh(), t.nn.Linear(8, case.width)
    ).double()
    loss, target = case.make(t), case.target(t)
    parameters = [*net.parameters(), *loss.parameters()]
    with t.no_grad():
        for i, p in enumerate(parameters):
            p.copy_(values(t, *p.shape, dtype="float64", salt=20 + i) / 6)
    optimizer = t.optim.SGD(parameters, lr=0.05, momentum=0.8)
    network = graphc.compile(net) if compiled == "model" else net

    def step() -> Any:
        optimizer.zero_grad()
        value = case.compute(t, network, loss, target)
        value.backward()
        optimizer.step()
        return value

    run = graphc.compile(step) if compiled == "step" else step
    seen = [run().item() for _ in range(STEPS)]
    return [seen, *(plain(p) for p in parameters)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("compiled", ["", "model", "step"])
def test_trajectory_is_that_of_pytorch(name: str, compiled: str) -> None:
    mine, theirs = trained(graphc, CASES[name], compiled), trained(torch, CASES[name])
    assert theirs[0][0] != theirs[0][-1]
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)
