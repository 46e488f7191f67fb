"""GradScaler compared with PyTorch's: scales, counters, skipped steps, errors, saved states."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import assert_same, plain, values  # noqa: E402

pytestmark = pytest.mark.differential

OPTIMIZERS = {
    "SGD": lambda t, p: t.optim.SGD(p, 0.05),
    "momentum": lambda t, p: t.optim.SGD(p, 0.05, momentum=0.9),
    "AdamW": lambda t, p: t.optim.AdamW(p, 0.05),
}


def training(t, optimizer="momentum", poisoned=(), compiled=False, steps=12, **options):
    """Losses, scales, counters and weights of each step; some batches hold an infinity."""
    layer = t.nn.Linear(3, 2)
    with t.no_grad():
        layer.weight.copy_(values(t, 2, 3) / 4)
        layer.bias.zero_()
    made = OPTIMIZERS[optimizer](t, layer.parameters())
    scaler = t.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3, **options)

    def step(x, y):
        made.zero_grad()
        loss = t.nn.functional.mse_loss(layer(x), y)
        scaler.scale(loss).backward()
        scaler.step(made)
        scaler.update()
        return loss

    run = t.compile(step) if compiled else step
    seen = []
    for number in range(steps):
        x = values(t, 4, 3, salt=number)
        x = x * float("inf") if number in poisoned else x
        loss = run(x, t.ones(4, 2))
        state = scaler.state_dict()
        weights = [plain(p) for p in layer.parameters()]
        seen.append(
            (float(loss.detach()), state.get("scale"), state.get("_growth_tracker"), weights)
        )
    if compiled:
        assert len(run.receipts) <= 1 + bool(poisoned)
    return seen


def same_training(mine, theirs):
    for a, b in zip(mine, theirs, strict=True):
        assert a[1:3] == b[1:3]
        np.testing.assert_allclose(a[0], b[0], rtol=1e-4)
        assert_same(a[3], b[3], 1e-4, 1e-5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("poisoned", [(), (0,), (4, 5, 9)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training(optimizer, poisoned, compiled):
    mine = training(graphc, optimizer, poisoned, compiled)
    same_training(mine, training(torch, optimizer, poisoned))


@pytest.mark.parametrize("compiled", [False, True])
def test_disabled_it_passes_everything_through(compiled):
    mine = training(graphc, compiled=compiled, enabled=False)
    same_training(mine, training(torch, enabled=False))
    assert mine[-1][1] is None


@pytest.mark.parametrize("compiled", [False, True])
def test_unscaling_before_clipping(compiled):
    def program(t, compiled=False):
        layer = t.nn.Linear(3, 2)
        with t.no_grad():
            layer.weight.copy_(values(t, 2, 3))
            layer.bias.zero_()
        optimizer = t.optim.SGD(layer.parameters(), 0.1)
        scaler = t.amp.GradScaler("cpu", init_scale=1024.0)

        def step(x):
            optimizer.zero_grad()
            with t.autocast("cpu", dtype=t.float16):
                loss = layer(x).square().mean()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            norm = t.nn.utils.clip_grad_norm_(layer.parameters(), 0.5)
            scaler.step(optimizer)
            scaler.update()
            return norm

        run = t.compile(step) if compiled else step
        norms = [run(values(t, 4, 3, salt=number)) for number in range(4)]
        if compiled:
            assert len(run.receipts) == 1
        return norms, [p.detach() for p in layer.parameters()]

    assert_same(program(graphc, compiled), program(torch), 0.01, 0.01)


def test_several_optimizers_and_losses():
    def program(t):
        layers = [t.nn.Linear(2, 2, bias=False) for _ in range(2)]
        with t.no_grad():
            for number, layer in enumerate(layers):
                layer.weight.copy_(values(t, 2, 2, salt=number))
        optimizers = [t.optim.SGD(layer.parameters(), 0.1) for layer in layers]
        scaler = t.amp.GradScaler("cpu", init_scale=4.0)
        x = values(t, 3, 2)
        seen = []
        for number in range(3):
            losses = [layer(x).square().mean() for layer in layers]
            losses[1] = losses[1] * (float("nan") if number == 1 else 1.0)
            for optimizer in optimizers:
                optimizer.zero_grad()
            for loss in scaler.scale(losses):
                loss.backward()
            for optimizer in optimizers:
                scaler.step(optimizer)
            scaler.update()
            seen.append((scaler.get_scale(), [layer.weight.detach().clone() for layer in layers]))
        return seen

    assert_same(program(graphc), program(torch))


def test_scaling_nests_of_tensors():
    def program(t):
        scaler = t.amp.GradScaler("cpu", init_scale=4.0)
        scaled = scaler.scale([t.ones(2), (t.ones(1), t.full((1,), 3.0))])
        return scaled, type(scaled[1]) is tuple, list(scaler.scale(x for x in [t.ones(1)]))

    assert_same(program(graphc), program(torch))


def fresh(t, **options):
    layer = t.nn.Linear(2, 1)
    return t.amp.GradScaler("cpu", **options), t.optim.SGD(layer.parameters(), 0.1), layer


def scaled(t, **options):
    scaler, optimizer, layer = fresh(t, **options)
    scaler.scale(layer(t.ones(1, 2)).sum()).backward()
    return scaler, optimizer, layer


def _step_before_scale(t):
    scaler, optimizer, _ = fresh(t)
    scaler.step(optimizer)


def _unscale_before_scale(t):
    scaler, optimizer, _ = fresh(t)
    scaler.unscale_(optimizer)


def _update_before_scale(t):
    fresh(t)[0].update()


def _update_without_checks(t):
    scaler, _, _ = scaled(t)
    scaler.update()


def _unscale_twice(t):
    scaler, optimizer, _ = scaled(t)
    scaler.unscale_(optimizer)
    scaler.unscale_(optimizer)


def _unscale_after_step(t):
    scaler, optimizer, _ = scaled(t)
    scaler.step(optimizer)
    scaler.unscale_(optimizer)


def _step_twice(t):
    scaler, optimizer, _ = scaled(t)
    scaler.step(optimizer)
    scaler.step(optimizer)


def _closure(t):
    scaler, optimizer, _ = scaled(t)
    scaler.step(optimizer, closure=lambda: 0)


def _no_gradients(t):
    scaler, optimizer, _ = fresh(t)
    scaler.scale(t.ones(1))
    scaler.step(optimizer)


def _half(t):
    scaler, _, layer = scaled(t)
    layer = t.nn.Linear(2, 1).half()
    for p in layer.parameters():
        p.grad = t.ones_like(p)
    scaler.unscale_(t.optim.SGD(layer.parameters(), 0.1))


def _empty_state(t):
    fresh(t)[0].load_state_dict({})


def _pickled_halfway(t):
    scaler, optimizer, _ = scaled(t)
    scaler.unscale_(optimizer)
    pickle.dumps(scaler)


def _no_tensor(t):
    fresh(t)[0].scale(3)


def _growth(t):
    t.amp.GradScaler("cpu", growth_factor=1.0)


def _backoff(t):
    t.amp.GradScaler("cpu", backoff_factor=1.0)


ERRORS = [
    _step_before_scale, _unscale_before_scale, _update_before_scale, _update_without_checks,
    _unscale_twice, _unscale_after_step, _step_twice, _closure, _no_gradients, _half, _empty_state,
    _pickled_halfway, _no_tensor, _growth, _backoff,
]  # fmt: skip


@pytest.mark.parametrize("program", ERRORS)
def test_errors(program):
    with pytest.raises(Exception) as theirs:
        program(torch)
    with pytest.raises(type(theirs.value)) as mine:
        program(graphc)
    assert str(mine.value).split("\n")[0] == str(theirs.value)


def test_states_go_to_pytorch_and_back():
    def trained(t):
        scaler, optimizer, _ = scaled(t, init_scale=64.0, growth_interval=5)
        scaler.step(optimizer)
        scaler.update()
        return scaler

    mine, theirs = trained(graphc), trained(torch)
    state = mine.state_dict()
    assert state == theirs.state_dict()
    assert list(state) == list(theirs.state_dict())
    for maker, given in ((graphc, theirs.state_dict()), (torch, state)):
        for other in (fresh(maker)[0], scaled(maker)[0]):
            other.load_state_dict(given)
            assert other.state_dict() == state
            assert other.get_growth_interval() == 5
    assert pickle.loads(pickle.dumps(mine)).state_dict() == state
    assert copy.deepcopy(mine).state_dict() == state


def test_settings():
    def program(t):
        scaler = t.amp.GradScaler("cpu", init_scale=2.0)
        seen = [scaler.is_enabled(), scaler.get_scale(), scaler.state_dict()]
        scaler.set_growth_factor(4.0)
        scaler.set_backoff_factor(0.25)
        scaler.set_growth_interval(7)
        seen += [scaler.get_growth_factor(), scaler.get_backoff_factor()]
        seen += [scaler.get_growth_interval(), scaler.state_dict()]
        scaler.scale(t.ones(1))
        scaler.update(3.5)
        seen.append(scaler.get_scale())
        scaler.update(t.tensor(5.0))
        seen.append(scaler.get_scale())
        off = t.amp.GradScaler("cpu", enabled=False)
        return [*seen, off.is_enabled(), off.get_scale(), off.state_dict(), off.scale(3)]

    assert program(graphc) == program(torch)


def test_on_a_gpu_that_is_not_there():
    for t in (graphc, torch):
        with pytest.warns(UserWarning, match="CUDA is not available"):
            scaler = t.amp.GradScaler()
        assert not scaler.is_enabled()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert not t.cuda.amp.GradScaler().is_enabled()


def test_changed_settings_compile_anew():
    layer = graphc.nn.Linear(2, 1)
    optimizer = graphc.optim.SGD(layer.parameters(), 0.1)
    scaler = graphc.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1)

    @graphc.compile
    def step(x):
        optimizer.zero_grad()
        scaler.scale(layer(x).sum()).backward()
        scaler.step(optimizer)
        scaler.update()

    x = graphc.ones(1, 2)
    step(x)
    step(x)
    assert scaler.get_scale() == 16.0 and len(step.receipts) == 1
    scaler.set_growth_factor(4.0)
    step(x)
    assert scaler.get_scale() == 64.0 and len(step.receipts) == 2
