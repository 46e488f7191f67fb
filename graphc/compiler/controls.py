"""What programs ask of a compiler, under the names of ``torch.compiler``."""

from collections.abc import Callable
from typing import Any, TypeVar

from graphc.compiler.function import CompiledFunction, compile, known_functions
from graphc.modes import is_compiling
from graphc.profiler.recording import watch

F = TypeVar("F", bound=Callable[..., Any])

__all__ = [
    "allow_in_graph",
    "assume_constant_result",
    "compile",
    "cudagraph_mark_step_begin",
    "disable",
    "is_compiling",
    "is_dynamo_compiling",
    "is_exporting",
    "list_backends",
    "reset",
]


# In profiles, calls of compiled functions have their names.
watch(CompiledFunction.__call__, lambda given: f"compiled {given['self'].__name__}")


def reset() -> None:
    """Lets every compiled function forget its programs: the next call compiles again."""
    for function in known_functions():
        function.forget()


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """The function as it is, also as a decorator with arguments.

    Called by itself it is eager. Called by a compiled function it is traced along with it: values
    that it asks for divide the program into parts, so that the results are those of eager code.
    """
    del recursive, reason
    return (lambda function: function) if fn is None else fn


def allow_in_graph(fn: F) -> F:
    """The function as it is: tracing goes into everything."""
    return fn


def assume_constant_result(fn: F) -> F:
    """The function as it is: Python values are constants of a program in any case."""
    return fn


def is_dynamo_compiling() -> bool:
    """Whether operations become a compiled graph."""
    return is_compiling()


def is_exporting() -> bool:
    """Whether a program is being exported: never."""
    return False


def cudagraph_mark_step_begin() -> None:
    """Marks an iteration for CUDA graphs, of which there are none."""


def list_backends(exclude_tags: Any = ()) -> list[str]:
    """What ``graphc.compile(backend=...)`` takes."""
    del exclude_tags
    return ["c", "inductor"]
