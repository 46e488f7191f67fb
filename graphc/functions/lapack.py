"""What the functions of linear algebra have in common: arguments, results, info codes.

Matrices are put together by the same helpers as in the gradients of the rows
(:mod:`graphc.ops.linalg.matrices`), which work on tensors as they work on nodes.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from graphc import dtypes
from graphc.functions.registry import tensor_function
from graphc.ops.linalg.matrices import constant
from graphc.ops.rules import row
from graphc.tensor import Tensor


def lapack_function(
    name: str,
    *,
    tensors: int = 1,
    out: bool = False,
    method: bool = False,
    public: bool = False,
) -> Callable[[Callable[..., Any]], Any]:
    """A public function whose first ``tensors`` arguments are tensors.

    ``name`` is the one in errors: ``linalg_svd`` is ``graphc.linalg.svd``, and ``svd`` (``public``)
    ``graphc.svd``.
    """

    def register(function: Callable[..., Any]) -> Any:
        complete = _with_tensors(function, name, tensors)
        return tensor_function(complete, name=name, method=method, out=out, public=public)

    return register


def _with_tensors(function: Callable[..., Any], name: str, count: int) -> Callable[..., Any]:
    """Refuses anything else in the first arguments, as PyTorch words it."""
    names = tuple(inspect.signature(function).parameters)[:count]

    @functools.wraps(function)
    def with_tensors(*args: Any, **kwargs: Any) -> Any:
        for i, argument in enumerate(names):
            value = args[i] if i < len(args) else kwargs.get(argument)
            if (i < len(args) or argument in kwargs) and not isinstance(value, Tensor):
                place = f" (position {i + 1})" if i < len(args) else ""
                raise TypeError(
                    f"{name}(): argument {argument!r}{place} must be Tensor, not "
                    f"{type(value).__name__}"
                )
        return function(*args, **kwargs)

    return with_tensors


def word(name: str, argument: str, value: Any) -> str:
    """A string argument. Raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"{name}(): argument {argument!r} must be str, not {type(value).__name__}")
    return value


def own(x: Any) -> Any:
    """A part of a packed result as a tensor of its own."""
    return row.clone(x)


def first_true(mask: Any) -> Any:
    """The position of the first true element of the last dimension, from 1, as int32; 0 if none."""
    lead, n = tuple(mask.shape[:-1]), mask.shape[-1]
    if n == 0:
        return constant(mask, lead, 0, dtypes.int32)
    dims = (len(lead),)
    place = row.argmax(row.cast(mask, dtype=dtypes.int32), dims=dims, keepdim=False)
    found = row.any(mask, dims=dims, keepdim=False)
    return row.cast(row.where(found, row.add(place, 1), 0), dtype=dtypes.int32)


def no_info(x: Tensor) -> Any:
    """Info codes of matrices none of which failed."""
    return constant(x, tuple(x.shape[:-2]), 0, dtypes.int32)


def ones_where(mask: Any, like: Tensor) -> Any:
    """A mask as a matrix of the dtype of ``like``."""
    return row.cast(mask, dtype=like.dtype)
