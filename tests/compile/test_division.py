"""Integers divided by zero: compiled programs refuse it as eager tensors do."""

from pathlib import Path
from typing import Any

import pytest

import graphc as torch

DIVISIONS = {
    "floor_divide": lambda a, b: a // b,
    "remainder": lambda a, b: a % b,
    "fmod": lambda a, b: torch.fmod(a, b),
    "trunc_divide": lambda a, b: torch.div(a, b, rounding_mode="trunc"),
}


@pytest.mark.parametrize("kind", ["int64", "int32", "uint8"])
@pytest.mark.parametrize("name", sorted(DIVISIONS))
def test_a_zero_divisor_raises_as_in_eager(name: str, kind: str) -> None:
    compiled = torch.compile(DIVISIONS[name])
    a = torch.arange(1, 13, dtype=getattr(torch, kind)).reshape(3, 4)
    b = torch.tensor([1, 2, 3, 4], dtype=a.dtype)
    assert compiled(a, b).tolist() == DIVISIONS[name](a, b).tolist()
    bad = torch.tensor([1, 0, 3, 4], dtype=a.dtype)
    for function in (DIVISIONS[name], compiled):
        with pytest.raises(RuntimeError, match=f"ZeroDivisionError: {name} of integers") as caught:
            function(a, bad)
        assert Path(__file__).name in str(caught.value)
    assert compiled(a, b).tolist() == DIVISIONS[name](a, b).tolist()


def test_updates_do_not_happen_when_a_divisor_is_zero() -> None:
    state = torch.tensor([8, 8])

    @torch.compile
    def update(divisor: Any) -> Any:
        total = (state // divisor).sum()
        state.add_(total)
        return total

    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        update(torch.tensor([2, 0]))
    update(torch.tensor([2, 4]))
    assert state.shape == (2,)


def test_floats_divide_by_zero() -> None:
    compiled = torch.compile(lambda a, b: a // b)
    assert compiled(torch.ones(2), torch.zeros(2)).tolist() == [float("inf")] * 2
