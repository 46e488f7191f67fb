"""Reads the text form of graphs back: ``parse_graph(str(graph))`` is the same graph.

::

    text   = graph {graph}, where the later ones are bodies of loops in those before
    graph  = "graph" NAME "(" {NAME ":" type ","} ")" "{" {line} "return" names "}"
    line   = NAME ":" type "=" operation "(" operands, attribute "=" value ... ")" [place]
           | "write" NAME "<-" NAME
    operand = NAME | number
    place  = "#" file ":" line
    type   = dtype "[" sizes "]" ["@" device]
    value  = number | text | dtype | size | "device(...)" | "literal(...)" | "(" values ")"

Calls and sizes have Python's syntax, so Python's own parser reads them; nothing is evaluated
but what the grammar above names. A device that is not named is the CPU. In a size, ``/`` is the
floor division of integers.
"""

import ast
import inspect
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.device import device as Device
from graphc.errors import GraphcError, GraphError, Location
from graphc.ir import (
    CONSTANT,
    CPU,
    INPUT,
    OPS,
    Body,
    Builder,
    Graph,
    Literal,
    Node,
    Number,
    Op,
    TensorType,
)
from graphc.sizes import Int, floordiv, mod, symbol

_HEADER = re.compile(r"graph (.*)\(")
_TYPE = re.compile(r"(\w+)\[(.*)\](?:@(\S+))?")
_PLACE = re.compile(r"# (.*):(\d+)")
_NUMBERS = {"inf": float("inf"), "nan": float("nan")}


def parse_graph(text: str) -> Graph:
    """The graph of a text that :func:`graphc.ir.format_graph` wrote, or that somebody typed.

    Names and source lines are kept. Raises GraphError with the number of the line for text that
    does not follow the grammar, for unknown operations and names, and where a declared type is
    not the one that the operation's row infers.
    """
    numbered = list(enumerate(text.splitlines(), 1))
    starts = [i for i, (_, line) in enumerate(numbered) if _HEADER.fullmatch(line.strip())]
    starts = [0, *starts[1:], len(numbered)]
    bodies: dict[str, Body] = {}
    for start, end in reversed(list(itertools.pairwise(starts))):
        lines = _Lines(numbered[start:end])
        try:
            graph = _Parser(bodies).graph(lines)
            if graph.name in bodies:
                raise ValueError(f"two graphs are called {graph.name}")
        except (GraphcError, ValueError, KeyError, TypeError, SyntaxError, IndexError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            raise GraphError(f"line {lines.number} of the graph: {reason}") from error
        bodies[graph.name] = Body(graph)
    return graph


class _Lines:
    """The lines that say something, and the number of the last one taken."""

    def __init__(self, numbered: list[tuple[int, str]]) -> None:
        self._all = numbered
        self.number = numbered[0][0] - 1 if numbered else 0

    def __iter__(self) -> Iterator[str]:
        for number, line in self._all:
            self.number = number
            if line.strip():
                yield line.strip()


class _Parser:
    def __init__(self, bodies: Mapping[str, Body]) -> None:
        self.bodies = bodies
        self.builder = Builder()
        self.known: dict[str, Node] = {}
        self.inputs: list[Node] = []
        self.writes: list[tuple[Node, Node]] = []

    def graph(self, lines: _Lines) -> Graph:
        name: str | None = None
        inside = False
        outputs: tuple[Node, ...] | None = None
        for line in lines:
            header = _HEADER.fullmatch(line)
            if name is None and header is not None:
                name = header[1]
            elif name is None:
                raise ValueError("a graph begins with 'graph NAME('")
            elif outputs is not None:
                if line != "}":
                    raise ValueError("nothing follows 'return' but '}'")
                inside = False
            elif not inside:
                inside = self.declaration(line)
            elif line == "return" or line.startswith("return "):
                outputs = tuple(self.node(n.strip()) for n in line[6:].split(",") if n.strip())
            elif line.startswith("write "):
                target, value = line[6:].split(" <- ")
                self.writes.append((self.node(target), self.node(value)))
            else:
                self.application(line)
        if name is None or outputs is None or inside:
            raise ValueError("the graph ends early: 'return' or '}' is missing")
        return Graph(
            name,
            tuple(self.inputs),
            outputs,
            tuple(self.writes),
            self.builder.names,
            self.builder.locations,
        )

    def declaration(self, line: str) -> bool:
        """An input; true when the list of inputs ends here."""
        if line == ") {":
            return True
        name, kind = line.rstrip(",").split(": ", 1)
        node = self.builder.input(name, parse_type(kind))
        if node.attrs["name"] != name:
            raise ValueError(f"two inputs are called {name}")
        self.inputs.append(node)
        self.known[name] = node
        return False

    def node(self, name: str) -> Node:
        if name not in self.known:
            raise ValueError(f"no value is called {name!r}")
        return self.known[name]

    def operand(self, written: ast.expr) -> Node | Number:
        """A value by its name, or a number, which takes the dtype of the values beside it."""
        if isinstance(written, (ast.Constant, ast.UnaryOp)):
            number = _value(written)
            if isinstance(number, (bool, int, float)):
                return number
        return self.node(ast.unparse(written))

    def attribute(self, key: str, written: ast.expr) -> Any:
        if key != "body":
            return _value(written)
        name = ast.unparse(written)
        if name not in self.bodies:
            raise ValueError(f"no graph below is called {name!r}")
        return self.bodies[name]

    def application(self, line: str) -> None:
        name, rest = line.split(": ", 1)
        declared, right = rest.split(" = ", 1)
        if name in self.known:
            raise ValueError(f"two values are called {name}")
        type = parse_type(declared)
        call = ast.parse(right, mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError(f"expected operation(...), not {right!r}")
        op = OPS.get(call.func.id)
        if op is None or op is INPUT:
            raise ValueError(f"no operation is called {call.func.id!r}")
        attrs = {k.arg: self.attribute(k.arg, k.value) for k in call.keywords if k.arg is not None}
        if op is CONSTANT:
            attrs["type"] = type
        if "device" not in attrs and "device" in _parameters(op):
            attrs["device"] = CPU
        operands = [self.operand(argument) for argument in call.args]
        node = self.builder.apply(op, operands, attrs)
        if node.type != type:
            raise ValueError(f"{name} is declared as {type}, but {op.name} gives {node.type}")
        self.known[name] = node
        self.builder.names.setdefault(node, name)
        comment = right.encode()[call.end_col_offset :].decode().strip()
        place = _PLACE.fullmatch(comment)
        if place is not None:
            self.builder.locations.setdefault(node, Location(place[1], int(place[2]), ""))


@cache
def _parameters(op: Op) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(op.infer).parameters


def parse_type(text: str) -> TensorType:
    """``f32[2, N + 1]@cuda:0`` as a type. Raises ValueError for anything else."""
    form = _TYPE.fullmatch(text.strip())
    if form is None:
        raise ValueError(f"{text!r} is no type such as f32[2, 3]")
    try:
        dtype = dtypes.from_short(form[1])
    except KeyError:
        raise ValueError(f"{form[1]!r} is no dtype") from None
    sizes = ast.parse(f"({form[2]},)" if form[2].strip() else "()", mode="eval").body
    shape = _value(sizes)
    return TensorType(shape, dtype, Device(form[3]) if form[3] else CPU)


# ------------------------------------------------------------------------------------ attributes


def _value(node: ast.expr) -> Any:
    """An attribute's value; only what the grammar names is understood."""
    if isinstance(node, ast.Constant):
        if not isinstance(node.value, (bool, int, float, str, type(None))):
            raise ValueError(f"{node.value!r} is no attribute")
        return node.value
    if isinstance(node, ast.Tuple):
        return tuple(_value(each) for each in node.elts)
    if isinstance(node, ast.Name):
        return _named(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.BinOp):
        return _joined(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        arguments = [_value(each) for each in node.args]
        if node.func.id == "device":
            return Device(*arguments)
        if node.func.id == "literal":
            return _literal(*arguments)
    raise ValueError(f"{ast.unparse(node)!r} is no attribute")


def _named(name: str) -> Any:
    """A dtype, a number that Python has no literal for, or a size."""
    if name in _NUMBERS:
        return _NUMBERS[name]
    try:
        return dtypes.from_short(name)
    except KeyError:
        return symbol(name)


_OPERATORS: dict[type[ast.operator], Callable[[Int, Int], Int]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: floordiv,
    ast.Mod: mod,
}


def _joined(node: ast.BinOp) -> Int:
    join = _OPERATORS.get(type(node.op))
    if join is None:
        raise ValueError(f"{ast.unparse(node)!r} is no size")
    return join(_value(node.left), _value(node.right))


def _literal(dtype: str, shape: tuple[int, ...], data: str) -> Literal:
    kind = next(d.numpy for d in dtypes.ALL if str(d.numpy) == dtype)
    return Literal(np.frombuffer(bytes.fromhex(data), kind).reshape(shape))
