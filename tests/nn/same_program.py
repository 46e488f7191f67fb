"""A program run with graphc and with PyTorch, and everything it gives compared."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")


def values(t: Any, *shape: int, dtype: str = "float32", salt: int = 0) -> Any:
    """Distinct numbers between -3 and 3 in an order without pattern."""
    count = int(np.prod(shape))
    made = np.array([((i + 1 + salt * 31) * 7919 % 1009) / 168.0 - 3.003 for i in range(count)])
    return t.tensor(made.tolist(), dtype=getattr(t, dtype)).reshape(shape)


def classes(t: Any, *shape: int, count: int) -> Any:
    size = int(np.prod(shape))
    return t.tensor([(i * 7919) % count for i in range(size)], dtype=t.int64).reshape(shape)


def plain(result: Any) -> Any:
    """Tensors as arrays, inside containers too."""
    if isinstance(result, (graphc.Tensor, torch.Tensor)):
        detached = result.detach()
        return np.array(detached.numpy())
    if isinstance(result, dict):
        return {key: plain(value) for key, value in result.items()}
    if isinstance(result, (tuple, list)):
        return [plain(item) for item in result]
    return result


def assert_same(mine: Any, theirs: Any, rtol: float = 2e-5, atol: float = 2e-6) -> None:
    mine, theirs = plain(mine), plain(theirs)
    if isinstance(theirs, dict):
        assert list(mine) == list(theirs)
        mine, theirs = list(mine.values()), list(theirs.values())
    if isinstance(theirs, list):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            assert_same(a, b, rtol, atol)
    elif isinstance(theirs, np.ndarray):
        assert mine.dtype == theirs.dtype
        assert mine.shape == theirs.shape
        largest = float(np.abs(theirs).max()) if theirs.size else 0.0
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=atol * max(1.0, largest))
    else:
        assert mine == theirs


def gradients(t: Any, function: Callable[..., Any], inputs: tuple[Any, ...]) -> Any:
    """The result and the gradients of floating inputs for a fixed cotangent."""
    inputs = tuple(
        x.requires_grad_()
        if isinstance(x, (graphc.Tensor, torch.Tensor)) and x.is_floating_point()
        else x
        for x in inputs
    )
    result = function(t, *inputs)
    first = result[0] if isinstance(result, tuple) else result
    (
        first * values(t, *first.shape, dtype=str(first.dtype).split(".")[-1], salt=3)
    ).sum().backward()
    grads = [x.grad for x in inputs if getattr(x, "requires_grad", False)]
    return result, [t.zeros(1) if g is None else g for g in grads]


def same_with_gradients(
    function: Callable[..., Any], make: Callable[[Any], tuple[Any, ...]]
) -> None:
    """``function(t, *make(t))`` and its gradients agree."""
    mine = gradients(graphc, function, make(graphc))
    theirs = gradients(torch, function, make(torch))
    assert_same(mine, theirs)


def same_error(function: Callable[[Any], Any]) -> str:
    """Both raise, errors of one kind; gives the message of graphc."""
    with pytest.raises(Exception) as theirs:
        function(torch)
    with pytest.raises(type(theirs.value)) as mine:
        function(graphc)
    return str(mine.value)
