"""What modules keep their members and hooks in: dicts and sets that count every change.

Compiled functions assume that modules are built as they were when they were traced. They look
again only after ``STRUCTURE.version`` has moved.
"""

import itertools
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any


class _Structure:
    """Counts changes to any module."""

    version = 0


STRUCTURE = _Structure()

_DICT_WRITES = (
    "__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update",
)  # fmt: skip


def _counted(plain: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        STRUCTURE.version += 1
        return plain(self, *args, **kwargs)

    return method


class Table(dict[str, Any]):
    """Parameters, buffers or children of one module by name."""


class Hooks(OrderedDict[int, Any]):
    """Hooks, or what is to be known of them, by the number of their handles."""


class Names(set[str]):
    """Names of some members of one module."""


_WRITES = {
    Table: _DICT_WRITES,
    Hooks: (*_DICT_WRITES, "move_to_end"),
    Names: (
        "__iand__", "__ior__", "__isub__", "__ixor__", "add", "clear", "difference_update",
        "discard", "intersection_update", "pop", "remove", "symmetric_difference_update", "update",
    ),
}  # fmt: skip
COUNTED: dict[type, type] = {Table: dict, Hooks: OrderedDict, Names: set}  # and what they are else
for _kind, _names in _WRITES.items():
    for _name in _names:
        setattr(_kind, _name, _counted(getattr(COUNTED[_kind], _name)))


class RemovableHandle:
    """Takes a hook away again with ``remove()``, or at the end of a ``with``.

    ``hooks_dict[handle.id]`` is where the hook is; ``extra_dict``, a dict or a list of them, may
    have more of the same number. They are not kept alive.
    """

    _ids = itertools.count()

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None) -> None:
        self.id = next(self._ids)
        more = extra_dict if isinstance(extra_dict, list) else [extra_dict]
        self._refer((hooks_dict, *(d for d in more if d is not None)))

    def _refer(self, dicts: Iterable[Any]) -> None:
        self._dicts = tuple(weakref.ref(d) for d in dicts)

    def remove(self) -> None:
        """Removes the hook; nothing happens when it is gone already."""
        for ref in self._dicts:
            found = ref()
            if found is not None and self.id in found:
                del found[self.id]

    def __getstate__(self) -> tuple[int, list[Any]]:
        return self.id, [d for ref in self._dicts if (d := ref()) is not None]

    def __setstate__(self, state: tuple[int, list[Any]]) -> None:
        self.id, dicts = state
        self._refer(dicts)
        RemovableHandle._ids = itertools.count(max(next(RemovableHandle._ids), self.id + 1))

    def __enter__(self) -> "RemovableHandle":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.remove()


def add_hook(
    hooks: Hooks, hook: Any, prepend: bool = False, *marks: tuple[Hooks, bool]
) -> RemovableHandle:
    """Puts a hook last, or first, and notes it in each of ``marks`` whose flag is set."""
    handle = RemovableHandle(hooks, extra_dict=[noted for noted, _ in marks])
    hooks[handle.id] = hook
    for noted, wanted in marks:
        if wanted:
            noted[handle.id] = True
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle
