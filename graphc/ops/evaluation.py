"""How rows are evaluated on arrays: one row, and a few of them as one straight-line program.

Infinities and NaN are values, so NumPy has nothing to warn of while rows are evaluated. What a row
does for operands of given types is found once (:func:`kernel`); a decomposition becomes a
:class:`Program`, a list of NumPy calls that knows which arrays it may overwrite.
"""

import contextvars
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.ir import INPUT, Attrs, Builder, Node, Op, Scalar, TensorType, topological
from graphc.ops.operands import ByRule

Array = np.ndarray[Any, Any]
Kernel = Callable[..., Any]

HALVES = frozenset((dtypes.float16.numpy, dtypes.bfloat16.numpy))
_HALF_TYPES = (dtypes.float16, dtypes.bfloat16)

# ---------------------------------------------------------------------------------------- silence


class _States:
    """``np.errstate`` behind the two calls of a context variable."""

    def set(self, _value: Any) -> Any:
        state = np.errstate(all="ignore")
        state.__enter__()
        return state

    def reset(self, token: Any) -> None:
        token.__exit__()


def _context() -> tuple[Any, Any]:
    """The context variable in which NumPy keeps what it says about errors, and its silence.

    Setting the variable costs a tenth of ``np.errstate``, which makes objects for it each time.
    """
    before = contextvars.copy_context()
    with np.errstate(all="ignore"):
        inside = contextvars.copy_context()
    changed = [name for name in inside if inside[name] is not before.get(name)]
    return (changed[0], inside[changed[0]]) if len(changed) == 1 else (_States(), None)


ERRORS, SILENT = _context()
"""``token = ERRORS.set(SILENT)``: NumPy is silent until ``ERRORS.reset(token)``."""


class Quiet:
    """A NumPy rule as a row's ``evaluate``: no warnings, arrays out, halves through float32.

    float16 and bfloat16 are computed in float32 and rounded once, as kernels do. ``plain`` is the
    rule itself, for other operands where NumPy is silent already.
    """

    __slots__ = ("plain",)

    def __init__(self, plain: Kernel) -> None:
        self.plain = plain

    def __call__(self, *arrays: Array, **attrs: Any) -> Array:
        token = ERRORS.set(SILENT)
        try:
            for array in arrays:
                if array.dtype in HALVES:
                    return self._through_float32(array.dtype, arrays, attrs)
            return np.asarray(self.plain(*arrays, **attrs))
        finally:
            ERRORS.reset(token)

    def _through_float32(self, half: Any, arrays: Sequence[Array], attrs: dict[str, Any]) -> Array:
        wide = [a.astype(np.float32) if a.dtype in HALVES else a for a in arrays]
        result = np.asarray(self.plain(*wide, **attrs))
        return result.astype(half) if result.dtype == np.float32 else result


# --------------------------------------------------------------------------------------- programs


def kernel(op: Op, types: Sequence[TensorType], attrs: Attrs) -> Kernel:
    """``(*arrays, **attrs) -> array or scalar`` for operands of these types.

    To be called where NumPy is silent.
    """
    evaluate = op.evaluate
    if isinstance(evaluate, Quiet) and not any(t.dtype in _HALF_TYPES for t in types):
        return evaluate.plain
    if isinstance(evaluate, ByRule) and not _has_zero(attrs):
        builder = Builder()
        inputs = [builder.input(f"x{i}", type) for i, type in enumerate(types)]
        program = Program(inputs, [evaluate.rule(*inputs, **attrs)])
        return lambda *arrays, **_attrs: program.run(arrays)[0]
    return evaluate


def _has_zero(attrs: Attrs) -> bool:
    """Whether an attribute is a number that equals one of the other sign: 0.0 and -0.0."""
    return any(value == 0 and type(value) in (int, float) for value in attrs.values())


class Program:
    """Nodes of a graph as NumPy calls in order, on arrays of the types of its inputs.

    An array is dropped after its last use. Where that use is a NumPy function that computes
    elements of the same type from those at their own place, the result takes over its memory.
    """

    __slots__ = ("_constants", "_results", "_steps", "types")

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node | None]) -> None:
        wanted = [n for n in outputs if n is not None]
        order = [n for n in topological(wanted) if n.op is not INPUT]
        kernels = {n: kernel(n.op, [x.type for x in n.inputs], n.attrs) for n in order}
        parts = _parts(order, kernels, wanted)
        kernels |= parts
        sources = {n: parts[n].operands if n in parts else n.inputs for n in order}
        constants = _constants(order, kernels, set(wanted))
        passed = {*constants, *(part.pad for part in parts.values())}
        order = [n for n in order if n not in passed]
        numbers = {n: i for i, n in enumerate([*inputs, *constants, *order])}
        last = {numbers[x]: numbers[n] for n in order for x in sources[n]}
        for node in wanted:
            last.pop(numbers[node], None)
        own: set[int] = set()  # arrays that nothing outside, and no view, shares
        steps: list[Any] = []
        for node in order:
            run, given, here = kernels[node], [numbers[x] for x in sources[node]], numbers[node]
            if node in wanted and node.shape and not _follows_operands(node.op):
                run = _row_major(run)
            dead = [i for i in dict.fromkeys(given) if last.get(i) == here]
            over = None
            if isinstance(run, (np.ufunc, _Part)):
                fitting = (numbers[x] for x in _alike(run, node))
                over = next((i for i in fitting if i in dead and i in own), None)
            if node.op.put is None and (isinstance(node.op.lower, Scalar) or node.op.name == "pad"):
                own.add(here)  # new memory
            else:  # what is no NumPy function may give a view of what it is given
                own.difference_update(given)
            steps.append((run, given, {} if node in parts else node.attrs, over, dead))
        self.types = [None if n is None else n.type for n in outputs]
        self._results = [None if n is None else numbers[n] for n in outputs]
        self._constants = list(constants.values())
        self._steps = steps

    def run(self, arrays: Iterable[Any]) -> list[Any]:
        """The outputs: arrays, or None where no node was asked for.

        To be called where NumPy is silent. An input that no node reads may be anything.
        """
        values: list[Any] = [*arrays, *self._constants]
        for run, given, attrs, over, dead in self._steps:
            if over is None:
                value = run(*[values[i] for i in given], **attrs)
                if type(value) is not np.ndarray:
                    value = np.asarray(value)
            else:
                value = run(*[values[i] for i in given], out=values[over])
            for i in dead:
                values[i] = None
            values.append(value)
        return [None if i is None else values[i] for i in self._results]


def _alike(run: "np.ufunc | _Part", node: Node) -> list[Node]:
    """The operands whose memory could hold the result."""
    return (
        [run.whole] if isinstance(run, _Part) else [x for x in node.inputs if x.type is node.type]
    )


class _Part:
    """``x + pad(y)`` without the zeros: ``y`` is added where it lies in ``x``, or in a copy."""

    __slots__ = ("_place", "operands", "pad", "whole")

    def __init__(self, whole: Node, pad: Node) -> None:
        self.whole, self.pad = whole, pad
        self.operands = (whole, *pad.inputs)
        self._place = tuple(
            slice(before, before + size)
            for before, size in zip(pad.attrs["before"], pad.inputs[0].shape, strict=True)
        )

    def __call__(self, x: Array, y: Array, out: Array | None = None) -> Array:
        result = x.copy() if out is None else out
        place = result[self._place]
        np.add(place, y, out=place)
        return result


def _parts(
    order: Sequence[Node], kernels: dict[Node, Kernel], wanted: Sequence[Node]
) -> "dict[Node, _Part]":
    """The sums in which one operand is zero but for a part, and read by nothing else."""
    uses = Counter([*wanted, *(x for n in order for x in n.inputs)])
    found: dict[Node, _Part] = {}
    for node in order:
        if kernels[node] is not np.add or any(x.type is not node.type for x in node.inputs):
            continue
        for whole, pad in (node.inputs, node.inputs[::-1]):
            if uses[pad] == 1 and _is_frame_of_zeros(pad):
                found[node] = _Part(whole, pad)
                break
    return found


def _is_frame_of_zeros(pad: Node) -> bool:
    if pad.op.name != "pad":
        return False
    attrs = pad.attrs
    return bool(attrs["value"] == 0 and min(*attrs["before"], *attrs["after"], 0) == 0)


def _follows_operands(op: Op) -> bool:
    """Whether results are views, or laid out as the operands are."""
    return op.put is not None or isinstance(op.lower, Scalar)


def _row_major(run: Kernel) -> Kernel:
    return lambda *arrays, **attrs: np.ascontiguousarray(run(*arrays, **attrs))


def _constants(
    order: Sequence[Node], kernels: dict[Node, Kernel], wanted: set[Node]
) -> dict[Node, Array]:
    """Numbers that only NumPy functions read, which make no views of them: computed once."""
    shown = {x for n in order if not isinstance(kernels[n], np.ufunc) for x in n.inputs} | wanted
    return {
        n: np.asarray(n.op.evaluate(**n.attrs))
        for n in order
        if not n.inputs and not n.shape and n not in shown
    }
