"""Algebra that keeps every bit: NaN, infinities and the sign of zero included.

A rule stands here only if the value is the same for every operand. So ``x + 0.0`` stays (it turns
-0.0 into 0.0) while ``x - 0.0`` goes; ``x * 0`` goes for integers only; ``maximum(0.0, x)`` keeps
its order, on which it depends which of two zeros it gives.
"""

import math
from collections.abc import Callable
from typing import Any

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.ir import OPS, Node, Number, Scalar
from graphc.rewrite import Rule, Table
from graphc.sizes import Int, product

Simplify = Callable[[Node], Node | None]


def apply(op: str, *operands: Any, **attrs: Any) -> Node:
    result: Node = OPS[op](*operands, **attrs)
    return result


def full(like: Node, value: Number) -> Node:
    """A constant of a node's type."""
    attrs = {"value": value, "shape": like.shape, "dtype": like.dtype, "device": like.device}
    return like.__apply__(OPS["full"], (), attrs)


def uniform(node: Node) -> Number | None:
    """The number that all elements of a node are, where that is known."""
    if node.op.name != "full":
        return None
    value: Number = node.attrs["value"]
    return value


def is_number(node: Node, value: Number) -> bool:
    """Whether a node is this constant; zeros must have the same sign too."""
    found = uniform(node)
    return (
        found is not None
        and found == value
        and math.copysign(1.0, found) == math.copysign(1.0, value)
    )


def broadcast_to(x: Node, like: Node) -> Node:
    """An operand of a pointwise node as the node's whole result."""
    if x.shape == like.shape:
        return x
    lead = (1,) * (like.ndim - x.ndim)
    aligned = apply("reshape", x, shape=(*lead, *x.shape)) if lead else x
    return apply("expand", aligned, shape=like.shape) if aligned.shape != like.shape else aligned


def is_float(node: Node) -> bool:
    return node.dtype.is_floating_point


# ------------------------------------------------------------------------------------ arithmetic


def _neutral(value: Number, integers_only: bool = False) -> Simplify:
    """``f(x, value) -> x``."""

    def simplify(node: Node) -> Node | None:
        x, other = node.inputs
        if (integers_only and is_float(node)) or not is_number(other, value):
            return None
        return broadcast_to(x, node)

    return simplify


def _constant_right(node: Node) -> Node | None:
    a, b = node.inputs
    if uniform(a) is None or uniform(b) is not None:
        return None
    return apply(node.op.name, b, a)


def _times_zero(node: Node) -> Node | None:
    if is_float(node) or node.dtype is dtypes.bool_ or not is_number(node.inputs[1], 0):
        return None
    return full(node, 0)


def _times_minus_one(node: Node) -> Node | None:
    x, other = node.inputs
    return broadcast_to(-x, node) if is_number(other, -1) and node.dtype.is_signed else None


def _add_of_neg(node: Node) -> Node | None:
    a, b = node.inputs
    return apply("sub", a, b.inputs[0]) if b.op.name == "neg" else None


def _sub_of_neg(node: Node) -> Node | None:
    a, b = node.inputs
    return apply("add", a, b.inputs[0]) if b.op.name == "neg" else None


def _signs_cancel(node: Node) -> Node | None:
    a, b = node.inputs
    if a.op.name != "neg" or b.op.name != "neg":
        return None
    return apply(node.op.name, a.inputs[0], b.inputs[0])


def _self_difference(node: Node) -> Node | None:
    a, b = node.inputs
    return full(node, 0) if a is b and not is_float(node) else None


_LARGEST_POWER = {dtypes.float64: 1000, dtypes.float32: 100, dtypes.bfloat16: 100}


def _div_by_power_of_two(node: Node) -> Node | None:
    x, other = node.inputs
    value = uniform(other)
    if value is None or not math.isfinite(value) or not value:
        return None
    mantissa, exponent = math.frexp(value)
    if abs(mantissa) != 0.5 or abs(exponent) > _LARGEST_POWER.get(node.dtype, 12):
        return None
    return apply("mul", x, full(other, 1 / value))


def _small_power(node: Node) -> Node | None:
    """The powers that ``pow`` evaluates by other rows."""
    x, exponent = node.inputs
    value = uniform(exponent)
    if value == 0:
        return full(node, 1)
    if value == 1:
        return broadcast_to(x, node)
    if x.shape != node.shape or exponent.shape != ():
        return None
    if value == 2:
        return apply("square", x)
    if value == 3:
        return apply("mul", x * x, x)
    if not is_float(node):
        return None
    if value == -1:
        return apply("reciprocal", x)
    if value == -2:
        return apply("reciprocal", apply("square", x))
    if value == 0.5:
        return apply("sqrt", x)
    return apply("rsqrt", x) if value == -0.5 else None


def _even(node: Node) -> Node | None:
    (x,) = node.inputs
    return apply(node.op.name, x.inputs[0]) if x.op.name in ("neg", "abs") else None


def _twice(node: Node) -> Node | None:
    (x,) = node.inputs
    return x if x.op is node.op else None


def _involution(node: Node) -> Node | None:
    (x,) = node.inputs
    return x.inputs[0] if x.op is node.op and x.inputs[0].type == node.type else None


def _same_operands(node: Node) -> Node | None:
    a, b = node.inputs
    return a if a is b and a.type == node.type else None


_ARITHMETIC = (
    Rule(
        "constant-right",
        ("add", "mul", "logical_and", "logical_or", "eq", "ne"),
        _constant_right,
        "f(c, x) -> f(x, c)",
    ),
    Rule("add-zero", ("add",), _neutral(0, integers_only=True), "i + 0 -> i"),
    Rule("add-minus-zero", ("add",), _neutral(-0.0), "x + -0.0 -> x"),
    Rule("sub-zero", ("sub",), _neutral(0), "x - 0 -> x"),
    Rule("mul-one", ("mul",), _neutral(1), "x * 1 -> x"),
    Rule("div-one", ("div",), _neutral(1), "x / 1 -> x"),
    Rule("mul-zero", ("mul",), _times_zero, "i * 0 -> 0"),
    Rule("mul-minus-one", ("mul",), _times_minus_one, "x * -1 -> -x"),
    Rule("add-neg", ("add",), _add_of_neg, "a + -b -> a - b"),
    Rule("sub-neg", ("sub",), _sub_of_neg, "a - -b -> a + b"),
    Rule("signs-cancel", ("mul", "div"), _signs_cancel, "-a * -b -> a * b"),
    Rule("sub-self", ("sub",), _self_difference, "i - i -> 0"),
    Rule("div-power-of-two", ("div",), _div_by_power_of_two, "x / 2^k -> x * 2^-k"),
    Rule("small-power", ("pow",), _small_power, "x ** 2 -> square(x), and so for 0, 1, 3, -1, 1/2"),
    Rule(
        "idempotent",
        ("abs", "relu", "floor", "ceil", "round", "trunc", "sign"),
        _twice,
        "f(f(x)) -> f(x)",
    ),
    Rule("even", ("abs", "square", "cos", "cosh"), _even, "|-x| -> |x|"),
    Rule("involution", ("neg", "bitwise_not", "logical_not"), _involution, "-(-x) -> x"),
    Rule(
        "same-operands",
        ("maximum", "minimum", "fmax", "fmin", "bitwise_and", "bitwise_or"),
        _same_operands,
        "f(x, x) -> x",
    ),
)

# -------------------------------------------------------------------------- selection and logic


def _where_constant(node: Node) -> Node | None:
    cond, a, b = node.inputs
    known = uniform(cond)
    return None if known is None else broadcast_to(a if known else b, node)


def _where_same(node: Node) -> Node | None:
    _, a, b = node.inputs
    return broadcast_to(a, node) if a is b else None


def _where_not(node: Node) -> Node | None:
    cond, a, b = node.inputs
    if cond.op.name != "logical_not" or cond.inputs[0].dtype is not dtypes.bool_:
        return None
    return apply("where", cond.inputs[0], b, a)


def _where_where(node: Node) -> Node | None:
    """The inner choice is decided already."""
    cond, a, b = node.inputs
    if a.op.name == "where" and a.inputs[0] is cond and a.shape == node.shape:
        return apply("where", cond, a.inputs[1], b) if _covers(node, cond, a.inputs[1], b) else None
    if b.op.name == "where" and b.inputs[0] is cond and b.shape == node.shape:
        return apply("where", cond, a, b.inputs[2]) if _covers(node, cond, a, b.inputs[2]) else None
    return None


def _covers(node: Node, *operands: Node) -> bool:
    """Whether operands broadcast to the shape of the node without the one that is dropped."""
    for d, size in enumerate(node.shape):
        at = [x.shape[d - node.ndim + x.ndim] for x in operands if d - node.ndim + x.ndim >= 0]
        if size != 1 and size not in at:
            return False
    return max((x.ndim for x in operands), default=0) == node.ndim


_NEGATED = {"eq": "ne", "ne": "eq"}
_ORDERED = {"lt": "ge", "ge": "lt", "le": "gt", "gt": "le"}


def _not_comparison(node: Node) -> Node | None:
    """Orders are total for integers only: NaN is neither smaller nor not smaller."""
    (x,) = node.inputs
    negated = _NEGATED.get(x.op.name)
    if negated is None and x.op.name in _ORDERED and not is_float(x.inputs[0]):
        negated = _ORDERED[x.op.name]
    return apply(negated, *x.inputs) if negated is not None else None


def _logic_constant(node: Node) -> Node | None:
    x, other = node.inputs
    known = uniform(other)
    if known is None:
        return None
    if bool(known) == (node.op.name == "logical_or"):
        return full(node, bool(known))
    return broadcast_to(x, node) if x.dtype is dtypes.bool_ else None


_LOGIC = (
    Rule("where-constant", ("where",), _where_constant, "where(true, a, b) -> a"),
    Rule("where-same", ("where",), _where_same, "where(c, a, a) -> a"),
    Rule("where-not", ("where",), _where_not, "where(not c, a, b) -> where(c, b, a)"),
    Rule("where-where", ("where",), _where_where, "where(c, where(c, a, _), b) -> where(c, a, b)"),
    Rule("not-comparison", ("logical_not",), _not_comparison, "not (a == b) -> a != b"),
    Rule("logic-constant", ("logical_and", "logical_or"), _logic_constant, "x and true -> x"),
)

# ---------------------------------------------------------------------------------- identities


def _operand(node: Node) -> Node | None:
    return node.inputs[0]


def _cast_same(node: Node) -> Node | None:
    (x,) = node.inputs
    return x if x.dtype is node.dtype else None


_INTEGER_BITS = {dtypes.float16: 11, dtypes.bfloat16: 8, dtypes.float32: 24, dtypes.float64: 53}


def holds(wide: DType, narrow: DType) -> bool:
    """Whether every value of ``narrow`` is a value of ``wide``."""
    if wide is narrow or narrow is dtypes.bool_:
        return True
    if wide is dtypes.bool_ or (narrow.is_floating_point and not wide.is_floating_point):
        return False
    if narrow.is_floating_point:
        return wide is dtypes.float64 or (wide is dtypes.float32 and narrow is not dtypes.float64)
    bits = 8 * narrow.itemsize - (1 if narrow.is_signed else 0)
    if wide.is_floating_point:
        return bits <= _INTEGER_BITS[wide]
    available = 8 * wide.itemsize - (1 if wide.is_signed else 0)
    return bits <= available and (wide.is_signed or not narrow.is_signed)


def _cast_cast(node: Node) -> Node | None:
    (x,) = node.inputs
    if x.op.name != "cast":
        return None
    source = x.inputs[0]
    return apply("cast", source, dtype=node.dtype) if holds(x.dtype, source.dtype) else None


_IDENTITIES = (
    Rule("stop-gradient", ("stop_gradient",), _operand, "stop_gradient(x) -> x"),
    Rule("clone", ("clone",), _operand, "clone(x) -> x"),
    Rule("cast-same", ("cast",), _cast_same, "cast(x: t, t) -> x"),
    Rule("cast-cast", ("cast",), _cast_cast, "cast(cast(x, wider), t) -> cast(x, t)"),
)

# ----------------------------------------------------------------------------------------- views


def _reshape_same(node: Node) -> Node | None:
    (x,) = node.inputs
    return x if x.shape == node.shape else None


def _reshape_reshape(node: Node) -> Node | None:
    (x,) = node.inputs
    return apply("reshape", x.inputs[0], shape=node.shape) if x.op.name == "reshape" else None


def _permute_same(node: Node) -> Node | None:
    return node.inputs[0] if node.attrs["dims"] == tuple(range(node.ndim)) else None


def _permute_permute(node: Node) -> Node | None:
    (x,) = node.inputs
    if x.op.name != "permute":
        return None
    first, second = x.attrs["dims"], node.attrs["dims"]
    return apply("permute", x.inputs[0], dims=tuple(first[d] for d in second))


def _expand_expand(node: Node) -> Node | None:
    (x,) = node.inputs
    return apply("expand", x.inputs[0], shape=node.shape) if x.op.name == "expand" else None


def _view_of_full(node: Node) -> Node | None:
    value = uniform(node.inputs[0])
    return None if value is None else full(node, value)


def _zeros(values: tuple[Int, ...]) -> bool:
    return all(isinstance(v, int) and v == 0 for v in values)


def _slice_all(node: Node) -> Node | None:
    (x,) = node.inputs
    whole = node.attrs["stops"] == x.shape and _zeros(node.attrs["starts"])
    return x if whole and all(s == 1 for s in node.attrs["steps"]) else None


def _slice_slice(node: Node) -> Node | None:
    (x,) = node.inputs
    if x.op.name != "slice":
        return None
    starts, stops, steps = [], [], []
    for d in range(node.ndim):
        a, k = x.attrs["starts"][d], x.attrs["steps"][d]
        b, m = node.attrs["starts"][d], node.attrs["steps"][d]
        size: Int = node.shape[d]
        if isinstance(size, int) and size == 0:
            return None  # an empty range may start outside of the inner slice
        starts.append(a + b * k)
        stops.append(a + (b + (size - 1) * m) * k + 1)
        steps.append(k * m)
    attrs = {"starts": tuple(starts), "stops": tuple(stops), "steps": tuple(steps)}
    return apply("slice", x.inputs[0], **attrs)


_REGION = ("starts", "stops", "steps")


def _same_region(a: Node, b: Node) -> bool:
    return all(a.attrs[k] == b.attrs[k] for k in _REGION)


def _slice_of_put(node: Node) -> Node | None:
    (x,) = node.inputs
    if x.op.name != "put_slice" or not _same_region(x, node):
        return None
    value = x.inputs[1]
    return value if value.type == node.type else None


def _put_back(node: Node) -> Node | None:
    base, value = node.inputs
    if value.op.name != "slice" or value.inputs[0] is not base:
        return None
    return base if _same_region(value, node) else None


def _put_all(node: Node) -> Node | None:
    base, value = node.inputs
    whole = node.attrs["stops"] == base.shape and _zeros(node.attrs["starts"])
    whole = whole and all(s == 1 for s in node.attrs["steps"])
    return value if whole and value.type == node.type else None


def _flip(node: Node) -> Node | None:
    (x,) = node.inputs
    dims = node.attrs["dims"]
    if x.op.name == "flip" and x.attrs["dims"] == dims:
        return x.inputs[0]
    kept = tuple(d for d in dims if x.shape[d] != 1)
    if kept == dims:
        return None
    return apply("flip", x, dims=kept) if kept else x


def _pad_nothing(node: Node) -> Node | None:
    nothing = _zeros(node.attrs["before"]) and _zeros(node.attrs["after"])
    return node.inputs[0] if nothing else None


def _pad_full(node: Node) -> Node | None:
    return full(node, node.attrs["value"]) if is_number(*_padding(node)) else None


def _padding(node: Node) -> tuple[Node, Number]:
    value: Number = node.attrs["value"]
    return node.inputs[0], value


def _dilate_nothing(node: Node) -> Node | None:
    return node.inputs[0] if node.inputs[0].shape == node.shape else None


def _cat_one(node: Node) -> Node | None:
    """Operands without elements along the dim add nothing."""
    kept = [x for x in node.inputs if x.shape[node.attrs["dim"]] != 0]
    if len(kept) == len(node.inputs) > 1 or not kept:
        return None
    return apply("cat", *kept, dim=node.attrs["dim"]) if len(kept) > 1 else kept[0]


def _drop_expand(node: Node) -> Node | None:
    """A pointwise row broadcasts by itself, if another operand still has the size."""
    if not isinstance(node.op.lower, Scalar) or len(node.inputs) < 2:
        return None
    inputs = list(node.inputs)
    for i, x in enumerate(inputs):
        if x.op.name == "expand" and _covers(node, *inputs[:i], x.inputs[0], *inputs[i + 1 :]):
            inputs[i] = x.inputs[0]
    return apply(node.op.name, *inputs, **node.attrs) if tuple(inputs) != node.inputs else None


_VIEWS = (
    Rule("reshape-same", ("reshape", "expand"), _reshape_same, "reshape(x, x.shape) -> x"),
    Rule("reshape-reshape", ("reshape",), _reshape_reshape, "reshape(reshape(x)) -> reshape(x)"),
    Rule("permute-same", ("permute",), _permute_same, "permute(x, 0 1 2) -> x"),
    Rule("permute-permute", ("permute",), _permute_permute, "permute(permute(x)) -> permute(x)"),
    Rule("expand-expand", ("expand",), _expand_expand, "expand(expand(x)) -> expand(x)"),
    Rule(
        "view-of-full",
        ("reshape", "permute", "expand", "slice", "flip"),
        _view_of_full,
        "view(full(c)) -> full(c)",
    ),
    Rule("slice-all", ("slice",), _slice_all, "x[:] -> x"),
    Rule("slice-slice", ("slice",), _slice_slice, "x[a::k][b::m] -> x[a + b k::k m]"),
    Rule("slice-of-put", ("slice",), _slice_of_put, "put_slice(x, v, r)[r] -> v"),
    Rule("put-back", ("put_slice",), _put_back, "put_slice(x, x[r], r) -> x"),
    Rule("put-all", ("put_slice",), _put_all, "put_slice(x, v, :) -> v"),
    Rule("flip", ("flip",), _flip, "flip(flip(x)) -> x; dims of size 1 stay as they are"),
    Rule("pad-nothing", ("pad",), _pad_nothing, "pad(x, 0) -> x"),
    Rule("pad-full", ("pad",), _pad_full, "pad(full(c), value=c) -> full(c)"),
    Rule("dilate-nothing", ("dilate",), _dilate_nothing, "dilate(x, 1) -> x"),
    Rule("cat-one", ("cat",), _cat_one, "cat(x) -> x, cat(x, empty) -> x"),
    Rule("drop-expand", (), _drop_expand, "f(expand(x), y) -> f(x, y)"),
)

# ------------------------------------------------------------------------------------ reductions


_OF_NOTHING: dict[str, Number] = {"sum": 0, "prod": 1, "any": False, "all": True, "contract": 0}


def _of_nothing(node: Node) -> Node | None:
    """Nothing is evaluated then: not even an index that would be out of range."""
    if 0 in node.shape or all(0 not in x.shape for x in node.inputs):
        return None
    value = _OF_NOTHING[node.op.name]
    return full(node, float(value) if is_float(node) else value)


def _joined(node: Node) -> Int:
    return product(node.inputs[0].shape[d] for d in node.attrs["dims"])


def _reduce_nothing(node: Node) -> Node | None:
    """One element is joined with nothing else."""
    (x,) = node.inputs
    if _joined(node) != 1 or x.dtype is not node.dtype:
        return None
    same = apply("reshape", x, shape=node.shape) if x.shape != node.shape else x
    return same + 0 if node.op.name == "sum" and is_float(node) else same  # a sum begins with 0.0


def _exact_factor(node: Node, count: int) -> bool:
    """Whether ``count`` equal values add up to ``count`` times the value, without rounding."""
    return not is_float(node) or count & (count - 1) == 0


def _sum_of_expand(node: Node) -> Node | None:
    (x,) = node.inputs
    if x.op.name != "expand":
        return None
    (source,) = x.inputs
    dims = node.attrs["dims"]
    repeated = tuple(d for d in dims if source.shape[d] == 1 and x.shape[d] != 1)
    count = product(x.shape[d] for d in repeated)
    if not repeated or not isinstance(count, int) or count < 1 or not _exact_factor(node, count):
        return None
    left = tuple(1 if d in repeated else size for d, size in enumerate(x.shape))
    inner = apply("expand", source, shape=left) if left != source.shape else source
    total = apply("sum", inner, dims=dims, keepdim=node.attrs["keepdim"])
    return apply("mul", total, count)


_EXACT_INTEGERS = {dtypes.float16: 2**11, dtypes.bfloat16: 2**8, dtypes.float32: 2**24}


def _sum_of_full(node: Node) -> Node | None:
    value, count = uniform(node.inputs[0]), _joined(node)
    if value is None or not isinstance(count, int) or isinstance(value, bool):
        return None
    if not is_float(node):
        bits = 8 * node.dtype.itemsize
        total = int(value) * count % 2**bits
        signed = node.dtype.is_signed and total >= 2 ** (bits - 1)
        return full(node, total - 2**bits if signed else total)
    limit = _EXACT_INTEGERS.get(node.dtype, 2**53)
    if value != int(value) if math.isfinite(value) else True:
        return None
    return full(node, float(value) * count) if abs(value) * count <= limit and value else None


def _extreme_of_expand(node: Node) -> Node | None:
    """Repeating elements changes neither the largest nor the smallest, nor any nor all."""
    (x,) = node.inputs
    if x.op.name != "expand":
        return None
    (source,) = x.inputs
    dims = node.attrs["dims"]
    left = tuple(1 if d in dims and n == 1 else x.shape[d] for d, n in enumerate(source.shape))
    if left == x.shape or any(size == 0 for size in x.shape):
        return None
    inner = apply("expand", source, shape=left) if left != source.shape else source
    return apply(node.op.name, inner, **node.attrs)


_REDUCTIONS = (
    Rule(
        "reduce-nothing",
        ("sum", "prod", "amax", "amin", "any", "all"),
        _reduce_nothing,
        "prod(x over one element) -> x, sum(...) -> x + 0.0",
    ),
    Rule("of-nothing", tuple(_OF_NOTHING), _of_nothing, "sum(empty) -> 0, prod(empty) -> 1, ..."),
    Rule("sum-of-expand", ("sum",), _sum_of_expand, "sum(expand(x, n)) -> sum(x) * n, n = 2^k"),
    Rule("sum-of-full", ("sum",), _sum_of_full, "sum(full(c, n)) -> full(c n), exact integers"),
    Rule(
        "extreme-of-expand",
        ("amax", "amin", "any", "all"),
        _extreme_of_expand,
        "amax(expand(x)) -> amax(x)",
    ),
)

TABLE = Table((*_IDENTITIES, *_ARITHMETIC, *_LOGIC, *_VIEWS, *_REDUCTIONS))

__all__ = ["TABLE", "holds", "uniform"]
