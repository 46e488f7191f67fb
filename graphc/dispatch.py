"""What is known of an operation on operands of given types before it runs: found once, then kept.

A program applies the same operations to the same types over and over. All that follows from types
and attributes alone (the type of the result, the NumPy function to call, the gradient rule) is in
a :class:`Plan`, so that applying an operation is one look into a dictionary and one NumPy call.
"""

from collections.abc import Sequence
from typing import Any

from graphc.autodiff import Pullback, pullback
from graphc.ir import Attrs, Decompose, Op, TensorType, infer_type
from graphc.ops.evaluation import kernel

_PLANS: "dict[tuple[Any, ...], Plan]" = {}
# Attributes may be numbers that never repeat (a learning rate), so plans are forgotten: when there
# are many, those that were not asked for since there were many before.
_MOST = 1024
_OLDER: "dict[tuple[Any, ...], Plan]" = {}


class Plan:
    """An operation on operands of given types.

    type          of the result
    run           its evaluation, to be called where NumPy is silent
    is_view       whether the result may share the memory of the first operand
    is_composite  whether other operations, of any layout, make the result
    follows       whether a gradient may pass
    """

    __slots__ = (
        "_attrs",
        "_op",
        "_rules",
        "_types",
        "follows",
        "is_composite",
        "is_view",
        "run",
        "type",
    )

    def __init__(self, op: Op, types: Sequence[TensorType], attrs: Attrs) -> None:
        self.type = infer_type(op, types, attrs)
        self.run = kernel(op, types, attrs)
        self.is_view = op.put is not None
        self.is_composite = isinstance(op.lower, Decompose)
        self.follows = op.vjp is not None and self.type.dtype.is_floating_point
        self._op, self._types, self._attrs = op, types, attrs
        self._rules: dict[tuple[bool, ...], Pullback] = {}

    def rule(self, wanted: tuple[bool, ...]) -> Pullback:
        """The gradient rule, for the operands that want one."""
        known = self._rules.get(wanted)
        if known is None:
            known = pullback(self._op, self.type, self._types, self._attrs, wanted)
            self._rules[wanted] = known
        return known


def plan_of(op: Op, types: Sequence[TensorType], attrs: Attrs) -> Plan:
    """The plan of an application. Raises what the row raises for operands that it does not take."""
    key = (op, *types, *attrs.items())
    found = _PLANS.get(key)
    if found is None:
        found = _OLDER.pop(key, None) or Plan(op, types, dict(attrs))
        if len(_PLANS) >= _MOST:
            _OLDER.clear()
            _OLDER.update(_PLANS)
            _PLANS.clear()
        _PLANS[key] = found
    return found
