"""A written case: a small program that reads the same for either library."""

from collections.abc import Callable
from typing import Any, NamedTuple

Program = Callable[[Any], Any]


class Case(NamedTuple):
    """``program(t)`` with ``t`` as graphc and as torch gives the same, or the same exception.

    ``compiled``: it also runs inside ``graphc.compile``; what looks at values cannot. ``values``:
    more than shapes and dtypes agree; draws do not.
    """

    program: Program
    compiled: bool = True
    values: bool = True


def eager(program: Program) -> Case:
    """A program that looks at values, which only eager tensors have."""
    return Case(program, compiled=False)


def drawn(program: Program) -> Case:
    """A program whose numbers are draws."""
    return Case(program, values=False)


def failing(change: Program) -> Case:
    """A program that raises; the exceptions are of the same kind."""
    return Case(change, compiled=False)


def seq(t: Any, *shape: int, dtype: str | None = None) -> Any:
    """Fixed numbers of both signs."""
    count = 1
    for n in shape:
        count *= n
    made = t.tensor([((i * 7919) % 23 - 11) / 4 for i in range(count)]).reshape(shape)
    return made if dtype is None else made.to(getattr(t, dtype))


def ints(t: Any, *shape: int, dtype: str = "int64") -> Any:
    """Fixed integers of both signs."""
    count = 1
    for n in shape:
        count *= n
    made = t.tensor([(i * 7919) % 13 - 6 for i in range(count)], dtype=t.int64).reshape(shape)
    return made.to(getattr(t, dtype))


Cases = dict[str, list[Case | Program]]
