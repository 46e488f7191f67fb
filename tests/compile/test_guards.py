"""Assumptions: what makes a function compile again, and what does not."""

import types
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import graphc as torch
from graphc import compile as compile_module  # noqa: F401 - the function; the module is below
from graphc import nn
from tests.compile.comparing import assert_same

SCALE = 2
TABLE = {"a": 1, "b": [2, 3]}
WEIGHT = torch.ones(3)
MASK: Any = None


def r(*shape: int) -> Any:
    return torch.from_numpy(np.random.default_rng(sum(shape)).standard_normal(shape, np.float32))


def reasons(f: Any) -> list[str]:
    return [receipt.reason for receipt in f.receipts]


# -------------------------------------------------------------------------------------- arguments


def test_two_batch_sizes_stay() -> None:
    f = torch.compile(lambda x: x * 2)
    for n in (64, 5, 64, 5, 64):
        assert_same(f(r(n, 3)), r(n, 3) * 2)
    assert reasons(f) == ["first call", "x was f32[64, 3], is f32[5, 3]"]


def test_dtypes_and_gradients() -> None:
    f = torch.compile(lambda x: x * 2)
    f(r(3))
    f(r(3).double())
    f(r(3).requires_grad_())
    assert reasons(f)[1:] == [
        "x was f32[3], is f64[3]",
        "x did not require gradients, now does",
    ]
    f(r(3))
    f(r(3).requires_grad_())
    assert len(f.receipts) == 3


def test_leaves_and_computed_tensors_differ() -> None:
    f = torch.compile(lambda x: (x.is_leaf, x * 2))
    x = r(3).requires_grad_()
    assert f(x)[0] is True
    assert f(x * 1)[0] is False
    assert f(x)[0] is True


def test_default_dtype() -> None:
    f = torch.compile(lambda: torch.zeros(2) + 0.5)
    assert f().dtype is torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert f().dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert reasons(f)[1] == "the default dtype was graphc.float32, is graphc.float64"


def test_numbers_of_arguments() -> None:
    f = torch.compile(lambda *xs: sum(xs))
    f(r(2), r(2))
    f(r(2), r(2), r(2))
    assert "nested" in reasons(f)[1]


def test_objects_as_arguments() -> None:
    @dataclass
    class Config:
        scale: int
        other: int = 0

    f = torch.compile(lambda x, config: x * config.scale)
    config = Config(2)
    assert_same(f(r(3), config), r(3) * 2)
    config.other = 5  # not read
    assert_same(f(r(3), config), r(3) * 2)
    assert len(f.receipts) == 1
    config.scale = 3
    assert_same(f(r(3), config), r(3) * 3)
    assert_same(f(r(3), Config(4)), r(3) * 4)
    assert reasons(f)[1] == "config.scale was 2, is 3"


def test_attributes_of_tensors() -> None:
    f = torch.compile(lambda x: x * len(x.tag))
    x = r(3)
    for tag in ("hi", "hello", "hi"):
        x.tag = tag
        assert_same(f(x), r(3) * len(tag))
    assert reasons(f)[1:] == ["the attributes of x changed"]


def test_arrays_of_numpy_are_constants() -> None:
    f = torch.compile(lambda x, a: x * float(a[0]))
    a = np.array([2.0, 3.0])
    assert_same(f(r(3), a), r(3) * 2)
    a[0] = 5
    assert_same(f(r(3), a), r(3) * 5)
    a[1] = float("nan")
    f(r(3), a)
    f(r(3), a)
    assert len(f.receipts) == 3


def test_modules_as_arguments() -> None:
    f = torch.compile(lambda net, x: net(x))
    one, two = nn.Linear(3, 2), nn.Linear(3, 2)
    for net in (one, two, one):
        assert_same(f(net, r(4, 3)), net(r(4, 3)))
    assert len(f.receipts) == 2


# ----------------------------------------------------------------------- globals, closures, objects


@pytest.fixture
def module_globals() -> Any:
    kept = dict(globals())
    yield globals()
    globals().update(kept)


def test_globals(module_globals: Any) -> None:
    @torch.compile
    def f(x: Any) -> Any:
        y = x * SCALE + TABLE["b"][1] + WEIGHT
        return y if MASK is None else y * MASK

    assert_same(f(r(3)), r(3) * 2 + 3 + 1)
    module_globals["SCALE"] = 5
    assert_same(f(r(3)), r(3) * 5 + 3 + 1)
    TABLE["b"][1] = 7
    try:
        assert_same(f(r(3)), r(3) * 5 + 7 + 1)
    finally:
        TABLE["b"][1] = 3
    module_globals["WEIGHT"] = torch.full((3,), 10.0)
    assert_same(f(r(3)), r(3) * 5 + 3 + 10)
    module_globals["MASK"] = torch.zeros(3)
    assert_same(f(r(3)), torch.zeros(3))
    # A tensor in the place of another is read, not compiled anew.
    assert reasons(f)[1:] == [
        "SCALE was 2, is 5",
        "TABLE['b'] holds other values",
        "MASK was None, is a tensor",
    ]


def test_a_global_by_the_name_of_an_attribute(module_globals: Any) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.SCALE = 3

        def forward(self, x: Any) -> Any:
            return x * self.SCALE

    net = Scaled()
    f = torch.compile(lambda x: net(x))
    for value in (2, 5):
        module_globals["SCALE"] = value
        assert_same(f(r(3)), r(3) * 3)
    assert reasons(f) == ["first call"]


def test_closures_and_defaults() -> None:
    n = 2
    w = torch.ones(3)

    @torch.compile
    def f(x: Any, bias: int = 1, *, scale: int = 4) -> Any:
        return x * n * scale + bias + w

    assert_same(f(r(3)), r(3) * 8 + 2)
    n = 3
    assert_same(f(r(3)), r(3) * 12 + 2)
    w = torch.zeros(3)
    assert_same(f(r(3)), r(3) * 12 + 1)
    f._function.__defaults__ = (5,)
    assert_same(f(r(3)), r(3) * 12 + 5)
    assert reasons(f)[1:] == ["n was 2, is 3", "a default of f was 1, is 5"]


def test_tensors_in_closures_are_read_anew() -> None:
    x, y = r(8, 3), torch.ones(3)

    @torch.compile
    def closure() -> Any:
        return (x * y).sum()

    for n in (8, 8, 5, 8):
        x = r(n, 3) + n
        assert_same(closure(), (x * y).sum(), rtol=1e-4)
    assert reasons(closure) == ["first call", "x was f32[8, 3], is f32[5, 3]"]
    y = x = torch.full((3,), 2.0)
    assert_same(closure(), torch.tensor(12.0))


def test_parameters_are_the_same_ones_again() -> None:
    p = nn.Parameter(torch.ones(3))
    f = torch.compile(lambda x: x * p)
    f(r(3))
    p = nn.Parameter(torch.full((3,), 2.0))
    assert_same(f(r(3)).detach(), r(3) * 2)
    assert reasons(f)[1] == "p is another object"


def test_attributes_of_objects() -> None:
    class Settings:
        shared = 1

        def __init__(self) -> None:
            self.scale = 2
            self.unused = 0
            self.inner = types.SimpleNamespace(shift=3, layers=[1, 2])

    settings = Settings()

    @torch.compile
    def f(x: Any) -> Any:
        extra = settings.extra if hasattr(settings, "extra") else 0
        return x * settings.scale + settings.inner.shift + len(settings.inner.layers) + extra

    def check(count: int) -> None:
        assert_same(f(r(3)), f._function(r(3)))
        assert len(f.receipts) == count

    check(1)
    settings.scale = 5
    check(2)
    settings.inner.shift = 4
    check(3)
    settings.inner.layers.append(3)
    check(4)
    settings.inner = types.SimpleNamespace(shift=1, layers=[])
    check(5)
    settings.extra = 9
    check(6)


def test_class_members_and_methods() -> None:
    class Base:
        factor = 2

        @property
        def twice(self) -> int:
            return self.factor * 2

        @staticmethod
        def shift() -> int:
            return SCALE

    thing = Base()
    f = torch.compile(lambda x: x * thing.twice + thing.shift())
    assert_same(f(r(3)), r(3) * 4 + 2)
    Base.factor = 3
    assert_same(f(r(3)), r(3) * 6 + 2)
    Base.shift = staticmethod(lambda: 100)
    assert_same(f(r(3)), r(3) * 6 + 100)


def test_functions_called_by_functions() -> None:
    k = 2

    def inner(x: Any) -> Any:
        return x * k

    functions = {"inner": inner}
    f = torch.compile(lambda x: functions["inner"](x))
    assert_same(f(r(3)), r(3) * 2)
    k = 3
    assert_same(f(r(3)), r(3) * 3)
    functions["inner"] = lambda x: x - 1
    assert_same(f(r(3)), r(3) - 1)


def test_uncaptured_tensors_give_their_shapes() -> None:
    table = [torch.zeros(2)]
    f = torch.compile(lambda x: x + table[0].shape[0])
    assert_same(f(r(3)), r(3) + 2)
    table[0] = torch.ones(2)
    f(r(3))
    table[0] = torch.zeros(5)
    assert_same(f(r(3)), r(3) + 5)
    assert len(f.receipts) == 2


def test_one_tensor_under_two_names() -> None:
    first = second = torch.ones(3)
    f = torch.compile(lambda x: x * first + second)
    assert_same(f(r(3)), r(3) + 1)
    second = torch.zeros(3)
    assert_same(f(r(3)), r(3))
    first = torch.zeros(3)
    assert_same(f(r(3)), torch.zeros(3))


def test_argument_that_is_also_captured() -> None:
    w = torch.ones(3)

    @torch.compile
    def f(x: Any) -> Any:
        x.add_(1)
        return x * w

    assert_same(f(w), torch.full((3,), 4.0))
    assert_same(f(torch.zeros(3)), torch.full((3,), 2.0))
    assert_same(f(w), torch.full((3,), 9.0))


def test_captured_tensor_of_another_type() -> None:
    w = torch.ones(3)
    f = torch.compile(lambda x: x + w)
    f(r(3))
    w.data = torch.ones(3, dtype=torch.float64)
    assert f(r(3)).dtype is torch.float64
    assert reasons(f)[1] == "w was f32[3], is f64[3]"
    w.requires_grad_()
    assert f(r(3)).requires_grad


# ---------------------------------------------------------------------------------------- modules


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.drop = nn.Dropout(0.5)
        self.scale = 2
        self.unused = 0
        self.shapes = {"n": 1}

    def forward(self, x: Any) -> Any:
        return self.drop(self.first(x)) * self.scale + self.shapes["n"]


def test_modules() -> None:
    net = Net().eval()
    f = torch.compile(net)
    count = 0

    def check(compiles: bool) -> None:
        nonlocal count
        assert_same(f(r(2, 3)), net(r(2, 3)))
        count += compiles
        assert len(f.receipts) == count, reasons(f)

    check(True)
    net.unused = 1
    check(False)
    net.scale = 3
    check(True)
    net.shapes["n"] = 2
    check(True)
    net.first = nn.Linear(3, 4)
    check(True)
    net.first.bias = None
    check(True)
    net.first.weight.data.mul_(2)
    check(False)
    net.first.weight.requires_grad_(False)
    check(True)
    net.first.register_forward_hook(lambda module, args, result: result + 1)
    check(True)
    net.extra = nn.Identity()
    check(True)
    net.double()
    assert f(r(2, 3).double()).dtype is torch.float64


def test_what_lies_in_modules_is_not_looked_at_in_every_call() -> None:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, (1, 3), padding="same"), torch.nn.BatchNorm2d(4), torch.nn.Flatten()
    ).eval()
    run = torch.compile(net)
    run(torch.ones(1, 3, 4, 4))
    guard = run._compiled._specialisations[0].dispatch._code.scope["guard"]
    inside = [c.check.path for c in guard._checks if not c.check.structural]
    assert not [path for path in inside if "_modules" in path or ".__dict__" in path]
    before = run(torch.ones(1, 3, 4, 4))
    net[0].kernel_size = (3, 1)
    run(torch.ones(1, 3, 4, 4))
    assert run.receipts[1].reason == "Sequential.0.kernel_size holds other values"
    net[1]._non_persistent_buffers_set.add("running_mean")
    assert torch.equal(run(torch.ones(1, 3, 4, 4)), before)


def test_keywords_beside_parameters() -> None:
    net = nn.Bilinear(3, 4, 2)
    f = torch.compile(lambda *, one, two: net(one, two))
    for _ in range(2):
        assert_same(f(one=r(5, 3), two=r(5, 4)), net(r(5, 3), r(5, 4)))
    assert len(f.receipts) == 1


def test_memory_of_parameters_that_moves() -> None:
    net = nn.Linear(3, 2)
    f = torch.compile(net)
    x = r(4, 3)
    for data in (r(2, 3), r(2, 3), r(3, 2).t(), r(2, 3).double(), r(2, 3)):
        old = weakref.ref(net.weight._value)
        net.weight.data = data
        net.to(data.dtype)
        x = x.to(data.dtype)
        assert_same(f(x), net(x))
        assert old() is None  # no program keeps what the parameter has left
    said = "weight was f32[2, 3] in rows, is a tensor f32[2, 3], with the strides (4, 8)"
    assert said in reasons(f)[1]


def test_training_flags() -> None:
    net = Net()
    f = torch.compile(net)
    torch.manual_seed(1)
    expected = net(r(2, 3))
    torch.manual_seed(1)
    assert_same(f(r(2, 3)), expected)
    net.eval()
    assert_same(f(r(2, 3)), net(r(2, 3)))
    net.train()
    f(r(2, 3))
    assert len(f.receipts) == 2
    assert "training was True, is False" in reasons(f)[1]
    f.eval()
    assert_same(f(r(2, 3)), net(r(2, 3)))
    net.train()
    net.drop.p = 0.0
    assert_same(f(r(2, 3)), net(r(2, 3)))
    assert reasons(f)[-1].endswith("drop.p was 0.5, is 0.0")


# ------------------------------------------------------------------------------------------ limits


def test_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys.modules["graphc.compiler.function"], "LIMIT", 3)
    f = torch.compile(lambda x, n: x * n)
    for n in (1, 2, 3):
        f(r(2), n)
    with pytest.warns(UserWarning, match="compiled 3 times, and now again: n was 3, is 4"):
        assert_same(f(r(2), 4), r(2) * 4)
    assert_same(f(r(2), 5), r(2) * 5)
    assert len(f.receipts) == 3
    assert_same(f(r(2), 2), r(2) * 2)


def test_tensor_that_cannot_be_found_again() -> None:
    class Hidden:
        def __iter__(self) -> Any:
            yield weights.pop()

    weights = {torch.ones(3)}
    hidden = iter([weights.pop()])
    f = torch.compile(lambda x: x + next(hidden))
    with pytest.raises(RuntimeError, match="cannot be checked again"):
        f(r(3))
