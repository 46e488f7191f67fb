"""Each optimizer with each of its options against PyTorch: 20 steps from the same weights.

The options are those that PyTorch tests its own optimizers with (optim_db).
"""

import inspect
import warnings

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")

from torch.testing._internal.common_optimizers import optim_db  # noqa: E402

pytestmark = pytest.mark.differential

EXACT = {"float32": (2e-4, 2e-5), "float64": (1e-9, 1e-11)}
LOADED = (1e-6, 1e-8)  # numbers in the state, float32, are cast to the parameters' dtype
IN_BFLOAT16 = {"float32": (2e-2, 2e-3), "float64": (2e-2, 2e-3)}  # Muon's iteration
APART = {"SparseAdam", "LBFGS"}  # see test_lbfgs.py


def every_option():
    for info in optim_db:
        name = info.optim_cls.__name__
        if name in APART:
            continue
        for sample in info.optim_inputs_func(device="cpu"):
            if not sample.kwargs.get("capturable"):  # PyTorch has it on accelerators only
                yield pytest.param(name, sample.kwargs, id=f"{name}-{sample.desc}")


CASES = list(every_option())


def settings(t, kwargs):
    """Options with tensors of the library."""

    def own(value):
        if isinstance(value, torch.Tensor):
            return t.tensor(value.tolist(), dtype=getattr(t, str(value.dtype).split(".")[-1]))
        return tuple(map(own, value)) if isinstance(value, tuple) else value

    return {name: own(value) for name, value in kwargs.items()}


def network(t, dtype):
    net = t.nn.Sequential(t.nn.Linear(4, 5), t.nn.Tanh(), t.nn.Linear(5, 2))
    net = net.to(getattr(t, dtype))
    random = np.random.RandomState(0)
    with t.no_grad():
        for p in net.parameters():
            p.copy_(t.tensor((random.randn(*p.shape) / 3).tolist(), dtype=getattr(t, dtype)))
    return net


def optimized(net, name):
    """The parameters an optimizer takes: Muon's are matrices."""
    return [p for p in net.parameters() if p.ndim == 2 or name != "Muon"]


def data(t, dtype):
    random = np.random.RandomState(1)
    return [t.tensor(random.randn(6, n).tolist(), dtype=getattr(t, dtype)) for n in (4, 2)]


def trained(t, name, kwargs, dtype, compiled=False):
    """Losses, parameters and state of 20 steps, and the function that made them."""
    net = network(t, dtype)
    optimizer = getattr(t.optim, name)(optimized(net, name), **settings(t, kwargs))
    x, y = data(t, dtype)

    def step(x, y):
        net.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    run = graphc.compile(step) if compiled else step
    losses = [run(x + i / 100, y).item() for i in range(20)]
    return losses, [p.detach().numpy() for p in net.parameters()], optimizer, run


def assert_state(mine, theirs, tolerance, same_dtypes=True):
    assert mine["param_groups"] == theirs["param_groups"] or any(
        isinstance(v, (torch.Tensor, tuple)) for g in theirs["param_groups"] for v in g.values()
    )
    assert [list(g) for g in mine["param_groups"]] == [list(g) for g in theirs["param_groups"]]
    assert mine["state"].keys() == theirs["state"].keys()
    for number, entries in theirs["state"].items():
        assert mine["state"][number].keys() == entries.keys()
        for key, value in entries.items():
            own = mine["state"][number][key]
            same = str(own.dtype).split(".")[-1] == str(value.dtype).split(".")[-1]
            assert same or not same_dtypes
            np.testing.assert_allclose(own.numpy(), value.numpy(), *tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "kwargs"), CASES)
def test_eager(name, kwargs, dtype):
    tolerance = (IN_BFLOAT16 if name == "Muon" else EXACT)[dtype]
    mine = trained(graphc, name, kwargs, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = trained(torch, name, kwargs, dtype)
    for a, b in zip((mine[0], *mine[1]), (theirs[0], *theirs[1]), strict=True):
        np.testing.assert_allclose(a, b, *tolerance)
    assert_state(mine[2].state_dict(), theirs[2].state_dict(), tolerance)


def compiled_cases():
    """The sample with most options of each optimizer; all the others with --full."""
    most = {}
    for case in CASES:
        name, kwargs = case.values
        if name not in most or len(kwargs) > len(most[name]):
            most[name] = kwargs
    for case in CASES:
        name, kwargs = case.values
        marks = [] if kwargs is most[name] else [pytest.mark.full]
        yield pytest.param(name, kwargs, id=case.id, marks=marks)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kwargs"), list(compiled_cases()))
def test_compiled(name, kwargs):
    tolerance = (IN_BFLOAT16 if name == "Muon" else EXACT)["float32"]
    mine = trained(graphc, name, kwargs, "float32", compiled=True)
    assert [r.reason for r in mine[3].receipts] == ["first call"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = trained(torch, name, kwargs, "float32")
    for a, b in zip((mine[0], *mine[1]), (theirs[0], *theirs[1]), strict=True):
        np.testing.assert_allclose(a, b, *tolerance)
    assert_state(mine[2].state_dict(), theirs[2].state_dict(), tolerance)


NAMES = [name for info in optim_db if (name := info.optim_cls.__name__) not in APART]
EVERYDAY = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "dampening": 0.2},
    "RMSprop": {"lr": 0.02, "momentum": 0.5, "centered": True},
    "Adam": {"lr": 0.05, "amsgrad": True},
    "ASGD": {"lr": 0.05, "t0": 3},
    "RAdam": {"lr": 0.05, "betas": (0.9, 0.99)},
}


@pytest.mark.parametrize("name", NAMES)
def test_state_goes_to_pytorch_and_back_in_the_middle(name):
    kwargs = EVERYDAY.get(name, {})
    tolerance = IN_BFLOAT16["float64"] if name == "Muon" else LOADED

    def train(t, net, optimizer, steps):
        x, y = data(t, "float64")
        for _ in range(steps):
            optimizer.zero_grad()
            ((net(x) - y) ** 2).mean().backward()
            optimizer.step()

    def carried(t, value):
        if isinstance(value, (torch.Tensor, graphc.Tensor)):
            kind = getattr(t, str(value.dtype).split(".")[-1])
            return t.tensor(value.detach().numpy().tolist(), dtype=kind)
        if isinstance(value, dict):
            return type(value)((k, carried(t, v)) for k, v in value.items())
        return [carried(t, v) for v in value] if isinstance(value, list) else value

    def start(t):
        net = network(t, "float64")
        return net, getattr(t.optim, name)(optimized(net, name), **kwargs)

    straight = start(torch)
    train(torch, *straight, 12)
    net, optimizer = start(torch)
    train(torch, net, optimizer, 4)
    for t in (graphc, torch):  # there, and back
        weights, state = carried(t, net.state_dict()), carried(t, optimizer.state_dict())
        net, optimizer = start(t)
        net.load_state_dict(weights)
        optimizer.load_state_dict(state)
        train(t, net, optimizer, 4)
    for a, b in zip(net.parameters(), straight[0].parameters(), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), *tolerance)
    # Loading casts all numbers but the count of steps to the parameters' dtype.
    assert_state(optimizer.state_dict(), straight[1].state_dict(), tolerance, same_dtypes=False)


@pytest.mark.parametrize("info", optim_db, ids=lambda info: info.optim_cls.__name__)
def test_constructors(info):
    name = info.optim_cls.__name__

    def of(t):
        parameters = inspect.signature(getattr(t.optim, name).__init__).parameters.values()
        return [(p.name, p.default, p.kind) for p in parameters]

    assert of(graphc) == of(torch)
    for t in (graphc, torch):
        net = network(t, "float32")
        made = getattr(t.optim, name)(optimized(net, name))
        again = getattr(t.optim, name)(list(zip("ab", optimized(net, name), strict=False)))
        if t is graphc:
            texts = [repr(made), repr(again)]
    assert texts == [repr(made), repr(again)]


ERRORS = (
    "SGD(p, -0.1)", "SGD(p, momentum=-1.0)", "SGD(p, weight_decay=-1.0)",
    "SGD(p, nesterov=True)", "SGD(p, 0.1, 0.9, 0.1, nesterov=True)", "SGD(p, t.ones(2))",
    "SGD(p, fused=True, foreach=True)", "SGD(p, fused=True, differentiable=True)",
    "Adam(p, -1.0)", "Adam(p, eps=-1.0)", "Adam(p, betas=(1.0, 0.0))",
    "Adam(p, betas=(0.0, -1.0))", "Adam(p, weight_decay=-1)", "Adam(p, betas=(0.9, 0))",
    "Adam(p, t.tensor(0.1), foreach=True)", "Adam(p, t.ones(2))",
    "Adam(p, betas=(t.tensor(0.9), t.tensor(0.99)), foreach=True)",
    "Adam(p, betas=(t.tensor(0.9), 0.99))", "Adam(p, fused=True, foreach=True)",
    "AdamW(p, -1.0)", "AdamW(p, fused=True, differentiable=True)",
    "NAdam(p, -1.0)", "NAdam(p, momentum_decay=-1.0)", "NAdam(p, betas=(2.0, 0.0))",
    "RAdam(p, -1.0)", "RAdam(p, weight_decay=-1.0)", "Adamax(p, -1.0)",
    "Adamax(p, betas=(0.0, 1.0))", "RMSprop(p, -1.0)", "RMSprop(p, momentum=-1.0)",
    "RMSprop(p, alpha=-1.0)", "Adagrad(p, -1.0)", "Adagrad(p, lr_decay=-0.5)",
    "Adagrad(p, initial_accumulator_value=-1)", "Adadelta(p, rho=1.5)", "Adadelta(p, eps=-1)",
    "ASGD(p, -1.0)", "ASGD(p, weight_decay=-0.5)", "Rprop(p, -1.0)", "Rprop(p, etas=(1.0, 0.5))",
    "LBFGS(p, -1.0)", "LBFGS([{'params': p}, {'params': t.ones(1)}])",
    "Adafactor(p, -1.0)", "Adafactor(p, beta2_decay=0.5)", "Adafactor(p, eps=(-1, 0))",
    "Adafactor(p, eps=(None, -1))", "Adafactor(p, d=0.0)", "Adafactor(p, weight_decay=-1)",
    "Muon([t.ones(2)])", "Muon([t.ones(2, 2)], -1.0)", "Muon([t.ones(2, 2)], momentum=-1)",
    "Muon([t.ones(2, 2)], adjust_lr_fn='mine')", "Muon([t.ones(2, 2)], weight_decay=-1)",
    "SparseAdam(p, 0.0)", "SparseAdam(p, eps=0.0)", "SparseAdam(p, betas=(1.0, 0))",
    "SparseAdam(with_gradient()).step()", "Muon([t.ones(2, 2)], ns_steps=100)",
)  # fmt: skip


@pytest.mark.parametrize("text", ERRORS)
def test_errors_are_pytorchs(text):
    messages = []
    for t in (graphc, torch):

        def with_gradient(t=t):
            p = t.ones(2, requires_grad=True)
            p.sum().backward()
            return [p]

        names = {"o": t.optim, "p": [t.ones(2)], "t": t, "with_gradient": with_gradient}
        if "ns_steps" in text:
            optimizer = eval(f"o.{text}", names)
            optimizer.param_groups[0]["params"][0].grad = t.ones(2, 2)
            with pytest.raises(ValueError) as raised:
                optimizer.step()
        else:
            with pytest.raises(Exception) as raised:
                eval(f"o.{text}", names)
        messages.append((type(raised.value), str(raised.value).replace("graphc", "torch")))
    assert messages[0] == messages[1]
