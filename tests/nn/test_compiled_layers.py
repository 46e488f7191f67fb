"""Layers inside compiled programs: as in eager, with state, randomness, modes and hooks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.nn import functional as F


def values(*shape: int, salt: int = 0) -> graphc.Tensor:
    count = int(np.prod(shape))
    numbers = [((i + 1 + salt * 31) * 7919 % 1009) / 168 - 3 for i in range(count)]
    return graphc.tensor(numbers).reshape(shape)


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "batch norm": (lambda: nn.BatchNorm2d(3), (2, 3, 4, 4)),
    "batch norm by count": (lambda: nn.BatchNorm1d(3, momentum=None), (5, 3)),
    "instance norm": (
        lambda: nn.InstanceNorm1d(3, affine=True, track_running_stats=True),
        (2, 3, 5),
    ),
    "layer norm": (lambda: nn.LayerNorm(5), (3, 5)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (2, 4, 3)),
    "dropout": (lambda: nn.Dropout(0.4), (6, 7)),
    "dropout2d": (lambda: nn.Dropout2d(0.5), (3, 4, 2, 2)),
    "alpha dropout": (lambda: nn.AlphaDropout(0.3), (6, 7)),
    "network": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 4, 3, stride=2, groups=2, bias=False), nn.GELU(), nn.AvgPool2d(2),
            nn.Flatten(), nn.Dropout(0.2), nn.Linear(4, 3), nn.LogSoftmax(1),
        ),
        (3, 1, 10, 10),
    ),
    "transposed": (lambda: nn.ConvTranspose2d(2, 3, 3, 2, 1, 1), (2, 2, 3, 3)),
    "adaptive": (lambda: nn.AdaptiveAvgPool2d((2, 3)), (1, 2, 5, 7)),
    "reflect": (lambda: nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), (1, 1, 4, 4)),
}  # fmt: skip


def run(name: str, compiled: bool) -> list[Any]:
    make, shape = LAYERS[name]
    graphc.manual_seed(7)
    module = make()
    function = graphc.compile(module) if compiled else module
    seen: list[Any] = []
    for training in (True, True, False):
        module.train(training)
        x = values(*shape, salt=len(seen)).requires_grad_()
        y = function(x)
        (y * values(*y.shape, salt=5)).sum().backward()
        seen += [y, x.grad]
    seen += [*(p.grad for p in module.parameters()), *module.state_dict().values()]
    return [s.detach().numpy() for s in seen]


@pytest.mark.parametrize("name", LAYERS)
def test_compiled_is_eager(name: str) -> None:
    eager, compiled = run(name, False), run(name, True)
    assert len(eager) == len(compiled)
    for a, b in zip(compiled, eager, strict=True):
        largest = float(np.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=5e-5, atol=5e-6 * max(1, largest))


def test_dropout_draws_anew_at_every_call() -> None:
    dropped = graphc.compile(nn.Dropout(0.5))
    x = graphc.ones(100)
    first, second = dropped(x), dropped(x)
    assert first.tolist() != second.tolist()
    assert set(first.tolist()) == {0, 2}


def test_each_mode_has_a_program_of_its_own() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
    compiled = graphc.compile(net)
    x = graphc.ones(2, 3)
    compiled(x)
    net.eval()
    kept = compiled(x)
    assert kept.tolist() == net(x).tolist()
    net.train()
    compiled(x)
    assert len(compiled.receipts) == 2
    assert "training" in compiled.receipts[1].reason
    net[1].p = 0.0
    np.testing.assert_allclose(compiled(x).detach().numpy(), kept.detach().numpy(), rtol=1e-6)


def test_hooks_run_while_tracing_and_stay_in_the_program() -> None:
    ends = []
    for compiled in (False, True):
        net = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
        with graphc.no_grad():
            for p in net.parameters():
                p.copy_(values(*p.shape) / 5)
        net[0].register_forward_hook(lambda m, a, y: y * 2)
        net[0].register_full_backward_hook(lambda m, gi, go: (gi[0] * 3,))

        def step(x: graphc.Tensor, net: Any = net) -> Any:
            net(x).sum().backward()
            return x.grad

        x = values(2, 3).requires_grad_()
        g = (graphc.compile(step) if compiled else step)(x)
        ends.append([g.detach().numpy(), *(p.grad.numpy() for p in net.parameters())])
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


LOSSES: dict[str, Callable[[graphc.Tensor], graphc.Tensor]] = {
    "cross_entropy": lambda x: F.cross_entropy(x, graphc.tensor([1, 0, 3])),
    "smoothed": lambda x: F.cross_entropy(x, graphc.tensor([1, 0, 3]), label_smoothing=0.1),
    "nll": lambda x: F.nll_loss(F.log_softmax(x, 1), graphc.tensor([1, 0, 3]), ignore_index=0),
    "bce": lambda x: F.binary_cross_entropy(x.sigmoid(), graphc.full((3, 4), 0.3)),
    "bce logits": lambda x: F.binary_cross_entropy_with_logits(x, graphc.full((3, 4), 0.3)),
    "smooth_l1": lambda x: F.smooth_l1_loss(x, graphc.ones(3, 4), beta=0.5),
    "kl": lambda x: F.kl_div(F.log_softmax(x, 1), graphc.full((3, 4), 0.25), reduction="sum"),
    "cosine": lambda x: F.cosine_similarity(x, graphc.ones(3, 4)).sum(),
    "normalize": lambda x: F.normalize(x).square().square().sum(),
    "one_hot": lambda x: (F.one_hot(graphc.tensor([1, 0, 3]), 4) * x).sum(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_its_gradient(name: str) -> None:
    ends = []
    for compiled in (False, True):
        x = values(3, 4).requires_grad_()
        loss = (graphc.compile(LOSSES[name]) if compiled else LOSSES[name])(x)
        loss.backward()
        ends.append([loss.item(), *x.grad.reshape(-1).tolist()])
    np.testing.assert_allclose(ends[1], ends[0], rtol=2e-5, atol=1e-6)


def test_a_class_outside_the_range_is_an_error_in_both() -> None:
    function = graphc.compile(F.cross_entropy)
    x = values(2, 3)
    assert function(x, graphc.tensor([0, 2])).item() == pytest.approx(
        F.cross_entropy(x, graphc.tensor([0, 2])).item(), rel=1e-5
    )
    for f in (F.cross_entropy, function):
        with pytest.raises(IndexError, match="out of bounds|out of range"):
            f(x, graphc.tensor([0, 3]))


def test_embedding_trains_compiled() -> None:
    ends = []
    for compiled in (False, True):
        table = nn.Embedding(5, 3, padding_idx=1, max_norm=2.0)
        with graphc.no_grad():
            table.weight.copy_(values(5, 3))

        def step(index: graphc.Tensor, table: Any = table) -> Any:
            y = table(index)
            (y * y).sum().backward()
            return y

        index = graphc.tensor([[0, 1, 1], [4, 0, 2]])
        y = (graphc.compile(step) if compiled else step)(index)
        ends.append([y.detach().numpy(), table.weight.detach().numpy(), table.weight.grad.numpy()])
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert (ends[1][2][1] == 0).all()
