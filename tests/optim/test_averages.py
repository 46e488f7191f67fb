"""Averages of weights (swa_utils) compared with PyTorch."""

import warnings

import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import assert_same, same_error, values  # noqa: E402

pytestmark = pytest.mark.differential


def network(t):
    net = t.nn.Sequential(t.nn.Linear(4, 5), t.nn.BatchNorm1d(5), t.nn.Linear(5, 2))
    with t.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(values(t, *p.shape, salt=i) / 4)
    return net


AVERAGES = {
    "mean": lambda u: {},
    "mean with buffers": lambda u: {"use_buffers": True},
    "mean, named": lambda u: {"avg_fn": u.get_swa_avg_fn()},
    "mean of lists": lambda u: {"multi_avg_fn": u.get_swa_multi_avg_fn()},
    "moving": lambda u: {"avg_fn": u.get_ema_avg_fn(0.9)},
    "moving lists": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.9)},
    "moving lists with buffers": lambda u: {
        "multi_avg_fn": u.get_ema_multi_avg_fn(0.9), "use_buffers": True
    },
    "own": lambda u: {"avg_fn": lambda average, p, count: 0.5 * average + 0.5 * p},
}  # fmt: skip


@pytest.mark.parametrize("name", AVERAGES)
def test_averages(name):
    def program(t):
        u = t.optim.swa_utils
        net = network(t)
        average = u.AveragedModel(net, **AVERAGES[name](u))
        o = t.optim.SGD(net.parameters(), 0.1)
        for i in range(4):
            o.zero_grad()
            (net(values(t, 3, 4, salt=i)) ** 2).mean().backward()
            o.step()
            average.update_parameters(net)
        average.eval()
        return list(average.state_dict().items()), average(values(t, 3, 4))

    assert_same(program(graphc), program(torch))


def test_statistics_of_normalisation_are_computed_anew():
    def program(t):
        net = network(t)
        net.eval()
        loader = [[values(t, 6, 4, salt=i), "label"] for i in range(3)]
        t.optim.swa_utils.update_bn(loader, net)
        t.optim.swa_utils.update_bn(loader, t.nn.Linear(2, 2))  # nothing to compute
        return list(net.buffers()), net.training, net[1].momentum

    assert_same(program(graphc), program(torch))


def test_errors():
    same_error(lambda t: t.optim.swa_utils.get_ema_avg_fn(1.5))
    same_error(lambda t: t.optim.swa_utils.get_ema_multi_avg_fn(-0.5))
    same_error(lambda t: t.optim.swa_utils.AveragedModel(network(t), None, abs, abs))
    o = {t: t.optim.SGD([t.ones(1)], 0.1) for t in (graphc, torch)}
    same_error(lambda t: t.optim.swa_utils.SWALR(o[t], 0.1, anneal_strategy="square"))
    same_error(lambda t: t.optim.swa_utils.SWALR(o[t], 0.1, -1))
    same_error(lambda t: t.optim.swa_utils.SWALR(o[t], [0.1, 0.2]))


def test_a_compiled_average():
    """A moving average inside the compiled step: one program from the second step on."""

    def train(compiled):
        net = network(graphc)
        average = graphc.optim.swa_utils.AveragedModel(
            net, multi_avg_fn=graphc.optim.swa_utils.get_ema_multi_avg_fn(0.9)
        )
        o = graphc.optim.SGD(net.parameters(), 0.1)

        def step(x):
            o.zero_grad()
            (net(x) ** 2).mean().backward()
            o.step()
            average.update_parameters(net)

        run = graphc.compile(step) if compiled else step
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for i in range(5):
                run(values(graphc, 3, 4, salt=i))
        return list(average.state_dict().values()), run

    eager, _ = train(False)
    compiled, run = train(True)
    assert_same(compiled, eager)
    assert len(run.receipts) <= 2
