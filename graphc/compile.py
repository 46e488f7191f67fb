"""``graphc.compile``: the same program, traced once per kind of call and run as one native call.

A call looks for a *specialisation* whose assumptions hold (types of the arguments, grad mode, and
everything the function reads from outside: :mod:`graphc.guards`). If there is none it traces the
function, compiles the graph, and leaves a receipt that says why.
"""

import functools
import inspect
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc import config
from graphc.errors import TraceError
from graphc.guards import Guard, survey
from graphc.ir import Graph, Node
from graphc.modes import MODES
from graphc.naming import name_after_source
from graphc.nn.module import Module
from graphc.tape import is_spent, spent_node
from graphc.tensor import Tensor
from graphc.tracing import NeedsBases, NumberInput, TensorInput, Trace
from graphc.trees import Tree, flatten, unflatten

if TYPE_CHECKING:  # the back wing (jinja2, cffi) is loaded by the first compilation
    from graphc.executable import Executable, Stages
    from graphc.pullbacks import CompiledBackward

LIMIT = 64  # specialisations of one function; beyond that something changes at every call


@dataclass(frozen=True)
class Receipt:
    """What one compilation was for and what it cost."""

    function: str
    reason: str
    seconds: dict[str, float]
    kernels: tuple[str, ...]
    arena_bytes: int
    cached: bool

    def __str__(self) -> str:
        times = ", ".join(f"{name} {s * 1e3:.0f} ms" for name, s in self.seconds.items())
        source = "objects from the cache" if self.cached else "objects built"
        return (
            f"{self.function}: {self.reason}; {times}; {len(self.kernels)} kernels, "
            f"{self.arena_bytes} bytes of arena, {source}"
        )


@dataclass(frozen=True)
class _Result:
    """How one output leaf is made: from a graph output, an input, or a fixed Python value."""

    kind: str  # "value", "origin", "fixed"
    number: int = 0
    tensor: Any = None
    view: tuple[Any, ...] = ()
    spent: bool = False  # its graph was freed by a backward inside the function


@dataclass
class _Specialisation:
    accepts: Callable[[Sequence[Any]], bool]
    tree: Tree
    grad: bool
    guard: Guard
    readers: list[Callable[[Sequence[Any]], Any]]  # per graph input: its array from the leaves
    executable: "Executable"
    visible: int  # outputs of the graph that the caller gets; the rest is saved for backward
    results: list[_Result]
    result_tree: Tree
    writes: list[Callable[[Sequence[Any]], Tensor]]
    grads: list[tuple[Callable[[Sequence[Any]], Tensor], int | None, Tensor | None]]
    grad_checks: list[tuple[Callable[[Sequence[Any]], Tensor], bool]]
    attributes: list[tuple[dict[str, Any], str, _Result]]
    backward: "CompiledBackward | None"
    tensors: list[Callable[[Sequence[Any]], Tensor] | None]  # per graph input: its tensor
    pattern: tuple[int, ...] | None  # which inputs share memory, when the program writes some
    graph: Graph


class CompiledFunction:
    """A function that runs compiled; ``graphc.compile`` makes it."""

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        self._function = function
        self.__name__ = name or getattr(function, "__name__", type(function).__name__)
        self._specialisations: list[_Specialisation] = []
        self._lock = threading.RLock()
        self._eager = False
        self.receipts: list[Receipt] = []
        if not isinstance(function, Module):
            functools.update_wrapper(self, function)

    # ------------------------------------------------------------------------------------- calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if MODES.trace is not None or self._eager:
            return self._function(*args, **kwargs)
        leaves, tree = _leaves(args, kwargs)
        for spec in self._specialisations:
            if _fits(spec, leaves, tree):
                return self._run(spec, leaves)
        spec = self._specialise(args, kwargs, leaves, tree)
        if spec is None:
            return self._function(*args, **kwargs)
        return self._run(spec, leaves)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return functools.partial(self, instance)

    def _run(self, spec: _Specialisation, leaves: Sequence[Any]) -> Any:
        arrays = [read(leaves) for read in spec.readers]
        copies: list[tuple[int, Any]] = []
        for i, array in enumerate(arrays):
            if not array.flags.c_contiguous:
                copies.append((i, array))
                arrays[i] = np.ascontiguousarray(array)
        values = spec.executable.run(arrays)
        for i, array in copies:
            if i in spec.executable.written:
                array[...] = arrays[i]
        for tensor in spec.writes:
            tensor(leaves)._storage.version += 1
        types = spec.executable.output_types
        outputs = [Tensor._make(values[k], types[k]) for k in range(spec.visible)]
        if spec.backward is not None:
            inputs = [None if t is None else t(leaves) for t in spec.tensors]
            spec.backward.attach(inputs, arrays, values, outputs)
        for owner, number, fixed in spec.grads:
            target = owner(leaves)
            target._grad = fixed if number is None else outputs[number]
        results = [self._result(r, leaves, outputs) for r in spec.results]
        for where, name, result in spec.attributes:
            where[name] = self._result(result, leaves, outputs)
        return unflatten(spec.result_tree, results)

    def _result(self, r: _Result, leaves: Sequence[Any], outputs: list[Tensor]) -> Any:
        if r.kind == "fixed":
            return r.tensor
        tensor = outputs[r.number] if r.kind == "value" else r.tensor(leaves)
        for op, attrs in r.view:
            tensor = op(tensor, **attrs)
        if r.spent:
            tensor._node = spent_node(tensor._type)
        return tensor

    # ----------------------------------------------------------------------------------- compiling

    def _specialise(
        self, args: Any, kwargs: Any, leaves: list[Any], tree: Tree
    ) -> _Specialisation | None:
        with self._lock:
            for spec in self._specialisations:
                if _fits(spec, leaves, tree):
                    return spec
            if len(self._specialisations) >= LIMIT:
                warnings.warn(
                    f"{self.__name__} was compiled {LIMIT} times, the last time because "
                    f"{self.receipts[-1].reason}; it runs eagerly from here on",
                    stacklevel=3,
                )
                self._eager = True
                return None
            from graphc.backends.c import CompilerNotFound

            reason = self._reason(leaves, tree)
            try:
                spec = _Compilation(self, args, kwargs, leaves, tree).finish(reason)
            except CompilerNotFound as error:
                warnings.warn(f"{error}; {self.__name__} runs eagerly", stacklevel=3)
                self._eager = True
                return None
            self._specialisations.append(spec)
            return spec

    def _reason(self, leaves: Sequence[Any], tree: Tree) -> str:
        if not self._specialisations:
            return "first call"
        last = self._specialisations[-1]
        if tree != last.tree:
            return "the arguments are nested in another way"
        if last.grad is not MODES.grad:
            return f"gradients are now {'on' if MODES.grad else 'off'}"
        if not last.accepts(leaves):
            kinds = ", ".join(
                str(x._type) if isinstance(x, Tensor) else repr(x)[:40] for x in leaves
            )
            return f"other arguments: {kinds}"
        return last.guard.why_not() or "gradients or shared memory of the inputs changed"

    # ---------------------------------------------------------------------------------- inspection

    @property
    def stages(self) -> "list[Stages]":
        """Every stage of every specialisation, oldest first."""
        return [s.executable.stages for s in self._specialisations]

    def _latest(self) -> _Specialisation:
        if not self._specialisations:
            raise RuntimeError(f"{self.__name__} has not been called yet, so nothing is compiled")
        return self._specialisations[-1]

    @property
    def ir(self) -> "Stage":
        """The graphs of the latest specialisation: prints all stages; ``ir["trace"]`` one."""
        spec = self._latest()
        graphs = {"trace": spec.graph, **spec.executable.stages.graphs}
        if spec.backward is not None:
            graphs.update(
                {f"backward_{k}": g for k, g in spec.backward.executable.stages.graphs.items()}
            )
        return Stage({name: str(graph) for name, graph in graphs.items()})

    @property
    def source(self) -> "Stage":
        """The generated C of the latest specialisation, by file name."""
        spec = self._latest()
        sources = dict(spec.executable.stages.sources)
        if spec.backward is not None:
            sources.update(spec.backward.executable.stages.sources)
        return Stage(sources)

    def dump(self, folder: str | Path) -> None:
        """Writes every stage of every specialisation below ``folder``, as ``GRAPHC_DUMP`` does."""
        for number, (spec, receipt) in enumerate(
            zip(self._specialisations, self.receipts, strict=True)
        ):
            place = Path(folder) / f"{self.__name__}_{number}"
            write_stages(place, receipt, spec.graph, _executables(spec))

    def explain(self) -> str:
        """Kernels of the latest specialisation: what was fused and why not more, bytes, flops."""
        spec = self._latest()
        parts = [_explanation(spec.executable)]
        if spec.backward is not None:
            parts.append("backward\n" + _explanation(spec.backward.executable))
        return "\n\n".join(parts)


def _executables(spec: _Specialisation) -> "list[Executable]":
    return [spec.executable, *([spec.backward.executable] if spec.backward is not None else [])]


class Stage(dict[str, str]):
    """Texts by name; prints them all."""

    def __str__(self) -> str:
        return "\n\n".join(f"---- {name}\n{text}" for name, text in self.items())


def _explanation(executable: "Executable") -> str:
    lowered = executable.stages.lowered
    assert lowered is not None
    return str(lowered.explanation)


def _leaves(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Tree]:
    return flatten((args, kwargs))


def _fits(spec: _Specialisation, leaves: Sequence[Any], tree: Tree) -> bool:
    return (
        spec.grad is MODES.grad
        and spec.tree == tree
        and spec.accepts(leaves)
        and spec.guard.holds()
        and all((owner(leaves)._grad is None) is none for owner, none in spec.grad_checks)
        and (spec.pattern is None or spec.pattern == _sharing(spec, leaves))
    )


def _sharing(spec: _Specialisation, leaves: Sequence[Any]) -> tuple[int, ...]:
    first: dict[int, int] = {}
    return tuple(
        first.setdefault(id(read(leaves)._storage), i)
        for i, read in enumerate(spec.tensors)
        if read is not None
    )


def _acceptor(leaves: Sequence[Any], numbers: set[int], captured: set[int]) -> Callable[..., bool]:
    """A generated function that compares the leaves of a call with those of the trace."""
    scope: dict[str, Any] = {"Tensor": Tensor, "captured": captured}
    terms: list[str] = []
    seen: dict[int, int] = {}
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, Tensor):
            scope[f"t{i}"] = leaf._type
            scope[f"k{i}"] = type(leaf)
            terms.append(f"type(x[{i}]) is k{i}")
            terms.append(f"(x[{i}]._type is t{i} or x[{i}]._type == t{i})")
            terms.append(f"x[{i}]._tracked() is {leaf._tracked()}")
            terms.append(f"type(x[{i}]._value) is ndarray")
            if captured:
                known = id(leaf) in captured
                terms.append(
                    f"id(x[{i}]) == {id(leaf)}" if known else f"id(x[{i}]) not in captured"
                )
            if id(leaf) in seen:
                terms.append(f"x[{i}] is x[{seen[id(leaf)]}]")
            else:
                terms += [f"x[{i}] is not x[{j}]" for j in seen.values()]
                seen[id(leaf)] = i
        elif i in numbers:
            terms.append(f"type(x[{i}]) is float")
        else:
            scope[f"v{i}"] = leaf
            if isinstance(leaf, (int, float, str, bytes)) and not isinstance(leaf, bool):
                scope[f"k{i}"] = type(leaf)
                terms.append(f"type(x[{i}]) is k{i} and x[{i}] == v{i}")
            else:
                terms.append(f"x[{i}] is v{i}")
    scope["ndarray"] = np.ndarray
    source = f"def accepts(x):\n    return ({' and '.join(terms) or 'True'})\n"
    exec(source, scope)  # noqa: S102 - our own expressions
    return scope["accepts"]  # type: ignore[no-any-return]


@dataclass
class _Traced:
    trace: Trace
    result: Any
    numbers: set[int]
    seconds: float


class _Compilation:
    """One specialisation in the making."""

    def __init__(
        self,
        owner: CompiledFunction,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        leaves: list[Any],
        tree: Tree,
    ) -> None:
        self._owner = owner
        self._leaves = leaves
        self._tree = tree
        self._survey = survey(owner._function, leaves)
        self._names = {**self._survey.names, **_argument_names(owner._function, args, kwargs)}
        self._outputs: list[Node] = []
        self._numbers: dict[Node, int] = {}
        self._tracked: dict[int, Tensor] = {}

    def _trace(self) -> _Traced:
        numbers = {i for i, x in enumerate(self._leaves) if type(x) is float}
        for use_bases in (False, True):
            try:
                return self._trace_once(use_bases, numbers)
            except NeedsBases:
                continue
            except TraceError:
                if not numbers:
                    raise
                # A float whose value the program needs becomes a constant, like an int.
                numbers = set()
                try:
                    return self._trace_once(use_bases, numbers)
                except NeedsBases:
                    continue
        raise TraceError(f"{self._owner.__name__}: inputs that share memory are written")

    def _trace_once(self, use_bases: bool, numbers: set[int]) -> _Traced:
        start = time.perf_counter()
        trace = Trace(use_bases=use_bases, names=self._names)
        leaves = list(self._leaves)
        for i in numbers:
            leaves[i] = trace.runtime_number(
                f"number_{i}", functools.partial(self._leaves.__getitem__, i)
            )
            trace.inputs[-1].leaf = i  # type: ignore[union-attr]
        args, kwargs = unflatten(self._tree, leaves)
        MODES.trace = trace
        try:
            # Arguments come first among the inputs, in order, also where the function skips them.
            for leaf in leaves:
                if isinstance(leaf, Tensor):
                    trace.twin(leaf)
            result = self._owner._function(*args, **kwargs)
            trace.check_sharing()
        finally:
            MODES.trace = None
            trace.restore_attributes()
        return _Traced(trace, result, numbers, time.perf_counter() - start)

    # ------------------------------------------------------------------------------------- finish

    def finish(self, reason: str) -> _Specialisation:
        from graphc.executable import Executable

        traced = self._trace()
        trace = traced.trace
        leaves, tree = flatten(traced.result)
        results = [self._result(trace, leaf) for leaf in leaves]
        grads = [self._grad_effect(trace, twin) for twin in trace.grads_set]
        attributes = [
            (w.where, w.name, self._result(trace, w.value)) for w in trace.attribute_writes.values()
        ]
        writes = [(twin, twin._current()) for twin in trace.written]
        inputs = tuple(i.node for i in trace.inputs)
        graph = Graph(
            self._owner.__name__,
            inputs,
            tuple(self._outputs),
            tuple((self._input_of(trace, twin), value) for twin, value in writes),
            trace.builder.names,
            trace.builder.locations,
        )
        graph = name_after_source(graph)
        backward, forward = self._differentiate(trace, graph)
        executable = Executable(forward)
        readers, tensors = self._readers(trace)
        captured = [
            i.tensor
            for i in trace.inputs
            if isinstance(i, TensorInput)
            and self._argument(i.tensor) is None
            and id(i.tensor) not in trace.grad_owners
        ]
        guard = Guard(self._survey, captured)
        if guard.unreachable:
            raise TraceError(
                f"{self._owner.__name__} reads a tensor of type {guard.unreachable[0]._type} in a "
                "way that cannot be checked again at the next call; pass it as an argument, or "
                "keep it in a module, a closure or a global"
            )
        spec = _Specialisation(
            accepts=_acceptor(self._leaves, traced.numbers, {id(t) for t in captured}),
            tree=self._tree,
            grad=MODES.grad,
            guard=guard,
            readers=readers,
            executable=executable,
            visible=len(self._outputs),
            results=results,
            result_tree=tree,
            writes=[self._tensor_reader(trace, twin._origin) for twin, _ in writes],
            grads=grads,
            grad_checks=[(self._tensor_reader(trace, t), none) for t, none in trace.grad_reads],
            attributes=attributes,
            backward=backward,
            tensors=tensors,
            pattern=None,
            graph=graph,
        )
        if writes:
            spec.pattern = _sharing(spec, self._leaves)
        self._receipt(reason, traced, spec)
        return spec

    def _receipt(self, reason: str, traced: _Traced, spec: _Specialisation) -> None:
        executables = _executables(spec)
        seconds: dict[str, float] = {"trace": traced.seconds}
        for e in executables:
            for name, value in e.stages.seconds.items():
                seconds[name] = seconds.get(name, 0.0) + value
        receipt = Receipt(
            self._owner.__name__,
            reason,
            seconds,
            tuple(k.name for e in executables for k in e.lowered.program.kernels),
            sum(e.arena_bytes for e in executables),
            all(e.stages.cached for e in executables),
        )
        self._owner.receipts.append(receipt)
        report(receipt, spec.graph, executables, len(self._owner.receipts) - 1)

    def _output(self, node: Node) -> int:
        if node not in self._numbers:
            self._numbers[node] = len(self._outputs)
            self._outputs.append(node)
        return self._numbers[node]

    def _result(self, trace: Trace, leaf: Any) -> _Result:
        if not isinstance(leaf, Tensor):
            return _Result("fixed", tensor=leaf)
        if not leaf._traced:
            return _Result("origin", tensor=self._tensor_reader(trace, leaf))
        tracked = leaf._tracked()
        node = leaf._current()
        root = leaf if leaf._base is None else leaf._base
        if root._origin is not None:
            return _Result(
                "origin", tensor=self._tensor_reader(trace, root._origin), view=leaf._view
            )
        if leaf._base is not None and not tracked:
            return _Result("value", self._output(root._current()), view=leaf._view)
        number = self._output(node)
        spent = tracked and is_spent(leaf)
        if tracked and not spent:
            self._tracked[number] = leaf
        return _Result("value", number, spent=spent)

    def _grad_effect(self, trace: Trace, twin: Tensor) -> Any:
        origin = twin._origin
        assert origin is not None
        value = twin._grad
        reader = self._tensor_reader(trace, origin)
        if value is None:
            return reader, None, None
        if not value._traced:
            return reader, None, value
        return reader, self._output(value._current()), None

    def _input_of(self, trace: Trace, twin: Tensor) -> Node:
        return next(i.node for i in trace.inputs if isinstance(i, TensorInput) and i.twin is twin)

    def _argument(self, tensor: Tensor) -> int | None:
        return next((i for i, x in enumerate(self._leaves) if x is tensor), None)

    def _tensor_reader(self, trace: Trace, tensor: Any) -> Callable[[Sequence[Any]], Tensor]:
        number = self._argument(tensor)
        if number is not None:
            return lambda leaves: leaves[number]
        owner = trace.grad_owners.get(id(tensor))
        if owner is not None:
            read = self._tensor_reader(trace, owner)
            return lambda leaves: read(leaves)._grad
        return lambda _leaves: tensor

    def _readers(self, trace: Trace) -> tuple[list[Any], list[Any]]:
        readers: list[Any] = []
        tensors: list[Any] = []
        for i in trace.inputs:
            if isinstance(i, NumberInput):
                readers.append(_number_reader(i))
                tensors.append(None)
                continue
            number = self._argument(i.tensor)
            read = self._tensor_reader(trace, i.tensor)
            tensors.append(read)
            if number is not None:
                readers.append(lambda leaves, n=number: leaves[n]._current())
            else:
                readers.append(lambda leaves, r=read: r(leaves)._current())
        return readers, tensors

    # ----------------------------------------------------------------------------------- gradients

    def _differentiate(self, trace: Trace, graph: Graph) -> "tuple[CompiledBackward | None, Graph]":
        if not self._tracked or not MODES.grad:
            return None, graph
        from graphc.pullbacks import CompiledBackward

        return CompiledBackward.build(trace, graph, self._tracked)


def _number_reader(number: NumberInput) -> Callable[[Sequence[Any]], Any]:
    leaf = number.leaf
    if leaf is not None:
        return lambda leaves: np.array(leaves[leaf], np.float64)
    read = number.read
    return lambda _leaves: np.array(read(), np.float64)


def _argument_names(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[int, str]:
    """Names for the tensors among the arguments, by the function's own signature."""
    target = function.forward if isinstance(function, Module) else function
    try:
        bound = inspect.signature(target).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):
        bound = {f"arg{i}": a for i, a in enumerate(args)} | kwargs
    names: dict[int, str] = {}

    def name(value: Any, path: str) -> None:
        if isinstance(value, Tensor):
            names.setdefault(id(value), path)
        elif isinstance(value, dict):
            for key, item in value.items():
                name(item, f"{path}.{key}")
        elif isinstance(value, (list, tuple)):
            for i, item in enumerate(value):
                name(item, f"{path}.{i}")

    for parameter, value in bound.items():
        name(value, parameter)
    return names


_INSPECTION = frozenset({"dump", "explain", "ir", "receipts", "source", "stages"})


class CompiledModule(Module):
    """A module whose calls run compiled; parameters, names and state_dict are the original's."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        object.__setattr__(self, "_orig_mod", module)
        object.__setattr__(self, "_compiled", CompiledFunction(module, type(module).__name__))
        for table in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            object.__setattr__(self, table, getattr(module, table))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._compiled(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._compiled(*args, **kwargs)

    def train(self, mode: bool = True) -> "CompiledModule":
        self._orig_mod.train(mode)
        object.__setattr__(self, "training", mode)
        return self

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        compiled = own.get("_compiled")
        if compiled is not None and name in _INSPECTION:
            return getattr(compiled, name)
        if "_orig_mod" in own:
            return getattr(own["_orig_mod"], name)
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"CompiledModule(\n  {repr(self._orig_mod).replace(chr(10), chr(10) + '  ')}\n)"


def compile(  # noqa: A001 - PyTorch's name
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str = "c",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """A function or module that runs as generated C, with the meaning it has eagerly.

    Use it on a forward, a loss or a whole training step, also as a decorator. Each new kind of
    call (shapes, dtypes, modes, values read from outside) compiles once more; ``receipts`` tells
    of each. ``fullgraph``, ``dynamic``, ``mode`` and ``options`` are accepted for PyTorch's sake:
    a graph is always whole and specialised on shapes. Raises ValueError for an unknown backend.
    """
    del fullgraph, dynamic, mode, options
    if backend not in ("c", "inductor"):
        raise ValueError(f"no backend named {backend!r}; graphc compiles to 'c'")
    if model is None:
        return functools.partial(compile, backend=backend, disable=disable)
    if disable:
        return model
    if isinstance(model, Module):
        return CompiledModule(model)
    return CompiledFunction(model)


def report(
    receipt: Receipt, graph: Graph, executables: "Sequence[Executable]", number: int
) -> None:
    """Writes a compilation to ``GRAPHC_DUMP`` and prints what ``GRAPHC_DEBUG`` asks for."""
    folder = config.DUMP.value
    if folder is not None:
        write_stages(folder / f"{receipt.function}_{number}", receipt, graph, executables)
    level = config.DEBUG.value
    if level >= 1:
        print(receipt)
    if level >= 2:
        for executable in executables:
            print(_explanation(executable))
    if level >= 3:
        print(graph)
        for executable in executables:
            for name, stage in executable.stages.graphs.items():
                print(f"---- {name}\n{stage}")
    if level >= 4:
        for executable in executables:
            for name, text in executable.stages.sources.items():
                print(f"---- {name}\n{text}")


def write_stages(
    folder: Path, receipt: Receipt, graph: Graph, executables: "Sequence[Executable]"
) -> None:
    """Every stage of one compilation as files: the trace, each pass, kernels, C, the receipt."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "receipt.txt").write_text(f"{receipt}\n")
    (folder / "00_trace.ir").write_text(f"{graph}\n")
    for part, executable in zip(("forward", "backward"), executables, strict=False):
        executable.stages.dump(folder / part if len(executables) > 1 else folder)
