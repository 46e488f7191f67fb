"""Reading and writing at computed places: what is out of range, and what meets at one place."""

from typing import Any

import numpy as np
import pytest

import graphc.ops  # noqa: F401 - fills the registry
from graphc.dtypes import float32, int16, int64
from graphc.errors import DtypeError, ShapeError
from graphc.ir import OPS, TensorType, infer_type

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def run(name: str, *arrays: Any, **attrs: Any) -> Any:
    return OPS[name].evaluate(*map(np.asarray, arrays), **attrs)


@pytest.mark.parametrize(
    ("dim", "index", "message"),
    [
        (0, [0, 5], "index 5 is out of bounds for dimension 0 with size 2"),
        (0, [-3], "index -3 is out of bounds for dimension 0 with size 2"),
        (1, [[1, -4], [9, 0]], "index -4 is out of bounds for dimension 1 with size 3"),
    ],
)
def test_take_and_put_index_name_the_first_index_out_of_range(
    dim: int, index: list[Any], message: str
) -> None:
    with pytest.raises(IndexError, match=message):
        run("take", X, index, dim=dim)
    shape = (*X.shape[:dim], *np.shape(index), *X.shape[dim + 1 :])
    for add in (True, False):
        with pytest.raises(IndexError, match=message):
            run("put_index", X, index, np.zeros(shape, np.float32), dim=dim, add=add)


@pytest.mark.parametrize("wrong", [-1, 2])
def test_gather_and_scatter_take_no_negative_index(wrong: int) -> None:
    message = f"index {wrong} is out of bounds for dimension 0 with size 2"
    with pytest.raises(IndexError, match=message):
        run("gather", X, [[0, wrong, 0]], dim=0)
    for add in (True, False):
        with pytest.raises(IndexError, match=message):
            run("scatter", X, [[0, wrong, 0]], np.ones((1, 3), np.float32), dim=0, add=add)


def test_nothing_is_taken_from_an_empty_dim() -> None:
    empty = np.empty((0, 3), np.float32)
    assert run("take", empty, np.empty(0, np.int64), dim=0).shape == (0, 3)
    with pytest.raises(IndexError, match="index 0 is out of bounds for dimension 0 with size 0"):
        run("take", empty, [0], dim=0)


def test_writes_that_meet_leave_the_last_and_additions_all_count() -> None:
    values = np.arange(1, 7, dtype=np.float32).reshape(6, 1)
    index = np.array([1, 0, 1, 1, 0, -1])
    base = np.zeros((2, 1), np.float32)
    assert run("put_index", base, index, values, dim=0, add=False).tolist() == [[5], [6]]
    assert run("put_index", base, index, values, dim=0, add=True).tolist() == [[7], [14]]
    index = index.reshape(6, 1) % 2
    assert run("scatter", base, index, values, dim=0, add=False).tolist() == [[5], [6]]
    assert run("scatter", base, index, values, dim=0, add=True).tolist() == [[7], [14]]


def test_a_transposed_base_is_written_like_any_other() -> None:
    base = np.zeros((3, 2), np.float32).T
    result = run("put_index", base, [0, 0], np.ones((2, 2), np.float32), dim=1, add=True)
    assert result.shape == (2, 3)
    assert result.tolist() == [[2, 0, 0], [2, 0, 0]]


@pytest.mark.differential
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_scatter_add_agrees_with_pytorch(dim: int) -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(dim)
    x = random.standard_normal((4, 5, 6))
    index = random.integers(0, x.shape[dim], (3, 4, 5))
    values = random.standard_normal((3, 4, 5))
    theirs = torch.from_numpy(x).scatter_add(dim, torch.from_numpy(index), torch.from_numpy(values))
    ours = run("scatter", x, index, values, dim=dim, add=True)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-14)


def infer(name: str, *types: TensorType, **attrs: Any) -> TensorType:
    return infer_type(OPS[name], types, attrs)


def test_type_rules_refuse_in_the_words_of_pytorch() -> None:
    x, flat = TensorType((2, 3), float32), TensorType((4,), int64)
    with pytest.raises(DtypeError, match=r"gather\(\): Expected dtype int32/int64 for index"):
        infer("gather", x, TensorType((2, 3), int16), dim=0)
    with pytest.raises(ShapeError, match="Index tensor must have the same number of dimensions"):
        infer("gather", x, flat, dim=0)
    with pytest.raises(
        ShapeError,
        match=r"dimension 1 expected index \[2, 4\] to be no larger than self \[2, 3\] apart from",
    ):
        infer("gather", x, TensorType((2, 4), int64), dim=0)
    with pytest.raises(ShapeError, match=r"no larger size than src \[1, 2\]"):
        infer(
            "scatter",
            x,
            TensorType((1, 3), int64),
            TensorType((1, 2), float32),
            dim=0,
            add=False,
        )
    with pytest.raises(ShapeError, match=r"shape mismatch: value tensor of shape \[4\]"):
        infer("put_index", x, flat, TensorType((4,), float32), dim=0, add=False)
