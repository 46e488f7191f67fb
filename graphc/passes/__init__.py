"""The passes between a traced graph and its lowering, in their order.

A pass is a function from graph to graph that keeps every value. :data:`PIPELINE` says what each
one needs and what holds after it; :func:`run_pipeline` checks both. Common subexpressions merge and
dead code falls away by themselves, whenever a pass rebuilds the graph.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from graphc import ir
from graphc.errors import GraphError
from graphc.ir import Graph
from graphc.passes import decompose, fold, loops, simplify
from graphc.rewrite import rewrite


@dataclass(frozen=True)
class Pass:
    """``run`` keeps the values of a graph; ``requires`` and ``guarantees`` name properties."""

    name: str
    run: Callable[[Graph], Graph]
    requires: tuple[str, ...] = ()
    guarantees: tuple[str, ...] = ()


def _simplify(graph: Graph) -> Graph:
    return rewrite(graph, simplify.TABLE)


def _simplify_and_fold(graph: Graph) -> Graph:
    return rewrite(graph, simplify.TABLE + fold.TABLE)


PIPELINE = (
    Pass("simplify", loops.everywhere(_simplify)),
    Pass("decompose", loops.everywhere(decompose.decompose), guarantees=("primitive",)),
    Pass(
        "fold",
        loops.everywhere(_simplify_and_fold),
        requires=("primitive",),
        guarantees=("folded",),
    ),
    Pass("loops", loops.lighten, requires=("folded",), guarantees=("trimmed",)),
)

# What a property says of a graph: the nodes that break it.
PROPERTIES: dict[str, Callable[[Graph], Iterable[object]]] = {
    "primitive": decompose.composites,
    "trimmed": loops.untrimmed,
}


def run_pipeline(
    graph: Graph,
    dump: Callable[[str, Graph], None] | None = None,
    verify: bool = False,
    pipeline: tuple[Pass, ...] = PIPELINE,
) -> Graph:
    """The graph after every pass.

    ``dump(name, graph)`` sees the result of each that has something to do. With ``verify`` the
    graph is checked before the first pass and after each one: its structure, its types, that inputs
    and results are as before, and the properties guaranteed so far; the GraphError names the pass
    that broke them.
    """
    known: set[str] = set()
    if verify:
        check(graph, graph, "tracing", known)
    for each in pipeline:
        missing = [p for p in each.requires if p not in known]
        if missing:
            raise GraphError(f"pass {each.name} requires a graph that is {', '.join(missing)}")
        after = each.run(graph)
        known.update(each.guarantees)
        if verify:
            check(graph, after, f"pass {each.name}", known)
        if dump is not None and after is not graph:
            dump(each.name, after)
        graph = after
    return graph


def check(before: Graph, after: Graph, name: str, properties: Iterable[str] = ()) -> None:
    """Raises GraphError, naming the pass, when ``after`` is broken or has another signature."""
    ir.verify(after, name)
    for what, old, new in (
        ("inputs", [(n.attrs["name"], n.type) for n in before.inputs], _inputs(after)),
        ("outputs", [n.type for n in before.outputs], [n.type for n in after.outputs]),
        ("writes", [t.attrs["name"] for t, _ in before.writes], _written(after)),
    ):
        if old != new:
            raise GraphError(f"after {name}: the {what} of {before.name} were {old}, are {new}")
    for each in properties:
        if each in PROPERTIES:
            for node in PROPERTIES[each](after):
                raise GraphError(f"after {name}: {node!r} in a graph that should be {each}")


def _inputs(graph: Graph) -> list[object]:
    return [(n.attrs["name"], n.type) for n in graph.inputs]


def _written(graph: Graph) -> list[object]:
    return [target.attrs["name"] for target, _ in graph.writes]


__all__ = ["PIPELINE", "PROPERTIES", "Pass", "check", "run_pipeline"]
