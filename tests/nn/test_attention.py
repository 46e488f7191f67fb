"""scaled_dot_product_attention compared with PyTorch, and what it stores when compiled."""

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import graphc
from graphc.nn.functional import scaled_dot_product_attention as attention
from tests.nn.same_program import assert_same, same_error, same_with_gradients, torch, values

pytestmark = pytest.mark.differential


def f(t):
    return t.nn.functional.scaled_dot_product_attention


def operands(t, *shapes, dtype="float32"):
    """Numbers between -1 and 1: scores of any use are not far apart."""
    return tuple(values(t, *shape, salt=i, dtype=dtype) / 3 for i, shape in enumerate(shapes))


def chosen(t, *shape):
    """A mask of booleans in which the first query may attend to no key."""
    mask = values(t, *shape) > -1.0
    mask[..., 0, :] = False
    return mask


QKV = ((2, 3, 4, 8), (2, 3, 5, 8), (2, 3, 5, 6))

CASES = {
    "plain": (QKV, lambda t, q, k, v: f(t)(q, k, v)),
    "causal": (QKV, lambda t, q, k, v: f(t)(q, k, v, is_causal=True)),
    "causal, more queries": (
        ((2, 7, 4), (2, 3, 4), (2, 3, 4)),
        lambda t, q, k, v: f(t)(q, k, v, is_causal=True),
    ),
    "scale": (QKV, lambda t, q, k, v: f(t)(q, k, v, scale=0.9)),
    "two dims": (((4, 8), (5, 8), (5, 6)), lambda t, q, k, v: f(t)(q, k, v)),
    "three dims": (((2, 4, 8), (2, 5, 8), (2, 5, 6)), lambda t, q, k, v: f(t)(q, k, v)),
    "five dims": (
        ((2, 2, 3, 4, 8), (2, 2, 3, 5, 8), (2, 2, 3, 5, 6)),
        lambda t, q, k, v: f(t)(q, k, v, is_causal=True),
    ),
    "broadcast": (((2, 3, 4, 8), (5, 8), (3, 5, 6)), lambda t, q, k, v: f(t)(q, k, v)),
    "booleans": (QKV, lambda t, q, k, v: f(t)(q, k, v, chosen(t, 4, 5))),
    "booleans of keys": (QKV, lambda t, q, k, v: f(t)(q, k, v, values(t, 2, 1, 1, 5) > -1.0)),
    "numbers": (QKV, lambda t, q, k, v: f(t)(q, k, v, values(t, 2, 1, 4, 5))),
    "numbers of heads": (QKV, lambda t, q, k, v: f(t)(q, k, v, values(t, 3, 4, 5))),
    "minus infinity": (
        QKV,
        lambda t, q, k, v: f(t)(
            q, k, v, t.full((4, 5), -math.inf).triu(1).index_fill(0, t.tensor([2]), -math.inf)
        ),
    ),
    "mask and causal": (
        ((1, 2, 4, 8), (1, 2, 5, 8), (1, 2, 5, 8)),
        lambda t, q, k, v: f(t)(q, k, v, values(t, 4, 5) > -1.0, is_causal=True),
    ),
    "nothing kept": (QKV, lambda t, q, k, v: f(t)(q, k, v, dropout_p=1.0)),
    "shared heads": (
        ((2, 4, 3, 8), (2, 2, 5, 8), (2, 2, 5, 6)),
        lambda t, q, k, v: f(t)(q, k, v, enable_gqa=True),
    ),
    "shared heads, masks": (
        ((2, 4, 3, 8), (2, 2, 5, 8), (2, 2, 5, 6)),
        lambda t, q, k, v: f(t)(q, k, v, values(t, 4, 3, 5), enable_gqa=True),
    ),
    "heads shared unevenly": (
        ((2, 4, 3, 8), (2, 2, 5, 8), (2, 1, 5, 8)),
        lambda t, q, k, v: f(t)(q, k, v, values(t, 1, 3, 5), enable_gqa=True),
    ),
    "no keys": (((2, 4, 8), (2, 0, 8), (2, 0, 6)), lambda t, q, k, v: f(t)(q, k, v)),
}
LONG = ((2, 2, 200, 20), (2, 2, 300, 20), (2, 2, 300, 36))
LONG_CASES = {
    "plain": lambda t, q, k, v: f(t)(q, k, v),
    "causal": lambda t, q, k, v: f(t)(q, k, v, is_causal=True),
    "booleans": lambda t, q, k, v: f(t)(q, k, v, chosen(t, 200, 300)),
    "booleans of keys": lambda t, q, k, v: f(t)(q, k, v, values(t, 2, 1, 1, 300) > -1.0),
    "numbers": lambda t, q, k, v: f(t)(q, k, v, values(t, 2, 1, 200, 300)),
    "shared heads": lambda t, q, k, v: f(t)(
        q, k[:, :1], v[:, :1], values(t, 200, 300) > 0, enable_gqa=True
    ),
}


def compiled(function):
    """The function where ``t`` is graphc compiled, elsewhere as it is."""
    fast = graphc.compile(lambda *operands: function(graphc, *operands))
    return lambda t, *operands: fast(*operands) if t is graphc else function(t, *operands)


BOTH = pytest.mark.parametrize("compiling", [False, True], ids=["eager", "compiled"])


@pytest.mark.parametrize(
    ("dtype", "compiling"), [("float32", False), ("float64", False), ("float32", True)]
)
@pytest.mark.parametrize("name", CASES)
def test_short_sequences(name, dtype, compiling):
    shapes, function = CASES[name]
    same_with_gradients(
        compiled(function) if compiling else function,
        lambda t: operands(t, *shapes, dtype=dtype),
    )


@BOTH
@pytest.mark.parametrize("name", LONG_CASES)
def test_long_sequences(name, compiling):
    function = LONG_CASES[name]
    same_with_gradients(
        compiled(function) if compiling else function,
        lambda t: operands(t, *LONG, dtype="float64"),
    )
    narrow = operands(graphc, *LONG)
    wide = operands(torch, *LONG, dtype="float64")
    mine = compiled(function)(graphc, *narrow).numpy()
    np.testing.assert_allclose(mine, function(torch, *wide).numpy(), rtol=2e-5, atol=2e-5)


@BOTH
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("shapes", [QKV, LONG], ids=["short", "long"])
def test_halves(shapes, dtype, compiling):
    def function(t, *inputs):
        q, k, v = (x.detach().to(getattr(t, dtype)).requires_grad_() for x in inputs)
        y = f(t)(q, k, v, is_causal=True)
        (y * y).sum().backward()
        return [x.float() for x in (y.detach(), q.grad, k.grad, v.grad)]

    used = compiled(function) if compiling else function
    mine = used(graphc, *operands(graphc, *shapes))
    theirs = function(torch, *operands(torch, *shapes))
    assert_same(mine, theirs, rtol=0.03, atol=0.03)


@pytest.mark.parametrize("shapes", [QKV, ((2, 190, 9), (2, 200, 9), (2, 200, 5))])
def test_second_order(shapes):
    """The gradient of a function of the gradients, compiled as eager as PyTorch's."""

    def function(t, *inputs):
        q, k, v = (x.detach().requires_grad_() for x in inputs)
        y = f(t)(q, k, v, is_causal=True)
        first = t.autograd.grad((y * y).sum(), (q, k, v), create_graph=True)
        total = sum((g * g).sum() for g in first)
        return list(t.autograd.grad(total, (q, k, v)))

    def plain(t, *inputs):
        with t.nn.attention.sdpa_kernel(t.nn.attention.SDPBackend.MATH):
            return function(t, *inputs)

    mine, theirs = (operands(t, *shapes, dtype="float64") for t in (graphc, torch))
    expected = plain(torch, *theirs)
    assert_same(plain(graphc, *mine), expected, rtol=1e-8, atol=1e-8)
    assert_same(compiled(function)(graphc, *mine), expected, rtol=1e-8, atol=1e-8)


ERRORS = {
    "dtypes": lambda t, q, k, v: f(t)(q, k.double(), v),
    "one dim": lambda t, q, k, v: f(t)(q[0, 0, 0], k, v),
    "widths": lambda t, q, k, v: f(t)(q, k[..., 1:], v),
    "lengths": lambda t, q, k, v: f(t)(q[0], k[0], v[0, :, 1:]),
    "batches": lambda t, q, k, v: f(t)(q, k[:, :2], v),
    "dtype of the mask": lambda t, q, k, v: f(t)(q, k, v, t.ones(4, 5, dtype=t.int64)),
    "shape of the mask": lambda t, q, k, v: f(t)(q, k, v, t.ones(3, 5)),
    "rank of the mask": lambda t, q, k, v: f(t)(q, k, v, t.ones(2, 2, 3, 4, 5)),
    "heads": lambda t, q, k, v: f(t)(q, k[:, :2], v[:, :2], enable_gqa=True),
    "heads of matrices": lambda t, q, k, v: f(t)(q[0, 0], k[0, 0], v[0, 0], enable_gqa=True),
    "probability": lambda t, q, k, v: f(t)(q, k, v, dropout_p=1.5),
    "scale": lambda t, q, k, v: f(t)(q, k, v, scale="a"),
    "no tensor": lambda t, q, k, v: f(t)(q, k, 3),
    "integers": lambda t, q, k, v: f(t)(q.long(), k.long(), v.long()),
    "position of scale": lambda t, q, k, v: f(t)(q, k, v, None, 0.0, False, 1.0),
}


@pytest.mark.parametrize("name", ERRORS)
def test_refuses_what_pytorch_refuses(name):
    same_error(lambda t: ERRORS[name](t, *operands(t, *QKV)))


# ---------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("keys", [40, 300, 301])
def test_dropout_draws_the_same_eager_and_compiled(keys, dtype):
    q, k, v = operands(graphc, (2, 200, 8), (2, keys, 8), (2, keys, 8), dtype=dtype)

    def step(q, k, v):
        q, k, v = (x.detach().requires_grad_() for x in (q, k, v))
        y = attention(q, k, v, dropout_p=0.25, is_causal=True)
        (y * y).sum().backward()
        return y.detach(), q.grad, k.grad, v.grad

    fast = graphc.compile(step)
    for seed in (0, 1):
        graphc.manual_seed(seed)
        expected = [step(q, k, v), step(q, k, v)]
        graphc.manual_seed(seed)
        found = [fast(q, k, v), fast(q, k, v)]
        assert_same(found, expected, rtol=1e-4, atol=1e-5)
        assert not np.array_equal(expected[0][0].numpy(), expected[1][0].numpy())


@pytest.mark.parametrize("keys", [64, 512])
def test_dropout_keeps_the_mean(keys):
    """Weights are even: what is left of them is the share that was kept, as often as not."""
    ones = graphc.ones(1, 256, 8)
    graphc.manual_seed(5)
    dropped = graphc.compile(lambda q, k, v: attention(q, k, v, dropout_p=0.4))(
        ones, graphc.ones(1, keys, 8), graphc.eye(keys).unsqueeze(0)
    )
    weights = dropped.numpy() * keys
    np.testing.assert_allclose(weights[weights != 0], 1 / 0.6, rtol=1e-5)
    assert abs((weights != 0).mean() - 0.6) < 4 * math.sqrt(0.24 / weights.size)
    columns = (weights != 0).mean(axis=(0, 1))
    assert abs(columns - 0.6).max() < 6 * math.sqrt(0.24 / 256)


# -------------------------------------------------------------------------------------- transforms


@pytest.mark.parametrize("batched", ["qkv", "q", "v", "m"])
def test_batches_of_examples(batched):
    """vmap gives what one example after the other gives, of gradients too."""
    shapes = {"q": (2, 4, 6), "k": (2, 5, 6), "v": (2, 5, 3), "m": (4, 5)}
    dims = tuple(0 if name in batched else None for name in shapes)
    given = [
        x if dim is None else graphc.stack([x, x.flip(-1) * 2, x.roll(1, -1)])
        for x, dim in zip(operands(graphc, *shapes.values(), dtype="float64"), dims, strict=True)
    ]

    def loss(q, k, v, m):
        return attention(q, k, v, m).sin().sum()

    gradient = graphc.func.grad(loss, argnums=(0, 1, 2, 3))
    for function in (attention, gradient):
        found = graphc.vmap(function, in_dims=dims)(*given)
        each = [
            function(*(x if dim is None else x[i] for x, dim in zip(given, dims, strict=True)))
            for i in range(3)
        ]
        if function is attention:
            found, each = (found,), [(y,) for y in each]
        for number, part in enumerate(found):
            assert_same(part, graphc.stack([y[number] for y in each]), rtol=1e-9, atol=1e-9)


def test_jacobians():
    """Cotangents in batches, for operands that are not."""
    q, k, v = operands(graphc, (3, 4), (5, 4), (5, 2), dtype="float64")
    found = graphc.func.jacrev(attention, argnums=(0, 1, 2))(q, k, v)
    theirs = operands(torch, (3, 4), (5, 4), (5, 2), dtype="float64")
    expected = torch.autograd.functional.jacobian(f(torch), theirs)
    assert_same(list(found), list(expected), rtol=1e-9, atol=1e-9)


# ------------------------------------------------------------------------------------------ memory


def step(q, k, v):
    q, k, v = (x.detach().requires_grad_() for x in (q, k, v))
    y = attention(q, k, v, is_causal=True)
    (y * y).sum().backward()
    return y.detach(), q.grad, k.grad, v.grad


def test_scores_of_long_sequences_are_never_stored():
    sizes = {}
    for length in (1024, 2048, 4096):
        q, k, v = operands(graphc, *[(1, 2, length, 16)] * 3)
        fast = graphc.compile(step)
        found = fast(q, k, v)
        (receipt,) = fast.receipts
        sizes[length] = receipt.arena_bytes
        assert "tiled_attention" in str(fast.ir)
    assert sizes[4096] < 4 * 4096 * 4096  # one matrix of scores would be more
    assert sizes[4096] - sizes[2048] <= 2.2 * (sizes[2048] - sizes[1024])
    assert_same(found, step(q, k, v), rtol=1e-4, atol=1e-5)


def test_results_do_not_depend_on_threads():
    q, k, v = operands(graphc, *[(1, 1, 700, 24)] * 3)
    before = graphc.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            graphc.set_num_threads(threads)
            found.append([x.numpy() for x in graphc.compile(step)(q, k, v)])
    finally:
        graphc.set_num_threads(before)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_short_sequences_are_products_of_matrices():
    fast = graphc.compile(lambda q, k, v: attention(q, k, v))
    fast(*operands(graphc, *QKV))
    assert "attention(" in str(fast.ir["trace"])
    assert "tiled_attention" not in str(fast.ir)


def test_settings_choose_among_equal_results():
    kernels = graphc.nn.attention
    q, k, v = operands(graphc, *QKV)
    expected = attention(q, k, v)
    with kernels.sdpa_kernel([kernels.SDPBackend.MATH, kernels.SDPBackend.FLASH_ATTENTION]):
        assert_same(attention(q, k, v), expected)
    assert list(kernels.SDPBackend.__members__) == list(torch.nn.attention.SDPBackend.__members__)
    for show in (repr, str):
        assert show(kernels.SDPBackend.MATH) == show(torch.nn.attention.SDPBackend.MATH)
    with pytest.raises(AssertionError, match="Backend must be an instance"):
        kernels.sdpa_kernel("MATH").__enter__()
