"""Sums over the steps of a loop, taken outside of it.

The gradient of a constant is a sum over the steps. Where each term is a product of matrices, one
product over all the steps gives the same sum, and the loop only leaves the factors; where it is a
sum of a slice, one sum does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_letters

from graphc.expressions import Combine
from graphc.ir import OPS, Contract, IndexMap, Node, Reduce
from graphc.tensor import Tensor, apply


@dataclass(frozen=True)
class OverSteps:
    """``core`` is a product or sum of ``parts``; ``views`` lead from it to the term, last first.

    ``missing`` are the parts that the loop has to stack.
    """

    core: Node
    parts: tuple[Node, ...]
    views: tuple[Node, ...]
    missing: tuple[Node, ...]

    def total(self, stacks: Mapping[Node, Tensor]) -> Tensor:
        """The sum over the steps, from its stacked parts."""
        given = [stacks[n] for n in self.parts]
        if isinstance(self.core.op.lower, Contract):
            operands, out = self.core.attrs["spec"].split("->")
            step = next(letter for letter in ascii_letters if letter not in operands)
            joined = ",".join(step + letters for letters in operands.split(","))
            value = apply(self.core.op, given, {"spec": f"{joined}->{out}"})
        else:
            dims = (0, *(d + 1 for d in self.core.attrs.get("dims", ())))
            keepdim = self.core.attrs.get("keepdim", False)
            value = apply(OPS["sum"], given, {"dims": dims, "keepdim": keepdim})
            if keepdim:
                value = apply(OPS["reshape"], (value,), {"shape": self.core.shape})
        for view in reversed(self.views):
            value = apply(view.op, (value,), view.attrs)
        return value


def over_steps(term: Node, known: Mapping[Node, Tensor]) -> OverSteps | None:
    """How to sum a term over the steps outside of the loop; None where inside is better.

    ``known`` are the slices of stacked values that there are anyway.
    """
    views = []
    core = term
    while isinstance(core.op.lower, IndexMap) and len(core.inputs) == 1 and _only_moves(core):
        views.append(core)
        core = core.inputs[0]
    lower = core.op.lower
    if isinstance(lower, Contract) or (isinstance(lower, Reduce) and lower.combine is Combine.SUM):
        parts = core.inputs
    elif core in known:
        return OverSteps(core, (core,), tuple(views), ())
    else:
        return None
    return OverSteps(core, parts, tuple(views), tuple(n for n in parts if n not in known))


def _only_moves(node: Node) -> bool:
    """Whether every element of the input is one of the result."""
    return node.op.name in ("reshape", "permute", "flip")
