"""Indices of every form against PyTorch: reading, assigning, gradients, eager and compiled."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import graphc

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.differential,
    pytest.mark.filterwarnings("ignore:indexing with dtype torch.uint8"),
    pytest.mark.filterwarnings("ignore:Using a non-tuple sequence"),
]


def numbers(t, *shape):
    return t.arange(math.prod(shape), dtype=t.float64).reshape(shape) / 4 + 1


class Placed:
    """An index tensor: made anew for each library."""

    def __init__(self, values, dtype):
        self.values = values
        self.dtype = dtype

    def made(self, t):
        return t.tensor(self.values.tolist(), dtype=getattr(t, self.dtype)).reshape(
            self.values.shape
        )

    def __repr__(self):
        return f"tensor({self.values.tolist()}, {self.dtype})"


def made(t, index):
    if isinstance(index, Placed):
        return index.made(t)
    if isinstance(index, tuple):
        return tuple(made(t, item) for item in index)
    return index


@st.composite
def slices(draw, size):
    bound = st.none() | st.integers(-size - 1, size + 1)
    return slice(draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2, 3])))


@st.composite
def positions(draw, size, shape):
    count = math.prod(shape)
    values = draw(st.lists(st.integers(-size, size - 1), min_size=count, max_size=count))
    return np.array(values, np.int64).reshape(shape)


@st.composite
def masks(draw, shape):
    count = math.prod(shape)
    values = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return Placed(
        np.array(values, bool).reshape(shape), draw(st.sampled_from(["bool", "bool", "uint8"]))
    )


SHAPES = [(4,), (3, 4), (2, 3, 4), (3, 1, 2), (2, 2, 3, 2), (3, 0, 2)]
COMMON = [(2,), (1,), (2, 2), (), (0,)]  # shapes of index tensors, which broadcast with one another


@st.composite
def indices(draw, shape):
    """An index for a tensor of this shape, as a tuple or a single item."""
    items, d, dots = [], 0, False
    common = draw(st.sampled_from(COMMON))
    while d < len(shape):
        kinds = ["slice", "int", "none", "stop", "bool"]
        kinds += ["array", "array", "list"] if shape[d] else []
        kinds += ["mask", "dots"] if not dots else ["mask"]
        kind = draw(st.sampled_from(kinds))
        if kind == "slice":
            items.append(draw(slices(shape[d])))
        elif kind == "int":
            if not shape[d]:
                continue
            number = draw(st.integers(-shape[d], shape[d] - 1))
            items.append(draw(st.sampled_from([number, np.int64(number)])))
        elif kind == "none":
            items.append(None)
            continue
        elif kind == "bool":
            items.append(draw(st.booleans()))
            continue
        elif kind == "array":
            dtype = draw(st.sampled_from(["int64", "int32"]))
            items.append(Placed(draw(positions(shape[d], common)), dtype))
        elif kind == "list":
            items.append(draw(positions(shape[d], (2,))).tolist())
        elif kind == "mask":
            covered = draw(st.integers(1, min(2, len(shape) - d)))
            items.append(draw(masks(shape[d : d + covered])))
            d += covered
            continue
        elif kind == "dots":
            items.append(...)
            dots, d = True, d + draw(st.integers(0, len(shape) - d))
            continue
        else:
            break
        d += 1
    if len(items) == 1 and draw(st.booleans()):
        return items[0]
    return tuple(items)


@st.composite
def cases(draw):
    shape = draw(st.sampled_from(SHAPES))
    return shape, draw(indices(shape))


def outcome(function):
    """What a function gives, or the kind of error it raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function()
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        return error


def agree(ours, theirs):
    if isinstance(theirs, Exception):
        kind = next(k for k in (IndexError, TypeError, ValueError, RuntimeError)
                    if isinstance(theirs, k))  # fmt: skip
        assert isinstance(ours, kind), f"{ours!r} where PyTorch raises {theirs!r}"
        return
    assert not isinstance(ours, Exception), ours
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())


@settings(max_examples=500, deadline=None, derandomize=True)
@given(cases())
def test_reading(case):
    shape, index = case
    mine, other = numbers(graphc, *shape), numbers(torch, *shape)
    ours = outcome(lambda: mine[made(graphc, index)])
    theirs = outcome(lambda: other[made(torch, index)])
    agree(ours, theirs)
    if isinstance(theirs, torch.Tensor) and theirs.numel():
        shared = theirs.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
        assert np.shares_memory(ours.numpy(), mine.numpy()) == shared
        if shared:
            strides = zip(theirs.shape, ours.stride(), theirs.stride(), strict=True)
            assert all(a == b for n, a, b in strides if n > 1)
            assert ours.storage_offset() == theirs.storage_offset()


def unique(t, shape, index):
    """Whether no element is written twice."""
    places = t.arange(math.prod(shape)).reshape(shape)[made(t, index)]
    return places.unique().numel() == places.numel()


@st.composite
def values(draw, shape):
    """What can be assigned to a part of this shape: a number, or a tensor that broadcasts."""
    kind = draw(st.sampled_from(["number", "zero-dim", "whole", "ones", "less", "more", "wrong"]))
    if kind == "number":
        return draw(st.sampled_from([7, 2.5, True]))
    if kind == "zero-dim":
        return ()
    if kind == "ones":
        return tuple(1 if draw(st.booleans()) else n for n in shape)
    if kind == "less":
        return shape[draw(st.integers(0, len(shape))) :]
    if kind == "more":
        return (1, 1, *shape)
    return (*shape, 2) if kind == "wrong" else shape


def given_value(t, value):
    return numbers(t, *value) * 3 if isinstance(value, tuple) else value


@settings(max_examples=500, deadline=None, derandomize=True)
@given(cases(), st.data())
def test_assigning(case, data):
    shape, index = case
    other = numbers(torch, *shape)
    part = outcome(lambda: other[made(torch, index)])
    value = data.draw(values(tuple(part.shape) if isinstance(part, torch.Tensor) else ()))
    assume(
        isinstance(part, Exception) or not isinstance(value, tuple) or unique(torch, shape, index)
    )

    def assigned(t):
        x = numbers(t, *shape)
        x[made(t, index)] = given_value(t, value)
        return x

    agree(outcome(lambda: assigned(graphc)), outcome(lambda: assigned(torch)))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(cases(), st.data())
def test_gradients(case, data):
    shape, index = case
    part = outcome(lambda: numbers(torch, *shape)[made(torch, index)])
    assume(isinstance(part, torch.Tensor))
    value = data.draw(values(tuple(part.shape)))
    assume(not isinstance(value, tuple) or unique(torch, shape, index))

    def gradients(t):
        leaf, given = numbers(t, *shape).requires_grad_(), given_value(t, value)
        others = [given.requires_grad_()] if isinstance(value, tuple) else []
        x = leaf * 2
        read = x[made(t, index)]
        x[made(t, index)] = given * 2 if others else given
        total = (
            (read * read).sum() + (x**3).sum() + (leaf**3).sum() + sum((v**2).sum() for v in others)
        )
        first = t.autograd.grad(total, [leaf, *others], create_graph=True)
        again = sum((g * g).sum() for g in first)
        return [*first, *t.autograd.grad(again, [leaf, *others])]

    expected = outcome(lambda: gradients(torch))
    assume(not isinstance(expected, Exception))
    for ours, theirs in zip(gradients(graphc), expected, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool", "float16", "bfloat16"])
@pytest.mark.parametrize("value", [1, 2.5, True, -1, 300, 1e300, float("inf"), [1], "a", None])
@pytest.mark.parametrize("index", [0, [0], "mask"])
def test_what_is_assigned_takes_the_dtype(dtype, value, index):
    def assigned(t):
        x = t.zeros(3, dtype=getattr(t, dtype))
        x[t.tensor([True, False, True]) if index == "mask" else index] = value
        return x.to(t.float32)

    theirs = outcome(lambda: assigned(torch))
    if dtype == "bool" and not isinstance(theirs, Exception):
        theirs = theirs.bool().float()
    agree(outcome(lambda: assigned(graphc)), theirs)


@pytest.mark.parametrize("source", ["float32", "int64", "float64", "bool"])
@pytest.mark.parametrize("index", [0, [0], "mask", "one"])
def test_tensors_of_another_dtype_are_cast_where_pytorch_casts_them(source, index):
    def assigned(t):
        x = t.zeros(3, 2, dtype=t.int64)
        mask = t.tensor([False, True, index != "one"])
        x[mask if index in ("mask", "one") else index] = t.ones(2, dtype=getattr(t, source))
        return x.double()

    agree(outcome(lambda: assigned(graphc)), outcome(lambda: assigned(torch)))


# --------------------------------------------------------------------------------------- compiled

FORMS = [
    (0, slice(None, None, 2)),
    (Ellipsis, None, -1),
    [0, 2],
    ([[0], [2]], slice(None), [1, 3]),
    (slice(1, None), [True, False, True, False, True], 1),
    (True, 1),
    (None, [1, 1], slice(2)),
    (Placed(np.array([2, -1]), "int64"), Placed(np.array([[0], [3]]), "int32")),
    (slice(None), Placed(np.arange(5) % 2 == 0, "bool")),
    Placed(np.arange(15).reshape(3, 5) % 4 == 1, "bool"),
    (Ellipsis, Placed(np.arange(4) > 1, "bool")),
    (slice(None), Placed(np.arange(20).reshape(5, 4) % 3 == 0, "bool")),
    (Placed(np.array(1), "int64"), slice(1, 3)),
]


def compiled(function):
    return graphc.compile(function)


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_compiled_reading_and_its_gradient(form):
    def program(x, index):
        y = x[index]
        (y * y * y).sum().backward()
        return y * 1

    mine, other = (
        numbers(graphc, 3, 5, 4).requires_grad_(),
        numbers(torch, 3, 5, 4).requires_grad_(),
    )
    agree(compiled(program)(mine, made(graphc, form)), program(other, made(torch, form)))
    np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("kind", ["number", "tensor", "row"])
@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_compiled_assigning_and_its_gradient(form, kind):
    shape = tuple(numbers(torch, 3, 5, 4)[made(torch, form)].shape)
    shape = {"number": (), "tensor": shape, "row": shape[-1:]}[kind]

    def program(x, index, value):
        y = x * 2
        y[index] = 5 if kind == "number" else value * value
        (y * y).sum().backward()
        return y * 1

    def run(t, function):
        x, value = numbers(t, 3, 5, 4).requires_grad_(), (numbers(t, *shape) * 3).requires_grad_()
        result = function(x, made(t, form), value)
        return [result, x.grad, *([] if kind == "number" else [value.grad])]

    function = compiled(program)
    if form == [0, 2] or not isinstance(form, list):
        for ours, theirs in zip(run(graphc, function), run(torch, program), strict=True):
            np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-12)


def test_compiled_masks_take_one_program_whatever_they_hold():
    def program(x, mask):
        x[mask] = 0
        x[~mask] += 0 * x.sum()
        x[:, 1][mask[:, 1]] = -x.max()
        return x.masked_fill(mask, 3).masked_scatter(mask, x * 2)

    def without_counts(x, mask):
        x[mask] = 0
        x[:, 1][mask[:, 1]] = -x.max()
        return x.masked_fill(mask, 3).masked_scatter(mask, x * 2)

    function = compiled(without_counts)
    for limit in (1, 2, 9):
        mine, other = numbers(graphc, 3, 4), numbers(torch, 3, 4)
        agree(function(mine, mine > limit), without_counts(other, other > limit))
        agree(mine, other)
    assert len(function.receipts) == 1
    mine, other = numbers(graphc, 3, 4), numbers(torch, 3, 4)
    agree(compiled(program)(mine, mine > 2), program(other, other > 2))


def test_compiled_values_under_a_mask_are_counted():
    def program(x, mask, value):
        x[mask] = value
        return x * 1

    function = compiled(program)
    for limit in (2, 3):
        mine, other = numbers(graphc, 3, 4), numbers(torch, 3, 4)
        count = int((other > limit).sum())
        value = numbers(torch, count)
        found = function(mine, mine > limit, numbers(graphc, count))
        agree(found, program(other, other > limit, value))
    mine = numbers(graphc, 3, 4)
    with pytest.raises(IndexError):
        function(mine, mine > 2, numbers(graphc, 2))


def test_compiled_positions_are_checked_only_where_they_are_read():
    def program(x, table, index):
        x[:, 1] = table[index - 5]
        x[0, -1] = table[index.sum() - 17]
        return x * 2

    def run(t, function, *places):
        return function(numbers(t, 3, 4), numbers(t, 3) * 10, t.tensor(places))

    function = compiled(program)
    agree(run(graphc, function, 5, 7, 6), run(torch, program, 5, 7, 6))
    with pytest.raises(IndexError):
        run(graphc, function, 5, 8, 5)


def test_compiled_element_at_a_position_that_varies():
    def program(x, index, value):
        x[index] += 1
        x[index, 1:] = value
        return x[index] * 2

    function = compiled(program)
    for at in (0, 2, -1):
        mine, other = numbers(graphc, 3, 4), numbers(torch, 3, 4)
        ours = function(mine, graphc.tensor(at), graphc.tensor([1, 2, 3]))
        agree(ours, program(other, torch.tensor(at), torch.tensor([1, 2, 3])))
        agree(mine, other)
    assert len(function.receipts) == 1


OUTSIDE = [
    lambda t, x: x[t.tensor([3])],
    lambda t, x: x[t.tensor([-4])],
    lambda t, x: x.index_select(0, t.tensor([-1])),
    lambda t, x: x.index_add(0, t.tensor([3]), t.ones(1, 4, dtype=t.float64)),
    lambda t, x: x.index_copy(0, t.tensor([-1]), t.ones(1, 4, dtype=t.float64)),
    lambda t, x: x.index_fill(0, t.tensor([3]), 1),
    lambda t, x: x.gather(0, t.tensor([[3]])),
    lambda t, x: x.scatter(0, t.tensor([[-1]]), 1.0),
    lambda t, x: x.take(t.tensor([12])),
    lambda t, x: x.put(t.tensor([-13]), t.ones(1, dtype=t.float64)),
    lambda t, x: x.masked_scatter(x > 1, t.ones(3, dtype=t.float64)),
    lambda t, x: x.repeat_interleave(t.tensor([1, 2, 1]), 0, output_size=3),
    lambda t, x: x.index_reduce(0, t.tensor([-1]), t.ones(1, 4, dtype=t.float64), "amax"),
]


@pytest.mark.parametrize("program", OUTSIDE)
@pytest.mark.parametrize("life", ["eager", "compiled"])
def test_positions_outside_are_errors(program, life):
    with pytest.raises((IndexError, RuntimeError)) as theirs, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program(torch, numbers(torch, 3, 4))

    def ours(x):
        return program(graphc, x)

    kind = IndexError if issubclass(theirs.type, IndexError) else RuntimeError
    with pytest.raises(kind):
        (compiled(ours) if life == "compiled" else ours)(numbers(graphc, 3, 4))


def test_writes_that_meet_keep_the_last_and_sums_count_all():
    def program(x, index):
        y = x.clone()
        y[index] = numbers(graphc, 6)
        z = x.index_put((index,), numbers(graphc, 6), accumulate=True)
        return y, z, x.put(index, numbers(graphc, 6)), x.scatter_add(0, index, numbers(graphc, 6))

    index = graphc.tensor([0, 2, 0, 2, 1, 0])
    for life in (program, compiled(program)):
        last, total, put, added = life(graphc.zeros(4, dtype=graphc.float64), index)
        assert last.tolist() == put.tolist() == [2.25, 2.0, 1.75, 0.0]
        assert total.tolist() == added.tolist() == [1 + 1.5 + 2.25, 2.0, 1.25 + 1.75, 0.0]
