"""Layers compared with PyTorch: text, shapes of state, results with copied weights, gradients."""

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import assert_same, classes, same_error, values  # noqa: E402

pytestmark = pytest.mark.differential

LAYERS = {
    "Linear(5, 3)": (4, 5),
    "Linear(5, 3, bias=False)": (2, 4, 5),
    "Identity(7, a=2)": (3,),
    "Conv1d(4, 6, 3, stride=2, padding=1)": (2, 4, 9),
    "Conv2d(3, 6, 3)": (2, 3, 6, 7),
    "Conv2d(3, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=2, groups=3, bias=False)": (
        2, 3, 6, 7,
    ),
    "Conv2d(3, 4, 3, padding='same')": (2, 3, 6, 7),
    "Conv2d(3, 4, 3, padding=2, padding_mode='reflect')": (2, 3, 6, 7),
    "Conv2d(3, 4, (2, 3), padding='same', padding_mode='circular')": (2, 3, 6, 7),
    "Conv3d(2, 3, 2)": (1, 2, 3, 4, 3),
    "ConvTranspose1d(4, 3, 3, stride=2)": (2, 4, 5),
    "ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2)": (2, 4, 5, 6),
    "ConvTranspose3d(2, 3, 2, bias=False)": (1, 2, 2, 3, 2),
    "MaxPool1d(2)": (2, 3, 8),
    "MaxPool2d(2, 2)": (2, 3, 6, 6),
    "MaxPool2d((2, 3), stride=1, padding=1, ceil_mode=True)": (2, 3, 6, 6),
    "MaxPool3d(2)": (1, 2, 4, 4, 4),
    "AvgPool1d(3)": (2, 3, 8),
    "AvgPool2d(2, padding=1)": (2, 3, 6, 6),
    "AvgPool3d(2)": (1, 2, 4, 4, 4),
    "LPPool1d(2, 3)": (2, 3, 9),
    "LPPool2d(2, 3)": (2, 3, 6, 6),
    "AdaptiveAvgPool1d(3)": (2, 3, 8),
    "AdaptiveAvgPool2d((2, None))": (2, 3, 6, 5),
    "AdaptiveMaxPool2d(2)": (2, 3, 6, 5),
    "BatchNorm1d(3)": (4, 3),
    "BatchNorm1d(3, momentum=None)": (4, 3, 2),
    "BatchNorm2d(3, eps=0.001, momentum=0.3)": (2, 3, 4, 4),
    "BatchNorm2d(3, affine=False, track_running_stats=False)": (2, 3, 4, 4),
    "BatchNorm3d(2)": (2, 2, 2, 3, 2),
    "InstanceNorm1d(3)": (2, 3, 5),
    "InstanceNorm2d(3, affine=True, track_running_stats=True)": (2, 3, 4, 4),
    "LayerNorm(5)": (3, 5),
    "LayerNorm((2, 5), bias=False)": (3, 2, 5),
    "LayerNorm(5, elementwise_affine=False)": (3, 5),
    "RMSNorm(5)": (3, 5),
    "GroupNorm(2, 4)": (3, 4, 5),
    "LocalResponseNorm(2)": (2, 4, 3, 3),
    "Dropout(0.0)": (3, 4),
    "Dropout(1.0)": (3, 4),
    "Dropout2d(0.0, inplace=True)": (1, 2, 3, 3),
    "AlphaDropout(0.0)": (3, 4),
    "Flatten()": (2, 3, 4),
    "Flatten(0, 1)": (2, 3, 4),
    "Unflatten(1, (2, 3))": (2, 6),
    "Unfold(2)": (1, 2, 3, 3),
    "Fold((3, 3), 2)": (1, 8, 4),
    "ZeroPad2d((1, 0, 2, 1))": (1, 2, 3, 3),
    "ConstantPad1d(2, 3.5)": (1, 2, 3),
    "ReflectionPad2d(1)": (1, 2, 3, 3),
    "ReplicationPad1d((2, 0))": (1, 2, 3),
    "CircularPad2d(1)": (1, 2, 3, 3),
    "ReLU()": (3, 4),
    "ReLU(inplace=True)": (3, 4),
    "ReLU6()": (3, 4),
    "LeakyReLU(0.1)": (3, 4),
    "PReLU(4)": (3, 4),
    "ELU(0.5)": (3, 4),
    "CELU(0.5)": (3, 4),
    "SELU()": (3, 4),
    "GELU()": (3, 4),
    "GELU('tanh')": (3, 4),
    "SiLU()": (3, 4),
    "Mish()": (3, 4),
    "Softplus()": (3, 4),
    "Softsign()": (3, 4),
    "Sigmoid()": (3, 4),
    "LogSigmoid()": (3, 4),
    "Tanh()": (3, 4),
    "Tanhshrink()": (3, 4),
    "Hardtanh()": (3, 4),
    "Hardswish()": (3, 4),
    "Hardsigmoid()": (3, 4),
    "Hardshrink()": (3, 4),
    "Softshrink()": (3, 4),
    "Threshold(0.1, 20)": (3, 4),
    "GLU()": (3, 4),
    "Softmax(dim=1)": (3, 4),
    "LogSoftmax(dim=0)": (3, 4),
    "Softmin(dim=1)": (3, 4),
    "Softmax2d()": (2, 3, 2, 2),
}  # fmt: skip


def make(t, text):
    return eval(f"nn.{text}", {"nn": t.nn})


def copied(theirs, mine):
    """The same state in both."""
    mine.load_state_dict(
        {k: graphc.tensor(v.numpy().copy(), dtype=getattr(graphc, str(v.dtype).split(".")[1]))
         for k, v in theirs.state_dict().items()}
    )  # fmt: skip


def run(t, module, *inputs):
    inputs = [x.requires_grad_() if x.is_floating_point() else x for x in inputs]
    y = module(*(x * 1 if x.is_floating_point() else x for x in inputs))
    (y * values(t, *y.shape, salt=1)).sum().backward()
    grads = [x.grad for x in inputs if x.requires_grad]
    return [y, *grads, *(p.grad for p in module.parameters()), module.state_dict()]


@pytest.mark.parametrize("text", LAYERS)
def test_layer(text):
    mine, theirs = make(graphc, text), make(torch, text)
    assert repr(mine) == repr(theirs)
    for a, b in ((mine.named_parameters(), theirs.named_parameters()),):
        assert [(n, tuple(p.shape)) for n, p in a] == [(n, tuple(p.shape)) for n, p in b]
    copied(theirs, mine)
    shape = LAYERS[text]
    for training in (True, False):
        mine.train(training), theirs.train(training)
        mine.zero_grad(), theirs.zero_grad()
        assert_same(
            run(graphc, mine, values(graphc, *shape)), run(torch, theirs, values(torch, *shape))
        )


LOSSES = {
    "L1Loss()": ((3, 5), (3, 5)),
    "MSELoss(reduction='sum')": ((3, 5), (3, 5)),
    "SmoothL1Loss(beta=0.5)": ((3, 5), (3, 5)),
    "HuberLoss(delta=0.5)": ((3, 5), (3, 5)),
    "BCEWithLogitsLoss()": ((3, 5), (3, 5)),
    "KLDivLoss(reduction='batchmean', log_target=True)": ((3, 5), (3, 5)),
    "NLLLoss()": ((3, 5), 5),
    "CrossEntropyLoss()": ((3, 5), 5),
    "CrossEntropyLoss(ignore_index=1, label_smoothing=0.1)": ((4, 5), 5),
    "MultiMarginLoss()": ((4, 5), 5),
    "PoissonNLLLoss()": ((3, 5), (3, 5)),
    "CosineSimilarity(dim=1)": ((3, 5), (3, 5)),
    "PairwiseDistance(p=1)": ((3, 5), (3, 5)),
}


@pytest.mark.parametrize("text", LOSSES)
def test_loss_module(text):
    shape, target = LOSSES[text]
    results = []
    for t in (graphc, torch):
        module = make(t, text)
        y = (
            classes(t, shape[0], count=target)
            if isinstance(target, int)
            else values(t, *target, salt=2)
        )
        results.append((repr(module), run(t, module, values(t, *shape), y)))
    assert results[0][0] == results[1][0]
    assert_same(results[0][1], results[1][1])


def test_loss_with_weights_keeps_them_in_its_state():
    for t in (graphc, torch):
        loss = t.nn.CrossEntropyLoss(weight=t.arange(3.0))
        assert list(loss.state_dict()) == ["weight"]
        assert "ignore_index" not in repr(loss)


EMBEDDINGS = ("Embedding(5, 3)", "Embedding(5, 3, padding_idx=-1)", "Embedding(5, 3, max_norm=1.0)")


@pytest.mark.parametrize("text", EMBEDDINGS)
def test_embedding(text):
    mine, theirs = make(graphc, text), make(torch, text)
    assert repr(mine) == repr(theirs)
    copied(theirs, mine)
    index = classes(torch, 2, 4, count=5)
    results = [run(t, m, i) for t, m, i in (
        (graphc, mine, graphc.tensor(index.tolist())), (torch, theirs, index),
    )]  # fmt: skip
    assert_same(*results)


def nested(t):
    nn = t.nn

    class Block(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(3)])
            self.named = nn.ModuleDict({"act": nn.ReLU(), "norm": nn.LayerNorm(width)})
            self.scale = nn.Parameter(t.ones(width))
            self.register_buffer("seen", t.zeros(2))
            self.register_buffer("hidden", t.zeros(2), persistent=False)
            self.extra = nn.ParameterList([t.ones(2), t.zeros(3)])

        def forward(self, x):
            for layer in self.layers:
                x = self.named["act"](layer(x))
            return self.named["norm"](x) * self.scale

    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Sequential(nn.Linear(32, 4), nn.Tanh()), Block(4)
    )


def test_a_tree_of_modules():
    mine, theirs = nested(graphc), nested(torch)
    for a, b in (
        (mine.named_parameters(), theirs.named_parameters()),
        (mine.named_buffers(), theirs.named_buffers()),
    ):
        assert [(n, tuple(p.shape)) for n, p in a] == [(n, tuple(p.shape)) for n, p in b]
    assert [n for n, _ in mine.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert repr(mine) == repr(theirs).replace("torch.", "graphc.")
    copied(theirs, mine)
    assert_same(
        run(graphc, mine, values(graphc, 3, 1, 6, 6)), run(torch, theirs, values(torch, 3, 1, 6, 6))
    )


def test_sequential_like_a_list():
    def program(t):
        nn = t.nn
        s = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.ELU())
        s.append(nn.SiLU()).extend([nn.Tanh(), nn.GELU()])
        s.insert(1, nn.Sigmoid())
        s[0] = nn.Mish()
        del s[2]
        popped = s.pop(-1)
        names = [type(m).__name__ for m in s[1:3]]
        joined = s + nn.Sequential(nn.ReLU())
        ordered = nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh()))
        children = list(dict(ordered.named_children()))
        return repr(s), type(popped).__name__, names, len(joined), list(s.state_dict()), children

    assert program(graphc) == program(torch)


MODULE_ERRORS = {
    "unknown key": lambda t: t.nn.Linear(2, 2).load_state_dict({"weight": t.zeros(2, 2)}),
    "shape": lambda t: t.nn.Linear(2, 2, bias=False).load_state_dict({"weight": t.zeros(3, 2)}),
    "no parameter": lambda t: setattr(t.nn.Linear(2, 2), "weight", t.zeros(2, 2)),
    "before init": lambda t: type("M", (t.nn.Module,), {"__init__": lambda s: setattr(
        s, "a", t.nn.ReLU())})(),
    "missing": lambda t: t.nn.Linear(2, 2).nothing,
    "dotted": lambda t: t.nn.Module().register_parameter("a.b", None),
    "twice": lambda t: t.nn.Linear(2, 2).register_buffer("weight", t.zeros(1)),
    "train": lambda t: t.nn.Linear(2, 2).train(1),
    "submodule": lambda t: t.nn.Linear(2, 2).get_submodule("a"),
    "groups": lambda t: t.nn.Conv2d(3, 4, 2, groups=2),
    "padding mode": lambda t: t.nn.Conv2d(3, 4, 2, padding_mode="mirror"),
    "rank": lambda t: t.nn.BatchNorm2d(3)(t.zeros(2, 3)),
    "dropout": lambda t: t.nn.Dropout(-0.1),
    "no forward": lambda t: t.nn.ModuleList([])(1),
}  # fmt: skip


@pytest.mark.parametrize("name", MODULE_ERRORS)
def test_error_is_of_the_type_that_pytorch_raises(name):
    assert same_error(MODULE_ERRORS[name])


def hooked(t):
    """What every kind of hook is told, and what it changes."""
    seen = []
    net = t.nn.Sequential(t.nn.Linear(3, 3), t.nn.Tanh())
    with t.no_grad():
        for p in net.parameters():
            p.copy_(values(t, *p.shape) / 10)
    first = net[0]
    handles = [
        first.register_forward_pre_hook(lambda m, a: seen.append(a[0].sum()) or (a[0] * 2,)),
        first.register_forward_hook(lambda m, a, y: seen.append(y) or y + 1),
        first.register_forward_hook(lambda m, a, k, y: seen.append(len(k)), with_kwargs=True),
        net.register_full_backward_hook(lambda m, gi, go: seen.extend([*gi, *go])),
        first.register_full_backward_pre_hook(lambda m, go: (go[0] * 3,)),
        first.register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,)),
    ]
    x = values(t, 2, 3).requires_grad_()
    net(x).sum().backward()
    grads = [x.grad, *(p.grad for p in net.parameters())]
    for handle in handles:
        handle.remove()
    return seen, grads, net(x)


def test_hooks():
    assert_same(hooked(graphc), hooked(torch))


def test_backward_hook_with_several_inputs_and_outputs():
    def program(t):
        class Cross(t.nn.Module):
            def forward(self, a, b, n):
                return a * b, (a + b) * n

        seen = []
        m = Cross()
        m.register_full_backward_hook(
            lambda m, gi, go: seen.append((gi[:2], go)) or (gi[0] * 2, gi[1] * 3, None)
        )
        a, b = values(t, 2, 3).requires_grad_(), values(t, 2, 3, salt=1).requires_grad_()
        x, y = m(a, b, 2)
        (x * x + y).sum().backward()
        return seen, a.grad, b.grad

    assert_same(program(graphc), program(torch))


def test_backward_hook_where_no_input_needs_gradients():
    def program(t):
        seen = []
        m = t.nn.Linear(2, 2)
        with t.no_grad():
            m.weight.fill_(0.5), m.bias.fill_(1.0)
        m.register_full_backward_hook(lambda m, gi, go: seen.append((gi[0] is None, go[0])))
        m(t.ones(1, 2)).sum().backward()
        return seen, m.weight.grad

    assert_same(program(graphc), program(torch))


def test_copies_and_pickles_keep_everything():
    net = nested(graphc)
    for other in (copy.deepcopy(net[0]), pickle.loads(pickle.dumps(net[0]))):
        assert_same(other.state_dict(), net[0].state_dict())
        other.weight.data.add_(1)
        assert not np.array_equal(other.weight.detach().numpy(), net[0].weight.detach().numpy())
        assert all(p.requires_grad for p in other.parameters())


def test_moving_between_dtypes_keeps_identity_and_integers():
    def program(t):
        net = t.nn.Sequential(t.nn.Linear(2, 2), t.nn.BatchNorm1d(2))
        before = net[0].weight
        net.double()
        kept = net[0].weight is before
        net.half().float().to(t.float64)
        return kept, [str(v.dtype).split(".")[1] for v in net.state_dict().values()]

    assert program(graphc) == program(torch)


def test_state_beyond_tensors_and_states_that_do_not_fit():
    def program(t):
        class Counting(t.nn.Linear):
            seen = 0

            def get_extra_state(self):
                return {"seen": self.seen}

            def set_extra_state(self, state):
                self.seen = state["seen"]

        net, other = (t.nn.Sequential(Counting(2, 2), t.nn.BatchNorm1d(2)) for _ in range(2))
        net[0].seen = 5
        told = []
        other.register_load_state_dict_post_hook(lambda m, keys: told.append(list(keys[0])))
        other.load_state_dict(net.state_dict())
        partial = {"0.weight": t.zeros(2, 2), "2.bias": t.zeros(2), "1.deep.er": t.zeros(1)}
        found = other.load_state_dict(partial, strict=False)
        fresh = t.zeros(2)
        net[0].load_state_dict({"weight": t.ones(2, 2), "bias": fresh}, strict=False, assign=True)
        net[0].bias.data.add_(3)
        return (
            other[0].seen, sorted(found.missing_keys), sorted(found.unexpected_keys), told,
            list(net.state_dict()), fresh, isinstance(net[0].bias, t.nn.Parameter),
            str(other.load_state_dict(net.state_dict(), strict=False)),
        )  # fmt: skip

    assert_same(program(graphc), program(torch))
    message = same_error(lambda t: t.nn.Linear(2, 2).load_state_dict({"wait": t.zeros(1)}))
    assert 'Missing key(s) in state_dict: "weight", "bias".' in message
    assert 'Unexpected key(s) in state_dict: "wait".' in message


def test_a_parameter_shares_its_memory_and_knows_when_it_changed():
    def program(t):
        x = t.ones(3)
        p = t.nn.Parameter(x)
        y = (p * p).sum()
        x.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.backward()
        return p, t.nn.Parameter(t.ones(2), requires_grad=False).requires_grad, repr(p)

    mine, theirs = program(graphc), program(torch)
    assert_same(mine[0], theirs[0])
    assert mine[1:] == theirs[1:]
