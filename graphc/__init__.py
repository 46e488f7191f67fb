"""graphc: tensors with PyTorch's names, a graph you can read, and generated C that runs it."""

import math as _math
import typing as _typing
from importlib import import_module as _import_module

from graphc import autograd, functions, interchange, settings, version
from graphc import tracing as _tracing
from graphc.autograd import is_anomaly_check_nan_enabled, is_anomaly_enabled
from graphc.config import get_num_threads, set_num_threads
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
from graphc.generator import Generator, default_generator
from graphc.later import loading as _loading
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
from graphc.printing import get_printoptions, printoptions, set_printoptions
from graphc.storage import TypedStorage, UntypedStorage
from graphc.tensor import Size, Tensor

__version__ = version.__version__

globals().update(functions.FUNCTIONS)
globals().update({name: getattr(settings, name) for name in settings.__all__})

inf, nan, pi, e = _math.inf, _math.nan, _math.pi, _math.e
newaxis = None

# The modules that programs see as attributes; those that tensors do not need are loaded when they
# are first asked for.
_MODULES = frozenset(
    """accelerator amp autograd backends compiler cuda distributed distributions dtypes func
    functions hub inspect interchange jit linalg mps multiprocessing nn optim overrides profiler
    random return_types serialization settings special storage testing types utils version
    xpu""".split()
)

# So are these names, from the modules that have them.
_LATER = {
    name: module
    for module, names in {
        "activations": "celu celu_ relu_ rrelu rrelu_ selu selu_ threshold threshold_",
        "amp": "autocast",
        "amp.autocast_mode": """clear_autocast_cache get_autocast_cpu_dtype get_autocast_dtype
            get_autocast_gpu_dtype is_autocast_cache_enabled is_autocast_cpu_enabled
            is_autocast_enabled set_autocast_cache_enabled set_autocast_cpu_dtype
            set_autocast_cpu_enabled set_autocast_dtype set_autocast_enabled
            set_autocast_gpu_dtype""",
        "as_torch": "install_as_torch uninstall_as_torch",
        "compiler.function": "compile",
        "control": "scan",
        "cuda": "OutOfMemoryError",
        "func": "vmap",
        "nn.functional.recurrent": "gru_cell lstm_cell rnn_relu_cell rnn_tanh_cell",
        "serialization": "load save",
    }.items()
    for name in names.split()
}

# And these, which nn.functional registers as public functions.
_OF_NETWORKS = frozenset(
    """adaptive_avg_pool1d adaptive_max_pool1d affine_grid_generator avg_pool1d batch_norm bilinear
    channel_shuffle constant_pad_nd conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d
    conv_transpose3d cosine_similarity dropout grid_sampler grid_sampler_2d grid_sampler_3d
    group_norm instance_norm layer_norm max_pool1d max_pool1d_with_indices max_pool2d max_pool3d
    native_channel_shuffle pairwise_distance pixel_shuffle pixel_unshuffle rms_norm
    scaled_dot_product_attention""".split()
)

__all__ = sorted(
    {
        name
        for name, value in globals().items()
        if not name.startswith("_") and not isinstance(value, type(_math))
    }
    | {*_MODULES, *_LATER, *_OF_NETWORKS}
)

_load = _loading(__name__, _MODULES, _LATER, __all__)


def _compile(function: _typing.Any, *args: _typing.Any, **kwargs: _typing.Any) -> _typing.Any:
    """``graphc.compile``, which is not loaded before it is called."""
    return __getattr__("compile")(function, *args, **kwargs)


_tracing.compile_function = _compile

if _typing.TYPE_CHECKING:
    from graphc import (
        accelerator,
        amp,
        backends,
        compiler,
        cuda,
        distributed,
        distributions,
        dtypes,
        func,
        hub,
        inspect,
        jit,
        linalg,
        mps,
        multiprocessing,
        nn,
        optim,
        overrides,
        profiler,
        random,
        return_types,
        serialization,
        special,
        storage,
        testing,
        types,
        utils,
        xpu,
    )
    from graphc.activations import (
        celu,
        celu_,
        relu_,
        rrelu,
        rrelu_,
        selu,
        selu_,
        threshold,
        threshold_,
    )
    from graphc.amp import autocast
    from graphc.as_torch import install_as_torch, uninstall_as_torch
    from graphc.compiler.function import compile
    from graphc.control import scan
    from graphc.cuda import OutOfMemoryError
    from graphc.func import vmap
    from graphc.nn.functional.recurrent import gru_cell, lstm_cell, rnn_relu_cell, rnn_tanh_cell
    from graphc.serialization import load, save


def __getattr__(name: str) -> _typing.Any:
    if name in _OF_NETWORKS:
        _import_module("graphc.nn.functional")
        found = globals()[name] = functions.FUNCTIONS[name]
        return found
    return _load(name)


def __dir__() -> list[str]:
    return __all__
