"""One specialisation in the making: trace, graph, programs, and the plan of its calls."""

import random
import re
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc.compiler.dispatch import Dispatch
from graphc.compiler.guards import Guard
from graphc.compiler.naming import argument_names, name_after_source
from graphc.compiler.places import MISSING, Change, Place, restored
from graphc.compiler.plan import (
    NUMBER_LEAF,
    TENSOR_LEAF,
    Argument,
    BaseOf,
    Captured,
    Fixed,
    GradOf,
    Input,
    NumberPlan,
    Output,
    Plan,
    Result,
    Slot,
    Source,
    TensorPlan,
    ViewOf,
    result_tree,
)
from graphc.compiler.receipts import BACKWARD, FORWARD, Receipt, receipt
from graphc.compiler.segments import Course
from graphc.compiler.sharing import apart, extent
from graphc.compiler.survey import PLAIN, Survey, survey
from graphc.errors import TraceError
from graphc.generator import Generator, default_generator
from graphc.ir import Graph, Node, topological
from graphc.modes import MODES
from graphc.nn.parameter import Parameter
from graphc.tensor import Tensor
from graphc.tracing import (
    NeedsBases,
    NeedsEager,
    NeedsPlaces,
    NumberInput,
    TensorInput,
    Trace,
    ValueNeededError,
    suspended,
)
from graphc.trees import Tree, flatten, unflatten

if TYPE_CHECKING:  # the back wing (jinja2, cffi) is loaded by the first compilation
    from graphc.compiler.executable import Executable
    from graphc.compiler.pullbacks import Differentiated

_ROOT = re.compile(r"\br\[(\d+)\]")


class SharedMemory(Exception):  # noqa: N818 - a signal, not an error
    """Inputs without a common base share memory that is written: only eager code can do this."""


@dataclass(frozen=True)
class Specialisation:
    """A compiled program, when it applies, and what can be read about it."""

    dispatch: Dispatch
    call: Callable[[Any, Any], Any]
    tree: Tree
    graph: Graph
    executable: "Executable"
    course: Course | None
    programs: "dict[str, Executable]"  # by part
    receipt: Receipt


def specialise(
    function: Callable[..., Any],
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    reason: str,
    whole: bool = False,
) -> Specialisation:
    """Traces ``function`` on these arguments and compiles what it does.

    Raises what the function raises, TraceError for what a graph cannot hold (when it has to be
    ``whole``: a value that the function asks for), and SharedMemory.
    """
    return _Specialising(function, name, args, kwargs, whole).make(reason)


class _Specialising:
    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        whole: bool,
    ) -> None:
        self.function = function
        self.whole = whole
        self.name = name
        self.leaves, self.tree = flatten((args, kwargs))
        self.leaf_names = argument_names(function, self.tree)
        self.found: Survey = survey(function, self.leaves, self.leaf_names)
        self.names = dict(self.found.names)
        for leaf, leaf_name in zip(self.leaves, self.leaf_names, strict=True):
            if isinstance(leaf, Tensor):
                self.names[id(leaf)] = leaf_name
        self.grad_mode = MODES.grad
        self.autocast = MODES.autocast
        self.outputs: list[Node] = []
        self.output_of: dict[int, int] = {}  # id of a storage -> number of the output
        self.tracked: dict[int, Tensor] = {}
        self.keep: list[Any] = []  # keeps ids valid
        self.views: dict[int, ViewOf] = {}

    # --------------------------------------------------------------------------------------- trace

    def traced(self) -> None:
        """Runs the function on symbols, again where the first run teaches what is needed."""
        numbers = {i for i, x in enumerate(self.leaves) if type(x) is float}
        # The function may look at whether it has a float.
        self.floats_stay = bool({"isinstance", "type"} & self.found.words) and (
            "float" in self.found.words
        )
        if self.floats_stay:
            numbers = set()
        use_bases = self.places_known = False
        while True:
            try:
                self._trace_once(use_bases, numbers)
                watched = {id(place.container) for place in self.found.places}
                if not any(id(made) in watched for made, _, _ in self.trace.made_state):
                    return
                # State is there now that the survey did not find: look again.
                self.found = survey(self.function, self.leaves, self.leaf_names)
            except NeedsPlaces:
                self.places_known = True
            except NeedsBases:
                if use_bases:
                    raise SharedMemory from None
                use_bases = True
            except ValueNeededError as error:
                # A float whose value the program needs becomes a constant, like an int.
                needed = self._numbers_behind(error.tensor)
                if not needed:
                    raise
                numbers = numbers - needed

    def _numbers_behind(self, tensor: Tensor) -> set[int]:
        if not isinstance(tensor._value, Node):
            return set()
        behind = set(topological([tensor._value]))
        return {
            i.leaf
            for i in self.trace.inputs
            if isinstance(i, NumberInput) and i.leaf is not None and i.node in behind
        }

    def _trace_once(self, use_bases: bool, numbers: set[int]) -> None:
        start = time.perf_counter()
        self.numbers = numbers
        self.trace = trace = Trace(
            use_bases=use_bases,
            places_known=self.places_known,
            floats_stay=self.floats_stay,
            names=self.names,
        )
        self.course = Course(self.name, trace, self._arrays)
        if not self.whole:
            trace.course = self.course
        leaves = list(self.leaves)
        outer = MODES.trace
        MODES.trace = trace
        self.changes: list[Change] = []
        done = False
        try:
            # Arguments come first among the inputs, in order, also where the function skips them.
            for i, leaf in enumerate(leaves):
                if i in numbers:
                    leaves[i] = trace.argument_number(self.leaf_names[i], i)
                elif isinstance(leaf, Tensor):
                    trace.twin(leaf)
            args, kwargs = unflatten(self.tree, leaves)
            result = self.function(*args, **kwargs)
            self._refuse_changed((args, kwargs), leaves)
            self.result_leaves, self.result_tree = flatten(result)
            self.result_leaves = [self._inside(leaf) for leaf in self.result_leaves]
            for leaf in self.result_leaves:
                if isinstance(leaf, Tensor):
                    leaf._current()
            done = True
        finally:
            self.grad_mode_after = MODES.grad
            MODES.trace, MODES.grad = outer, self.grad_mode
            self.changes = self._restore()
            self.keep.append(self.trace)
        if done:
            self._refuse_counts()
            self._check_memory(use_bases)
        self.seconds = time.perf_counter() - start

    def _arrays(self) -> list[Any]:
        """The memory of every input of the trace so far, as programs take it."""
        arrays = []
        for i in self.trace.inputs:
            if isinstance(i, TensorInput):
                arrays.append(np.ascontiguousarray(i.tensor._value).reshape(i.tensor._value.shape))
            else:
                with suspended():
                    number = i.container[i.key] if i.leaf is None else self.leaves[i.leaf]
                arrays.append(np.array(number))
        return arrays

    def _refuse_changed(self, arguments: Any, leaves: list[Any]) -> None:
        """The function was given copies of lists and dicts: what it does to them is not seen."""
        now, tree = flatten(arguments)
        if tree != self.tree or any(a is not b for a, b in zip(now, leaves, strict=True)):
            raise TraceError(
                f"{self.name} changes a list or dict among its arguments; return a new one instead"
            )

    def _inside(self, leaf: Any) -> Any:
        """A returned tensor as the trace knows it: an eager one becomes an input, so is watched."""
        if isinstance(leaf, Tensor):
            return self.trace.twin(leaf)
        if not isinstance(leaf, PLAIN):
            for value in getattr(leaf, "__dict__", {}).values():
                if isinstance(value, Tensor) and value._traced:
                    raise TraceError(
                        f"{self.name} returns a {type(leaf).__name__} that holds tensors; return "
                        "them in a list, tuple, dict or named tuple"
                    )
        return leaf

    def _restore(self) -> list[Change]:
        """Puts every place back to what it held before the trace; tells what was changed."""
        changes: list[Change] = []
        places = list(self.found.places)
        known = {id(p.container) for p in places}
        for where, before in self.trace.touched.values():
            if id(where) not in known:
                places.append(Place(where, "", before))
        for place in places:
            changes += restored(place)
        for container, key, value in self.trace.made_state:
            container[key] = value
        kept = {(id(c), id(k)) for c, k, _ in self.trace.made_state}
        return [c for c in changes if (id(c.container), id(c.key)) not in kept]

    def _refuse_counts(self) -> None:
        """A number of Python that a user's optimizer changes at each step is no input."""
        for c in self.changes:
            state = self.found.states.get(id(c.container))
            if state is not None and type(c.before) in (int, float) and c.value != c.before:
                raise NeedsEager(
                    f"a step changes the number {c.key!r} in {state[1]}, which is a constant of a "
                    "program (keep it in a tensor)"
                )

    def _check_memory(self, use_bases: bool) -> None:
        """Written memory must be one input's alone; else the trace starts again from the bases."""
        trace = self.trace
        written = {id(twin) for twin in trace.written}
        if not written:
            return
        given = [i for i in trace.inputs if isinstance(i, TensorInput)]
        bounds = [extent(i.tensor._value) for i in given]
        flags = [id(i.twin) in written for i in given]
        if not apart([b[0] for b in bounds], [b[1] for b in bounds], flags):
            raise SharedMemory if use_bases else NeedsBases
        for each, is_written in zip(given, flags, strict=True):
            if is_written and not each.tensor._value.flags.writeable:
                raise ValueError(
                    f"assignment destination is read-only: the memory of {self._text(each.tensor)}"
                )

    # ------------------------------------------------------------------------------------- sources

    def _sources(self, tensor: Tensor) -> list[Source]:
        """Every way to an input, the one to read it by first."""
        trace = self.trace
        ways: list[Source] = []
        if id(tensor) in self.found.tensors:
            ways.append(self._slot(tensor) or Captured(tensor))
        argument = next((i for i, x in enumerate(self.leaves) if x is tensor), None)
        if argument is not None:
            ways.append(Argument(argument))
        owner = trace.grad_owners.get(id(tensor))
        if owner is not None and not any(isinstance(w, Captured) for w in ways):
            ways.append(GradOf(self._source(owner)))
        view = trace.base_owners.get(id(tensor))
        if view is not None and not ways:
            ways.append(BaseOf(self._source(view)))
        if not ways:
            raise TraceError(
                f"{self.name} reads a tensor of type {tensor._type} in a way that cannot be "
                "checked again at the next call; pass it as an argument, or keep it in a module, "
                "a closure or a global"
            )
        return ways

    def _slot(self, tensor: Tensor) -> Slot | None:
        """The only place that holds a tensor, where another one may stand at the next call.

        Closure cells and globals are such places, unless they hold parameters, and whatever the
        function itself writes. Tensors found elsewhere are expected to be the same ones again.
        """
        checks = self.found.tensors[id(tensor)][1]
        if len({c.path for c in checks}) > 1:
            return None
        for change in self.changes:
            if change.before is tensor:
                return Slot(change.container, change.key)
        place = self.found.slots.get(id(tensor))
        return Slot(*place) if place is not None and not isinstance(tensor, Parameter) else None

    def _source(self, tensor: Tensor) -> Source:
        return self._sources(tensor)[0]

    def _text(self, tensor: Tensor) -> str:
        known = self.found.tensors.get(id(tensor))
        if known is not None and not any(x is tensor for x in self.leaves):
            return known[1][0].text
        owner = self.trace.grad_owners.get(id(tensor))
        if owner is not None:
            return f"{self._text(owner)}.grad"
        return self.names.get(id(tensor), "a tensor")

    def _input_plans(self) -> list[TensorPlan | NumberPlan]:
        trace = self.trace
        written = {id(twin) for twin in trace.written}
        with_hooks = bool(trace.grad_reads or trace.grads_set)
        plans: list[TensorPlan | NumberPlan] = []
        for i in trace.inputs:
            if isinstance(i, NumberInput):
                text = str(i.node.attrs["name"])
                plans.append(NumberPlan(i.leaf, i.container, i.key, text))
                continue
            tensor = i.tensor
            array = tensor._value
            ways = self._sources(tensor)
            flags = array.flags
            plain = flags.c_contiguous and flags.aligned
            strides = None if plain else (array.strides if i.layout_matters else ())
            tracked = tensor._tracked()
            hooks = tuple(tensor._hooks or ()) if with_hooks and tracked else None
            plans.append(
                TensorPlan(
                    ways[0],
                    tuple(ways[1:]),
                    type(tensor),
                    tensor._type,
                    tracked,
                    tensor._node is None,
                    strides,
                    id(i.twin) in written,
                    hooks,
                    self._text(tensor),
                    dict(vars(tensor)),
                )
            )
        return plans

    def _number_of(self, tensor: Tensor) -> int:
        """The graph input that an eager tensor is."""
        return next(
            n
            for n, i in enumerate(self.trace.inputs)
            if isinstance(i, TensorInput) and i.tensor is tensor
        )

    def _guard(self) -> Guard:
        """The guard over what was reached; tensors made while tracing are looked for again."""
        given = [i.tensor for i in self.trace.inputs if isinstance(i, TensorInput)]
        owners = self.trace.grad_owners
        known = {*map(id, self.leaves), *owners, *self.trace.base_owners}
        found = self.found
        if any(id(t) not in found.tensors and id(t) not in known for t in given):
            _join(found, survey(self.function, self.leaves, self.leaf_names))
        routes = [
            check
            for t in given
            if id(t) in found.tensors and self._slot(t) is None
            for check in found.tensors[id(t)][1]
        ]
        return Guard(found, routes, {id(t) for t in given})

    # ------------------------------------------------------------------------------------- results

    def _output(self, tensor: Tensor) -> int:
        """The number of the output that holds the memory of a traced tensor without a base."""
        key = id(tensor._storage)
        if key not in self.output_of:
            self.output_of[key] = len(self.outputs)
            self.outputs.append(tensor._current())
            self.keep.append(tensor)
            if tensor._tracked():
                self.tracked[self.output_of[key]] = tensor
        return self.output_of[key]

    def _result(self, leaf: Any) -> Result:
        if not isinstance(leaf, Tensor):
            return Fixed(leaf)
        leaf = self.trace.twin(leaf)
        tracked = leaf._tracked()
        if leaf._weak:
            for n, i in enumerate(self.trace.inputs):
                if i.node is leaf._value:
                    return Input(n)
            return Output(self._output(leaf), item=True)
        base = leaf._root()
        root = leaf if base is None else base
        if root._origin is not None:
            of: Result = Input(self._number_of(root._origin))
        elif leaf is root:
            return Output(self._output(leaf))
        elif self._shared(root) or not leaf._layout().flags.c_contiguous:
            of = Output(self._output(root))
        else:
            return Output(self._output(leaf))
        if leaf is root:
            return of
        known = self.views.get(id(leaf))
        if known is None:
            known = self.views[id(leaf)] = ViewOf(of, leaf._view, tracked)
            self.keep.append(leaf)
        return known

    def _shared(self, root: Tensor) -> bool:
        """Whether several results live in the memory of one tensor."""
        return self.users.get(id(root._storage), 0) > 1

    def _effects(self) -> list[tuple[Any, Any, Result | None]]:
        effects: list[tuple[Any, Any, Result | None]] = []
        for c in self.changes:
            if isinstance(c.container, list):
                tree = Tree(list, (len(c.value),), tuple(Tree(None) for _ in c.value))
                effects.append((c.container, None, result_tree(tree, self._parts(c.value))))
            else:
                gone = c.value is MISSING
                effects.append((c.container, c.key, None if gone else self._nested(c.value)))
        return effects

    def _parts(self, values: Iterable[Any]) -> list[Result]:
        return [self._result(v) for v in values]

    def _nested(self, value: Any) -> Result:
        leaves, tree = flatten(value)
        return result_tree(tree, self._parts(leaves))

    def _count_users(self) -> None:
        """How many results live in each memory."""
        self.users: dict[int, int] = {}
        seen: set[int] = set()
        values = [*self.result_leaves, *(t._grad for t in self.trace.grads_set)]
        for c in self.changes:
            values += flatten(c.value)[0] if c.value is not MISSING else []
        for value in values:
            if isinstance(value, Tensor) and value._traced and id(value) not in seen:
                seen.add(id(value))
                key = id(value._storage)
                self.users[key] = self.users.get(key, 0) + 1

    # ---------------------------------------------------------------------------------------- make

    def make(self, reason: str) -> Specialisation:
        from graphc.compiler.executable import Executable

        draws = random.getstate(), np.random.get_state(legacy=False)
        self.traced()
        trace = self.trace
        _warn_of_draws(self.name, draws)
        MODES.trace = trace  # what is left to ask of traced tensors may add to the graph
        try:
            self._count_users()
            parts = self._parts(self.result_leaves)
            effects = self._effects()
            grad_writes = [
                (self._number_of(_origin(twin)), self._result(twin._grad))
                for twin in trace.grads_set
            ]
            tape_writes = self._tape_writes()
            writes = [(twin, twin._current()) for twin in trace.written]
        finally:
            MODES.trace = None
        guard = self._guard()
        plans = self._input_plans()
        course = self.course if self.course.steps else None
        inputs = (*(i.node for i in trace.inputs), *self.course.found)
        node_of = {id(i.twin): i.node for i in trace.inputs if isinstance(i, TensorInput)}
        graph = name_after_source(
            Graph(
                self.name,
                inputs,
                tuple(self.outputs),
                tuple((node_of[id(twin)], value) for twin, value in writes),
                trace.builder.names,
                trace.builder.locations,
            )
        )
        leaves_made = {n: True for n, t in self.tracked.items() if t._requires_grad}
        followed = {n: t for n, t in self.tracked.items() if n not in leaves_made}
        backward, forward, ending = self._differentiate(graph, followed, leaves_made)
        executable = Executable(forward)
        base_number = {
            id(i.tensor): n for n, i in enumerate(trace.inputs) if isinstance(i, TensorInput)
        }
        viewed = {
            id(t): t for t in self.leaves
            if trace.use_bases and isinstance(t, Tensor) and t._base is not None
        }  # fmt: skip
        plan = Plan(
            tree=self.tree,
            leaves=[self._leaf(i, x) for i, x in enumerate(self.leaves)],
            leaf_names=self.leaf_names,
            inputs=plans,
            same=self._same_leaves(),
            views=[
                (i, t._view, base_number[id(t._base)])
                for i, t in enumerate(self.leaves)
                if id(t) in viewed
            ],
            grads=[(self._number_of(t), none) for t, none in trace.grad_reads],
            grad_mode=self.grad_mode,
            autocast=self.autocast,
            guard=guard,
            executable=executable,
            visible=len(self.outputs),
            backward=backward,
            leaves_made=leaves_made,
            ending=ending,
            flags=self._flags(),
            detached=[
                n for n, i in enumerate(trace.inputs)
                if isinstance(i, TensorInput) and i.tensor._node is not None
                and i.twin._node is None
            ],
            tape_writes=tape_writes,
            grad_writes=grad_writes,
            effects=effects,
            grad_mode_after=self._new_grad_mode(),
            result=result_tree(self.result_tree, parts),
            course=course,
            random=self._draws(),
        )  # fmt: skip
        trace.close()
        self.course.settle()
        dispatch = Dispatch(plan)
        programs = {f"part{i + 1}": e for i, e in enumerate(self.course.segments)}
        programs[FORWARD] = executable
        if backward is not None:
            programs[BACKWARD] = backward.executable
        made = receipt(self.name, reason, {"trace": self.seconds}, programs)
        return Specialisation(
            dispatch, dispatch.call, self.tree, graph, executable, course, programs, made
        )

    def _leaf(self, number: int, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return TENSOR_LEAF
        return NUMBER_LEAF if number in self.numbers else leaf

    def _same_leaves(self) -> list[tuple[int, int]]:
        first: dict[int, int] = {}
        same = []
        for i, leaf in enumerate(self.leaves):
            if isinstance(leaf, Tensor):
                j = first.setdefault(id(leaf), i)
                if j != i:
                    same.append((i, j))
        return same

    def _flags(self) -> list[tuple[int, bool]]:
        """Leaves whose requires_grad the function switched."""
        return [
            (n, i.twin._requires_grad)
            for n, i in enumerate(self.trace.inputs)
            if isinstance(i, TensorInput)
            and i.tensor._node is None
            and i.twin._requires_grad is not i.tensor._requires_grad
            and i.twin._node is None
        ]

    def _tape_writes(self) -> list[tuple[int, int]]:
        """Inputs that were written with tracked values: they continue on the new tape."""
        writes = []
        for n, i in enumerate(self.trace.inputs):
            if isinstance(i, TensorInput) and i.twin._node not in (None, i.tape):
                number = len(self.outputs)
                self.outputs.append(i.twin._current())
                self.tracked[number] = i.twin
                writes.append((n, number))
        return writes

    def _new_grad_mode(self) -> bool | None:
        """The mode that the function leaves switched, if it does."""
        return None if self.grad_mode_after is self.grad_mode else self.grad_mode_after

    def _draws(self) -> bool:
        states = {id(default_generator._state)}
        states |= {id(r._state) for r in self.found.roots if isinstance(r, Generator)}
        return any(
            twin._origin is not None and id(twin._origin) in states for twin in self.trace.written
        )

    def _differentiate(
        self, graph: Graph, tracked: dict[int, Tensor], leaves_made: Iterable[int]
    ) -> "Differentiated":
        from graphc.compiler.pullbacks import CompiledBackward, Differentiated

        if not tracked:
            return Differentiated(None, self._cut(graph, len(graph.inputs))[0], {})
        made = {self.tracked[n]._tape_node() for n in leaves_made}
        if made.intersection(topological(t._tape_node() for t in tracked.values())):
            raise TraceError(
                f"{self.name} makes a tensor that requires gradients and returns it together with "
                "a result computed from it; make that tensor outside and pass it in"
            )
        return CompiledBackward.build(self.trace, graph, tracked, self._cut)

    def _cut(self, graph: Graph, given: int) -> tuple[Graph, int]:
        return self.course.cut(graph, given) if self.course.steps else (graph, given)


def _warn_of_draws(name: str, before: tuple[Any, Any]) -> None:
    """Numbers drawn outside of graphc are constants of the program: say so."""
    then, now = before[1]["state"], np.random.get_state(legacy=False)["state"]
    moved = {
        "random": random.getstate() != before[0],
        "numpy.random": any(not np.array_equal(then[key], now[key]) for key in then),
    }
    for module, has_moved in moved.items():
        if has_moved:
            warnings.warn(
                f"{name} drew from {module} while it was traced; its compiled program repeats what "
                "was drawn then. Draw with graphc.rand and its like, or pass the number as a float",
                stacklevel=8,
            )


def _origin(twin: Tensor) -> Tensor:
    assert twin._origin is not None
    return twin._origin


def _join(first: Survey, later: Survey) -> None:
    """Adds the tensors that only the second walk found, with the paths to them."""
    shift = len(first.roots)
    for number, (tensor, checks) in later.tensors.items():
        if number not in first.tensors:
            moved = [
                replace(c, path=_ROOT.sub(lambda m: f"r[{int(m[1]) + shift}]", c.path))
                for c in checks
            ]
            first.tensors[number] = (tensor, moved)
    first.roots += later.roots
