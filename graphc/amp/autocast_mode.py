"""``autocast``: a region in which operations choose their precision (see graphc.autocasting)."""

import functools
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.autocasting import STATE, eligible, forget_casts, settle
from graphc.dtypes import dtype as DType
from graphc.tensor import Tensor

_SUPPORTED = (dtypes.bfloat16, dtypes.float16)


def is_autocast_available(device_type: str) -> bool:
    """Whether there are regions for devices of a type: for ``cpu`` and ``cuda``."""
    return _known(device_type) in STATE.enabled


def _known(device_type: Any) -> str:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    return device_type


def _checked(device_type: Any) -> str:
    if not is_autocast_available(device_type):
        raise RuntimeError(
            f"User specified an unsupported autocast device_type '{device_type}'; there are "
            + " and ".join(map(repr, STATE.enabled))
        )
    return device_type  # type: ignore[no-any-return]


class autocast:  # noqa: N801 - PyTorch's name
    """A region, by ``with`` or as a decorator, where operations compute in a lower precision.

    Products and convolutions compute in ``dtype`` (bfloat16 on the CPU unless told otherwise, or
    float16), losses and other sensitive functions in float32, the rest in what they are given. A
    parameter is cast once in a region unless ``cache_enabled=False``. ``enabled=False`` makes a
    region of ordinary precision inside another. Regions for ``cuda`` are disabled, with a warning.

    Raises RuntimeError for other types of device, ValueError for what is no string.
    """

    def __init__(
        self,
        device_type: str,
        dtype: DType | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        self.device = _checked(device_type)
        self.fast_dtype = STATE.dtype[device_type] if dtype is None else dtype
        self._cache_enabled = STATE.caches if cache_enabled is None else cache_enabled
        if enabled and device_type == "cuda":
            warnings.warn("CUDA is not available. Disabling autocast.", stacklevel=2)
            enabled = False
        elif enabled and self.fast_dtype not in _SUPPORTED:
            warnings.warn(
                f"In {device_type.upper()} autocast, but the target dtype is not supported. "
                f"Disabling autocast.\n{device_type.upper()} Autocast only supports dtypes of "
                f"{', '.join(map(str, _SUPPORTED))} currently.",
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled
        self._before: list[tuple[bool, DType, bool]] = []

    def __enter__(self) -> "autocast":
        kind = self.device
        self._before.append((STATE.enabled[kind], STATE.dtype[kind], STATE.caches))
        STATE.nesting += 1
        self._set(self._enabled, self.fast_dtype, self._cache_enabled)
        return self

    def __exit__(self, *_exc: object) -> None:
        STATE.nesting -= 1
        if STATE.nesting == 0:
            forget_casts()
        self._set(*self._before.pop())

    def _set(self, enabled: bool, dtype: DType, caches: bool) -> None:
        STATE.enabled[self.device] = enabled
        STATE.dtype[self.device] = dtype
        STATE.caches = caches
        settle()

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(func):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(func).__name__}. Did you "
                "mean to use autocast as a context manager? For example:\n"
                "    with graphc.autocast(device_type=...):\n        output = model(input)"
            )

        @functools.wraps(func)
        def decorated(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return decorated


# ---------------------------------------------------------------------------------- the settings


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether the thread is in an enabled region for a type of device."""
    return STATE.enabled[_checked(device_type)]


def set_autocast_enabled(*args: Any) -> None:
    """``set_autocast_enabled(device_type, enabled)``; without a type it is ``cuda``."""
    device_type, enabled = args if len(args) == 2 else ("cuda", *args)
    STATE.enabled[_checked(device_type)] = bool(enabled)
    settle()


def get_autocast_dtype(device_type: str) -> DType:
    """The dtype of regions for a type of device."""
    return STATE.dtype[_checked(device_type)]


def set_autocast_dtype(device_type: str, dtype: DType) -> None:
    """Sets the dtype of regions for a type of device."""
    STATE.dtype[_checked(device_type)] = dtype
    settle()


def is_autocast_cache_enabled() -> bool:
    """Whether regions cast a parameter only once."""
    return STATE.caches


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Sets whether regions cast a parameter only once."""
    STATE.caches = bool(enabled)
    settle()


def clear_autocast_cache() -> None:
    """Forgets the casts of parameters, as the end of the outermost region does."""
    forget_casts()


def is_autocast_cpu_enabled() -> bool:
    """``is_autocast_enabled("cpu")``."""
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """``set_autocast_enabled("cpu", enabled)``."""
    set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> DType:
    """``get_autocast_dtype("cpu")``."""
    return get_autocast_dtype("cpu")


def get_autocast_gpu_dtype() -> DType:
    """``get_autocast_dtype("cuda")``."""
    return get_autocast_dtype("cuda")


def set_autocast_cpu_dtype(dtype: DType) -> None:
    """``set_autocast_dtype("cpu", dtype)``."""
    set_autocast_dtype("cpu", dtype)


def set_autocast_gpu_dtype(dtype: DType) -> None:
    """``set_autocast_dtype("cuda", dtype)``."""
    set_autocast_dtype("cuda", dtype)


SETTINGS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        is_autocast_enabled,
        set_autocast_enabled,
        get_autocast_dtype,
        set_autocast_dtype,
        is_autocast_cache_enabled,
        set_autocast_cache_enabled,
        clear_autocast_cache,
        is_autocast_cpu_enabled,
        set_autocast_cpu_enabled,
        get_autocast_cpu_dtype,
        get_autocast_gpu_dtype,
        set_autocast_cpu_dtype,
        set_autocast_gpu_dtype,
    )
}  # what PyTorch has beside ``autocast`` at the top


# --------------------------------------------------------------------------- autograd.Function


def _cast(value: Any, dtype: DType) -> Any:
    """Tensors of floating point (except float64) in a dtype, also inside containers."""
    if isinstance(value, Tensor):
        return value.to(dtype) if eligible(value) else value
    if isinstance(value, (str, bytes, np.ndarray)):
        return value
    if isinstance(value, Mapping):
        return {_cast(k, dtype): _cast(v, dtype) for k, v in value.items()}
    if isinstance(value, Iterable):
        parts = (_cast(x, dtype) for x in value)
        return type(value)(parts) if isinstance(value, (list, tuple)) else parts
    return value


def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: DType | None = None
) -> Any:
    """A decorator for ``forward`` of an ``autograd.Function``.

    With ``cast_inputs``, tensors come in that dtype when called inside a region, and the rest runs
    as outside of one. The context remembers the region for :func:`custom_bwd`.
    """
    _known(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    forward = fwd

    @functools.wraps(forward)
    def with_region(*args: Any, **kwargs: Any) -> Any:
        ctx, inside = args[0], is_autocast_enabled(device_type)
        ctx._dtype = get_autocast_dtype(device_type)
        ctx._fwd_used_autocast = inside and cast_inputs is None
        if cast_inputs is None or not inside:
            return forward(*args, **kwargs)
        with autocast(device_type, enabled=False):
            return forward(ctx, *_cast(args[1:], cast_inputs), **_cast(kwargs, cast_inputs))

    return with_region


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Any:
    """A decorator for ``backward`` of an ``autograd.Function``: it runs in the forward's region."""
    _known(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)
    backward = bwd

    @functools.wraps(backward)
    def with_region(*args: Any, **kwargs: Any) -> Any:
        ctx = args[0]
        with autocast(device_type, ctx._dtype, ctx._fwd_used_autocast):
            return backward(*args, **kwargs)

    return with_region
