"""The tensor graph: operations, nodes, graphs, and their text form.

A :class:`Node` is one application of an :class:`Op`; it is immutable and, inside a
:class:`Builder`, interned: the same operation on the same inputs is the same object, so common
subexpressions merge by themselves. Names and source lines live beside the nodes in the graph,
never in their identity.

An operation is called on *operands*. Whatever has an ``__apply__`` method is an operand: a node of
a graph under construction, or an eager tensor. The rules of an operation (its gradient, its
decomposition) are written once against that protocol and so build graph or run at once.
"""

import inspect
import itertools
import keyword
import math
import re
import weakref
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Protocol, Union

import numpy as np

from graphc.device import device as Device
from graphc.dtypes import dtype as DType
from graphc.errors import GraphError, Location
from graphc.expressions import Combine, Condition, Expr
from graphc.sizes import Int

Number = Union[bool, int, float]
Attrs = Mapping[str, Any]
CPU = Device("cpu")


class TensorType:
    """What is known of a value before it is computed.

    Equal types are one object, so comparing and hashing cost nothing.
    """

    __slots__ = ("__weakref__", "device", "dtype", "shape")

    shape: tuple[Int, ...]
    dtype: DType
    device: Device

    def __new__(cls, shape: tuple[Int, ...], dtype: DType, device: Device = CPU) -> "TensorType":
        known = _TYPES.get((shape, dtype, device))
        if known is not None:
            return known
        # A size of NumPy's, which is no int, must not stand for the equal int from now on.
        plain = tuple(int(n) if isinstance(n, np.integer) else n for n in shape)
        made = object.__new__(cls)
        for name, value in (("shape", plain), ("dtype", dtype), ("device", device)):
            object.__setattr__(made, name, value)
        return _TYPES.setdefault((plain, dtype, device), made)

    def __setattr__(self, name: str, _value: object) -> None:
        raise AttributeError(f"attribute {name!r} of a TensorType is not writable")

    def __reduce__(self) -> Any:
        return TensorType, (self.shape, self.dtype, self.device)

    def __repr__(self) -> str:
        return f"TensorType({self})"

    def __str__(self) -> str:
        where = "" if self.device == CPU else f"@{self.device}"
        return f"{self.dtype.short}[{', '.join(map(str, self.shape))}]{where}"

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def with_shape(self, shape: Iterable[Int]) -> "TensorType":
        return TensorType(tuple(shape), self.dtype, self.device)

    def with_dtype(self, dtype: DType) -> "TensorType":
        return TensorType(self.shape, dtype, self.device)


_TYPES: "weakref.WeakValueDictionary[Any, TensorType]" = weakref.WeakValueDictionary()


class Operand(Protocol):
    """A node of a graph or an eager tensor; both carry the arithmetic operators too."""

    @property
    def shape(self) -> tuple[Any, ...]: ...
    @property
    def dtype(self) -> Any: ...
    def __apply__(self, op: "Op", operands: Sequence[Any], attrs: Attrs) -> Any: ...


# ---------------------------------------------------------------------------- ways to lower a row


@dataclass(frozen=True)
class Scalar:
    """One scalar expression per element, in C that both targets accept.

    ``{0}``, ``{1}`` are the operands, ``{t}`` the short name of the type computed in (float32 for
    float16 and bfloat16), ``{c}`` its C name, ``{s}`` the short name of the first operand's type.
    ``integer`` and ``boolean`` replace the text for those dtypes. Attributes of the node are
    available by name (``{decimals}``). ``divides``: the last operand must not be 0 where it is an
    integer; kernels report it.
    """

    text: str
    integer: str | None = None
    boolean: str | None = None
    cost: int = 1  # in additions; what recomputing one element is worth
    divides: bool = False


@dataclass(frozen=True)
class Decompose:
    """Other operations: ``rule(*operands, **attrs)`` builds the same value from simpler rows."""

    rule: Callable[..., Any]


@dataclass(frozen=True)
class Source:
    """Element ``index`` of input number ``input``, where all conditions hold."""

    input: int
    index: tuple[Int, ...]
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class IndexMap:
    """Each output element is an input element (or ``fill``): views, padding, concatenation.

    ``rule(index, *types, **attrs)`` gives the sources in order; the first whose conditions hold
    is taken, and ``fill`` (an attribute name, or a number) where none does.
    """

    rule: Callable[..., tuple[Source, ...]]
    fill: str | Number = 0


@dataclass(frozen=True)
class Reduce:
    """Joins over the attribute ``dims``; ``keepdim`` keeps them with size 1."""

    combine: Combine


@dataclass(frozen=True)
class Generate:
    """No inputs: ``rule(index, type, **attrs)`` is the loop expression of an element."""

    rule: Callable[..., Expr]


class Contract:
    """The generalised matrix product ``contract(a, b, spec='mk,kn->mn')``."""


PURE = (Scalar, IndexMap, Reduce, Generate, Contract)
"""Lowerings of values that follow from the operands alone, whatever these hold."""


@dataclass(frozen=True)
class Gather:
    """``rule(index, *types, **attrs) -> (index into the indices, dim)``.

    Output element = element of input 0 at ``dim`` replaced by the loaded, checked index: see the
    rows ``take`` and ``gather``.
    """

    rule: Callable[..., Any]


@dataclass(frozen=True)
class Scatter:
    """``scatter(x, index, values)`` along the attribute ``dim``; attribute ``add`` accumulates."""

    rule: Callable[..., Any]


@dataclass(frozen=True)
class Work:
    """What a node with a template of its own needs.

    cost     scalar operations for each element of the first operand
    scratch  bytes of working memory for each thread (C)
    fields   what its template reads beside the attributes
    units    parts that threads share out, where they are not the rows along the attribute ``dim``
    """

    cost: float = 4
    scratch: Int = 0
    fields: "Attrs" = field(default_factory=dict)
    units: Int | None = None


@dataclass(frozen=True)
class Named:
    """A named template (scan, sort): ``templates/c/NAME.j2`` and ``templates/cuda/NAME.j2``.

    For what loops of the loop IR cannot say; :mod:`graphc.codegen.templates` tells what such a
    template reads. ``work(*types, **attrs)`` is the :class:`Work` of a node.
    """

    template: str
    work: Callable[..., Work] = lambda *_types, **_attrs: Work()


class Host:
    """Evaluated by the row's own NumPy/SciPy function between native calls."""


class Repeat:
    """A loop in the program around the kernels of its body: see :mod:`graphc.ops.loops`."""


class Result:
    """One of the values that an operation with several gives; made where that is made."""


class Leaf:
    """Inputs and literal constants: memory that exists before the program runs."""


Lowering = Union[
    Scalar,
    Decompose,
    IndexMap,
    Reduce,
    Generate,
    Contract,
    Gather,
    Scatter,
    Named,
    Host,
    Repeat,
    Result,
    Leaf,
]


@dataclass(frozen=True)
class Sample:
    """Arguments that test a row: arrays for the operands, then attributes."""

    arrays: tuple[Any, ...]
    attrs: Attrs = field(default_factory=dict)
    differentiable: bool = True


# ------------------------------------------------------------------------------------- operations

OPS: "dict[str, Op]" = {}


@dataclass(frozen=True, eq=False)
class Op:
    """One row of the registry.

    infer      ``(*types, **attrs) -> TensorType``; raises what PyTorch raises on bad input
    evaluate   ``(*arrays, **attrs) -> ndarray``; with ``view`` set it returns a NumPy view
    vjp        ``(g, y, *xs, **attrs) -> (cotangent or None per input)``, built from operations; a
               parameter whose name begins with an underscore is not needed and not kept alive.
               Cotangents may have the broadcast shape: the driver sums them down.
    put        for views: ``(base, value, **attrs) -> base'``, the base with its view replaced
    reference  an independent implementation for tests (torch name or function)
    wide       16-bit operands are computed in float32 and rounded once: so is the gradient
    """

    name: str
    infer: Callable[..., TensorType]
    evaluate: Callable[..., Any]
    lower: Lowering
    vjp: Callable[..., tuple[Any, ...]] | None = None
    put: Callable[..., Any] | None = None
    samples: Callable[[], Iterable[Sample]] | None = None
    reference: Any = None
    wide: bool = False

    def __call__(self, *operands: Any, **attrs: Any) -> Any:
        for operand in operands:
            if hasattr(operand, "__apply__"):
                return operand.__apply__(self, operands, attrs)
        raise TypeError(f"{self.name} needs at least one tensor among its operands")

    def __repr__(self) -> str:
        return f"<operation {self.name}>"

    @property
    def is_view(self) -> bool:
        return self.put is not None

    @cached_property
    def saves(self) -> tuple[bool, ...]:
        """Which of (y, x0, x1, ...) the gradient reads; the last entry repeats for varargs."""
        if self.vjp is None:
            return (False,)
        kept = []
        for p in list(inspect.signature(self.vjp).parameters.values())[1:]:
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL):
                kept.append(not p.name.startswith("_"))
        return tuple(kept)


def register(op: Op) -> Op:
    """Adds a row; a second row of the same name is a mistake."""
    if op.name in OPS:
        raise ValueError(f"operation {op.name!r} is registered twice")
    OPS[op.name] = op
    return op


def _freeze(attrs: Attrs) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(attrs.items()))


@lru_cache(maxsize=16384)
def _infer(op: Op, types: tuple[TensorType, ...], attrs: tuple[tuple[str, Any], ...]) -> TensorType:
    return op.infer(*types, **dict(attrs))


def infer_type(op: Op, types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    """The type of ``op`` applied to operands of these types; errors are those of the row."""
    return _infer(op, tuple(types), _freeze(attrs))


def _no_evaluation(*_arrays: Any, **_attrs: Any) -> Any:
    raise GraphError("inputs have no value of their own")


@dataclass(frozen=True, eq=False)
class Literal:
    """Constant data inside a graph; equal when dtype, shape and bytes are."""

    array: "np.ndarray[Any, Any]"

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        return (str(self.array.dtype), self.array.shape, self.array.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __lt__(self, other: "Literal") -> bool:  # attributes are sorted
        return self._key < other._key


INPUT = register(
    Op("input", lambda *, name, type: type, _no_evaluation, Leaf())  # noqa: ARG005
)
CONSTANT = register(
    Op(
        "constant",
        lambda *, value, type: type,  # noqa: ARG005
        lambda *, value, type: value.array,  # noqa: ARG005
        Leaf(),
    )
)


# ------------------------------------------------------------------------------------------ nodes

_serial = itertools.count()


class Arithmetic:
    """Operators of an operand; each one is the row of that name."""

    __slots__ = ()

    def __add__(self, other: Any) -> Any:
        return OPS["add"](self, other)

    def __radd__(self, other: Any) -> Any:
        return OPS["add"](other, self)

    def __sub__(self, other: Any) -> Any:
        return OPS["sub"](self, other)

    def __rsub__(self, other: Any) -> Any:
        return OPS["sub"](other, self)

    def __mul__(self, other: Any) -> Any:
        return OPS["mul"](self, other)

    def __rmul__(self, other: Any) -> Any:
        return OPS["mul"](other, self)

    def __truediv__(self, other: Any) -> Any:
        return OPS["div"](self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return OPS["div"](other, self)

    def __neg__(self) -> Any:
        return OPS["neg"](self)


class Node(Arithmetic):
    """One application of an operation. Identity is object identity; create it in a builder."""

    __slots__ = ("__weakref__", "attrs", "builder", "inputs", "op", "serial", "type")

    def __init__(
        self,
        op: Op,
        inputs: "tuple[Node, ...]",
        attrs: Attrs,
        type: TensorType,
        builder: "Builder | None" = None,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.attrs = attrs
        self.type = type
        self.builder = builder
        self.serial = next(_serial)

    @property
    def shape(self) -> tuple[Int, ...]:
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def device(self) -> Device:
        return self.type.device

    @property
    def ndim(self) -> int:
        return len(self.type.shape)

    def __apply__(self, op: Op, operands: Sequence[Any], attrs: Attrs) -> "Node":
        if self.builder is None:
            raise GraphError(f"{self.op.name} belongs to a finished tape and cannot be extended")
        return self.builder.apply(op, operands, attrs)

    def __repr__(self) -> str:
        arguments = [n.op.name if n.op is not INPUT else n.attrs["name"] for n in self.inputs]
        arguments += [f"{k}={format_attr(v)}" for k, v in self.attrs.items()]
        return f"<{self.op.name}({', '.join(arguments)}): {self.type}>"


class Builder:
    """A graph under construction: interns nodes, remembers where each came from."""

    def __init__(self, location: Callable[[], Location | None] | None = None) -> None:
        self._interned: dict[tuple[Any, ...], Node] = {}
        self._location = location
        self.locations: dict[Node, Location] = {}
        self.names: dict[Node, str] = {}
        self.origins: dict[Node, str] = {}

    def input(self, name: str, type: TensorType) -> Node:
        """A new input; names are made unique by a number."""
        unique, count = name, 1
        while (INPUT, unique) in self._interned:
            count += 1
            unique = f"{name}_{count}"
        node = Node(INPUT, (), {"name": unique, "type": type}, type, self)
        self._interned[INPUT, unique] = node
        self.names[node] = unique
        return node

    def constant(self, array: "np.ndarray[Any, Any]", type: TensorType) -> Node:
        return self.apply(CONSTANT, (), {"value": Literal(array), "type": type})

    def number(self, value: Number, dtype: DType, device: Device = CPU) -> Node:
        """A scalar constant of shape ()."""
        full = OPS["full"]
        return self.apply(full, (), {"value": value, "shape": (), "dtype": dtype, "device": device})

    def apply(
        self,
        op: Op,
        operands: Sequence[Any],
        attrs: Attrs,
        location: Location | None = None,
    ) -> Node:
        """The node of ``op`` on these operands (numbers take the dtype of the tensors)."""
        nodes = self._lift(op, operands)
        frozen = _freeze(attrs)
        key = (op, nodes, _keyed(frozen))
        found = self._interned.get(key)
        if found is not None:
            return found
        type = _infer(op, tuple(n.type for n in nodes), frozen)
        node = Node(op, nodes, dict(attrs), type, self)
        self._interned[key] = node
        where = location or (self._location() if self._location else None)
        if where is not None:
            self.locations[node] = where
        return node

    def _lift(self, op: Op, operands: Sequence[Any]) -> tuple[Node, ...]:
        tensors = [x for x in operands if isinstance(x, Node)]
        for node in tensors:
            if node.builder is not self:
                raise GraphError(f"{op.name} mixes nodes of two graphs: {node!r}")
        if len(tensors) == len(operands):
            return tuple(tensors)
        like = _leading(tensors)
        return tuple(
            x if isinstance(x, Node) else self.number(x, like.dtype, like.device) for x in operands
        )


def _leading(tensors: Sequence[Node]) -> Node:
    """The operand whose dtype and device numbers beside it take."""
    return next((n for n in tensors if n.dtype.short != "b1"), tensors[0])


def _keyed(frozen: tuple[tuple[str, Any], ...]) -> tuple[Any, ...]:
    """Attributes as an interning key: 1, 1.0 and True differ, 0.0 and -0.0 differ."""
    return tuple((k, _key_value(v)) for k, v in frozen)


def _key_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_key_value(v) for v in value)
    if isinstance(value, (bool, int, float)):
        return (type(value).__name__, repr(value))
    return value


# ----------------------------------------------------------------------------------------- graphs


def topological(outputs: Iterable[Node]) -> list[Node]:
    """Every node the outputs need, inputs before users, in a stable order."""
    order: list[Node] = []
    done: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(n, False) for n in reversed(list(outputs))]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
            continue
        if node in done:
            continue
        done.add(node)
        stack.append((node, True))
        stack.extend((n, False) for n in reversed(node.inputs) if n not in done)
    return order


@dataclass(frozen=True, eq=False)
class Graph:
    """Inputs, outputs, and the values written back into inputs after the run.

    ``origins`` says of what is left of a composite operation which one it was.
    """

    name: str
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    writes: tuple[tuple[Node, Node], ...] = ()
    names: Mapping[Node, str] = field(default_factory=dict)
    locations: Mapping[Node, Location] = field(default_factory=dict)
    origins: Mapping[Node, str] = field(default_factory=dict)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes in topological order; unused inputs come first."""
        order = topological([*self.outputs, *(value for _, value in self.writes)])
        present = set(order)
        return (*(n for n in self.inputs if n not in present), *order)

    @property
    def results(self) -> tuple[Node, ...]:
        """Outputs, then written values."""
        return (*self.outputs, *(value for _, value in self.writes))

    @cached_property
    def users(self) -> Mapping[Node, tuple[Node, ...]]:
        found: dict[Node, list[Node]] = {n: [] for n in self.nodes}
        for node in self.nodes:
            for source in dict.fromkeys(node.inputs):
                found[source].append(node)
        return {n: tuple(u) for n, u in found.items()}

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __str__(self) -> str:
        return format_graph(self)

    def rebuild(self, replace: Callable[[Builder, Node, tuple[Node, ...]], Node | None]) -> "Graph":
        """A new graph: ``replace(builder, node, new_inputs)`` gives each node's successor.

        None keeps the operation. Names, locations and origins follow along; dead code falls away.
        """
        builder = Builder()
        new: dict[Node, Node] = {}
        for node in self.nodes:
            if node.op is INPUT:
                new[node] = builder.input(node.attrs["name"], node.type)
                continue
            inputs = tuple(new[n] for n in node.inputs)
            before = len(builder._interned)
            successor = replace(builder, node, inputs)
            if successor is None:
                successor = builder.apply(node.op, inputs, node.attrs)
            new[node] = successor
            where = self.locations.get(node)
            origin = self.origins.get(node)
            if origin is None and isinstance(node.op.lower, Decompose):
                origin = node.op.name
            count = len(builder._interned) - before  # dicts keep the order of insertion
            for made in itertools.islice(reversed(builder._interned.values()), count):
                if where is not None:
                    builder.locations.setdefault(made, where)
                if origin is not None:
                    builder.origins.setdefault(made, origin)
            if node in self.names:
                builder.names.setdefault(successor, self.names[node])
        return Graph(
            self.name,
            tuple(new[n] for n in self.inputs),
            tuple(new[n] for n in self.outputs),
            tuple((new[i], new[v]) for i, v in self.writes),
            builder.names,
            builder.locations,
            builder.origins,
        )


@dataclass(frozen=True, eq=False)
class Body:
    """A graph as an attribute: what a loop computes at each step. Equal when it computes the same.

    It reads its inputs only and writes none of them.
    """

    graph: Graph

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        graph = self.graph
        numbers = {node: i for i, node in enumerate(graph.inputs)}
        steps = []
        for node in graph.nodes:
            if node.op is not INPUT:
                numbers[node] = len(numbers)
                operands = tuple(numbers[n] for n in node.inputs)
                steps.append((node.op.name, operands, _keyed(_freeze(node.attrs))))
        types = tuple(n.type for n in graph.inputs)
        return types, tuple(steps), tuple(numbers[n] for n in graph.outputs)

    @cached_property
    def _hash(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Body) and (self is other or self._key == other._key)

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return self.graph.name


def verify(graph: Graph, after: str = "construction") -> Graph:
    """Checks what every pass may rely on; the error names the pass that broke it."""
    inputs = set(graph.inputs)
    seen: set[Node] = set()
    for node in graph.nodes:
        where = f"after {after}: {node!r}"
        if node.op is INPUT and node not in inputs:
            raise GraphError(f"{where} is an input that the graph does not list")
        for source in node.inputs:
            if source not in seen:
                raise GraphError(f"{where} uses {source!r} before it is computed")
        if OPS.get(node.op.name) is not node.op:
            raise GraphError(f"{where} is no registered operation")
        expected = infer_type(node.op, [n.type for n in node.inputs], node.attrs)
        if expected != node.type:
            raise GraphError(f"{where} says {node.type}, its row infers {expected}")
        seen.add(node)
    for body in dict.fromkeys(bodies_of(graph)):
        verify(body.graph, after)
    targets = [target for target, _ in graph.writes]
    if len(set(targets)) != len(targets):
        raise GraphError(f"after {after}: an input is written twice")
    for target, value in graph.writes:
        if target not in inputs:
            raise GraphError(f"after {after}: {target!r} is written but is no input")
        if target.type != value.type:
            raise GraphError(f"after {after}: {target!r} is written with {value.type}")
    return graph


# -------------------------------------------------------------------------------------- text form


def format_attr(value: Any) -> str:
    """An attribute as it stands in the text form."""
    if isinstance(value, DType):
        return value.short
    if isinstance(value, Device):
        return f"device({str(value)!r})"
    if isinstance(value, tuple):
        inner = ", ".join(format_attr(v) for v in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, Literal):
        shape = format_attr(value.array.shape)
        return f"literal({str(value.array.dtype)!r}, {shape}, '{value.array.tobytes().hex()}')"
    if isinstance(value, float):
        return repr(float(value))  # NumPy's scalars are floats too, with a longer repr
    if isinstance(value, (bool, int, str)) or value is None:
        return repr(value)
    return str(value)


_READABLE = re.compile(r"\w+(\[\d+\])*(\.\w+(\[\d+\])*)*")


def readable_name(name: str) -> str:
    """A name as the text form can hold it: ``layers[0].weight`` stays, ``my value`` does not."""
    words = re.sub(r"\[\d+\]", "", name).split(".")
    if _READABLE.fullmatch(name) and all(map(_is_word, words)):
        return name
    plain = re.sub(r"[^0-9A-Za-z_]", "_", name)
    return plain if _is_word(plain) else f"_{plain}"


def _is_word(text: str) -> bool:
    """Whether Python reads the text as a name, and as the same one."""
    if not text.isascii():
        import unicodedata  # its tables are large, and needed for few programs

        if not unicodedata.is_normalized("NFKC", text):
            return False
    return text.isidentifier() and not keyword.iskeyword(text)


def node_names(graph: Graph, hidden: Container[Node] = ()) -> dict[Node, str]:
    """A unique name for every node: the user's where known, else the operation's and a number.

    ``hidden`` nodes get none.
    """
    names: dict[Node, str] = {}
    taken: set[str] = set()
    counts: dict[str, int] = {}
    for node in (*graph.inputs, *(n for n in graph.nodes if n.op is not INPUT)):
        if node in hidden:
            continue
        known = node.attrs["name"] if node.op is INPUT else node.op.name
        stem = readable_name(graph.names.get(node, known))
        name = stem
        while name in taken:
            counts[stem] = counts.get(stem, 0) + 1
            name = f"{stem}_{counts[stem]}"
        names[node] = name
        taken.add(name)
    return names


def _is_implied(node: Node, key: str, value: Any) -> bool:
    """Whether an attribute is said by the rest of the line: a literal's type, the usual device."""
    return (node.op is CONSTANT and key == "type") or (key == "device" and value == CPU)


def _plain_numbers(graph: Graph) -> dict[Node, str]:
    """Scalar constants that stand as numbers among the operands of every user: ``mul(x, 2.0)``."""
    results = set(graph.results)
    found = {
        n: repr(n.attrs["value"])
        for n in graph.nodes
        if n.op.name == "full" and n.shape == () and n not in results and n not in graph.names
        and type(n.attrs["value"]) in (bool, int, float) and math.isfinite(n.attrs["value"])
    }  # fmt: skip
    before = -1
    while before != len(found):
        before = len(found)
        for node in graph.nodes:
            numbers = [n for n in node.inputs if n in found]
            tensors = [n for n in node.inputs if n not in found]
            if numbers and not tensors:
                del found[numbers[0]]
            elif numbers:
                like = _leading(tensors)
                for number in numbers:
                    if (number.dtype, number.device) != (like.dtype, like.device):
                        found.pop(number, None)
    return found


def bodies_of(graph: Graph) -> Iterator[Body]:
    """The bodies that the graph's own nodes mention."""
    for node in graph.nodes:
        yield from (value for value in node.attrs.values() if isinstance(value, Body))


def _body_names(graph: Graph) -> dict[Body, str]:
    """A name for every body in the graph and in its bodies, outer ones first."""
    found: dict[Body, str] = {}
    pending = [graph]
    taken = {graph.name}
    while pending:
        for body in bodies_of(pending.pop(0)):
            if body not in found:
                name, count = body.graph.name, 1
                while name in taken:
                    count += 1
                    name = f"{body.graph.name}_{count}"
                taken.add(name)
                found[body] = name
                pending.append(body.graph)
    return found


def format_graph(graph: Graph) -> str:
    """The text form; :func:`graphc.ir_text.parse_graph` reads it back.

    The bodies of loops follow as graphs of their own.
    """
    bodies = _body_names(graph)
    texts = [_format(graph, graph.name, bodies)]
    texts += [_format(body.graph, name, bodies) for body, name in bodies.items()]
    return "\n\n".join(texts)


def _format(graph: Graph, title: str, bodies: Mapping[Body, str]) -> str:
    numbers = _plain_numbers(graph)
    names = node_names(graph, hidden=numbers) | numbers
    lines = [f"graph {title}("]
    lines += [f"    {names[n]}: {n.type}," for n in graph.inputs]
    lines.append(") {")
    body: list[tuple[str, str]] = []
    for node in graph.nodes:
        if node.op is INPUT or node in numbers:
            continue
        arguments = [names[n] for n in node.inputs]
        arguments += [
            f"{k}={bodies[v] if isinstance(v, Body) else format_attr(v)}"
            for k, v in node.attrs.items()
            if not _is_implied(node, k, v)
        ]
        left = f"    {names[node]}: {node.type} = {node.op.name}({', '.join(arguments)})"
        where = graph.locations.get(node)
        body.append((left, f"# {where}" if where is not None else ""))
    width = min(max((len(left) for left, note in body if note), default=0), 96)
    lines += [f"{left:<{width}}  {note}".rstrip() if note else left for left, note in body]
    lines += [f"    write {names[t]} <- {names[v]}" for t, v in graph.writes]
    lines.append(f"    return {', '.join(names[n] for n in graph.outputs)}".rstrip())
    lines.append("}")
    return "\n".join(lines)
