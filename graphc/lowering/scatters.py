"""Scatter: a copy, then stores at checked indices, without two writers ever meeting."""

from graphc.errors import GraphError
from graphc.kernel import Nest
from graphc.lowering.groups import Group
from graphc.lowering.nests import Context


def scatter_nest(group: Group, context: Context) -> Nest:
    raise GraphError("scatter")
