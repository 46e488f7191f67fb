"""Pruning compared with PyTorch's: masks, names, hooks, training under a mask, errors."""

import pytest

import graphc

torch = pytest.importorskip("torch")
pytest.importorskip("torch.nn.utils.prune")  # torch itself does not load it

from tests.nn.same_program import assert_same, plain, same_error, values  # noqa: E402

pytestmark = pytest.mark.differential


def made(t, kind="Linear"):
    module = t.nn.Linear(5, 4) if kind == "Linear" else t.nn.Conv2d(2, 3, 2)
    with t.no_grad():
        for number, p in enumerate(module.parameters()):
            p.copy_(values(t, *p.shape, salt=number))
    return module


def described(module):
    return (
        dict(module.state_dict()), module.weight, [n for n, _ in module.named_parameters()],
        [n for n, _ in module.named_buffers()], len(module._forward_pre_hooks),
    )  # fmt: skip


def scores(t, module):
    return -module.weight.detach().abs()


STEPS = {
    "l1": lambda t, p, m: p.l1_unstructured(m, "weight", 7),
    "l1 part": lambda t, p, m: p.l1_unstructured(m, "weight", amount=0.3),
    "l1 by scores": lambda t, p, m: p.l1_unstructured(m, "weight", 0.5, scores(t, m)),
    "nothing": lambda t, p, m: p.l1_unstructured(m, "weight", 0),
    "channels": lambda t, p, m: p.ln_structured(m, "weight", 2, n=2, dim=0),
    "channels of the last dim": lambda t, p, m: p.ln_structured(
        m, "weight", 0.5, n=float("inf"), dim=-1
    ),
    "mask": lambda t, p, m: p.custom_from_mask(m, "weight", (values(t, *m.weight.shape) > 0).int()),
    "identity": lambda t, p, m: p.identity(m, "weight"),
    "bias": lambda t, p, m: p.l1_unstructured(m, "bias", 1),
}
SEQUENCES = [[name] for name in STEPS] + [
    ["l1", "l1 part"], ["l1", "channels"], ["channels", "l1", "mask"], ["identity", "l1"],
    ["mask", "channels of the last dim", "bias"],
]  # fmt: skip


@pytest.mark.parametrize("names", SEQUENCES, ids=", ".join)
@pytest.mark.parametrize("kind", ["Linear", "Conv2d"])
def test_methods(names, kind):
    def program(t):
        prune = t.nn.utils.prune
        module = made(t, kind)
        seen = [prune.is_pruned(module)]
        for name in names:
            assert STEPS[name](t, prune, module) is module
            seen.append(described(module))
        seen.append(prune.is_pruned(t.nn.Sequential(module)))
        x = values(t, 2, 5) if kind == "Linear" else values(t, 1, 2, 4, 4)
        module(x).square().sum().backward()
        seen += [p.grad for p in module.parameters()]
        prune.remove(module, "bias" if names == ["bias"] else "weight")
        seen += [dict(sorted(module.state_dict().items())), prune.is_pruned(module)]
        return seen

    assert_same(program(graphc), program(torch), 1e-4, 1e-5)


def test_random_methods_drop_as_many_as_they_should():
    prune = graphc.nn.utils.prune
    module = prune.random_unstructured(made(graphc), "weight", 6)
    assert int((module.weight_mask == 0).sum()) == 6
    prune.random_unstructured(module, "weight", 0.5)
    assert int((module.weight_mask == 0).sum()) == 6 + 7
    module = prune.random_structured(made(graphc), "weight", 2, dim=1)
    empty = (module.weight_mask == 0).all(0)
    assert int(empty.sum()) == 2 and int((module.weight_mask == 0).sum()) == 8
    graphc.manual_seed(1)
    first = prune.random_unstructured(made(graphc), "weight", 0.5).weight_mask
    graphc.manual_seed(1)
    second = prune.random_unstructured(made(graphc), "weight", 0.5).weight_mask
    assert_same(first, second)


def test_global_pruning():
    def program(t):
        prune = t.nn.utils.prune
        first, second = made(t), made(t, "Conv2d")
        places = [(first, "weight"), (second, "weight"), (first, "bias")]
        prune.global_unstructured(places, prune.L1Unstructured, amount=0.3)
        seen = [described(first), described(second)]
        given = {(first, "weight"): t.ones_like(first.weight) * 9}
        prune.global_unstructured(places, prune.L1Unstructured, given, amount=5)
        return [*seen, described(first), described(second)]

    assert_same(program(graphc), program(torch))


def test_methods_of_ones_own():
    def program(t):
        prune = t.nn.utils.prune

        class EveryOther(prune.BasePruningMethod):
            PRUNING_TYPE = "unstructured"

            def compute_mask(self, tensor, default_mask):
                mask = default_mask.clone()
                mask.view(-1)[::2] = 0
                return mask

        module = made(t)
        hook = EveryOther.apply(module, "weight")
        prune.l1_unstructured(module, "weight", 3)
        EveryOther.apply(module, "weight")
        (container,) = module._forward_pre_hooks.values()
        alone = prune.L1Unstructured(amount=2).prune(t.tensor([3.0, -1.0, 2.0, 0.5]))
        kinds = [type(method).__name__ for method in container]
        return module.weight, type(hook).__name__, len(container), kinds, alone

    assert_same(program(graphc), program(torch))


@pytest.mark.parametrize("compiled", [False, True])
def test_training_under_a_mask(compiled):
    def program(t, compiled):
        module = made(t)
        t.nn.utils.prune.l1_unstructured(module, "weight", 0.5)
        optimizer = t.optim.SGD(module.parameters(), 0.01, momentum=0.9)

        def step(x):
            optimizer.zero_grad()
            loss = (module(x) - 1).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        run = t.compile(step) if compiled else step
        losses = [plain(run(values(t, 6, 5))) for _ in range(6)]
        if compiled:
            assert len(run.receipts) == 1
        t.nn.utils.prune.remove(module, "weight")
        return losses, dict(sorted(module.state_dict().items()))

    assert_same(program(graphc, compiled), program(torch, False), 1e-4, 1e-5)


ERRORS = {
    "too many": lambda t, p: p.l1_unstructured(made(t), "weight", 21),
    "negative": lambda t, p: p.l1_unstructured(made(t), "weight", -1),
    "more than all": lambda t, p: p.random_unstructured(made(t), "weight", 1.5),
    "no number": lambda t, p: p.l1_unstructured(made(t), "weight", "all"),
    "channels of a vector": lambda t, p: p.ln_structured(made(t), "bias", 1, 2, 0),
    "no such dimension": lambda t, p: p.ln_structured(made(t), "weight", 1, 2, 2),
    "scores of another shape": lambda t, p: p.l1_unstructured(made(t), "weight", 1, t.ones(2)),
    "mask of another shape": lambda t, p: p.custom_from_mask(made(t), "weight", t.ones(2)),
    "not pruned": lambda t, p: p.remove(made(t), "weight"),
    "global, structured": lambda t, p: p.global_unstructured(
        [(made(t), "weight")], p.LnStructured, amount=1, n=2
    ),
    "global, no list": lambda t, p: p.global_unstructured(3, p.L1Unstructured, amount=1),
    "global, scores": lambda t, p: p.global_unstructured([], p.L1Unstructured, [1], amount=1),
    "no method": lambda t, p: p.PruningContainer(p.Identity()).add_pruning_method(3),
    "no such parameter": lambda t, p: p.identity(made(t), "other"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    if case == "no method":
        for t in (graphc, torch):
            method = t.nn.utils.prune.Identity()
            method._tensor_name = "weight"
            with pytest.raises(TypeError, match="is not a BasePruningMethod subclass"):
                t.nn.utils.prune.PruningContainer(method).add_pruning_method(3)
        return
    mine = same_error(lambda t: ERRORS[case](t, t.nn.utils.prune))
    with pytest.raises(Exception) as theirs:
        ERRORS[case](torch, torch.nn.utils.prune)
    assert mine.replace("graphc.", "torch.")[:30] == str(theirs.value)[:30]


def test_what_failed_leaves_the_module_as_it_was():
    module = made(graphc)
    before = described(module)
    with pytest.raises(ValueError):
        graphc.nn.utils.prune.l1_unstructured(module, "weight", 99)
    after = described(module)
    assert sorted(after[2]) == sorted(before[2]) and after[3:] == before[3:]
    assert module(graphc.ones(1, 5)).shape == (1, 4)
