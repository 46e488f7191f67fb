"""Looking at graphs: the tape behind a tensor, as text."""

from graphc.ir import INPUT, Graph, Node, topological
from graphc.tape import TapeNode
from graphc.tensor import Tensor

__all__ = ["graph"]


def graph(tensor: Tensor) -> Graph:
    """The dynamic graph that ``tensor`` was computed by, as an IR graph: print it.

    Leaves that require gradients and constants are its inputs. Raises RuntimeError for a tensor
    without history.
    """
    end = tensor.grad_fn
    if end is None:
        raise RuntimeError(
            "the tensor has no history: it was not computed by operations on tensors that require "
            "gradients, or it was detached"
        )
    names: dict[Node, str] = {}
    leaves = [n for n in topological([end]) if n.op is INPUT]
    counts = {"leaf": 0, "constant": 0}
    for node in leaves:
        kind = "leaf" if isinstance(node, TapeNode) and node.requires else "constant"
        names[node] = f"{kind}_{counts[kind]}"
        counts[kind] += 1
    return Graph("tape", tuple(leaves), (end,), names=names)
