"""DataParallel without GPUs, compared with PyTorch's."""

import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import assert_same, same_error, values  # noqa: E402

pytestmark = pytest.mark.differential


def wrapped(t, **options):
    model = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.BatchNorm1d(4))
    with t.no_grad():
        for number, p in enumerate(model.parameters()):
            p.copy_(values(t, *p.shape, salt=number))
    return t.nn.DataParallel(model, **options)


@pytest.mark.parametrize("options", [{}, {"device_ids": [0, 1], "output_device": 0, "dim": 1}])
def test_everything_goes_to_the_module(options):
    def program(t):
        model = wrapped(t, **options)
        x = values(t, 5, 3).requires_grad_()
        y = model(x)
        y.square().sum().backward()
        names = [n for n, _ in model.named_parameters()]
        return y, x.grad, names, list(model.state_dict()), repr(model), model.device_ids

    mine, theirs = program(graphc), program(torch)
    assert_same(mine, theirs, 1e-4, 1e-5)
    assert mine[3][0] == "module.0.weight"


def test_states_with_and_without_the_wrapper():
    model = wrapped(graphc)
    state = {k.removeprefix("module."): v for k, v in model.state_dict().items()}
    bare = graphc.nn.Sequential(graphc.nn.Linear(3, 4), graphc.nn.BatchNorm1d(4))
    bare.load_state_dict(state)
    assert_same(bare(values(graphc, 5, 3)), model(values(graphc, 5, 3)))
    model.load_state_dict(wrapped(graphc).state_dict())
    model.module.eval()
    assert not model.module[1].training


def test_compiled():
    model, x = wrapped(graphc), values(graphc, 5, 3)
    expected = wrapped(graphc)(x)
    compiled = graphc.compile(model)
    assert_same(compiled(x), expected, 1e-4, 1e-5)
    assert list(compiled.state_dict()) == list(model.state_dict())


def test_what_needs_gpus_or_processes_says_so():
    same_error(lambda t: t.nn.parallel.data_parallel(t.nn.Linear(2, 2), t.ones(1, 2)))
    with pytest.raises(RuntimeError, match="process groups"):
        graphc.nn.parallel.DistributedDataParallel(graphc.nn.Linear(2, 2))
