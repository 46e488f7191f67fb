"""Rows with a template of their own (scans, sorts) as nests: buffers, sizes, attributes by name.

The operands of such a row lie in memory, contiguous in row-major order (:mod:`storage` sees to
that), and so does its result. A row with an attribute ``dim`` works along that dimension of its
first operand: one *row* for each of the ``lead`` indices before it and the ``inner`` ones behind
it, ``length`` elements ``inner`` places apart. Without it all elements are one row.
"""

from collections.abc import Iterator

from graphc.errors import GraphError
from graphc.ir import Named, Node
from graphc.kernel import Template
from graphc.lowering.groups import Group
from graphc.lowering.nests import Context
from graphc.sizes import Int, IntExpr, count, product


def template_nest(group: Group, context: Context) -> Template:
    """The nest of a node whose row is ``Named``; see :mod:`graphc.codegen.templates`.

    Raises GraphError when the scratch memory of a thread depends on a size that is not known.
    """
    node = group.cores[0]
    lower = node.op.lower
    assert isinstance(lower, Named)
    types = [x.type for x in node.inputs]
    (output,) = context.buffers.written[group, node]
    needed = lower.work(*types, **node.attrs)
    if not isinstance(needed.scratch, int):
        raise GraphError(
            f"{node!r} needs {needed.scratch} bytes of working memory for each thread, which is "
            "not known when the memory is planned; compile for fixed sizes"
        )
    lead, length, inner = _along(node) if needed.units is None else (needed.units, 1, 1)
    fields: tuple[tuple[str, object], ...] = (
        ("inputs", tuple(context.buffers.load_from(x) for x in node.inputs)),
        ("outputs", (output,)),
        ("lead", lead),
        ("length", length),
        ("inner", inner),
        ("lengths", _lengths(node)),
        ("scratch", needed.scratch),
        *needed.fields.items(),
        *((name, value) for name, value in node.attrs.items() if name != "dim"),
    )
    elements = max((count(x.shape) for x in node.inputs[:1]), default=count(node.shape))
    return Template(lower.template, fields, int(needed.cost * elements))


def template_sizes(nest: Template) -> Iterator[Int]:
    """Every integer expression among the fields: they may mention named sizes."""
    for _, value in nest.fields:
        yield from (v for v in (value if isinstance(value, tuple) else (value,)) if _is_int(v))


def _is_int(value: object) -> bool:
    return isinstance(value, (int, IntExpr)) and not isinstance(value, bool)


def _along(node: Node) -> tuple[Int, Int, Int]:
    shape = node.inputs[0].shape if node.inputs else node.shape
    dim = node.attrs.get("dim")
    if dim is None or not shape:
        return 1, product(shape), 1
    return product(shape[:dim]), shape[dim], product(shape[dim + 1 :])


def _lengths(node: Node) -> tuple[Int, ...]:
    """The elements of one row of each operand, then of the result."""
    dim = node.attrs.get("dim")
    shapes = [x.shape for x in (*node.inputs, node)]
    if dim is None or not shapes[0]:
        return tuple(product(shape) for shape in shapes)
    return tuple(shape[dim] if dim < len(shape) else 1 for shape in shapes)
