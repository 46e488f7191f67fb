"""Errors that name the operation, what it was given, the user's own line, and what to do.

Each class is also the built-in type that PyTorch raises in its place, so ``except RuntimeError``
and ``except IndexError`` work as in a PyTorch program. A row raises with PyTorch's words and, where
it helps, a hint; whoever applied the row adds the rest with :func:`located`::

    The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1
      in add of f32[2, 3] and f32[2, 4], at train.py:31 in step
      hint: ...
"""

import linecache
import os
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

E = TypeVar("E", bound=BaseException)


class GraphcError(Exception):
    """The base of graphc's own errors; ``hint`` says what to do about it.

    ``location`` is the user's line once :func:`located` has found it.
    """

    location: "Location | None" = None

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(f"{message}{_HINT}{hint}" if hint else message)


class ShapeError(GraphcError, RuntimeError):
    """Sizes that do not fit together."""


class DtypeError(GraphcError, RuntimeError):
    """A dtype that an operation does not take, or dtypes that do not mix."""


class DimensionError(GraphcError, IndexError):
    """A dimension or an index outside its range."""


class PositionError(DimensionError, RuntimeError):
    """An element of an index tensor outside its range.

    PyTorch raises IndexError from some functions and RuntimeError from others; this is both.
    """


class LinAlgError(GraphcError, RuntimeError):
    """A matrix that a decomposition cannot take: singular, or not positive-definite."""


class GraphError(GraphcError, RuntimeError):
    """A graph breaks its own rules; the message names the pass that made it so."""


class TraceError(GraphcError, RuntimeError):
    """Something that cannot be done to a tensor whose value is not known yet."""


_HINT = "\n  hint: "
_PLACE = "\n  in "


def hinted(error: E, hint: str) -> E:
    """The same error with a line that says what to do, if its argument is a plain message."""
    message = _message(error)
    return error if message is None else _reworded(error, f"{message}{_HINT}{hint}")


def located(error: E, operation: str, *operands: Any) -> E:
    """The same error with the operation, its operands' types and the user's line in its message.

    ``operands`` are tensors, nodes, tensor types or numbers. An error that has its place already
    (raised by an operation inside this one) keeps it, and one whose arguments are more than a
    message keeps those: it only gets a note (Python 3.11) and the attribute ``location``.
    """
    if getattr(error, "location", None) is not None:
        return error
    where = user_location()
    given = " and ".join(describe(x) for x in operands)
    place = f"{operation}{' of ' * bool(given)}{given}"
    if where is not None:
        place += f", at {where} in {where.function}"
    message = _message(error)
    if message is None:
        if hasattr(error, "add_note"):
            error.add_note(f"in {place}")
    else:
        what, mark, hint = message.partition(_HINT)
        _reworded(error, f"{what}{_PLACE}{place}{mark}{hint}")
    error.location = where  # type: ignore[attr-defined]
    return error


def _message(error: BaseException) -> str | None:
    """The message, when that is all the error has; a KeyError's argument is a key."""
    arguments = error.args
    if isinstance(error, (KeyError, OSError, UnicodeError)):
        return None
    return arguments[0] if len(arguments) == 1 and isinstance(arguments[0], str) else None


def _reworded(error: E, message: str) -> E:
    error.args = (message,)
    return error


def describe(operand: Any) -> str:
    """An operand as messages show it: ``f32[2, 3]``, or a number as it is."""
    dtype, shape = getattr(operand, "dtype", None), getattr(operand, "shape", None)
    if dtype is not None and shape is not None:
        return f"{getattr(dtype, 'short', dtype)}[{', '.join(map(str, shape))}]"
    text = repr(operand)
    return text if len(text) <= 60 else f"{text[:57]}..."


def unknown_name(owner: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error for ``owner.name`` where it does not exist, with the nearest name that does."""
    import difflib  # loaded for an error only

    near = difflib.get_close_matches(name, [k for k in known if not k.startswith("_")], 1, 0.6)
    instead = f"; did you mean {near[0]!r}?" if near else ""
    return AttributeError(f"{owner} has no attribute {name!r}{instead}", name=name)


# ------------------------------------------------------------------------------- the user's line


class Location(NamedTuple):
    """A line of the user's program."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.short_file}:{self.line}"

    @property
    def short_file(self) -> str:
        """The path from the working folder when it lies below it."""
        inside = os.path.join(os.getcwd(), "")
        return self.file[len(inside) :] if self.file.startswith(inside) else self.file

    @property
    def text(self) -> str:
        """The source line itself, or '' when the file cannot be read."""
        return linecache.getline(self.file, self.line).strip()


_PACKAGE = os.path.join(os.path.dirname(__file__), "")
# Frames of the standard library (contextlib, functools, copy ...) are between, not the user's.
_LIBRARY = os.path.join(os.path.dirname(os.__file__), "")
_INSTALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
_skipped: dict[str, bool] = {}  # by file name: a lookup per frame instead of a comparison of paths


def _is_skipped(file: str) -> bool:
    if file.startswith((_PACKAGE, "<frozen", "<graphc")):
        skip = True
    else:
        skip = file.startswith(_LIBRARY) and not any(part in file for part in _INSTALLED)
    _skipped[file] = skip
    return skip


def user_location() -> Location | None:
    """The innermost line outside graphc and the standard library that led here."""
    frame = sys._getframe(1)
    known = _skipped
    while True:
        code = frame.f_code
        file = code.co_filename
        skip = known.get(file)
        if skip is None:
            skip = _is_skipped(file)
        if not skip:
            return Location(file, frame.f_lineno, code.co_name)
        if frame.f_back is None:
            return None
        frame = frame.f_back
