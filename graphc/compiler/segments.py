"""Programs whose course depends on values: a chain of native programs, one for each question.

Where a traced function asks for a value (``bool(t)``, ``int(t)``, the positions of ``nonzero``),
the segment traced so far is compiled and run at once, and the trace goes on with what it gave. A
call runs the same segments again and compares: another value, or another number of positions, and
this specialisation does not apply. So the specialisations of a function form a tree of straight
lines, each for one course. Values that later parts need too are handed on, not computed again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc import dtypes
from graphc.ir import (
    INPUT,
    Contract,
    Generate,
    Graph,
    Host,
    Leaf,
    Named,
    Node,
    Reduce,
    Result,
    Scatter,
    TensorType,
)
from graphc.passes.partition import between, extract
from graphc.tracing import Trace, suspended

if TYPE_CHECKING:  # the back wing (jinja2, cffi) is loaded by the first compilation
    from graphc.compiler.executable import Executable

Array = np.ndarray[Any, Any]
_COSTLY = (Contract, Host, Named, Reduce, Result, Scatter)


@dataclass(frozen=True)
class Segment:
    """A program that computes late values from inputs of the trace and earlier late values."""

    executable: "Executable"
    inputs: int  # it takes the first inputs of the trace,
    late: int  # and the first of the late values


@dataclass(frozen=True)
class Question:
    """What the trace asked, of an input of the trace or of a late value, and what it was told."""

    late: bool
    place: int
    answer: Array  # the value, or the positions where it is not zero
    positions: bool
    text: str

    def heard(self, value: Array) -> Array | None:
        """The answer now; None where the trace would have taken another course with it."""
        if not self.positions:
            return value if value.tobytes() == self.answer.tobytes() else None
        found = np.ascontiguousarray(np.argwhere(value))
        return found if found.shape == self.answer.shape else None


@dataclass
class Course:
    """The questions of one trace in order, and the values that came late into it.

    ``nodes`` are the late values: what segments computed, and (as new inputs) positions found.
    ``order`` tells which of them the last part takes, in the order of its inputs.
    """

    name: str
    trace: Trace
    given: Callable[[], list[Array]]  # the arrays of the trace's inputs
    steps: list[Segment | Question] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    arrays: list[Array] = field(default_factory=list)  # their values while tracing
    order: tuple[int, ...] = ()
    missed: str = ""  # the question that got another answer at the last call

    @property
    def segments(self) -> "list[Executable]":
        return [step.executable for step in self.steps if isinstance(step, Segment)]

    # ------------------------------------------------------------------------------- while tracing

    def answer(self, node: Node, text: str) -> Array:
        """The value of a node; from here on the trace assumes it. ``text`` names the question."""
        return self._ask(node, text, positions=False)

    def positions(self, node: Node, text: str) -> Node:
        """The positions of a node's nonzero elements, as a new input ``[count, ndim]``."""
        found = self._ask(node, text, positions=True)
        made = self.trace.builder.input("positions", TensorType(found.shape, dtypes.int64))
        self.nodes.append(made)
        self.arrays.append(found)
        return made

    def _ask(self, node: Node, text: str, positions: bool) -> Array:
        inputs = [i.node for i in self.trace.inputs]
        late = node not in inputs
        if late:
            if node not in self.nodes:
                self._compute(node, inputs)
            place = self.nodes.index(node)
            value = self.arrays[place]
        else:
            place = inputs.index(node)
            value = np.array(self.given()[place])  # a copy: the caller may write it later
        answer = np.ascontiguousarray(np.argwhere(value)) if positions else value
        answer.flags.writeable = False
        self.steps.append(Question(late, place, answer, positions, text))
        return answer

    def _compute(self, node: Node, inputs: list[Node]) -> None:
        from graphc.compiler.executable import Executable

        starts = [*inputs, *self.nodes]
        outputs = (node, *self._kept(node, starts))
        builder = self.trace.builder
        name = f"{self.name}_part{len(self.segments) + 1}"
        whole = Graph(name, (), outputs, (), builder.names, builder.locations)
        with suspended():
            executable = Executable(extract(whole, name, starts, outputs, ()))
            values = executable.run([*self.given(), *self.arrays])
        self.steps.append(Segment(executable, len(inputs), len(self.nodes)))
        self.nodes += outputs
        self.arrays += values

    def _kept(self, node: Node, starts: list[Node]) -> list[Node]:
        """What later parts get instead of computing it again: costly steps, and what is in use."""
        alive = self.trace.alive()
        return [
            n
            for n in between(starts, [node])
            if n is not node
            and not isinstance(n.op.lower, (Generate, Leaf))
            and (n in alive or isinstance(n.op.lower, _COSTLY))
        ]

    # ----------------------------------------------------------------------------- the last part

    @property
    def found(self) -> tuple[Node, ...]:
        """Late values that are inputs of the traced graph."""
        return tuple(n for n in self.nodes if n.op is INPUT)

    def cut(self, graph: Graph, given: int) -> tuple[Graph, int]:
        """The graph with late values as further inputs behind the first ``given`` ones.

        Also tells how many inputs come first now. Sets which late values these are.
        """
        first, rest = graph.inputs[:given], graph.inputs[given:]
        late = [n for n in self.nodes if n.op is not INPUT]
        steps = between([*graph.inputs, *late], graph.results)
        needed = {x for n in steps for x in n.inputs} | {*graph.results}
        used = [n for n in late if n in needed]
        place = {n: k for k, n in enumerate(self.nodes)}
        self.order = tuple(place[n] for n in (*self.found, *used))
        inputs = (*first, *used, *rest)
        part = extract(graph, graph.name, inputs, graph.outputs, graph.writes)
        return part, given + len(used)

    def settle(self) -> None:
        """Lets go of what only the trace needed."""
        self.arrays.clear()
        self.given = list
        self.trace.course = None
        self.trace = Trace()

    # ----------------------------------------------------------------------------------- at a call

    def follow(self, arrays: Sequence[Array]) -> list[Array] | None:
        """The late values that the last part takes; None if this call takes another course.

        ``arrays`` are those of the inputs. Nothing is written.
        """
        late: list[Array] = []
        for step in self.steps:
            if isinstance(step, Segment):
                late += step.executable.run([*arrays[: step.inputs], *late[: step.late]])
                continue
            heard = step.heard(late[step.place] if step.late else arrays[step.place])
            if heard is None:
                self.missed = step.text
                return None
            if step.positions:
                late.append(heard)
        return [late[k] for k in self.order]
