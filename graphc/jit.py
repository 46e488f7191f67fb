"""PyTorch's older names for compiling: ``script`` and ``trace`` are ``graphc.compile``.

There is no second language: what ``script`` takes is Python, and what it gives runs as a compiled
function. Programs are not saved; a state_dict and the class are.
"""

from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

from graphc.compiler.function import CompiledFunction, CompiledModule, compile
from graphc.modes import is_compiling, no_grad
from graphc.nn.module import Module

F = TypeVar("F")

ScriptModule = CompiledModule
ScriptFunction = CompiledFunction

__all__ = [
    "Final",
    "ScriptFunction",
    "ScriptModule",
    "annotate",
    "export",
    "freeze",
    "ignore",
    "is_scripting",
    "is_tracing",
    "isinstance",
    "load",
    "optimize_for_inference",
    "save",
    "script",
    "script_method",
    "trace",
    "trace_module",
    "unused",
]

_isinstance = isinstance


def script(obj: Any, *_args: Any, **_kwargs: Any) -> Any:
    """``graphc.compile(obj)`` for a function or a module; classes are given back as they are."""
    if _isinstance(obj, (type, CompiledFunction, CompiledModule)):
        return obj
    return compile(obj)


def script_method(fn: F) -> F:
    """A method that is compiled along with its module."""
    return fn


def trace(
    func: Callable[..., Any],
    example_inputs: Any = None,
    *_args: Any,
    example_kwarg_inputs: dict[str, Any] | None = None,
    **_kwargs: Any,
) -> Any:
    """``graphc.compile(func)``, called once with the example.

    The program is not limited to what the example did: other shapes and other values that the
    function asks for compile once more. Raises what the call raises.
    """
    made = script(func)
    if example_inputs is None and example_kwarg_inputs is None:
        raise RuntimeError("trace() needs example_inputs or example_kwarg_inputs")
    args = () if example_inputs is None else example_inputs
    with no_grad():
        made(*(args if _isinstance(args, (tuple, list)) else (args,)), **example_kwarg_inputs or {})
    return made


def trace_module(mod: Module, inputs: dict[str, Any], *_args: Any, **_kwargs: Any) -> Any:
    """:func:`trace` of a module's ``forward``; other methods stay as they are."""
    return trace(mod, inputs["forward"]) if "forward" in inputs else script(mod)


def ignore(fn: Any = None, drop: bool = False, **_kwargs: Any) -> Any:
    """A decorator that changes nothing: there is nothing that Python code could not say."""
    del drop
    return fn if callable(fn) else lambda function: function


def unused(fn: F) -> F:
    """A decorator that changes nothing."""
    return fn


def export(fn: F) -> F:
    """A decorator that changes nothing."""
    return fn


def freeze(mod: F, *_args: Any, **_kwargs: Any) -> F:
    """The module as it is: parameters are inputs of its program."""
    return mod


def optimize_for_inference(mod: F, *_args: Any, **_kwargs: Any) -> F:
    """The module as it is: it has been optimised."""
    return mod


def annotate(the_type: Any, the_value: F) -> F:
    """The value; its type is Python's affair."""
    del the_type
    return the_value


def isinstance(obj: Any, target_type: Any) -> bool:
    """Python's ``isinstance``."""
    return _isinstance(obj, target_type)


def is_scripting() -> bool:
    """Whether a program is made from source text: never."""
    return False


def is_tracing() -> bool:
    """Whether a function is being traced."""
    return is_compiling()


def _refuse(name: str) -> NoReturn:
    raise RuntimeError(
        f"jit.{name}: compiled programs are not saved, and PyTorch's TorchScript files cannot be "
        "run. Save model.state_dict() with graphc.save, load it into the model's class, and "
        "compile that; compiled objects are kept in a cache, so it is quick the second time"
    )


def save(m: Any, f: Any, _extra_files: Any = None) -> None:
    """Programs are not saved. Raises RuntimeError."""
    del m, f, _extra_files
    _refuse("save")


def load(f: Any, map_location: Any = None, _extra_files: Any = None) -> Any:
    """Programs are not loaded. Raises RuntimeError."""
    del f, map_location, _extra_files
    _refuse("load")
