"""Scans, searches, counts and differences: PyTorch's answers, or its exceptions, to small programs.

Where PyTorch's OpInfo samples end: edge values, messages' kinds, long and strided inputs.
"""

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")
from tests.front.outcomes import same_outcome  # noqa: E402 - they import PyTorch themselves
from tests.opinfo.compare import same  # noqa: E402

pytestmark = pytest.mark.differential

# ``t`` is the library, ``T`` its ``tensor``. Equal results, or exceptions of the same kind.
PROGRAMS = """
t.cumsum(T(3), 0)
t.cumsum(T([True, True]), 0)
t.cumsum(T([1, 2]), 0, dtype=t.bool)
t.cumsum(T([1.5, 2]), 0, dtype=t.int32)
t.cumsum(T([100, 100], dtype=t.int8), 0)
t.cumsum(T([100, 100], dtype=t.int8), 0, dtype=t.int8)
t.cumsum(T([1., 2]), 1)
t.cumsum(T([1., 2]), 0.5)
t.cumsum(T([1., 2]))
t.cumsum(T([1., 2]), dim=None)
t.cumsum(t.zeros(0), 0)
t.cumsum(T([1, 2]), 0, out=t.empty(2))
t.cumsum(T([1.5, 2]), 0, out=t.empty(2, dtype=t.int64))
t.cumsum(T([1.5, 2]), 0, dtype=t.float64, out=t.empty(2))
T([1., 2]).cumsum_(0)
T([1., 2]).cumsum_(0, dtype=t.float64)
T([1, 2], dtype=t.int32).cumsum_(0)
T([True, True]).cumsum_(0)
T([1, 2, 3]).cumprod_(-1)
t.cumprod(T([True, False]), 0)
t.cumprod(T([2., 0, 3]), 0, dtype=t.float64)
t.cumprod(T([3e38, 10, 1e-30]), 0)
t.cummax(T(3.), 0)
t.cummax(T([True, False]), 0)
t.cummax(T([]), 0)
t.cummax(t.zeros(0, 3), 1)
t.cummax(t.zeros(3, 0), 1)
t.cummax(T([1., nan, 2, nan, 1]), 0)
t.cummin(T([1., nan, 0, nan, 1]), 0)
t.cummin(T([1, 1, 0, 0, 1]), 0)
t.cummax(T([0., -0.0, 0.0]), 0).indices
t.cummax(T([1, 2]), 1)
t.cummax(T([[3., 1], [2, 5]]), dim=1).values
t.cummin(T([3., 1]), 0, out=(t.empty(2), t.empty(2, dtype=t.int64)))[1]
t.logcumsumexp(T([1, 2]), 0)
t.logcumsumexp(T(2.), 0)
t.logcumsumexp(T([-inf, -inf, 1., -inf]), 0)
t.logcumsumexp(T([1., inf, -inf, inf]), 0)
t.logcumsumexp(T([1., nan, 2]), 0)
t.logcumsumexp(T([1e30, 1, -1e30]), 0)
t.searchsorted(T([1., 2, 3]), T([1, 2]))
t.searchsorted(T([1., 2, 3]), 2)
t.searchsorted(T([1, 2, 3]), 2.5)
t.searchsorted(T([[1, 2, 3], [4, 5, 6]]), 2.5)
t.searchsorted(T([[1, 2, 3], [4, 5, 6]]), T([1, 2]))
t.searchsorted(T([[1, 3], [4, 6]]), T([[1, 2, 9], [4, 5, 7]]), side='right')
t.searchsorted(T([1, 2, 3]), T(2))
t.searchsorted(T(2), T(2))
t.searchsorted(T([1, 2, 3]), T([2]), side='rigt')
t.searchsorted(T([1, 2, 3]), T([2]), side='left', right=True)
t.searchsorted(T([1, 2, 3]), T([2]), side='right', right=True)
t.searchsorted(T([3, 1, 2]), T([2, 3]), sorter=T([1, 2, 0]))
t.searchsorted(T([1, 2, 3]), T([2]), sorter=T([0, 1]))
t.searchsorted(T([1, 2, 3]), T([2]), sorter=T([0, 1, 7]))
t.searchsorted(T([1, 2, 3]), T([2]), sorter=T([0., 1, 2]))
t.searchsorted(T([1., 2, nan]), T([2, nan, inf]))
t.searchsorted(T([1., 2, nan]), T([2, nan, inf]), right=True)
t.searchsorted(T([True, False]), T([True]))
t.searchsorted(T([1., 2]), T([1.]), out_int32=True)
t.searchsorted(T([1., 2]), T([1.]), out=t.empty(1))
t.searchsorted(T([1., 2]), T([1.]), out=t.empty(1, dtype=t.int64))
t.searchsorted(t.zeros(2, 0), t.zeros(2, 3))
t.searchsorted(t.zeros(0), t.zeros(2, 3))
t.bucketize(3, T([1, 2, 3]))
t.bucketize(T([3.]), T([[1, 2, 3]]))
t.bucketize(T([[3., 1], [0, 7]]), T([1, 2, 3]), right=True)
t.bucketize(T([3.]), [1, 2, 3])
t.bucketize(T([3.]), 3)
t.bincount(T([1, 2, 2]))
t.bincount(T([1, 2, 2]), T([.5, 1, 2]))
t.bincount(T([1, 2, 2]), T([.5, 1, 2]).half())
t.bincount(T([1, 2, 2]), T([5, 1, 2]))
t.bincount(T([1, 2, 2]), T([5, 1]))
t.bincount(T([1, 2, -2]))
t.bincount(T([1., 2]))
t.bincount(T([[1]]))
t.bincount(T(1))
t.bincount(T([True]))
t.bincount(T([1]), minlength=-1)
t.bincount(T([1]), minlength=4)
t.bincount(T([], dtype=t.int64), minlength=4)
t.bincount(T([], dtype=t.int64), T([]))
t.bincount(T([1], dtype=t.uint8), minlength=4)
t.bincount(T([]))
t.histc(T([1., 2, 3]), 4)
t.histc(T([1, 2, 3]), 4)
t.histc(T([1., 2, 3]).half(), 4)
t.histc(T([1., 2, 3]).bfloat16(), 4)
t.histc(T([1., 2, 3]), 0)
t.histc(T([1., 2, 3]), 2.5)
t.histc(T([1., 2, 3]), 4, 3, 1)
t.histc(T([1., 2, 3]), 4, 2, 2)
t.histc(T([1., 2, nan]), 4)
t.histc(T([1., 2, nan]), 4, 0, 3)
t.histc(T([1., 2, inf]), 4)
t.histc(T([1., 2, inf]), 4, 0, 2)
t.histc(T([1., 2, 3]), 4, 0, inf)
t.histc(T([]), 4)
t.histc(T([2., 2]), 4)
t.histc(T(2.), 4)
t.histc(T([[1., 2], [3, 3]]), bins=3, min=1, max=3)
t.histogram(T([1., 2, 3]), 4)
t.histogram(T([1, 2, 3]), 4)
t.histogram(T([1., 2, 3]).half(), 4)
t.histogram(T([1., 2, 3]), 4, range=(0, 2))
t.histogram(T([1., 2, 3]), T([0., 1, 3]))
t.histogram(T([1., 2, 3]), T([0., 1, 3]), density=True, weight=T([1., 2, 3])).hist
t.histogram(T([1., 2, 3]), 4, weight=T([1, 2, 3]))
t.histogram(T([1., 2, 3]), 4, weight=T([1.]))
t.histogram(T([1., 2, 3]), T([[0., 1]]))
t.histogram(T([1., 2, 3]), T([0, 1]))
t.histogram(T([1., 2, 3]), 0)
t.histogram(T([1., 2, 3]), 3, range=(2, 1))
t.histogram(T([1., 2, 3]), 3, range=(1, 1))
t.histogram(T([1., 2, 3]), T([1.]))
t.histogram(T([]), 3)
t.histogram(T([1., nan]), 3, range=(0, 2))
t.histogram(T([1., nan]), 3)
t.diff(T(1.))
t.diff(T([1., 2]), n=5)
t.diff(T([1., 2]), n=0)
t.diff(T([1., 2]), n=-1)
t.diff(T([True, False, False]))
t.diff(T([True, False, False]), n=2)
t.diff(T([1, 2]), prepend=T([0.]))
t.diff(T([1., 2]), prepend=T([[0.]]))
t.diff(T([1., 2]), append=T(0.))
t.diff(T([[1., 2]]), prepend=T([[0.], [1]]))
t.diff(T([1, 2], dtype=t.uint8))
t.diff(T([5, 2], dtype=t.uint8))
t.diff(T([1., 2, 4]), out=t.empty(2, dtype=t.float64))
t.trapezoid(T([1, 2, 3]), dx=0.5)
t.trapezoid(T([1, 2, 3]), T([1, 2, 5]))
t.trapezoid(T(1.))
t.trapezoid(T([True, False]))
t.trapezoid(T([1, 2, 3]), T([1, 2, 5, 6]))
t.trapezoid(T([[1, 2, 3], [3, 4, 5]]), T([[1], [2]]), dim=0)
t.trapezoid(T([[1, 2, 3]]), T([1, 2, 5]), dim=0)
t.trapezoid(t.zeros(3, 0))
t.trapezoid(t.zeros(3, 0, dtype=t.int64))
t.trapezoid(T([1., 2]), T([1., 3]), dx=3)
t.trapz(T([1., 2]), x=T([1., 3]))
t.cumulative_trapezoid(T([1, 2, 3]))
t.cumulative_trapezoid(T(1.))
t.cumulative_trapezoid(t.zeros(3, 0))
t.gradient(T([1, 2, 4]), spacing=2)
t.gradient(T([1., 2]), edge_order=2)
t.gradient(T([1.]))
t.gradient(T(1.))
t.gradient(T([[1., 2], [3, 5]]), dim=(0, 0))
t.gradient(T([[1., 2], [3, 5]]), spacing=(1, 2, 3))
t.gradient(T([[1., 2], [3, 5]]), spacing=(T([1., 2]), T([1, 5])))
t.gradient(T([[1., 2], [3, 5]]), spacing=(T([1., 2]), T([[1., 5]])))
t.gradient(T([[1., 2], [3, 5]]), spacing=[2.], dim=1)
t.gradient(T([[1., 2], [3, 5]]), spacing=T([1., 5]))
t.gradient(T([[1., 2], [3, 5]]), edge_order=3)
t.gradient(T([1, 2], dtype=t.uint8))
t.gradient(T([True, False]))
t.count_nonzero(T([[1., 0], [nan, 3]]), dim=0)
t.count_nonzero(T([[1, 0], [2, 3]]), dim=(0, 1))
t.count_nonzero(T([[1, 0], [2, 3]]), dim=())
t.count_nonzero(T([[1, 0], [2, 3]]), dim=(0, 0))
""".strip().splitlines()


@pytest.mark.parametrize("text", PROGRAMS)
def test_program(text):
    same_outcome(torch, text)


# ----------------------------------------------------------------------------- long, odd, strided

NAMES = ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp")
SHAPES = [((1,), 0), ((10_001,), 0), ((65, 7), 0), ((7, 65), 1), ((3, 33, 129), 1), ((300, 300), 0)]


def numbers(shape, seed=0):
    values = np.random.default_rng(seed).uniform(-1.5, 1.5, shape)
    values.flat[:: max(values.size // 5, 1)] = 0
    return np.round(values * 16) / 16  # equal elements, and sums that are exact


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shape", "dim"), SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_compiled_scan_of_any_size(name, shape, dim, dtype):
    x = numbers(shape)
    theirs = getattr(torch, name)(torch.tensor(x).to(getattr(torch, dtype)), dim)
    ours = graphc.tensor(x).to(getattr(graphc, dtype))
    same(getattr(graphc, name)(ours, dim), theirs, loose=4)
    same(graphc.compile(lambda x: getattr(graphc, name)(x, dim))(ours), theirs, loose=4)


@pytest.mark.parametrize("name", NAMES)
def test_strided_inputs(name):
    x = numbers((6, 5, 8))

    def program(t, whole):
        views = (whole.permute(2, 0, 1), whole[::2, 1:, ::3], whole[:, :1].expand(6, 5, 8))
        return [getattr(t, name)(view, dim) for view in views for dim in (0, 1, 2)]

    theirs = program(torch, torch.tensor(x))
    same(program(graphc, graphc.tensor(x)), theirs)
    same(graphc.compile(lambda whole: program(graphc, whole))(graphc.tensor(x)), theirs)


def test_sums_are_as_exact_as_pytorchs():
    x = np.random.default_rng(1).uniform(0, 1, 1_000_000).astype(np.float32)
    exact = np.cumsum(x.astype(np.float64))
    theirs = np.abs(torch.tensor(x).cumsum(0).numpy() - exact).max()
    eager = np.abs(graphc.tensor(x).cumsum(0).numpy() - exact).max()
    compiled = np.abs(graphc.compile(lambda x: x.cumsum(0))(graphc.tensor(x)).numpy() - exact).max()
    assert max(eager, compiled) <= theirs


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("length", [0, 1, 2, 1000, 4097])
def test_compiled_search_of_any_size(length, right):
    edges = np.sort(numbers((3, length), 2), 1)
    values = np.concatenate([numbers((3, 500), 3), edges], 1)

    def program(t, edges, values):
        one = t.bucketize(values.t(), edges[0], right=right)
        return one, t.searchsorted(edges, values, right=right, out_int32=True)

    theirs = program(torch, torch.tensor(edges), torch.tensor(values))
    ours = graphc.tensor(edges), graphc.tensor(values)
    same(program(graphc, *ours), theirs)
    same(graphc.compile(lambda a, b: program(graphc, a, b))(*ours), theirs)


# -------------------------------------------------------------------------------------- gradients


def twice(t, function, x):
    """The first gradient, and that of the sum of its squares."""
    x = t.tensor(x, dtype=t.float64, requires_grad=True)
    y = function(t, x)
    g = t.linspace(-2, 3, y.numel(), dtype=t.float64).reshape(tuple(y.shape))
    (first,) = t.autograd.grad(y, x, g, create_graph=True)
    (second,) = t.autograd.grad((first * first).sum(), x)
    return first.detach(), second


@pytest.mark.parametrize(
    "x",
    [
        [1.5, -2.0, 3.0, 0.5],
        [1.5, 0.0, 3.0, 0.5],
        [0.0, 2.0, 0.0, 0.5],
        [0.0, 0.0, 0.0],
        [[1.0, 0.0, 2.0], [0.0, 3.0, 4.0]],
    ],
)
def test_gradients_of_products_with_zeros(x):
    for dim in (0, -1):
        theirs = twice(torch, lambda t, x: t.cumprod(x, dim), x)  # noqa: B023
        same(twice(graphc, lambda t, x: t.cumprod(x, dim), x), theirs)  # noqa: B023


@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_gradients_go_where_the_extreme_was_found(name):
    x = numbers((4, 6), 5)

    def gradient(t):
        leaf = t.tensor(x, requires_grad=True)
        values, indices = getattr(t, name)(leaf * 1, 1)
        assert not indices.requires_grad
        (values * t.linspace(1, 2, 24, dtype=t.float64).reshape(4, 6)).sum().backward()
        return leaf.grad

    same(gradient(graphc), gradient(torch))


def test_logarithms_of_sums_have_gradients_far_out():
    for x in ([-1000.0, 1.0, -2000.0, 1000.0, 3.0], [5.0, float("inf"), 1.0], [0.0, -1e300]):
        same(
            twice(graphc, lambda t, x: t.logcumsumexp(x, 0), x)[0],
            twice(torch, lambda t, x: t.logcumsumexp(x, 0), x)[0],
        )


def test_an_operand_that_the_gradient_does_not_need_may_change():
    x = graphc.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    z = y.cumsum(0)
    y.mul_(3)
    z.sum().backward()
    assert x.grad.tolist() == [2.0, 1.0]


def test_sorter_out_of_range_is_said_when_compiled():
    search = graphc.compile(lambda s, v, p: graphc.searchsorted(s, v, sorter=p))
    s, v = graphc.tensor([3.0, 1.0]), graphc.tensor([2.0])
    assert search(s, v, graphc.tensor([1, 0])).tolist() == [1]
    with pytest.raises(IndexError):
        search(s, v, graphc.tensor([1, 2]))
