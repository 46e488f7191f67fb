"""What a specialisation assumed of the world outside its arguments, checked at every call.

A :class:`Guard` evaluates the expressions that :mod:`graphc.compiler.survey` found and compares.
What lies in modules is checked through one counter that any change to any module advances, and in
full only after it has moved.
"""

import enum
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from graphc.compiler.survey import PLAIN, VALUES, Check, Survey
from graphc.nn.module import STRUCTURE
from graphc.tensor import Tensor

_GONE = (KeyError, IndexError, AttributeError, ValueError, TypeError)


class Guard:
    """Checks assumptions again; ``why_not`` tells the first that no longer holds."""

    def __init__(self, found: Survey, routes: Iterable[Check], captured: set[int]) -> None:
        """``routes`` lead to the tensors that the program reads, ``captured`` names all of them.

        Of the other tensors within reach only the type is assumed: the function may have looked
        at their shapes.
        """
        others = [
            Check(c.path, c.text, _kind(tensor), "tensor", c.structural)
            for number, (tensor, checks) in found.tensors.items()
            if number not in captured and number not in found.implicit
            for c in checks
        ]
        self._checks = list(dict.fromkeys(_Same(c) for c in (*found.checks, *others, *routes)))
        self.scope: dict[str, Any] = {
            "r": found.roots,
            "same": same_value,
            "alike": alike,
            "kind": _kind,
            "keys": _keys,
            "same_array": _same_array,
            "structure": STRUCTURE,
        }
        self._version = STRUCTURE.version
        self._quick = self._compile([c.check for c in self._checks if not c.check.structural])
        self._structure = self._compile([c.check for c in self._checks if c.check.structural])

    def __len__(self) -> int:
        return len(self._checks)

    def _compile(self, checks: list[Check]) -> Callable[[], bool]:
        if not checks:
            return lambda: True
        expected = [c.expected for c in checks]
        # One expression per hundred checks, since Python's parser nests them.
        parts = [checks[i : i + 100] for i in range(0, len(checks), 100)]
        lines: list[str] = []
        number = 0
        for part in parts:
            terms = []
            for check in part:
                terms.append(f"{term(check, f'e[{number}]')}")
                number += 1
            lines.append(f"    if not ({' and '.join(terms)}): return False")
        source = "def check(r=r, e=e):\n" + "\n".join(lines) + "\n    return True\n"
        scope = {**self.scope, "e": expected}
        exec(compile(source, "<graphc guard>", "exec"), scope)
        return scope["check"]  # type: ignore[no-any-return]

    def holds(self) -> bool:
        try:
            if not self._quick():
                return False
            if STRUCTURE.version != self._version:
                version = STRUCTURE.version
                if not self._structure():
                    return False
                self._version = version
        except _GONE:
            return False  # what was reachable no longer is
        return True

    def why_not(self) -> str:
        """The first assumption that fails, in words; empty when all hold."""
        return self.first_failure()[1]

    def first_failure(self) -> tuple[int, str]:
        """How many assumptions hold before one fails, and that one in words."""
        for number, each in enumerate(self._checks):
            words = self._failure(each.check)
            if words:
                return number, words
        return len(self._checks), ""

    def _failure(self, check: Check) -> str:
        scope = {**self.scope, "e": [check.expected]}
        try:
            if eval(term(check, "e[0]"), scope):
                return ""
            now = eval(check.path, scope)
        except _GONE:
            return f"{check.text} is gone"
        if isinstance(check.expected, PLAIN) and isinstance(now, (*PLAIN, Tensor)):
            is_now = "a tensor" if isinstance(now, Tensor) else repr(now)
            return f"{check.text} was {check.expected!r}, is {is_now}"
        if check.how in ("values", "array"):
            return f"{check.text} holds other values"
        if check.how == "tensor" and isinstance(now, Tensor):
            return f"{check.text} was {check.expected[1]}, is {now._type}"
        return f"{check.text} is another object"


class _Same:
    """A check that is equal to another on the same path with the same expectation."""

    __slots__ = ("check", "key")

    def __init__(self, check: Check) -> None:
        self.check = check
        self.key = (check.path, check.how, id(check.expected) if check.how == "is" else None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def term(check: Check, expected: str) -> str:
    """The Python expression that is true while the assumption holds."""
    path, value = check.path, check.expected
    if check.how == "is":
        return f"{path} is {expected}"
    if check.how == "values":
        return f"alike({path}, {expected})"
    if check.how == "tensor":
        return f"kind({path}) == {expected}"
    if check.how == "array":
        return f"same_array({path}, {expected})"
    return compared(path, expected, value)


def compared(path: str, expected: str, value: Any) -> str:
    """The expression that is true when ``path`` is the plain ``value`` again.

    Types count, since 1, 1.0 and True promote differently; so do the signs of zeros.
    """
    if value is None or isinstance(value, (bool, enum.Enum)) or value is ...:
        return f"{path} is {expected}"
    if type(value) is int or type(value) is str:
        return f"(type({path}) is {type(value).__name__} and {path} == {expected})"
    return f"same({path}, {expected})"


def same_value(now: Any, before: Any) -> bool:
    """Equal values of one type; nan equals nan, 0.0 differs from -0.0."""
    if type(now) is not type(before):
        return False
    if isinstance(before, (float, np.floating)):
        if before != before:
            return bool(now != now)
        return bool(now == before) and math.copysign(1, now) == math.copysign(1, before)
    return bool(now == before)


def alike(now: Any, before: Any) -> bool:
    """The same container with the same plain values in it."""
    if type(now) is not type(before) or len(now) != len(before):
        return False
    if isinstance(now, (set, frozenset)):
        return bool(now == before)
    if isinstance(now, dict):
        return list(now) == list(before) and alike(list(now.values()), list(before.values()))
    return all(a is b or same_value(a, b) for a, b in zip(now, before, strict=True))


def _same_array(now: Any, before: "np.ndarray[Any, Any]") -> bool:
    return (
        type(now) is np.ndarray
        and now.dtype == before.dtype
        and now.shape == before.shape
        and now.tobytes() == before.tobytes()
    )


def _keys(table: dict[Any, Any]) -> list[Any]:
    """The keys of a dict as a check can hold them."""
    return [key if isinstance(key, VALUES) else id(key) for key in table]


def _kind(tensor: Any) -> tuple[Any, ...]:
    """What a trace can have seen of a tensor without reading its values."""
    return (type(tensor), getattr(tensor, "_type", None), getattr(tensor, "_requires_grad", None))
