"""Index arithmetic, conditions and literals as C."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.codegen import C
from graphc.codegen.expressions import Expressions, literal
from graphc.dtypes import bfloat16, bool_, float32, float64, int32, int64, uint8
from graphc.kernel import Call, Const, Divisible, InRange, Load, Masked, Position, Ref
from graphc.sizes import evaluate, floordiv, mod, symbol

i, j, k = symbol("i", 28), symbol("j", 28), symbol("k", 5)
n, t = symbol("n"), symbol("t")
RENDER = Expressions(C, {"x": float32, "h": bfloat16})


@pytest.mark.parametrize(
    "value, text",
    [
        (5, "5"),
        (-5, "-5"),
        (i * 12 + j, "i*12 + j"),
        (j + 784 * n + i * 28, "n*784 + i*28 + j"),
        (7 - i, "7 - i"),
        (-i, "-i"),
        (-i - 3, "-i - 3"),
        (j * 2 - i * 3 + 1, "j*2 - i*3 + 1"),
        (floordiv(i + 3 * j, 5), "(j*3 + i) / 5"),
        (floordiv(i - symbol("free"), 3), "gc_floordiv_i64(i - free, 3)"),
        (mod(i + 3 * j, 7) * 4, "((j*3 + i) % 7)*4"),
        (n * n * 3 + i, "n*n*3 + i"),
        (t + 1, "t_ + 1"),
    ],
)
def test_integers(value, text):
    assert RENDER.integer(value) == text


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_integers_mean_what_they_say(data):
    """Python's // and % agree with C's on the rendered text, as long as nothing is negative."""
    values = {"i": data.draw(st.integers(0, 27)), "n": data.draw(st.integers(1, 9))}

    def expression(depth):
        leaf = st.sampled_from([i, n, 3, 1])
        if depth == 0:
            return data.draw(leaf)
        a, b = expression(depth - 1), expression(depth - 1)
        operation = data.draw(st.sampled_from(["+", "*", "/", "%"]))
        if operation == "+":
            return a + b
        if operation == "*":
            return a * b
        divisor = data.draw(st.integers(1, 7))
        return floordiv(a, divisor) if operation == "/" else mod(a, divisor)

    value = expression(2)
    text = RENDER.integer(value).replace("/", "//")
    assert eval(text, {}, dict(values)) == evaluate(value, values)


@pytest.mark.parametrize(
    "conditions, text",
    [
        ((InRange(i, 28),), "true"),
        ((InRange(i, 20),), "i < 20"),
        ((InRange(i + k - 2, 28),), "i + k >= 2 && i + k < 30"),
        ((InRange(i - 2, n),), "i >= 2 && i < n + 2"),
        ((InRange(7 - i, 8),), "7 - i >= 0"),
        ((InRange(i, 28), Divisible(i + k, 2)), "(i + k) % 2 == 0"),
    ],
)
def test_conditions(conditions, text):
    assert RENDER.conditions(conditions) == text


def call(text, *args):
    return Call(text, args, float32)


@pytest.mark.parametrize(
    "expr, text",
    [
        (Ref("h1", float32), "h1"),
        (Ref("double", float32), "double_"),
        (Ref("double_", float32), "double__"),
        (Ref("gc_x", float32), "gc_x_"),
        (call("{0} + {1}", Ref("a", float32), Ref("b", float32)), "a + b"),
        (call("-{0}", Const(-1.5, float32)), "-(-1.5f)"),
        (call("({0} * {1})", call("{0} + 1", Ref("a", float32)), Ref("b", float32)), "(a + 1) * b"),
        (
            call("gc_exp_f32({0})", call("({0} - {1})", Ref("a", float32), Ref("m", float32))),
            "gc_exp_f32(a - m)",
        ),
        (Load("h", i, float32), "gc_bf16_to_f32(h[i])"),
        (
            Load("x", i - 2, float32, (InRange(i - 2, 28),), -math.inf),
            "i >= 2 ? x[i - 2] : (-GC_INFINITY)",
        ),
        (Load("x", i, float32, (InRange(i, 28),)), "x[i]"),
        (
            call(
                "({0} + {1})", Load("x", i - 2, float32, (InRange(i - 2, 28),)), Ref("a", float32)
            ),
            "(i >= 2 ? x[i - 2] : 0.0f) + a",
        ),
        (
            Masked((InRange(i, 9),), call("({0} * {0})", Ref("a", float32)), Const(0, float32)),
            "i < 9 ? a * a : 0.0f",
        ),
        (Position(i + 1, float32), "(float)(i + 1)"),
        (Position(i + 1, int64), "i + 1"),
    ],
)
def test_expressions(expr, text):
    assert RENDER.value(expr) == text


LITERALS = [
    (1.0, float32, "1.0f"),
    (0.1, float32, "0.1f"),
    (-0.0, float32, "(-0.0f)"),
    (1e30, float32, "1e+30f"),
    (3.4028234663852886e38, float32, "3.4028235e+38f"),
    (1e39, float32, "GC_INFINITY"),
    (-math.inf, float64, "(-GC_INFINITY)"),
    (math.nan, float32, "GC_NAN"),
    (0.1, float64, "0.1"),
    (1e300, float64, "1e+300"),
    (3, float32, "3.0f"),
    (True, bool_, "true"),
    (200, uint8, "200"),
    (-5, int32, "(-5)"),
    (-(2**31), int32, "(-2147483647 - 1)"),
    (2**40, int64, "1099511627776LL"),
    (-(2**63), int64, "(-9223372036854775807LL - 1)"),
]


@pytest.mark.parametrize("value, kind, text", LITERALS)
def test_literals(value, kind, text):
    assert literal(value, kind) == text


@given(st.floats(width=32, allow_nan=False))
def test_float32_literals_read_back(value):
    text = literal(value, float32)
    if math.isinf(value):
        assert "INFINITY" in text
    else:
        back = np.float32(text.strip("()").removesuffix("f"))
        assert back == np.float32(value) and np.signbit(back) == np.signbit(value)
