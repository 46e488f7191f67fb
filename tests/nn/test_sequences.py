"""Padded and packed sequences compared with PyTorch: the same program run with both."""

import pickle

import pytest

import graphc

torch = pytest.importorskip("torch")

from graphc.nn.utils import rnn  # noqa: E402
from tests.nn.same_program import assert_same, gradients, plain, same_error, values  # noqa: E402

pytestmark = pytest.mark.differential


def utilities(t):
    return t.nn.utils.rnn


def same(function, *args):
    """``function(t, *args(t))`` gives equal values, dtypes and shapes; returns graphc's."""
    mine = function(graphc, *(a(graphc) for a in args))
    theirs = function(torch, *(a(torch) for a in args))
    assert_same(mine, theirs)
    return mine


def padded(*shape, dtype="float32"):
    return lambda t: values(t, *shape, dtype=dtype)


PACKINGS = {
    "sorted": ((4, 3, 2), [4, 2, 1], {}),
    "ties": ((5, 4, 2), [5, 3, 3, 3], {}),
    "no trailing dimension": ((4, 3), [4, 4, 1], {}),
    "two trailing dimensions": ((4, 3, 2, 2), [3, 2, 2], {}),
    "batch first": ((3, 4, 2), [4, 2, 1], {"batch_first": True}),
    "unsorted": ((4, 3, 2), [2, 4, 1], {"enforce_sorted": False}),
    "unsorted ties": ((4, 5, 1), [2, 4, 2, 4, 1], {"enforce_sorted": False}),
    "unsorted batch first": ((3, 4), [1, 2, 3], {"batch_first": True, "enforce_sorted": False}),
    "one sequence": ((3, 1, 2), [3], {}),
    "shorter than the padding": ((6, 2, 2), [3, 2], {}),
}


@pytest.mark.parametrize("case", PACKINGS)
@pytest.mark.parametrize("as_tensor", [False, True])
def test_packing_and_padding(case, as_tensor):
    shape, lengths, options = PACKINGS[case]

    def program(t, x):
        u = utilities(t)
        given = t.tensor(lengths) if as_tensor else lengths
        packed = u.pack_padded_sequence(x, given, **options)
        first = options.get("batch_first", False)
        parts = [
            u.pad_packed_sequence(packed, batch_first=b, padding_value=v, total_length=n)
            for b, v, n in [(first, 0.0, None), (not first, -1.5, None), (first, 2.0, 8)]
        ]
        return tuple(packed), parts, u.unpack_sequence(packed)

    same(program, padded(*shape))


@pytest.mark.parametrize("case", ["sorted", "unsorted", "batch first", "no trailing dimension"])
def test_gradients(case):
    shape, lengths, options = PACKINGS[case]

    def program(t, x):
        u = utilities(t)
        packed = u.pack_padded_sequence(x, lengths, **options)
        squared = packed._replace(data=packed.data**2)
        return u.pad_packed_sequence(squared, padding_value=3.0)[0]

    def packs(t, x):
        return utilities(t).pack_padded_sequence(x, lengths, **options).data

    for each in (program, packs):
        mine = gradients(graphc, each, (values(graphc, *shape),))
        theirs = gradients(torch, each, (values(torch, *shape),))
        assert_same(mine, theirs)


@pytest.mark.parametrize("dtype", ["int64", "float64", "bool"])
def test_dtypes(dtype):
    def program(t, x):
        packed = utilities(t).pack_padded_sequence(x.to(getattr(t, dtype)), [3, 1])
        return tuple(packed)[:2], utilities(t).pad_packed_sequence(packed, padding_value=1)

    same(program, padded(3, 2))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    "shapes", [[(2,), (4,), (1,)], [(3, 2), (1, 2)], [(2, 2, 3)], [(0, 2), (2, 2)]]
)
def test_pad_sequence(batch_first, side, shapes):
    def program(t, *given):
        return utilities(t).pad_sequence(list(given), batch_first, 2.5, side)

    inputs = [padded(*shape) for shape in shapes]
    same(program, *inputs)
    mine = gradients(graphc, program, tuple(x(graphc) for x in inputs))
    theirs = gradients(torch, program, tuple(x(torch) for x in inputs))
    assert_same(mine, theirs)


def test_pad_sequence_takes_the_dtype_and_shape_of_the_first():
    same(lambda t: utilities(t).pad_sequence([t.ones(2).long(), t.ones(3)], padding_value=2.5))
    same(lambda t: utilities(t).pad_sequence([t.ones(2, 2), t.ones(3, 1)]))
    same(lambda t: utilities(t).pad_sequence(t.ones(2, 3)))
    same(lambda t: utilities(t).pad_sequence(x for x in (t.ones(1), t.ones(2))))


@pytest.mark.parametrize("lengths", [[1, 9, 2], [4, 0, 1]])
def test_unpad_sequence(lengths):
    def program(t, x):
        return utilities(t).unpad_sequence(x, t.tensor(lengths), batch_first=True)

    def steps_first(t, x):
        return utilities(t).unpad_sequence(x, t.tensor(lengths))

    same(program, padded(3, 4, 2))
    same(steps_first, padded(4, 3, 2))


def test_pack_sequence():
    def program(t, sort):
        u = utilities(t)
        given = [values(t, n, 2, salt=n) for n in ((3, 2, 1) if sort else (1, 3, 2))]
        packed = u.pack_sequence(given, enforce_sorted=sort)
        return tuple(packed), u.unpack_sequence(packed)

    for sort in (True, False):
        assert_same(program(graphc, sort), program(torch, sort))


ERRORS = {
    "too few lengths": lambda t, u: u.pack_padded_sequence(t.ones(4, 3, 2), [3, 2]),
    "zero": lambda t, u: u.pack_padded_sequence(t.ones(4, 3, 2), [3, 2, 0]),
    "zero, unsorted": lambda t, u: u.pack_padded_sequence(
        t.ones(4, 3, 2), [3, 0, 2], enforce_sorted=False
    ),
    "not sorted": lambda t, u: u.pack_padded_sequence(t.ones(4, 3, 2), [2, 3, 1]),
    "two-dimensional": lambda t, u: u.pack_padded_sequence(t.ones(4, 1), t.tensor([[3]])),
    "one-dimensional": lambda t, u: u.pack_padded_sequence(t.ones(4), [1]),
    "empty": lambda t, u: u.pack_padded_sequence(t.ones(4, 0, 2), []),
    "no iterable": lambda t, u: u.pad_sequence(3),
    "no sequence": lambda t, u: u.pad_sequence([]),
    "side": lambda t, u: u.pad_sequence([t.ones(2)], padding_side="up"),
    "a number": lambda t, u: u.pad_sequence([t.ones(())]),
    "total length": lambda t, u: u.pad_packed_sequence(
        u.pack_padded_sequence(t.ones(4, 1), [3]), total_length=2
    ),
    "lengths missing": lambda t, u: u.unpad_sequence(t.ones(4, 3), t.tensor([1, 2])),
    "no batch sizes": lambda t, u: u.PackedSequence(t.ones(4, 3)),
    "not sorted sequences": lambda t, u: u.pack_sequence([t.ones(1), t.ones(2)]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    mine = same_error(lambda t: ERRORS[case](t, utilities(t)))
    with pytest.raises(Exception) as theirs:
        ERRORS[case](torch, utilities(torch))
    if case not in ("a number", "two-dimensional"):
        assert mine.split("\n")[0].startswith(str(theirs.value)[:60])


def test_lengths_beyond_the_padding_are_refused():
    with pytest.raises(RuntimeError, match="longest of `lengths` is 5, .* have 4 steps"):
        rnn.pack_padded_sequence(graphc.ones(4, 2), [5, 1])


def test_conversions():
    packed = rnn.pack_padded_sequence(values(graphc, 4, 3), [2, 4, 1], enforce_sorted=False)
    assert packed.float() is packed and packed.cpu() is packed and packed.to("cpu") is packed
    assert packed.double().data.dtype is graphc.float64
    assert packed.to(graphc.int32).data.dtype is packed.int().data.dtype is graphc.int32
    assert packed.double().sorted_indices.tolist() == [1, 0, 2]
    assert not packed.is_cuda and not packed.is_pinned()
    kinds = ("half", "long", "short", "char", "byte")
    assert [getattr(packed, k)().data.dtype.itemsize for k in kinds] == [2, 8, 2, 1, 1]
    with pytest.raises((RuntimeError, AssertionError)):
        packed.cuda()
    assert type(packed._replace(data=packed.data)) is rnn.PackedSequence
    again = pickle.loads(pickle.dumps(packed))
    assert type(again) is rnn.PackedSequence
    assert_same(tuple(again), plain(tuple(packed)))
    made = rnn.PackedSequence((packed.data, packed.batch_sizes), None, packed.sorted_indices)
    assert made.unsorted_indices.tolist() == [1, 0, 2]


def test_printing():
    def program(t):
        x = t.tensor([[1, 2, 0], [3, 0, 0], [4, 5, 6]])
        return utilities(t).pack_padded_sequence(x, [2, 1, 3], True, enforce_sorted=False)

    assert repr(program(graphc)) == repr(program(torch))


# ------------------------------------------------------------------------------------- compiled


def compiled_as_eager(function, *args):
    compiled = graphc.compile(function)
    for _ in range(2):
        assert_same(compiled(*args), function(*args))
    return compiled


def test_compiled_with_lengths_in_a_list():
    def program(x, lengths):
        packed = rnn.pack_padded_sequence(x * 2, lengths, enforce_sorted=False)
        out, again = rnn.pad_packed_sequence(packed._replace(data=packed.data.exp()))
        return out, again, packed.batch_sizes

    compiled = compiled_as_eager(program, values(graphc, 4, 3, 2), [2, 4, 1])
    compiled(values(graphc, 4, 3, 2), [2, 4, 1])
    assert len(compiled.receipts) == 1


def test_compiled_with_lengths_in_a_tensor():
    def program(x, lengths):
        return rnn.pack_padded_sequence(x * 2, lengths, enforce_sorted=False).data.sum(0)

    compiled = compiled_as_eager(program, values(graphc, 4, 3, 2), graphc.tensor([2, 4, 1]))
    again = graphc.tensor([3, 3, 1])
    assert_same(compiled(values(graphc, 4, 3, 2), again), program(values(graphc, 4, 3, 2), again))


def test_packed_sequences_go_into_and_out_of_compiled_functions():
    def program(packed):
        return packed._replace(data=packed.data * 2)

    def pads(packed):
        return rnn.pad_packed_sequence(packed)

    packed = rnn.pack_padded_sequence(values(graphc, 4, 3), [2, 4, 1], enforce_sorted=False)
    compiled = graphc.compile(program)
    for _ in range(2):
        result = compiled(packed)
        assert type(result) is rnn.PackedSequence
        assert_same(tuple(result), tuple(program(packed)))
    compiled_as_eager(pads, packed)


def test_compiled_gradients():
    def loss(x):
        packed = rnn.pack_padded_sequence(x, [4, 2, 2])
        return (rnn.pad_packed_sequence(packed)[0] ** 3).sum()

    x = values(graphc, 4, 3, 2).requires_grad_()
    loss(x).backward()
    expected, x.grad = x.grad, None
    graphc.compile(loss)(x).backward()
    assert_same(x.grad, expected)
