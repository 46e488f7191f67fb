"""The checks of a specialisation, as lines of its function: does this call fit it?"""

import weakref
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.compiler.guards import alike, compared, same_value
from graphc.compiler.lines import MISS, Code
from graphc.compiler.plan import (
    Argument,
    Captured,
    GradOf,
    Hole,
    NumberPlan,
    Plan,
    Slot,
    Source,
    TensorPlan,
)
from graphc.compiler.sharing import address_reader, apart, bytes_of, extent
from graphc.compiler.survey import VALUES
from graphc.ir import TensorType
from graphc.modes import MODES
from graphc.tensor import Tensor
from graphc.trees import Tree

GUARD = "an assumption of the guard"
_FEW_PAIRS = 6


class Checks:
    """Writes the checks, and remembers which variables then hold what.

    Afterwards ``names`` has the variable of every input tensor, ``leaf`` of every argument; the
    arrays of the inputs are in ``a0``, ``a1`` ..., addresses in ``p0`` ..., floats in ``n0`` ...
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.code = Code()
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
                "laid_out": _laid_out,
            }
        )
        self.leaf: dict[int, str] = {}
        self.based = {leaf for leaf, _, _ in plan.views}
        self.names: dict[Source, str] = {}  # of tensors, once read

    # --------------------------------------------------------------------------------- assumptions

    def write(self) -> None:
        plan, code = self.plan, self.code
        mode = plan.grad_mode
        code.need(f"modes.grad is {mode}", f"gradients are now {'off' if mode else 'on'}")
        autocast = "None" if plan.autocast is None else code.bind(plan.autocast, "region")
        code.need(f"modes.autocast is {autocast}", "autocast is now {modes.autocast}")
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
            p = self.tensor(number)
            was, now = ("None", "a tensor") if none else ("a tensor", "None")
            code.need(
                f"{self.names[p.source]}._grad is {'' if none else 'not '}None",
                f"{_braced(p.text)}.grad was {was}, is {now}",
            )
        for i, given in enumerate(plan.inputs):
            if isinstance(given, NumberPlan) and given.leaf is None:
                where, key = code.bind(given.container, "group"), code.bind(given.key, "key")
                name = f"n{i}"
                code.line(f"{name} = {where}[{key}]")
                code.need(
                    f"type({name}) is float", f"{_braced(given.text)} is now {{{name}!r}}, no float"
                )
        self._identities(tensors)
        self._base_views()
        if plan.guard:
            code.need("holds()", GUARD)
        for i, given in enumerate(plan.inputs):
            if isinstance(given, TensorPlan):
                self._memory(i, given)
        self._apart()

    def tensor(self, number: int) -> TensorPlan:
        """The plan of an input that is a tensor."""
        p = self.plan.inputs[number]
        assert isinstance(p, TensorPlan)
        return p

    def _arguments(self) -> None:
        plan, code = self.plan, self.code
        args, kwargs = plan.tree.children
        count = len(args.children)
        nested = "the arguments are nested in another way"
        code.need(f"len(args) == {count}", f"{{len(args)}} positional arguments instead of {count}")
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
        if isinstance(value, Hole):
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
        if not _stays(p):
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
        if p.attributes:
            code.scope["alike"] = alike
            kept = code.bind(p.attributes, "attributes")
            code.need(f"alike(vars({name}), {kept})", f"the attributes of {text} changed")
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
            base = self.tensor(number)
            name, chain = self.leaf[leaf], code.bind(view, "view")
            text = _braced(plan.leaf_names[leaf])
            code.need(
                f"{name}._base is {self._read(base.source)} and {name}._view == {chain}",
                f"{text} is another view",
            )

    def _memory(self, i: int, p: TensorPlan) -> None:
        """The array of an input, in ``a{i}``, laid out as the program takes it."""
        code, name, text = self.code, self.names[p.source], _braced(p.text)
        if _stays(p):
            code.scope[f"kept{i}"] = _nothing, 0
            code.scope["look"] = _look
            type_ = code.bind(p.type, "type")
            code.line(f"last, p{i} = kept{i}")
            code.line(f"a{i} = {name}._value")
            code.line(
                f"if a{i} is not last(): "
                f"p{i} = look(globals(), 'kept{i}', {name}, a{i}, {type_}, {p.written})"
            )
            code.need(f"p{i} is not None", f"{text} was {_braced(str(p.type))} in rows, is "
                      f"{{described({name})}}, {{laid_out({name})}}")  # fmt: skip
            return
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
            if p.strides is None and not _stays(p):
                code.scope["address_of"] = address_reader()
                code.line(f"p{i} = address_of(a{i})")
        written = [i for i, p in arrays if p.written]
        if not written or len(arrays) < 2:
            return
        code.scope["extent"] = extent
        ends = {}
        for i, p in arrays:
            if p.strides is None:
                ends[i] = (f"p{i}", f"p{i} + {bytes_of(p.type)}")
            else:
                code.line(f"l{i}, h{i} = extent(a{i})")
                ends[i] = (f"l{i}", f"h{i}")
        count = len(written) * (2 * len(arrays) - len(written) - 1) // 2
        if count <= _FEW_PAIRS:
            pairs = {(min(i, j), max(i, j)) for i in written for j, _ in arrays if i != j}
            for i, j in sorted(pairs):
                (low, high), (low2, high2) = ends[i], ends[j]
                names = f"{_braced(plan.inputs[i].text)} and {_braced(plan.inputs[j].text)}"
                code.need(f"{high} <= {low2} or {high2} <= {low}", f"{names} now share memory")
            return
        # Parameters stay where they are: a set of ranges seen before needs no second look.
        code.scope["known"] = [None]
        code.scope["apart"] = apart
        flags = code.bind(tuple(i in written for i, _ in arrays), "written")
        lows = ", ".join(ends[i][0] for i, _ in arrays)
        highs = ", ".join(ends[i][1] for i, _ in arrays)
        code.line(f"lows = ({lows},)")
        code.need(
            f"lows == known[0] or apart(lows, ({highs},), {flags})",
            "inputs share memory that is written",
        )
        code.line("known[0] = lows")


def _stays(p: TensorPlan) -> bool:
    """Whether a tensor's memory is that of the last call, as a rule: a parameter's."""
    return isinstance(p.source, Captured) and p.strides is None


def _nothing() -> None:
    """In place of the reference to an array."""


def _look(
    scope: dict[str, Any], name: str, tensor: Tensor, array: Any, type_: TensorType, written: bool
) -> int | None:
    """The address of a tensor's array, remembered with the array; None where it does not fit.

    A program that may never run again keeps no memory: the reference is a weak one.
    """
    if type(array) is not np.ndarray or not (tensor._type is type_ or _settle(tensor, type_)):
        return None
    flags = array.flags
    if not (flags.carray or (not written and flags.c_contiguous and flags.aligned)):
        return None
    address = address_reader()(array)
    scope[name] = weakref.ref(array), address
    return address


def _laid_out(tensor: Tensor) -> str:
    """The layout of a tensor in a receipt."""
    array = tensor._value
    if type(array) is not np.ndarray:
        return "made inside a trace"
    access = "" if array.flags.writeable else " and read-only"
    return f"with the strides {array.strides}{access}"


def _settle(tensor: Tensor, type_: TensorType) -> bool:
    """Whether the tensor has this type; it then holds this very object, compared faster."""
    if tensor._type != type_:
        return False
    tensor._type = type_
    return True


def _described(value: Any) -> str:
    """A value in a receipt."""
    if isinstance(value, Tensor):
        return f"a tensor {value._type}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _braced(text: str) -> str:
    """Text as the inside of an f-string."""
    return text.replace("{", "{{").replace("}", "}}")
