"""Expressions as named statements: what is used twice, or is long, or the user named, gets a name.

Expressions come as shared objects (the same subexpression is the same object), so they are
compared by identity here, never by structure.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from graphc.errors import Location
from graphc.expressions import distinct, parts
from graphc.ir import Node
from graphc.kernel import (
    Call,
    Condition,
    Const,
    Expr,
    Index,
    Let,
    Load,
    Masked,
    Position,
    Ref,
    Statement,
)
from graphc.lowering.elements import Checked, Elements, positions
from graphc.sizes import Int, symbols

LONG = 8  # calls inside one another from which a value gets a name of its own


@dataclass(frozen=True)
class Names:
    """What the user's program says of nodes."""

    names: Mapping[Node, str]
    locations: Mapping[Node, Location]

    def stem(self, node: Node) -> str:
        return identifier(self.names.get(node, node.op.name))

    def line(self, node: Node) -> str:
        where = self.locations.get(node)
        return "" if where is None else str(where)


def identifier(text: str) -> str:
    """The text as a C identifier."""
    name = re.sub(r"[\W_]+", "_", text).strip("_")
    return name if name and not name[0].isdigit() else f"v{name}"


@dataclass
class Scope:
    """The names that are taken in one nest; equal expressions in two phases share a name."""

    taken: set[str] = field(default_factory=set)
    indices: dict[tuple[Node, Expr, Int], str] = field(default_factory=dict)

    def fresh(self, stem: str) -> str:
        name, count = stem, 1
        while name in self.taken:
            count += 1
            name = f"{stem}_{count}"
        self.taken.add(name)
        return name


class Writer:
    """Turns the expressions of one phase into statements and short expressions."""

    def __init__(self, elements: Elements, names: Names, scope: Scope, site: "SiteOf") -> None:
        self.elements = elements
        self.names = names
        self.scope = scope
        self.site = site
        self.statements: list[Statement] = []
        self._uses: dict[int, int] = {}
        self._repeats: set[int] = set()
        self._depths: dict[int, int] = {}
        self._long: set[int] = set()
        self._refs: dict[int, Expr] = {}
        self._inline: dict[tuple[int, tuple[Condition, ...]], Expr] = {}
        self._indexed: set[str] = set()
        self._alive: list[Expr] = []  # so that an id stays that of one expression
        self._pinned: set[int] = set()

    def pin(self, roots: Iterable[Expr], buffers: set[str]) -> None:
        """Gives names to loads from these buffers, so that they come before all stores."""
        alive = list(roots)
        self._alive += alive
        loads = (expr for expr in distinct(alive) if isinstance(expr, Load))
        self._pinned.update(id(load) for load in loads if load.buffer in buffers)

    def write(self, roots: Iterable[Expr]) -> list[Expr]:
        """The roots as expressions over names; the statements they need are added."""
        written = list(roots)
        self._alive += written
        for root in written:
            self._count(root)
        return [self._place(root) for root in written]

    def index(self, value: Int) -> None:
        """Makes sure the checked indices that an index expression mentions are computed."""
        for each in symbols(value):
            checked = self.elements.checked.get(each.name)
            if checked is not None and each.name not in self._indexed:
                self._indexed.add(each.name)
                self._check(checked)

    def _check(self, checked: Checked) -> None:
        self._count(checked.expr)
        expr = self._place(checked.expr)
        self.scope.taken.add(checked.name)
        self.statements.append(
            Index(
                checked.name,
                expr,
                checked.limit,
                self.site(checked.node),
                checked.wrap,
                checked.known,
            )
        )

    # ------------------------------------------------------------------------------- counting

    def _count(self, expr: Expr) -> None:
        key = id(expr)
        self._uses[key] = self._uses.get(key, 0) + 1
        if self._uses[key] > 1:
            return
        depth = 0
        for number, part in enumerate(parts(expr)):
            self._count(part)
            if isinstance(expr, Call) and expr.text.count(f"{{{number}}}") > 1:
                self._repeats.add(id(part))
            depth = max(depth, self._depths[id(part)])
        self._depths[key] = depth + isinstance(expr, (Call, Masked))
        if self._depths[key] >= LONG:
            self._long.add(key)
            self._depths[key] = 0
        elif self._is_known(expr):
            self._depths[key] = 0

    def _is_known(self, expr: Expr) -> bool:
        """Whether the user's program has a name for a computed value."""
        node = self.elements.origins.get(id(expr))
        return isinstance(expr, (Call, Masked)) and node is not None and node in self.names.names

    def _named(self, expr: Expr) -> bool:
        if isinstance(expr, (Const, Ref, Position)):
            return False
        key = id(expr)
        if key in self.elements.divisors:  # checked also where its quotient is not selected
            return True
        if self._uses[key] > 1 or key in self._repeats or key in self._pinned:
            return True
        return key in self._long or self._is_known(expr)

    # -------------------------------------------------------------------------------- placing

    def _place(self, expr: Expr, holds: tuple[Condition, ...] = ()) -> Expr:
        known = self._refs.get(id(expr))
        if known is not None:
            return known
        if not self._named(expr):
            return self._rewritten(expr, holds)
        value = self._rewritten(expr, ())
        node = self.elements.origins.get(id(expr))
        if isinstance(expr, Load):
            stem = f"{expr.buffer}_value"
        else:
            stem = "value" if node is None else self.names.stem(node)
            stem = "divisor" if id(expr) in self.elements.divisors else stem
        name = self.scope.fresh(stem)
        line = "" if node is None or isinstance(expr, Load) else self.names.line(node)
        self.statements.append(Let(name, value, line))
        ref = Ref(name, expr.dtype)
        self._refs[id(expr)] = ref
        return ref

    def _rewritten(self, expr: Expr, holds: tuple[Condition, ...]) -> Expr:
        for position in positions(expr):
            self.index(position)
        if isinstance(expr, Load):
            mask = tuple(c for c in expr.mask if c not in holds)
            return Load(expr.buffer, expr.index, expr.dtype, mask, expr.other)
        if isinstance(expr, Call):
            divided = self.elements.divisors.get(id(expr))
            text = expr.text
            if divided is not None:
                text = text.replace("{site}", str(self.site(divided)))
            return Call(text, tuple(self._place(a, holds) for a in expr.args), expr.dtype)
        if isinstance(expr, Masked):
            open_ = tuple(c for c in expr.conditions if c not in holds)
            value = self._place(expr.value, (*holds, *open_))
            other = self._place(expr.other, holds)
            return Masked(open_, value, other) if open_ else value
        return expr


class SiteOf:
    """Numbers the places of a program where an index or a divisor is checked."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def __call__(self, node: Node) -> int:
        if node not in self.nodes:
            self.nodes.append(node)
        return self.nodes.index(node)
