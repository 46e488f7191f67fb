"""What rows refuse, in PyTorch's words, and what they infer for sizes that have only a name."""

from typing import Any

import numpy as np
import pytest

from graphc import dtypes
from graphc.device import device
from graphc.errors import DimensionError, DtypeError, ShapeError
from graphc.ir import OPS, TensorType, infer_type
from graphc.ops.rules import broadcast
from graphc.sizes import symbol

N = symbol("N")
M = symbol("M")
F, D, I, B = dtypes.float32, dtypes.float64, dtypes.int64, dtypes.bool_  # noqa: E741


def infer(name: str, *types: Any, **attrs: Any) -> TensorType:
    """Types are given as (dtype, size, size, ...)."""
    return infer_type(OPS[name], [TensorType(t[1:], t[0]) for t in types], attrs)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        (((2, 1), (3,)), (2, 3)),
        (((), (4,)), (4,)),
        (((0, 3), (1, 3)), (0, 3)),
        (((1,), (0,)), (0,)),
        (((5, 1, 4), (3, 1), (1,)), (5, 3, 4)),
        (((N, 1), (1, M)), (N, M)),
        (((N, 3), (N, 3)), (N, 3)),
        (((N * 2,), (1,)), (N * 2,)),
    ],
)
def test_broadcasting(shapes: Any, expected: Any) -> None:
    assert broadcast(*shapes) == expected
    assert broadcast(*reversed(shapes)) == expected


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ((2, 3), (2, 4), r"size of tensor a \(3\) must match .* b \(4\) .* dimension 1"),
        ((3,), (2, 4), r"size of tensor a \(3\) must match .* b \(4\) .* dimension 1"),
        ((2, 4), (3, 1), r"size of tensor a \(2\) must match .* b \(3\) .* dimension 0"),
        ((0,), (2,), r"size of tensor a \(0\) must match .* b \(2\) .* dimension 0"),
        ((N,), (M,), r"size of tensor a \(N\) must match .* b \(M\) .* dimension 0"),
        ((N,), (N + 1,), r"size of tensor a \(N\) must match .* b \(N \+ 1\)"),
    ],
)
def test_sizes_that_do_not_meet(a: Any, b: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        infer("add", (F, *a), (F, *b))


@pytest.mark.differential
@pytest.mark.parametrize(
    ("a", "b"),
    [((2, 3), (2, 4)), ((3,), (2, 4)), ((2, 4), (3, 1)), ((0,), (2,)), ((5, 2, 3), (4, 3))],
)
def test_sizes_that_do_not_meet_are_told_as_pytorch_tells_them(a: Any, b: Any) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as theirs:
        torch.add(torch.zeros(a), torch.zeros(b))
    with pytest.raises(ShapeError) as ours:
        infer("add", (F, *a), (F, *b))
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize(
    ("name", "types", "attrs", "error", "message"),
    [
        ("sub", [(B, 2), (B, 2)], {}, DtypeError, "Subtraction, the `-` operator, with two bool"),
        ("neg", [(B, 2)], {}, DtypeError, "Negation, the `-` operator, on a bool tensor"),
        ("relu", [(B, 2)], {}, DtypeError, "Boolean inputs not supported for relu"),
        ("exp", [(I, 2)], {}, DtypeError, "exp needs a tensor of floating-point dtype"),
        ("bitwise_and", [(F, 2), (F, 2)], {}, DtypeError, "integer or boolean"),
        ("add", [(F, 2), (D, 2)], {}, DtypeError, "one dtype, not .*float32, .*float64"),
        ("where", [(F, 2), (F, 2), (F, 2)], {}, DtypeError, "condition to be a boolean tensor"),
        ("sum", [(F, 2)], {"dims": (1,), "keepdim": False}, DimensionError, r"0\], but got 1"),
        ("sum", [(F, 2, 2)], {"dims": (1, 1), "keepdim": False}, ShapeError, "multiple times"),
        ("amax", [(F, 0, 2)], {"dims": (0,), "keepdim": False}, DimensionError, "non-zero size"),
        ("argmin", [(F, 0)], {"dims": (0,), "keepdim": True}, DimensionError, "non-zero size"),
        ("mean", [(I, 2)], {"dims": (0,), "keepdim": False}, DtypeError, "floating point"),
        ("softmax", [(F, 2)], {"dim": 2}, DimensionError, r"\[-1, 0\], but got 2"),
    ],
)  # fmt: skip
def test_refusals(name: str, types: Any, attrs: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        infer(name, *types, **attrs)


def test_devices_do_not_mix() -> None:
    there = TensorType((2,), F, device("cuda:0"))
    with pytest.raises(RuntimeError, match="same device, but found at least two devices, cpu and"):
        infer_type(OPS["add"], [TensorType((2,), F), there], {})
    assert infer_type(OPS["exp"], [there], {}).device == device("cuda:0")


@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod", "trunc_divide"])
@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8"])
def test_integers_are_not_divided_by_zero(name: str, dtype: str) -> None:
    a = np.array([1, 2], dtype)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        OPS[name].evaluate(a, np.array([1, 0], dtype))


def test_named_sizes_go_through_rows() -> None:
    assert infer("softmax", (F, N, 10), dim=1).shape == (N, 10)
    assert infer("mean", (F, N, M), dims=(0,), keepdim=True).shape == (1, M)
    assert infer("amax", (F, N, M), dims=(1,), keepdim=False).shape == (N,)
    assert infer("where", (B, N, 1), (F, M), (F,)).shape == (N, M)
    assert infer("layer_norm", (F, N, 8), (F, 8), (F, 8), dims=(1,), eps=1e-5).shape == (N, 8)
    assert infer("eq", (F, N), (F,)).dtype is B


def test_numpy_is_never_asked_to_warn() -> None:
    with np.errstate(all="raise"):
        OPS["exp"].evaluate(np.array([1000.0]))
        OPS["div"].evaluate(np.array([1.0]), np.array([0.0]))
        OPS["mul"].evaluate(np.array([1e4], np.float16), np.array([1e4], np.float16))
        OPS["cast"].evaluate(np.array([1e300]), dtype=F)


@pytest.mark.parametrize("shape", [(4, 1 << 16), (1 << 16, 4)])
@pytest.mark.parametrize("dim", [0, 1])
def test_sums_of_float32_do_not_drift(shape: tuple[int, ...], dim: int) -> None:
    x = (np.random.default_rng(1).random(shape) + 1).astype(np.float32)
    found = OPS["sum"].evaluate(x, dims=(dim,), keepdim=False)
    exact = x.astype(np.float64).sum(dim)
    np.testing.assert_allclose(found, exact, rtol=4e-7)
    turned = OPS["sum"].evaluate(x.T, dims=(1 - dim,), keepdim=False)
    np.testing.assert_allclose(turned, exact, rtol=4e-7)


@pytest.mark.differential
@pytest.mark.parametrize("exponent", [0.5, -0.5, 2.0, 3.0, -1.0, -2.0, 0.0, 1.0, 2.5])
def test_powers_that_are_numbers(exponent: float) -> None:
    torch = pytest.importorskip("torch")
    x = np.array([0.0, -0.0, 2.0, -3.0, np.inf, -np.inf, np.nan, 0.3], np.float32)
    found = OPS["pow"].evaluate(x, np.array(exponent, np.float32))
    expected = torch.pow(torch.tensor(x), exponent).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
