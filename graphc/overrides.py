"""PyTorch's protocol for classes that behave like tensors, which graphc does not have.

Nothing is asked for ``__torch_function__``, and these functions answer accordingly.
"""

from collections.abc import Callable, Iterable
from typing import Any

from graphc.tensor import Tensor


def has_torch_function(args: Iterable[Any]) -> bool:
    """Whether an argument takes over the call: none does."""
    del args
    return False


def has_torch_function_unary(arg: Any) -> bool:
    """:func:`has_torch_function` of one argument."""
    del arg
    return False


def has_torch_function_variadic(*args: Any) -> bool:
    """:func:`has_torch_function` of several arguments."""
    del args
    return False


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """Calls the function itself, since no argument takes over."""
    del relevant_args
    return public_api(*args, **kwargs)


def is_tensor_like(inp: Any) -> bool:
    """Whether it is a tensor."""
    return isinstance(inp, Tensor)
