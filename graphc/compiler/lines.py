"""Functions written as lines of Python, some of them checks."""

from collections.abc import Callable
from typing import Any

MISS: Any = object()
"""What a function gives when one of its checks fails."""


class Code:
    """Lines of a function, with the values that they name."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {}
        self.lines: list[tuple[str, str | None]] = []  # text, and the reason where it is a check
        self._names: dict[int, str] = {}
        self._keep: list[Any] = []

    def bind(self, value: Any, stem: str) -> str:
        """A name for a value."""
        known = self._names.get(id(value))
        if known is not None:
            return known
        name = f"{stem}{len(self._names)}"
        self._names[id(value)] = name
        self._keep.append(value)
        self.scope[name] = value
        return name

    def line(self, text: str) -> None:
        self.lines.append((text, None))

    def need(self, condition: str, reason: str) -> None:
        """A check; ``reason`` says what is different, with expressions in braces."""
        self.lines.append((condition, reason))

    def build(self, name: str, explain: bool) -> Callable[..., Any]:
        """The function; to explain, it gives the number of the line that fails, and its locals."""
        text = [f"def {name}(args, kwargs):"]
        for number, (line, reason) in enumerate(self.lines):
            if reason is None:
                text.append(f"    {line}")
            else:
                text.append(f"    if not ({line}):")
                text.append(f"        return {f'{number}, locals()' if explain else 'MISS'}")
        if explain:
            text.append("    return -1, {}")
        scope = dict(self.scope)
        source = "\n".join(text)
        exec(compile(source, f"<graphc {name}>", "exec"), scope)
        return scope[name]  # type: ignore[no-any-return]
