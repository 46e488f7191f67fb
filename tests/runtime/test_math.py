"""The scalar functions of generated code: accuracy, special values, vectorisation, both targets.

FUNCTIONS lists every function of gc_math.h by name and dtype; a test compares the list with the
header, so that one added there is tested by being listed.
"""

import math
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from graphc.resources import resources

special = pytest.importorskip("scipy.special")

Array = NDArray[Any]
CTYPES = {"f32": "float", "f64": "double", "i8": "int8_t", "i16": "int16_t", "i32": "int32_t"}
CTYPES |= {"i64": "int64_t", "u8": "uint8_t", "b1": "_Bool", "f16": "gc_f16", "bf16": "gc_bf16"}
NUMPY: dict[str, Any] = {
    "f32": np.float32,
    "f64": np.float64,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
}
NUMPY |= {"i64": np.int64, "u8": np.uint8, "b1": np.bool_, "f16": np.float16, "bf16": np.uint16}
FLOATS = ("f32", "f64")
INTEGERS = ("i8", "i16", "i32", "i64", "u8")


@dataclass(frozen=True)
class Function:
    """`ulps` bounds the error against the float64 reference, for f32 and for f64.

    `span` is where most samples are taken; others are drawn from all bit patterns. `vector` says
    that the float32 loop must vectorise.
    """

    name: str
    reference: Callable[..., Any]
    span: tuple[float, float] = (-20.0, 20.0)
    ulps: tuple[float, float] = (1.0, 4.0)
    arity: int = 1
    vector: bool = True


def _c_remainder(a: Array, b: Array) -> Array:
    rest = np.fmod(a, b)
    return np.where((rest != 0) & ((b < 0) != (rest < 0)), rest + b, rest)


def _digamma(x: Array) -> Array:
    poles = (x < 0) & (np.trunc(x) == x)
    return np.where(poles, np.nan, special.digamma(x))


def _lgamma(x: Array) -> Array:
    return np.where(np.isneginf(x), np.inf, special.gammaln(x))


def _erfinv(x: Array) -> Array:
    return np.asarray(np.copysign(special.erfinv(x), x))


def _erfcx(x: Array) -> Array:
    """SciPy's; below 0, where it rounds the square, by the reflection in long double."""
    wide = np.minimum(x, 0).astype(np.longdouble)
    with np.errstate(all="ignore"):
        reflected = 2 * np.exp(wide * wide) - special.erfcx(-np.minimum(x, 0))
        return np.where(x < 0, np.asarray(reflected, np.float64), special.erfcx(x))


def _log_ndtr(x: Array) -> Array:
    """SciPy's; right of 1, where it rounds the square, by the tail in long double."""
    wide = np.maximum(x, 1).astype(np.longdouble)
    with np.errstate(all="ignore"):
        tail = special.erfcx(np.maximum(x, 1) / np.sqrt(2)) / 2 * np.exp(-wide * wide / 2)
        return np.where(x > 1, np.asarray(np.log1p(-tail), np.float64), special.log_ndtr(x))


def _odd(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """SciPy's function with the sign of a zero kept."""
    return lambda x: np.where(x == 0, x, function(x))


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


def _nan_as_zero_sign(x: Array) -> Array:
    return np.where(np.isnan(x), 0.0, np.sign(x)) + 0.0


FUNCTIONS = (
    Function("exp", np.exp, (-105, 90), (1.1, 4)),
    Function("exp2", np.exp2, (-151, 129), (1.3, 4)),
    Function("expm1", np.expm1, (-20, 90), (1.8, 4)),
    Function("log", np.log, (0, 4)),
    Function("log2", np.log2, (0, 4), (2, 4)),
    Function("log10", np.log10, (0, 4), (2, 4)),
    Function("log1p", np.log1p, (-1, 4), (1.5, 4)),
    Function("sin", np.sin, (-1e5, 1e5), (1.7, 4)),
    Function("cos", np.cos, (-1e5, 1e5), (1.7, 4)),
    Function("tan", np.tan, (-1e5, 1e5), (3.8, 4)),
    Function("asin", np.arcsin, (-1, 1), (2.5, 4)),
    Function("acos", np.arccos, (-1, 1), (2.5, 4)),
    Function("atan", np.arctan, (-8, 8), (2, 4)),
    Function("sinh", np.sinh, (-91, 91), (2.5, 4)),
    Function("cosh", np.cosh, (-91, 91), (2.5, 4)),
    Function("tanh", np.tanh, (-10, 10), (2.5, 4)),
    Function("asinh", np.arcsinh, (-8, 8), (3, 4)),
    Function("acosh", np.arccosh, (1, 8), (3, 4)),
    Function("atanh", np.arctanh, (-1, 1), (3, 4)),
    Function("erf", special.erf, (-5, 5), (2, 4)),
    # SciPy's own error in float64 is up to 64 ulp; see the test against high precision.
    Function("erfc", special.erfc, (-5, 11), (0.6, 200)),
    Function("erfinv", _erfinv, (-1, 1), (0.6, 40)),
    Function("lgamma", _lgamma, (0.5, 30), (2, 40)),
    Function("digamma", _digamma, (2, 30), (2, 100)),
    Function("i0", special.i0, (-30, 30), (0.6, 20), vector=False),
    Function("i0e", special.i0e, (-30, 30), (0.6, 20), vector=False),
    Function("i1", _odd(special.i1), (-30, 30), (0.6, 20), vector=False),
    Function("i1e", _odd(special.i1e), (-30, 30), (0.6, 20), vector=False),
    Function("k0", special.k0, (0, 30), (0.6, 20), vector=False),
    Function("k0e", special.k0e, (0, 30), (0.6, 20), vector=False),
    Function("k1", special.k1, (0, 30), (0.6, 20), vector=False),
    Function("k1e", special.k1e, (0, 30), (0.6, 20), vector=False),
    Function("erfcx", _erfcx, (-5, 40), (0.6, 20), vector=False),
    Function("log_ndtr", _log_ndtr, (-40, 8), (0.6, 20), vector=False),
    Function("ndtri", special.ndtri, (0, 1), (0.6, 20), vector=False),
    Function("sigmoid", _sigmoid, (-105, 30), (2.5, 4)),
    Function("sqrt", np.sqrt, (0, 100), (0.501, 0.501)),
    Function("rsqrt", lambda x: 1.0 / np.sqrt(x), (0, 100), (1.5, 1.6)),
    Function("reciprocal", lambda x: 1.0 / x, (-9, 9), (0.501, 0.501)),
    Function("abs", np.abs, ulps=(0, 0)),
    Function("neg", np.negative, ulps=(0, 0)),
    Function("floor", np.floor, ulps=(0, 0)),
    Function("ceil", np.ceil, ulps=(0, 0)),
    Function("trunc", np.trunc, ulps=(0, 0)),
    Function("round", np.rint, ulps=(0, 0)),
    Function("frac", lambda x: x - np.trunc(x), ulps=(0, 0)),
    Function("sign", _nan_as_zero_sign, ulps=(0, 0)),
    Function("isnan", np.isnan, ulps=(0, 0)),
    Function("isinf", np.isinf, ulps=(0, 0)),
    Function("isfinite", np.isfinite, ulps=(0, 0)),
    Function("add", np.add, ulps=(0.501, 0.501), arity=2),
    Function("sub", np.subtract, ulps=(0.501, 0.501), arity=2),
    Function("mul", np.multiply, ulps=(0.501, 0.501), arity=2),
    Function("pow", np.power, (0, 30), (0.7, 4), arity=2),
    Function("atan2", np.arctan2, (-9, 9), (3, 4), arity=2),
    Function("hypot", np.hypot, (-9, 9), (0.6, 4), arity=2),
    Function("copysign", np.copysign, ulps=(0, 0), arity=2),
    Function("max", np.maximum, ulps=(0, 0), arity=2),
    Function("min", np.minimum, ulps=(0, 0), arity=2),
    Function("fmax", np.fmax, ulps=(0, 0), arity=2),
    Function("fmin", np.fmin, ulps=(0, 0), arity=2),
    Function("fmod", np.fmod, ulps=(0, 0), arity=2, vector=False),
    Function("remainder", _c_remainder, ulps=(0.501, 0), arity=2, vector=False),
    Function("truncdiv", lambda a, b: np.trunc(a / b), ulps=(0, 0), arity=2),
    Function("floordiv", np.floor_divide, ulps=(0, 0), arity=2, vector=False),
)
# Computed by NumPy in the type itself: these are defined by their float32 rounding.
SAME_TYPE = {"truncdiv", "floordiv", "frac", "add", "sub", "mul"}
PREDICATES = {"isnan", "isinf", "isfinite"}

INTEGER_FUNCTIONS = {
    "add": 2, "sub": 2, "mul": 2, "neg": 1, "abs": 1, "sign": 1, "max": 2, "min": 2, "fmax": 2,
    "fmin": 2, "pow": 2, "lshift": 2, "rshift": 2, "truncdiv": 2, "fmod": 2, "remainder": 2,
    "floordiv": 2, "gcd": 2, "lcm": 2,
}  # fmt: skip
# In float64 these call the C library, or are too large for loops.
OF_THE_LIBRARY = {"asin", "acos", "atan", "atan2", "hypot", "lgamma", "digamma", "erfinv"}
WITH_AVX512 = {"sin", "cos", "tan"}  # in float64; elsewhere these call the library too
# Building blocks of the functions above, which generated code does not call.
INTERNAL = {"power", "bits", "exponential", "sin_quarters", "two_to_the", "scale", "expm1_near"}
INTERNAL |= {"exp_parts", "log_parts", "log_of_parts", "log_edges", "expm1_inside", "half_exp"}
INTERNAL |= {"erf_near", "erfc_far", "upper", "product_rest", "quarter_turns", "sin_reduced"}
INTERNAL |= {"cos_reduced", "sin_of_quarters"}
# Of other arities or argument types than the tables know; their rows test them as generated C.
INTERNAL |= {"where", "nextafter", "polygamma", "exponent", "mantissa", "bits_of"}
# Compared by their absolute error, or away from where SciPy is the less accurate: below.
OSCILLATING = ("j0", "j1", "y0", "y1")
PAIRED = ("zeta", "gammainc", "gammaincc")
INTERNAL |= {*OSCILLATING, *PAIRED}
# PyTorch has NaN at the smallest float32, where these are infinite.
BEYOND = {"k1", "k1e"}

EDGES = np.array(
    [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 1e-45, 1.17549435e-38, 3.4028235e38, 1e-10, np.inf, 88.8]
)
EDGES = np.concatenate([EDGES, -EDGES, [np.nan]])


def loop(name: str, result: str, argument: str, arity: int, call: str) -> tuple[str, str]:
    """Definition (on one line) and declaration of a loop that applies `call` to arrays."""
    parameters = ["const void *restrict p0", "const void *restrict p1"][:arity]
    head = f"void {name}({', '.join(parameters)}, void *restrict out, long count)"
    loads = " ".join(f"const {argument} *restrict x{i} = p{i}; " for i in range(arity))
    values = ", ".join(f"x{i}[i]" for i in range(arity))
    text = f'{head} {{ {loads}{result} *restrict y = out; _Pragma("omp simd") '
    text += f"for (long i = 0; i < count; ++i) y[i] = {call}({values}); }}\n"
    return text, head.replace("restrict ", "") + ";\n"


@dataclass
class Loops:
    ffi: Any
    library: Any
    printed: str
    lines: dict[str, int]

    def __call__(self, name: str, result: str, *arguments: Array) -> Array:
        """Applies loop `name`; arguments are contiguous arrays of one dtype and length."""
        out = np.empty(arguments[0].shape, NUMPY[result])
        pointers = [self.ffi.cast("void *", a.ctypes.data) for a in (*arguments, out)]
        getattr(self.library, name)(*pointers, out.size)
        return out


def build_loops(build: Any, rows: list[tuple[str, str, str, int]], *flags: str) -> Loops:
    source, declarations, lines = '#include "gc_math.h"\n', "", {}
    for name, result, argument, arity in rows:
        lines[name] = source.count("\n") + 1
        definition, declaration = loop(name, CTYPES[result], CTYPES[argument], arity, f"gc_{name}")
        source, declarations = source + definition, declarations + declaration
    ffi, library, printed = build(source, declarations, *flags)
    return Loops(ffi, library, printed, lines)


@pytest.fixture(scope="session")
def floats(build: Any, compiler: list[str]) -> Loops:
    version = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=True)
    clang = "clang" in version.stdout
    report = "-Rpass=loop-vectorize" if clang else "-fopt-info-vec-optimized"
    rows = [
        (f"{f.name}_{t}", "b1" if f.name in PREDICATES else t, t, f.arity)
        for f in FUNCTIONS
        for t in FLOATS
    ]
    return build_loops(build, rows, report)


@pytest.fixture(scope="session")
def integers(build: Any) -> Loops:
    rows = [(f"{f}_{t}", t, t, n) for f, n in INTEGER_FUNCTIONS.items() for t in INTEGERS]
    return build_loops(build, rows)


# ------------------------------------------------------------------------------------- accuracy


def samples(span: tuple[float, float], kind: str, count: int, seed: int) -> Array:
    """Half all bit patterns, half uniform in the span, and the edges."""
    random = np.random.default_rng(seed)
    bits = np.uint32 if kind == "f32" else np.uint64
    patterns = random.integers(0, np.iinfo(bits).max, count // 2, bits, endpoint=True)
    spread = random.uniform(*span, count // 2).astype(NUMPY[kind])
    edges = EDGES.astype(NUMPY[kind])
    return np.concatenate([patterns.view(NUMPY[kind]), spread, edges])


def ulps(got: Array, exact: Array, kind: str) -> Array:
    """Distance in units in the last place of the exact value; 0 where both are NaN.

    Infinity stands for the first power of two that overflows.
    """
    info = np.finfo(NUMPY[kind])
    top = np.ldexp(1.0, info.maxexp) if kind == "f32" else np.inf
    with np.errstate(all="ignore"):  # conversions of signalling NaNs warn
        value = np.clip(got.astype(np.float64), -top, top)
        exact = np.clip(exact.astype(np.float64), -top, top)
        unit = np.spacing(np.abs(exact.astype(NUMPY[kind]))).astype(np.float64)
        unit = np.where(np.isfinite(unit), unit, float(np.spacing(info.max)))
        distance = np.abs(value - exact) / unit
    same = (value == exact) | (np.isnan(value) & np.isnan(exact))
    distance = np.where(same, 0.0, distance)
    return np.where(np.isnan(distance), np.inf, distance)


def expected(function: Function, kind: str, arguments: list[Array]) -> Array:
    wide = kind if function.name in SAME_TYPE else "f64"
    with np.errstate(all="ignore"):
        result = function.reference(*(a.astype(NUMPY[wide]) for a in arguments))
    return np.asarray(result)


def worst(function: Function, kind: str, got: Array, arguments: list[Array]) -> tuple[float, str]:
    distance = ulps(got, expected(function, kind, arguments), kind)
    at = int(np.argmax(distance))
    where = ", ".join(repr(a[at]) for a in arguments)
    return float(distance[at]), f"gc_{function.name}_{kind}({where}) = {got[at]!r}"


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.name)
def test_float32_is_within_its_ulps_over_the_whole_range(function: Function, floats: Loops) -> None:
    arguments = [samples(function.span, "f32", 400_000, seed) for seed in range(function.arity)]
    result = "b1" if function.name in PREDICATES else "f32"
    got = floats(f"{function.name}_f32", result, *arguments)
    distance, text = worst(function, "f32", got, arguments)
    assert distance <= function.ulps[0], f"{distance:.3g} ulp: {text}"


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.name)
def test_float64_agrees_with_the_library(function: Function, floats: Loops) -> None:
    count = 20_000
    arguments = [samples(function.span, "f64", count, seed) for seed in range(function.arity)]
    if function.name in {"lgamma", "digamma"}:  # ill-conditioned at the zeros below 0
        arguments = [a[(a > 3) | ~np.isfinite(a)] for a in arguments]
    result = "b1" if function.name in PREDICATES else "f64"
    got = floats(f"{function.name}_f64", result, *arguments)
    distance, text = worst(function, "f64", got, arguments)
    assert distance <= function.ulps[1], f"{distance:.3g} ulp: {text}"


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.name)
def test_edges_and_signs_of_zero(function: Function, kind: str, floats: Loops) -> None:
    edges = EDGES.astype(NUMPY[kind])
    arguments = [edges]
    if function.arity == 2:
        arguments = [np.repeat(edges, edges.size), np.tile(edges, edges.size)]
    result = "b1" if function.name in PREDICATES else kind
    got = floats(f"{function.name}_{kind}", result, *arguments)
    distance, text = worst(function, kind, got, arguments)
    assert distance <= function.ulps[FLOATS.index(kind)], f"{distance:.3g} ulp: {text}"
    if function.name in PREDICATES | {"max", "min", "fmax", "fmin"}:
        return  # NumPy leaves open which of two equal zeros it returns
    with np.errstate(all="ignore"):
        exact = expected(function, kind, arguments).astype(NUMPY[kind])
    zeros = (exact == 0) & (got == 0)
    if function.name == "floordiv":
        zeros &= arguments[0] != 0  # -0 // 1 is -0 in PyTorch
    wrong = zeros & (np.signbit(exact) != np.signbit(got))
    assert not wrong.any(), f"sign of zero at {[a[wrong] for a in arguments]}"


def test_equal_zeros_give_the_first(floats: Loops) -> None:
    a, b = np.array([0.0, -0.0], np.float32), np.array([-0.0, 0.0], np.float32)
    for name in ("max_f32", "min_f32", "fmax_f32", "fmin_f32"):
        assert np.signbit(floats(name, "f32", a, b)).tolist() == [False, True], name


def test_pow_over_signs_and_whole_exponents(floats: Loops) -> None:
    random = np.random.default_rng(5)
    base = random.uniform(-40, 40, 100_000).astype(np.float32)
    exponent = random.integers(-24, 24, base.size).astype(np.float32)
    distance, text = worst(
        next(f for f in FUNCTIONS if f.name == "pow"),
        "f32",
        floats("pow_f32", "f32", base, exponent),
        [base, exponent],
    )
    assert distance <= 0.7, text


def test_special_functions_against_high_precision(floats: Loops) -> None:
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 40
    cases = {
        "sin": ([1e22, 6.0e37, 3.0e30, 1e16, 11.0], mpmath.sin),
        "cos": ([1e22, 6.0e37, 3.0e30, 1e16, 11.0], mpmath.cos),
        "digamma": ([0.1, 1.0, 3.5, -0.5, -3.25, 100.0, 1e-3], mpmath.digamma),
        "erfinv": ([1e-6, 0.1, 0.4, 0.9, 0.999, 0.99999], mpmath.erfinv),
        "erfc": ([-1.0, 0.5, 3.0, 9.0], mpmath.erfc),
    }
    for name, (points, reference) in cases.items():
        for kind, bound in (("f32", 1.5), ("f64", 20.0)):
            x = np.array(points, NUMPY[kind])
            got = floats(f"{name}_{kind}", kind, x)
            for argument, value in zip(x, got, strict=True):
                exact = reference(mpmath.mpf(float(argument)))
                unit = float(np.spacing(np.abs(value)))
                assert abs(float((exact - float(value)) / unit)) < bound, (name, kind, argument)


def test_float64_is_within_four_ulps_of_high_precision(floats: Loops) -> None:
    mpmath = pytest.importorskip("mpmath")
    spans = {
        "exp": (-744, 709), "exp2": (-1073, 1023), "expm1": (-40, 709), "log": (0, 4),
        "log2": (0, 4), "log10": (0, 4), "log1p": (-1, 4), "tanh": (-19, 19), "sinh": (-709, 709),
        "cosh": (-709, 709), "asinh": (-9, 9), "acosh": (1, 9), "atanh": (-1, 1), "erf": (-6, 6),
        "erfc": (-6, 27), "sin": (-1e6, 1e6), "cos": (-1e6, 1e6), "tan": (-1e6, 1e6),
    }  # fmt: skip
    random = np.random.default_rng(8)

    def check(name: str, got: Array, exact: list[Any]) -> None:
        for value, wanted in zip(got.tolist(), exact, strict=True):
            unit = float(np.spacing(abs(float(wanted))))
            assert abs(float((mpmath.mpf(value) - wanted) / unit)) < 4, (name, value)

    with mpmath.workdps(400):  # enough for the sine of the largest number
        logarithms = {"exp2": lambda x: mpmath.power(2, x), "log2": lambda x: mpmath.log(x, 2)}
        for name, span in spans.items():
            near = random.choice([-1.0, 0.0, 1.0], 100) + random.normal(0, 1e-4, 100)
            x = np.concatenate([random.uniform(*span, 300), near[(near > span[0])]])
            x = x[x < span[1]]
            if name in ("sin", "cos", "tan"):  # the last one comes closest to a multiple of pi/2
                large = np.exp(random.uniform(10, 709, 200))
                x = np.concatenate([x, large, [6381956970095103.0 * 2.0**797]])
            reference = logarithms.get(name) or getattr(mpmath, name)
            exact = [reference(mpmath.mpf(v)) for v in x.tolist()]
            check(name, floats(f"{name}_f64", "f64", x), exact)
        base = np.exp(random.uniform(-700, 700, 600))
        base[:300] = random.uniform(0.5, 2, 300)
        power = random.uniform(-744, 709, 600) / np.log(base)
        pairs = zip(base.tolist(), power.tolist(), strict=True)
        exact = [mpmath.power(mpmath.mpf(a), mpmath.mpf(b)) for a, b in pairs]
        check("pow", floats("pow_f64", "f64", base, power), exact)


def test_the_hot_loops_vectorise(floats: Loops, compiler: list[str]) -> None:
    command = [*compiler, "-march=native", "-dM", "-E", "-x", "c", "/dev/null"]
    macros = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    called = OF_THE_LIBRARY | (set() if "__AVX512DQ__" in macros else WITH_AVX512)
    report = r"library\.c:{}:.*(loop vectorized|vectorized loop)"
    loops = [f"{f.name}_f32" for f in FUNCTIONS if f.vector]
    loops += [f"{f.name}_f64" for f in FUNCTIONS if f.vector and f.name not in called]
    missing = [
        name for name in loops if not re.search(report.format(floats.lines[name]), floats.printed)
    ]
    assert not missing, f"not vectorised: {missing}"


def curves(build: Any, names: tuple[str, ...], arity: int) -> Loops:
    return build_loops(build, [(f"{name}_{t}", t, t, arity) for name in names for t in FLOATS])


def test_oscillating_functions_are_close_on_the_whole_axis(build: Any) -> None:
    """Near their zeros only the absolute error means something."""
    loops = curves(build, OSCILLATING, 1)
    x = np.concatenate([np.linspace(1e-3, 60, 20_001), np.geomspace(1e-30, 1e4, 2000)])
    for name in OSCILLATING:
        got, exact = loops(f"{name}_f64", "f64", x), getattr(special, name)(x)
        scale = np.maximum(np.abs(exact), np.minimum(1, np.sqrt(2 / (np.pi * x))))
        worst = np.max(np.abs(got - exact) / scale / np.maximum(1, x / 50))
        assert worst < 5e-15, name
        single = loops(f"{name}_f32", "f32", x[x > 1e-20].astype(np.float32))
        rounded = getattr(special, name)(x[x > 1e-20].astype(np.float32).astype(np.float64))
        np.testing.assert_allclose(single, rounded, rtol=1e-7, atol=1e-10)
    ends = np.array([0.0, -1.0, -3.5, np.nan, np.inf])
    for name in OSCILLATING:
        expected = getattr(special, name)(ends)
        np.testing.assert_allclose(loops(f"{name}_f64", "f64", ends)[:4], expected[:4], rtol=1e-14)


def test_incomplete_gamma_and_zeta_functions(build: Any) -> None:
    loops = curves(build, PAIRED, 2)
    random = np.random.default_rng(3)
    a = np.concatenate([np.geomspace(1e-3, 100, 4000), random.uniform(100, 2000, 2000)])
    x = np.abs(a + random.normal(size=a.size) * 2.5 * np.sqrt(a)) + 1e-6
    for name in ("gammainc", "gammaincc"):
        got = loops(f"{name}_f64", "f64", a, x)
        np.testing.assert_allclose(got, getattr(special, name)(a, x), rtol=3e-13)
        single = loops(f"{name}_f32", "f32", a.astype(np.float32), x.astype(np.float32))
        wide = (v.astype(np.float32).astype(np.float64) for v in (a, x))
        np.testing.assert_allclose(single, getattr(special, name)(*wide), 2e-7, 1e-37)
    huge = np.array([1e7, 1e7, 1e10])
    near = huge + np.array([0.0, 3, -2]) * np.sqrt(huge)
    both = [loops(f"{name}_f64", "f64", huge, near) for name in ("gammainc", "gammaincc")]
    np.testing.assert_allclose(both[0] + both[1], 1, rtol=1e-15)
    normal = 0.5 * special.erfc(np.array([0.0, 3, -2]) / np.sqrt(2))
    np.testing.assert_allclose(both[1], normal, rtol=1e-2)  # the central limit
    s, q = random.uniform(1.01, 12, 4000), random.uniform(0.05, 30, 4000)
    zeta = loops("zeta_f64", "f64", s, q)
    np.testing.assert_allclose(zeta, special.zeta(s, q), rtol=3e-13)
    np.testing.assert_allclose(zeta, loops("zeta_f64", "f64", s, q + 1) + q**-s, rtol=1e-14)


# ------------------------------------------------------------------------------------- integers


def wrap(value: int, kind: str) -> int:
    bits = np.iinfo(NUMPY[kind]).bits
    value &= (1 << bits) - 1
    return value - (1 << bits) if kind != "u8" and value >> (bits - 1) else value


def exact_integer(name: str, kind: str, a: int, b: int) -> int:
    """In Python's unbounded integers; wrapped by the caller."""
    bits = np.iinfo(NUMPY[kind]).bits
    if name in {"floordiv", "remainder", "truncdiv", "fmod"} and b == 0:
        return 0
    if name == "pow" and b < 0:
        return {1: 1, -1: -1 if b % 2 else 1}.get(a, 0)
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) if b else 0
    outside = not 0 <= b < bits
    table: dict[str, Callable[[], int]] = {
        "add": lambda: a + b,
        "sub": lambda: a - b,
        "mul": lambda: a * b,
        "neg": lambda: -a,
        "abs": lambda: abs(a),
        "sign": lambda: (a > 0) - (a < 0),
        "max": lambda: max(a, b),
        "min": lambda: min(a, b),
        "fmax": lambda: max(a, b),
        "fmin": lambda: min(a, b),
        "pow": lambda: pow(a, b, 1 << bits),
        "lshift": lambda: 0 if outside else a << b,
        "rshift": lambda: (-1 if a < 0 else 0) if outside else a >> b,
        "truncdiv": lambda: quotient,
        "fmod": lambda: a - quotient * b,
        "remainder": lambda: a % b,
        "floordiv": lambda: a // b,
        "gcd": lambda: math.gcd(a, b),
        "lcm": lambda: lcm(a, b, kind),
    }
    return table[name]()


def lcm(a: int, b: int, kind: str) -> int:
    """|a / gcd * b|, with the product in 64 bits for int64 and in 32 otherwise, as PyTorch's."""
    quotient = a // math.gcd(a, b) if a or b else 0
    return abs(wrap(quotient * b, "i64" if kind == "i64" else "i32"))


def integer_edges(kind: str) -> list[int]:
    info = np.iinfo(NUMPY[kind])
    values = {0, 1, 2, 3, 5, 7, 12, 63, 64, int(info.max), int(info.max) - 1, int(info.min)}
    values |= {-1, -2, -3, -7, int(info.min) + 1} if info.min else set()
    return sorted(v for v in values if info.min <= v <= info.max)


@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize("name", INTEGER_FUNCTIONS)
def test_integers_as_in_python_wrapped(name: str, kind: str, integers: Loops) -> None:
    edges = integer_edges(kind)
    pairs = [(a, b) for a in edges for b in edges]
    if name in {"gcd", "lcm"} and kind != "u8":
        least = np.iinfo(NUMPY[kind]).min
        pairs = [(a, b) for a, b in pairs if least not in (a, b)]
    a, b = (np.array(column, NUMPY[kind]) for column in zip(*pairs, strict=True))
    arguments = [a, b][: INTEGER_FUNCTIONS[name]]
    got = integers(f"{name}_{kind}", kind, *arguments).tolist()
    for (x, y), value in zip(pairs, got, strict=True):
        assert value == wrap(exact_integer(name, kind, x, y), kind), f"gc_{name}_{kind}({x}, {y})"


# ---------------------------------------------------------------------------------------- casts

CASTABLE = ("f32", "f64", "f16", "bf16", "i8", "i16", "i32", "i64", "u8", "b1")
# The integer type that x86 converts to before low bits are kept.
THROUGH = {"i8": "i32", "i16": "i32", "i32": "i32", "i64": "i64", "u8": "i64"}


def cast_rows() -> list[tuple[str, str, str, int]]:
    return [(f"{s}_to_{t}", t, s, 1) for s in CASTABLE for t in CASTABLE]


def cast_samples(kind: str) -> Array:
    """Edges of all integer types and halves, as stored elements of `kind`."""
    powers = [2.0**k for k in (7, 8, 15, 16, 24, 31, 32, 53, 63, 64)]
    whole = [p + d for p in powers for d in (-1, 0, 1)] + [0.0, 1.0, 255.0, 300.0, 1e30]
    values = np.array([*whole, 0.1, 0.5, 1.5, 2.5, 65504.0, 65519.0, 65520.0, 1e-7, 3e-8, 6e-5])
    values = np.concatenate([values, -values])
    with np.errstate(all="ignore"):
        if kind in {"f16", "bf16"}:
            patterns = np.arange(1 << 16, dtype=np.uint16)
            return patterns.view(np.float16) if kind == "f16" else patterns
        if kind in FLOATS:
            random = samples((-3e9, 3e9), kind, 2000, 1)
            return np.concatenate([values, EDGES, random]).astype(NUMPY[kind])
    if kind == "b1":
        return np.array([False, True])
    return np.array(integer_edges(kind), NUMPY[kind])


def bf16_to_f32(bits: Array) -> Array:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def f32_to_bf16(x: Array) -> Array:
    """Rounds to nearest even by comparing with the two neighbours."""
    low = (x.view(np.uint32) >> 16).astype(np.uint32)
    with np.errstate(all="ignore"):
        below = (low << 16).view(np.float32).astype(np.float64)
        above = ((low + 1) << 16).view(np.float32).astype(np.float64)
        above = np.where(np.isinf(above), np.copysign(2.0**128, above), above)
        down, up = np.abs(x - below), np.abs(above - x.astype(np.float64))
    pick = np.where((down < up) | ((down == up) & (low % 2 == 0)), low, low + 1)
    pick = np.where(np.isinf(x), low, pick)
    return np.where(np.isnan(x), low | 0x40, pick).astype(np.uint16)


def exact_cast(x: Array, source: str, target: str) -> Array:
    if source == "bf16":
        x, source = bf16_to_f32(x), "f32"
    with np.errstate(all="ignore"):
        if target == "b1":
            return np.asarray(x != 0)
        if target == "bf16":
            return f32_to_bf16(x.astype(np.float32))
        if target == "f16":
            return x.astype(np.float32).astype(np.float16)
        if x.dtype.kind == "f" and target not in FLOATS:
            wide = NUMPY[THROUGH[target]]
            limit = 2.0 ** (np.iinfo(wide).bits - 1)
            whole = np.trunc(x.astype(np.float64))
            fits = (whole >= -limit) & (whole < limit)
            integer = np.where(fits, whole, 0.0).astype(wide)
            return np.where(fits, integer, np.iinfo(wide).min).astype(NUMPY[target])
        return x.astype(NUMPY[target])


def assert_same_bits(got: Array, exact: Array, what: str) -> None:
    if got.dtype.kind == "f":
        nans = np.isnan(exact)
        assert (np.isnan(got) == nans).all(), what
        got, exact = np.where(nans, 0, got), np.where(nans, 0, exact)
        assert (np.signbit(got) == np.signbit(exact)).all(), what
    assert np.array_equal(got, exact), what


@pytest.fixture(scope="session")
def casts(build: Any) -> Loops:
    return build_loops(build, cast_rows())


@pytest.mark.parametrize("source", CASTABLE)
@pytest.mark.parametrize("target", CASTABLE)
def test_casts(source: str, target: str, casts: Loops) -> None:
    x = cast_samples(source)
    got = casts(f"{source}_to_{target}", target, x)
    if source == target:
        assert got.tobytes() == x.tobytes()
        return
    assert_same_bits(got, exact_cast(x, source, target), f"{source} to {target}")


def all_rows() -> list[tuple[str, str, str, int]]:
    """(name, result, argument, arity) of every elementwise function."""
    rows = [
        (f"{f.name}_{t}", "b1" if f.name in PREDICATES else t, t, f.arity)
        for f in FUNCTIONS
        for t in FLOATS
    ]
    rows += [(f"{f}_{t}", t, t, n) for f, n in INTEGER_FUNCTIONS.items() for t in INTEGERS]
    return [*rows, ("max_b1", "b1", "b1", 2), ("min_b1", "b1", "b1", 2), *cast_rows()]


def test_nothing_is_undefined(compiler: list[str], tmp_path: Path) -> None:
    """A program that applies everything to the edges and dies at the first undefined step."""
    source, calls = '#include "gc_math.h"\n', ""
    for kind in CASTABLE:
        edges = cast_samples(kind)[:400]
        raw = ", ".join(map(str, edges.view(np.uint8).tolist()))
        source += f"static const uint8_t bytes_{kind}[] __attribute__((aligned(16))) = {{{raw}}};\n"
    source += "static double out[400];\n"
    for name, result, argument, arity in all_rows():
        count = min(cast_samples(argument).size, 400)
        x = f"((const {CTYPES[argument]} *)bytes_{argument})"
        pairs = f"for (int j = 0; j < {count}; ++j) " if arity == 2 else ""
        values = f"{x}[i], {x}[j]" if arity == 2 else f"{x}[i]"
        source += f"static __attribute__((noinline)) void run_{name}(void) {{\n"
        source += f"  for (int i = 0; i < {count}; ++i) {pairs}"
        source += f"(({CTYPES[result]} *)out)[i] = gc_{name}({values});\n}}\n"
        calls += f"  run_{name}();\n"
    (tmp_path / "edges.c").write_text(f"{source}int main(void) {{\n{calls}  return 0;\n}}\n")
    argv = [*compiler, "-std=c11", "-O1", "-fsanitize=undefined,float-cast-overflow"]
    argv += ["-fsanitize-undefined-trap-on-error", "-I", str(resources("runtime") / "c")]
    subprocess.run([*argv, "edges.c", "-o", "edges", "-lm"], cwd=tmp_path, check=True)
    assert subprocess.run([str(tmp_path / "edges")], check=False).returncode == 0


# ------------------------------------------------------------------- the list, and the other target


def test_the_list_is_complete(compiler: list[str]) -> None:
    """Everything the headers define is in the tables above, or a building block named as such."""
    folder = resources("runtime") / "c"
    argv = [*compiler, "-E", "-P", "-x", "c", str(folder / "gc_math.h")]
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    defined = set(re.findall(r"\bgc_(\w+)_(f32|f64|i8|i16|i32|i64|u8|b1)\([^;{]*\)\s*{", text))
    listed = {tuple(row[0].rsplit("_", 1)) for row in all_rows()}
    unlisted = {(name, kind) for name, kind in defined - listed if name not in INTERNAL}
    assert not unlisted, f"in the header, not in the test: {sorted(unlisted)}"
    missing = {pair for pair in listed - defined if pair[1] not in {"f16", "bf16"}}
    assert not missing


def test_every_function_compiles_as_cuda(nvcc: Callable[[str], None]) -> None:
    source = '#include "gc_math.h"\n#include "gc_vector.h"\n'
    for name, result, argument, arity in all_rows():
        a, r = (CTYPES[t].replace("_Bool", "bool") for t in (argument, result))
        values = "x[i], y[i]" if arity == 2 else "x[i]"
        source += f"""extern "C" __global__ void k_{name}(const {a} *x, const {a} *y, {r} *out) {{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = gc_{name}({values});
}}
"""
    for kind in ("f32", "f64", "i32", "i64"):
        source += f"""extern "C" __global__ void v_{kind}(const gc_{kind} *x, gc_{kind} *out) {{
    gc_v_{kind} v = gc_load_v_{kind}(x);
    out[0] = gc_sum_lanes_{kind}(v) + gc_max_lanes_{kind}(v) + gc_min_lanes_{kind}(v);
    gc_store_v_{kind}(out + 16, v);
}}
"""
    nvcc(source)


# -------------------------------------------------------------------------------------- vectors


@pytest.mark.parametrize("kind", ("f32", "f64", "i32", "i64"))
def test_vectors_load_in_part_and_join_their_lanes(kind: str, build: Any) -> None:
    scalar = CTYPES[kind]
    ffi, library, _ = build(
        f"""#include "gc_vector.h"
long lanes(void) {{ return GC_LANES_{kind}; }}
void run(const {scalar} *p, int n, {scalar} rest, {scalar} *part, {scalar} *joined) {{
    gc_v_{kind} v = gc_load_part_v_{kind}(p, n, rest);
    gc_store_part_v_{kind}(part, v, n);
    gc_v_{kind} other = gc_splat_v_{kind}(rest);
    joined[0] = gc_sum_lanes_{kind}(v);
    joined[1] = gc_max_lanes_{kind}(gc_max_v_{kind}(v, other));
    joined[2] = gc_min_lanes_{kind}(gc_min_v_{kind}(v, other));
}}""",
        f"long lanes(void); void run(void *, int, {scalar}, void *, void *);",
    )
    lanes = library.lanes()
    for n in range(lanes):
        x = (np.arange(n) * 3 - 4).astype(NUMPY[kind])
        part, joined = np.full(lanes, 77, NUMPY[kind]), np.zeros(3, NUMPY[kind])
        pointers = [ffi.cast("void *", a.ctypes.data) for a in (x, part, joined)]
        library.run(pointers[0], n, 1, pointers[1], pointers[2])
        padded = np.concatenate([x, np.ones(lanes - n, NUMPY[kind])])
        assert part.tolist() == x.tolist() + [77] * (lanes - n)
        assert joined.tolist() == [padded.sum(), max(1, padded.max()), min(1, padded.min())]
        if kind in FLOATS and n:
            x[n // 2] = np.nan
            library.run(pointers[0], n, 1, pointers[1], pointers[2])
            assert np.isnan(joined).all()


# --------------------------------------------------------------------------------- against PyTorch

TORCH_NAMES = {
    "max": "maximum", "min": "minimum", "round": "round", "truncdiv": "div", "pow": "pow",
    "floordiv": "floor_divide", "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift",
    "k0": "modified_bessel_k0", "k1": "modified_bessel_k1", "k0e": "scaled_modified_bessel_k0",
    "k1e": "scaled_modified_bessel_k1",
}  # fmt: skip


@pytest.mark.differential
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.name)
def test_float_edges_as_pytorch(function: Function, floats: Loops) -> None:
    """Which values are NaN, infinite or zero, and their signs; PyTorch's own accuracy aside."""
    torch = pytest.importorskip("torch")
    for kind in FLOATS:
        edges = EDGES.astype(NUMPY[kind])
        arguments = [edges]
        if function.arity == 2:
            arguments = [np.repeat(edges, edges.size), np.tile(edges, edges.size)]
        result = "b1" if function.name in PREDICATES else kind
        got = floats(f"{function.name}_{kind}", result, *arguments).astype(np.float64)
        name = TORCH_NAMES.get(function.name, function.name)
        call = getattr(torch, name, None) or getattr(torch.special, name)
        options = {"rounding_mode": "trunc"} if function.name == "truncdiv" else {}
        # One at a time: PyTorch's vector paths differ from its scalar ones in a few edges.
        peer = np.array(
            [
                float(call(*(torch.tensor(v) for v in row), **options))
                for row in zip(*arguments, strict=True)
            ]
        )
        same = (got == peer) | (np.isnan(got) & np.isnan(peer))
        with np.errstate(all="ignore"):
            near = np.abs(got - peer) <= 1e-5 * np.abs(peer) + np.finfo(NUMPY[kind]).tiny
        wrong = ~(same | near)
        if function.name in BEYOND:
            wrong &= ~(np.isinf(got) & np.isnan(peer))
        assert not wrong.any(), [(a[wrong], got[wrong], peer[wrong]) for a in arguments]


@pytest.mark.differential
@pytest.mark.parametrize("name", INTEGER_FUNCTIONS)
def test_integers_as_pytorch(name: str, integers: Loops) -> None:
    torch = pytest.importorskip("torch")
    if name in {"fmax", "fmin", "add", "sub", "mul"}:
        pytest.skip("no integer edge of its own")
    call = getattr(torch, TORCH_NAMES.get(name, name))
    options = {"rounding_mode": "trunc"} if name == "truncdiv" else {}
    for kind in INTEGERS:
        edges = integer_edges(kind)
        least, last = np.iinfo(NUMPY[kind]).min, edges[0] < 0
        pairs = [(a, b) for a in edges for b in edges]
        if name in {"floordiv", "truncdiv", "remainder", "fmod"}:  # raises; traps
            pairs = [(a, b) for a, b in pairs if b != 0 and not (last and a == least and b == -1)]
        if name in {"gcd", "lcm"}:
            pairs = [(a, b) for a, b in pairs if not (last and least in (a, b))]
        arrays = [np.array(column, NUMPY[kind]) for column in zip(*pairs, strict=True)]
        arrays = arrays[: INTEGER_FUNCTIONS[name]]
        got = integers(f"{name}_{kind}", kind, *arrays)
        peer = call(*map(torch.from_numpy, arrays), **options).numpy()
        wrong = got != peer
        assert not wrong.any(), (kind, [a[wrong] for a in arrays], got[wrong], peer[wrong])
