"""Functions of functions: gradients, Jacobians, and vectorisation over examples."""

from typing import TYPE_CHECKING

from graphc.func.gradients import grad, grad_and_value, jvp, linearize, vjp
from graphc.func.jacobians import hessian, jacfwd, jacrev
from graphc.func.mapping import vmap
from graphc.later import loading

if TYPE_CHECKING:
    from graphc.func.modules import functional_call, stack_module_state

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "vjp",
    "vmap",
]

_OF_MODULES = dict.fromkeys(("functional_call", "stack_module_state"), "modules")
__getattr__ = loading(__name__, (), _OF_MODULES, __all__)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
