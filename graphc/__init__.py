"""graphc: tensors with PyTorch's names, a graph you can read, and generated C that runs it."""

import math
from importlib import import_module
from typing import TYPE_CHECKING, Any

from graphc import (
    amp,
    autograd,
    dtypes,
    func,
    functions,
    interchange,
    linalg,
    nn,
    random,
    return_types,
    settings,
    special,
    storage,
    testing,
    types,
    version,
)
from graphc.activations import (
    celu,
    celu_,
    prelu,
    relu_,
    rrelu,
    rrelu_,
    selu,
    selu_,
    threshold,
    threshold_,
)
from graphc.amp import autocast
from graphc.autograd import is_anomaly_check_nan_enabled, is_anomaly_enabled
from graphc.config import get_num_threads, set_num_threads
from graphc.control import scan
from graphc.device import device
from graphc.dtypes import (
    bfloat16,
    bool,
    can_cast,
    double,
    dtype,
    finfo,
    float,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    iinfo,
    int,
    int8,
    int16,
    int32,
    int64,
    long,
    promote_types,
    result_type,
    set_default_dtype,
    short,
    uint8,
)
from graphc.errors import unknown_name
from graphc.func import vmap
from graphc.generator import Generator, default_generator
from graphc.layouts import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    layout,
    memory_format,
    preserve_format,
    strided,
)
from graphc.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from graphc.nn.functional.recurrent import gru_cell, lstm_cell, rnn_relu_cell, rnn_tanh_cell
from graphc.printing import get_printoptions, printoptions, set_printoptions
from graphc.storage import TypedStorage, UntypedStorage
from graphc.tensor import Size, Tensor

__version__ = version.__version__

globals().update(functions.FUNCTIONS)
globals().update(amp.autocast_mode.SETTINGS)
globals().update({name: getattr(settings, name) for name in settings.__all__})

inf, nan, pi, e = math.inf, math.nan, math.pi, math.e
newaxis = None

# What is loaded when it is first asked for, and the modules it is found in. A module that stands
# for itself is its own name.
_LATER = {
    "OutOfMemoryError": "cuda",
    "compile": "compiler.function",
    "install_as_torch": "as_torch",
    "load": "serialization",
    "save": "serialization",
    "uninstall_as_torch": "as_torch",
}
_MODULES = frozenset(
    """accelerator backends compiler cuda distributed distributions hub inspect jit mps
    multiprocessing optim overrides profiler serialization utils xpu""".split()
)

__all__ = sorted(
    {name for name in globals() if not name.startswith("_")} | set(_LATER) | set(_MODULES)
)

if TYPE_CHECKING:
    from graphc import (
        accelerator,
        backends,
        compiler,
        cuda,
        distributed,
        distributions,
        hub,
        inspect,
        jit,
        mps,
        multiprocessing,
        optim,
        overrides,
        profiler,
        serialization,
        utils,
        xpu,
    )
    from graphc.as_torch import install_as_torch, uninstall_as_torch
    from graphc.compiler.function import compile
    from graphc.cuda import OutOfMemoryError
    from graphc.serialization import load, save


def _compile_module(self: nn.Module, *args: Any, **kwargs: Any) -> None:
    """Makes the calls of this module run compiled from now on; takes what ``compile`` takes."""
    compiled = __getattr__("compile")
    self._compiled_call_impl = compiled(self._call_impl, *args, **kwargs)


nn.Module.compile = _compile_module  # type: ignore[attr-defined]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"graphc.{name}")
    if name in _LATER:
        found = globals()[name] = getattr(import_module(f"graphc.{_LATER[name]}"), name)
        return found
    raise unknown_name("module 'graphc'", name, __all__)


def __dir__() -> list[str]:
    return __all__
