"""``backward`` and ``grad``: walking the tape that operations left behind."""

import operator
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.autodiff import Pullback, backpropagate, pullback
from graphc.autograd import hooks
from graphc.autograd.totals import Part, as_tensor, joined, whole
from graphc.errors import located
from graphc.functions.promotion import cast
from graphc.ir import OPS, Node, TensorType, topological
from graphc.memory import owns_memory
from graphc.modes import MODES
from graphc.ops.evaluation import ERRORS, SILENT
from graphc.tape import OUTER, Saved, TapeNode
from graphc.tensor import Tensor, apply
from graphc.tracing import backward_leaves, suspended

Tensors = Tensor | Sequence[Tensor]


def backward(
    tensors: Tensors,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensors | None = None,
) -> None:
    """Adds the gradient of ``tensors`` to the ``.grad`` of the leaves they were computed from.

    ``grad_tensors`` gives the cotangent of each tensor (only a one-element tensor may go without).
    ``inputs`` limits the accumulation to these leaves. The graph is freed unless ``retain_graph``
    (default: ``create_graph``). Raises RuntimeError when nothing requires gradients, when a
    non-scalar lacks its cotangent, and when a saved value was overwritten or freed.
    """
    wanted = None if inputs is None else [_local(t) for t in _tuple(inputs)]
    if wanted is not None and not wanted:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    for t in wanted or ():
        if not t._tracked():
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    seeds = _seeds(_tuple(tensors), _tuple_or_none(grad_tensors))
    keep = create_graph if retain_graph is None else retain_graph
    nodes = None if wanted is None else [t._tape_node() for t in wanted]
    found = run_backward(seeds, retain_graph=keep, create_graph=create_graph, wanted=nodes)
    own = _Owner(seeds.values(), create_graph)
    arrivals: list[tuple[Tensor, TapeNode, Any]] = []
    if wanted is None:
        for node, g in found.items():
            if isinstance(node, TapeNode) and node.tensor is not None:
                arrivals.append((node.tensor, node, g))
            elif node.op is OUTER:
                raise backward_leaves(node)
    else:
        for target, place in zip(wanted, nodes or (), strict=True):
            if place in found:
                arrivals.append((target, place, found[place]))
    for target, place, g in arrivals:
        target._accumulate(own(g, place), create_graph)
        if target._hooks:
            _run_accumulated(target, create_graph)


def _run_accumulated(leaf: Tensor, create_graph: bool) -> None:
    before, MODES.grad = MODES.grad, create_graph
    try:
        hooks.accumulated(leaf)
    finally:
        MODES.grad = before


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of ``outputs`` with respect to ``inputs``; nothing is accumulated.

    An input that the outputs do not depend on raises RuntimeError unless ``allow_unused`` (then
    None) or ``materialize_grads`` (then zeros). With ``is_grads_batched`` each of ``grad_outputs``
    has one more dimension in front, over which the gradient is vectorised.
    """
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To "
            "accumulate gradient for other parts of the graph, please use backward.",
            FutureWarning,
            stacklevel=2,
        )
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, "
            "but got: allow_unused=False."
        )
    if is_grads_batched:
        return _batched_grad(
            outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused,
            materialize_grads,
        )  # fmt: skip
    given = _tuple(inputs)
    if not given:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    for t in given:
        if not isinstance(t, Tensor):
            raise RuntimeError(f"all inputs have to be Tensors, but got {type(t).__name__}")
    wanted = [_local(t) for t in given]
    for t in wanted:
        if not t.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    seeds = _seeds(_tuple(outputs), _tuple_or_none(grad_outputs))
    keep = create_graph if retain_graph is None else retain_graph
    nodes = [t._tape_node() for t in wanted]
    found = run_backward(seeds, retain_graph=keep, create_graph=create_graph, wanted=nodes)
    results: list[Tensor | None] = []
    for number, (t, node) in enumerate(zip(wanted, nodes, strict=True)):
        g = found.get(node)
        if g is None and materialize_grads:
            g = t._zeros()
        elif g is None and not allow_unused:
            raise RuntimeError(
                f"The differentiated Tensor at index {number} appears to not have been used in the "
                "graph. Set allow_unused=True if this is the desired behavior."
            )
        results.append(g)
    return tuple(results)


def _batched_grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Any,
    retain_graph: bool | None,
    create_graph: bool,
    allow_unused: bool | None,
    materialize: bool,
) -> tuple[Tensor | None, ...]:
    from graphc.func.mapping import vmap

    unused: list[bool] = []

    def one(*cotangents: Tensor | None) -> tuple[Tensor, ...]:
        found = grad(
            outputs, inputs, cotangents, retain_graph, create_graph,
            allow_unused=allow_unused, materialize_grads=materialize,
        )  # fmt: skip
        unused[:] = [g is None for g in found]
        return tuple(g for g in found if g is not None)

    cotangents = _tuple_or_none(grad_outputs) or (None,) * len(_tuple(outputs))
    found = iter(
        vmap(one, in_dims=tuple(None if g is None else 0 for g in cotangents))(*cotangents)
    )
    return tuple(None if none else next(found) for none in unused)


class _Owner:
    """Gives each leaf a gradient in memory of its own.

    A cotangent is handed over as it is when it is fresh; one that the caller gave, that a hook saw,
    that several leaves get or that is a view is copied.
    """

    def __init__(self, given: Iterable[Tensor], create_graph: bool) -> None:
        self._keep = create_graph
        self._taken = {id(g._value) for g in given}

    def __call__(self, g: Tensor, node: TapeNode) -> Tensor:
        if self._keep:
            return g
        array = g._current()
        if isinstance(array, np.ndarray):
            fresh = owns_memory(array) and array.flags.c_contiguous and not node.hooks
            if not fresh or id(array) in self._taken:
                array = array.copy()
            self._taken.add(id(array))
        return Tensor._make(array, g._type)  # type: ignore[no-any-return]


def _tuple(tensors: Any) -> tuple[Any, ...]:
    return (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)


def _tuple_or_none(tensors: Any) -> tuple[Any, ...] | None:
    return None if tensors is None else _tuple(tensors)


def _local(t: Tensor) -> Tensor:
    """The tensor as this thread's trace knows it."""
    return t if MODES.trace is None else MODES.trace.twin(t)


def _seeds(
    tensors: tuple[Tensor, ...], cotangents: tuple[Tensor | None, ...] | None
) -> dict[Node, Any]:
    if cotangents is None:
        cotangents = (None,) * len(tensors)
    if len(cotangents) != len(tensors):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(cotangents)} gradients")
    seeds: dict[Node, Any] = {}
    for number, (y, g) in enumerate(zip(tensors, cotangents, strict=True)):
        y = _local(y)
        if not y.requires_grad:
            raise RuntimeError(
                f"element {number} of tensors does not require grad and does not have a grad_fn"
            )
        if g is None:
            if y.numel() != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            g = y._ones()
        elif not isinstance(g, Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        elif tuple(g.shape) != tuple(y.shape):
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{number}] has a shape of {g.shape} and "
                f"output[{number}] has a shape of {y.shape}."
            )
        node = y._tape_node()
        g = cast(_local(g), y.dtype)
        seeds[node] = seeds[node] + g if node in seeds else g
    return seeds


FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after "
    "they have already been freed). Saved intermediate values of the graph are freed when you call "
    ".backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the "
    "graph a second time or if you need to access saved tensors after calling backward."
)


def _unpack(node: TapeNode) -> list[Tensor | None]:
    """(y, *xs) of a gradient rule: tensors where values were kept."""
    if node.freed:
        raise RuntimeError(f"{FREED} The operation is {node.op.name}.")
    return [
        None if kept is None else _unpacked_at(node, i, kept) for i, kept in enumerate(node.saved)
    ]


def _unpacked_at(node: TapeNode, i: int, kept: Saved) -> Tensor:
    """The value that is number ``i`` of (y, *xs)."""
    if i == 0:
        return restored(kept, node, node.type, "the output of", node)
    return restored(kept, kept.node, node.inputs[i - 1].type, f"input {i - 1} of", node)


def restored(
    kept: Saved, owner: TapeNode | None, type: TensorType, role: str, node: TapeNode | None = None
) -> Tensor:
    """A saved value as a tensor in its place on the tape; ``role`` tells errors what it is.

    Raises RuntimeError when it was overwritten since, unless a hook keeps it.
    """
    tracked = owner if owner is not None and owner.requires else None
    if kept.unpack is not None:
        return _unpacked(kept, tracked, type)
    if kept.storage.version != kept.version:
        name = "" if node is None else f" {node.op.name}"
        raise RuntimeError(
            "one of the variables needed for gradient computation has been modified by an inplace "
            f"operation: [{type}], which is {role}{name}, is at version {kept.storage.version}; "
            f"expected version {kept.version} instead. Hint: write into a .clone() of it, or after "
            f"backward{'' if node is None else called_at(node)}."
        )
    return Tensor._restore(kept.value, kept.storage, tracked, type)


def called_at(node: TapeNode) -> str:
    """Where the operation of a node was called, if that is known."""
    where = node.location
    if where is None:
        return ""
    text = f": {where.text}" if where.text else ""
    return f"; it was called at {where} in {where.function}{text}"


def _unpacked(kept: Saved, tracked: TapeNode | None, type_: TensorType) -> Tensor:
    """What an unpack hook gives back, in its place on the tape."""
    unpack = kept.unpack
    assert unpack is not None
    # Levels of vmap keep values without hooks.
    level = None if MODES.trace is None else MODES.trace.unmapped()
    with suspended(level, record=False):
        value = unpack(kept.value)
    if not isinstance(value, Tensor):
        raise TypeError(
            f"Output of saved tensor unpack_hook expected to be a Tensor but got {type(value)}"
        )
    value = value if level is None else level.twin(value)
    if value._type != type_:
        raise RuntimeError(f"the unpack hook gave {value._type} in the place of {type_}")
    tensor: Tensor = Tensor._make(value._current(), type_, value._storage)
    tensor._node = tracked
    return tensor


def _rule_of(node: TapeNode, wanted: Sequence[bool]) -> Pullback:
    """The kept rule, or a smaller one where fewer inputs are wanted."""
    rule = node.rule
    assert rule is not None  # only a custom node has none
    for part, want in zip(rule.parts, wanted, strict=True):
        if part is not None and not want:
            types = [n.type for n in node.inputs]
            return pullback(node.op, node.type, types, node.attrs, wanted)
    return rule


def _run_rule(node: TapeNode, g: Any, wanted: Sequence[bool]) -> Sequence[Any]:
    """Runs a node's rule on tensors."""
    if node.custom is not None and not node.freed:
        return node.custom(g, wanted)
    values: list[Any] = [g, *_unpack(node)]
    rule = _rule_of(node, wanted)
    for op, numbers, attrs in rule.steps:
        values.append(apply(op, [values[i] for i in numbers], attrs))
    return [None if r is None else values[r] for r in rule.results]


def _run_program(node: TapeNode, g: Tensor, wanted: Sequence[bool]) -> Sequence[Any]:
    """Runs a node's rule on arrays: outside of traces, where nothing is recorded."""
    if node.custom is not None or node.freed:
        return _run_rule(node, g, wanted)
    if node.op is _SLICE:
        return [Part(g._current(), node.op, node.attrs, node.inputs[0].type)]
    values: list[Any] = [g._current()]
    for i, kept in enumerate(node.saved):
        if kept is None:
            values.append(None)
        elif kept.unpack is None and kept.storage.version == kept.version:
            values.append(kept.value)
        else:
            values.append(_unpacked_at(node, i, kept)._current())
    program = _rule_of(node, wanted).program
    token = ERRORS.set(SILENT)
    try:
        results = program.run(values)
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        raise located(error, f"the gradient of {node.op.name}", g) from None
    finally:
        ERRORS.reset(token)
    return list(map(as_tensor, results, program.types))


_SLICE = OPS["slice"]


def run_backward(
    seeds: Mapping[Node, Any],
    *,
    retain_graph: bool,
    create_graph: bool,
    wanted: Iterable[Node] | None = None,
) -> dict[Node, Any]:
    """Walks the tape; gives the cotangents of ``wanted`` nodes (default: of all leaves)."""
    targets = None if wanted is None else set(wanted)
    reaching = None if targets is None else _reaching(seeds, targets)
    found: dict[Node, Any] = {}

    def needed(node: Node) -> bool:
        return (
            isinstance(node, TapeNode) and node.requires and (reaching is None or node in reaching)
        )

    trace = MODES.trace
    on_arrays = trace is None and not create_graph
    run = _run_program if on_arrays else _run_rule

    def arrived(node: Node, g: Any) -> Any:
        g = whole(g)
        if node.hooks:  # type: ignore[attr-defined]
            g = hooks.arrived(list(node.hooks.values()), g)  # type: ignore[attr-defined]
        if targets is not None and node in targets:
            found[node] = g
        return g

    def rule(node: Node, g: Any, wanted: Sequence[bool]) -> Sequence[Any]:
        if trace is not None:  # gradients are attributed to the line that they belong to
            trace.location = node.location  # type: ignore[attr-defined]
        parts = run(node, g, wanted)  # type: ignore[arg-type]
        if node.after:  # type: ignore[attr-defined]
            parts = tuple(map(whole, parts))
            parts = hooks.came_out(list(node.after.values()), parts, g)  # type: ignore[attr-defined]
        if MODES.anomaly and MODES.check_nan:
            _refuse_nan(node, parts)  # type: ignore[arg-type]
        if not retain_graph:
            node.free()  # type: ignore[attr-defined]
        return parts

    before = MODES.grad, MODES.accumulating
    MODES.grad, MODES.accumulating = create_graph, targets is None
    hooks.RUNNING.passes.append(hooks.Pass(seeds, reaching))
    try:
        leaves = backpropagate(
            seeds,
            needed=needed,
            rule=rule,
            arrived=arrived,
            joined=joined if on_arrays else operator.add,
        )
    finally:
        MODES.grad, MODES.accumulating = before
        hooks.RUNNING.passes.pop()
        if trace is not None:
            trace.location = None
    return found if targets is not None else leaves


def _refuse_nan(node: TapeNode, parts: Sequence[Any]) -> None:
    """In anomaly mode, a gradient that is NaN names the operation it comes from."""
    for number, part in enumerate(parts):
        part = whole(part)
        array = part._current() if isinstance(part, Tensor) else None
        if isinstance(array, np.ndarray) and part.dtype.is_floating_point and np.isnan(array).any():
            raise RuntimeError(
                f"Function '{node.name()}' returned nan values in its {number}th output"
                f"{called_at(node)}."
            )


def _reaching(seeds: Mapping[Node, Any], targets: set[Node]) -> set[Node]:
    reaching: set[Node] = set()
    for node in topological(seeds):
        if node in targets or any(n in reaching for n in node.inputs):
            reaching.add(node)
    return reaching
