"""The base class of optimizers compared with PyTorch: groups, names, hooks, saving, errors."""

import copy
import importlib
import pickle
import warnings

import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import assert_same, same_error, values  # noqa: E402

pytestmark = pytest.mark.differential


def network(t):
    net = t.nn.Sequential(t.nn.Linear(4, 5), t.nn.Tanh(), t.nn.Linear(5, 2))
    with t.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(values(t, *p.shape, salt=i) / 4)
    return net


def train(t, net, optimizer, steps):
    losses = []
    for i in range(steps):
        x, y = values(t, 3, 4, salt=i), values(t, 3, 2, salt=i + 100)
        optimizer.zero_grad()
        loss = t.nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss)
    return losses, list(net.parameters())


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


def test_names_of_parameters():
    def program(t):
        net = network(t)
        o = t.optim.SGD(net.named_parameters(), lr=0.1)
        groups = [
            {"params": [(n, p) for n, p in net.named_parameters() if n.startswith(prefix)]}
            for prefix in "02"
        ]
        other = t.optim.AdamW(groups)
        saved = other.state_dict()
        del saved["param_groups"][0]["param_names"]
        other.load_state_dict(saved)
        names = [g["param_names"] for g in (*o.param_groups, *other.param_groups)]
        return names, repr(o), repr(other)

    assert program(graphc) == program(torch)


def test_groups_are_completed_and_kept():
    def program(t):
        net = network(t)
        o = t.optim.SGD(net.parameters(), 0.1, momentum=0.5)
        group = o.param_groups[0]
        group["lr"] *= 0.5
        group.update(momentum=0.9)
        mine = dict(group)
        mine.pop("params")
        kinds = [isinstance(group, dict), group.get("none", 3), "lr" in group, len(group)]
        copied = copy.deepcopy(o).param_groups[0]["momentum"]
        return mine, kinds, copied, list(group), sorted({**group}), o.defaults["momentum"]

    assert program(graphc) == program(torch)


def test_hooks_run_in_order_and_change_arguments():
    def program(t):
        net, seen = network(t), []
        o = t.optim.SGD(net.parameters(), 0.1)

        def before(optimizer, args, kwargs):
            seen.append(("before", optimizer is o, len(args), sorted(kwargs)))
            return (optimizer, lambda: seen.append("closure") or 7), {}

        handles = [
            base(t).register_optimizer_step_pre_hook(lambda *_: seen.append("before all")),
            base(t).register_optimizer_step_post_hook(lambda *_: seen.append("after all")),
            o.register_step_pre_hook(before),
            o.register_step_post_hook(lambda o, args, kwargs: seen.append(("after", len(args)))),
        ]
        seen.append(o.step())
        for handle in handles:
            handle.remove()
        seen.append(o.step())
        wrong = o.register_step_pre_hook(lambda *_: 3)
        with pytest.raises(RuntimeError, match="must return None or a tuple"):
            o.step()
        wrong.remove()
        return seen

    assert program(graphc) == program(torch)


def test_hooks_of_saving_and_loading():
    def program(t):
        net, seen = network(t), []
        o = t.optim.Adam(net.parameters())
        o.register_state_dict_pre_hook(lambda o: seen.append("second"))
        o.register_state_dict_pre_hook(lambda o: seen.append("first"), prepend=True)
        o.register_state_dict_post_hook(lambda o, d: d.update(note="kept"))
        o.register_state_dict_post_hook(lambda o, d: {**d, "more": 1})
        saved = o.state_dict()
        seen += [saved["note"], saved["more"]]
        o.register_load_state_dict_pre_hook(
            lambda o, d: {"state": {}, "param_groups": [{**d["param_groups"][0], "lr": 0.7}]}
        )
        o.register_load_state_dict_post_hook(lambda o: seen.append(o.param_groups[0]["lr"]))
        o.load_state_dict(saved)
        seen.append(o.state_dict()["note"])
        return seen

    assert program(graphc) == program(torch)


def test_loading_takes_the_dtype_of_the_parameters():
    def program(t):
        wide = network(t).double()
        o = t.optim.Adam(wide.parameters())
        wide(values(t, 3, 4, dtype="float64")).sum().backward()
        o.step()
        saved = o.state_dict()
        saved["state"]["extra"] = "kept"
        narrow = t.optim.Adam(network(t).parameters(), lr=3.0)
        narrow.load_state_dict(saved)
        entries = narrow.state_dict()["state"]
        kinds = {k: str(v.dtype).split(".")[1] for k, v in entries[0].items()}
        return kinds, entries["extra"], narrow.param_groups[0]["lr"]

    assert program(graphc) == program(torch)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "ASGD"])
def test_checkpoints_of_earlier_versions(name):
    """Options that were added later, and steps that were numbers of Python."""

    def program(t):
        net = network(t)
        o = getattr(t.optim, name)(net.parameters(), lr=0.1)
        train(t, net, o, 2)
        saved = o.state_dict()
        for key in ("maximize", "foreach", "fused", "capturable", "amsgrad", "nesterov"):
            saved["param_groups"][0].pop(key, None)
        for entries in saved["state"].values():
            if "step" in entries:
                entries["step"] = int(entries["step"])
        o.load_state_dict(saved)
        return repr(o), train(t, net, o, 2)

    mine, theirs = program(graphc), program(torch)
    assert mine[0] == theirs[0]
    assert_same(mine[1], theirs[1])


@pytest.mark.parametrize("through", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_continue(through):
    def program(t):
        net = network(t)
        o = t.optim.AdamW(net.parameters(), 0.1, amsgrad=True)
        train(t, net, o, 3)
        net, o = through((net, o))
        return train(t, net, o, 3)

    assert_same(program(graphc), program(torch))


def test_zeroed_gradients():
    def program(t):
        net = network(t)
        o = t.optim.SGD(net.parameters(), 0.1)
        net(values(t, 3, 4)).sum().backward()
        net[0].bias.grad = None
        o.zero_grad(set_to_none=False)
        left = [None if p.grad is None else p.grad.abs().sum().item() for p in net.parameters()]
        o.zero_grad()
        return left, [p.grad for p in net.parameters()]

    assert program(graphc) == program(torch)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("SGD", {}),
        ("Adam", {}),
        ("AdamW", {}),
        ("RAdam", {}),
        ("SGD", {"momentum": 0.5}),
        ("NAdam", {}),
        ("RMSprop", {}),
        ("Adagrad", {}),
        ("Adadelta", {}),
        ("ASGD", {}),
    ],
)
def test_steps_that_are_differentiated(name, settings):
    """Gradients through unrolled steps, for the rate too where PyTorch has that."""
    of_rate = name in ("SGD", "Adam", "AdamW", "RAdam") and not settings

    def program(t):
        lr = t.tensor(0.1, requires_grad=True, dtype=t.float64) if of_rate else 0.1
        start = t.tensor([1.0, -2.0], dtype=t.float64, requires_grad=True)
        p = start.clone()
        o = getattr(t.optim, name)([p], lr=lr, differentiable=True, **settings)
        for i in range(3):
            p.grad = (start + i) ** 2
            o.step()
        (p**2).sum().backward()
        return lr.grad if of_rate else 0, start.grad

    assert_same(program(graphc), program(torch))


def base(t):
    return importlib.import_module(f"{t.__name__}.optim.optimizer")


def message(function, t):
    with pytest.raises(Exception) as raised:
        function(t)
    return type(raised.value), str(raised.value).replace("graphc.", "torch.")


def one(t):
    return t.optim.SGD([t.ones(2)], 0.1)


ERRORS = {
    "empty": lambda t: t.optim.SGD([], 0.1),
    "tensor": lambda t: t.optim.SGD(t.ones(2), 0.1),
    "not a tensor": lambda t: t.optim.SGD([1.0], 0.1),
    "a module": lambda t: t.optim.SGD([t.nn.ReLU()], 0.1),
    "non-leaf": lambda t: t.optim.SGD([t.ones(2, requires_grad=True) * 2], 0.1),
    "no dict": lambda t: one(t).add_param_group([t.ones(1)]),
    "a set": lambda t: t.optim.SGD([{"params": {t.ones(1)}}], 0.1),
    "some names": lambda t: t.optim.SGD([("a", t.ones(1)), t.ones(1)], 0.1),
    "a group without names": lambda t: t.optim.SGD([("a", t.ones(1))], 0.1).add_param_group(
        {"params": [t.ones(1)]}
    ),
    "a group with names": lambda t: one(t).add_param_group({"params": [("a", t.ones(1))]}),
    "group twice": lambda t: (lambda p: t.optim.SGD([{"params": [p]}, {"params": [p]}], 0.1))(
        t.ones(2)
    ),
    "other groups": lambda t: one(t).load_state_dict({"state": {}, "param_groups": []}),
    "other sizes": lambda t: one(t).load_state_dict(
        {"state": {}, "param_groups": [{"params": [0, 1]}]}
    ),
    "required": lambda t: t.optim.Optimizer([t.ones(1)], {"lr": base(t).required}),
    "no step": lambda t: t.optim.Optimizer([t.ones(1)], {}).step(),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_pytorchs(name):
    assert message(ERRORS[name], graphc) == message(ERRORS[name], torch)


def test_a_parameter_twice_in_a_group_warns():
    said = []
    for t in (graphc, torch):
        p = t.ones(2)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            t.optim.SGD([p, p], 0.1)
        said.append([str(w.message).split(";")[0] for w in caught])
    assert said[0] == said[1]


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
