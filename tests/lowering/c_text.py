"""C expressions of rows on NumPy arrays: enough of the language to run scalar texts literally."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.dtypes import from_short
from graphc.ir import OPS

_TOKEN = re.compile(
    r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?(?:f|LL|ULL|U)?|\.\d+f?)|([A-Za-z_]\w*)|(\{\d+\})"
    r"|(&&|\|\||==|!=|<=|>=|<<|>>|[-+*/%<>?:()!~&|^,]))"
)
_TYPES = {
    "float": np.float32,
    "double": np.float64,
    "int64_t": np.int64,
    "int32_t": np.int32,
    "int16_t": np.int16,
    "int8_t": np.int8,
    "uint8_t": np.uint8,
    "bool": np.bool_,
    "gc_u64": np.int64,
    "int": np.int32,
}
_LEVELS = (
    ("||",),
    ("&&",),
    ("|",),
    ("^",),
    ("&",),
    ("==", "!="),
    ("<", "<=", ">", ">="),
    ("<<", ">>"),
    ("+", "-"),
    ("*", "/", "%"),
)


def _divided(a: Any, b: Any) -> Any:
    if np.asarray(a).dtype.kind in "iu" and np.asarray(b).dtype.kind in "iu":
        return np.trunc(np.true_divide(a, b)).astype(np.result_type(a, b))
    return np.true_divide(a, b)


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "||": np.logical_or,
    "&&": np.logical_and,
    "|": np.bitwise_or,
    "^": np.bitwise_xor,
    "&": np.bitwise_and,
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "<<": np.left_shift,
    ">>": np.right_shift,
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": _divided,
    "%": np.fmod,
}


def _rounder(kind: Any) -> Callable[[Any], Any]:
    return lambda x: np.asarray(x, np.float32).astype(kind)


_FUNCTIONS: dict[str, Callable[..., Any]] = {"max": np.maximum, "min": np.minimum}
# Functions of the runtime that are called otherwise than the row they compute.
_ROWS = {
    "rshift": "bitwise_right_shift",
    "lshift": "bitwise_left_shift",
    "truncdiv": "trunc_divide",
    "floordiv": "floor_divide",
    "mantissa": "frexp_mantissa",
    "exponent": "frexp_exponent",
    **{f"{kind}{order}": f"bessel_{kind}{order}" for kind in "jy" for order in "01"},
}


class ZeroDivisorError(Exception):
    """An integer divisor that matters was 0; ``site`` says where."""

    def __init__(self, site: int) -> None:
        super().__init__(site)
        self.site = site


class _Parser:
    """Recursive descent over one text, computing as it goes."""

    def __init__(self, text: str, args: tuple[Any, ...]) -> None:
        self.tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            assert match, f"cannot read {text[at:]!r}"
            self.tokens.append(next(g for g in match.groups() if g is not None))
            at = match.end()
        self.args = args
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.peek()
        assert not expected or token == expected, f"{expected!r} expected in {self.tokens}"
        self.at += 1
        return token

    def ternary(self) -> Any:
        test = self.binary(0)
        if self.peek() != "?":
            return test
        self.take("?")
        a = self.ternary()
        self.take(":")
        b = self.ternary()
        kind = _joint(a, b)
        return np.where(test, np.asarray(a, kind), np.asarray(b, kind))

    def binary(self, level: int) -> Any:
        if level == len(_LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.peek() in _LEVELS[level]:
            operator = self.take()
            right = self.binary(level + 1)
            kind = _joint(left, right)
            if operator in ("&&", "||"):
                left = _BINARY[operator](np.asarray(left) != 0, np.asarray(right) != 0)
            else:
                left = _BINARY[operator](np.asarray(left, kind), np.asarray(right, kind))
        return left

    def unary(self) -> Any:
        if self.peek() == "-":
            self.take()
            value = self.unary()
            return np.negative(np.asarray(value))
        if self.peek() == "!":
            self.take()
            return np.logical_not(self.unary())
        if self.peek() == "~":
            self.take()
            return np.invert(self.unary())
        return self.primary()

    def primary(self) -> Any:
        token = self.take()
        if token == "(":
            if self.peek() in _TYPES and self.tokens[self.at + 1] == ")":
                kind = _TYPES[self.take()]
                self.take(")")
                return np.asarray(self.unary()).astype(kind)
            value = self.ternary()
            self.take(")")
            return value
        if token.startswith("{"):
            return self.args[int(token[1:-1])]
        if token[0].isdigit() or token[0] == ".":
            if token.endswith("f") or "." in token or "e" in token.lower():
                value = float(token.rstrip("f"))
                return np.float32(value) if token.endswith("f") else value
            return int(token.rstrip("LU"))
        if token in ("true", "false"):
            return np.bool_(token == "true")
        if token in ("NAN", "INFINITY"):
            return np.float32(token.lower().replace("infinity", "inf"))
        if token == "GC_REPORTER":
            return None
        self.take("(")
        args = []
        while self.peek() != ")":
            args.append(self.ternary())
            if self.peek() == ",":
                self.take()
        self.take(")")
        return call(token, args)


def _joint(a: Any, b: Any) -> Any:
    """Python numbers (literals without a suffix) take the dtype of the other side."""
    plain = (bool, int, float)
    if isinstance(a, plain) and isinstance(b, plain):
        return np.result_type(a, b)
    if isinstance(a, plain):
        return np.asarray(b).dtype
    if isinstance(b, plain):
        return np.asarray(a).dtype
    return np.result_type(np.asarray(a).dtype, np.asarray(b).dtype)


def call(name: str, args: list[Any]) -> Any:
    """A runtime function."""
    if "_to_" in name:
        source, target = (from_short(s) for s in name.removeprefix("gc_").split("_to_"))
        value = np.asarray(args[0]).astype(source.numpy)
        return OPS["cast"].evaluate(value, dtype=target)
    if "_of_" in name:  # bits of a float, and back
        row = OPS[name.removeprefix("gc_")]
        kind = from_short(name.removeprefix("gc_").replace("bits", "").replace("_of_", ""))
        integer = np.dtype(f"int{8 * kind.itemsize}")
        value = np.asarray(args[0]).astype(kind.numpy if row.name.startswith("bits") else integer)
        return row.evaluate(value)
    if name == "gc_divisor":
        _, site, divisor, matters = args
        if np.any((np.asarray(divisor) == 0) & np.asarray(matters)):
            raise ZeroDivisorError(int(site))
        return np.where(np.asarray(divisor) == 0, 1, divisor)  # the quotient is thrown away
    stem, _, short = name.removeprefix("gc_").rpartition("_")
    arrays = [np.asarray(a) for a in args]
    if stem in ("uniform", "normal"):
        kind = from_short(short)
        return OPS["philox"].evaluate(*np.broadcast_arrays(*arrays), kind=stem, dtype=kind)
    if stem == "polygamma":
        return OPS[stem].evaluate(arrays[1], n=int(args[0]))
    if stem == "random":
        return OPS["philox_bits"].evaluate(*np.broadcast_arrays(*arrays))
    if stem in _FUNCTIONS:
        return _FUNCTIONS[stem](*arrays)
    return OPS[_ROWS.get(stem, stem)].evaluate(*np.broadcast_arrays(*arrays))


def compute(text: str, args: tuple[Any, ...]) -> Any:
    """The value of a scalar text for arrays as operands."""
    with np.errstate(all="ignore"):
        return _Parser(text, args).ternary()
