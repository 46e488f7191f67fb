"""State, conversions and copies of modules compared with PyTorch."""

import copy
import pickle
from collections import OrderedDict

import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.module_programs import network, outcome, same  # noqa: E402
from tests.nn.same_program import assert_same, values  # noqa: E402

pytestmark = pytest.mark.differential


# -------------------------------------------------------------------------------------------- state

STATE = {
    "itself": lambda t, n, s: n.load_state_dict(s),
    "missing": lambda t, n, s: (s.pop("scale"), s.pop("layers.0.bias"), n.load_state_dict(s)),
    "unexpected": lambda t, n, s: (
        s.update({"more": t.ones(1), "layers.9.weight": t.ones(1), "scale.x": t.ones(1)}),
        n.load_state_dict(s),
    ),
    "not strict": lambda t, n, s: (
        s.pop("scale"), s.update(more=t.ones(1)), n.load_state_dict(s, strict=False),
    ),
    "shape": lambda t, n, s: (
        s.update(scale=t.ones(3)), s.pop("tied.weight"), n.load_state_dict(s, strict=False),
    ),
    "all at once": lambda t, n, s: (
        s.update({"scale": t.ones(3), "x": t.ones(1), "layers.0.bias": t.ones(2, 2)}),
        s.pop("tied.weight"), n.load_state_dict(s),
    ),
    "number": lambda t, n, s: (s.update(scale=3), n.load_state_dict(s)),
    "assigned": lambda t, n, s: (
        s.update(scale=t.zeros(2, dtype=t.float64)), n.load_state_dict(s, assign=True),
        n.scale, n.scale.requires_grad, type(n.scale).__name__, n.first.weight is n.tied.weight,
    ),
    "other dtype": lambda t, n, s: (
        s.update(scale=t.zeros(2, dtype=t.float64)), n.load_state_dict(s), n.scale,
    ),
    "of one element": lambda t, n, s: (
        b := t.nn.BatchNorm1d(2), c := b.state_dict(),
        c.update(num_batches_tracked=t.tensor([7])), b.load_state_dict(c), b.num_batches_tracked,
    ),
    "of early norms": lambda t, n, s: (
        b := t.nn.BatchNorm1d(2), c := dict(b.state_dict()), c.pop("num_batches_tracked"),
        b.load_state_dict(c), t.nn.Sequential(b).state_dict()._metadata,
    ),
    "of norms without count": lambda t, n, s: (
        b := t.nn.BatchNorm1d(2), c := b.state_dict(), c.pop("num_batches_tracked"),
        b.load_state_dict(c),
    ),
    "of early instance norms": lambda t, n, s: (
        t.nn.InstanceNorm1d(2).load_state_dict({"running_mean": t.ones(2)}),
    ),
    "kept": lambda t, n, s: (
        all(v.requires_grad for k, v in n.state_dict(keep_vars=True).items() if "weight" in k),
        any(v.requires_grad for v in n.state_dict().values()),
    ),
    "positions": lambda t, n, s: list(n.state_dict(OrderedDict(), "p.", True)),
    "without prefix": lambda t, n, s: (
        w := t.nn.ModuleDict({"module": n}).state_dict(),
        t.nn.modules.utils.consume_prefix_in_state_dict_if_present(w, "module."),
        list(w), n.load_state_dict(w),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STATE)
def test_state(name):
    def program(t):
        n = network(t)
        found = STATE[name](t, n, n.state_dict())
        parts = found if isinstance(found, tuple) else (found,)
        return [
            str(x) if hasattr(x, "missing_keys") else shown(t, x) for x in parts
        ], n.state_dict()

    same(program)


def shown(t, x):
    if isinstance(x, t.nn.Module):
        return repr(x)
    return dict(x) if isinstance(x, dict) else x


def test_hooks_on_state():
    def program(t):
        n, told = network(t), []
        n.register_state_dict_pre_hook(lambda m, prefix, keep: told.append(["pre", prefix, keep]))
        n.first.register_state_dict_post_hook(
            lambda m, state, prefix, meta: told.append(["post", list(state), prefix, dict(meta)])
        )
        n.layers._register_state_dict_hook(
            lambda m, state, prefix, meta: state.update({prefix + "more": t.ones(1)})
        )
        n.layers.register_load_state_dict_pre_hook(
            lambda m, state, prefix, *rest: state.pop(prefix + "more")
        )
        n.register_load_state_dict_post_hook(
            lambda m, keys: (
                (told.append([str(keys), type(m).__name__]), keys.missing_keys.clear())[:0] or None
            )
        )
        state = n.state_dict()
        state.pop("scale")
        return told, list(state), str(n.load_state_dict(state))

    same(program)


def test_hooks_on_state_return_nothing():
    def after(t):
        n = network(t)
        n.register_state_dict_post_hook(lambda *args: {})
        return n.state_dict()

    def loaded(t):
        n = network(t)
        n.register_load_state_dict_post_hook(lambda *args: 1)
        return n.load_state_dict(n.state_dict())

    same(after)
    same(loaded)


def test_extra_state():
    def program(t):
        class Counting(t.nn.Linear):
            def get_extra_state(self):
                return {"seen": 3}

            def set_extra_state(self, state):
                self.seen = state["seen"] + 1

        m = t.nn.Sequential(Counting(1, 1))
        state = m.state_dict()
        m.load_state_dict(state)
        seen = [m[0].seen, list(state)]
        state.pop("0._extra_state")
        try:
            m.load_state_dict(state)
        except RuntimeError as error:
            seen.append(str(error))
        other = t.nn.Sequential(t.nn.Linear(1, 1))
        state["0._extra_state"] = 1
        return seen, str(outcome(t, lambda t: other.load_state_dict(state)))

    same(program)


# --------------------------------------------------------------------------- conversions and copies

CONVERSIONS = {
    "double": lambda t, n: n.double(),
    "half": lambda t, n: n.half(),
    "bfloat16 and back": lambda t, n: n.bfloat16().float(),
    "to": lambda t, n: n.to(t.float64),
    "to a device": lambda t, n: n.to("cpu", t.float16, non_blocking=True),
    "to keywords": lambda t, n: n.to(device="cpu", dtype=t.float64),
    "like": lambda t, n: n.to(t.ones(1, dtype=t.float64)),
    "type": lambda t, n: n.requires_grad_(False).type(t.float64),
    "frozen": lambda t, n: n.requires_grad_(False),
    "zeroed": lambda t, n: n.zero_grad(set_to_none=False),
    "forgotten": lambda t, n: n.zero_grad(),
    "applied": lambda t, n: n.apply(
        lambda m: m.weight.data.fill_(2) if isinstance(m, t.nn.Linear) else None
    ),
    "evaluation": lambda t, n: n.eval(),
    "copied": lambda t, n: copy.deepcopy(n),
    "shared": lambda t, n: n.share_memory(),
    "cpu": lambda t, n: n.cpu(),
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversion(name):
    def program(t):
        n = network(t)
        n.count = t.nn.Buffer(t.tensor([1, 2]))
        n(values(t, 3, 2)).sum().backward()
        m = CONVERSIONS[name](t, n)
        return (
            m is n,
            [str(x.dtype) for x in (*m.parameters(), *m.buffers())],
            [p.requires_grad for p in m.parameters()],
            [None if p.grad is None else p.grad.float() for p in m.parameters()],
            [x.float() for x in m.state_dict().values()],
            m.first.weight is m.tied.weight,
            m.first is m.again,
            m.training,
        )

    same(program)


def test_to_empty_keeps_shapes():
    n = network(graphc).to_empty(device="cpu")
    assert [p.shape for p in n.parameters()] == [p.shape for p in network(torch).parameters()]


def test_pickles_and_shallow_copies():
    module = graphc.nn.Sequential(graphc.nn.Linear(2, 2), graphc.nn.BatchNorm1d(2)).eval()
    module[0].register_forward_hook(_double)
    again = pickle.loads(pickle.dumps(module))
    x = values(graphc, 3, 2)
    assert_same(again(x), module(x))
    assert repr(again) == repr(module)
    assert not again.training
    shallow = copy.copy(module)
    assert shallow[0].weight is module[0].weight
    assert shallow._modules is module._modules


def _double(_module, _args, y):
    return y * 2


def test_modules_from_before():
    """A state that lacks what was added since is filled up."""
    module = graphc.nn.Linear(1, 1)
    state = {
        name: dict(value) if isinstance(value, dict) else value
        for name, value in vars(module).items()
        if name not in ("_backward_pre_hooks", "_state_dict_pre_hooks")
    }
    other = graphc.nn.Linear.__new__(graphc.nn.Linear)
    other.__setstate__(state)
    assert list(other.state_dict()) == ["weight", "bias"]
    other.register_full_backward_pre_hook(lambda *_: None)
