"""A program run with graphc and with PyTorch: the same values, or the same kind of error."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")

Program = Callable[[Any], Any]


def numbers(t: Any, *shape: int, salt: int = 0, dtype: str = "float64") -> Any:
    """Values between -2 and 2 in an order without pattern, the same in both libraries."""
    count = int(np.prod(shape))
    made = (np.arange(1, count + 1) * 0.6180339887498949 + 0.137 * (salt + 1)) % 1.0 * 4 - 2
    return t.tensor(made.reshape(shape).tolist(), dtype=getattr(t, dtype))


def leaf(t: Any, *shape: int, salt: int = 0) -> Any:
    return numbers(t, *shape, salt=salt).requires_grad_()


def plain(value: Any) -> Any:
    """Tensors as their shape, whether they are tracked, and their values."""
    if isinstance(value, (graphc.Tensor, torch.Tensor)):
        dtype = str(value.dtype).split(".")[-1]
        array = np.array(value.detach().numpy())
        return ("tensor", tuple(value.shape), dtype, value.requires_grad, array)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return value


def assert_equal(mine: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    if isinstance(theirs, tuple) and theirs[:1] == ("tensor",):
        assert mine[:4] == theirs[:4]
        np.testing.assert_allclose(mine[4], theirs[4], rtol=tolerance, atol=tolerance)
    elif isinstance(theirs, dict):
        assert list(mine) == list(theirs)
        for key in theirs:
            assert_equal(mine[key], theirs[key], tolerance)
    elif isinstance(theirs, list):
        assert isinstance(mine, list) and len(mine) == len(theirs), (mine, theirs)
        for a, b in zip(mine, theirs, strict=True):
            assert_equal(a, b, tolerance)
    elif isinstance(theirs, float):
        assert mine == pytest.approx(theirs, rel=tolerance, abs=tolerance, nan_ok=True)
    else:
        assert mine == theirs


@pytest.mark.filterwarnings("ignore")
def same(program: Program, tolerance: float = 1e-5) -> None:
    """The program gives the same with both."""
    assert_equal(plain(program(graphc)), plain(program(torch)), tolerance)


def same_error(program: Program) -> None:
    """The program raises the same built-in kind of error with both."""
    with pytest.raises(Exception) as theirs:
        program(torch)
    expected = next(c for c in type(theirs.value).__mro__ if c.__module__ == "builtins")
    with pytest.raises(expected):
        program(graphc)
