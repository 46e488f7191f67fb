"""Optimizers and schedules compared with PyTorch, step by step."""

import warnings

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import assert_same, plain, same_error, values  # noqa: E402

pytestmark = pytest.mark.differential

OPTIMIZERS = (
    "SGD(p, lr=0.1)",
    "SGD(p, 0.1, momentum=0.9)",
    "SGD(p, 0.1, momentum=0.9, weight_decay=0.05, nesterov=True)",
    "SGD(p, 0.1, momentum=0.8, dampening=0.3)",
    "SGD(p, 0.01, weight_decay=0.1, maximize=True)",
    "Adam(p)",
    "Adam(p, 0.05, (0.8, 0.9), 1e-3, 0.1)",
    "Adam(p, 0.05, amsgrad=True, maximize=True)",
    "AdamW(p, 0.05)",
    "AdamW(p, 0.05, weight_decay=0.2, amsgrad=True)",
    "RMSprop(p)",
    "RMSprop(p, 0.05, 0.9, momentum=0.7, weight_decay=0.1)",
    "RMSprop(p, 0.02, 0.9, centered=True, maximize=True)",
    "Adagrad(p)",
    "Adagrad(p, 0.1, 0.05, 0.1, 0.3)",
    "Adadelta(p, 0.5)",
    "Adadelta(p, 0.5, 0.8, 1e-4, 0.1)",
    "Adamax(p)",
    "Adamax(p, 0.1, (0.7, 0.8), weight_decay=0.1)",
)


def network(t):
    net = t.nn.Sequential(t.nn.Linear(4, 5), t.nn.Tanh(), t.nn.Linear(5, 2))
    with t.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(values(t, *p.shape, salt=i) / 4)
    return net


def make(t, text, parameters):
    return eval(f"o.{text}", {"o": t.optim, "p": parameters})


def train(t, net, optimizer, steps, schedule=None):
    losses = []
    for i in range(steps):
        x, y = values(t, 3, 4, salt=i), values(t, 3, 2, salt=i + 100)
        optimizer.zero_grad()
        loss = t.nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        losses.append(loss)
    return losses, list(net.parameters())


@pytest.mark.parametrize("text", OPTIMIZERS)
def test_twenty_steps(text):
    results, states = [], []
    for t in (graphc, torch):
        net = network(t)
        optimizer = make(t, text, net.parameters())
        results.append(train(t, net, optimizer, 20))
        states.append(optimizer.state_dict())
    assert_same(*results, rtol=2e-5, atol=5e-6)
    mine, theirs = states
    for a, b in zip(mine["param_groups"], theirs["param_groups"], strict=True):
        assert a == {k: v for k, v in b.items() if k in a}
        assert set(b) - set(a) <= {"decoupled_weight_decay"}
    assert mine["state"].keys() == theirs["state"].keys()
    for number, entries in theirs["state"].items():
        known = {k: v for k, v in entries.items() if v is not None}
        assert mine["state"][number].keys() == known.keys()
        for name, value in known.items():
            assert_same(mine["state"][number][name], value, rtol=2e-5, atol=5e-6)


@pytest.mark.parametrize("text", ["SGD(p, 0.1, momentum=0.9)", "Adam(p, 0.05, amsgrad=True)"])
def test_state_from_pytorch_continues_here(text):
    theirs = network(torch)
    optimizer = make(torch, text, theirs.parameters())
    train(torch, theirs, optimizer, 5)
    saved = optimizer.state_dict()
    state = {
        n: {k: graphc.tensor(plain(v)) for k, v in entries.items()}
        for n, entries in saved["state"].items()
    }
    mine = network(graphc)
    mine.load_state_dict({k: graphc.tensor(plain(v)) for k, v in theirs.state_dict().items()})
    other = make(graphc, text, mine.parameters())
    other.load_state_dict({"state": state, "param_groups": saved["param_groups"]})
    assert_same(train(graphc, mine, other, 5), train(torch, theirs, optimizer, 5), atol=5e-6)


def test_groups_with_their_own_settings():
    results = []
    for t in (graphc, torch):
        net = network(t)
        optimizer = t.optim.SGD(
            [{"params": net[0].parameters(), "lr": 0.2}, {"params": net[2].weight}],
            lr=0.05,
            momentum=0.5,
        )
        optimizer.add_param_group({"params": [net[2].bias], "momentum": 0.0})
        results.append((train(t, net, optimizer, 6), repr(optimizer)))
    assert results[0][1] == results[1][1]
    assert_same(results[0][0], results[1][0])


def test_closures_and_missing_gradients():
    def program(t):
        p = t.nn.Parameter(values(t, 3))
        idle = t.nn.Parameter(t.ones(2))
        optimizer = t.optim.SGD([p, idle], lr=0.1, momentum=0.9)

        def closure():
            optimizer.zero_grad()
            loss = (p * p).sum()
            loss.backward()
            return loss

        with t.no_grad():
            losses = [optimizer.step(closure) for _ in range(3)]
        return losses, p, idle, len(optimizer.state_dict()["state"])

    assert_same(program(graphc), program(torch))


SCHEDULES = {
    "StepLR(o, 3, 0.5)": 10,
    "MultiStepLR(o, [2, 5, 5, 8], 0.5)": 10,
    "ExponentialLR(o, 0.9)": 6,
    "ConstantLR(o, 0.25, 3)": 6,
    "LinearLR(o, 0.2, 0.9, 4)": 8,
    "PolynomialLR(o, 5, 2.0)": 8,
    "CosineAnnealingLR(o, 5, 0.01)": 17,
    "CosineAnnealingWarmRestarts(o, 3, 2, 0.01)": 12,
    "LambdaLR(o, lambda e: 0.9 ** e)": 6,
    "LambdaLR(o, [lambda e: 1 / (e + 1), lambda e: 2.0])": 6,
    "MultiplicativeLR(o, lambda e: 0.95)": 6,
    "OneCycleLR(o, 0.3, 12)": 12,
    "OneCycleLR(o, [0.3, 0.4], 12, three_phase=True, anneal_strategy='linear')": 12,
    "SequentialLR(o, [ConstantLR(o, 0.1, 2), ExponentialLR(o, 0.9)], [3])": 8,
}


def groups(t):
    net = network(t)
    return t.optim.SGD(
        [{"params": [net[0].weight], "lr": 0.2}, {"params": [net[2].weight]}], 0.1, momentum=0.9
    )


def schedule(t, text, optimizer):
    return eval(text, {"o": optimizer, **vars(t.optim.lr_scheduler)})


@pytest.mark.parametrize("text", SCHEDULES)
def test_schedule(text):
    curves = []
    for t in (graphc, torch):
        optimizer = groups(t)
        s = schedule(t, text, optimizer)
        curve = [list(s.get_last_lr())]
        for i in range(SCHEDULES[text] - 1):
            optimizer.step()
            s.step()
            assert [g["lr"] for g in optimizer.param_groups] == s.get_last_lr()
            curve.append([*s.get_last_lr(), *(g["momentum"] for g in optimizer.param_groups)])
            if i == 2:  # another one continues from its state
                saved = s.state_dict()
                rates = s.get_last_lr()
                s = schedule(t, text, optimizer)
                s.load_state_dict(saved)
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate
        curves.append(curve)
    for mine, theirs in zip(*curves, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)


def test_plateau():
    metrics = [3.0, 2.0, 2.0, 2.0, 1.9999, 2.5, 2.5, 2.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    for settings in (
        {"patience": 1},
        {"patience": 0, "cooldown": 2, "factor": 0.5, "min_lr": [0.01, 0.05]},
        {"mode": "max", "patience": 2, "threshold_mode": "abs", "threshold": 0.5},
    ):
        curves = []
        for t in (graphc, torch):
            optimizer = groups(t)
            s = t.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **settings)
            curve = []
            for m in metrics:
                s.step(t.tensor(m) if m == 1.0 else m)
                curve.append([g["lr"] for g in optimizer.param_groups])
            curves.append(curve)
        assert curves[0] == curves[1]


def test_a_step_of_the_schedule_before_the_optimizer_warns():
    for t in (graphc, torch):
        s = t.optim.lr_scheduler.StepLR(groups(t), 1)
        with pytest.warns(UserWarning, match=r"before `optimizer.step\(\)`"):
            s.step()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            s.step()


ERRORS = {
    "empty": lambda t: t.optim.SGD([], 0.1),
    "tensor": lambda t: t.optim.SGD(t.ones(2), 0.1),
    "not a tensor": lambda t: t.optim.SGD([1.0], 0.1),
    "non-leaf": lambda t: t.optim.SGD([t.ones(2, requires_grad=True) * 2], 0.1),
    "lr": lambda t: t.optim.SGD([t.ones(2)], -0.1),
    "nesterov": lambda t: t.optim.SGD([t.ones(2)], 0.1, nesterov=True),
    "betas": lambda t: t.optim.Adam([t.ones(2)], betas=(1.0, 0.9)),
    "group twice": lambda t: (lambda p: t.optim.SGD([{"params": [p]}, {"params": [p]}], 0.1))(
        t.ones(2)
    ),
    "other groups": lambda t: t.optim.SGD([t.ones(2)], 0.1).load_state_dict(
        {"state": {}, "param_groups": []}
    ),
    "no optimizer": lambda t: t.optim.lr_scheduler.StepLR(1, 2),
    "lambdas": lambda t: t.optim.lr_scheduler.LambdaLR(groups(t), [abs]),
    "plateau": lambda t: t.optim.lr_scheduler.ReduceLROnPlateau(groups(t), factor=1.5),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_is_of_the_type_that_pytorch_raises(name):
    assert same_error(ERRORS[name])


def test_gradient_clipping_and_vectors():
    def program(t):
        net = network(t)
        results = []
        for clip in (
            lambda ps: t.nn.utils.clip_grad_norm_(ps, 0.7),
            lambda ps: t.nn.utils.clip_grad_norm_(ps, 100.0, norm_type=1),
            lambda ps: t.nn.utils.clip_grad_norm_(ps, 0.3, float("inf")),
            lambda ps: t.nn.utils.clip_grad_value_(ps, 0.05),
        ):
            net.zero_grad()
            (net(values(t, 3, 4)) ** 2).sum().backward()
            returned = clip(net.parameters())
            results.append([t.zeros(1) if returned is None else returned,
                            *(p.grad for p in net.parameters())])  # fmt: skip
        vector = t.nn.utils.parameters_to_vector(net.parameters())
        t.nn.utils.vector_to_parameters(vector.detach() * 2, net.parameters())
        return results, vector, list(net.parameters())

    assert_same(program(graphc), program(torch))
    same_error(lambda t: t.nn.utils.clip_grad_norm_(
        [with_gradient(t, float("nan"))], 1.0, error_if_nonfinite=True))  # fmt: skip


def with_gradient(t, value):
    p = t.ones(2, requires_grad=True)
    p.grad = t.full((2,), value)
    return p
