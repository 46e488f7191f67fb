"""``graphc.testing``: whether results are close, a report of where not, and random operands."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.functions.creation import empty, from_numpy
from graphc.functions.factory import checked_device, checked_size, filled
from graphc.ops import OPS
from graphc.tensor import Array, Tensor, apply

# Relative and absolute tolerance; the other dtypes have to be equal.
_TOLERANCES = {
    dtypes.float16: (1e-3, 1e-5),
    dtypes.bfloat16: (1.6e-2, 1e-5),
    dtypes.float32: (1.3e-6, 1e-5),
    dtypes.float64: (1e-7, 1e-7),
}
_EXACT = (0.0, 0.0)


@dataclass(frozen=True)
class _Rules:
    """How two values are compared."""

    rtol: float | None
    atol: float | None
    equal_nan: bool
    check_device: bool
    check_dtype: bool
    check_layout: bool
    check_stride: bool
    path: tuple[Any, ...] = ()

    def tolerances(self, *kinds: DType) -> tuple[float, float]:
        if self.rtol is not None and self.atol is not None:
            return self.rtol, self.atol
        found = [_TOLERANCES.get(kind, _EXACT) for kind in kinds]
        return max(rtol for rtol, _ in found), max(atol for _, atol in found)


class _Mismatch(Exception):  # noqa: N818 - becomes an AssertionError
    def __init__(self, text: str, path: tuple[Any, ...]) -> None:
        place = "".join(f"[{item!r}]" for item in path)
        super().__init__(text + (f"\n\nThe failure occurred for item {place}" if path else ""))


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raises AssertionError unless ``|actual - expected| <= atol + rtol * |expected|`` everywhere.

    Compares tensors, arrays, numbers, None, and sequences and mappings of them. The tolerances
    depend on the dtype unless both are given. ``msg`` replaces the report, or makes another one of
    it. Raises ValueError when one tolerance is given, TypeError for values of other types.
    """
    if (rtol is None) is not (atol is None):
        missing = "rtol" if rtol is None else "atol"
        raise ValueError(
            "Both 'rtol' and 'atol' must be either specified or omitted, but got no "
            + missing
            + "."
        )
    rules = _Rules(rtol, atol, equal_nan, check_device, check_dtype, check_layout, check_stride)
    if not allow_subclasses and type(actual) is not type(expected):
        raise TypeError(_no_pair(actual, expected))
    try:
        _compare(actual, expected, rules)
    except _Mismatch as found:
        text = str(found)
        raise AssertionError(text if msg is None else msg(text) if callable(msg) else msg) from None


def _no_pair(actual: Any, expected: Any) -> str:
    return (
        f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}."
    )


_NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating)


def _compare(actual: Any, expected: Any, rules: _Rules) -> None:
    given = (actual, expected)
    if all(isinstance(x, Tensor) for x in given) or all(isinstance(x, np.ndarray) for x in given):
        a, b = (x if isinstance(x, Tensor) else from_numpy(x) for x in given)
        _tensors(a, b, rules)
    elif any(x is None for x in given):
        if actual is not expected:
            raise _Mismatch(f"None mismatch: {actual} is not {expected}", rules.path)
    elif all(isinstance(x, (bool, np.bool_)) for x in given):
        if bool(actual) is not bool(expected):
            raise _Mismatch(f"Booleans mismatch: {actual} is not {expected}", rules.path)
    elif all(isinstance(x, _NUMBERS) for x in given):
        if rules.check_dtype and type(actual) is not type(expected):
            raise _Mismatch(
                f"The (d)types do not match: {type(actual)} != {type(expected)}.", rules.path
            )
        _scalars(actual, expected, rules, dtypes.float64)
    elif all(isinstance(x, Mapping) for x in given):
        _mappings(actual, expected, rules)
    elif all(isinstance(x, Sequence) and not isinstance(x, (str, bytes)) for x in given):
        if len(actual) != len(expected):
            raise _Mismatch(
                f"The length of the sequences mismatch: {len(actual)} != {len(expected)}",
                rules.path,
            )
        for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
            _compare(a, b, replace(rules, path=(*rules.path, i)))
    else:
        raise TypeError(_no_pair(actual, expected))


def _mappings(actual: Mapping[Any, Any], expected: Mapping[Any, Any], rules: _Rules) -> None:
    if set(actual) != set(expected):
        raise _Mismatch(
            "The keys of the mappings do not match:\n"
            f"Missing keys in the actual mapping: {sorted(set(expected) - set(actual), key=repr)}\n"
            "Additional keys in the actual mapping: "
            f"{sorted(set(actual) - set(expected), key=repr)}",
            rules.path,
        )
    for key in actual:
        _compare(actual[key], expected[key], replace(rules, path=(*rules.path, key)))


def _tensors(actual: Tensor, expected: Tensor, rules: _Rules) -> None:
    compared: list[tuple[str, Any, Any]] = [("shape", actual.shape, expected.shape)]
    if rules.check_device:
        compared.append(("device", actual.device, expected.device))
    if rules.check_dtype:
        compared.append(("dtype", actual.dtype, expected.dtype))
    if rules.check_stride:
        compared.append(("stride()", actual.stride(), expected.stride()))
    for name, a, b in compared:
        if a != b:
            raise _Mismatch(
                f"The values for attribute '{name}' do not match: {a} != {b}.", rules.path
            )
    if not actual.ndim:
        a, b = (t._array().item() for t in (actual, expected))
        _scalars(a, b, rules, actual.dtype, expected.dtype)
    else:
        _elements(actual, expected, rules)


def _scalars(actual: Any, expected: Any, rules: _Rules, *kinds: DType) -> None:
    exact = all(isinstance(x, (int, np.integer)) for x in (actual, expected))
    rtol, atol = rules.tolerances(*((dtypes.int64,) if exact else kinds))
    if actual == expected or (rules.equal_nan and actual != actual and expected != expected):
        return
    difference = abs(actual - expected)
    if np.isfinite(difference) and difference <= atol + rtol * abs(expected):
        return
    relative = difference / abs(expected) if expected else float("inf")
    raise _Mismatch(
        f"Scalars are not {'close' if rtol or atol else 'equal'}!\n\n"
        f"Expected {expected} but got {actual}.\n"
        f"Absolute difference: {difference}{_allowed(atol)}\n"
        f"Relative difference: {relative}{_allowed(rtol)}",
        rules.path,
    )


def _allowed(tolerance: float) -> str:
    return f" (up to {tolerance} allowed)" if tolerance else ""


def _wide(tensor: Tensor) -> Array:
    """Elements in which differences neither wrap around nor lose their digits."""
    array = tensor._array()
    if tensor.dtype.is_floating_point:
        return array.astype(np.float64)
    return array.astype(object) if tensor.dtype is dtypes.int64 else array.astype(np.int64)


def _elements(actual: Tensor, expected: Tensor, rules: _Rules) -> None:
    rtol, atol = rules.tolerances(actual.dtype, expected.dtype)
    a, b = _wide(actual), _wide(expected)
    with np.errstate(all="ignore"):
        difference = np.abs(a - b)
        within = (difference <= atol + rtol * np.abs(b)) & (np.abs(b) != np.inf)
        close = np.asarray((a == b) | within, np.bool_)
        if rules.equal_nan:
            close |= np.asarray((a != a) & (b != b), np.bool_)
        if close.all():
            return
        missed = ~close
        size = np.abs(b).astype(np.float64)
        relative = np.where(size == 0, np.inf, difference.astype(np.float64) / size)
    count, total = int(missed.sum()), close.size
    kind = "close" if rtol or atol else "equal"
    raise _Mismatch(
        f"Tensor-likes are not {kind}!\n\n"
        f"Mismatched elements: {count} / {total} ({count / total:.1%})\n"
        f"Greatest absolute difference: {_worst(difference, missed)}{_allowed(atol)}\n"
        f"Greatest relative difference: {_worst(relative, missed)}{_allowed(rtol)}",
        rules.path,
    )


def _worst(values: Array, missed: Array) -> str:
    """The largest value among the mismatches (NaN is larger than any), and its place."""
    ranked = np.where(missed, values.astype(np.float64), -1.0)
    flat = int(np.argmax(np.where(np.isnan(ranked), np.inf, ranked)))
    if np.isnan(ranked).any():
        flat = int(np.argmax(np.isnan(ranked)))
    place = tuple(int(i) for i in np.unravel_index(flat, ranked.shape))
    return f"{values[place]} at index {place}"


# ---------------------------------------------------------------------------------- random operands


def _range(low: Any, high: Any, dtype: DType) -> tuple[float, float]:
    """The bounds of :func:`make_tensor`, within what the dtype holds. Raises ValueError."""
    lowest, highest, first, last = -9.0, 9.0, -np.inf, np.inf
    if dtype is dtypes.bool_:
        lowest, highest, first, last = 0, 2, 0, 2
    elif dtype.is_floating_point:
        first, last = dtypes.finfo(dtype).min, dtypes.finfo(dtype).max
    else:
        limits = dtypes.iinfo(dtype)
        lowest, highest = max(limits.min, -9), 10
        first, last = limits.min, limits.max + 1
    low = lowest if low is None else low
    high = highest if high is None else high
    if low != low or high != high:
        raise ValueError("`low` and `high` cannot be NaN")
    if low > high or (low == high and dtype.is_floating_point is False and low >= last):
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    low, high = min(max(low, first), last), min(max(high, first), last)
    if dtype.is_floating_point:
        return low, high
    return int(np.ceil(low)), int(np.ceil(high))


def make_tensor(
    *shape: Any,
    dtype: DType,
    device: Any = None,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Random numbers in ``[low, high)``: floats in [-9, 9), integers in [-9, 9] unless given.

    ``noncontiguous`` leaves gaps between the elements, ``exclude_zero`` replaces zeros by the
    smallest numbers above. Raises ValueError for bounds that hold nothing, and for gradients of
    integers.
    """
    checked_device(device)
    if requires_grad and not dtype.is_floating_point:
        raise ValueError(
            "`requires_grad=True` is not supported for boolean and integral dtypes, but got "
            f"dtype={dtype!r}"
        )
    if noncontiguous and memory_format is not None:
        raise ValueError(
            "The parameters `noncontiguous` and `memory_format` are mutually exclusive"
        )
    size = checked_size("make_tensor", shape, required=False)
    first, last = _range(low, high, dtype)
    gaps = noncontiguous and int(np.prod(size)) > 1
    drawn = _drawn((*size[:-1], 2 * size[-1]) if gaps else size, first, last, dtype)
    if exclude_zero:
        least = dtypes.finfo(dtype).tiny if dtype.is_floating_point else 1
        drawn = apply(OPS["where"], (OPS["eq"](drawn, 0), filled((), least, dtype), drawn), {})
    if gaps:
        drawn = drawn[..., ::2]
    elif memory_format is not None:
        drawn = drawn.contiguous(memory_format=memory_format)
    return drawn.requires_grad_() if requires_grad else drawn


def _drawn(shape: tuple[int, ...], low: Any, high: Any, dtype: DType) -> Tensor:
    if low == high:
        return filled(shape, low, dtype)
    made = empty(shape, dtype=dtype)
    if dtype.is_floating_point:
        made.uniform_(low, high)
        kind = dtype.numpy.type
        below = float(np.nextafter(kind(high), kind(low)))  # rounding may have reached the bound
        return made.clamp(low, below)  # type: ignore[no-any-return]
    return made.random_(int(low), int(high))  # type: ignore[no-any-return]


__all__ = ["assert_close", "make_tensor"]
