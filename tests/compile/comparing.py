"""Eager against compiled: the same function on copies of the same arguments."""

from collections.abc import Callable
from typing import Any

import numpy as np

import graphc
from graphc.tensor import Tensor
from graphc.trees import flatten


def copied(args: Any) -> Any:
    """Arguments with fresh tensors that have the same values, strides and gradients flags."""
    made: dict[int, Tensor] = {}

    def copy(value: Any) -> Any:
        if isinstance(value, Tensor):
            if id(value) not in made:
                if value._base is not None:
                    base = copy(value._base)
                    for op, attrs in value._view:
                        base = op(base, **attrs)
                    made[id(value)] = base
                else:
                    array = np.array(value.detach().numpy(), order="K", copy=True)
                    fresh = graphc.from_numpy(array)
                    made[id(value)] = fresh.requires_grad_(value.requires_grad)
            return made[id(value)]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(copy, value))
        if isinstance(value, (list, tuple)):
            return type(value)(map(copy, value))
        if isinstance(value, dict):
            return type(value)((k, copy(v)) for k, v in value.items())
        return value

    return copy(args)


def assert_same(expected: Any, found: Any, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Equal nests of tensors and plain values; dtypes, shapes and requires_grad count."""
    left, left_tree = flatten(expected)
    right, right_tree = flatten(found)
    assert left_tree == right_tree
    for a, b in zip(left, right, strict=True):
        if not isinstance(a, Tensor):
            assert type(a) is type(b) and (a == b or a is b), (a, b)
            continue
        assert isinstance(b, Tensor), b
        assert a.dtype is b.dtype
        assert tuple(a.shape) == tuple(b.shape)
        assert a.requires_grad is b.requires_grad
        assert a.is_leaf is b.is_leaf
        x, y = (t.detach().numpy().astype(np.float64) for t in (a, b))
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


def compare(
    function: Callable[..., Any], *args: Any, calls: int = 2, rtol: float = 1e-5, **kwargs: Any
) -> Any:
    """Calls both lives on copies; results and changed arguments agree. Gives the compiled one."""
    compiled = graphc.compile(function)
    for _ in range(calls):
        eager_args, eager_kwargs = copied((args, kwargs))
        their_args, their_kwargs = copied((args, kwargs))
        expected = function(*eager_args, **eager_kwargs)
        found = compiled(*their_args, **their_kwargs)
        assert_same(expected, found, rtol)
        assert_same((eager_args, eager_kwargs), (their_args, their_kwargs), rtol)
    assert len(compiled.receipts) == 1, [r.reason for r in compiled.receipts]
    return compiled


def gradients(
    function: Callable[..., Any], *args: Any, rtol: float = 1e-4, atol: float = 1e-5
) -> Any:
    """Also compares the gradients of every result, with cotangents that differ by element."""
    compiled = graphc.compile(function)
    for _ in range(2):
        grads = []
        for life in (function, compiled):
            mine = copied(args)
            results = [t for t in flatten(life(*mine))[0] if isinstance(t, Tensor)]
            tracked = [t for t in results if t.requires_grad]
            weights = [
                graphc.arange(t.numel(), dtype=t.dtype).reshape(t.shape) * 0.1 + 1 for t in tracked
            ]
            graphc.autograd.backward(tracked, weights)
            leaves = [t for t in flatten(mine)[0] if isinstance(t, Tensor) and t.is_leaf]
            grads.append((results, [t.grad for t in leaves]))
        assert_same(*grads, rtol=rtol, atol=atol)
    assert len(compiled.receipts) == 1, [r.reason for r in compiled.receipts]
    return compiled
