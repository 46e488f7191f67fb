"""The index arithmetic of views and rearrangements, point by point, against their evaluation.

No lowering takes part: the test itself walks every element of the result, puts its index into the
sources of the rule and reads the operand there.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import graphc.ops  # noqa: F401 - fills the registry
from graphc.dtypes import from_numpy_dtype
from graphc.ir import OPS, IndexMap, Op, Sample, Source, TensorType
from graphc.kernel import InRange
from graphc.sizes import Int, bounds, evaluate, symbol

MAPS = [op for op in OPS.values() if isinstance(op.lower, IndexMap)]


def distinct_samples() -> Iterator[Any]:
    """Rules do not look at dtypes: one sample per shapes and attributes."""
    for op in MAPS:
        seen = set()
        for i, sample in enumerate(op.samples() if op.samples else ()):
            key = (tuple(np.shape(a) for a in sample.arrays), repr(sample.attrs))
            if key not in seen:
                seen.add(key)
                yield pytest.param(op, sample, id=f"{op.name}-{i}")


def types_of(sample: Sample) -> list[TensorType]:
    arrays = [np.asarray(a) for a in sample.arrays]
    return [TensorType(a.shape, from_numpy_dtype(a.dtype)) for a in arrays]


def holds(condition: Any, at: dict[str, int]) -> bool:
    index = evaluate(condition.index, at)
    if isinstance(condition, InRange):
        return 0 <= index < evaluate(condition.limit, at)
    assert index >= 0, "divisibility is asked only where the conditions before it hold"
    return index % condition.by == 0


def taken(sources: tuple[Source, ...], at: dict[str, int]) -> Source | None:
    return next((s for s in sources if all(holds(c, at) for c in s.conditions)), None)


@pytest.mark.parametrize(("op", "sample"), list(distinct_samples()))
def test_rule_reads_what_evaluation_gives(op: Op, sample: Sample) -> None:
    arrays = [np.asarray(a) for a in sample.arrays]
    expected = op.evaluate(*arrays, **sample.attrs)
    assert isinstance(op.lower, IndexMap)
    axes: list[Int] = [symbol(f"i{d}", n) for d, n in enumerate(expected.shape)]
    sources = op.lower.rule(tuple(axes), *types_of(sample), **sample.attrs)
    fill = op.lower.fill
    other = sample.attrs[fill] if isinstance(fill, str) else fill
    actual = np.empty_like(expected)
    for place in np.ndindex(expected.shape):
        at = {f"i{d}": i for d, i in enumerate(place)}
        source = taken(sources, at)
        if source is None:
            actual[place] = other
            continue
        index = tuple(evaluate(i, at) for i in source.index)
        shape = arrays[source.input].shape
        assert len(index) == len(shape)
        assert all(0 <= i < n for i, n in zip(index, shape, strict=True)), (place, index, shape)
        actual[place] = arrays[source.input][index]
    np.testing.assert_array_equal(actual, expected)


def rule(name: str, old: tuple[int, ...], axes: tuple[int, ...], **attrs: Any) -> list[str]:
    lower = OPS[name].lower
    assert isinstance(lower, IndexMap)
    index = tuple(symbol(n, extent) for n, extent in zip("ijkl", axes, strict=False))
    (source,) = lower.rule(index, TensorType(old, from_numpy_dtype(np.float32)), **attrs)
    return [str(i) for i in source.index]


def test_reshape_stays_free_of_division_where_dims_only_merge() -> None:
    assert rule("reshape", (24,), (2, 3, 4), shape=(2, 3, 4)) == ["i*12 + j*4 + k"]
    assert rule("reshape", (2, 3, 4), (2, 1, 3, 4), shape=(2, 1, 3, 4)) == ["i", "k", "l"]


def test_reshape_divides_only_inside_the_block_that_changes() -> None:
    assert rule("reshape", (5, 2, 3), (5, 6), shape=(5, 6)) == ["i", "(j/3)", "(j%3)"]


def test_reshape_of_named_sizes_keeps_the_dims_that_stay() -> None:
    n = symbol("n")
    lower = OPS["reshape"].lower
    assert isinstance(lower, IndexMap)
    x = TensorType((n, 2, 3), from_numpy_dtype(np.float32))
    index = (symbol("i", n), symbol("j", 6))
    (source,) = lower.rule(index, x, shape=(n, 6))
    assert [str(i) for i in source.index] == ["i", "(j/3)", "(j%3)"]
    (merged,) = lower.rule((symbol("i", n * 6),), x, shape=(n * 6,))
    for value in range(18):
        assert [evaluate(i, {"i": value, "n": 3}) for i in merged.index] == [
            value // 6,
            value // 3 % 2,
            value % 3,
        ]


def test_only_padded_dims_are_checked() -> None:
    lower = OPS["pad"].lower
    assert isinstance(lower, IndexMap)
    x = TensorType((4, 5), from_numpy_dtype(np.float32))
    index = (symbol("i", 4), symbol("j", 7))
    (source,) = lower.rule(index, x, before=(0, 1), after=(0, 1), value=0)
    assert [str(c.index) for c in source.conditions] == ["j - 1"]
    assert bounds(source.conditions[0].index) == (-1, 5)


VIEWS = [op for op in OPS.values() if op.is_view]


@pytest.mark.parametrize("op", VIEWS, ids=lambda op: op.name)
def test_put_is_what_writing_into_the_view_does(op: Op) -> None:
    from graphc.ops.operands import Evaluated

    tried = 0
    for sample in op.samples() if op.samples else ():
        base = np.array(sample.arrays[0])
        view = op.evaluate(base, **sample.attrs)
        repeats = any(s == 0 and n > 1 for s, n in zip(view.strides, view.shape, strict=True))
        if repeats or base.dtype.kind not in "fi" or not np.may_share_memory(view, base):
            continue
        value = (np.arange(view.size) + 50).reshape(view.shape).astype(view.dtype)
        assert op.put is not None
        try:
            result = op.put(Evaluated(base.copy()), Evaluated(value), **sample.attrs)
        except RuntimeError as error:
            assert "single memory location" in str(error)
            continue
        view[...] = value
        np.testing.assert_array_equal(result.array, base)
        tried += 1
    assert tried
