"""``graphc.testing``: the same verdicts and reports as PyTorch's, and operands of every kind."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphc
import graphc.testing
from tests.front.expressions import torch

pytestmark = pytest.mark.differential

CALLS: list[Callable[[Any, Any], None]] = [
    lambda t, same: same(t.tensor([1.0, 2]), t.tensor([1.0, 4])),
    lambda t, same: same(t.tensor([1.0, 2]), t.tensor([1.0, 2 + 1e-7])),
    lambda t, same: same(t.tensor([1, 2]), t.tensor([1, 4])),
    lambda t, same: same(t.tensor([2**62]), t.tensor([2**62 + 1])),
    lambda t, same: same(t.tensor([255], dtype=t.uint8), t.tensor([0], dtype=t.uint8)),
    lambda t, same: same(t.tensor(1.0), t.tensor(2.0)),
    lambda t, same: same(t.tensor([1.0, 2]), t.tensor([1.0, 2.1]), rtol=0.1),
    lambda t, same: same(t.tensor([1.0, 2]), t.tensor([1.0, 2.1]), rtol=0.1, atol=0),
    lambda t, same: same(t.tensor([1.0]), t.tensor([1.0], dtype=t.float64)),
    lambda t, same: same(t.tensor([1.0]), t.tensor([1.0], dtype=t.float64), check_dtype=False),
    lambda t, same: same(t.tensor([1.0, 2]), t.tensor([1.0, 2, 3])),
    lambda t, same: same(t.tensor([1.0, np.nan]), t.tensor([1.0, np.nan])),
    lambda t, same: same(t.tensor([1.0, np.nan]), t.tensor([1.0, np.nan]), equal_nan=True),
    lambda t, same: same(t.tensor([np.inf]), t.tensor([np.inf])),
    lambda t, same: same(t.tensor([np.inf]), t.tensor([1.0])),
    lambda t, same: same(t.tensor([1.0]), t.tensor([np.inf]), rtol=0.5, atol=0.5),
    lambda t, same: same(t.ones(2, 3), t.zeros(2, 3)),
    lambda t, same: same(t.zeros(0, 3), t.zeros(0, 3)),
    lambda t, same: same([t.ones(1), 2.0], [t.ones(1), 2.5]),
    lambda t, same: same((t.ones(1), [2.0]), (t.ones(1), [2.0])),
    lambda t, same: same([1, 2], [1, 2, 3]),
    lambda t, same: same({"a": t.ones(1)}, {"b": t.ones(1)}),
    lambda t, same: same({"a": t.tensor(1.0)}, {"a": t.tensor(1.5)}),
    lambda t, same: same({"a": [t.ones(2)]}, {"a": [t.zeros(2)]}),
    lambda t, same: same(1.0, 1),
    lambda t, same: same(1.0, 1, check_dtype=False),
    lambda t, same: same(1.0, 1 + 1e-9),
    lambda t, same: same(t.tensor(1.0), 1.0),
    lambda t, same: same(None, None),
    lambda t, same: same(None, 1),
    lambda t, same: same("a", "b"),
    lambda t, same: same(True, False),
    lambda t, same: same(t.tensor([True]), t.tensor([False])),
    lambda t, same: same(np.ones(2), np.zeros(2)),
    lambda t, same: same(np.ones(2), t.ones(2)),
    lambda t, same: same(t.ones(2, 3), t.ones(3, 2).t()),
    lambda t, same: same(t.ones(2, 3), t.ones(3, 2).t(), check_stride=True),
    lambda t, same: same(t.ones(2), t.zeros(2), msg="foo"),
    lambda t, same: same(t.ones(1), t.zeros(1), msg=lambda text: f"foo {text}"),
    lambda t, same: same(t.ones(2).bfloat16(), (t.ones(2) * 1.01).bfloat16()),
    lambda t, same: same(t.ones(2, requires_grad=True), t.ones(2)),
]


def verdict(call: Callable[[Any, Any], None], module: Any) -> tuple[str, str]:
    try:
        call(module, module.testing.assert_close)
    except (AssertionError, TypeError, ValueError) as error:
        text = str(error).replace("torch.", "graphc.").replace("graphc.tensor.", "graphc.")
        # Differences are computed in another precision there.
        return type(error).__name__, re.sub(r"\d+\.\d{5,}(e-\d+)?", "#", text)
    return "close", ""


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_verdicts_and_reports(number: int) -> None:
    assert verdict(CALLS[number], graphc) == verdict(CALLS[number], torch)


@given(
    values=st.lists(st.floats(width=32), min_size=1, max_size=6),
    noise=st.floats(0, 1e-5),
    places=st.integers(0, 5),
    equal_nan=st.booleans(),
)
def test_any_floats(values, noise, places, equal_nan) -> None:
    other = list(values)
    other[places % len(values)] *= 1 + noise
    verdicts = []
    for module in (graphc, torch):
        try:
            module.testing.assert_close(
                module.tensor(values), module.tensor(other), equal_nan=equal_nan
            )
            verdicts.append(True)
        except AssertionError:
            verdicts.append(False)
    assert verdicts[0] == verdicts[1]


@pytest.mark.parametrize("dtype", graphc.dtypes.ALL, ids=repr)
def test_operands(dtype: Any) -> None:
    make = graphc.testing.make_tensor
    made = make(50, 40, dtype=dtype, device="cpu")
    like = torch.testing.make_tensor(50, 40, dtype=getattr(torch, dtype.name), device="cpu")
    assert made.dtype is dtype
    for extreme in ("min", "max"):
        ours, theirs = (float(getattr(x.double(), extreme)()) for x in (made, like))
        assert abs(ours - theirs) <= (0.1 if dtype.is_floating_point else 0)
    assert (make(2000, dtype=dtype, exclude_zero=True) != 0).all()
    gaps = make((3, 4), dtype=dtype, noncontiguous=True)
    assert gaps.stride() == (8, 2)
    assert not gaps.is_contiguous()
    assert make(1, dtype=dtype, noncontiguous=True).is_contiguous()
    assert make(dtype=dtype).shape == ()
    assert make(0, 2, dtype=dtype).shape == (0, 2)
    assert make(2, 3, 4, 5, dtype=dtype, memory_format=graphc.channels_last).stride()[1] == 1
    if dtype is not graphc.bool:
        narrow = make(500, dtype=dtype, low=2, high=5).double()
        assert 2 <= narrow.min().item() <= narrow.max().item() < 5
    if dtype.is_floating_point:
        assert make(2, dtype=dtype, requires_grad=True).requires_grad
    else:
        with pytest.raises(ValueError, match="requires_grad"):
            make(2, dtype=dtype, requires_grad=True)
    with pytest.raises(ValueError, match="must be less than"):
        make(2, dtype=dtype, low=1, high=0)
    with pytest.raises(ValueError, match="mutually exclusive"):
        make(2, dtype=dtype, noncontiguous=True, memory_format=graphc.contiguous_format)
