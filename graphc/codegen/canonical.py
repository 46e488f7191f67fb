"""Kernels compared by what they compute: names and comments aside."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import MappingProxyType
from typing import Any

from graphc.dtypes import dtype
from graphc.kernel import (
    Axis,
    Contraction,
    Index,
    Kernel,
    Let,
    Load,
    Nest,
    Param,
    Reduction,
    Ref,
    Store,
    Template,
)
from graphc.sizes import Symbol

_NAMES: Mapping[type, tuple[str, ...]] = MappingProxyType(
    {
        Axis: ("name",),
        Contraction: ("accumulator",),
        Index: ("name",),
        Kernel: ("sizes",),
        Let: ("name",),
        Load: ("buffer",),
        Param: ("name",),
        Reduction: ("name",),
        Ref: ("name",),
        Store: ("buffer",),
        Symbol: ("name",),
    }
)
_ASIDE: Mapping[type, tuple[str, ...]] = MappingProxyType(
    {Kernel: ("name", "comments"), Let: ("comment",)}
)


def canonical(kernel: Kernel) -> str:
    """The same text for kernels that compute the same of their params, sizes and scratch.

    Names are numbered in the order in which they are met; comments are left out.
    """
    return _Canonical().text(kernel)


def names_met(nest: Nest) -> tuple[str, ...]:
    """The names in a nest in the order in which :func:`canonical` numbers them."""
    reader = _Canonical()
    reader.text(nest)
    return tuple(reader.numbers)


class _Canonical:
    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def text(self, value: Any) -> str:
        kind: Any = type(value)
        if isinstance(value, dtype):
            return value.short
        if isinstance(value, Template):  # its fields name buffers that were met as params
            return f"Template {value.name}{self._known(value.fields)}"
        if is_dataclass(value):
            parts = [
                self._name(getattr(value, name)) if named else self.text(getattr(value, name))
                for name, named in _compared(kind)
            ]
            return f"{kind.__name__}({','.join(parts)})"
        if isinstance(value, tuple):
            return f"[{','.join(map(self.text, value))}]"
        if isinstance(value, Enum):
            return value.name
        return repr(value)  # tells True, 1 and 1.0 apart, and the zeros

    def _name(self, value: str | tuple[str, ...]) -> str:
        if isinstance(value, tuple):
            return f"[{','.join(map(self._name, value))}]"
        return f"${self.numbers.setdefault(value, len(self.numbers))}"

    def _known(self, value: object) -> str:
        if isinstance(value, tuple):
            return f"[{','.join(map(self._known, value))}]"
        if isinstance(value, str) and value in self.numbers:
            return self._name(value)
        return self.text(value)


@cache
def _compared(kind: type) -> tuple[tuple[str, bool], ...]:
    """The fields of a class that count, and whether each is a name."""
    names, aside = _NAMES.get(kind, ()), _ASIDE.get(kind, ())
    return tuple((f.name, f.name in names) for f in fields(kind) if f.name not in aside)
