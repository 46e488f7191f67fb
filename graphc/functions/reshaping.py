"""In-place changes of a tensor's own shape and strides: ``t_``, ``squeeze_``, ``unsqueeze_``.

The tensor becomes a view of the memory it had. Whatever was a view of it stays a view of that
memory.
"""

from collections.abc import Callable
from typing import Any

from graphc.errors import TraceError, user_location
from graphc.functions.registry import tensor_function
from graphc.functions.shape import (
    squeeze,
    swapaxes,
    t,
    transpose,
    unsqueeze,
)
from graphc.functions.strided import as_strided
from graphc.modes import MODES
from graphc.tensor import Tensor

method = tensor_function(public=False)


def own(self: Tensor, name: str) -> Tensor:
    """The tensor, if its shape may change here. Raises TraceError for one from outside a trace."""
    me = self._here()
    if MODES.trace is not None and (me is not self or me._origin is not None):
        raise TraceError(
            f"{name} at {user_location()} would change the shape of a tensor that exists outside "
            "of the compiled function. Use the form without the trailing underscore inside of it."
        )
    return me


def become(self: Tensor, shown: Tensor) -> Tensor:
    """The tensor turns into ``shown``, a view of itself.

    Its memory stays with a tensor of the old shape, which is the base from now on.
    """
    if self._base is None:
        root: Tensor = Tensor._make(self._value, self._type, self._storage)
        root._node, root._seen = self._node, self._seen
        root._shadow_array = self._shadow_array
        self._base = root
    self._view = shown._view
    self._value, self._type = shown._value, shown._type
    self._shadow_array = shown._shadow_array
    self._node, self._seen, self._leaf = shown._node, shown._seen, None
    return self


def _refuse_leaf(me: Tensor, name: str) -> None:
    if MODES.grad and me._requires_grad:
        raise RuntimeError(
            f"a leaf Variable that requires grad is being used in an in-place operation ({name})."
        )


def _in_place(name: str, function: Callable[..., Tensor]) -> None:
    def changed(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        me = own(self, name)
        _refuse_leaf(me, name)
        become(me, function(me, *args, **kwargs))
        return self

    changed.__name__ = name
    changed.__doc__ = f"Changes this tensor's own shape; see :func:`{function.__name__}`."
    method(changed)


for _name, _function in {
    "as_strided_": as_strided,
    "squeeze_": squeeze,
    "swapaxes_": swapaxes,
    "swapdims_": transpose,
    "t_": t,
    "transpose_": transpose,
    "unsqueeze_": unsqueeze,
}.items():
    _in_place(_name, _function)
