"""Parametrized weights (norms, orthogonal matrices, one's own) compared with PyTorch's."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import assert_same, plain, same_error, values  # noqa: E402

pytestmark = pytest.mark.differential


def silent(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return function(*args, **kwargs)


def filled(t, module):
    with t.no_grad():
        for number, p in enumerate(module.parameters()):
            p.copy_(values(t, *p.shape, salt=number) / 3)
    return module


MAKERS = {
    "weight norm": lambda t: t.nn.utils.parametrizations.weight_norm(filled(t, t.nn.Linear(4, 3))),
    "weight norm of everything": lambda t: t.nn.utils.parametrizations.weight_norm(
        filled(t, t.nn.Linear(4, 3)), dim=None
    ),
    "weight norm of a convolution": lambda t: t.nn.utils.parametrizations.weight_norm(
        filled(t, t.nn.Conv1d(4, 3, 1)), dim=1
    ),
    "older weight norm": lambda t: silent(t.nn.utils.weight_norm, filled(t, t.nn.Linear(4, 3))),
    "older weight norm, dim 1": lambda t: silent(
        t.nn.utils.weight_norm, filled(t, t.nn.Linear(4, 3)), dim=1
    ),
    "older weight norm of everything": lambda t: silent(
        t.nn.utils.weight_norm, filled(t, t.nn.Linear(4, 3)), "weight", None
    ),
    "spectral norm": lambda t: t.nn.utils.parametrizations.spectral_norm(
        filled(t, t.nn.Linear(4, 3)), n_power_iterations=2
    ),
    "spectral norm of a vector": lambda t: t.nn.utils.parametrizations.spectral_norm(
        filled(t, t.nn.Linear(4, 3)), "bias"
    ),
    "spectral norm of a convolution": lambda t: t.nn.utils.parametrizations.spectral_norm(
        filled(t, t.nn.ConvTranspose1d(4, 3, 1))
    ),
    "older spectral norm": lambda t: t.nn.utils.spectral_norm(filled(t, t.nn.Linear(4, 3))),
    "older spectral norm of a convolution": lambda t: t.nn.utils.spectral_norm(
        filled(t, t.nn.ConvTranspose1d(4, 3, 1)), n_power_iterations=3
    ),
    "cayley": lambda t: t.nn.utils.parametrizations.orthogonal(
        filled(t, t.nn.Linear(4, 3)), orthogonal_map="cayley"
    ),
    "matrix exponential": lambda t: t.nn.utils.parametrizations.orthogonal(
        filled(t, t.nn.Linear(4, 4))
    ),
    "householder": lambda t: t.nn.utils.parametrizations.orthogonal(filled(t, t.nn.Linear(4, 3))),
    "householder from what it is": lambda t: t.nn.utils.parametrizations.orthogonal(
        filled(t, t.nn.Linear(4, 6)), use_trivialization=False
    ),
}


def pair(name):
    """The module made by both, with the same state (vectors of the power method are random)."""
    theirs = MAKERS[name](torch)
    mine = MAKERS[name](graphc)
    state = theirs.state_dict()
    assert list(mine.state_dict()) == list(state)
    mine.load_state_dict({k: graphc.tensor(v.numpy()) for k, v in state.items()})
    return mine, theirs


def trained(t, module, compiled=False, steps=8):
    optimizer = t.optim.SGD(module.parameters(), lr=0.1, momentum=0.5)
    convolution = "Conv" in type(module).__name__
    x = values(t, 5, 4, 1) if convolution else values(t, 5, 4)

    def step(x):
        optimizer.zero_grad()
        loss = (module(x) - 1).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    run = t.compile(step) if compiled else step
    losses = [plain(run(x)) for _ in range(steps)]
    state = {k: plain(v) for k, v in module.state_dict().items()}
    module.eval()
    if compiled:
        assert len(run.receipts) == 1
    return losses, state, plain(module(x))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("compiled", [False, True])
def test_training(name, compiled):
    mine, theirs = pair(name)
    assert [n for n, _ in mine.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert repr(mine) == repr(theirs)
    got, expected = trained(graphc, mine, compiled), trained(torch, theirs)
    assert_same(got[0], expected[0], 1e-3, 1e-5)
    assert_same(got[1], expected[1], 1e-3, 1e-4)
    assert_same(got[2], expected[2], 1e-3, 1e-4)


@pytest.mark.parametrize("name", [n for n in MAKERS if not n.startswith("older")])
def test_removing(name):
    mine, theirs = pair(name)
    tensor = "bias" if name.endswith("vector") else "weight"
    for t, module in ((graphc, mine), (torch, theirs)):
        module.eval()
        assert t.nn.utils.parametrize.is_parametrized(module, tensor)
        kind = t.nn.utils.parametrize.type_before_parametrizations(module)
        t.nn.utils.parametrize.remove_parametrizations(module, tensor)
        assert type(module) is kind
        assert not t.nn.utils.parametrize.is_parametrized(module)
        assert isinstance(getattr(module, tensor), t.nn.Parameter)
    assert_same(dict(mine.state_dict()), dict(theirs.state_dict()), 1e-3, 1e-5)


@pytest.mark.parametrize("name", [n for n in MAKERS if n.startswith("older")])
def test_removing_older_forms(name):
    mine, theirs = pair(name)
    for t, module in ((graphc, mine), (torch, theirs)):
        getattr(t.nn.utils, "remove_" + "_".join(name.split()[1:3]).rstrip(","))(module)
        assert not module._forward_pre_hooks and not module._state_dict_hooks
        assert isinstance(module.weight, t.nn.Parameter)
    assert_same(dict(sorted(mine.state_dict().items())), dict(sorted(theirs.state_dict().items())),
                1e-3, 1e-5)  # fmt: skip
    for t in (graphc, torch):
        with pytest.raises(ValueError, match="not found in"):
            t.nn.utils.remove_weight_norm(t.nn.Linear(2, 2))
        with pytest.raises(ValueError, match="not found in"):
            t.nn.utils.remove_spectral_norm(t.nn.Linear(2, 2))


def test_orthogonal_matrices_are_orthogonal():
    for shape in ((3, 5), (5, 3), (4, 4)):
        for chosen in ("matrix_exp", "cayley", "householder"):
            module = graphc.nn.Linear(*shape)
            graphc.nn.utils.parametrizations.orthogonal(module, orthogonal_map=chosen)
            w = module.weight
            tall = w if w.shape[0] >= w.shape[1] else w.T
            np.testing.assert_allclose(plain(tall.T @ tall), np.eye(min(shape)), atol=1e-5)
            wanted = graphc.linalg.qr(graphc.randn(*tall.shape))[0]
            wanted = wanted if tall is w else wanted.T
            module.weight = wanted
            np.testing.assert_allclose(plain(module.weight), plain(wanted), atol=1e-5)


def test_states_of_the_older_weight_norm_load_into_the_newer():
    old = MAKERS["older weight norm"](graphc)
    new = graphc.nn.utils.parametrizations.weight_norm(graphc.nn.Linear(4, 3))
    new.load_state_dict(old.state_dict())
    x = values(graphc, 2, 4)
    assert_same(new(x), old(x))


# ------------------------------------------------------------------------------------ one's own


def symmetric(t):
    class Symmetric(t.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).T

        def right_inverse(self, a):
            return a.triu()

    return Symmetric()


def outer(t):
    class RankOne(t.nn.Module):
        def forward(self, x, y):
            return x.unsqueeze(-1) @ y.unsqueeze(-2)

        def right_inverse(self, z):
            return z[:, 0].clone(), z[0].clone()

    return RankOne()


def scaled(t):
    class Scaled(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = t.nn.Parameter(t.tensor(2.0))

        def forward(self, x):
            return x * self.factor

    return Scaled()


def test_several_parametrizations():
    def program(t):
        P = t.nn.utils.parametrize  # noqa: N806 - as people write it
        module = filled(t, t.nn.Linear(3, 3))
        seen = []
        P.register_parametrization(module, "weight", symmetric(t))
        seen += [module.weight, module.parametrizations.weight.original]
        P.register_parametrization(module, "weight", scaled(t))
        P.register_parametrization(module, "bias", scaled(t))
        seen += [module.weight, module.bias, list(module.state_dict()), type(module).__name__]
        seen += [P.is_parametrized(module), P.is_parametrized(module, "other"), repr(module)]
        seen.append(len(module.parametrizations.weight))
        module(values(t, 2, 3)).square().sum().backward()
        seen += [p.grad for p in module.parameters()]
        P.remove_parametrizations(module, "weight", leave_parametrized=False)
        seen += [module.weight, P.is_parametrized(module), P.is_parametrized(module, "weight")]
        P.remove_parametrizations(module, "bias")
        return [*seen, module.bias, type(module) is t.nn.Linear, list(module.state_dict())]

    assert_same(program(graphc), program(torch))


def test_assigning_goes_through_the_inverse():
    def program(t):
        P = t.nn.utils.parametrize  # noqa: N806
        module = filled(t, t.nn.Linear(3, 3))
        P.register_parametrization(module, "weight", symmetric(t))
        kept = module.parametrizations.weight.original
        wanted = values(t, 3, 3, salt=9)
        module.weight = wanted + wanted.T
        same = module.parametrizations.weight.original is kept
        rank = filled(t, t.nn.Linear(2, 3))
        P.register_parametrization(rank, "weight", outer(t))
        names = [n for n, _ in rank.named_parameters()]
        rank.weight = values(t, 3, 2, salt=4)
        result = [module.weight, kept, same, rank.weight, names]
        P.remove_parametrizations(rank, "weight")
        return [*result, rank.weight, isinstance(rank.weight, t.nn.Parameter)]

    assert_same(program(graphc), program(torch))


def test_cached_values_are_computed_once():
    def program(t):
        P = t.nn.utils.parametrize  # noqa: N806
        calls = []

        class Counted(t.nn.Module):
            def forward(self, x):
                calls.append(0)
                return x + 1

        module = filled(t, t.nn.Linear(2, 2))
        P.register_parametrization(module, "weight", Counted(), unsafe=True)
        x = values(t, 1, 2)
        with P.cached():
            first = module(module(x))
            with P.cached():
                same = module.weight is module.weight
        inside = len(calls)
        module(x)
        module.weight  # noqa: B018 - reading it computes it
        return first, same, inside, len(calls)

    assert_same(program(graphc), program(torch))


def test_cached_values_do_not_leave_a_trace():
    P = graphc.nn.utils.parametrize  # noqa: N806
    module = registered(graphc, scaled(graphc))
    x = values(graphc, 2, 3)
    expected = plain(module(x))

    @graphc.compile
    def twice(x):
        with P.cached():
            return module(x) + module(x)

    with P.cached():
        compiled = graphc.compile(module)
        assert_same(compiled(x), expected)
        assert_same(module(x), expected)
        assert_same(compiled(x), expected)
    assert_same(twice(x), 2 * expected)
    assert not P._Cache.values


def test_copies_are_deep_and_pickles_refused():
    module = MAKERS["weight norm"](graphc)
    made = copy.deepcopy(module)
    with graphc.no_grad():
        made.parametrizations.weight.original0.zero_()
    assert plain(made.weight).any() == 0 and plain(module.weight).any()
    assert type(made).__name__ == "ParametrizedLinear"
    for t in (graphc, torch):
        with pytest.raises(RuntimeError, match="Serialization of parametrized modules is only"):
            pickle.dumps(MAKERS["weight norm"](t))


def test_transferring():
    def program(t):
        P = t.nn.utils.parametrize  # noqa: N806
        source, target = filled(t, t.nn.Linear(3, 3)), t.nn.Linear(3, 3)
        P.register_parametrization(source, "weight", symmetric(t))
        P.transfer_parametrizations_and_params(source, target)
        kept = target.parametrizations.weight.original
        return target.weight, kept is source.parametrizations.weight.original

    assert_same(program(graphc), program(torch))


def bad(t, forward=None, inverse=None):
    class Bad(t.nn.Module):
        def forward(self, *xs):
            return forward(*xs) if forward else xs[0]

    if inverse:
        Bad.right_inverse = lambda self, x: inverse(x)
    return Bad()


def registered(t, *parametrizations, module=None, name="weight", **options):
    module = module or filled(t, t.nn.Linear(3, 2))
    for each in parametrizations:
        t.nn.utils.parametrize.register_parametrization(module, name, each, **options)
    return module


ERRORS = {
    "no such tensor": lambda t: registered(t, bad(t), name="nothing"),
    "not parametrized": lambda t: t.nn.utils.parametrize.remove_parametrizations(
        t.nn.Linear(2, 2), "weight"
    ),
    "no tensor": lambda t: registered(t, bad(t, lambda x: 3)),
    "other dtype": lambda t: registered(t, bad(t, lambda x: x.double())),
    "other shape": lambda t: registered(t, bad(t, lambda x: x[:1])),
    "other shape, second": lambda t: registered(t, bad(t), bad(t, lambda x: x[:1])),
    "other dtype, second": lambda t: registered(t, bad(t), bad(t, lambda x: x.double())),
    "no tensor, second": lambda t: registered(t, bad(t), bad(t, lambda x: 3)),
    "inverse of another dtype": lambda t: registered(t, bad(t, inverse=lambda x: x.double())),
    "inverse is a number": lambda t: registered(t, bad(t, inverse=lambda x: 3)),
    "inverse of numbers": lambda t: registered(t, bad(t, inverse=lambda x: [3])),
    "second inverse of another shape": lambda t: registered(
        t, bad(t), bad(t, inverse=lambda x: x[:1])
    ),
    "assigned without an inverse": lambda t: setattr(registered(t, bad(t)), "weight", t.ones(2, 3)),
    "assigned another dtype": lambda t: setattr(
        registered(t, bad(t, inverse=lambda x: x)), "weight", t.ones(2, 3).double()
    ),
    "several, left as they were": lambda t: t.nn.utils.parametrize.remove_parametrizations(
        registered(t, outer(t)), "weight", leave_parametrized=False
    ),
    "iterations": lambda t: t.nn.utils.parametrizations.spectral_norm(
        t.nn.Linear(2, 2), n_power_iterations=0
    ),
    "dimension": lambda t: t.nn.utils.parametrizations.spectral_norm(t.nn.Linear(2, 2), dim=2),
    "no weight": lambda t: t.nn.utils.parametrizations.spectral_norm(t.nn.ReLU()),
    "a vector": lambda t: t.nn.utils.parametrizations.orthogonal(t.nn.Linear(2, 2), "bias"),
    "another map": lambda t: t.nn.utils.parametrizations.orthogonal(
        t.nn.Linear(2, 2), orthogonal_map="qr"
    ),
    "twice": lambda t: silent(t.nn.utils.weight_norm, MAKERS["older weight norm"](t)),
    "twice, spectral": lambda t: t.nn.utils.spectral_norm(MAKERS["older spectral norm"](t)),
    "older iterations": lambda t: t.nn.utils.spectral_norm(t.nn.Linear(2, 2), n_power_iterations=0),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    mine = same_error(ERRORS[case])
    with pytest.raises(Exception) as theirs:
        ERRORS[case](torch)
    expected = str(theirs.value).replace("torch.", "graphc.")
    assert mine.split("\n")[0][:40] == expected.split("\n")[0][:40]


# ---------------------------------------------------------------------------------- other tools


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_fusion_with_batch_normalisation(affine, bias):
    def program(t):
        def normal(count):
            made = filled(t, t.nn.BatchNorm2d(count, affine=affine)).eval()
            made.running_mean.copy_(values(t, count, salt=5))
            made.running_var.copy_(values(t, count, salt=6).abs() + 0.5)
            return made

        U = t.nn.utils  # noqa: N806
        conv = filled(t, t.nn.Conv2d(2, 3, 2, bias=bias)).eval()
        back = filled(t, t.nn.ConvTranspose2d(2, 3, 2, bias=bias)).eval()
        linear = filled(t, t.nn.Linear(2, 3, bias=bias)).eval()
        flat = filled(t, t.nn.BatchNorm1d(3)).eval()
        x = values(t, 2, 2, 4, 4)
        fused = U.fuse_conv_bn_eval(conv, normal(3))
        weights = U.fuse_conv_bn_weights(
            conv.weight, conv.bias, t.ones(3), t.ones(3), 0.1, None, None
        )
        lines = U.fuse_linear_bn_weights(linear.weight, linear.bias, t.ones(3), t.ones(3), 0.1,
                                         t.ones(3), t.zeros(3))  # fmt: skip
        return (
            fused(x), normal(3)(conv(x)), U.fuse_conv_bn_eval(back, normal(3), transpose=True)(x),
            normal(3)(back(x)), U.fuse_linear_bn_eval(linear, flat)(x[:, :, 0, 0]), list(weights),
            list(lines), [p.requires_grad for p in (*weights, *lines)], conv.weight,
        )  # fmt: skip

    mine, theirs = program(graphc), program(torch)
    assert_same(mine, theirs, 1e-4, 1e-5)
    assert_same(mine[0], mine[1], 1e-4, 1e-5)
    assert_same(mine[2], mine[3], 1e-4, 1e-5)


def test_fusion_is_refused():
    for program in (
        lambda t: t.nn.utils.fuse_conv_bn_eval(t.nn.Conv1d(1, 1, 1), t.nn.BatchNorm1d(1)),
        lambda t: t.nn.utils.fuse_linear_bn_eval(
            t.nn.Linear(2, 3).eval(), t.nn.BatchNorm1d(2).eval()
        ),
        lambda t: t.nn.utils.fuse_conv_bn_eval(
            t.nn.Conv1d(1, 1, 1).eval(), t.nn.BatchNorm1d(1, track_running_stats=False).eval()
        ),
    ):
        same_error(program)


def test_skip_init_draws_nothing():
    graphc.manual_seed(3)
    expected = graphc.rand(3)
    graphc.manual_seed(3)
    module = graphc.nn.utils.skip_init(graphc.nn.Linear, 4, out_features=2, bias=False)
    assert module.weight.shape == (2, 4) and module.bias is None
    assert_same(graphc.rand(3), expected)
    same_error(lambda t: t.nn.utils.skip_init(dict))
    same_error(lambda t: t.nn.utils.skip_init(t.nn.ReLU))


def test_stateless_functional_call():
    def program(t):
        module = filled(t, t.nn.Linear(2, 2))
        with pytest.warns(FutureWarning):
            made = t.nn.utils.stateless.functional_call(
                module, {"weight": t.ones(2, 2)}, (values(t, 1, 2),)
            )
        return made, module.weight

    assert_same(program(graphc), program(torch))
