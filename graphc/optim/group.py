"""One parameter group of an optimizer: a dict whose learning rate may change under a program.

In a compiled function a learning rate that was a constant would compile the function again at
every change of a schedule. So while a trace runs, reading it gives an input of the program, which
is read anew at each call; the same holds for momentum where a schedule cycles it. Such numbers may
be computed with and returned. Testing them, too, is correct, but each answer that leads elsewhere
is compiled once more; built-in optimizers test :meth:`ParamGroup.plain`, which is guarded.
"""

import weakref
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from graphc.modes import MODES
from graphc.tracing import Trace

_CYCLED = ("momentum", "betas")


class ParamGroup(dict[str, Any]):
    """A group's parameters ("params") and hyperparameters by name."""

    # Entries that the trace itself has set: (trace, names). They are no longer what a call finds.
    _set: "tuple[weakref.ref[Trace], set[str]] | None" = None

    def __init__(self, *args: Any, **entries: Any) -> None:
        super().__init__(*args, **entries)
        self._tuples: dict[str, _Entries] = {}

    def plain(self, key: str) -> Any:
        """The value as it is now, also while a trace runs."""
        return super().__getitem__(key)

    def varies(self, key: Any) -> bool:
        """Whether a compiled function takes this entry as an input, not as a constant."""
        if key == "lr":
            return type(self.plain(key)) is float
        if key not in _CYCLED or "base_momentum" not in self:
            return False
        value = self.plain(key)
        if isinstance(value, tuple):
            return all(type(x) is float for x in value)
        return type(value) is float

    def __getitem__(self, key: str) -> Any:
        trace = MODES.trace and MODES.trace.unmapped()
        if trace is None or key not in self or not self.varies(key) or self._was_set(key):
            return super().__getitem__(key)
        value = self.plain(key)
        if isinstance(value, tuple):
            entries = self._tuples.setdefault(key, _Entries(self, key))
            return tuple(trace.runtime_number(entries, i, f"{key}_{i}") for i in range(len(value)))
        return trace.runtime_number(self, key, key)

    def _was_set(self, key: str) -> bool:
        return self._set is not None and self._set[0]() is MODES.trace and key in self._set[1]

    def __setitem__(self, key: str, value: Any) -> None:
        if MODES.trace is not None:
            if self._set is None or self._set[0]() is not MODES.trace:
                self._set = (weakref.ref(MODES.trace), set())
            self._set[1].add(key)
        super().__setitem__(key, value)

    # The other ways to read and write go through the two above.

    def __iter__(self) -> Iterator[str]:  # being written here, dict(group) reads item by item
        return super().__iter__()

    def get(self, key: str, default: Any = None) -> Any:
        if key not in self:
            return default
        return self[key]

    def items(self) -> Any:
        return dict(self).items() if MODES.trace is not None else super().items()

    def values(self) -> Any:
        return dict(self).values() if MODES.trace is not None else super().values()

    def update(self, *args: Any, **entries: Any) -> None:
        for key, value in dict(*args, **entries).items():
            self[key] = value

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {key: deepcopy(value, memo) for key, value in self.items()}


class _Entries:
    """The numbers of an entry that is a tuple, where a program looks for them at each call."""

    def __init__(self, group: ParamGroup, key: str) -> None:
        self.group = group
        self.key = key

    def __getitem__(self, number: int) -> Any:
        return self.group.plain(self.key)[number]
