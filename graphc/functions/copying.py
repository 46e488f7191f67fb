"""Copies of tensors as Python makes them: ``copy``, ``deepcopy`` and ``pickle``.

Tensors that share memory share it again afterwards: a view is copied as its base and the way from
there to the view, and Python's memo sees to it that a base is copied once.
"""

import copy
from typing import Any

from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Array, Tensor, View, apply


def _replayed(base: Tensor, steps: Any) -> Tensor:
    """The view of a base that operations (by name) lead to."""
    before = MODES.grad
    MODES.grad = False
    try:
        for name, attrs in steps:
            base = apply(OPS[name], (base,), attrs)
    finally:
        MODES.grad = before
    return base


def _steps(view: View) -> list[tuple[str, dict[str, Any]]]:
    return [(op.name, dict(attrs)) for op, attrs in view]


def leaf_on(cls: type, shared: Tensor, requires_grad: bool) -> Tensor:
    """A leaf of a class on the memory of another tensor."""
    made: Tensor = cls._make(shared._value, shared._type, shared._storage)  # type: ignore[attr-defined]
    made._base, made._view = shared._base, shared._view
    made._requires_grad = requires_grad
    return made


def _rebuild(cls: type, array: Array, requires_grad: bool) -> Tensor:
    return leaf_on(cls, Tensor._make(array), requires_grad)


def _rebuild_view(cls: type, base: Tensor, steps: Any, requires_grad: bool) -> Tensor:
    return leaf_on(cls, _replayed(base, steps), requires_grad)


def _reduce(self: Tensor, _protocol: Any) -> Any:
    """What pickle keeps: the elements (or the base and the way to the view) and the attributes."""
    if self._base is not None:
        made: Any = (type(self), self._base, _steps(self._view), self.requires_grad)
        return _rebuild_view, made, self.__dict__ or None
    return (
        _rebuild,
        (type(self), self._array().copy("K"), self.requires_grad),
        self.__dict__ or None,
    )


def _set_state(self: Tensor, state: dict[str, Any]) -> None:
    self.__dict__.update(state)


def _deep_copy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """A leaf with memory of its own. Raises RuntimeError for what was computed with gradients."""
    if id(self) in memo:
        return memo[id(self)]  # type: ignore[no-any-return]
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
            "protocol at the moment. If you were attempting to deepcopy a module, this may be "
            "because of a value computed once and kept as an attribute: keep its detach() instead."
        )
    if self._base is None:
        shared = Tensor._make(self._array().copy("K"), self._type)
    else:
        shared = _replayed(_copied_base(self._base, memo), _steps(self._view))
    made = leaf_on(type(self), shared, self._requires_grad)
    memo[id(self)] = made
    if self._grad is not None:
        made._grad = copy.deepcopy(self._grad, memo)
    made.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return made


def _copied_base(base: Tensor, memo: dict[int, Any]) -> Tensor:
    """The copy of a base, whatever the tape says of it: only its memory is wanted."""
    if id(base) in memo:
        return memo[id(base)]  # type: ignore[no-any-return]
    copied = leaf_on(type(base), Tensor._make(base._array().copy("K"), base._type), False)
    if base.is_leaf:
        copied._requires_grad = base._requires_grad
        memo[id(base)] = copied
        copied.__dict__.update(copy.deepcopy(base.__dict__, memo))
    else:
        memo[id(base)] = copied
    return copied


def _copy(self: Tensor) -> Tensor:
    """Another tensor on the same memory, with the same attributes."""
    shared = self.detach() if self._base is None else _replayed(self._base, _steps(self._view))
    made = leaf_on(type(self), shared, self.requires_grad)
    made.__dict__.update(self.__dict__)
    return made


for _name, _function in {
    "__copy__": _copy,
    "__deepcopy__": _deep_copy,
    "__reduce_ex__": _reduce,
    "__setstate__": _set_state,
}.items():
    setattr(Tensor, _name, _function)
