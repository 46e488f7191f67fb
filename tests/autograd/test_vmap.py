"""``vmap``: the programs that PyTorch maps too, its errors, and random programs against a loop."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphc
from tests.autograd.both import leaf, numbers, same, same_error
from tests.compile.comparing import compare, gradients

pytestmark = pytest.mark.differential


def places(t: Any, *shape: int, below: int) -> Any:
    count = int(np.prod(shape))
    return t.tensor([(i * 7 + 3) % below for i in range(count)]).reshape(shape)


def in_place(t: Any) -> Callable[..., Any]:
    def run(x: Any, y: Any) -> Any:
        z = t.zeros(4, dtype=t.float64) + x
        z[1:3] = y[0]
        z.mul_(2)
        z[0].add_(1)
        part = z[2:]
        z.sub_(1)
        return z, part

    return run


# Arguments are made of numbers with these shapes; options as for vmap.
PROGRAMS: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]], dict[str, Any]]] = {
    "arithmetic": (lambda t, x, y: x + y * 2, [(3, 4), (3, 4)], {}),
    "ranks that differ": (lambda t, x, y: x + y, [(3, 4), (3, 5, 4)], {}),
    "a shared operand": (lambda t, x, y: x @ y, [(3, 4, 5), (5, 2)], {"in_dims": (0, None)}),
    "the first one shared": (lambda t, x, y: x @ y, [(4, 5), (3, 5, 2)], {"in_dims": (None, 0)}),
    "other dims": (lambda t, x, y: x * y, [(4, 3), (3, 4)], {"in_dims": (1, 0), "out_dims": 1}),
    "dims from the end": (
        lambda t, x, y: x[None] * y,
        [(4, 3), (3, 4)],
        {"in_dims": (-1, -2), "out_dims": -1},
    ),
    "dot": (lambda t, x, y: t.dot(x, y), [(3, 4), (3, 4)], {}),
    "indexing": (lambda t, x, y: x[1:, None, 0] * y, [(3, 4, 2), (3, 1)], {}),
    "several results": (
        lambda t, x: (x.max(), {"mean": x.mean(0)}),
        [(3, 4, 2)],
        {"out_dims": (0, {"mean": 1})},
    ),
    "named results": (lambda t, x: tuple(x.max(0)), [(3, 4, 2)], {"out_dims": (0, 1)}),
    "linear": (
        lambda t, x, w: t.nn.functional.linear(x, w),
        [(3, 4, 5), (3, 2, 5)],
        {},
    ),
    "convolution of examples": (
        lambda t, x, w: t.nn.functional.conv2d(x, w, padding=1),
        [(3, 2, 4, 5, 5), (6, 4, 3, 3)],
        {"in_dims": (0, None)},
    ),
    "convolution with filters": (
        lambda t, x, w: t.nn.functional.conv2d(x, w, stride=2, groups=2),
        [(2, 4, 5, 5), (3, 6, 2, 3, 3)],
        {"in_dims": (None, 0)},
    ),
    "convolution of both": (
        lambda t, x, w: t.nn.functional.conv1d(x, w, dilation=2),
        [(3, 2, 4, 7), (3, 6, 4, 3)],
        {},
    ),
    "pooling": (lambda t, x: t.nn.functional.max_pool2d(x, 2), [(3, 2, 4, 6, 6)], {}),
    "average pooling": (lambda t, x: t.nn.functional.avg_pool2d(x, 3, 1), [(3, 2, 4, 6, 6)], {}),
    "normalising": (lambda t, x: t.nn.functional.layer_norm(x, (4,)), [(3, 6, 4)], {}),
    "batch norm": (
        lambda t, x: t.nn.functional.batch_norm(x, None, None, training=True),
        [(3, 6, 4)],
        {},
    ),
    "joining": (lambda t, x, y: t.cat([x, y]), [(3, 2, 4), (5, 4)], {"in_dims": (0, None)}),
    "stacking": (lambda t, x, y: t.stack([x, y], -1), [(3, 4), (4,)], {"in_dims": (0, None)}),
    "in place": (lambda t, x, y: in_place(t)(x, y), [(3, 4), (3, 1)], {}),
    "where": (lambda t, x, y: t.where(x > 0, x, y), [(3, 4), (3,)], {}),
    "cumulative": (lambda t, x: x.cumsum(0).cumprod(-1), [(3, 4, 2)], {}),
    "sorting": (lambda t, x: tuple(x.sort(-1)), [(3, 4, 5)], {}),
    "a matrix inverse": (
        lambda t, x: t.linalg.inv(x @ x.mT + 3 * t.eye(2, dtype=t.float64)),
        [(3, 2, 2)],
        {},
    ),
    "einsum": (lambda t, x, y: t.einsum("ij,jk->ki", x, y), [(3, 4, 5), (3, 5, 2)], {}),
    "shapes": (
        lambda t, x: x.permute(1, 0).reshape(-1).flip(0).unsqueeze(0).expand(2, 8),
        [(3, 4, 2)],
        {},
    ),
    "a result that is shared": (lambda t, x: t.ones(2), [(3, 4)], {}),
    "no result dims": (lambda t, x: t.ones(2), [(3, 4)], {"out_dims": None}),
    "chunks": (lambda t, x: (x.sum(), x * 2), [(7, 4)], {"chunk_size": 3, "out_dims": (0, 1)}),
    "two levels": (
        lambda t, x, y: t.vmap(lambda u: u * y + t.vmap(lambda v: v.sum())(x).sum())(x),
        [(3, 4, 2), (3, 2)],
        {},
    ),
    "all pairs": (
        lambda t, x: x.sum(),
        [(3, 4)],
        {},
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_and_their_gradients(name: str) -> None:
    function, shapes, options = PROGRAMS[name]

    def program(t: Any) -> Any:
        arguments = [leaf(t, *s, salt=i) for i, s in enumerate(shapes)]
        found = t.vmap(lambda *xs: function(t, *xs), **options)(*arguments)
        leaves = [y for y in _tensors(t, found) if y.requires_grad]
        if not leaves:
            return found
        total = sum((y * y.detach().cos()).sum() for y in leaves)
        return found, t.autograd.grad(total, arguments, allow_unused=True)

    same(program)


def _tensors(t: Any, value: Any) -> list[Any]:
    if isinstance(value, t.Tensor):
        return [value]
    values = value.values() if isinstance(value, dict) else value
    return [x for v in values for x in _tensors(t, v)]


def test_positions_of_each_example() -> None:
    def program(t: Any) -> Any:
        x, i = numbers(t, 3, 6, 4), places(t, 3, 5, below=6)
        labels = places(t, 3, 6, below=4)
        f = t.nn.functional
        return (
            t.vmap(lambda a, k: a[k])(x, i),
            t.vmap(lambda a, k: a[:, k % 4])(x, i),
            t.vmap(lambda k: x[0][k])(i),
            t.vmap(lambda a: a[i[0] - 6])(x),
            t.vmap(lambda a, k: a.gather(0, k[:, None]))(x, i),
            t.vmap(lambda a, k: a.scatter_add(0, k, a[:5]))(x[:, :, 0], i),
            t.vmap(lambda a, k: a.index_select(1, k[:2] % 4))(x, i),
            t.vmap(lambda a, k: f.cross_entropy(a, k))(x, labels),
            t.vmap(lambda a, k: f.embedding(k, a))(x, i),
            t.vmap(lambda a: f.one_hot(a, 6))(i),
        )

    same(program)


def test_an_index_out_of_range_is_refused() -> None:
    same_error(lambda t: t.vmap(lambda a, k: a[k])(numbers(t, 3, 6), t.tensor([0, 1, 6])))


def test_nested_arguments() -> None:
    def program(t: Any) -> Any:
        x, y = numbers(t, 3, 4), numbers(t, 4, 3, salt=1)

        def one(a: Any, nest: Any) -> Any:
            return a * nest["y"] + nest["z"][0], [a.sum(), nest["z"][1]]

        nest = {"y": y, "z": [x, numbers(t, 2)]}
        dims = (0, {"y": 1, "z": [0, None]})
        return t.vmap(one, in_dims=dims)(x, nest)

    same(program)


def test_keywords_are_shared() -> None:
    same(lambda t: t.vmap(lambda a, *, k: a * k)(numbers(t, 3, 2), k=numbers(t, 3, 2)))


def test_an_argument_is_written() -> None:
    def program(t: Any) -> Any:
        x, y = numbers(t, 3, 4), numbers(t, 2, 3)
        z = t.zeros(3, dtype=t.float64)

        def one(a: Any, b: Any) -> Any:
            a[1:].add_(b)
            return a.sum()

        found = t.vmap(one, in_dims=(0, 0))(x, y[1])
        t.vmap(lambda a: z.add_(1))(x)
        t.vmap(lambda a: a.mul_(2), in_dims=1)(y)
        return found, x, y, z

    same(program)


def test_draws() -> None:
    def program(t: Any, randomness: str) -> Any:
        def one(x: Any) -> Any:
            return x + t.rand(4), t.randn(2), t.nn.functional.dropout(t.ones(20), 0.5)

        return t.vmap(one, randomness=randomness)(t.zeros(5, 4))

    for found in program(graphc, "different"):
        assert len({tuple(row.tolist()) for row in found}) == 5
    for found in program(graphc, "same"):
        assert len({tuple(row.tolist()) for row in found}) == 1
    chunked = graphc.vmap(lambda x: x + graphc.rand(4), randomness="same", chunk_size=2)
    assert len({tuple(row.tolist()) for row in chunked(graphc.zeros(5, 4))}) == 1
    same_error(lambda t: program(t, "error"))
    same_error(lambda t: program(t, "sometimes"))
    graphc.manual_seed(1)
    first = program(graphc, "same")
    graphc.manual_seed(1)
    x, y = graphc.rand(4), graphc.randn(2)
    assert graphc.equal(first[0][2], x) and graphc.equal(first[1][3], y)


BAD: dict[str, Any] = {
    "no arguments": lambda t: t.vmap(lambda: t.ones(1))(),
    "nothing mapped": lambda t: t.vmap(lambda x: x, in_dims=None)(t.ones(2)),
    "dims of another kind": lambda t: t.vmap(lambda x: x, in_dims="0")(t.ones(2)),
    "dims in a dict": lambda t: t.vmap(lambda x: x, in_dims={"x": 0})(t.ones(2)),
    "too many dims": lambda t: t.vmap(lambda x: x, in_dims=(0, 0))(t.ones(2)),
    "a dim that is no number": lambda t: t.vmap(lambda x: x, in_dims=("a",))(t.ones(2)),
    "a number mapped": lambda t: t.vmap(lambda x, y: x * y)(t.ones(2), 3),
    "dim out of range": lambda t: t.vmap(lambda x: x, in_dims=2)(t.ones(2)),
    "a zero-dim tensor": lambda t: t.vmap(lambda x: x)(t.ones(())),
    "sizes that differ": lambda t: t.vmap(lambda x, y: x + y)(t.ones(2), t.ones(3)),
    "a result that is no tensor": lambda t: t.vmap(lambda x: 3)(t.ones(2)),
    "out_dims nested otherwise": lambda t: t.vmap(lambda x: (x, x), out_dims=(0, 0, 0))(t.ones(2)),
    "out_dims of another kind": lambda t: t.vmap(lambda x: x, out_dims="0")(t.ones(2)),
    "out_dims None": lambda t: t.vmap(lambda x: x, out_dims=None)(t.ones(2)),
    "out_dims out of range": lambda t: t.vmap(lambda x: x, out_dims=3)(t.ones(2)),
    "item": lambda t: t.vmap(lambda x: x * x.item())(t.ones(2)),
    "a condition": lambda t: t.vmap(lambda x: x if x.sum() > 0 else -x)(t.ones(2, 2)),
    "a shared tensor written": lambda t: (lambda z: t.vmap(lambda x: z.add_(x))(t.ones(2, 3)))(
        t.zeros(3)
    ),
    "chunks of nothing": lambda t: t.vmap(lambda x: x, chunk_size=0)(t.ones(2)),
    "a shape that does not fit": lambda t: t.vmap(lambda x, y: x + y)(t.ones(3, 2), t.ones(3, 4)),
    "places where": lambda t: t.vmap(lambda x: x.nonzero())(t.ones(2, 2)),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name: str) -> None:
    same_error(BAD[name])


def test_errors_speak_of_one_example_and_of_vmap() -> None:
    with pytest.raises(RuntimeError, match=r"f32\[2\] and f32\[4\]"):
        graphc.vmap(lambda x, y: x + y)(graphc.ones(3, 2), graphc.ones(3, 4))
    with pytest.raises(RuntimeError, match=r"vmap: .*test_vmap.py.*here f32\[\]"):
        graphc.vmap(lambda x: float(x))(graphc.ones(3))
    kept = []
    graphc.vmap(lambda x: (kept.append(x), x)[1])(graphc.ones(3))
    with pytest.raises(RuntimeError, match="left it other than by return"):
        kept[0] + 1


def test_what_is_shared_may_be_looked_at() -> None:
    def program(t: Any) -> Any:
        scale = t.tensor(3.0)
        seen = []

        def one(x: Any) -> Any:
            seen.append((scale.item(), bool(scale > 1), scale.numpy().tolist()))
            return x * scale if t.ones(2).sum() > 1 else x

        return t.vmap(one)(t.arange(3.0)), seen

    same(program)


def test_arrays_of_numpy_inside() -> None:
    def program(t: Any) -> Any:
        array, where = np.arange(3.0), np.array([2, 0])
        made = [t.tensor, t.from_numpy, t.as_tensor]
        return t.vmap(lambda x: [x + f(array) for f in made] + [x[where]])(numbers(t, 2, 3))

    same(program)


def test_an_operation_without_a_rule_is_applied_to_each_example() -> None:
    from graphc.func.batch_rules import MERGED, RULES
    from graphc.ir import OPS as ROWS
    from graphc.ir import Host, Op, TensorType, register
    from graphc.tensor import apply

    def evaluate(x: Any) -> Any:
        assert x.shape == (4,)
        return x[::-1].copy()

    def infer(x: TensorType) -> TensorType:
        return x

    row = register(Op("turned_for_a_test", infer, evaluate, Host()))
    try:
        assert row.name not in RULES and row.name not in MERGED
        x = numbers(graphc, 3, 4)
        found = graphc.vmap(lambda v: apply(row, (v,), {}))(x)
        assert graphc.equal(found, x.flip(1))
        assert tuple(graphc.vmap(lambda v: apply(row, (v,), {}))(x[:0]).shape) == (0, 4)
    finally:
        del ROWS[row.name]


# ------------------------------------------------------------------------------------- gradients


def test_gradients_of_a_batch_inside_and_outside() -> None:
    def program(t: Any) -> Any:
        x, w = leaf(t, 3, 4), leaf(t, 4, salt=1)

        def energy(v: Any) -> Any:
            return ((v * w).sin() * v**2).sum()

        first = t.vmap(t.func.grad(energy))(x)
        second = t.vmap(t.func.hessian(energy))(x)
        total = first.sum() + second.square().sum()
        return first, second, t.autograd.grad(total, [x, w])

    same(program)


def test_gradients_by_leaves_made_inside() -> None:
    def one(x: Any) -> Any:
        y = x.detach().requires_grad_()
        (y**3).sum().backward()
        return y.grad

    x = numbers(graphc, 3, 4)
    assert graphc.allclose(graphc.vmap(one)(x), 3 * x**2)


def test_gradients_into_shared_leaves_are_refused_where_they_differ() -> None:
    w = leaf(graphc, 4)
    with pytest.raises(RuntimeError, match="different for each example"):
        graphc.vmap(lambda x: (x * w).sum().backward() or x)(numbers(graphc, 3, 4))
    x = leaf(graphc, 3, 4)
    with pytest.raises(RuntimeError, match="outside"):
        graphc.vmap(lambda v: (v * 2).sum().backward() or v)(x)
    graphc.vmap(lambda v: (w * 2).sum().backward() or v)(x)
    assert w.grad.tolist() == [2.0] * 4


def test_modes_hold_inside() -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3, 4)

        def one(v: Any) -> Any:
            with t.no_grad():
                fixed = v**2
            return v * fixed, v.detach() * 2

        a, b = t.vmap(one)(x)
        with t.no_grad():
            c = t.vmap(lambda v: v * 2)(x)
        return a, b, c, t.autograd.grad(a.sum(), x)

    same(program)


def test_modules_inside() -> None:
    def program(t: Any) -> Any:
        module = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.GELU(), t.nn.LayerNorm(4)).double()
        with t.no_grad():
            for k, p in enumerate(module.parameters()):
                p.copy_(numbers(t, *p.shape, salt=k))
        x = numbers(t, 5, 3)
        found = t.vmap(module)(x)
        found.square().sum().backward()
        return found, [p.grad for p in module.parameters()]

    same(program)


# ---------------------------------------------------------------------------------------- compiled


COMPILED = [
    "arithmetic", "a shared operand", "convolution with filters", "in place", "chunks",
    "two levels", "sorting",
]  # fmt: skip


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_outside(name: str) -> None:
    function, shapes, options = PROGRAMS[name]

    def program(*xs: Any) -> Any:
        return graphc.vmap(lambda *one: function(graphc, *one), **options)(*xs)

    gradients(program, *(leaf(graphc, *s, salt=i) for i, s in enumerate(shapes)))


def test_compiled_inside() -> None:
    compiled = graphc.compile(lambda a, b: (a @ b).sin() * b.sum())
    x, y = numbers(graphc, 3, 4, 5), numbers(graphc, 5, 2)
    found = graphc.vmap(compiled, in_dims=(0, None))(x, y)
    assert graphc.allclose(found, graphc.vmap(lambda a: (a @ y).sin() * y.sum())(x))


def test_batched_gradients_of_a_compiled_function() -> None:
    compiled = graphc.compile(lambda a: a.sin() * a.sum())
    x, v = leaf(graphc, 4), numbers(graphc, 5, 4)
    eager = x.sin() * x.sum()
    expected = graphc.autograd.grad(eager, x, v, is_grads_batched=True)
    found = graphc.autograd.grad(compiled(x), x, v, is_grads_batched=True)
    assert graphc.allclose(found[0], expected[0])


def test_a_compiled_training_step_with_gradients_of_each_example() -> None:
    def step(w: Any, x: Any, y: Any) -> Any:
        def loss(w: Any, a: Any, b: Any) -> Any:
            return ((a @ w).tanh() - b).square().sum()

        each = graphc.vmap(graphc.func.grad(loss), in_dims=(None, 0, 0))(w, x, y)
        norms = each.flatten(1).square().sum(1, keepdim=True).sqrt()
        clipped = each.flatten(1) / graphc.clamp(norms, min=1.0)
        with graphc.no_grad():
            w -= 0.1 * clipped.mean(0).reshape(w.shape)
        return norms

    compare(step, numbers(graphc, 4, 2), numbers(graphc, 6, 4, salt=1), numbers(graphc, 6, 2))


def test_compiled_draws_continue() -> None:
    def program(x: Any) -> Any:
        return graphc.vmap(lambda v: v + graphc.rand(3), randomness="different")(x)

    results = []
    for life in (program, graphc.compile(program)):
        graphc.manual_seed(5)
        results.append([life(graphc.zeros(4, 3)) for _ in range(2)])
    for a, b in zip(*results, strict=True):
        assert graphc.equal(a, b)


# -------------------------------------------------------------------------------- random programs


STEPS: list[Callable[[Any, Any, random.Random], Any]] = [
    lambda x, y, r: x + y,
    lambda x, y, r: x * y.tanh(),
    lambda x, y, r: x.sin(),
    lambda x, y, r: x @ y.mT @ x,
    lambda x, y, r: x.softmax(r.randrange(2)),
    lambda x, y, r: x - x.mean(r.randrange(2), keepdim=True),
    lambda x, y, r: x.cumsum(r.randrange(2)),
    lambda x, y, r: x.flip(r.randrange(2)),
    lambda x, y, r: x.roll(1, r.randrange(2)),
    lambda x, y, r: x.mT.reshape(3, 2),
    lambda x, y, r: x[[1, 0, 2]] * y[:, [1, 1]],
    lambda x, y, r: graphc.where(x > y, x, -y),
    lambda x, y, r: x.clamp(-1, 1) * y.amax(0),
    lambda x, y, r: graphc.cat([x[:1], y[1:]]),
    lambda x, y, r: x.sort(0).values,
    lambda x, y, r: x.clone().index_add_(0, graphc.tensor([0, 2]), y[:2]),
    lambda x, y, r: x.clone().copy_(y).mul_(x),
    lambda x, y, r: graphc.einsum("ij,ik->kj", x, y)[[0, 1, 0]],
    lambda x, y, r: x.gather(0, y.argsort(0)),
]


@given(st.integers(0, 10**6))
def test_random_programs_are_what_a_loop_gives(seed: int) -> None:
    source = random.Random(seed)
    chosen = [(source.choice(STEPS), source.randrange(100)) for _ in range(source.randrange(1, 6))]
    mapped = source.choice([(0, 0), (0, None), (None, 0)])

    def one(x: Any, y: Any) -> Any:
        for step, salt in chosen:
            x, y = step(x, y, random.Random(salt)), x
        return x

    shapes = [(4, 3, 2) if d == 0 else (3, 2) for d in mapped]
    x, y = (leaf(graphc, *s, salt=i) * 1 for i, s in enumerate(shapes))
    together = graphc.vmap(one, in_dims=mapped)(x, y)
    looped = graphc.stack(
        [
            one(*(v if d is None else v[k] for v, d in zip((x, y), mapped, strict=True)))
            for k in range(4)
        ]
    )
    assert graphc.allclose(together, looped, rtol=1e-8)
    if not looped.requires_grad:
        return
    weights = numbers(graphc, 4, 3, 2, salt=5)
    options: Any = {"allow_unused": True, "retain_graph": True}
    for a, b in zip(
        graphc.autograd.grad(together, [x, y], weights, **options),
        graphc.autograd.grad(looped, [x, y], weights, **options),
        strict=True,
    ):
        assert (a is None) == (b is None) or not graphc.any(b if a is None else a)
        if a is not None and b is not None:
            assert graphc.allclose(a, b, rtol=1e-6, atol=1e-9)
