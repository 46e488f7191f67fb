"""One definition per public function, in all the places where PyTorch has it.

``@tensor_function`` makes ``graphc.f``; with ``method`` also ``Tensor.f``; with ``inplace`` also
``Tensor.f_``; with ``out`` a keyword ``out=``. Nothing is written twice.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from graphc import dtypes
from graphc.autocasting import POLICIES, called
from graphc.errors import TraceError, located
from graphc.functions.called import NAMES, name_gradients
from graphc.functions.promotion import cast
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tape import Storage
from graphc.tensor import Tensor, apply

F = TypeVar("F", bound=Callable[..., Any])

FUNCTIONS: dict[str, Callable[..., Any]] = {}


def tensor_function(
    function: F | None = None,
    *,
    name: str | None = None,
    method: bool = True,
    inplace: bool = False,
    out: bool = False,
    aliases: tuple[str, ...] = (),
    public: bool = True,
) -> Any:
    """Registers a function under its name and aliases; see the module's text for the flags."""
    if function is None:
        return functools.partial(
            tensor_function,
            name=name,
            method=method,
            inplace=inplace,
            out=out,
            aliases=aliases,
            public=public,
        )
    complete = locating(function, name or function.__name__, out)
    for each in (name or function.__name__, *aliases):
        if public:
            FUNCTIONS[each] = complete
        if method:
            setattr(Tensor, each, complete)
        if inplace:
            setattr(Tensor, f"{each}_", locating(_in_place(function, each), f"{each}_"))
    return complete


# NumPy's names of arguments, which PyTorch takes for its own.
_NUMPY = {
    "axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "x2": "other",
}  # fmt: skip


@functools.cache
def _numpy_names(function: Callable[..., Any]) -> dict[str, str]:
    """Which of NumPy's names stand for arguments of this function."""
    code = inspect.unwrap(function).__code__
    own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return {alias: name for alias, name in _NUMPY.items() if name in own and alias not in own}


def locating(function: Callable[..., Any], name: str, out: bool = False) -> Callable[..., Any]:
    """The function; what it refuses names it, its tensors and the user's line.

    ``out`` adds the argument of that name, which the results are written into.
    """
    naming = NAMES.get(name)
    policy = POLICIES.get(name)
    inplace = name.endswith("_")
    inner = _with_out(function) if out else function

    @functools.wraps(function)
    def with_place(*args: Any, **kwargs: Any) -> Any:
        if policy is not None and MODES.autocast is not None:
            return called(policy, with_place, args, kwargs)
        try:
            if kwargs:
                if not _NUMPY.keys().isdisjoint(kwargs):
                    for alias, argument in _numpy_names(function).items():
                        if alias in kwargs and argument not in kwargs:
                            kwargs[argument] = kwargs.pop(alias)
                result = inner(*args, **kwargs)
            else:
                result = function(*args)
        except TraceError:
            raise  # these speak of a line already
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            given = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
            located(error, name, *given)
            raise
        if naming is not None and MODES.grad:
            name_gradients(naming, args, kwargs, result, inplace)
        return result

    if policy is not None:
        with_place.autocasts = True  # type: ignore[attr-defined]
    return with_place


def _with_out(function: Callable[..., Any]) -> Callable[..., Any]:
    def with_out(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if out is None:
            return result
        if isinstance(out, (tuple, list)):
            parts = zip(out, result, strict=True)
            written = tuple(write_out(t, part, function.__name__) for t, part in parts)
            return result._make(written) if hasattr(result, "_make") else written
        return write_out(out, result, function.__name__)

    return with_out


def _in_place(function: Callable[..., Any], name: str) -> Callable[..., Tensor]:
    @functools.wraps(function)
    def in_place(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return assign(self, function(self, *args, **kwargs), name)

    in_place.__name__ = f"{name}_"
    in_place.__doc__ = f"In-place version of :func:`{name}`."
    return in_place


def assign(target: Tensor, result: Tensor, name: str) -> Tensor:
    """Writes a result into a tensor, cast and broadcast as in-place operations allow.

    Raises RuntimeError when the result's dtype category or shape does not fit.
    """
    _keep_operands(result, target)
    if result._type is target._type:
        return target._write(result)
    if result.dtype is not target.dtype:
        if not dtypes.can_cast(result.dtype, target.dtype):
            raise RuntimeError(
                f"result type {result.dtype} can't be cast to the desired output type "
                f"{target.dtype} ({name}_)"
            )
        result = cast(result, target.dtype)
    return target._write(fitted(result, target, f"{name}_"))


def _keep_operands(result: Tensor, target: Tensor) -> None:
    """Values of the target that the gradient of this very operation reads outlive the write."""
    node = result._node
    if node is None:
        return
    storage = target._here()._storage
    for saved in node.saved:
        if saved is not None and saved.storage is storage:
            if isinstance(saved.value, np.ndarray):
                saved.value = saved.value.copy()
            saved.storage = Storage()
            saved.version = 0


def fitted(result: Tensor, target: Tensor, name: str) -> Tensor:
    """The result broadcast to the shape of the tensor it will be written into."""
    shape = target._type.shape
    if result._type.shape == shape:
        return result
    lead = len(shape) - result.ndim
    fits = lead >= 0 and all(
        size in (1, shape[lead + i]) for i, size in enumerate(result._type.shape)
    )
    if not fits:
        raise RuntimeError(
            f"output with shape {list(shape)} doesn't match the broadcast shape "
            f"{list(result._type.shape)} ({name})"
        )
    if lead:
        result = apply(
            OPS["reshape"], (result,), {"shape": (1,) * lead + tuple(result._type.shape)}
        )
    return apply(OPS["expand"], (result,), {"shape": shape})


def write_out(out: Tensor, result: Tensor, name: str) -> Tensor:
    """Writes a result into ``out=``; an ``out`` of another shape is resized as PyTorch does."""
    if not dtypes.can_cast(result.dtype, out.dtype):
        raise RuntimeError(
            f"result type {result.dtype} can't be cast to the desired output type {out.dtype} "
            f"({name} with out=)"
        )
    if out._type.shape != result._type.shape:
        out._refuse_repeats()
        out.resize_(*result.shape)  # type: ignore[attr-defined]
    return out._write(cast(result, out.dtype))
