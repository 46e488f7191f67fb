"""The older place of ``functional_call``: prefer :func:`graphc.func.functional_call`."""

import warnings
from typing import Any

from graphc.nn.module import Module
from graphc.tensor import Tensor

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``graphc.func.functional_call`` with one dict."""
    from graphc.func.modules import functional_call as call  # it needs graphc.nn itself

    warnings.warn(
        "graphc.nn.utils.stateless.functional_call is deprecated; please use "
        "graphc.func.functional_call",
        FutureWarning,
        stacklevel=2,
    )
    return call(
        module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict
    )
