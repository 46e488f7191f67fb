"""Schedules compared with PyTorch: rates of 50 steps, saved and resumed, warnings and errors."""

import inspect
import warnings

import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import plain, same_error  # noqa: E402

pytestmark = pytest.mark.differential


class Decay:
    """A factor that is an object, so that its attributes are saved."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, epoch):
        return self.rate**epoch


# "o" is the optimizer, "s" the module; numbers of steps are 50 unless the schedule ends earlier.
SCHEDULES = {
    "StepLR(o, 7, 0.5)": 50,
    "StepLR(o, step_size=1)": 50,
    "MultiStepLR(o, [2, 5, 5, 30], 0.5)": 50,
    "MultiStepLR(o, milestones=[])": 50,
    "ExponentialLR(o, 0.9)": 50,
    "ConstantLR(o, 0.25, 3)": 50,
    "ConstantLR(o)": 50,
    "LinearLR(o, 0.2, 0.9, 14)": 50,
    "LinearLR(o)": 50,
    "PolynomialLR(o, 45, 2.0)": 50,
    "PolynomialLR(o)": 50,
    "CosineAnnealingLR(o, 12, 0.01)": 50,
    "CosineAnnealingLR(o, T_max=60)": 50,
    "CosineAnnealingWarmRestarts(o, 3, 2, 0.01)": 50,
    "CosineAnnealingWarmRestarts(o, 10)": 50,
    "LambdaLR(o, lambda e: 0.9 ** e)": 50,
    "LambdaLR(o, [lambda e: 1 / (e + 1), lambda e: 2.0])": 50,
    "LambdaLR(o, Decay(0.9))": 50,
    "MultiplicativeLR(o, lambda e: 0.95)": 50,
    "MultiplicativeLR(o, [Decay(0.99), Decay(0.98)])": 50,
    "OneCycleLR(o, 0.3, 50)": 50,
    "OneCycleLR(o, [0.3, 0.4], epochs=5, steps_per_epoch=10, pct_start=0.2)": 50,
    "OneCycleLR(o, 0.3, 50, three_phase=True, anneal_strategy='linear')": 50,
    "OneCycleLR(o, 0.3, 50, cycle_momentum=False, div_factor=10, final_div_factor=100)": 50,
    "OneCycleLR(o, 0.3, 50, base_momentum=[0.7, 0.8], max_momentum=0.99)": 50,
    "CyclicLR(o, 0.01, 0.1, 7)": 50,
    "CyclicLR(o, 0.01, 0.1, 7, 3, mode='triangular2')": 50,
    "CyclicLR(o, [0.01, 0.02], [0.1, 0.2], 5, mode='exp_range', gamma=0.97)": 50,
    "CyclicLR(o, 0.01, 0.1, 5, scale_fn=lambda x: 1 / x, cycle_momentum=False)": 50,
    "CyclicLR(o, 0.01, 0.1, 5, scale_fn=Decay(0.9), scale_mode='iterations')": 50,
    "SequentialLR(o, [s.ConstantLR(o, 0.1, 2), s.ExponentialLR(o, 0.9)], [3])": 50,
    "SequentialLR(o, [s.LinearLR(o, 0.1, 1.0, 5), s.CosineAnnealingLR(o, 20), "
    "s.StepLR(o, 5)], [5, 25])": 50,
    "SequentialLR(o, [s.ChainedScheduler([s.StepLR(o, 3)]), s.StepLR(o, 2)], [4])": 50,
    "ChainedScheduler([s.ConstantLR(o, 0.1, 2), s.ExponentialLR(o, 0.9)])": 50,
    "ChainedScheduler([s.LinearLR(o), s.CosineAnnealingLR(o, 20), s.StepLR(o, 9)], o)": 50,
}


def groups(t, kind="SGD", tensor=False):
    """An optimizer of two groups with rates of their own."""
    ps = [t.nn.Parameter(t.ones(2)) for _ in range(2)]
    first, second = (t.tensor(x) if tensor else x for x in (0.2, 0.1))
    if kind == "Adam":
        return t.optim.Adam([{"params": [ps[0]], "lr": first}, {"params": [ps[1]]}], second)
    return t.optim.SGD([{"params": [ps[0]], "lr": first}, {"params": [ps[1]]}], second, 0.9)


def schedule(t, text, optimizer):
    s = t.optim.lr_scheduler
    return eval(f"s.{text}", {"s": s, "o": optimizer, "Decay": Decay})


def momenta(optimizer):
    return [g.get("momentum", g.get("betas")) for g in optimizer.param_groups]


def curve(optimizer, s, steps):
    """Rates and momenta of each step, as they are set and as the schedule tells them."""
    found = []
    for _ in range(steps):
        rates = [float(g["lr"]) for g in optimizer.param_groups]
        found.append((rates, momenta(optimizer), [float(x) for x in s.get_last_lr()]))
        optimizer.step()
        s.step()
    return found


@pytest.mark.parametrize("text", SCHEDULES)
def test_rates_of_all_steps(text):
    curves = []
    for t in (graphc, torch):
        optimizer = groups(t)
        curves.append(curve(optimizer, schedule(t, text, optimizer), SCHEDULES[text]))
    assert curves[0] == curves[1]


@pytest.mark.parametrize("text", [t for t in SCHEDULES if "Cycl" in t])
def test_momentum_of_adam_is_its_first_beta(text):
    curves = []
    for t in (graphc, torch):
        optimizer = groups(t, "Adam")
        curves.append(curve(optimizer, schedule(t, text, optimizer), 20))
    assert curves[0] == curves[1]


@pytest.mark.parametrize("text", SCHEDULES)
def test_rates_that_are_tensors(text):
    curves = []
    for t in (graphc, torch):
        optimizer = groups(t, tensor=True)
        rates = [g["lr"] for g in optimizer.param_groups]
        curves.append(curve(optimizer, schedule(t, text, optimizer), 12))
        assert all(g["lr"] is r for g, r in zip(optimizer.param_groups, rates, strict=True))
    for mine, theirs in zip(*curves, strict=True):
        assert mine[0] == pytest.approx(theirs[0], rel=1e-5)
        assert mine[2] == pytest.approx(theirs[2], rel=1e-5)


def saved(state):
    """A schedule's state without what names the module it is defined in."""
    if isinstance(state, dict):
        return type(state)({k: saved(v) for k, v in state.items()})
    return [saved(v) for v in state] if isinstance(state, (list, tuple)) else plain(state)


@pytest.mark.parametrize("text", SCHEDULES)
def test_state_is_pytorchs_and_resumes(text):
    states, curves = [], []
    for t in (graphc, torch):
        optimizer = groups(t)
        s = schedule(t, text, optimizer)
        curve(optimizer, s, 11)
        states.append(saved(s.state_dict()))
    mine, theirs = states
    theirs.pop("anneal_func", None)
    assert mine == theirs

    # PyTorch's state, loaded here; and the other way round.
    for state, t in ((states[1], graphc), (states[0], torch)):
        optimizer = groups(t)
        s = schedule(t, text, optimizer)
        s.load_state_dict(state)
        for group, rate in zip(optimizer.param_groups, state["_last_lr"], strict=True):
            group["lr"] = rate
        curves.append([rates for rates, _, _ in curve(optimizer, s, 15)])
    assert curves[0] == curves[1]


@pytest.mark.parametrize(
    "text",
    [
        "StepLR(o, 7, 0.5, last_epoch=8)",
        "ExponentialLR(o, 0.9, 8)",
        "CosineAnnealingLR(o, 12, 0.01, 8)",
        "CosineAnnealingWarmRestarts(o, 3, 2, 0.01, 8)",
        "LinearLR(o, 0.2, 0.9, 14, 8)",
        "PolynomialLR(o, 45, 2.0, 8)",
        "MultiplicativeLR(o, lambda e: 0.95, 8)",
        "LambdaLR(o, lambda e: 0.9 ** e, 8)",
        "OneCycleLR(o, 0.3, 50, last_epoch=8)",
        "CyclicLR(o, 0.01, 0.1, 7, last_epoch=8)",
    ],
)
def test_begins_at_a_later_epoch(text):
    curves = []
    for t in (graphc, torch):
        optimizer = groups(t)
        for group in optimizer.param_groups:
            group.update(initial_lr=0.3, max_lr=0.5, min_lr=0.001)
            group.update(max_momentum=0.95, base_momentum=0.85)
        curves.append(curve(optimizer, schedule(t, text, optimizer), 20))
    assert curves[0] == curves[1]
    same_error(lambda t: schedule(t, text, groups(t)))


@pytest.mark.parametrize("text", [t for t in SCHEDULES if not t.startswith(("Seq", "Chain"))])
def test_a_given_epoch_uses_the_closed_form(text):
    curves = []
    for t in (graphc, torch):
        optimizer = groups(t)
        s = schedule(t, text, optimizer)
        optimizer.step()
        found = []
        for epoch in (3, 9, 4, 20):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                s.step(epoch)
            said = any("epoch parameter" in str(w.message) for w in caught)
            found.append(([g["lr"] for g in optimizer.param_groups], said))
        curves.append(found)
    assert curves[0] == curves[1]


PLATEAUS = (
    {"patience": 2},
    {"patience": 1, "factor": 0.5, "mode": "max"},
    {"patience": 0, "threshold": 0.05, "threshold_mode": "abs", "min_lr": [0.001, 0.03]},
    {"patience": 1, "cooldown": 3, "eps": 0.01},
    {"patience": 0, "factor": 0.5, "min_lr": 0.02, "mode": "max", "threshold_mode": "abs"},
)


@pytest.mark.parametrize("settings", PLATEAUS, ids=str)
def test_plateaus(settings):
    metrics = [1.0, 0.9, 0.91, 0.92, 0.89, 0.95, 0.95, 0.95, 0.95, 0.2, 0.3, 0.3, 0.3, 0.3] * 4
    curves, states = [], []
    for t in (graphc, torch):
        optimizer = groups(t)
        s = t.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **settings)
        found = []
        for i, m in enumerate(metrics[:50]):
            s.step(t.tensor(m) if i % 7 == 0 else m)
            found.append(([g["lr"] for g in optimizer.param_groups], s.get_last_lr()))
            if i == 20:
                states.append(s.state_dict())
                other = t.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
                other.load_state_dict(s.state_dict())
                s = other
        curves.append(found)
    assert curves[0] == curves[1]
    assert saved(states[0]) == saved(states[1])


def said(function, t):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(t)
    return [(w.category, str(w.message).split(".")[0]) for w in caught]


def test_warnings():
    def too_early(t):
        t.optim.lr_scheduler.StepLR(groups(t), 1).step()

    def once_only(t):
        s = t.optim.lr_scheduler.StepLR(groups(t), 1)
        s.step()
        s.step()

    def steps_before_it_was_made(t):
        optimizer = groups(t)
        optimizer.step()
        t.optim.lr_scheduler.StepLR(optimizer, 1).step()

    def another_step(t):
        optimizer = groups(t)
        s = t.optim.lr_scheduler.StepLR(optimizer, 1)
        optimizer.step = lambda: None
        optimizer.step()
        s.step()

    def second_schedule(t):
        optimizer = groups(t)
        t.optim.lr_scheduler.StepLR(optimizer, 1)
        optimizer.step()
        t.optim.lr_scheduler.StepLR(optimizer, 1).step()

    def asks_for_the_next(t):
        t.optim.lr_scheduler.StepLR(groups(t), 1).get_lr()

    for function in (too_early, once_only, steps_before_it_was_made, another_step,
                     second_schedule, asks_for_the_next):  # fmt: skip
        assert said(function, graphc) == said(function, torch), function.__name__


ERRORS = (
    "StepLR(1, 2)",
    "LambdaLR(o, [abs])",
    "MultiplicativeLR(o, 1)",
    "ConstantLR(o, 1.5)",
    "LinearLR(o, 0.0)",
    "LinearLR(o, 0.5, 1.5)",
    "ReduceLROnPlateau(o, factor=1.5)",
    "ReduceLROnPlateau(o, 'least')",
    "ReduceLROnPlateau(o, threshold_mode='none')",
    "ReduceLROnPlateau(o, min_lr=[1, 2, 3])",
    "ReduceLROnPlateau(1)",
    "CosineAnnealingWarmRestarts(o, 0)",
    "CosineAnnealingWarmRestarts(o, 2, 0.5)",
    "CosineAnnealingWarmRestarts(o, 2, eta_min='0')",
    "CosineAnnealingWarmRestarts(o, 2).step(-1)",
    "OneCycleLR(o, 0.1)",
    "OneCycleLR(o, 0.1, -1)",
    "OneCycleLR(o, 0.1, epochs=0, steps_per_epoch=1)",
    "OneCycleLR(o, 0.1, 10, pct_start=2.0)",
    "OneCycleLR(o, 0.1, 10, anneal_strategy='up')",
    "OneCycleLR(o, [0.1], 10)",
    "OneCycleLR(plain, 0.1, 10)",
    "CyclicLR(o, 0.1, 0.2, mode='square')",
    "CyclicLR(o, [0.1], 0.2)",
    "CyclicLR(plain, 0.1, 0.2)",
    "SequentialLR(o, [], [])",
    "SequentialLR(o, [s.StepLR(o, 1)], [3])",
    "SequentialLR(o, [s.ReduceLROnPlateau(o)], [])",
    "SequentialLR(o, [1], [])",
    "ChainedScheduler([])",
    "ChainedScheduler([s.StepLR(o, 1), s.ReduceLROnPlateau(o)])",
    "LRScheduler(o)",
)


@pytest.mark.parametrize("text", ERRORS)
def test_errors(text):
    messages = []
    for t in (graphc, torch):
        names = {
            "s": t.optim.lr_scheduler,
            "o": groups(t),
            "plain": t.optim.Adagrad([t.ones(1)]),
        }
        with pytest.raises(Exception) as raised:
            eval(f"s.{text}", names)
        messages.append((type(raised.value), str(raised.value)))
    assert messages[0] == messages[1]


def test_a_cycle_ends():
    for t in (graphc, torch):
        optimizer = groups(t)
        s = t.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 3)
        optimizer.step()
        for _ in range(3):
            s.step()
        with pytest.raises(ValueError, match="Tried to step 4 times"):
            s.step()


def test_schedules_of_ones_own():
    def program(t):
        class Halves(t.optim.lr_scheduler._LRScheduler):
            def get_lr(self):
                return [base / 2**self.last_epoch for base in self.base_lrs]

        optimizer = groups(t)
        return curve(optimizer, Halves(optimizer), 5)

    assert program(graphc) == program(torch)


NAMES = [*torch.optim.lr_scheduler.__all__, "SWALR"]


@pytest.mark.parametrize("name", NAMES)
def test_signatures(name):
    def of(t):
        place = t.optim.swa_utils if name == "SWALR" else t.optim.lr_scheduler
        parameters = inspect.signature(getattr(place, name).__init__).parameters.values()
        return [(p.name, p.default, p.kind) for p in parameters]

    assert of(graphc) == of(torch)


@pytest.mark.parametrize("settings", ["0.05", "0.05, 5, 'linear'", "[0.01, 0.3], 0", "0.05, 3"])
def test_rates_of_stochastic_weight_averaging(settings):
    curves, states = [], []
    for t in (graphc, torch):
        optimizer = groups(t)
        s = eval(f"t.optim.swa_utils.SWALR(o, {settings})", {"t": t, "o": optimizer})
        curves.append(curve(optimizer, s, 20))
        states.append(s.state_dict())
    assert curves[0] == curves[1]
    assert states[0] == states[1]
