"""A module's graph as TensorBoard draws it: one node for each operation, in boxes by module."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from graphc.ir import INPUT, Attrs, Node, Op, topological
from graphc.nn.module import STRUCTURE, Module
from graphc.tensor import Tensor
from graphc.tracing import Trace, suspended
from graphc.trees import flatten


@dataclass
class _ScopedTrace(Trace):
    """A trace that knows which module each operation belongs to."""

    scope: list[str] = field(default_factory=list)
    scopes: dict[Node, str] = field(default_factory=dict)

    def apply(self, op: Op, nodes: Any, attrs: Attrs) -> Node:
        node = super().apply(op, nodes, attrs)
        self.scopes.setdefault(node, "/".join(self.scope))
        return node


def _boxes(model: Module) -> dict[int, str]:
    """The name of each module's box: its class, and its name in the module around it."""
    boxes = {}
    for path, module in model.named_modules():
        name = path.rpartition(".")[2]
        boxes[id(module)] = f"{type(module).__name__}[{name}]" if path else type(module).__name__
    return boxes


@contextmanager
def _evaluating(model: Module) -> Iterator[None]:
    """In evaluation mode, in which nothing outside changes; every module's mode comes back."""
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


@contextmanager
def _entering(trace: _ScopedTrace, model: Module) -> Iterator[None]:
    """Notes which module runs."""
    boxes = _boxes(model)

    def enter(module: Module, _args: Any) -> None:
        trace.scope.append(boxes[id(module)])

    def leave(_module: Module, _args: Any, _result: Any) -> None:
        trace.scope.pop()

    with ExitStack() as hooks:
        for module in model.modules():
            hooks.enter_context(module.register_forward_pre_hook(enter, prepend=True))
            hooks.enter_context(module.register_forward_hook(leave))
        yield


def _traced(model: Module, arguments: tuple[Any, ...]) -> tuple[_ScopedTrace, list[Node]]:
    names = {id(p): name for name, p in (*model.named_parameters(), *model.named_buffers())}
    for number, x in enumerate(x for x in arguments if isinstance(x, Tensor)):
        names[id(x)] = f"input.{number + 1}"
    trace = _ScopedTrace(names=names)
    with _evaluating(model), _entering(trace, model), suspended(trace, record=False):
        try:
            result = model(*arguments)
            nodes = [x._current() for x in flatten(result)[0] if isinstance(x, Tensor)]
        finally:
            for where, before in trace.touched.values():
                where.clear()
                where.update(before)
            STRUCTURE.version += 1
            trace.close()
    return trace, [x for x in nodes if isinstance(x, Node)]


def described(model: Any, given: Any) -> Any:
    """TensorBoard's ``GraphDef`` of a module called with ``given``.

    Raises TypeError for what is no module, or where no input is given.
    """
    model = getattr(model, "_orig_mod", model)  # of a compiled one
    if not isinstance(model, Module):
        raise TypeError(f"add_graph draws a module, not {type(model).__name__}")
    if given is None:
        raise TypeError("add_graph needs input_to_model: what the module is called with")
    arguments = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    trace, results = _traced(model, arguments)
    from tensorboardX.proto.graph_pb2 import GraphDef
    from tensorboardX.proto.versions_pb2 import VersionDef

    root = type(model).__name__
    owners = {
        f"{path}.{name}" if path else name: "/".join(_path(model, path, root))
        for path, module in model.named_modules()
        for name in (*module._parameters, *module._buffers)
    }
    names: dict[Node, str] = {}
    taken: set[str] = set()
    parts = []
    for node in topological(results):
        if node.op is INPUT:
            known = str(node.attrs["name"])
            box = owners.get(known)
            stem = f"input/{known}" if box is None else f"{box}/{known.rpartition('.')[2]}"
            kind, details = ("IO Node" if box is None else "Parameter"), str(node.type)
        else:
            stem = f"{trace.scopes.get(node) or root}/{node.op.name}"
            kind = node.op.name
            details = ", ".join(f"{k}={v}" for k, v in node.attrs.items() if k != "value")
        names[node] = _unique(stem, taken)
        sources = [names[source] for source in node.inputs]
        parts.append(_part(names[node], kind, sources, node.shape, f"{{{details}}}"))
    for number, node in enumerate(results):
        name = f"output/output.{number + 1}"
        parts.append(_part(name, "IO Node", [names[node]], node.shape, ""))
    return GraphDef(node=parts, versions=VersionDef(producer=22))


def _path(model: Module, path: str, root: str) -> Iterator[str]:
    """The boxes around and of the module at a path."""
    yield root
    module: Any = model
    for name in path.split(".") if path else ():
        module = module._modules[name]
        yield f"{type(module).__name__}[{name}]"


def _unique(stem: str, taken: set[str]) -> str:
    name, count = stem, 1
    while name in taken:
        count += 1
        name = f"{stem}_{count}"
    taken.add(name)
    return name


def _part(name: str, kind: str, sources: list[str], shape: Any, details: str) -> Any:
    from tensorboardX.proto.attr_value_pb2 import AttrValue
    from tensorboardX.proto.node_def_pb2 import NodeDef
    from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto

    sizes = TensorShapeProto(dim=[TensorShapeProto.Dim(size=int(n)) for n in shape])
    return NodeDef(
        name=name,
        op=kind,
        input=sources,
        attr={
            "attr": AttrValue(s=details.encode()),
            "_output_shapes": AttrValue(list=AttrValue.ListValue(shape=[sizes])),
        },
    )
