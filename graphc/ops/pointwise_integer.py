"""Bits, shifts and divisors of integers (and bits of booleans)."""

import math
from collections.abc import Callable

import numpy as np

from graphc.ir import Scalar
from graphc.ops.rules import Array, Kind, binary, unary

BITWISE_AND = binary("bitwise_and", "({0} & {1})", np.bitwise_and, kind=Kind.INTEGRAL)
BITWISE_OR = binary("bitwise_or", "({0} | {1})", np.bitwise_or, kind=Kind.INTEGRAL)
BITWISE_XOR = binary("bitwise_xor", "({0} ^ {1})", np.bitwise_xor, kind=Kind.INTEGRAL)
BITWISE_NOT = unary(
    "bitwise_not",
    Scalar("(({c})~{0})", boolean="(!{0})"),
    np.invert,
    kind=Kind.INTEGRAL,
)


def _width(x: Array) -> int:
    return int(x.dtype.itemsize) * 8


def _shifts(by: Array, width: int) -> tuple[Array, Array]:
    """Which shifts stay inside the width, and the amounts with the others made harmless."""
    inside = (by >= 0) & (by < width)
    return inside, np.where(inside, by, 0).astype(by.dtype)


def _left(x: Array, by: Array) -> Array:
    inside, amount = _shifts(by, _width(x))
    return np.where(inside, np.left_shift(x, amount), np.zeros_like(x))


def _right(x: Array, by: Array) -> Array:
    """Shifts outside the width leave the sign."""
    inside, amount = _shifts(by, _width(x))
    sign = np.where(x < 0, -1, 0).astype(x.dtype) if x.dtype.kind == "i" else np.zeros_like(x)
    return np.where(inside, np.right_shift(x, amount), sign)


BITWISE_LEFT_SHIFT = binary(
    "bitwise_left_shift",
    Scalar("gc_lshift_{t}({0}, {1})", cost=3),
    _left,
    kind=Kind.INTEGER,
)
BITWISE_RIGHT_SHIFT = binary(
    "bitwise_right_shift",
    Scalar("gc_rshift_{t}({0}, {1})", cost=3),
    _right,
    kind=Kind.INTEGER,
)


def _exact(function: Callable[[int, int], int]) -> Callable[[Array, Array], Array]:
    """A reference in Python's integers, wrapped to the dtype at the end."""

    def reference(a: Array, b: Array) -> Array:
        pairs = np.broadcast(a, b)
        values = [function(int(x), int(y)) for x, y in pairs]
        wrapped = [(v + 2**63) % 2**64 - 2**63 for v in values]
        return np.array(wrapped, np.int64).astype(a.dtype).reshape(pairs.shape)

    return reference


GCD = binary(
    "gcd",
    Scalar("gc_gcd_{t}({0}, {1})", cost=60),
    np.gcd,
    kind=Kind.INTEGER,
    reference=_exact(math.gcd),
)


def _lcm(a: Array, b: Array) -> Array:
    """``|a / gcd * b|`` computed in int at least and then narrowed, as in C; 0 where one is 0."""
    wide = np.result_type(a.dtype, np.int32) if a.dtype.itemsize < 4 else a.dtype
    divisor = np.gcd(a, b)
    whole = np.floor_divide(a, np.where(divisor == 0, np.ones_like(divisor), divisor))
    return np.asarray(np.abs(whole.astype(wide) * b), a.dtype)


def _lcm_reference(a: Array, b: Array) -> Array:
    wide = np.int64 if a.dtype.itemsize < 4 else a.dtype
    product = _exact(lambda x, y: x // (math.gcd(x, y) or 1) * y)(a.astype(wide), b.astype(wide))
    return np.asarray(np.abs(product), a.dtype)


LCM = binary(
    "lcm",
    Scalar("gc_lcm_{t}({0}, {1})", cost=70),
    _lcm,
    kind=Kind.INTEGER,
    reference=_lcm_reference,
)
