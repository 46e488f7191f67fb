"""``graphc.compile``: the same program, traced once per kind of call and run as one native call.

A call looks for a *specialisation* whose assumptions hold (types of the arguments, grad mode, and
everything the function reads from outside: see ``guards``). If there is none it traces the
function, compiles the graph (see ``specialise``), and leaves a receipt that says why.
"""

import copy
import functools
import os
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphc.compiler.lines import MISS
from graphc.compiler.receipts import (
    Receipt,
    Stage,
    all_sources,
    all_stages,
    explanations,
    report,
    write_stages,
)
from graphc.compiler.specialise import SharedMemory, Specialisation, specialise
from graphc.compiler.survey import UnfinishedError
from graphc.modes import MODES
from graphc.nn.module import Module
from graphc.tracing import NeedsEager
from graphc.trees import flatten

if TYPE_CHECKING:  # the back wing (jinja2, cffi) is loaded by the first compilation
    from graphc.compiler.blueprint import Stages

LIMIT = 64  # specialisations of one function; beyond that something changes at every call

COURSES = 16  # of these, specialisations for values that decided what the function did


_FUNCTIONS: "weakref.WeakSet[CompiledFunction]" = weakref.WeakSet()


def known_functions() -> "list[CompiledFunction]":
    """Every compiled function that is still in use."""
    return list(_FUNCTIONS)


def _unlock() -> None:
    """In a forked child, the thread that was compiling is not there to finish."""
    for function in known_functions():
        function._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


class CompiledFunction:
    """A function that runs compiled; ``graphc.compile`` makes it.

    Threads may call it at once. ``receipts`` tells of every compilation, oldest first.
    """

    def __init__(
        self, function: Callable[..., Any], name: str | None = None, whole: bool = False
    ) -> None:
        if not isinstance(function, Module):
            functools.update_wrapper(self, function)
        self._function = function
        self.__name__: str = name or getattr(function, "__name__", None) or type(function).__name__
        self._specialisations: tuple[Specialisation, ...] = ()  # oldest first
        self._calls: tuple[Callable[[Any, Any], Any], ...] = ()  # the one used last comes first
        self._lock = threading.RLock()
        _FUNCTIONS.add(self)
        self._eager = False
        self._whole = whole
        self.receipts: list[Receipt] = []

    # ------------------------------------------------------------------------------------- calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if MODES.trace is None:
            for call in self._calls:
                result = call(args, kwargs)
                if result is not MISS:
                    if call is not self._calls[0]:
                        self._use_first(call)
                    return result
            if not self._eager:
                return self._specialise(args, kwargs)
        return self._function(*args, **kwargs)

    def forget(self) -> None:
        """Drops every program; the next call compiles."""
        with self._lock:
            self._specialisations = self._calls = ()
            self._eager = False

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return functools.partial(self, instance)

    def __deepcopy__(self, memo: dict[int, Any]) -> "CompiledFunction":
        return CompiledFunction(copy.deepcopy(self._function, memo), self.__name__, self._whole)

    def __reduce__(self) -> tuple[Any, ...]:
        return CompiledFunction, (self._function, self.__name__, self._whole)

    def _use_first(self, call: Callable[[Any, Any], Any]) -> None:
        with self._lock:
            self._calls = (call, *(c for c in self._calls if c is not call))

    def _specialise(self, args: Any, kwargs: Any) -> Any:
        with self._lock:
            for call in self._calls:  # another thread may have compiled it meanwhile
                result = call(args, kwargs)
                if result is not MISS:
                    return result
            spec = self._compile(args, kwargs)
            if spec is None:
                return self._function(*args, **kwargs)
            self._specialisations += (spec,)
            self._calls = (spec.call, *self._calls)
        result = spec.call(args, kwargs)
        if result is MISS:
            raise RuntimeError(
                f"{self.__name__} changed while it was compiled: "
                f"{spec.dispatch.why_not(args, kwargs).words}"
            )
        return result

    def _compile(self, args: Any, kwargs: Any) -> Specialisation | None:
        """A specialisation for this call; None when it has to run eagerly."""
        from graphc.backends.c import CompilerNotFound

        reason = self._reason(args, kwargs)
        problem: object
        try:
            courses = sum(s.course is not None for s in self._specialisations)
            if len(self._specialisations) < LIMIT and courses < COURSES:
                spec = specialise(self._function, self.__name__, args, kwargs, reason, self._whole)
                self.receipts.append(spec.receipt)
                report(spec.receipt, spec.graph, spec.programs, len(self.receipts) - 1)
                return spec
            problem = (
                f"{self.__name__} was compiled {len(self.receipts)} times, and now again: {reason}"
            )
            self._eager = True
        except NeedsEager as error:
            if self._whole:
                raise
            problem = f"{self.__name__} cannot be compiled: {error}"
            self._eager = True
        except CompilerNotFound as error:
            problem = error
            self._eager = True
        except UnfinishedError:
            return None  # lazy modules take their shapes from an eager call
        except SharedMemory:
            problem = f"{self.__name__} writes memory that its inputs share without a common base"
        after = "from here on" if self._eager else "this time"
        warnings.warn(f"{problem}; {self.__name__} runs eagerly {after}", stacklevel=4)
        return None

    def _reason(self, args: Any, kwargs: Any) -> str:
        """Why no specialisation fits: what differs from the one that comes closest."""
        if not self._specialisations:
            return "first call"
        tree = flatten((args, kwargs))[1]
        alike = [s for s in reversed(self._specialisations) if s.tree == tree]
        if not alike:
            return "the arguments are nested in another way"
        closest = max((s.dispatch.why_not(args, kwargs) for s in alike), key=lambda d: d.agreement)
        courses = [s.course for s in reversed(alike) if s.course is not None]
        missed = next((c.missed for c in courses if c.missed), "something")
        return closest.words or f"{missed} changed"

    # ---------------------------------------------------------------------------------- inspection

    @property
    def stages(self) -> "list[Stages]":
        """Every stage of every specialisation, oldest first."""
        return [s.executable.stages for s in self._specialisations]

    def _latest(self) -> Specialisation:
        if not self._specialisations:
            raise RuntimeError(f"{self.__name__} has not been called yet, so nothing is compiled")
        return self._specialisations[-1]

    @property
    def ir(self) -> Stage:
        """The graphs of the latest specialisation: prints all stages; ``ir["trace"]`` one."""
        spec = self._latest()
        return all_stages(spec.graph, spec.programs)

    @property
    def source(self) -> Stage:
        """The generated C of the latest specialisation, by file name."""
        return all_sources(self._latest().programs)

    def dump(self, folder: str | Path) -> None:
        """Writes every stage of every specialisation below ``folder``, as ``GRAPHC_DUMP`` does."""
        for number, spec in enumerate(self._specialisations):
            place = Path(folder) / f"{self.__name__}_{number}"
            write_stages(place, spec.receipt, spec.graph, spec.programs)

    def explain(self) -> str:
        """Kernels of the latest specialisation: what was fused and why not more, bytes, flops."""
        return explanations(self._latest().programs)


_INSPECTION = frozenset({"dump", "explain", "ir", "receipts", "source", "stages"})

# What Python looks up in the class, where a compiled module's class has to have it too.
_OPERATORS = (
    "__getitem__", "__setitem__", "__delitem__", "__len__", "__iter__", "__contains__",
    "__reversed__",
)  # fmt: skip


class CompiledModule(Module):
    """A module whose calls run compiled; everything else about it is the original's."""

    def __new__(cls, module: Module, *_args: Any) -> Any:
        known = tuple(name for name in _OPERATORS if hasattr(type(module), name))
        return object.__new__(_with_operators(known) if known else cls)

    def __init__(self, module: Module, whole: bool = False) -> None:
        own = self.__dict__  # no tables or hooks: they are looked up in the original
        own["_orig_mod"] = module
        own["_compiled"] = CompiledFunction(module, type(module).__name__, whole)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._compiled(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._compiled(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        compiled = own.get("_compiled")
        if compiled is not None and name in _INSPECTION:
            return getattr(compiled, name)
        if "_orig_mod" in own:
            return getattr(own["_orig_mod"], name)
        raise AttributeError(name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._orig_mod, name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self._orig_mod), *_INSPECTION, "_orig_mod"})

    def __deepcopy__(self, memo: dict[int, Any]) -> "CompiledModule":
        return CompiledModule(copy.deepcopy(self._orig_mod, memo), self._compiled._whole)

    def __reduce__(self) -> tuple[Any, ...]:
        return CompiledModule, (self._orig_mod, self._compiled._whole)

    def __repr__(self) -> str:
        return f"CompiledModule(\n  {repr(self._orig_mod).replace(chr(10), chr(10) + '  ')}\n)"


def _passed_on(name: str) -> Any:
    """A method that is the original's, which a subclass may have written anew."""

    def method(self: CompiledModule, *args: Any, **kwargs: Any) -> Any:
        module = self._orig_mod
        result = getattr(module, name)(*args, **kwargs)
        return self if result is module else result

    method.__name__ = name
    return method


for _class in Module.__mro__[:-1]:
    for _name, _member in vars(_class).items():
        _written = callable(_member) and not _name.startswith("__")
        if _written and _name not in vars(CompiledModule):
            setattr(CompiledModule, _name, _passed_on(_name))


@functools.lru_cache(maxsize=64)
def _with_operators(names: tuple[str, ...]) -> type[CompiledModule]:
    """The class of compiled modules that can be indexed, or counted, or the like."""
    return type("CompiledModule", (CompiledModule,), {name: _passed_on(name) for name in names})


def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str = "c",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """A function or module that runs as generated C, with the meaning it has eagerly.

    Use it on a forward, a loss or a whole training step, also as a decorator. Each new kind of
    call (shapes, dtypes, modes, values read from outside) compiles once more; ``receipts`` tells
    of each. Where the function asks for a value (an ``if`` on a tensor, ``nonzero``) the program
    has segments, and compiles once more for each course it takes; with ``fullgraph`` that is a
    TraceError. ``dynamic``, ``mode`` and ``options`` are accepted for PyTorch's sake: a graph is
    always specialised on shapes. Raises ValueError for an unknown backend.
    """
    del dynamic, mode, options
    if backend not in ("c", "inductor"):
        raise ValueError(f"no backend named {backend!r}; graphc compiles to 'c'")
    if model is None:
        return functools.partial(compile, fullgraph=fullgraph, backend=backend, disable=disable)
    if disable:
        return model
    if isinstance(model, Module):
        return CompiledModule(model, fullgraph)
    return CompiledFunction(model, whole=fullgraph)
