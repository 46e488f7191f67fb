"""What a compiled function assumed of the world outside its arguments, checked at every call.

Before a trace, :func:`survey` walks what the function can reach: closure cells, globals, defaults,
attributes of the objects it names, modules, containers. Every plain value (numbers, strings, None,
tuples of such) and every tensor found is remembered with the expression that reaches it; a
:class:`Guard` evaluates those expressions again and compares. Module trees are checked through
one counter that any change to any module advances, and in full only after it has moved.
"""

import enum
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from graphc.nn.module import STRUCTURE, Module
from graphc.optim.optimizer import Optimizer
from graphc.tensor import Tensor

PLAIN = (bool, int, float, complex, str, bytes, type(None))
_LIMIT = 20_000  # objects visited; beyond that the function reaches half the program
_STDLIB = tuple(
    path for path in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")) if path
)


@dataclass(frozen=True)
class Check:
    """One assumption: the expression over ``roots`` has to give ``expected`` again."""

    path: str  # Python expression over the guard's roots
    text: str  # the same for people: "global learning_rate", "model.dropout.p"
    expected: Any
    identity: bool
    structural: bool  # lies in a module: looked at only when STRUCTURE.version has moved


@dataclass
class Survey:
    """Everything reachable that a trace could have read."""

    roots: list[Any] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    tensors: dict[int, tuple[Tensor, Check]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    _seen: dict[int, Any] = field(default_factory=dict)
    _words: set[str] = field(default_factory=set)

    def root(self, value: Any) -> str:
        self.roots.append(value)
        return f"r[{len(self.roots) - 1}]"


def survey(function: Callable[..., Any], arguments: list[Any]) -> Survey:
    """Walks what ``function`` and non-tensor ``arguments`` reach."""
    found = Survey()
    _collect_words(function, found._words, set())
    for i, argument in enumerate(arguments):
        if isinstance(argument, Module):
            _visit(argument, found.root(argument), f"argument {i}", found, False)
    _visit(function, found.root(function), getattr(function, "__name__", "function"), found, False)
    return found


def _own_code(function: Any) -> bool:
    """Whether a Python function belongs to the user's program (not graphc, not the library)."""
    module = getattr(function, "__module__", None) or ""
    if module == "graphc" or module.startswith("graphc."):
        return False
    file = function.__code__.co_filename
    return not file.startswith(_STDLIB) and not file.startswith("<frozen")


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _collect_words(value: Any, words: set[str], seen: set[int]) -> None:
    """Attribute and global names that the reachable user code mentions."""
    if id(value) in seen or len(seen) > _LIMIT:
        return
    seen.add(id(value))
    if isinstance(value, types.MethodType):
        _collect_words(value.__func__, words, seen)
        _collect_words(value.__self__, words, seen)
    elif isinstance(value, types.FunctionType):
        if not _own_code(value):
            wrapped = getattr(value, "__wrapped__", None)
            if wrapped is not None:
                _collect_words(wrapped, words, seen)
            return
        mentioned: set[str] = set()
        for code in _codes(value.__code__):
            mentioned.update(code.co_names)
        words.update(mentioned)
        for cell in value.__closure__ or ():
            try:
                _collect_words(cell.cell_contents, words, seen)
            except ValueError:  # an empty cell: nothing to read yet
                continue
        for name in mentioned:
            if name in value.__globals__:
                _collect_words(value.__globals__[name], words, seen)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _collect_words(item, words, seen)
    elif isinstance(value, dict):
        for item in value.values():
            _collect_words(item, words, seen)
    elif isinstance(value, Module):
        _collect_class(type(value), words, seen)
        for child in value._modules.values():
            _collect_words(child, words, seen)
    elif not isinstance(value, (type, types.ModuleType, Tensor, *PLAIN)):
        _collect_class(type(value), words, seen)


def _collect_class(cls: type, words: set[str], seen: set[int]) -> None:
    for base in cls.__mro__:
        if id(base) in seen or base.__module__.split(".")[0] in ("graphc", "builtins"):
            continue
        seen.add(id(base))
        for member in vars(base).values():
            function = member.fget if isinstance(member, property) else member
            function = getattr(function, "__func__", function)
            if isinstance(function, types.FunctionType):
                _collect_words(function, words, seen)


def _visit(value: Any, path: str, text: str, found: Survey, structural: bool) -> None:
    if isinstance(value, Tensor):
        check = Check(path, text, value, True, structural)
        if id(value) not in found.tensors:
            found.tensors[id(value)] = (value, check)
            found.names[id(value)] = _short(text)
            if value._grad is not None:
                found.names.setdefault(id(value._grad), f"{_short(text)}.grad")
        return
    if isinstance(value, (enum.Enum, *PLAIN)):
        found.checks.append(Check(path, text, value, False, structural))
        return
    if id(value) in found._seen or len(found._seen) > _LIMIT:
        return
    found._seen[id(value)] = value
    if isinstance(value, types.MethodType):
        _visit(value.__func__, f"{path}.__func__", text, found, structural)
        _visit(value.__self__, f"{path}.__self__", "self", found, structural)
    elif isinstance(value, types.FunctionType):
        _visit_function(value, path, text, found, structural)
    elif isinstance(value, Module):
        found.checks.append(Check(path, text, value, True, structural))
        _visit_module(value, path, text, found)
    elif isinstance(value, Optimizer):
        _visit_optimizer(value, path, text, found)
    elif isinstance(value, (list, tuple)):
        found.checks.append(Check(f"len({path})", f"len({text})", len(value), False, structural))
        for i, item in enumerate(value):
            _visit(item, f"{path}[{i}]", f"{text}[{i}]", found, structural)
    elif isinstance(value, dict):
        found.checks.append(Check(f"len({path})", f"len({text})", len(value), False, structural))
        for key, item in value.items():
            if isinstance(key, PLAIN):
                _visit(item, f"{path}[{key!r}]", f"{text}[{key!r}]", found, structural)
    elif isinstance(value, types.ModuleType):
        _visit_python_module(value, path, text, found)
    elif not isinstance(value, type):
        _visit_object(value, path, text, found, structural)


def _visit_function(
    function: types.FunctionType, path: str, text: str, found: Survey, structural: bool
) -> None:
    wrapped = getattr(function, "__wrapped__", None)
    if wrapped is not None:
        _visit(wrapped, f"{path}.__wrapped__", text, found, structural)
    if not _own_code(function) and wrapped is None:
        return
    found.checks.append(
        Check(f"{path}.__code__", f"the code of {text}", function.__code__, True, structural)
    )
    for i, name in enumerate(function.__code__.co_freevars):
        cell = (function.__closure__ or ())[i]
        try:
            content = cell.cell_contents
        except ValueError:  # an empty cell: nothing to read yet
            continue
        _visit(content, f"{found.root(cell)}.cell_contents", name, found, False)
    for i, default in enumerate(function.__defaults__ or ()):
        _visit(default, f"{path}.__defaults__[{i}]", f"a default of {text}", found, False)
    for name, default in (function.__kwdefaults__ or {}).items():
        _visit(default, f"{path}.__kwdefaults__[{name!r}]", f"default {name}", found, False)
    if not _own_code(function):
        return
    scope: str | None = None
    for code in _codes(function.__code__):
        for name in code.co_names:
            if name in function.__globals__:
                if scope is None:
                    scope = found.root(function.__globals__)
                content = function.__globals__[name]
                _visit(content, f"{scope}[{name!r}]", name, found, False)


def _visit_module(module: Module, path: str, text: str, found: Survey) -> None:
    own = type(module).__module__.split(".")[0] != "graphc"
    for name, value in list(module.__dict__.items()):
        if name in ("_modules", "_parameters", "_buffers"):
            found.checks.append(
                Check(f"list({path}.{name})", f"{text}.{name}", list(value), False, True)
            )
            for key, item in value.items():
                _visit(item, f"{path}.{name}[{key!r}]", f"{text}.{key}", found, True)
        elif not own or name in found._words or name == "training" or name.endswith("_hooks"):
            _visit(value, f"{path}.__dict__[{name!r}]", f"{text}.{name}", found, True)
    _visit_methods(type(module), found)


def _visit_methods(cls: type, found: Survey) -> None:
    """Globals and closures that the methods of a user's class read."""
    for base in cls.__mro__:
        if base.__module__.split(".")[0] in ("graphc", "builtins") or id(base) in found._seen:
            continue
        found._seen[id(base)] = base
        for name, member in vars(base).items():
            function = getattr(member, "__func__", member)
            if isinstance(function, types.FunctionType) and _own_code(function):
                if name == "__init__":
                    continue
                root = found.root(function)
                _visit(function, root, f"{cls.__name__}.{name}", found, False)
            elif name in found._words and isinstance(member, PLAIN):
                _visit(member, f"{found.root(base)}.{name}", f"{cls.__name__}.{name}", found, False)


def _visit_optimizer(optimizer: Optimizer, path: str, text: str, found: Survey) -> None:
    found.checks.append(Check(path, text, optimizer, True, False))
    for i, group in enumerate(optimizer.param_groups):
        for key, value in group.items():
            here = f"{path}.param_groups[{i}][{key!r}]"
            if type(value) is float and key in optimizer.runtime_numbers:
                continue  # an input of the program, read anew at each call
            _visit(value, here, f"{text}.param_groups[{i}][{key!r}]", found, False)
    state = found.root(optimizer.state)
    for tensor, values in list(optimizer.state.items()):
        stem = found.names.get(id(tensor), "state")
        key = found.root(tensor)
        for name, value in values.items():
            if isinstance(value, Tensor):
                _visit(value, f"{state}[{key}][{name!r}]", f"{stem}.{name}", found, False)


def _visit_python_module(module: types.ModuleType, path: str, text: str, found: Survey) -> None:
    file = getattr(module, "__file__", None)
    name = module.__name__.split(".")[0]
    if name == "graphc" or file is None or file.startswith(_STDLIB) or name in sys.builtin_module_names:
        return
    for word in found._words & set(vars(module)):
        _visit(vars(module)[word], f"{path}.{word}", f"{text}.{word}", found, False)


def _visit_object(value: Any, path: str, text: str, found: Survey, structural: bool) -> None:
    names = list(getattr(value, "__dict__", ())) + [
        slot for cls in type(value).__mro__ for slot in getattr(cls, "__slots__", ())
    ]
    for name in names:
        if name in found._words and hasattr(value, name):
            _visit(getattr(value, name), f"{path}.{name}", f"{text}.{name}", found, structural)
    if type(value).__module__.split(".")[0] not in ("graphc", "builtins"):
        _visit_methods(type(value), found)


def _short(text: str) -> str:
    """A name for a graph input: ``conv1.weight`` rather than ``model.conv1.weight``."""
    head, _, rest = text.partition(".")
    return rest if rest and head.isidentifier() else text


class Guard:
    """Checks assumptions again; ``why_not`` tells the first that no longer holds."""

    def __init__(self, found: Survey, captured: list[Tensor]) -> None:
        known = [found.tensors[id(t)][1] for t in captured if id(t) in found.tensors]
        self.unreachable = [t for t in captured if id(t) not in found.tensors]
        self._checks = [*found.checks, *known]
        self._roots = found.roots
        self._version = STRUCTURE.version
        self._quick = self._compile([c for c in self._checks if not c.structural])
        self._structure = self._compile([c for c in self._checks if c.structural])

    def _compile(self, checks: list[Check]) -> Callable[[], bool]:
        if not checks:
            return lambda: True
        expected = [c.expected for c in checks]
        terms = [_term(c, f"e[{i}]") for i, c in enumerate(checks)]
        body = "\n        and ".join(terms)
        source = f"def check(r=r, e=e):\n    return (\n        {body}\n    )\n"
        scope: dict[str, Any] = {"r": self._roots, "e": expected, "same": _same}
        exec(compile(source, "<graphc guard>", "exec"), scope)  # noqa: S102 - our own expressions
        return scope["check"]  # type: ignore[no-any-return]

    def holds(self) -> bool:
        try:
            if not self._quick():
                return False
            if STRUCTURE.version != self._version:
                if not self._structure():
                    return False
                self._version = STRUCTURE.version
        except (KeyError, IndexError, AttributeError, ValueError, TypeError):
            return False  # what was reachable no longer is
        return True

    def why_not(self) -> str:
        """The first assumption that fails, in words; empty when all hold."""
        for check in self._checks:
            scope = {"r": self._roots, "same": _same, "e": [check.expected]}
            try:
                if not eval(_term(check, "e[0]"), scope):  # noqa: S307 - our own expressions
                    now = eval(check.path, scope)  # noqa: S307
                    if isinstance(now, PLAIN) and isinstance(check.expected, PLAIN):
                        return f"{check.text} was {check.expected!r}, is {now!r}"
                    return f"{check.text} is another object"
            except (KeyError, IndexError, AttributeError, ValueError, TypeError):
                return f"{check.text} is gone"
        return ""


def _term(check: Check, expected: str) -> str:
    if check.identity or check.expected is None or isinstance(check.expected, (bool, enum.Enum)):
        return f"{check.path} is {expected}"
    if isinstance(check.expected, float):
        return f"same({check.path}, {expected})"
    if isinstance(check.expected, int):  # 1 == 1.0 == True, but they promote differently
        return f"(type({check.path}) is int and {check.path} == {expected})"
    return f"{check.path} == {expected}"


def _same(now: Any, before: float) -> bool:
    """Equal floats of one type; nan equals nan."""
    return type(now) is float and (now == before or (now != now and before != before))
