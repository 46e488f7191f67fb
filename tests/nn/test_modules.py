"""``nn.Module`` compared with PyTorch: names, order, registration, containers, parameters."""

import copy
import importlib
from collections import OrderedDict

import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.module_programs import network, same  # noqa: E402
from tests.nn.same_program import values  # noqa: E402

pytestmark = pytest.mark.differential


# ------------------------------------------------------------------------------ names and traversal

TRAVERSALS = {
    "modules": lambda n: [type(m).__name__ for m in n.modules()],
    "all modules": lambda n: [type(m).__name__ for m in n.modules(remove_duplicate=False)],
    "named modules": lambda n: [k for k, _ in n.named_modules()],
    "named modules, prefix": lambda n: [k for k, _ in n.named_modules(prefix="p")],
    "named modules, all": lambda n: [k for k, _ in n.named_modules(remove_duplicate=False)],
    "named modules, some seen": lambda n: [k for k, _ in n.named_modules(memo={n.layers, n.first})],
    "children": lambda n: [type(m).__name__ for m in n.children()],
    "named children": lambda n: [k for k, _ in n.named_children()],
    "parameters": lambda n: list(n.parameters()),
    "own parameters": lambda n: list(n.parameters(recurse=False)),
    "named parameters": lambda n: dict(n.named_parameters()),
    "named parameters, all": lambda n: [k for k, _ in n.named_parameters(remove_duplicate=False)],
    "named parameters, prefix": lambda n: [k for k, _ in n.named_parameters("p", False)],
    "named buffers": lambda n: dict(n.named_buffers()),
    "named buffers, all": lambda n: [k for k, _ in n.named_buffers(remove_duplicate=False)],
    "state": lambda n: n.state_dict(),
    "state, prefix": lambda n: list(n.state_dict(prefix="p.")),
    "versions": lambda n: dict(n.state_dict()._metadata),
    "text": repr,
    "dir": lambda n: [k for k in dir(n) if k in ("first", "scale", "layers", "training", "empty")],
    "dir of a list": lambda n: [k for k in dir(n.layers) if k[0].isdigit()],
    "lookup": lambda n: [n.get_submodule("by_name.b.0").p, n.get_parameter("layers.1.bias"),
                         n.get_buffer("first.kept"), n.get_submodule("") is n],
}  # fmt: skip


@pytest.mark.parametrize("name", TRAVERSALS)
def test_traversal(name):
    same(lambda t: TRAVERSALS[name](network(t)))


# ------------------------------------------------------------------------------------- registration

ERRORS = {
    "parameter before init": lambda t, n: type(
        "M", (t.nn.Module,), {"__init__": lambda s: setattr(s, "w", t.nn.Parameter(t.ones(1)))}
    )(),
    "module before init": lambda t, n: type(
        "M", (t.nn.Module,), {"__init__": lambda s: setattr(s, "w", t.nn.Linear(1, 1))}
    )(),
    "buffer before init": lambda t, n: type(
        "M", (t.nn.Module,), {"__init__": lambda s: s.register_buffer("b", t.ones(1))}
    )(),
    "arguments": lambda t, n: t.nn.Module(1),
    "keywords": lambda t, n: t.nn.Module(a=1),
    "parameter with dot": lambda t, n: n.register_parameter("a.b", None),
    "parameter without name": lambda t, n: n.register_parameter("", None),
    "parameter with number": lambda t, n: n.register_parameter(1, None),
    "parameter over attribute": lambda t, n: n.register_parameter("forward", None),
    "no parameter": lambda t, n: n.register_parameter("w", t.ones(2)),
    "text as parameter": lambda t, n: n.register_parameter("w", "x"),
    "parameter not leaf": lambda t, n: n.register_parameter("w", halved(t)),
    "buffer with dot": lambda t, n: n.register_buffer("a.b", None),
    "buffer over module": lambda t, n: n.register_buffer("layers", None),
    "no buffer": lambda t, n: n.register_buffer("b", 1),
    "module with dot": lambda t, n: n.add_module("a.b", None),
    "module without name": lambda t, n: n.add_module("", None),
    "module with number": lambda t, n: n.add_module(1, None),
    "no module": lambda t, n: n.add_module("m", 1),
    "module over attribute": lambda t, n: n.register_module("training", t.nn.ReLU()),
    "tensor for parameter": lambda t, n: setattr(n, "scale", t.ones(2)),
    "tensor for module": lambda t, n: setattr(n, "layers", t.ones(2)),
    "number for buffer": lambda t, n: setattr(n.first, "kept", 2),
    "unknown": lambda t, n: n.unknown,
    "delete unknown": lambda t, n: delattr(n, "unknown"),
    "no submodule": lambda t, n: n.get_submodule("layers.7"),
    "submodule is a parameter": lambda t, n: n.get_submodule("scale"),
    "no such parameter": lambda t, n: n.get_parameter("layers.0.w"),
    "parameter is a module": lambda t, n: n.get_parameter("layers.0"),
    "no such buffer": lambda t, n: n.get_buffer("first.b"),
    "buffer is a parameter": lambda t, n: n.get_buffer("first.weight"),
    "set no name": lambda t, n: n.set_submodule("", t.nn.ReLU()),
    "set no module": lambda t, n: n.set_submodule("layers.0", 1),
    "set over parameter": lambda t, n: n.set_submodule("scale", t.nn.ReLU()),
    "set strictly": lambda t, n: n.set_submodule("layers.7", t.nn.ReLU(), strict=True),
    "mode": lambda t, n: n.train(1),
    "integers": lambda t, n: n.to(t.int64),
    "no forward": lambda t, n: t.nn.ModuleDict()(t.ones(1)),
    "state of numbers": lambda t, n: n.load_state_dict([1]),
    "both kinds of hooks": lambda t, n: (
        n.register_backward_hook(print), n.register_full_backward_hook(print),
    ),
    "list index": lambda t, n: n.layers[5],
    "list of numbers": lambda t, n: n.layers.append(3),
    "list by a number": lambda t, n: n.layers.extend(3),
    "dict of a number": lambda t, n: n.by_name.update(3),
    "dict of short pairs": lambda t, n: n.by_name.update([("a",)]),
    "dict of no pairs": lambda t, n: n.by_name.update([3]),
    "parameters by a tensor": lambda t, n: t.nn.ParameterList(t.ones(2)),
    "parameters called": lambda t, n: t.nn.ParameterList()(1),
    "parameters of a number": lambda t, n: t.nn.ParameterDict(3),
    "parameters by number": lambda t, n: t.nn.ParameterDict({1: t.ones(1)}),
    "sequences and lists": lambda t, n: t.nn.Sequential().__add__([t.nn.ReLU()]),
    "sequence times nothing": lambda t, n: t.nn.Sequential(t.nn.ReLU()) * 0,
    "sequence place": lambda t, n: t.nn.Sequential().insert(3, t.nn.ReLU()),
    "sequence of a dict": lambda t, n: t.nn.Sequential({"a": t.nn.ReLU()}),
}  # fmt: skip


def halved(t):
    """A Parameter that was computed: written in place while gradients were recorded."""
    leaf = t.nn.Parameter(t.ones(2), requires_grad=False)
    leaf.mul_(t.nn.Parameter(t.ones(2)))
    return leaf


@pytest.mark.parametrize("name", ERRORS)
def test_error(name):
    same(lambda t: str(ERRORS[name](t, network(t)))[:0])


REGISTRATION = {
    "assigned": lambda t, n: (
        setattr(n, "extra", t.nn.Parameter(t.ones(1))), setattr(n.first, "kept", t.zeros(2)),
        setattr(n.first, "lost", None), setattr(n, "scale", None), setattr(n, "tied", None),
    ),
    "parameter for buffer": lambda t, n: setattr(n.first, "kept", t.nn.Parameter(t.ones(1))),
    "module for parameter": lambda t, n: setattr(n, "scale", t.nn.ReLU()),
    "parameter for module": lambda t, n: setattr(n, "tied", t.nn.Parameter(t.ones(1))),
    "Buffer": lambda t, n: (
        setattr(n, "seen", t.nn.Buffer(t.ones(2))),
        setattr(n, "unseen", t.nn.Buffer(t.ones(2), persistent=False)),
        setattr(n.first, "lost", t.nn.Buffer(t.ones(3))),
    ),
    "deleted": lambda t, n: (
        delattr(n, "first"), delattr(n.again, "kept"), delattr(n.again, "weight"),
    ),
    "set": lambda t, n: (
        n.set_submodule("layers.1", t.nn.Tanh()), n.set_submodule("new", t.nn.ELU()),
    ),
    "filled": lambda t, n: (
        n.first.register_parameter("absent", t.nn.Parameter(t.ones(1))),
        setattr(n.first, "nothing", t.ones(1)),
    ),
    "tables": lambda t, n: (
        n._modules.pop("first"), n._modules.update(more=t.nn.ReLU()),
        n._parameters.__setitem__("scale", t.nn.Parameter(t.zeros(3))),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REGISTRATION)
def test_registration(name):
    def program(t):
        n = network(t)
        REGISTRATION[name](t, n)
        return n.state_dict(), dict(n.named_buffers()), repr(n), "empty" in vars(n)

    same(program)


def test_global_hooks_on_registration():
    def program(t):
        m, seen = t.nn.modules.module, []

        def note(kind):
            return lambda module, name, value: seen.append((kind, type(module).__name__, name))

        handles = [
            m.register_module_parameter_registration_hook(note("parameter")),
            m.register_module_module_registration_hook(note("module")),
            m.register_module_buffer_registration_hook(note("buffer")),
            m.register_module_parameter_registration_hook(
                lambda module, name, value: None if name != "bias" else t.nn.Parameter(value + 1)
            ),
        ]
        net = t.nn.Sequential(t.nn.Linear(1, 1), t.nn.BatchNorm1d(2))
        for handle in handles:
            handle.remove()
        t.nn.Linear(1, 1)
        return seen, net[1].bias

    same(program)


# --------------------------------------------------------------------------------------- containers

CONTAINERS = {
    "sequence": lambda nn, t: [
        s := nn.Sequential(nn.ReLU(), nn.Tanh()), s.append(nn.ELU()), s.insert(-1, nn.SELU()),
        s * 2, 2 * s, s + s, s[1:], s[-1], s.pop(0), s.pop(slice(1, 3)), len(s),
    ],
    "sequence in place": lambda nn, t: [
        s := nn.Sequential(nn.ReLU(), nn.Tanh()), s.__imul__(3),
        s.__iadd__(nn.Sequential(nn.ELU())), s.extend([nn.GELU()]),
        s.__delitem__(slice(0, 2)), s.__setitem__(0, nn.Mish()), s,
    ],
    "sequence by name": lambda nn, t: [
        s := nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh(), c=nn.ELU())), s[1:], s.a, s[-1],
        s.__setitem__(1, nn.GELU()), s.b, list(s.state_dict()),
    ],
    "list": lambda nn, t: [
        s := nn.ModuleList([nn.ReLU()]), s.append(nn.Tanh()), s.insert(1, nn.ELU()),
        s.__add__([nn.GELU()]), s.__iadd__([nn.ReLU()]), s[0:2], s[-1], s.pop(0),
        s.pop(slice(0, 1)), len(s),
    ],
    "repeated": lambda nn, t: [
        nn.ModuleList([nn.Linear(1, 1) for _ in range(3)] + [nn.ReLU()] + [nn.Linear(1, 1)]),
        nn.ModuleList([nn.Sequential(nn.ReLU(), nn.ModuleList([nn.Tanh()] * 2))] * 2),
        nn.ModuleList(), nn.ModuleDict(), nn.Sequential(),
    ],
    "dict": lambda nn, t: [
        d := nn.ModuleDict({"b": nn.ReLU(), "a": nn.Tanh()}), list(d), len(d), "a" in d,
        d.update([("c", nn.ELU())]), d.update(nn.ModuleDict({"d": nn.GELU()})), list(d.keys()),
        [k for k, _ in d.items()], [repr(v) for v in d.values()], d.pop("b"),
        d["a"], d, d.clear(), d,
    ],
    "parameters": lambda nn, t: [
        p := nn.ParameterList([t.ones(2), nn.Parameter(t.ones(1, 2))]), p.append(t.zeros(1)),
        p.extend([t.zeros(2)]), p[1:], p[-1], len(p), p.append("text"), p.__setitem__(0, t.ones(3)),
        list(p.state_dict()), p,
    ],
    "parameters by name": lambda nn, t: [
        p := nn.ParameterDict({"b": t.ones(2), "a": t.ones(1)}), list(p),
        p.setdefault("c", t.zeros(1)),
        p.get("z"), p.get("a"), p | nn.ParameterDict({"d": t.ones(1)}), p.copy(), list(reversed(p)),
        p.pop("a"), p.popitem(), p.fromkeys(["x", "y"], t.ones(1)), p.__ior__({"q": t.ones(1)}),
        list(p.items()), list(p.values()), p, p.clear(), len(p),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CONTAINERS)
def test_container(name):
    def program(t):
        return [
            [repr(x), list(x.state_dict())] if isinstance(x, t.nn.Module) else x
            for x in CONTAINERS[name](t.nn, t)
        ]

    same(program)


# --------------------------------------------------------------------------------------- parameters


def test_parameters():
    def program(t):
        p = t.nn.Parameter(values(t, 2))
        p.grad = t.ones(2)
        q = copy.deepcopy(p)
        empty, fixed = t.nn.Parameter(), t.nn.Parameter(t.ones(1), requires_grad=False)
        b = t.nn.Buffer(t.ones(1))
        kinds = [isinstance(x, k) for x in (p, b) for k in (t.nn.Parameter, t.nn.Buffer, t.Tensor)]
        return [repr(p), q, q.grad is None, type(q).__name__, empty.shape == (0,), repr(fixed),
                kinds, b.persistent, repr(b), type(p + 1).__name__]  # fmt: skip

    same(program)


def test_imports_as_programs_write_them():
    pairs = [
        "module:Module,_addindent,_IncompatibleKeys,register_module_forward_hook",
        "utils:_pair,_single,_triple,_quadruple,_ntuple,_reverse_repeat_tuple",
        "conv:_ConvNd,Conv2d,_ConvTransposeNd", "batchnorm:_BatchNorm,_NormBase,BatchNorm2d",
        "instancenorm:_InstanceNorm,InstanceNorm1d", "linear:Linear,Identity,Bilinear",
        "container:Sequential,ModuleList,ParameterDict", "activation:MultiheadAttention,ReLU",
        "normalization:LayerNorm,GroupNorm", "padding:ZeroPad2d,ReflectionPad1d", "fold:Fold",
        "flatten:Flatten,Unflatten", "dropout:Dropout", "lazy:LazyModuleMixin",
        "transformer:TransformerEncoderLayer", "loss:CrossEntropyLoss", "pooling:MaxPool2d",
        "sparse:Embedding",
    ]  # fmt: skip
    for text in pairs:
        name, _, members = text.partition(":")
        for t in (graphc, torch):
            place = getattr(t.nn.modules, name)
            assert all(hasattr(place, member) for member in members.split(",")), (t, text)
    assert graphc.nn.modules.Linear is graphc.nn.Linear
    pair = graphc.nn.modules.utils._pair
    assert (pair(3), pair([1, 2])) == ((3, 3), (1, 2))


def test_every_layer_is_in_a_module_of_the_same_name():
    """So that imports, and pickles that name classes by their modules, find it."""
    for name, cls in vars(torch.nn).items():
        if not isinstance(cls, type) or not issubclass(cls, torch.nn.Module):
            continue
        place = importlib.import_module(cls.__module__.replace("torch", "graphc", 1))
        assert getattr(place, name) is getattr(graphc.nn, name), name
