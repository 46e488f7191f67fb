"""One element of a node as a loop expression, composed through everything that is not stored.

:class:`Elements` answers "what is element ``index`` of this node?". Views, padding and pointwise
operations substitute into the expressions of their inputs; it stops where its ``source`` knows the
value already: a buffer to load from, or a reduction of the same nest.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.errors import GraphError
from graphc.expressions import rounding
from graphc.ir import (
    CONSTANT,
    Contract,
    Gather,
    Generate,
    IndexMap,
    Node,
    Scalar,
    Scatter,
    Source,
)
from graphc.kernel import Call, Combine, Condition, Const, Expr, InRange, Load, Masked, Position
from graphc.lowering.indexing import Index, rejoined, simplified
from graphc.sizes import Int, symbol

Guard = tuple[Condition, ...]
SourceOf = Callable[[Node, Index, Guard], "Expr | None"]

_HALVES = (dtypes.float16, dtypes.bfloat16)
_FIELD = re.compile(r"\{([A-Za-z_]\w*)\}")


@dataclass(frozen=True)
class Checked:
    """A data-dependent index that is checked before it is used."""

    name: str
    expr: Expr
    limit: Int
    node: Node
    wrap: bool
    known: bool = False


@dataclass
class Elements:
    """Composes expressions. ``guard`` are conditions under which alone a value matters: loads
    must not touch memory where they fail, arithmetic may do anything. ``index_names`` is shared by
    the phases of a nest, so that one check has one name in all of them.
    """

    source: SourceOf
    index_names: dict[tuple[Node, Expr, Int], str] = field(default_factory=dict)
    checked: dict[str, Checked] = field(default_factory=dict)
    origins: dict[int, Node] = field(default_factory=dict)
    divisors: dict[int, Node] = field(default_factory=dict)  # checked, by the id of the expression
    _alive: list[Expr] = field(default_factory=list)  # so that an id stays that of one expression
    _memo: dict[tuple[Node, Index, Guard], Expr] = field(default_factory=dict)

    def value(self, node: Node, index: Index, guard: Guard = ()) -> Expr:
        """Element ``index`` of ``node``; the source may know it."""
        key = (node, index, guard)
        found = self._memo.get(key)
        if found is None:
            found = self.source(node, index, guard)
            if found is None:
                found = self.computed(node, index, guard)
            self._memo[key] = found
            self.origins.setdefault(id(found), node)
        return found

    def computed(self, node: Node, index: Index, guard: Guard = ()) -> Expr:
        """Element ``index`` from the node's inputs, whatever the source says of the node itself."""
        lower = node.op.lower
        if isinstance(lower, Scalar):
            return self._scalar(node, lower, index, guard)
        if isinstance(lower, IndexMap):
            return self._mapped(node, lower, index, guard)
        if isinstance(lower, Generate):
            return _generated(node, lower, index)
        if isinstance(lower, Gather):
            return self._gathered(node, lower, index, guard)
        if isinstance(lower, Contract):
            return self._multiplied(node, index, guard)
        if isinstance(lower, Scatter):
            return self._put(node, index, guard)
        raise GraphError(f"{node!r} is used inside a kernel before it is computed")

    # -------------------------------------------------------------------------------- by kind

    def _scalar(self, node: Node, lower: Scalar, index: Index, guard: Guard) -> Expr:
        arguments = tuple(
            self.value(x, broadcast_index(index, x.shape), guard) for x in node.inputs
        )
        kind = computed_in(node)
        if lower.divides and kind.kind is dtypes.Kind.INTEGER:
            arguments = (*arguments[:-1], self._divisor(node, arguments[-1], guard))
        text = lower.text
        if kind.kind is dtypes.Kind.INTEGER and lower.integer is not None:
            text = lower.integer
        elif kind.kind is dtypes.Kind.BOOL and lower.boolean is not None:
            text = lower.boolean
        if text == "{0}":
            return arguments[0]
        source = node.inputs[0].dtype
        return rounded(Call(_filled(text, kind, source, node.attrs), arguments, node.dtype))

    def _divisor(self, node: Node, value: Expr, guard: Guard) -> Expr:
        """An integer divisor, reported where it is 0 and matters: ``{site}`` is put in later."""
        if isinstance(value, Const) and value.value != 0:
            return value
        matters: Expr = Const(True, dtypes.bool_)
        if guard:
            matters = Masked(guard, matters, Const(False, dtypes.bool_))
        text = f"({value.dtype.c})gc_divisor(GC_REPORTER, {{site}}, {{0}}, {{1}})"
        checked = Call(text, (value, matters), value.dtype)
        self.divisors[id(checked)] = node
        self._alive.append(checked)
        return checked

    def _mapped(self, node: Node, lower: IndexMap, index: Index, guard: Guard) -> Expr:
        types = [x.type for x in node.inputs]
        sources: tuple[Source, ...] = lower.rule(index, *types, **node.attrs)
        fill = node.attrs[lower.fill] if isinstance(lower.fill, str) else lower.fill
        result: Expr = Const(to_number(fill, node.dtype), node.dtype)
        for source in reversed(sources):
            conditions = simplified(source.conditions)
            if conditions is None:
                continue
            at = tuple(rejoined(i) for i in source.index)
            rest: Guard = ()
            if len(sources) > 1 and not conditions:  # what the sources before it leave over
                shape = node.inputs[source.input].shape
                rest = tuple(InRange(i, size) for i, size in zip(at, shape, strict=True))
            both = simplified((*guard, *conditions, *rest))
            if both is None:
                continue
            inner = self.value(node.inputs[source.input], at, both)
            result = masked(conditions, both, inner, result)
        return result

    def _gathered(self, node: Node, lower: Gather, index: Index, guard: Guard) -> Expr:
        data, indices = node.inputs[0], node.inputs[1]
        where, dim = lower.rule(index, *(x.type for x in node.inputs), **node.attrs)
        position = self.value(indices, tuple(where), guard)
        at = self.check(node, position, data.shape[dim], wraps(node), guard)
        end = dim + len(where) if wraps(node) else dim + 1
        return self.value(data, (*index[:dim], at, *index[end:]), guard)

    def _put(self, node: Node, index: Index, guard: Guard) -> Expr:
        """A scatter with one entry along its dim: each element is or is not the one written."""
        data, indices, values = node.inputs
        dim = node.attrs["dim"]
        where = (*index[:dim], 0, *index[dim + 1 :])
        position = self.value(indices, where, guard)
        at = self.check(node, position, data.shape[dim], wraps(node), guard)
        old = self.value(data, index, guard)
        new = self.value(values, where, guard)
        combine = combine_of(node)
        if combine is not None:
            text = _filled(_JOINED[combine], node.dtype, node.dtype, {})
            new = rounded(Call(text, (old, new), node.dtype))
        here = (Position(index[dim], dtypes.int64), Position(at, dtypes.int64))
        return Call("({0} == {1} ? {2} : {3})", (*here, new, old), node.dtype)

    def _multiplied(self, node: Node, index: Index, guard: Guard) -> Expr:
        """A contraction that sums over nothing: a product of two elements."""
        depth = dict.fromkeys(node.attrs["spec"].replace("->", "").replace(",", ""), 0)
        left, right = contracted(node, index, depth)
        a = self.value(node.inputs[0], left, guard)
        b = self.value(node.inputs[1], right, guard)
        return rounded(Call("({0} * {1})", (a, b), node.dtype))

    def check(self, node: Node, expr: Expr, limit: Int, wrap: bool, guard: Guard = ()) -> Int:
        """A value as an index below ``limit``, reported when it is outside and matters."""
        expr = masked(guard, guard, expr, Const(0, expr.dtype))
        key = (node, expr, limit)
        name = self.index_names.get(key)
        if name is None:
            count = len(self.index_names)
            name = self.index_names[key] = f"at_{count + 1}" if count else "at"
        known = _lies_within(node.inputs[1], limit)
        self.checked.setdefault(name, Checked(name, expr, limit, node, wrap, known))
        return symbol(name, limit if limit != 1 else None)


def _lies_within(index: Node, limit: Int) -> bool:
    """Whether a table of indices is constant, and all of it in ``[0, limit)``."""
    if index.op is not CONSTANT or not isinstance(limit, int):
        return False
    array = index.attrs["value"].array
    return bool(array.size and array.min() >= 0 and array.max() < limit)


_JOINED = {
    Combine.SUM: "({0} + {1})",
    Combine.PROD: "({0} * {1})",
    Combine.MAX: "gc_max_{t}({0}, {1})",
    Combine.MIN: "gc_min_{t}({0}, {1})",
}


def combine_of(node: Node) -> Combine | None:
    """How a scatter joins what it writes with what is there; None where it replaces it."""
    how = node.attrs.get("how")
    if how is not None:
        return Combine(how)
    return Combine.SUM if node.attrs["add"] else None


def wraps(node: Node) -> bool:
    """Whether negative entries of an index count from the end.

    They do where the index stands in the place of a dim (``take``, ``put_index``), not where it
    has the rank of the data.
    """
    return node.op.name not in ("gather", "scatter", "scatter_fold")


def contracted(node: Node, index: Index, sweep: Mapping[str, Int]) -> tuple[Index, Index]:
    """The indices into both operands of a contraction, its summed letters given by ``sweep``."""
    operands, out = node.attrs["spec"].split("->")
    left, right = operands.split(",")
    at = {**sweep, **dict(zip(out, index, strict=True))}
    return tuple(at[letter] for letter in left), tuple(at[letter] for letter in right)


def masked(conditions: Guard, guard: Guard, value: Expr, other: Expr) -> Expr:
    """``value`` where the conditions hold; a load that only they guard takes ``other`` itself."""
    if not conditions:
        return value
    if (
        isinstance(value, Load)
        and isinstance(other, Const)
        and set(conditions) <= set(value.mask)
        and (set(value.mask) <= set(guard) or _same(value.other, other.value))
    ):
        return Load(value.buffer, value.index, value.dtype, value.mask, other.value)
    return Masked(conditions, value, other)


def _same(a: bool | int | float, b: bool | int | float) -> bool:
    return repr(float(a)) == repr(float(b))


def _generated(node: Node, lower: Generate, index: Index) -> Expr:
    value = lower.rule(index, node.type, **node.attrs)
    if isinstance(value, Const):
        return Const(to_number(value.value, node.dtype), node.dtype)
    return rounded(value)


def broadcast_index(index: Index, shape: tuple[Int, ...]) -> Index:
    """The index of an operand of a pointwise operation: sizes of 1 stay at 0."""
    lead = len(index) - len(shape)
    return tuple(0 if size == 1 else index[lead + d] for d, size in enumerate(shape))


def computed_in(node: Node) -> DType:
    """The dtype whose code a scalar row uses: a cast's own, else that of what it works on."""
    if "dtype" in node.attrs:
        kind: DType = node.attrs["dtype"]
        return kind
    if node.dtype is dtypes.bool_ and node.inputs:
        return node.inputs[-1].dtype
    return node.dtype


def _filled(text: str, kind: DType, source: DType, attrs: Mapping[str, Any]) -> str:
    """A row's text with type names and attributes put in; the operands stay ``{0}``, ``{1}``."""
    words = {
        "t": "f32" if kind in _HALVES else kind.short,
        "c": "float" if kind in _HALVES else kind.c,
        "s": "f32" if source in _HALVES else source.short,
    }

    def word(match: "re.Match[str]") -> str:
        name = match[1]
        return words[name] if name in words else str(attrs[name])

    return _FIELD.sub(word, text)


def rounded(value: Expr) -> Expr:
    """A value computed in float32 with the precision its 16-bit dtype has in memory."""
    if value.dtype not in _HALVES:
        return value
    return Call(rounding(value.dtype), (value,), value.dtype)


def to_number(value: bool | int | float, kind: DType) -> bool | int | float:
    """A Python number as an element of ``kind`` has it."""
    if kind not in _HALVES:
        return value
    with np.errstate(all="ignore"):
        return float(np.asarray(value, np.float32).astype(kind.numpy))


def positions(expr: Expr) -> tuple[Int, ...]:
    """The index expressions that stand directly in an expression."""
    if isinstance(expr, Load):
        return (expr.index, *in_conditions(expr.mask))
    if isinstance(expr, Position):
        return (expr.index,)
    if isinstance(expr, Masked):
        return in_conditions(expr.conditions)
    return ()


def in_conditions(conditions: Guard) -> tuple[Int, ...]:
    found: list[Int] = []
    for condition in conditions:
        found.append(condition.index)
        found.append(condition.by if hasattr(condition, "by") else condition.limit)
    return tuple(found)
