"""From a call to its native program and back: one generated Python function per specialisation.

The function takes ``(args, kwargs)``. It checks what the specialisation assumes, reads the
memory of every input, runs the program, and builds what the caller gets; or it returns ``MISS``.
Being generated, it holds exactly the steps that this specialisation needs. A second function with
the same checks says in words which one fails.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from string import Formatter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from graphc import dtypes
from graphc.generator import _LOCK as RANDOM_LOCK
from graphc.guards import Guard, compared, same_value
from graphc.ir import TensorType
from graphc.modes import MODES
from graphc.nn.module import STRUCTURE
from graphc.survey import VALUES
from graphc.tape import refusing_node
from graphc.tensor import Tensor, View
from graphc.trees import Tree

if TYPE_CHECKING:
    from graphc.executable import Executable
    from graphc.pullbacks import CompiledBackward

MISS: Any = object()
_FEW_PAIRS = 6
_GUARD = "an assumption of the guard"


@dataclass(frozen=True)
class Argument:
    """Leaf ``number`` of the arguments."""

    number: int


@dataclass(frozen=True, eq=False)
class Captured:
    """A tensor that the guard finds at the same place again."""

    tensor: Tensor


@dataclass(frozen=True)
class Slot:
    """What a dict or a closure cell holds: the function puts another tensor there at every run."""

    container: Any
    key: Any

    def __hash__(self) -> int:
        return hash((id(self.container), self.key))

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Slot) and other.container is self.container
        return same and other.key == self.key  # type: ignore[union-attr]


@dataclass(frozen=True)
class GradOf:
    """The ``.grad`` of another input."""

    owner: "Source"


@dataclass(frozen=True)
class BaseOf:
    """The tensor that an input is a view of."""

    view: "Source"


Source = Argument | Captured | Slot | GradOf | BaseOf


@dataclass
class TensorPlan:
    """One tensor among the graph's inputs."""

    source: Source
    others: tuple[Source, ...]  # further ways to the same tensor
    type: TensorType
    kind: type
    requires_grad: bool
    leaf: bool
    strides: tuple[int, ...] | None  # None: C-contiguous and aligned; () means any other layout
    written: bool
    hooks: tuple[int, ...] | None  # what hooks it has, where that matters
    text: str


@dataclass
class NumberPlan:
    """One float among the graph's inputs: an argument, or ``container[key]``."""

    leaf: int | None
    container: Any = None
    key: Any = None
    text: str = ""


@dataclass(frozen=True, eq=False)
class Fixed:
    """A Python value that is the same at every run."""

    value: Any


@dataclass(frozen=True)
class Output:
    """Output ``number`` of the graph; ``item`` as a Python number."""

    number: int
    item: bool = False


@dataclass(frozen=True)
class Input:
    """Input ``number`` of the graph itself: a tensor, or the float that was passed."""

    number: int


@dataclass(frozen=True, eq=False)
class ViewOf:
    """A view of another result, taken anew; recorded on the tape or not."""

    of: "Result"
    view: View
    recorded: bool


@dataclass(frozen=True, eq=False)
class Nest:
    """A container of results."""

    tree: Tree
    parts: "tuple[Result, ...]"


Result = Fixed | Output | Input | ViewOf | Nest


@dataclass
class Plan:
    """Everything that a run assumes, does and gives."""

    tree: Tree
    leaves: list[Any]  # None where a tensor or a run-time float stands
    leaf_names: list[str]
    inputs: list[TensorPlan | NumberPlan]
    same: list[tuple[int, int]]  # leaves that are one object
    views: list[tuple[int, View, int]]  # leaf, its view chain, the input that is its base
    grads: list[tuple[int, bool]]  # input, whether its .grad was None
    grad_mode: bool
    guard: Guard
    executable: "Executable"
    visible: int  # outputs of the graph that the caller gets; the rest is saved for backward
    backward: "CompiledBackward | None"
    leaves_made: dict[int, bool]  # outputs that are leaves requiring gradients
    refused: dict[int, RuntimeError]  # outputs that have a place on the tape, but no gradient
    flags: list[tuple[int, bool]] = field(default_factory=list)  # requires_grad set in the run
    detached: list[int] = field(default_factory=list)
    tape_writes: list[tuple[int, int]] = field(default_factory=list)  # input, output: its new node
    grad_writes: list[tuple[int, Result]] = field(default_factory=list)
    effects: list[tuple[Any, Any, Result | None]] = field(default_factory=list)
    grad_mode_after: bool | None = None
    result: Result = field(default_factory=lambda: Fixed(None))
    random: bool = False  # draws from a generator, whose state threads take turns to advance


class _Code:
    """Lines of a function, with the values that they name."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {}
        self.lines: list[tuple[str, str | None]] = []  # text, and the reason where it is a check
        self._names: dict[int, str] = {}
        self._keep: list[Any] = []

    def bind(self, value: Any, stem: str) -> str:
        """A name for a value."""
        known = self._names.get(id(value))
        if known is not None:
            return known
        name = f"{stem}{len(self._names)}"
        self._names[id(value)] = name
        self._keep.append(value)
        self.scope[name] = value
        return name

    def line(self, text: str) -> None:
        self.lines.append((text, None))

    def need(self, condition: str, reason: str) -> None:
        """A check; ``reason`` says what is different, with expressions in braces."""
        self.lines.append((condition, reason))

    def build(self, name: str, explain: bool) -> Callable[..., Any]:
        """The function; to explain, it gives the number of the line that fails, and its locals."""
        text = [f"def {name}(args, kwargs):"]
        for number, (line, reason) in enumerate(self.lines):
            if reason is None:
                text.append(f"    {line}")
            else:
                text.append(f"    if not ({line}):")
                text.append(f"        return {f'{number}, locals()' if explain else 'MISS'}")
        if explain:
            text.append("    return -1, {}")
        scope = dict(self.scope)
        source = "\n".join(text)
        exec(compile(source, f"<graphc {name}>", "exec"), scope)  # noqa: S102 - our own code
        return scope[name]  # type: ignore[no-any-return]


class Dispatch:
    """``call(args, kwargs)`` runs, or gives MISS; ``why_not(args, kwargs)`` says what differs."""

    def __init__(self, plan: Plan) -> None:
        writer = _Writer(plan)
        writer.assumptions()
        checks = len(writer.code.lines)
        writer.run()
        self._code = writer.code
        self._checks = self._code.lines[:checks]
        self.call = self._code.build("call", explain=False)

    @property
    def source(self) -> str:
        """The generated function."""
        return "\n".join(text for text, _ in self._code.lines)

    def why_not(self, args: Any, kwargs: Any) -> "Difference":
        """The first assumption that does not hold."""
        code = _Code()
        code.scope, code.lines = self._code.scope, self._checks
        try:
            number, found = code.build("why_not", explain=True)(args, kwargs)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError):
            return Difference((0, 0), "the arguments are of another kind")
        if number < 0:
            return Difference((len(self._checks), 0), "")
        reason = self._checks[number][1] or ""
        if reason == _GUARD:
            guard: Guard = code.scope["guard"]
            position, words = guard.first_failure()
            return Difference((number, position), words)
        words = ""
        for literal, expression, _, conversion in Formatter().parse(reason):
            words += literal
            if expression is not None:
                value = eval(expression, code.scope, found)  # noqa: S307 - our own expressions
                words += repr(value) if conversion == "r" else str(value)
        return Difference((number, 0), words)


class Difference(NamedTuple):
    """What tells a call from a specialisation, and how far they agree before that."""

    agreement: tuple[int, int]
    words: str


class _Writer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.code = _Code()
        self.code.scope.update(
            {
                "MISS": MISS,
                "Tensor": Tensor,
                "ndarray": np.ndarray,
                "modes": MODES,
                "defaults": dtypes._Default,
                "same": same_value,
                "guard": plan.guard,
                "holds": plan.guard.holds,
                "settle": _settle,
                "described": _described,
            }
        )
        self.leaf: dict[int, str] = {}
        self.based = {leaf for leaf, _, _ in plan.views}
        self.names: dict[Source, str] = {}  # of tensors, once read
        self.results: dict[int, str] = {}

    # --------------------------------------------------------------------------------- assumptions

    def assumptions(self) -> None:
        plan, code = self.plan, self.code
        mode = plan.grad_mode
        code.need(f"modes.grad is {mode}", f"gradients are now {'off' if mode else 'on'}")
        default = code.bind(dtypes.get_default_dtype(), "dtype")
        code.need(
            f"defaults.dtype is {default}",
            f"the default dtype was {dtypes.get_default_dtype()}, is {{defaults.dtype}}",
        )
        self._arguments()
        tensors = [p for p in plan.inputs if isinstance(p, TensorPlan)]
        for p in tensors:
            self._tensor(p)
        for number, none in plan.grads:
            p = plan.inputs[number]
            assert isinstance(p, TensorPlan)
            was, now = ("None", "a tensor") if none else ("a tensor", "None")
            code.need(
                f"{self.names[p.source]}._grad is {'' if none else 'not '}None",
                f"{_braced(p.text)}.grad was {was}, is {now}",
            )
        for p in plan.inputs:
            if isinstance(p, NumberPlan) and p.leaf is None:
                where, key = code.bind(p.container, "group"), code.bind(p.key, "key")
                name = f"n{plan.inputs.index(p)}"
                code.line(f"{name} = {where}[{key}]")
                code.need(
                    f"type({name}) is float", f"{_braced(p.text)} is now {{{name}!r}}, no float"
                )
        self._identities(tensors)
        self._base_views()
        if plan.guard:
            code.need("holds()", _GUARD)
        for i, p in enumerate(plan.inputs):
            if isinstance(p, TensorPlan):
                self._memory(i, p)
        self._apart()

    def _arguments(self) -> None:
        plan, code = self.plan, self.code
        args, kwargs = plan.tree.children
        count = len(args.children)
        nested = "the arguments are nested in another way"
        code.need(
            f"len(args) == {count}", f"{{len(args)}} positional arguments instead of {count}"
        )
        if kwargs.keys:
            keys = code.bind(list(kwargs.keys), "keywords")
            code.need(f"list(kwargs) == {keys}", "other keywords: {', '.join(kwargs)}")
        else:
            code.need("not kwargs", "other keywords: {', '.join(kwargs)}")
        leaves = iter(range(len(plan.leaves)))

        def unpack(tree: Tree, name: str) -> None:
            if tree.kind is None:
                number = next(leaves)
                self.leaf[number] = name
                self._leaf(number, name)
                return
            kind = code.bind(tree.kind, "kind")
            parts = [f"{name}_{i}" for i in range(len(tree.children))]
            if issubclass(tree.kind, dict):
                keys = code.bind(list(tree.keys), "keys")
                code.need(f"type({name}) is {kind} and list({name}) == {keys}", nested)
                for part, key in zip(parts, tree.keys, strict=True):
                    code.line(f"{part} = {name}[{code.bind(key, 'key')}]")
            else:
                code.need(f"type({name}) is {kind} and len({name}) == {len(parts)}", nested)
                if parts:
                    code.line(f"{', '.join(parts)}, = {name}")
            for part, child in zip(parts, tree.children, strict=True):
                unpack(child, part)

        names = [f"x{i}" for i in range(count)]
        if names:
            code.line(f"{', '.join(names)}, = args")
        for name, child in zip(names, args.children, strict=True):
            unpack(child, name)
        for i, (key, child) in enumerate(zip(kwargs.keys, kwargs.children, strict=True)):
            code.line(f"k{i} = kwargs[{key!r}]")
            unpack(child, f"k{i}")

    def _leaf(self, number: int, name: str) -> None:
        """A plain argument is a constant of the program; so is the identity of an object."""
        plan, code = self.plan, self.code
        value, text = plan.leaves[number], _braced(plan.leaf_names[number])
        if isinstance(value, _Hole):
            if value.number:
                code.need(f"type({name}) is float", f"{text} was a float, is {{described({name})}}")
            elif number in self.based:  # the others are looked at below, as inputs
                code.need(
                    f"isinstance({name}, Tensor)",
                    f"{text} was a tensor, is {{described({name})}}",
                )
            return
        expected = code.bind(value, "value")
        if isinstance(value, VALUES):
            condition = compared(name, expected, value)
        elif isinstance(value, np.ndarray):
            kept = code.bind(value.copy(), "array")
            code.scope["same_array"] = self.plan.guard.scope["same_array"]
            condition = f"{name} is {expected} and same_array({name}, {kept})"
        else:
            condition = f"{name} is {expected}"
        code.need(condition, f"{text} was {_braced(_described(value))}, is {{described({name})}}")

    def _read(self, source: Source) -> str:
        """The variable that holds a tensor; emits how it is reached."""
        known = self.names.get(source)
        if known is not None:
            return known
        code = self.code
        if isinstance(source, Argument):
            name = self.leaf[source.number]
        elif isinstance(source, Captured):
            name = code.bind(source.tensor, "c")
        else:
            name = f"t{len(self.names)}"
            if isinstance(source, Slot):
                where = code.bind(source.container, "place")
                if isinstance(source.container, dict):
                    code.line(f"{name} = {where}.get({code.bind(source.key, 'key')})")
                else:
                    code.line(f"{name} = {where}.cell_contents")
            elif isinstance(source, GradOf):
                code.line(f"{name} = {self._read(source.owner)}._grad")
            else:
                code.line(f"{name} = {self._read(source.view)}._base")
        self.names[source] = name
        return name

    def _tensor(self, p: TensorPlan) -> None:
        code, text = self.code, _braced(p.text)
        name = self._read(p.source)
        kind = "Tensor" if p.kind is Tensor else code.bind(p.kind, "kind")
        code.need(f"type({name}) is {kind}", f"{text} was a tensor, is {{described({name})}}")
        type_ = code.bind(p.type, "type")
        code.need(
            f"{name}._type is {type_} or settle({name}, {type_})",
            f"{text} was {_braced(str(p.type))}, is {{{name}._type}}",
        )
        if not isinstance(p.source, Captured):
            code.line(f"if {name}._base is not None: {name}._tracked()")
        if p.requires_grad:
            was, now = "required", "no longer does"
        else:
            was, now = "did not require", "now does"
        leaf = "is" if p.leaf else "is not"
        tracked = f"{name}._requires_grad is {p.requires_grad and p.leaf}"
        code.need(
            f"{tracked} and {name}._node {leaf} None", f"{text} {was} gradients or was another "
            f"kind of leaf, {now}" if p.requires_grad else f"{text} {was} gradients, {now}"
        )  # fmt: skip
        if p.hooks is not None:
            hooks = code.bind(list(p.hooks), "hooks")
            code.need(f"list({name}._hooks or ()) == {hooks}", f"the hooks of {text} changed")

    def _identities(self, tensors: list[TensorPlan]) -> None:
        """Which inputs are one object, and which are not."""
        plan, code = self.plan, self.code
        for a, b in plan.same:
            x, y = self.leaf[a], self.leaf[b]
            names = f"{_braced(plan.leaf_names[a])} and {_braced(plan.leaf_names[b])}"
            code.need(f"{x} is {y}", f"{names} were one object, are two")
        for p in tensors:
            for other in p.others:
                code.need(
                    f"{self._read(other)} is {self.names[p.source]}",
                    f"{_braced(p.text)} is another tensor",
                )
        fixed = {id(p.source.tensor) for p in tensors if isinstance(p.source, Captured)}
        free = [p for p in tensors if not isinstance(p.source, Captured)]
        reason = "two inputs are now one tensor"
        if len(free) * (len(free) - 1) // 2 <= _FEW_PAIRS:
            for i, p in enumerate(free):
                for q in free[:i]:
                    x, y = self.names[p.source], self.names[q.source]
                    code.need(
                        f"{x} is not {y}",
                        f"{_braced(q.text)} and {_braced(p.text)} were two tensors, are one",
                    )
        else:
            ids = ", ".join(f"id({self.names[p.source]})" for p in free)
            code.need(f"len({{{ids}}}) == {len(free)}", reason)
        if fixed:
            known = code.bind(frozenset(fixed), "captured")
            for p in free:
                code.need(
                    f"id({self.names[p.source]}) not in {known}",
                    f"{_braced(p.text)} is now a tensor that the function also captures",
                )

    def _base_views(self) -> None:
        plan, code = self.plan, self.code
        for leaf, view, number in plan.views:
            base = plan.inputs[number]
            assert isinstance(base, TensorPlan)
            name, chain = self.leaf[leaf], code.bind(view, "view")
            text = _braced(plan.leaf_names[leaf])
            code.need(
                f"{name}._base is {self._read(base.source)} and {name}._view == {chain}",
                f"{text} is another view",
            )

    def _memory(self, i: int, p: TensorPlan) -> None:
        """The array of an input, in ``a{i}``, laid out as the program takes it."""
        code, name, text = self.code, self.names[p.source], _braced(p.text)
        code.line(f"a{i} = {name}._value")
        code.need(f"type(a{i}) is ndarray", f"{text} was made inside a trace")
        code.line(f"f = a{i}.flags")
        plain = "f.carray" if p.written else "(f.carray or f.c_contiguous and f.aligned)"
        if p.strides is None:
            code.need(plain, f"{text} was contiguous, has the strides {{a{i}.strides}}")
            return
        code.need(
            f"not {plain}" + (" and f.writeable" if p.written else ""),
            f"{text} was not contiguous, now is",
        )
        if p.strides:
            strides = code.bind(p.strides, "strides")
            code.need(f"a{i}.strides == {strides}", f"the strides of {text} changed")

    def _apart(self) -> None:
        """Written memory must not overlap another input's."""
        plan, code = self.plan, self.code
        arrays = [(i, p) for i, p in enumerate(plan.inputs) if isinstance(p, TensorPlan)]
        for i, p in arrays:
            if p.strides is None:
                code.scope["address_of"] = address_reader()
                code.line(f"p{i} = address_of(a{i})")
        written = [i for i, p in arrays if p.written]
        if not written or len(arrays) < 2:
            return
        code.scope["extent"] = extent
        ends = {}
        for i, p in arrays:
            if p.strides is None:
                ends[i] = (f"p{i}", f"p{i} + {_bytes(p.type)}")
            else:
                code.line(f"l{i}, h{i} = extent(a{i})")
                ends[i] = (f"l{i}", f"h{i}")
        pairs = {(min(i, j), max(i, j)) for i in written for j, _ in arrays if i != j}
        reason = "inputs share memory that is written"
        if len(pairs) <= _FEW_PAIRS:
            for i, j in sorted(pairs):
                (low, high), (low2, high2) = ends[i], ends[j]
                names = f"{_braced(plan.inputs[i].text)} and {_braced(plan.inputs[j].text)}"
                code.need(
                    f"{high} <= {low2} or {high2} <= {low}", f"{names} now share memory"
                )
            return
        # Parameters stay where they are: a set of ranges seen before needs no second look.
        code.scope["known"] = [None]
        code.scope["apart"] = apart
        flags = code.bind(tuple(i in written for i, _ in arrays), "written")
        lows = ", ".join(ends[i][0] for i, _ in arrays)
        highs = ", ".join(ends[i][1] for i, _ in arrays)
        code.line(f"lows = ({lows},)")
        code.need(
            f"lows == known[0] or apart(lows, ({highs},), {flags})", reason
        )
        code.line("known[0] = lows")

    # ------------------------------------------------------------------------------------- the run

    def run(self) -> None:
        plan, code = self.plan, self.code
        executable = plan.executable
        for i, p in enumerate(plan.inputs):
            if not isinstance(p, TensorPlan):
                continue
            if p.strides is not None:
                code.scope["contiguous"] = _contiguous
                code.line(f"b{i} = contiguous(a{i})")
                code.line(f"p{i} = address_of(b{i})")
                code.scope["address_of"] = address_reader()
            if p.written:
                name = self.names[p.source]
                code.line(f"s = {name}._storage")
                code.line(f"s.version = {name}._seen = s.version + 1")
        self._native()
        for i in executable.written:
            p = plan.inputs[i]
            assert isinstance(p, TensorPlan)
            if p.strides is not None:
                code.line(f"a{i}[...] = b{i}")
        for i, flag in plan.flags:
            code.line(f"{self._input(i)}.requires_grad_({flag})")
        for i in plan.detached:
            code.line(f"{self._input(i)}.detach_()")
        code.scope["make"] = Tensor._make
        for k in range(plan.visible):
            type_ = code.bind(executable.output_types[k], "type")
            code.line(f"r{k} = make(o{k}, {type_})")
        self._tape()
        for i, result in plan.grad_writes:
            code.line(f"{self._input(i)}._grad = {self.value(result)}")
        self._effects()
        if plan.grad_mode_after is not None:
            code.line(f"modes.grad = {plan.grad_mode_after}")
        code.line(f"return {self.value(plan.result)}")

    def _native(self) -> None:
        """Fills a frame, makes the one foreign call, gives the frame back."""
        plan, code = self.plan, self.code
        executable = plan.executable
        program = executable.program
        code.scope.update(
            {
                "free": program.free,
                "frame_of": program.frame,
                "entry": program.entry,
                "fail": executable.fail,
                "empty": np.empty,
            }
        )
        places: list[str] = []
        numbers: list[str] = []
        for i, p in enumerate(plan.inputs):
            if isinstance(p, NumberPlan):
                places.append(f"w[{len(numbers)}]")
                numbers.append(self._number(i, p))
            else:
                places.append(f"p{i}")
        for k, (shape, dtype) in enumerate(executable.outputs):
            size = shape[0] if len(shape) == 1 else shape
            code.line(f"o{k} = empty({code.bind(size, 'shape')}, {code.bind(dtype, 'dtype')})")
            places.append(f"address_of(o{k})")
            code.scope["address_of"] = address_reader()
        code.line("try:")
        code.line("    frame = free.pop()")
        code.line("except IndexError:")
        code.line("    frame = frame_of()")
        if numbers:
            code.line("w, f = frame.places, frame.numbers")
            for i, value in enumerate(numbers):
                code.line(f"f[{i}] = {value}")
        if places:
            code.scope["pack"] = struct.Struct(f"={len(places)}Q").pack_into
            code.line(f"pack(frame.table, 0, {', '.join(places)})")
        code.scope["turn"] = RANDOM_LOCK if plan.random else nullcontext()
        indent = ""
        if plan.random:
            code.line("with turn:")
            indent = "    "
        code.line(f"{indent}failed = entry(frame.call)")
        code.line("free.append(frame)" if not executable.can_fail else "if failed: fail(frame)")
        if executable.can_fail:
            code.line("free.append(frame)")

    def _number(self, i: int, p: NumberPlan) -> str:
        return f"n{i}" if p.leaf is None else self.leaf[p.leaf]

    def _input(self, i: int) -> str:
        p = self.plan.inputs[i]
        assert isinstance(p, TensorPlan)
        return self.names[p.source]

    def _tape(self) -> None:
        plan, code = self.plan, self.code
        backward = plan.backward
        if backward is not None:
            code.scope.update({"attach": backward.attach, "array": np.array})
            inputs, arrays = [], []
            for i, p in enumerate(plan.inputs):
                if isinstance(p, NumberPlan):
                    inputs.append("None")
                    arrays.append(f"array({self._number(i, p)})")
                else:
                    inputs.append(self._input(i))
                    arrays.append(f"a{i}" if p.strides is None else f"b{i}")
            values = ", ".join(f"o{k}" for k in range(len(plan.executable.outputs)))
            outputs = ", ".join(f"r{k}" for k in range(plan.visible))
            code.line(
                f"attach(({', '.join(inputs)},), ({', '.join(arrays)},), ({values},), ({outputs},))"
            )
        for k, flag in plan.leaves_made.items():
            code.line(f"r{k}._requires_grad = {flag}")
        for k, error in plan.refused.items():
            code.scope["refusing"] = refusing_node
            code.line(f"r{k}._node = refusing(r{k}._type, {code.bind(error, 'error')})")
        for i, k in plan.tape_writes:
            code.line(f"{self._input(i)}._node = r{k}._node")

    def _effects(self) -> None:
        code = self.code
        for container, key, result in self.plan.effects:
            where = code.bind(container, "place")
            if isinstance(container, list):
                assert result is not None
                code.line(f"{where}[:] = {self.value(result)}")
            elif not isinstance(container, dict):
                assert result is not None
                code.line(f"{where}.cell_contents = {self.value(result)}")
            elif result is None:
                code.line(f"{where}.pop({code.bind(key, 'key')}, None)")
            else:
                code.line(f"{where}[{code.bind(key, 'key')}] = {self.value(result)}")
        if self.plan.effects:
            code.scope["structure"] = STRUCTURE
            code.line("structure.version += 1")

    def value(self, result: Result) -> str:
        """The expression of a result; what several places share is made once."""
        code = self.code
        if isinstance(result, Fixed):
            value = result.value
            plain = value is None or type(value) in (bool, int)
            return repr(value) if plain else code.bind(value, "fixed")
        if isinstance(result, Output):
            return f"o{result.number}.item()" if result.item else f"r{result.number}"
        if isinstance(result, Input):
            p = self.plan.inputs[result.number]
            if isinstance(p, NumberPlan):
                return self._number(result.number, p)
            return self._input(result.number)
        if isinstance(result, ViewOf):
            known = self.results.get(id(result))
            if known is None:
                known = self.results[id(result)] = f"v{len(self.results)}"
                code.scope["replay"] = _replay
                chain = code.bind(result.view, "view")
                of = self.value(result.of)
                code.line(f"{known} = replay({of}, {chain}, {result.recorded})")
            return known
        tree = result.tree
        parts = [self.value(part) for part in result.parts]
        kind = tree.kind
        assert kind is not None
        if kind is list:
            return f"[{', '.join(parts)}]"
        if kind is tuple:
            return f"({', '.join(parts)}{',' * (len(parts) == 1)})"
        if issubclass(kind, dict):
            keys = [code.bind(key, "key") for key in tree.keys]
            items = ", ".join(f"{k}: {v}" for k, v in zip(keys, parts, strict=True))
            return f"{{{items}}}" if kind is dict else f"{code.bind(kind, 'kind')}({{{items}}})"
        return f"{code.bind(kind, 'kind')}({', '.join(parts)})"


class _Hole:
    """Stands among the leaves for a tensor, or for a float that is read at every call."""

    def __init__(self, number: bool) -> None:
        self.number = number


TENSOR_LEAF = _Hole(False)
NUMBER_LEAF = _Hole(True)


# ------------------------------------------------------------------- what generated code calls


def _settle(tensor: Tensor, type_: TensorType) -> bool:
    """Whether the tensor has this type; it then holds this very object, compared faster."""
    if tensor._type != type_:
        return False
    tensor._type = type_
    return True


def _replay(tensor: Tensor, view: View, recorded: bool) -> Tensor:
    before = MODES.grad
    MODES.grad = recorded
    try:
        for op, attrs in view:
            tensor = op(tensor, **attrs)
    finally:
        MODES.grad = before
    return tensor


def _contiguous(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    return np.array(array, order="C", copy=True)


@cache
def address_reader() -> "Callable[[np.ndarray[Any, Any]], int]":
    """How the address of an array is read; the first compilation loads the back wing for it."""
    from graphc.backends.c import address_of

    return address_of


def extent(array: "np.ndarray[Any, Any]") -> tuple[int, int]:
    """First and last address (exclusive) of an array's memory."""
    low = high = address_reader()(array)
    if array.size == 0:
        return low, low
    for size, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            low += stride * (size - 1)
        else:
            high += stride * (size - 1)
    return low, high + array.itemsize


def apart(lows: Sequence[int], highs: Sequence[int], written: Sequence[bool]) -> bool:
    """Whether no written range overlaps another range."""
    ranges = sorted(zip(lows, highs, written, strict=True))
    end, end_written = -1, -1  # how far any range, and any written range, has reached
    for low, high, is_written in ranges:
        if low == high:
            continue
        if low < end_written or (is_written and low < end):
            return False
        end = max(end, high)
        if is_written:
            end_written = max(end_written, high)
    return True


def _bytes(type_: TensorType) -> int:
    count = type_.dtype.itemsize
    for size in type_.shape:
        assert isinstance(size, int)
        count *= size
    return count


def _described(value: Any) -> str:
    """A value in a receipt."""
    if isinstance(value, Tensor):
        return f"a tensor {value._type}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _braced(text: str) -> str:
    """Text as the inside of an f-string."""
    return text.replace("{", "{{").replace("}", "}}")


def result_tree(tree: Tree, leaves: Mapping[int, Result] | Sequence[Result]) -> Result:
    """A nest of results, from the tree and its leaves in order."""
    items = iter(leaves if not isinstance(leaves, Mapping) else leaves.values())

    def build(part: Tree) -> Result:
        if part.kind is None:
            return next(items)
        return Nest(part, tuple(build(child) for child in part.children))

    return build(tree)
