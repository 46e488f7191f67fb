"""Sorts, order statistics, sets: PyTorch's answers, or its exceptions, to small programs.

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
t.sort(T(5.))
t.sort(T([3., 1, 2]))
t.sort(T([3., 1, 2]), 3)
t.sort(T([3., 1, 2]), dim=0, descending=True)
t.sort(T([3., 1, 2]), 0, True)
t.sort(T([3., 1, 2]), stable=True, dim=0, descending=True)
t.sort(T([3., 1, 2]), stable=None)
t.sort(T([1., nan, 0., -0., inf, nan, -inf]))
t.sort(T([1., nan, 0., -0., inf, nan, -inf]), descending=True)
t.sort(T([1, 1, 0, 2, 0, 1]), stable=True)
t.sort(T([1, 1, 0, 2, 0, 1]), stable=True, descending=True)
t.sort(T([True, False, True]), stable=True)
t.sort(T([200, 100], dtype=t.uint8))
t.sort(T([-2**63, 2**63 - 1, 0]), descending=True)
t.sort(T([-32768, 32767, 0], dtype=t.int16), descending=True)
t.sort(T([1., nan, -inf, 2, inf], dtype=t.bfloat16), descending=True)
t.sort(T([1., nan, -inf, 2, inf], dtype=t.float16))
t.sort(t.zeros(2, 0))
t.sort(t.zeros(2, 0), 0)
t.sort(T([[2., 1], [0, 3]]), out=(t.empty(0), t.empty(0, dtype=t.int64)))
T([3., 1, 2]).sort(descending=True).values
t.argsort(T(5.))
t.argsort(T([3., 1, 2]), stable=True, dim=0)
T([3., 1, 2]).argsort(0, True)
t.argsort(T([3., 1, 2]), 1)
t.msort(T(5.))
t.msort(T([[3., 1], [2, 5]]))
t.topk(T([3., 1, 2]), 0)
t.topk(T([3., 1, 2]), 2)
t.topk(T([3., 1, 2]), 4)
t.topk(T([3., 1, 2]), -1)
t.topk(T([3., nan, 2]), 2)
t.topk(T([3., nan, 2]), 2, largest=False)
t.topk(T([3., 1, 2]), 1, 3)
t.topk(T(5.), 1)
t.topk(T(5.), 2)
t.topk(t.zeros(2, 0), 1)
t.topk(t.zeros(2, 0), 0)
t.topk(t.zeros(2, 0), 1, 0)
t.topk(T([True]), 1)
t.topk(T([[3., 1, 2]]), k=2, dim=-1, largest=False, sorted=True)
T([3, 1, 2]).topk(2)
t.kthvalue(T([3., 1, 2]), 0)
t.kthvalue(T([3., 1, 2]), 1)
t.kthvalue(T([3., 1, 2]), 4)
t.kthvalue(T([3., nan, 2]), 3)
t.kthvalue(T([[3., 5, 2]]), 2, keepdim=True)
t.kthvalue(T([[3., 5, 2]]), 1, 0)
t.kthvalue(T([3., 1, 2]), 1, 3)
t.kthvalue(T(5.), 1)
t.kthvalue(T(5.), 1, keepdim=True)
t.kthvalue(T(5.), 2)
t.kthvalue(t.zeros(2, 0), 1)
t.kthvalue(t.zeros(2, 0), 1, 0)
t.kthvalue(T([True]), 1)
t.median(T([3., 1, 2, 4]))
t.median(T([3, 1, 2, 4]))
t.median(T([3., nan, 2, 4]))
t.median(T(5.))
t.median(T(5.), 0)
t.median(T([]))
t.median(t.zeros(2, 0), 0)
t.median(t.zeros(2, 0), 1)
t.median(T([1., 2]), 2)
t.median(T([True]))
t.median(T([True]), 0)
t.median(T([1., nan, nan, 0.]), 0)
t.median(T([[1., 4, 3], [9, 8, 7]]), 1)
t.median(T([[1., 4, 3], [9, 8, 7]]), dim=0, keepdim=True)
T([[1., 4, 3], [9, 8, 7]]).median(-1).indices
t.nanmedian(T([3., nan, 2, 4]))
t.nanmedian(T([nan, nan]))
t.nanmedian(T([nan, nan]), 0)
t.nanmedian(T([]))
t.nanmedian(t.zeros(2, 0), 1)
t.nanmedian(T([[1., nan, nan, 0.], [nan, 7, nan, nan]]), 1, True)
t.nanmedian(T([3, 1, 2, 4]), 0)
t.mode(T(5.))
t.mode(T([]))
t.mode(t.zeros(2, 0), 0)
t.mode(t.zeros(2, 0), 1)
t.mode(T([True, False, True]))
t.mode(T([1., nan, nan, 0.]))
t.mode(T([nan, nan]))
t.mode(T([[5, 5, 1, 1, 2], [3, 3, 3, 0, 0]]), 1)
t.mode(T([[5, 5, 1, 1, 2], [5, 3, 1, 0, 0]]), 0, keepdim=True)
t.mode(T([1., 2]), 2)
t.quantile(T([3., 1, 2]), 0.5)
t.quantile(T([3., 1, 2]), 1)
t.quantile(T([3., 1, 2]), 2.)
t.quantile(T([3., 1, 2]), -0.5)
t.quantile(T([3., 1, 2]), nan)
t.quantile(T([3., 1, 2]), 'a')
t.quantile(T([3., 1, 2]), [0.5])
t.quantile(T([3., 1, 2]), T([.1, .2]))
t.quantile(T([3., 1, 2]), T(.5))
t.quantile(T([3., 1, 2]), T([]))
t.quantile(T([3., 1, 2]), T([[.1]]))
t.quantile(T([3., 1, 2]), T([1.5]))
t.quantile(T([3., 1, 2]), T([nan]))
t.quantile(T([3., 1, 2]).double(), T([.5]))
t.quantile(T([1, 2]), .5)
t.quantile(T([1., 2]).half(), .5)
t.quantile(t.zeros(2, 0), .5)
t.quantile(t.zeros(2, 0), .5, 0)
t.quantile(T(5.), .5)
t.quantile(T(2.), T([.5]), 0, True)
t.quantile(T([[3., 1, 2], [4, 9, 1]]), .5, keepdim=True)
t.quantile(T([[3., 1, 2], [4, 9, 1]]), .5, 4)
t.quantile(T([[3., 1, 2], [4, 9, 1]]), T([.1, .9]), keepdim=True)
t.quantile(T([[3., 1, 2], [4, 9, 1]]), T([.1, .2, .3]), dim=1, keepdim=True)
t.quantile(T([[3., 1, 2], [4, 9, 1]]), T([.1, .2, .3]), dim=0)
t.quantile(T([1., nan]), .5)
t.quantile(T([1., inf]), 1.)
t.quantile(T([-inf, 1., 2, inf]), .5)
t.quantile(T([1., 2, 3, 4]), .5, interpolation='lower')
t.quantile(T([1., 2, 3, 4]), .5, interpolation='higher')
t.quantile(T([1., 2, 3, 4]), .5, interpolation='midpoint')
t.quantile(T([1., 2, 3, 4]), .5, interpolation='nearest')
t.quantile(T([1., 2, 3, 4, 5, 6]), .5, interpolation='nearest')
t.quantile(T([1., 2]), .5, interpolation='foo')
t.quantile(T([1., 2]), .5, out=t.empty(0))
t.quantile(T([1., 2]), .5, out=t.empty(0, dtype=t.float64))
t.nanquantile(T([1., nan]), .5)
t.nanquantile(T([nan, nan]), .5)
t.nanquantile(T([[1., nan, 3], [nan, nan, nan]]), T([.5, .9]), dim=1)
t.nanquantile(T([1., nan, 3, 4]), .4, interpolation='higher')
t.unique(T([3., 1, 2, 1]))
t.unique(T([3., 1, 2, 1]), True, True, True)
t.unique(T([[3, 1], [1, 2]]), return_inverse=True)
t.unique(T([[3, 1], [1, 2]]), return_counts=True)
t.unique(T([3, 1]), sorted=False)
t.unique(T(5.), return_inverse=True, return_counts=True)
t.unique(t.zeros(2, 0), return_inverse=True, return_counts=True)
t.unique(t.zeros(2, 0), dim=0)
t.unique(t.zeros(2, 0), dim=1, return_inverse=True)
t.unique(T([nan, nan, 1, 0.]), return_inverse=True, return_counts=True)
t.unique(T([True, False, True]), return_counts=True)
t.unique(T([1., 0.5, 1], dtype=t.bfloat16), return_counts=True)
t.unique(T([[1, 2], [1, 2], [0, 5]]), dim=0, return_inverse=True, return_counts=True)
t.unique(T([[1, 0, 1], [2, 5, 2]]), dim=-1, return_inverse=True, return_counts=True)
t.unique(T([1, 2]), dim=1)
T([2, 1, 2]).unique()
t.unique_consecutive(T([1, 1, 2, 2, 1]), return_inverse=True, return_counts=True)
t.unique_consecutive(T([[1, 1], [1, 1], [2, 2], [1, 1]]), dim=0, return_counts=True)
t.unique_consecutive(T([nan, nan, 0, 0.]))
t.unique_consecutive(T([]), return_counts=True)
T([[1, 1], [2, 2]]).unique_consecutive(return_inverse=True)
t.isin(T([3., 1, 2]), T([1., 5, 3]))
t.isin(T([3., 1, 2]), 1.)
t.isin(T([3, 1, 2]), 1.5)
t.isin(1., T([3., 1, 2]))
t.isin(1, 2)
t.isin(T([3., 1, 2]), T([1, 2]), invert=True, assume_unique=True)
t.isin(T([True]), T([True]))
t.isin(T([nan, 0.]), T([nan, -0.]))
t.isin(T([nan, 0.]), T([nan, -0.]), invert=True)
t.isin(T([-inf, nan, 1]), T([nan, nan]))
t.isin(t.zeros(2, 0), T([1.]))
t.isin(T([[1, 2]]), T([], dtype=t.int64))
t.isin(T([1., nan]), T([]), invert=True)
t.multinomial(T([1., 2]), 3)
t.multinomial(T(1.), 1)
t.multinomial(t.ones(2, 2, 2), 1)
t.multinomial(T([1, 2]), 1)
t.multinomial(T([-1., 2]), 1)
t.multinomial(T([nan, 2]), 1, True)
t.multinomial(T([inf, 2]), 1)
t.multinomial(T([0., 0]), 1)
t.multinomial(T([0., 0]), 1, True)
t.multinomial(T([1., 2]), 0)
t.multinomial(T([1., 2]), -1, True)
t.multinomial(T([0., 1]), 4, True)
t.multinomial(T([[0., 1, 0], [0, 0, 2]]), 1)
t.multinomial(t.ones(0, 3), 2)
t.multinomial(T([]), 1)
t.multinomial(T([0., 1]), 2, True, out=t.empty(0))
t.randperm(-1)
t.randperm(0)
t.randperm(1, dtype=t.float32)
""".strip().splitlines()


@pytest.mark.parametrize("text", PROGRAMS)
def test_program(text):
    same_outcome(torch, text)


# ----------------------------------------------------------------------------- long, odd, strided

SHAPES = [((1,), 0), ((4097,), 0), ((65, 7), 0), ((7, 65), 1), ((3, 130, 9), 1)]


def numbers(shape, seed=0):
    """Each about twice, with NaN and both zeros."""
    random = np.random.default_rng(seed)
    size = int(np.prod(shape))
    x = random.permutation(size).reshape(shape) // 2 * 0.5
    x[random.random(shape) < 0.05] = np.nan
    x[random.random(shape) < 0.05] = -0.0
    return x


def statistics(t, x, dim):
    k = (x.shape[dim] + 2) // 3
    values = [
        t.topk(x, k, dim).values, t.topk(x, 1, dim, largest=False).values,
        t.kthvalue(x, k, dim).values, t.median(x, dim).values, t.nanmedian(x, dim).values,
        t.median(x), t.nanmedian(x),
    ]  # fmt: skip
    up, down = (t.sort(x, dim=dim, descending=d, stable=True) for d in (False, True))
    if x.dtype in (t.float32, t.float64):
        values += [t.quantile(x, 0.3, dim), t.nanquantile(x, t.tensor([0.1, 0.9]).to(x.dtype), dim)]
    return [*values, *up, *down]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int32", "uint8"])
def test_of_any_size(dtype):
    def program(t, arrays):
        return [statistics(t, x, dim) for x, (_, dim) in zip(arrays, SHAPES, strict=True)]

    arrays = [numbers(shape) for shape, _ in SHAPES]
    if "int" in dtype:
        arrays = [np.nan_to_num(x) % 200 for x in arrays]
    theirs = program(torch, [torch.tensor(x).to(getattr(torch, dtype)) for x in arrays])
    ours = [graphc.tensor(x).to(getattr(graphc, dtype)) for x in arrays]
    same(program(graphc, ours), theirs)
    same(graphc.compile(lambda *arrays: program(graphc, arrays))(*ours), theirs)


def test_strided_inputs():
    x = numbers((6, 5, 8))

    def program(t, whole):
        views = (whole.permute(2, 0, 1), whole[::2, 1:, ::3], whole[:, :1].expand(6, 5, 8))
        return [t.sort(view, dim=d, stable=True) for view in views for d in (0, 1, 2)]

    theirs = program(torch, torch.tensor(x))
    same(program(graphc, graphc.tensor(x)), theirs)
    same(graphc.compile(lambda whole: program(graphc, whole))(graphc.tensor(x)), theirs)


@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("shape", [(300, 2), (2, 300)])
def test_unique_of_many(shape, dim):
    x = np.random.default_rng(0).integers(0, 4, shape)
    options = {"return_inverse": True, "return_counts": True, "dim": dim}

    def program(t, x):
        return [getattr(t, name)(x, **options) for name in ("unique", "unique_consecutive")]

    theirs = program(torch, torch.tensor(x))
    same(program(graphc, graphc.tensor(x)), theirs)
    same(graphc.compile(lambda x: program(graphc, x))(graphc.tensor(x)), theirs)


def test_a_compiled_set_of_another_size_is_found_anew():
    found = graphc.compile(lambda x: x.unique() * 2)
    for values in ([3, 1, 3], [1, 2, 3], [5, 5, 5], [1, 1, 3]):
        x = graphc.tensor(values)
        assert found(x).tolist() == [2 * v for v in sorted(set(values))]


# -------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("name", ["median", "nanmedian"])
@pytest.mark.parametrize("x", [[2.0, 1.0, 2.0, 2.0, 5.0], [1.0, float("nan"), float("nan"), 3.0]])
def test_elements_equal_to_the_median_share_its_gradient(name, x):
    def gradient(t):
        leaf = t.tensor(x, requires_grad=True)
        (getattr(t, name)(leaf * 1) * 6).backward()
        return leaf.grad

    same(gradient(graphc), gradient(torch))


def test_gradients_of_quantiles_reach_the_level():
    def gradients(t):
        x = t.tensor([[1.0, 4.0, 9.0], [2.0, 7.0, 5.0]], requires_grad=True)
        q = t.tensor([0.3, 0.8], requires_grad=True)
        (t.quantile(x, q, dim=1) * t.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
        return x.grad, q.grad

    same(gradients(graphc), gradients(torch))


def test_the_gradient_of_a_training_step_goes_through_a_sort():
    def step(t, x):
        x = x.detach().requires_grad_()
        values, _ = (x * x).sort(1, descending=True)
        best = (x * 3).topk(2, 1).values
        (values * t.arange(12.0).reshape(3, 4)).sum().backward()
        (best.exp().sum()).backward()
        return x.grad

    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    theirs = step(torch, torch.tensor(x))
    same(step(graphc, graphc.tensor(x)), theirs)
    same(graphc.compile(lambda x: step(graphc, x))(graphc.tensor(x)), theirs)


# ------------------------------------------------------------------------------------------ draws


def test_permutations_are_the_same_compiled_and_eager():
    for n in (0, 1, 2, 1000):
        graphc.manual_seed(3)
        eager = [graphc.randperm(n) for _ in range(2)]
        graphc.manual_seed(3)
        draw = graphc.compile(lambda: graphc.randperm(n))  # noqa: B023
        for one in eager:
            assert draw().tolist() == one.tolist()
            assert sorted(one.tolist()) == list(range(n))
    assert eager[0].tolist() != eager[1].tolist()


@pytest.mark.parametrize("replacement", [False, True])
def test_draws_are_the_same_compiled_and_eager(replacement):
    weights = graphc.rand(5, 50)
    graphc.manual_seed(4)
    eager = [graphc.multinomial(weights, 7, replacement) for _ in range(2)]
    graphc.manual_seed(4)
    draw = graphc.compile(lambda w: graphc.multinomial(w, 7, replacement))
    same = [draw(weights).tolist() == one.tolist() for one in eager]
    assert same == [True, True]


def test_frequencies_of_draws_are_the_weights():
    graphc.manual_seed(5)
    weights = graphc.tensor([0.0, 1.0, 2.0, 0.0, 5.0])
    expected = weights.numpy() / 8
    several = graphc.multinomial(weights, 80_000, True).numpy()
    single = graphc.multinomial(weights.expand(80_000, 5), 1).numpy()
    for drawn in (several, single):
        found = np.bincount(drawn.ravel(), minlength=5) / 80_000
        # Four standard deviations of a frequency near one half.
        np.testing.assert_allclose(found, expected, atol=4 * 0.5 / 80_000**0.5)
        assert set(drawn.ravel().tolist()) == {1, 2, 4}


def test_draws_without_replacement_follow_each_other():
    """The second of two draws has the weights that are left."""
    graphc.manual_seed(6)
    weights = graphc.tensor([1.0, 2.0, 5.0])
    pairs = graphc.multinomial(weights.expand(80_000, 3), 2).numpy()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    w = weights.numpy() / 8
    for first in range(3):
        for second in {0, 1, 2} - {first}:
            expected = w[first] * w[second] / (1 - w[first])
            found = ((pairs[:, 0] == first) & (pairs[:, 1] == second)).mean()
            assert abs(found - expected) < 4 * 0.5 / 80_000**0.5
