"""From a call to its native program and back: one generated Python function per specialisation.

The function takes ``(args, kwargs)``. It checks what the specialisation assumes, reads the
memory of every input, runs the program, and builds what the caller gets; or it returns ``MISS``.
Being generated, it holds exactly the steps that this specialisation needs. A second function with
the same checks says in words which one fails.
"""

from string import Formatter
from typing import Any, NamedTuple

from graphc.compiler.checks import GUARD, Checks
from graphc.compiler.guards import Guard
from graphc.compiler.lines import Code
from graphc.compiler.plan import Plan
from graphc.compiler.runs import Run


class Dispatch:
    """``call(args, kwargs)`` runs, or gives MISS; ``why_not(args, kwargs)`` says what differs."""

    def __init__(self, plan: Plan) -> None:
        written = Checks(plan)
        written.write()
        checks = len(written.code.lines)
        Run(written).write()
        self._code = written.code
        self._checks = self._code.lines[:checks]
        self.call = self._code.build("call", explain=False)

    @property
    def source(self) -> str:
        """The generated function."""
        return "\n".join(text for text, _ in self._code.lines)

    def why_not(self, args: Any, kwargs: Any) -> "Difference":
        """The first assumption that does not hold."""
        code = Code()
        code.scope, code.lines = self._code.scope, self._checks
        try:
            number, found = code.build("why_not", explain=True)(args, kwargs)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError):
            return Difference((0, 0), "the arguments are of another kind")
        if number < 0:
            return Difference((len(self._checks), 0), "")
        reason = self._checks[number][1] or ""
        if reason == GUARD:
            guard: Guard = code.scope["guard"]
            position, words = guard.first_failure()
            return Difference((number, position), words)
        words = ""
        for literal, expression, _, conversion in Formatter().parse(reason):
            words += literal
            if expression is not None:
                value = eval(expression, code.scope, found)
                words += repr(value) if conversion == "r" else str(value)
        return Difference((number, 0), words)


class Difference(NamedTuple):
    """What tells a call from a specialisation, and how far they agree before that."""

    agreement: tuple[int, int]
    words: str
