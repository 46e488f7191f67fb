"""What goes in and out of compiled functions, methods and modules."""

import copy
import pickle
import random
import subprocess
import sys
import textwrap
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest

import graphc as torch
from graphc import nn
from graphc.generator import Generator
from tests.compile.comparing import assert_same, compare


class Pair(NamedTuple):
    first: Any
    second: Any


def r(*shape: int) -> Any:
    return torch.from_numpy(np.random.default_rng(sum(shape)).standard_normal(shape, np.float32))


# ------------------------------------------------------------------------------------- arguments


def test_function() -> None:
    compare(lambda x, y: x * y + 1, r(3, 4), r(4))


def test_keywords_and_defaults() -> None:
    def f(x: Any, *rest: Any, scale: int = 2, **more: Any) -> Any:
        return x * scale + sum(rest) + more.get("y", 0)

    compare(f, r(3))
    compare(f, r(3), r(3), r(1))
    compare(f, r(3), scale=5, y=r(3))


def test_method_decorated() -> None:
    class Scaler:
        def __init__(self, scale: int) -> None:
            self.scale = scale
            self.weight = torch.full((3,), float(scale))

        @torch.compile
        def run(self, x: Any) -> Any:
            return x * self.scale + self.weight

    two, five = Scaler(2), Scaler(5)
    x = r(3)
    assert_same(two.run(x), x * 2 + two.weight)
    assert_same(five.run(x), x * 5 + five.weight)
    assert_same(two.run(x), x * 2 + two.weight)
    assert len(Scaler.run.receipts) == 2
    two.scale = 3
    assert_same(two.run(x), x * 3 + two.weight)
    assert "scale was 2, is 3" in Scaler.run.receipts[-1].reason


def test_bound_method() -> None:
    class Scaler:
        factor = 3

        def run(self, x: Any) -> Any:
            return x * self.factor

    compiled = torch.compile(Scaler().run)
    assert_same(compiled(r(2)), r(2) * 3)
    Scaler.factor = 4
    assert_same(compiled(r(2)), r(2) * 4)


def test_module() -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    compiled = torch.compile(net)
    assert_same(compiled(r(3, 4)), net(r(3, 4)))
    assert list(compiled.state_dict()) == list(net.state_dict())
    assert [p is q for p, q in zip(compiled.parameters(), net.parameters(), strict=True)] == [
        True
    ] * 4
    net[0].weight.data.mul_(2)
    assert_same(compiled(r(3, 4)), net(r(3, 4)))
    assert len(compiled.receipts) == 1


def test_decorator_with_arguments() -> None:
    @torch.compile(fullgraph=True, dynamic=False)
    def f(x: Any) -> Any:
        """Doubles."""
        return x * 2

    assert f.__name__ == "f" and f.__doc__ == "Doubles."
    assert_same(f(r(3)), r(3) * 2)
    assert torch.compile(f._function, disable=True) is f._function
    with pytest.raises(ValueError, match="no backend named 'tpu'"):
        torch.compile(f._function, backend="tpu")


def test_nested_in_and_out() -> None:
    def f(batch: Any, pair: Any, table: Any) -> Any:
        (a, b), c = batch
        return {
            "sum": a + b,
            "list": [c * 2, (pair.first - pair.second,)],
            "pair": Pair(table["x"], table["y"][0] + 1),
            "ordered": OrderedDict(z=a * b, w=3),
            "none": None,
        }

    args = (([r(3), r(3)], r(2)), Pair(r(2), r(2)), {"x": r(4), "y": [r(1)]})
    compare(f, *args)


def test_nests_of_another_form_compile_again() -> None:
    @torch.compile
    def f(xs: Any) -> Any:
        return sum(xs)

    assert_same(f([r(2), r(2)]), r(2) * 2)
    assert_same(f([r(2), r(2), r(2)]), r(2) * 3)
    assert_same(f((r(2), r(2))), r(2) * 2)
    assert len(f.receipts) == 3
    assert f.receipts[1].reason == "the arguments are nested in another way"


def test_plain_arguments_are_constants() -> None:
    @torch.compile
    def f(x: Any, n: Any, kind: str, flag: Any = None) -> Any:
        y = x * n if kind == "mul" else x + n
        return -y if flag else y

    for n, kind, flag in ((2, "mul", None), (2, "add", None), (3, "add", True), (True, "mul", 0)):
        assert_same(f(r(3), n, kind, flag), f._function(r(3), n, kind, flag))
    assert len(f.receipts) == 4
    assert f.receipts[1].reason == "kind was 'mul', is 'add'"
    f(r(3), 2, "mul")
    assert len(f.receipts) == 5  # one argument fewer is another signature
    f(r(3), 2, "mul", None)
    assert len(f.receipts) == 5


def test_one_and_true_differ() -> None:
    @torch.compile
    def f(x: Any, n: Any) -> Any:
        return x + n

    x = torch.zeros(2, dtype=torch.bool)
    assert f(x, 1).dtype is torch.int64
    assert f(x, True).dtype is torch.bool


def test_sizes_dtypes_slices_as_arguments() -> None:
    @torch.compile
    def f(x: Any, shape: Any, dtype: Any, part: Any) -> Any:
        return (x[part].sum() + torch.ones(shape)).to(dtype)

    for _ in range(2):
        result = f(r(6), r(2, 3).shape, torch.float64, slice(1, 3))
        assert_same(result, f._function(r(6), r(2, 3).shape, torch.float64, slice(1, 3)))
    assert len(f.receipts) == 1
    f(r(6), r(2, 3).shape, torch.float64, slice(1, 4))
    assert len(f.receipts) == 2


# --------------------------------------------------------------------------------------- floats


def test_floats_are_inputs() -> None:
    @torch.compile
    def f(x: Any, a: float, b: float = 1.0) -> Any:
        return x * a + b / (a + 1.0)

    for a, b in ((0.5, 1.0), (0.25, 3.0), (float("inf"), -0.0), (float("nan"), 1.0)):
        assert_same(f(r(3), a, b), f._function(r(3), a, b))
    assert len(f.receipts) == 1


def test_floats_promote_as_floats() -> None:
    def f(x: Any, a: float) -> Any:
        return x + a

    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.bool):
        compare(f, torch.ones(3).to(dtype), 0.5)


def test_float_whose_value_is_needed() -> None:
    @torch.compile
    def f(x: Any, p: float, q: float) -> Any:
        return x * p if p > 0.5 else x + q

    assert_same(f(r(3), 0.75, 1.0), r(3) * 0.75)
    assert_same(f(r(3), 0.25, 1.0), r(3) + 1.0)
    assert_same(f(r(3), 0.25, 2.0), r(3) + 2.0)  # q never decides, so it stays an input
    assert len(f.receipts) == 2
    assert f.receipts[1].reason == "p was 0.75, is 0.25"


def test_signs_of_zeros_and_nan_as_constants() -> None:
    @torch.compile
    def f(x: Any, p: float) -> Any:
        return x / p if p == 0 else x * (2 if p > 0 else 3)

    one = torch.ones(1)
    for p in (0.0, -0.0, float("nan"), float("nan"), 2.0):
        assert_same(f(one, p), f._function(one, p))
    assert len(f.receipts) == 4


def test_float_results() -> None:
    def f(x: Any, a: float) -> Any:
        return a, a * 2, (x * a, a + 1 > 0)

    compare(f, r(2), 0.5)


def test_isinstance_float() -> None:
    def f(x: Any, a: Any) -> Any:
        return x * a if isinstance(a, float) else x

    compare(f, r(2), 0.5)


# -------------------------------------------------------------------------------------- results


def test_results_that_are_inputs() -> None:
    @torch.compile
    def f(x: Any, y: Any) -> Any:
        y.add_(1)
        return x, y, x * 2

    x, y = r(3), r(3)
    a, b, _ = f(x, y)
    assert a is x and b is y
    assert_same(y, r(3) + 1)


def test_views_of_inputs() -> None:
    @torch.compile
    def f(x: Any) -> Any:
        return x[0], x.t(), x.reshape(-1), x.detach()

    x = r(3, 4)
    row, turned, flat, same = f(x)
    x.fill_(7)
    for view in (row, turned, flat, same):
        assert (view == 7).all()
    assert turned.stride() == x.t().stride()
    row.fill_(5)
    assert x[0, 0] == 5


def test_views_of_results() -> None:
    @torch.compile
    def f(x: Any) -> Any:
        y = x * 2
        return y, y[1:], y.t()

    y, tail, turned = f(r(3, 4))
    y.zero_()
    assert (tail == 0).all() and (turned == 0).all()
    alone = torch.compile(lambda x: (x * 2).t())(r(3, 4))
    assert alone.stride() == (r(3, 4) * 2).t().stride()
    assert_same(alone, (r(3, 4) * 2).t())


def test_one_result_twice_and_equal_results() -> None:
    @torch.compile
    def f(x: Any) -> Any:
        y = x + 1
        return y, y, x + 1

    a, b, c = f(r(3))
    assert a is b
    a.zero_()
    assert_same(c, r(3) + 1)


def test_constant_results() -> None:
    def f(x: Any) -> Any:
        return torch.zeros(2, 3), torch.arange(4), torch.tensor([1.5, 2.5]), x + 0, x.clone()

    compiled = compare(f, r(3))
    x = r(3)
    first = compiled(x)
    for t in first:
        t.fill_(9)
    assert_same(compiled(r(3)), f(r(3)))
    assert_same(x, r(3))


def test_python_results() -> None:
    marker = object()

    def f(x: Any) -> Any:
        return 3, "text", None, x.shape[0], x.dtype, marker, x.shape, len(x)

    compare(f, r(3, 2))


def test_tensor_from_outside_as_result() -> None:
    outside = [r(3)]

    @torch.compile
    def f() -> Any:
        return outside[0]

    assert f() is outside[0]
    outside[0] = r(4)
    assert f() is outside[0]


def test_no_arguments_no_results() -> None:
    state = torch.zeros(2)

    @torch.compile
    def f() -> None:
        state.add_(1)

    assert f() is None and f() is None
    assert_same(state, torch.full((2,), 2.0))
    assert len(f.receipts) == 1


# ------------------------------------------------------------------------------- kinds of memory


def test_empty_zero_dim_and_many_dims() -> None:
    def f(x: Any) -> Any:
        return x * 2, x.sum(), x + x

    for shape in ((0,), (3, 0), (), (1, 1, 1, 1, 1), (2, 1, 3)):
        compare(f, r(*shape) if shape else torch.tensor(1.5))


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float64", "int64", "uint8", "bool"])
def test_dtypes(name: str) -> None:
    dtype = getattr(torch, name)
    x = torch.arange(6).reshape(2, 3).to(dtype)
    compare(lambda x: (x + x, x.sum(), x.to(torch.float32) / 2, x == x), x, rtol=1e-2)


def test_other_layouts() -> None:
    def f(x: Any, y: Any) -> Any:
        return x @ y, x + 1

    compare(f, r(4, 3).t(), r(8, 8)[::2, ::4])
    compare(f, r(3, 1).expand(3, 4), r(4, 2))


def test_layouts_are_guarded_where_they_matter() -> None:
    @torch.compile
    def f(x: Any) -> Any:
        return x.reshape(-1)

    x = r(3, 4)
    f(x).fill_(1)
    assert (x == 1).all()
    y = r(4, 3).t()
    f(y).fill_(1)
    assert_same(y, r(4, 3).t())
    assert len(f.receipts) == 2
    assert "was contiguous" in f.receipts[1].reason
    assert_same(f(r(4, 6)[:, ::2]), r(4, 6)[:, ::2].reshape(-1))


def test_written_layouts() -> None:
    def f(x: Any) -> Any:
        x.mul_(2)
        x[0] = 5
        return x.sum()

    compare(f, r(4, 3).t())
    whole = r(4, 6)
    part = whole[:, ::2]
    torch.compile(f)(part)
    expected = r(4, 6)
    f(expected[:, ::2])
    assert_same(whole, expected)


def test_unaligned_memory() -> None:
    raw = np.zeros(4 * 8 + 1, np.uint8)
    x = torch.from_numpy(raw[1:].view(np.float32))
    x.fill_(3)
    compiled = torch.compile(lambda x: (x.add_(1), x * 2)[1])
    assert_same(compiled(x), torch.full((8,), 8.0))
    assert_same(x.clone(), torch.full((8,), 4.0))


def test_read_only_memory() -> None:
    array = np.ones(4, np.float32)
    array.flags.writeable = False
    x = torch.from_numpy(array)
    assert_same(torch.compile(lambda x: x * 2)(x), torch.full((4,), 2.0))
    with pytest.raises(ValueError, match="read-only"):
        torch.compile(lambda x: x.add_(1))(x)
    with pytest.raises(ValueError, match="read-only"):
        x.add_(1)
    writer = torch.compile(lambda x: x.add_(1))
    writer(torch.ones(4))
    with pytest.raises(ValueError, match="read-only"):
        writer(x)
    assert (array == 1).all()


# --------------------------------------------------------------------------------------- writes


def test_writes_through_views() -> None:
    def f(x: Any, y: Any) -> Any:
        x[:, 0] = 1
        x.t().add_(y)
        z = x * 2
        z[0].zero_()
        x.view(-1)[1:3].mul_(3)
        return x + z

    compare(f, r(3, 3), r(3, 3))


def test_writes_to_captured_tensors() -> None:
    state = torch.zeros(3)
    views = state[1:]

    @torch.compile
    def f(x: Any) -> Any:
        state.add_(x)
        return state * 2

    for i in range(3):
        before = state._version
        assert_same(f(torch.ones(3)), torch.full((3,), 2.0 * (i + 1)))
        assert state._version == before + 1
    assert_same(views + 0, torch.full((2,), 3.0))
    assert len(f.receipts) == 1


def test_alias_of_an_argument() -> None:
    @torch.compile
    def f(x: Any, y: Any) -> Any:
        x.add_(1)
        return x * y, x is y

    for same in (False, True, False, True):
        x = r(3)
        y = x if same else r(3)
        found = f(x, y)
        a = r(3)
        b = a if same else r(3)
        assert_same(f._function(a, b), found)
        assert_same(a, x)
    assert len(f.receipts) == 2
    assert f.receipts[1].reason == "x and y were two tensors, are one"


def test_written_views_that_overlap() -> None:
    @torch.compile
    def f(x: Any, y: Any) -> Any:
        x.mul_(2)
        return y + 1

    def parts(low: int) -> tuple[Any, Any, Any]:
        base = r(10)
        return base, base[:6], base[low : low + 4]

    for low in (6, 4, 6, 2, 4):  # apart, overlapping
        base, x, y = parts(low)
        expected_base, a, b = parts(low)
        assert_same(f._function(a, b), f(x, y))
        assert_same(expected_base, base)
    separate = f(r(6), r(4))
    assert_same(separate, r(4) + 1)
    reasons = [receipt.reason for receipt in f.receipts]
    assert reasons[1] == "x and y now share memory", reasons


def test_written_base_and_its_view() -> None:
    @torch.compile
    def f(base: Any, view: Any) -> Any:
        base.add_(1)
        y = view * 2
        view.zero_()
        return y, base.sum()

    base = r(4, 4)
    found = f(base, base[1])
    other = r(4, 4)
    assert_same(f._function(other, other[1]), found)
    assert_same(other, base)
    base = r(4, 4)
    found = f(base, base[2])  # another view of it
    other = r(4, 4)
    assert_same(f._function(other, other[2]), found)
    assert_same(other, base)


def test_overlapping_memory_of_numpy() -> None:
    def f(x: Any, y: Any) -> Any:
        x.mul_(2)
        return y + 1

    compiled = torch.compile(f)
    compiled(r(6), r(6))

    def run(function: Any) -> tuple[Any, Any]:
        memory = np.arange(10, dtype=np.float32)
        x, y = torch.from_numpy(memory[:6]), torch.from_numpy(memory[4:])
        return memory, function(x, y)

    with pytest.warns(UserWarning, match="share"):
        found = run(compiled)
    expected = run(f)
    assert (expected[0] == found[0]).all()
    assert_same(expected[1], found[1])


def test_unwritten_memory_may_overlap() -> None:
    compiled = torch.compile(lambda x, y: x + y)
    memory = np.arange(10, dtype=np.float32)
    x, y = torch.from_numpy(memory[:6]), torch.from_numpy(memory[4:])
    assert_same(compiled(x, y), x + y)
    base = r(10)
    assert_same(compiled(base[:6], base[4:]), base[:6] + base[4:])
    assert len(compiled.receipts) == 1


def test_several_elements_in_one_place() -> None:
    f = torch.compile(lambda x: x.add_(1))
    for life in (f._function, f):
        with pytest.raises(RuntimeError, match="more than one element"):
            life(torch.ones(1).expand(3))


# ---------------------------------------------------------------------------------- Python state


def test_attributes_of_modules() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("h", torch.zeros(3))
            self.last = None

        def forward(self, x: Any) -> Any:
            self.h = torch.tanh(self.h + x)
            self.last = self.h * 2
            return self.h

    eager, net = Counter(), Counter()
    compiled = torch.compile(net)
    for _ in range(4):
        assert_same(eager(r(3)), compiled(r(3)))
        assert_same(eager.h, net.h)
        assert_same(eager.last, net.last)
    assert compiled(r(3)) is net.h
    assert len(compiled.receipts) <= 2
    net.h = torch.ones(3)
    assert_same(compiled(r(3)), torch.tanh(torch.ones(3) + r(3)))


def test_state_that_is_created() -> None:
    class Lazy:
        def __init__(self) -> None:
            self.h = None
            self.calls = 0

        def __call__(self, x: Any) -> Any:
            if self.h is None:
                self.h = torch.zeros_like(x)
            self.h = self.h * 0.5 + x
            return self.h

    eager, lazy = Lazy(), Lazy()
    compiled = torch.compile(lazy)
    for _ in range(4):
        assert_same(eager(r(3)), compiled(r(3)))
        assert_same(eager.h, lazy.h)
    assert len(compiled.receipts) == 2
    assert "h was None, is a tensor" in compiled.receipts[1].reason


def test_python_side_effects_repeat() -> None:
    class Switch:
        def __init__(self) -> None:
            self.on = False

        def __call__(self, x: Any) -> Any:
            self.on = not self.on
            return x * 2 if self.on else x * 3

    eager, switch = Switch(), Switch()
    compiled = torch.compile(switch)
    for _ in range(5):
        assert_same(eager(r(2)), compiled(r(2)))
        assert eager.on is switch.on
    assert len(compiled.receipts) == 2


def test_tensors_appended_to_lists() -> None:
    kept: list[Any] = []

    @torch.compile
    def f(x: Any) -> Any:
        y = x * 2
        kept.append(y)
        return y

    for i in range(3):
        y = f(torch.full((2,), float(i)))
        assert kept[-1] is y and len(kept) == i + 1
    assert_same(kept[1], torch.full((2,), 2.0))


def test_closure_cells_that_are_rebound() -> None:
    h = torch.zeros(2)

    @torch.compile
    def f(x: Any) -> Any:
        nonlocal h
        h = h + x
        return h * 2

    for i in range(4):
        f(torch.ones(2))
        assert_same(h, torch.full((2,), float(i + 1)))
    assert len(f.receipts) == 1


def test_nested_compile_is_inlined() -> None:
    scale = 2

    @torch.compile
    def inner(x: Any) -> Any:
        return x * scale

    @torch.compile
    def outer(x: Any) -> Any:
        return inner(x) + 1

    assert_same(outer(r(3)), r(3) * 2 + 1)
    assert inner.receipts == []
    assert len(outer.receipts[0].kernels) == 1
    scale = 3
    assert_same(outer(r(3)), r(3) * 3 + 1)
    assert outer.receipts[1].reason == "scale was 2, is 3"


def test_compiled_module_inside() -> None:
    inner = torch.compile(nn.Linear(3, 2))
    outer = torch.compile(lambda x: torch.relu(inner(x)))
    assert_same(outer(r(4, 3)), torch.relu(inner._orig_mod(r(4, 3))))
    assert inner.receipts == []


def test_random_state() -> None:
    def f(x: Any) -> Any:
        return x + torch.rand(4), torch.randn(4)

    compiled = torch.compile(f)
    torch.manual_seed(3)
    expected = [f(torch.zeros(4)), f(torch.zeros(4)), torch.rand(2)]
    torch.manual_seed(3)
    found = [compiled(torch.zeros(4)), compiled(torch.zeros(4)), torch.rand(2)]
    assert_same(expected, found)
    assert len(compiled.receipts) == 1


def test_own_generator() -> None:
    generator = Generator()

    def f() -> Any:
        return torch.rand(3, generator=generator)

    compiled = torch.compile(f)
    generator.manual_seed(1)
    expected = [f(), f()]
    generator.manual_seed(1)
    assert_same(expected, [compiled(), compiled()])


def test_foreign_random_numbers_are_pointed_out() -> None:
    f = torch.compile(lambda x: x * random.random())
    with pytest.warns(UserWarning, match="drew from random while it was traced"):
        f(r(2))
    g = torch.compile(lambda x: x * float(np.random.rand()))
    with pytest.warns(UserWarning, match=r"drew from numpy\.random"):
        g(r(2))


def test_copies_and_pickles() -> None:
    compiled = torch.compile(nn.Linear(3, 2))
    compiled(r(4, 3))
    other = copy.deepcopy(compiled)
    assert other.weight is not compiled.weight
    assert_same(other(r(4, 3)), compiled(r(4, 3)))
    loaded = pickle.loads(pickle.dumps(compiled))
    assert_same(loaded(r(4, 3)), compiled(r(4, 3)))
    assert len(loaded.receipts) == len(other.receipts) == 1
    assert copy.deepcopy(torch.compile(_doubled))(3) == 6


def _doubled(x: Any) -> Any:
    return x * 2


def test_compiled_module_is_its_module() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).eval()
    compiled = torch.compile(net)
    assert compiled.training is False
    compiled.train()
    assert net.training and net[1].training and compiled.training
    compiled.eval()
    compiled.extra = 5
    assert net.extra == 5 and compiled.extra == 5
    del compiled.extra
    assert not hasattr(net, "extra")
    compiled.double()
    assert net[0].weight.dtype is torch.float64
    assert_same(compiled(r(4, 3).double()), net(r(4, 3).double()))
    assert len(list(compiled.parameters())) == 2
    compiled.register_forward_hook(lambda module, args, result: result * 2)
    assert_same(compiled(r(4, 3).double()), net(r(4, 3).double()))
    assert "Linear(in_features=3, out_features=2" in repr(compiled)


def test_another_process_needs_no_compiler_twice(tmp_path: Any) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import graphc as torch
            f = torch.compile(lambda x: (x * 2 + 1).tanh())
            f(torch.ones(5))
            print(f.receipts[0].cached)
            """
        )
    )
    runs = [
        subprocess.run(
            [sys.executable, str(program)], capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert runs[1] == "True"
