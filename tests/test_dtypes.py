"""Dtypes, promotion, limits: literal tables, and the same exhaustively against PyTorch."""

import copy
import pickle
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from graphc import dtypes
from graphc.dtypes import Category

NAMES = [d.name for d in dtypes.ALL]
NUMBER, ZERO, DIMS = Category.NUMBER, Category.ZERO_DIM, Category.DIMENSIONED

# Rows and columns in the order of this line.
ORDER = "b1 u8 i8 i16 i32 i64 f16 bf16 f32 f64"
PROMOTION = """
b1   b1   u8   i8   i16  i32  i64  f16  bf16 f32  f64
u8   u8   u8   i16  i16  i32  i64  f16  bf16 f32  f64
i8   i8   i16  i8   i16  i32  i64  f16  bf16 f32  f64
i16  i16  i16  i16  i16  i32  i64  f16  bf16 f32  f64
i32  i32  i32  i32  i32  i32  i64  f16  bf16 f32  f64
i64  i64  i64  i64  i64  i64  i64  f16  bf16 f32  f64
f16  f16  f16  f16  f16  f16  f16  f16  f32  f32  f64
bf16 bf16 bf16 bf16 bf16 bf16 bf16 f32  bf16 f32  f64
f32  f32  f32  f32  f32  f32  f32  f32  f32  f32  f64
f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64
"""


@pytest.fixture(autouse=True)
def _default_restored() -> Iterator[None]:
    yield
    dtypes.set_default_dtype(dtypes.float32)


@pytest.fixture
def torch():
    module = pytest.importorskip("torch")
    yield module
    module.set_default_dtype(module.float32)


def by_short(short: str) -> dtypes.dtype:
    return dtypes.from_short(short)


def test_the_attributes_of_each_dtype():
    rows = [
        (d.name, d.short, d.c, d.type_name, d.itemsize, d.is_floating_point, d.is_signed)
        for d in dtypes.ALL
    ]
    assert rows == [
        ("float32", "f32", "float", "Float", 4, True, True),
        ("float64", "f64", "double", "Double", 8, True, True),
        ("float16", "f16", "gc_f16", "Half", 2, True, True),
        ("bfloat16", "bf16", "gc_bf16", "BFloat16", 2, True, True),
        ("uint8", "u8", "uint8_t", "Byte", 1, False, False),
        ("int8", "i8", "int8_t", "Char", 1, False, True),
        ("int16", "i16", "int16_t", "Short", 2, False, True),
        ("int32", "i32", "int32_t", "Int", 4, False, True),
        ("int64", "i64", "int64_t", "Long", 8, False, True),
        ("bool", "b1", "bool", "Bool", 1, False, False),
    ]
    assert [d.numpy.name for d in dtypes.ALL] == NAMES


def test_other_names_are_the_same_objects():
    assert dtypes.float is dtypes.float32
    assert dtypes.double is dtypes.float64
    assert dtypes.half is dtypes.float16
    assert dtypes.short is dtypes.int16
    assert dtypes.int is dtypes.int32
    assert dtypes.long is dtypes.int64
    assert dtypes.bool is dtypes.bool_


@pytest.mark.parametrize("d", dtypes.ALL, ids=repr)
def test_a_dtype_stays_one_object(d):
    assert pickle.loads(pickle.dumps(d)) is d
    assert copy.deepcopy([d])[0] is d
    assert copy.copy(d) is d
    assert dtypes.from_short(d.short) is d
    assert dtypes.from_numpy_dtype(d.numpy) is d
    assert dtypes.from_numpy_dtype(np.zeros(1, d.numpy).dtype) is d


def test_a_dtype_cannot_be_made_or_changed():
    with pytest.raises(TypeError, match=r"cannot create 'graphc\.dtype' instances"):
        dtypes.dtype("float32")
    with pytest.raises(AttributeError, match="not writable"):
        dtypes.float32.name = "single"


def test_repr():
    assert repr(dtypes.float64) == str(dtypes.float64) == "graphc.float64"
    assert repr(dtypes.bool_) == "graphc.bool"


@pytest.mark.parametrize("foreign", [np.uint16, np.complex64, np.object_, "U3"])
def test_numpy_dtypes_without_a_counterpart_raise(foreign):
    with pytest.raises(TypeError, match=r"can't convert np\.ndarray of type numpy\."):
        dtypes.from_numpy_dtype(np.dtype(foreign))


def test_foreign_byte_order_raises():
    with pytest.raises(ValueError, match="byte order"):
        dtypes.from_numpy_dtype(np.dtype(np.float32).newbyteorder())


# -------------------------------------------------------------------------------------- promotion


def test_promote_types_is_the_table():
    order = ORDER.split()
    for line in PROMOTION.split("\n")[1:-1]:
        left, *row = line.split()
        found = [dtypes.promote_types(by_short(left), by_short(x)).short for x in order]
        assert found == row, left


@pytest.mark.parametrize(
    ("operands", "expected"),
    [
        # a number changes only the kind
        ([("i32", DIMS), ("i64", NUMBER)], "i32"),
        ([("u8", DIMS), ("i64", NUMBER)], "u8"),
        ([("f16", DIMS), ("f32", NUMBER)], "f16"),
        ([("i8", DIMS), ("f32", NUMBER)], "f32"),
        ([("b1", DIMS), ("i64", NUMBER)], "i64"),
        ([("b1", DIMS), ("f32", NUMBER)], "f32"),
        ([("b1", DIMS), ("b1", NUMBER)], "b1"),
        # so does a zero-dim tensor, to its own dtype
        ([("f32", DIMS), ("f64", ZERO)], "f32"),
        ([("i32", DIMS), ("f64", ZERO)], "f64"),
        ([("u8", DIMS), ("i32", ZERO)], "u8"),
        ([("b1", DIMS), ("u8", ZERO)], "u8"),
        # a zero-dim tensor outranks a number
        ([("i8", ZERO), ("i64", NUMBER)], "i8"),
        ([("f64", ZERO), ("f32", NUMBER)], "f64"),
        ([("i8", ZERO), ("f32", NUMBER)], "f32"),
        # within one category they join
        ([("f16", ZERO), ("f64", ZERO)], "f64"),
        ([("u8", DIMS), ("i8", DIMS), ("f32", NUMBER)], "f32"),
        ([("i16", DIMS), ("f64", ZERO), ("f32", NUMBER)], "f64"),
        ([("i64", NUMBER), ("i64", NUMBER)], "i64"),
    ],
)
def test_categories(operands, expected):
    found = dtypes.promote_operands((by_short(s), c) for s, c in operands)
    assert found.short == expected


def test_result_type_reads_tensors_and_numbers():
    matrix = SimpleNamespace(dtype=dtypes.int32, ndim=2)
    scalar = SimpleNamespace(dtype=dtypes.float64, ndim=0)
    assert dtypes.result_type(matrix, scalar) is dtypes.float64
    assert dtypes.result_type(matrix, 2) is dtypes.int32
    assert dtypes.result_type(2.5, matrix) is dtypes.float32
    assert dtypes.result_type(True, 2) is dtypes.int64
    with pytest.raises(TypeError, match="expected a bool, int or float, got str"):
        dtypes.result_type(matrix, "2")
    with pytest.raises(ValueError, match="no operands"):
        dtypes.promote_operands([])


def test_the_default_dtype_is_that_of_floats():
    dtypes.set_default_dtype(dtypes.float64)
    assert dtypes.get_default_dtype() is dtypes.float64
    assert dtypes.of_python(1.0) is dtypes.float64
    assert dtypes.of_python(1) is dtypes.int64
    assert dtypes.of_python(True) is dtypes.bool_
    assert dtypes.result_type(SimpleNamespace(dtype=dtypes.int8, ndim=1), 1.0) is dtypes.float64


@pytest.mark.parametrize("wrong", [dtypes.int32, dtypes.bool_, "float64", np.float64, None])
def test_only_floats_can_be_the_default(wrong):
    with pytest.raises(TypeError, match="only floating-point types"):
        dtypes.set_default_dtype(wrong)
    assert dtypes.get_default_dtype() is dtypes.float32


def test_can_cast_never_goes_to_a_lower_kind():
    assert dtypes.can_cast(dtypes.float64, dtypes.float16)
    assert dtypes.can_cast(dtypes.int64, dtypes.uint8)
    assert dtypes.can_cast(dtypes.bool_, dtypes.uint8)
    assert not dtypes.can_cast(dtypes.float16, dtypes.int64)
    assert not dtypes.can_cast(dtypes.uint8, dtypes.bool_)


@pytest.mark.parametrize("function", [dtypes.promote_types, dtypes.can_cast])
def test_arguments_must_be_dtypes(function):
    with pytest.raises(TypeError, match=rf"{function.__name__}\(\): argument '\w+' \(position 2\)"):
        function(dtypes.int8, int)


# ----------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("d", [d for d in dtypes.ALL if d.is_floating_point], ids=repr)
def test_finfo_is_what_the_arithmetic_does(d):
    info, one = dtypes.finfo(d), np.ones((), d.numpy)
    eps = np.asarray(info.eps).astype(d.numpy)
    assert one + eps != one
    assert one + eps / np.asarray(2).astype(d.numpy) == one
    largest = np.asarray(info.max).astype(d.numpy)
    assert np.isfinite(largest) and float(largest) == info.max == -info.min
    with np.errstate(over="ignore"):
        assert np.isinf(largest * (one + eps))
    assert info.tiny == info.smallest_normal == float(np.asarray(info.tiny).astype(d.numpy))
    assert info.bits == 8 * d.itemsize
    assert info.dtype == d.name


def test_finfo_text_and_equality():
    assert repr(dtypes.finfo(dtypes.bfloat16)) == (
        "finfo(resolution=0.01, min=-3.38953e+38, max=3.38953e+38, eps=0.0078125, "
        "smallest_normal=1.17549e-38, tiny=1.17549e-38, dtype=bfloat16)"
    )
    assert dtypes.finfo() == dtypes.finfo(dtypes.float32) != dtypes.finfo(dtypes.float64)
    assert len({dtypes.finfo(), dtypes.finfo(dtypes.float32)}) == 1


def test_iinfo():
    assert (dtypes.iinfo(dtypes.int8).min, dtypes.iinfo(dtypes.int8).max) == (-128, 127)
    assert (dtypes.iinfo(dtypes.uint8).min, dtypes.iinfo(dtypes.uint8).max) == (0, 255)
    assert dtypes.iinfo(dtypes.int64).max == 2**63 - 1
    assert repr(dtypes.iinfo(dtypes.int16)) == "iinfo(min=-32768, max=32767, dtype=int16)"


@pytest.mark.parametrize(
    ("limits", "d"),
    [
        (dtypes.finfo, dtypes.int8),
        (dtypes.finfo, dtypes.bool_),
        (dtypes.finfo, 3),
        (dtypes.iinfo, dtypes.float32),
        (dtypes.iinfo, dtypes.bool_),
        (dtypes.iinfo, None),
    ],
)
def test_limits_of_the_wrong_kind_raise(limits, d):
    with pytest.raises(TypeError):
        limits(d)


# -------------------------------------------------------------------------------- against PyTorch


@pytest.mark.differential
def test_promotion_and_casts_are_pytorchs(torch):
    for a in dtypes.ALL:
        for b in dtypes.ALL:
            theirs = getattr(torch, a.name), getattr(torch, b.name)
            assert dtypes.promote_types(a, b).name == str(torch.promote_types(*theirs))[6:]
            assert dtypes.can_cast(a, b) == torch.can_cast(*theirs), (a, b)


@pytest.mark.differential
@pytest.mark.parametrize("default", ["float32", "float64", "bfloat16"])
def test_result_types_are_pytorchs(torch, default):
    torch.set_default_dtype(getattr(torch, default))
    dtypes.set_default_dtype(getattr(dtypes, default))
    ours: list[object] = [True, 2, 2.5]
    theirs: list[object] = [True, 2, 2.5]
    for d in dtypes.ALL:
        for shape in ((), (2,)):
            ours.append(SimpleNamespace(dtype=d, ndim=len(shape)))
            theirs.append(torch.zeros(shape, dtype=getattr(torch, d.name)))
    for a, x in zip(ours, theirs, strict=True):
        for b, y in zip(ours, theirs, strict=True):
            expected = str(torch.result_type(x, y))[6:]
            assert dtypes.result_type(a, b).name == expected, (x, y)


@pytest.mark.differential
def test_three_operands_are_pytorchs(torch):
    """torch.where and addcmul mix three; a sum of three is the same when taken by category."""
    for a in dtypes.ALL:
        for b in dtypes.ALL:
            x = torch.zeros(2, dtype=getattr(torch, a.name))
            y = torch.zeros((), dtype=getattr(torch, b.name))
            for number in (True, 2, 2.5):
                ours = dtypes.promote_operands(
                    [(a, DIMS), (b, ZERO), (dtypes.of_python(number), NUMBER)]
                )
                lower = dtypes.promote_operands([(b, ZERO), (dtypes.of_python(number), NUMBER)])
                zero = torch.zeros((), dtype=getattr(torch, lower.name))
                assert torch.result_type(y, number) == zero.dtype
                assert str(torch.result_type(x, zero))[6:] == ours.name


@pytest.mark.differential
def test_limits_are_pytorchs(torch):
    for d in dtypes.ALL:
        theirs = getattr(torch, d.name)
        if d is dtypes.bool_:
            continue
        fields = ["bits", "max", "min", "dtype"]
        if d.is_floating_point:
            ours, known = dtypes.finfo(d), torch.finfo(theirs)
            fields += ["eps", "tiny", "smallest_normal", "resolution"]
        else:
            ours, known = dtypes.iinfo(d), torch.iinfo(theirs)
        assert repr(ours) == repr(known)
        assert [getattr(ours, f) for f in fields] == [getattr(known, f) for f in fields]
        assert (d.itemsize, d.is_signed) == (theirs.itemsize, theirs.is_signed)
        assert d.is_floating_point == theirs.is_floating_point


@pytest.mark.differential
def test_names_are_pytorchs(torch):
    for name in ("float", "double", "half", "short", "int", "long", "bool"):
        assert getattr(dtypes, name).name == str(getattr(torch, name))[6:]
    for d in dtypes.ALL:
        tensor = torch.zeros(1, dtype=getattr(torch, d.name))
        assert tensor.type() == f"torch.{d.type_name}Tensor"
