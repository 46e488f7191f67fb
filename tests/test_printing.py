"""The text of tensors: literal examples, and any tensor against PyTorch."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphc import dtypes, printing
from graphc.printing import format_tensor, get_printoptions, printoptions, set_printoptions


@pytest.fixture(autouse=True)
def _options_restored() -> Iterator[None]:
    yield
    set_printoptions(profile="default")


def text(data: object, dtype: dtypes.dtype = dtypes.float32, **details: object) -> str:
    return format_tensor(np.array(data).astype(dtype.numpy), dtype, **details)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "dtype", "expected"),
    [
        ([1, 2, 3], dtypes.float32, "tensor([1., 2., 3.])"),
        ([1.5, -2, 0], dtypes.float32, "tensor([ 1.5000, -2.0000,  0.0000])"),
        ([1, 1000.5], dtypes.float32, "tensor([1.0000e+00, 1.0005e+03])"),
        ([1e-5, 1e-5], dtypes.float32, "tensor([1.0000e-05, 1.0000e-05])"),
        ([2e8], dtypes.float32, "tensor([2.0000e+08])"),
        ([1, math.nan, -math.inf], dtypes.float32, "tensor([1., nan, -inf])"),
        ([1.5, math.nan, -math.inf], dtypes.float32, "tensor([1.5000,    nan,   -inf])"),
        ([0.0, -0.0], dtypes.float32, "tensor([0., -0.])"),
        (0.1, dtypes.float64, "tensor(0.1000, dtype=graphc.float64)"),
        (0.1, dtypes.bfloat16, "tensor(0.1001, dtype=graphc.bfloat16)"),
        (-7, dtypes.int64, "tensor(-7)"),
        ([1, -20], dtypes.int32, "tensor([  1, -20], dtype=graphc.int32)"),
        ([True, False], dtypes.bool_, "tensor([ True, False])"),
        (
            [[1, 2], [3, 4]],
            dtypes.uint8,
            "tensor([[1, 2],\n        [3, 4]], dtype=graphc.uint8)",
        ),
        (
            [[[1], [2]], [[3], [4]]],
            dtypes.int64,
            "tensor([[[1],\n         [2]],\n\n        [[3],\n         [4]]])",
        ),
        ([], dtypes.float32, "tensor([])"),
        ([], dtypes.int64, "tensor([], dtype=graphc.int64)"),
        (np.zeros((0, 3)), dtypes.float32, "tensor([], size=(0, 3))"),
    ],
)
def test_examples(data, dtype, expected):
    assert text(data, dtype) == expected


def test_more_than_a_thousand_elements_are_summarised():
    assert text(range(1001), dtypes.int64) == "tensor([   0,    1,    2,  ...,  998,  999, 1000])"
    assert text(np.zeros((1000, 2))).splitlines() == [
        "tensor([[0., 0.],",
        "        [0., 0.],",
        "        [0., 0.],",
        "        ...,",
        "        [0., 0.],",
        "        [0., 0.],",
        "        [0., 0.]])",
    ]


def test_long_rows_are_wrapped_below_each_other():
    lines = text(np.arange(30), dtypes.int64).splitlines()
    assert (
        lines[0]
        == "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,"
    )
    assert lines[1] == "        18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])"


def test_suffixes_come_in_order_and_wrap():
    assert (
        text([1.0], dtypes.float64, device="cuda:0", requires_grad=True)
        == "tensor([1.], device='cuda:0', dtype=graphc.float64, requires_grad=True)"
    )
    assert text([1.0], grad_fn="AddBackward0", requires_grad=True) == (
        "tensor([1.], grad_fn=<AddBackward0>)"
    )
    assert text(np.arange(16), requires_grad=True).splitlines()[-2:] == [
        "tensor([ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11., 12., 13.,",
        "        14., 15.], requires_grad=True)",
    ]
    assert text(np.arange(13), grad_fn="NativeLayerNormBackward0").splitlines()[-1] == (
        "       grad_fn=<NativeLayerNormBackward0>)"
    )


def test_a_suffix_wraps_where_pytorchs_would():
    """`tensor([1.], dtype=torch.float64)` has 33 characters; PyTorch counts one more."""
    with printoptions(linewidth=34):
        assert text([1.0], dtypes.float64) == "tensor([1.], dtype=graphc.float64)"
    with printoptions(linewidth=33):
        assert text([1.0], dtypes.float64) == "tensor([1.],\n       dtype=graphc.float64)"


def test_a_prefix_of_another_length_moves_the_columns():
    assert text([[1], [2]], prefix="Weights(") == "Weights([[1.],\n         [2.]])"


def test_a_tensor_without_values_shows_its_shape():
    assert format_tensor(None, dtypes.float32, shape=("n", 3)) == "tensor(..., size=(n, 3))"
    assert format_tensor(None, dtypes.int64, shape=(2,)) == (
        "tensor(..., size=(2,), dtype=graphc.int64)"
    )


def test_the_default_dtype_is_not_named():
    dtypes.set_default_dtype(dtypes.float64)
    try:
        assert text([1.0], dtypes.float64) == "tensor([1.])"
        assert text([1.0], dtypes.float32) == "tensor([1.], dtype=graphc.float32)"
    finally:
        dtypes.set_default_dtype(dtypes.float32)


def test_options():
    set_printoptions(precision=2, sci_mode=True)
    assert text([1.234]) == "tensor([1.23e+00])"
    set_printoptions(precision=1)
    assert text([1.234]) == "tensor([1.2])"
    set_printoptions(profile="short", threshold=4)
    assert text(range(5), dtypes.int64) == "tensor([0, 1,  ..., 3, 4])"
    set_printoptions(profile="default")
    assert get_printoptions() == {
        "precision": 4,
        "threshold": 1000,
        "edgeitems": 3,
        "linewidth": 80,
        "sci_mode": None,
    }
    with printoptions(edgeitems=0, threshold=2):
        assert text([1, 2, 3]) == "tensor([...], size=(3,))"
    assert text([1, 2, 3]) == "tensor([1., 2., 3.])"
    set_printoptions(profile="full")
    assert "..." not in text(np.zeros(2000))
    with pytest.raises(ValueError, match="'wide' is none of default, short, full"):
        set_printoptions(profile="wide")


# -------------------------------------------------------------------------------- against PyTorch


@st.composite
def arrays(draw: st.DrawFn) -> tuple[np.ndarray, dtypes.dtype]:
    """Arrays whose magnitudes, signs and special values try each way to print."""
    dtype = draw(st.sampled_from(dtypes.ALL))
    shape = tuple(draw(st.lists(st.integers(0, 9), max_size=4)))
    count = math.prod(shape)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if dtype is dtypes.bool_:
        return random.integers(0, 2, shape).astype(bool), dtype
    if not dtype.is_floating_point:
        limits = np.iinfo(dtype.numpy)
        low, high = draw(st.sampled_from([(0, 2), (0, 127), (limits.min // 7, limits.max // 3)]))
        return random.integers(low, high, shape, dtype=dtype.numpy), dtype
    scale = draw(st.sampled_from([1e-6, 1e-4, 1.0, 30.0, 999.0, 1e5, 1e9]))
    values = random.standard_normal(count) * scale
    values = draw(
        st.sampled_from([values, np.round(values), np.abs(values), np.full(count, scale)])
    )
    special = draw(
        st.lists(st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-30, 1e30]))
    )
    for place, value in zip(random.permutation(count), special, strict=False):
        values[place] = value
    with np.errstate(over="ignore"):
        return values.reshape(shape).astype(dtype.numpy), dtype


def to_torch(torch, array: np.ndarray, dtype: dtypes.dtype):
    if dtype is dtypes.bfloat16:
        return (
            torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16).reshape(array.shape)
        )
    return torch.from_numpy(np.array(array))


def check(torch, array: np.ndarray, dtype: dtypes.dtype, **details: object) -> None:
    tensor = to_torch(torch, array, dtype)
    if details.get("requires_grad"):
        tensor.requires_grad_()
    if details.get("grad_fn"):
        tensor = tensor.requires_grad_() * 1
    expected = repr(tensor).replace("torch.", "graphc.")
    assert format_tensor(array, dtype, **details) == expected  # type: ignore[arg-type]


@pytest.mark.differential
@given(
    case=arrays(),
    details=st.sampled_from([{}, {"requires_grad": True}, {"grad_fn": "MulBackward0"}]),
)
def test_any_tensor_prints_as_pytorch_prints_it(case, details):
    torch = pytest.importorskip("torch")
    array, dtype = case
    check(torch, array, dtype, **(details if dtype.is_floating_point else {}))


@pytest.mark.differential
@given(
    case=arrays(),
    options=st.fixed_dictionaries(
        {},
        optional={
            "precision": st.integers(0, 9),
            "threshold": st.sampled_from([0, 3, 50, math.inf]),
            "edgeitems": st.integers(0, 4),
            "linewidth": st.integers(1, 200),
            "profile": st.sampled_from(["default", "short", "full"]),
            "sci_mode": st.sampled_from([True, False, None]),
        },
    ),
)
def test_options_do_as_pytorchs(case, options):
    torch = pytest.importorskip("torch")
    torch.set_printoptions(profile="default")
    torch.set_printoptions(**options)
    try:
        with printing.printoptions(**options):
            assert get_printoptions() == torch._tensor_str.get_printoptions()
            check(torch, *case)
    finally:
        torch.set_printoptions(profile="default")


@pytest.mark.differential
@pytest.mark.parametrize("linewidth", range(20, 60))
def test_suffixes_wrap_as_pytorchs(linewidth):
    torch = pytest.importorskip("torch")
    torch.set_printoptions(linewidth=linewidth)
    try:
        with printoptions(linewidth=linewidth):
            for shape in ((2,), (2, 2)):
                check(torch, np.ones(shape), dtypes.float64, requires_grad=True)
    finally:
        torch.set_printoptions(profile="default")


@pytest.mark.differential
@pytest.mark.parametrize(
    "shape", [(1001,), (2, 600), (40, 40), (11, 11, 11), (7, 3, 7, 8), (1, 2000)]
)
@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float16, dtypes.int64], ids=repr)
def test_summaries_are_pytorchs(shape, dtype):
    torch = pytest.importorskip("torch")
    values = np.linspace(-5, 500, math.prod(shape)).reshape(shape)
    check(torch, values.astype(dtype.numpy), dtype)
