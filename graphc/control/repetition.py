"""Repeating a step: one by one where it runs at once, one ``scan`` of the graph where it is traced.

The gradient of a scan is a scan in the opposite direction (:class:`_Scan`). Its step is the
backward part of the forward's, so it is built, cut and differentiated again by the same means.
"""

from collections.abc import Sequence
from typing import Any

from graphc.autograd.function import Function
from graphc.control.known import Known, traced_step
from graphc.control.products import over_steps
from graphc.control.step import Run, Step, Tensors, check_carries
from graphc.functions.joining import cat, stack
from graphc.functions.shape import unsqueeze
from graphc.ir import OPS, Body, Graph, Node, TensorType
from graphc.modes import MODES
from graphc.ops.loops import SCAN, SCAN_RESULT, result_types
from graphc.passes.partition import between
from graphc.tensor import Tensor, apply

FEWEST = 2  # steps that are worth a loop


def repeated(
    run: Run,
    carries: Tensors,
    sequences: Tensors,
    steps: int,
    *,
    reverse: bool = False,
    name: str = "step",
    known: Known | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """``run(carries, slices) -> (carries, stacked)`` once for each step.

    Each step gets what the one before it handed on, and its slice of every sequence along the
    first dimension; with ``reverse`` the last slice comes first. Gives the last carries, and the
    second results stacked along a new first dimension, in the order of the sequences.

    In a trace the step is traced once and the loop stays in the graph. Where that cannot be (a
    value is asked for, a tensor from outside is written, random numbers are drawn, some dimension
    has size 0), the steps stand in the graph one by one.

    Outside of traces the steps run one by one, unless ``known`` says that the step is graphc's own:
    then it is traced once, and runs as a program on arrays.
    """
    trace = MODES.trace
    if (
        trace is not None
        and not trace.mapped
        and steps >= FEWEST
        and not _empty(carries, sequences)
    ):
        here = [t._here() for t in carries]
        sliced = [t._here() for t in sequences]
        step = traced_step(run, here, sliced, reverse, name)
        if step is not None:
            return _scanned(step, steps, here, sliced, step.constants)
    own = trace is None and known is not None and not MODES.anomaly
    if own and known is not None and steps >= FEWEST and not _empty(carries, sequences):
        found = known.step(run, carries, sequences, reverse, name)
        if found is not None:
            return _scanned(found[0], steps, carries, sequences, found[1])
    return _one_by_one(run, carries, sequences, steps, reverse)


def _scanned(
    step: Step, steps: int, carries: Tensors, sequences: Tensors, constants: Tensors
) -> tuple[list[Tensor], list[Tensor]]:
    results = _Scan.apply(step, steps, *carries, *sequences, *constants)
    last = len(carries) + step.stacked
    return list(results[: len(carries)]), list(results[len(carries) : last])


def _empty(carries: Tensors, sequences: Tensors) -> bool:
    return any(0 in t.shape for t in (*carries, *sequences))


def _one_by_one(
    run: Run, carries: Tensors, sequences: Tensors, steps: int, reverse: bool
) -> tuple[list[Tensor], list[Tensor]]:
    state = list(carries)
    made: list[Tensors] = []
    for step in reversed(range(steps)) if reverse else range(steps):
        following, stacked = run(state, [t[step] for t in sequences])
        check_carries(state, following)
        state = list(following)
        made.append(stacked)
    if reverse:
        made.reverse()
    return state, [stack(list(parts)) for parts in zip(*made, strict=True)]


def interpreted(graph: Graph, operands: Sequence[Tensor], wanted: Sequence[Node]) -> list[Tensor]:
    """Nodes of a graph computed by operations on tensors, with their gradients."""
    values: dict[Node, Any] = dict(zip(graph.inputs, operands, strict=True))
    for node in between(values, wanted):
        values[node] = applied(node, [values[n] for n in node.inputs])
    return [values[n] for n in wanted]


def applied(node: Node, operands: Sequence[Any]) -> Any:
    """A node's operation on tensors; a scan gives the list of its results."""
    if node.op is SCAN:
        return _again(operands, **node.attrs)
    if node.op is SCAN_RESULT:
        return operands[0][node.attrs["index"]]
    return apply(node.op, operands, node.attrs)


def _again(
    operands: Sequence[Tensor], body: Body, carries: int, sequences: int, steps: int, reverse: bool
) -> list[Tensor]:
    """A scan of a graph, on tensors."""
    constants = operands[carries + sequences :]

    def run(state: list[Tensor], slices: list[Tensor]) -> tuple[Tensors, Tensors]:
        graph = body.graph
        values = interpreted(graph, [*state, *slices, *constants], graph.outputs)
        return values[:carries], values[carries:]

    last, stacked = repeated(
        run,
        operands[:carries],
        operands[carries : carries + sequences],
        steps,
        reverse=reverse,
        name=body.graph.name,
    )
    return [*last, *stacked]


class _Scan(Function):
    """A loop on the tape: its operands are the carries, the sequences and the constants.

    Its results are the last carries, the stacks, and the stacked carries (see :class:`Step`);
    behind them what the gradient's own loop reads. That is not on the tape: gradients of
    gradients compute the forward step again from the operands and the stacked carries.
    """

    @staticmethod
    def forward(ctx: Any, step: Step, steps: int, *operands: Tensor) -> tuple[Tensor, ...]:
        results = _emit(operands, step, steps)
        ctx.step, ctx.steps = step, steps
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*results[2 * step.carries + step.stacked :])
        if step.part is not None:
            ctx.save_for_backward(*operands, *results[step.carries :])
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        step: Step = ctx.step
        saved = ctx.saved_tensors
        count = len(step.inputs)
        found = _Backward(step, ctx.steps, saved[:count], saved[count:], cotangents).run()
        return (None, None, *(found.get(i) for i in range(count)))


def _emit(operands: Sequence[Tensor], step: Step, steps: int) -> list[Tensor]:
    """The scan: in the graph that is traced now, or at once."""
    body = step.body
    attrs = {
        "body": body,
        "carries": step.carries,
        "sequences": step.sequences,
        "steps": steps,
        "reverse": step.reverse,
    }
    event = apply(SCAN, operands, attrs)
    return [
        apply(SCAN_RESULT, (event,), {"index": i, "shape": t.shape, "dtype": t.dtype})
        for i, t in enumerate(result_types(body, step.carries, steps))
    ]


class _Backward:
    """The gradient of one scan."""

    def __init__(
        self,
        step: Step,
        steps: int,
        operands: Tensors,
        stacks: Tensors,
        cotangents: Sequence[Tensor | None],
    ) -> None:
        assert step.joint is not None
        assert step.part is not None
        self.step, self.steps = step, steps
        self.operands, self.stacks, self.cotangents = operands, stacks, cotangents
        self.given = len(step.inputs)
        again = MODES.grad  # gradients of these gradients are wanted
        self.graph = step.joint if again else step.part.backward
        self.places = (
            [("input", i) for i in range(len(step.joint.inputs))] if again else step.part.saved
        )
        first = len(self.graph.outputs) - len(step.reached)
        self.gradients = dict(zip(step.reached, self.graph.outputs[first:], strict=True))
        # What the loop hands on: the cotangents of the carries.
        self.state = [i for i in range(step.carries) if i in step.followed or i in self.gradients]
        self.sequences: list[Tensor] = []
        self.sources = [self._source(kind, i) for kind, i in self.places]

    # ------------------------------------------------------------------- inputs of the body's graph

    def _source(self, kind: str, index: int) -> tuple[str, Any]:
        """Where an input of the graph comes from, at each step."""
        step = self.step
        if kind == "output":  # carries are kept stacked, behind the stacks
            index = index + step.stacked if index < step.carries else index - step.carries
            return self._sequence(self.stacks[index])
        if index < step.carries:
            return self._sequence(self._before(index))
        if index < step.carries + step.sequences:
            return self._sequence(self.operands[index])
        if index < self.given:
            return "constant", self.operands[index]
        number = step.followed[index - self.given]
        if number < step.carries:
            return "state", self.state.index(number)
        cotangent = self.cotangents[number]
        if cotangent is None:
            return "zeros", self.graph.inputs[self._position(index)].type
        return self._sequence(cotangent)

    def _position(self, index: int) -> int:
        return self.places.index(("input", index))

    def _sequence(self, tensor: Tensor) -> tuple[str, Any]:
        for number, known in enumerate(self.sequences):
            if known is tensor:
                return "slice", number
        self.sequences.append(tensor)
        return "slice", len(self.sequences) - 1

    def _before(self, carry: int) -> Tensor:
        """What each step was handed: the initial carry, and what all but the last step made."""
        first = unsqueeze(self.operands[carry], 0)
        made = self.stacks[self.step.stacked + carry]
        if self.step.reverse:
            return cat([made[1:], first])
        return cat([first, made[:-1]])

    # ------------------------------------------------------------------------------------ the loop

    def run(self) -> dict[int, Tensor]:
        """The gradients of the scan's operands, by number."""
        step, graph = self.step, self.graph
        first, last = step.carries, step.carries + step.sequences
        slices = [i for i in self.gradients if first <= i < last]
        constants = [i for i in self.gradients if i >= last]
        # Gradients of constants that are sums over the steps of products, or of slices.
        known = {
            node: self.sequences[place]
            for node, (kind, place) in zip(graph.inputs, self.sources, strict=True)
            if kind == "slice"
        }
        sums = {i: over_steps(self.gradients[i], known) for i in constants}
        parts = list(dict.fromkeys(n for s in sums.values() if s is not None for n in s.missing))
        stacked = list(dict.fromkeys((*(self.gradients[i] for i in slices), *parts)))
        added = [i for i in constants if sums[i] is None]

        def run(state: list[Tensor], given: list[Tensor]) -> tuple[Tensors, Tensors]:
            wanted = [self.gradients[i] for i in self.state if i in self.gradients]
            wanted += [self.gradients[i] for i in added] + stacked
            values = interpreted(graph, self._inputs(state, given), wanted)
            found = dict(zip(wanted, values, strict=True))
            following = [
                found[self.gradients[i]] if i in self.gradients else _zeros(t._type)
                for i, t in zip(self.state, state, strict=False)
            ]
            totals = state[len(self.state) :]
            following += [t + found[self.gradients[i]] for i, t in zip(added, totals, strict=True)]
            return following, [found[n] for n in stacked]

        initial = [self._cotangent(i) for i in self.state]
        initial += [_zeros(self.gradients[i].type) for i in added]
        ends, made = repeated(
            run,
            initial,
            self.sequences,
            self.steps,
            reverse=not step.reverse,
            name=f"{step.graph.name}_backward",
            known=Known(
                step.backwards,
                (self.graph is step.joint, tuple(g is None for g in self.cotangents)),
                [source for kind, source in self.sources if kind == "constant"],
            ),
        )
        stacks = known | dict(zip(stacked, made, strict=True))
        result = {i: end for i, end in zip(self.state, ends, strict=False) if i in self.gradients}
        result |= {i: stacks[self.gradients[i]] for i in slices}
        result |= dict(zip(added, ends[len(self.state) :], strict=True))
        result |= {i: s.total(stacks) for i, s in sums.items() if s is not None}
        return result

    def _inputs(self, state: list[Tensor], slices: list[Tensor]) -> list[Tensor]:
        found = []
        for kind, place in self.sources:
            if kind == "slice":
                found.append(slices[place])
            elif kind == "state":
                found.append(state[place])
            else:
                found.append(_zeros(place) if kind == "zeros" else place)
        return found

    def _cotangent(self, carry: int) -> Tensor:
        found = self.cotangents[carry]
        return _zeros(self.step.inputs[carry].type) if found is None else found


def _zeros(type: TensorType) -> Tensor:
    attrs = {"value": 0.0, "shape": type.shape, "dtype": type.dtype, "device": type.device}
    return apply(OPS["full"], (), attrs)
