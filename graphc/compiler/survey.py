"""What a function reads from outside its arguments, found before it is traced.

The walk starts at the function and follows closure cells, globals, defaults, attributes, modules,
optimizers and containers. Objects are entered only through names that the user's code mentions, so
it stays within the user's program. Every plain value on the way is remembered with the expression
that reaches it, every tensor with all the expressions that do, and every place the function might
write to with what it held.
"""

import copy
import dis
import enum
import functools
import inspect
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from graphc.amp.grad_scaler import GradScaler
from graphc.compiler.places import Place
from graphc.device import device
from graphc.dtypes import dtype
from graphc.errors import TraceError
from graphc.generator import Generator, default_generator
from graphc.nn.hooks import OF_ALL
from graphc.nn.module import Module
from graphc.nn.parameter import is_lazy
from graphc.nn.structure import COUNTED
from graphc.optim.group import ParamGroup
from graphc.optim.optimizer import _POST_HOOKS, _PRE_HOOKS, Optimizer
from graphc.tensor import Size, Tensor

PLAIN = (bool, int, float, complex, str, bytes, type(None))
# Other things that are compared by value.
VALUES = (*PLAIN, enum.Enum, Size, slice, range, device, dtype, np.dtype, np.generic, type(...))
_LIMIT = 20_000  # objects visited
_LIBRARIES = tuple(
    path for path in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")) if path
)
_REFLECTION = {"getattr", "hasattr", "vars", "__dict__", "setattr", "eval", "exec"}
_NAMED = frozenset(dis.hasname)
_OF_GLOBALS = frozenset(
    "LOAD_GLOBAL LOAD_NAME LOAD_FROM_DICT_OR_GLOBALS STORE_GLOBAL STORE_NAME DELETE_GLOBAL".split()
)
_OPTIMIZER = {"param_groups", "state"}  # attributes that are looked at apart from the others
_STEPS = ("step", "update")  # what subclasses of Optimizer write
_REMEMBERED = ("_cached", "_inverse_of")  # by transforms; nothing depends on it
_TABLES = ("_modules", "_parameters", "_buffers")


class UnfinishedError(Exception):
    """A parameter has no shape before the function has run once."""


@dataclass(frozen=True)
class Check:
    """One assumption: the expression over ``roots`` has to give ``expected`` again."""

    path: str  # Python expression over the guard's roots
    text: str  # the same for people: "global learning_rate", "model.dropout.p"
    expected: Any
    how: str  # "is", "value", "values", "tensor", "array": see guards.term
    structural: bool  # lies in a module: looked at only when STRUCTURE.version has moved


@dataclass
class Survey:
    """Everything reachable that a trace could have read or written."""

    roots: list[Any] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    tensors: dict[int, tuple[Tensor, list[Check]]] = field(default_factory=dict)
    slots: dict[int, tuple[Any, Any]] = field(default_factory=dict)  # id of a tensor -> its place
    implicit: set[int] = field(default_factory=set)  # tensors that no code of the user's mentions
    names: dict[int, str] = field(default_factory=dict)
    states: dict[int, tuple[Any, str]] = field(default_factory=dict)  # of optimizers, by id
    places: list[Place] = field(default_factory=list)
    words: set[str] = field(default_factory=set)
    _seen: dict[int, Any] = field(default_factory=dict)
    _root_of: dict[int, str] = field(default_factory=dict)

    def root(self, value: Any) -> str:
        if id(value) not in self._root_of:
            self.roots.append(value)
            self._root_of[id(value)] = f"r[{len(self.roots) - 1}]"
        return self._root_of[id(value)]

    def mentions(self, name: str) -> bool:
        """Whether the user's code may read an attribute of this name."""
        return name in self.words or not self.words.isdisjoint(_REFLECTION)

    def enter(self, value: Any) -> bool:
        """Whether an object is met for the first time."""
        if id(value) in self._seen:
            return False
        if len(self._seen) > _LIMIT:
            raise TraceError(
                f"the function reaches more than {_LIMIT} objects through closures, globals and "
                "attributes, too many to watch; pass what it needs as arguments"
            )
        self._seen[id(value)] = value
        return True


def survey(function: Callable[..., Any], arguments: list[Any], names: list[str]) -> Survey:
    """Walks what ``function`` and those ``arguments`` that are objects reach."""
    found = Survey()
    seen: set[int] = set()
    _collect_words(function, found.words, seen)
    objects = [
        (x, name)
        for x, name in zip(arguments, names, strict=True)
        if not isinstance(x, (Tensor, *VALUES))
    ]
    for argument, _ in objects:
        _collect_words(argument, found.words, seen)
    for argument, name in objects:
        _visit(argument, found.root(argument), name, found, False)
    own = getattr(function, "__name__", None) or type(function).__name__
    _visit(function, found.root(function), own, found, False)
    for kind in ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks"):
        _visit_hooks(getattr(OF_ALL, kind), f"{found.root(OF_ALL)}.{kind}", "of all", found)
    state = default_generator._state
    if id(state) not in found.tensors:
        found.implicit.add(id(state))
        _visit(state, f"{found.root(default_generator)}._state", "rng_state", found, False)
    return found


# ------------------------------------------------------------------------------------------ words


def _own_code(function: Any) -> bool:
    """Whether a Python function belongs to the user's program (not graphc, not a library)."""
    module = getattr(function, "__module__", None) or ""
    if module == "graphc" or module.startswith("graphc."):
        return False
    file = function.__code__.co_filename
    return not file.startswith(_LIBRARIES) and not file.startswith("<frozen")


def _own_class(cls: type) -> bool:
    module = cls.__module__ or ""
    if module.split(".")[0] in ("graphc", *sys.builtin_module_names):
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is None or not file.startswith(_LIBRARIES)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


@lru_cache(maxsize=4096)
def _read_names(code: types.CodeType) -> frozenset[str]:
    """Names of globals and attributes that code reads; what it only assigns is not among them."""
    return frozenset(
        instruction.argval
        for each in _codes(code)
        for instruction in dis.get_instructions(each)
        if instruction.opcode in _NAMED and not instruction.opname.startswith(("STORE", "DELETE"))
    )


@lru_cache(maxsize=4096)
def _global_names(code: types.CodeType) -> tuple[str, ...]:
    """Names of globals that code reads or assigns; an attribute of the same name is none."""
    names = (
        instruction.argval
        for each in _codes(code)
        for instruction in dis.get_instructions(each)
        if instruction.opname in _OF_GLOBALS
    )
    return tuple(dict.fromkeys(names))


def _collect_words(value: Any, words: set[str], seen: set[int]) -> None:
    """Attribute and global names that the reachable user code mentions."""
    if id(value) in seen or len(seen) > _LIMIT:
        return
    seen.add(id(value))
    if isinstance(value, types.MethodType):
        _collect_words(value.__func__, words, seen)
        _collect_words(value.__self__, words, seen)
    elif isinstance(value, types.FunctionType):
        _collect_function(value, words, seen)
    elif isinstance(value, functools.partial):
        for part in (value.func, value.args, value.keywords):
            _collect_words(part, words, seen)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            if not isinstance(item, PLAIN):
                _collect_words(item, words, seen)
    elif isinstance(value, dict):
        for item in value.values():
            if not isinstance(item, PLAIN):
                _collect_words(item, words, seen)
    elif isinstance(value, Module):
        _collect_class(type(value), words, seen)
        for child in value._modules.values():
            _collect_words(child, words, seen)
        for name, item in list(value.__dict__.items()):
            if name not in _TABLES and not isinstance(item, (Tensor, *PLAIN)):
                _collect_words(item, words, seen)
    elif isinstance(value, type):
        _collect_class(value, words, seen)
    elif not isinstance(value, (types.ModuleType, Tensor, *PLAIN)):
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None:
            _collect_words(wrapped, words, seen)
        _collect_class(type(value), words, seen)


def _collect_function(function: types.FunctionType, words: set[str], seen: set[int]) -> None:
    wrapped = getattr(function, "__wrapped__", None)
    if wrapped is not None:
        _collect_words(wrapped, words, seen)
    if not _own_code(function):
        return
    mentioned = _read_names(function.__code__)
    words.update(mentioned)
    for cell in function.__closure__ or ():
        try:
            _collect_words(cell.cell_contents, words, seen)
        except ValueError:  # an empty cell: nothing to read yet
            continue
    for default in (function.__defaults__ or (), function.__kwdefaults__ or {}):
        _collect_words(default, words, seen)
    for name in mentioned:
        if name in function.__globals__:
            _collect_words(function.__globals__[name], words, seen)
    for module in _imported(function):
        for name in mentioned & set(vars(module)):
            _collect_words(vars(module)[name], words, seen)


def _imported(function: types.FunctionType) -> list[types.ModuleType]:
    """The user's modules that a function imports in its body."""
    found = []
    for code in _codes(function.__code__):
        for name in code.co_names:
            module = sys.modules.get(name)
            if name not in function.__globals__ and module is not None and _own_module(module):
                found.append(module)
    return found


def _collect_class(cls: type, words: set[str], seen: set[int]) -> None:
    for base in cls.__mro__:
        if (id(base) in seen and base is not cls) or not _own_class(base):
            continue
        seen.add(id(base))
        for name, member in vars(base).items():
            if not _is_generated(base, name):
                for function in _functions(member):
                    _collect_words(function, words, seen)


def _is_generated(cls: type, name: str) -> bool:
    """Whether a dataclass got this method by itself: it reads every field, and means nothing."""
    return name.startswith("__") and "__dataclass_fields__" in vars(cls)


def _functions(member: Any) -> list[types.FunctionType]:
    """The Python functions behind a class member: methods, static and class methods, properties."""
    if isinstance(member, property):
        parts: tuple[Any, ...] = (member.fget, member.fset)
    else:
        parts = (getattr(member, "__func__", member), getattr(member, "func", None))
    return [part for part in parts if isinstance(part, types.FunctionType)]


# --------------------------------------------------------------------------------------- the walk


def _visit(value: Any, path: str, text: str, found: Survey, structural: bool) -> None:
    if isinstance(value, Tensor):
        if is_lazy(value):
            raise UnfinishedError
        check = Check(path, text, value, "is", structural)
        found.tensors.setdefault(id(value), (value, []))[1].append(check)
        found.names.setdefault(id(value), _short(text))
        return
    if isinstance(value, VALUES):
        found.checks.append(Check(path, text, value, "value", structural))
        return
    if isinstance(value, np.ndarray):
        found.checks.append(Check(path, text, value.copy(), "array", structural))
        return
    if isinstance(value, (list, tuple, set, frozenset, dict)):
        _visit_container(value, path, text, found, structural)
        return
    # The object itself; what is inside is looked at through the first path only.
    if path != found._root_of.get(id(value)):
        found.checks.append(Check(path, text, value, "is", structural))
    if not found.enter(value):
        return
    if isinstance(value, types.MethodType):
        _visit(value.__func__, f"{path}.__func__", text, found, structural)
        _visit(value.__self__, f"{path}.__self__", "self", found, structural)
    elif isinstance(value, types.FunctionType):
        _visit_function(value, path, text, found)
    elif isinstance(value, functools.partial):
        for part in ("func", "args", "keywords"):
            _visit(getattr(value, part), f"{path}.{part}", f"{text}.{part}", found, structural)
    elif isinstance(value, Module):
        _visit_module(value, path, text, found)
    elif isinstance(value, Optimizer):
        _visit_optimizer(value, path, text, found)
    elif isinstance(value, GradScaler):
        _visit_scaler(value, path, text, found)
    elif isinstance(value, Generator):
        _visit(value._state, f"{path}._state", f"{text}.state", found, False)
    elif isinstance(value, types.ModuleType):
        if _own_module(value):
            _visit_mentioned(value, path, text, found)
    elif isinstance(value, type):
        _visit_class(value, found)
    else:
        _visit_object(value, path, text, found)


def _visit_container(value: Any, path: str, text: str, found: Survey, structural: bool) -> None:
    items = list(value.values()) if isinstance(value, dict) else list(value)
    keys = list(value) if isinstance(value, dict) else None
    if isinstance(value, (list, dict)):
        if not found.enter(value):
            found.checks.append(Check(path, text, value, "is", structural))
            return
        found.places.append(Place(value, text, value.copy()))
    if isinstance(value, (set, frozenset)) or all(isinstance(item, PLAIN) for item in items):
        copied = copy.copy(value) if isinstance(value, (list, dict, set)) else value
        # What cannot change, or counts its changes, is looked at when the module has changed.
        fixed = structural and isinstance(value, (tuple, frozenset, *COUNTED))
        found.checks.append(Check(path, text, copied, "values", fixed))
        return
    if keys is not None:
        known = [key if isinstance(key, VALUES) else id(key) for key in keys]
        found.checks.append(Check(f"keys({path})", f"the keys of {text}", known, "values", False))
        for key, item in zip(keys, items, strict=True):
            written = repr(key) if isinstance(key, PLAIN) else found.root(key)
            _visit(item, f"{path}[{written}]", f"{text}[{written}]", found, False)
        return
    fixed = structural and isinstance(value, tuple)
    found.checks.append(Check(f"len({path})", f"len({text})", len(items), "value", fixed))
    for i, item in enumerate(items):
        _visit(item, f"{path}[{i}]", f"{text}[{i}]", found, False)


def _visit_function(function: types.FunctionType, path: str, text: str, found: Survey) -> None:
    wrapped = getattr(function, "__wrapped__", None)
    if wrapped is not None:
        _visit(wrapped, f"{path}.__wrapped__", text, found, False)
    if not _own_code(function) and wrapped is None:
        return
    for i, name in enumerate(function.__code__.co_freevars):
        cell = (function.__closure__ or ())[i]
        try:
            content = cell.cell_contents
        except ValueError:  # an empty cell: nothing to read yet
            continue
        if found.enter(cell):
            found.places.append(Place(cell, name, content))
        if isinstance(content, Tensor):
            found.slots[id(content)] = (cell, None)
        _visit(content, f"{found.root(cell)}.cell_contents", name, found, False)
    for i, default in enumerate(function.__defaults__ or ()):
        _visit(default, f"{path}.__defaults__[{i}]", f"a default of {text}", found, False)
    for name, default in (function.__kwdefaults__ or {}).items():
        _visit(default, f"{path}.__kwdefaults__[{name!r}]", f"default {name}", found, False)
    if not _own_code(function):
        return
    scope = function.__globals__
    mentioned = _global_names(function.__code__)
    kept = tuple(n for n in mentioned if not isinstance(scope.get(n), types.ModuleType))
    found.places.append(Place(scope, "", {n: scope[n] for n in kept if n in scope}, kept))
    for name in mentioned:
        if name in scope:
            if isinstance(scope[name], Tensor):
                found.slots[id(scope[name])] = (scope, name)
            _visit(scope[name], f"{found.root(scope)}[{name!r}]", name, found, False)
    for module in _imported(function):
        _visit(module, found.root(module), module.__name__, found, False)


def _visit_module(module: Module, path: str, text: str, found: Survey) -> None:
    known = not _own_class(type(module))  # a library's: its code was not read, so watch all of it
    own = module.__dict__
    found.places.append(Place(own, text, own.copy()))
    found.checks.append(
        Check(f"list({path}.__dict__)", f"the attributes of {text}", list(own), "values", True)
    )
    for name, value in list(own.items()):
        if name in _TABLES:
            place = f"{path}.{name}"
            found.checks.append(
                Check(f"list({place})", f"the members of {text}", list(value), "values", True)
            )
            found.places.append(Place(value, text, value.copy()))
            for key, item in value.items():
                _visit(item, f"{place}[{key!r}]", f"{text}.{key}", found, True)
        elif name.endswith("_hooks"):
            _visit_hooks(value, f"{path}.{name}", f"{text}.{name}", found)
        elif known or name == "training" or found.mentions(name):
            _visit(value, f"{path}.__dict__[{name!r}]", f"{text}.{name}", found, True)
    _visit_class(type(module), found)


def _visit_hooks(hooks: dict[Any, Any], path: str, text: str, found: Survey) -> None:
    # Adding and removing hooks moves STRUCTURE.version.
    found.checks.append(Check(f"list({path})", f"the hooks {text}", list(hooks), "values", True))
    for key, hook in hooks.items():
        _visit(hook, f"{path}[{key!r}]", f"{text}[{key!r}]", found, True)


def _visit_class(cls: type, found: Survey) -> None:
    """Globals and closures that the methods of a user's class read, and its plain members."""
    for base in cls.__mro__:
        if not _own_class(base) or (base is not cls and not found.enter(base)):
            continue
        for name, member in list(vars(base).items()):
            functions = _functions(member)
            if functions and name != "__init__":
                kept = f"{found.root(base)}.__dict__[{name!r}]"
                label = f"{base.__name__}.{name}"
                found.checks.append(Check(kept, label, member, "is", False))
                for function in filter(_own_code, functions):
                    _visit(function, found.root(function), label, found, False)
            described = isinstance(member, (property, types.MemberDescriptorType))
            if functions or described or name.startswith("__") or not found.mentions(name):
                continue
            _visit(member, f"{found.root(base)}.{name}", f"{base.__name__}.{name}", found, False)


def _visit_optimizer(optimizer: Optimizer, path: str, text: str, found: Survey) -> None:
    for i, group in enumerate(optimizer.param_groups):
        place = f"{path}.param_groups[{i}]"
        found.checks.append(Check(place, f"{text}.param_groups[{i}]", group, "is", False))
        found.places.append(Place(group, f"{text}.param_groups[{i}]", group.copy()))
        for key, value in group.items():
            entry, label = f"{place}[{key!r}]", f"{text}.param_groups[{i}][{key!r}]"
            if not isinstance(group, ParamGroup) or not group.varies(key):
                _visit(value, entry, label, found, False)
            elif key == "momentum":  # an input of the program, but whether there is any matters
                has = Check(
                    f"({entry} != 0)", f"whether {label} is not 0", value != 0, "value", False
                )
                found.checks.append(has)
    count = f"len({path}.param_groups)"
    found.checks.append(
        Check(count, f"{text}.param_groups", len(optimizer.param_groups), "value", False)
    )
    own = _has_own_step(type(optimizer))
    if own:  # graphc's own steps make state outside of the trace, and change nothing else
        found.places.append(Place(optimizer.state, f"{text}.state", dict(optimizer.state)))
        keys = [id(key) for key in optimizer.state]
        found.checks.append(Check(f"keys({path}.state)", f"{text}.state", keys, "values", False))
    for tensor, values in list(optimizer.state.items()):
        stem = found.names.get(id(tensor), "state")
        place = f"{path}.state[{found.root(tensor)}]"
        if not isinstance(values, dict):
            continue
        if own:
            found.states[id(values)] = (values, f"{text}.state")
            _visit(values, place, stem, found, False)
            continue
        for name, value in values.items():
            _visit(value, f"{place}[{name!r}]", f"{stem}.{name}", found, False)
    for hooks in (_PRE_HOOKS, _POST_HOOKS):
        _visit_hooks(hooks, found.root(hooks), "of all optimizers", found)
    for name, value in list(optimizer.__dict__.items()):
        if name.startswith("_optimizer_step"):
            _visit_hooks(value, f"{path}.{name}", f"{text}.{name}", found)
        elif own and name not in _OPTIMIZER and found.mentions(name):
            _visit(value, f"{path}.__dict__[{name!r}]", f"{text}.{name}", found, False)
            before = {name: value}
            found.places.append(Place(optimizer.__dict__, f"{text}.{name}", before, (name,)))
    _visit_class(type(optimizer), found)


def _has_own_step(cls: type) -> bool:
    """Whether an optimizer's step is the user's code."""
    functions = [inspect.unwrap(getattr(cls, name)) for name in _STEPS if hasattr(cls, name)]
    return any(isinstance(f, types.FunctionType) and _own_code(f) for f in functions)


def _visit_scaler(scaler: GradScaler, path: str, text: str, found: Survey) -> None:
    for name in scaler.watched:
        value = getattr(scaler, name, None)
        if value is not None:  # it makes its tensors in the first iteration
            _visit(value, f"{path}.{name}", f"{text}.{name.strip('_')}", found, False)


def _own_module(module: types.ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    name = module.__name__.split(".")[0]
    return (
        name not in ("graphc", *sys.builtin_module_names)
        and file is not None
        and not file.startswith(_LIBRARIES)
    )


def _visit_mentioned(module: types.ModuleType, path: str, text: str, found: Survey) -> None:
    for word in sorted(found.words & set(vars(module))):
        _visit(vars(module)[word], f"{path}.{word}", f"{text}.{word}", found, False)


def _visit_object(value: Any, path: str, text: str, found: Survey) -> None:
    wrapped = getattr(value, "__wrapped__", None)
    if wrapped is not None:
        _visit(wrapped, f"{path}.__wrapped__", text, found, False)
    own = getattr(value, "__dict__", None)
    if isinstance(own, dict):
        if _own_class(type(value)):
            found.places.append(Place(own, text, own.copy()))
            count = f"len({path}.__dict__)"
            found.checks.append(
                Check(count, f"the number of attributes of {text}", len(own), "value", False)
            )
        # graphc's own: its code was not read, so watch all of it
        whole = getattr(type(value), "_watched_whole", False)
        for name, item in list(own.items()):
            if found.mentions(name) or (whole and name not in _REMEMBERED):
                _visit(item, f"{path}.__dict__[{name!r}]", f"{text}.{name}", found, False)
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if found.mentions(name) and hasattr(value, name):
                _visit(getattr(value, name), f"{path}.{name}", f"{text}.{name}", found, False)
    _visit_class(type(value), found)


def _short(text: str) -> str:
    """A name for a graph input: ``conv1.weight`` rather than ``model.conv1.weight``."""
    head, _, rest = text.partition(".")
    return rest if rest and head.isidentifier() else text
