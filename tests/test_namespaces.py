"""Small namespaces that programs touch: settings, versions, GPUs that are not there, old names."""

import os
import pickle
import subprocess
import sys

import pytest

import graphc
import graphc.backends.cudnn as cudnn

# ------------------------------------------------------------------------------------------- GPUs

ANSWERS = {
    "is_available": False, "device_count": 0, "is_initialized": False, "is_bf16_supported": False,
    "memory_allocated": 0, "max_memory_allocated": 0, "memory_reserved": 0,
    "max_memory_reserved": 0, "get_arch_list": [], "empty_cache": None, "seed_all": None,
    "reset_peak_memory_stats": None, "get_rng_state_all": [], "memory_stats": {},
}  # fmt: skip
REFUSED = (
    "current_device", "synchronize", "current_stream", "get_device_name", "Stream", "Event",
    "get_device_properties", "get_device_capability", "mem_get_info", "init", "memory_summary",
)  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_what_programs_ask_before_they_use_a_gpu(name):
    assert getattr(graphc.cuda, name)() == ANSWERS[name]


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", [RuntimeError, AssertionError])
def test_what_needs_a_gpu_says_so(name, kind):
    with pytest.raises(kind, match=f"graphc.cuda.{name} needs a GPU"):
        getattr(graphc.cuda, name)()


def test_choosing_a_gpu():
    graphc.cuda.set_device(-1)
    graphc.cuda.manual_seed_all(0)
    with graphc.cuda.device(None), graphc.cuda.device(-1), graphc.cuda.device("cpu"):
        pass
    with graphc.cuda.device_of(graphc.ones(1)), graphc.cuda.stream(None):
        pass
    for refused in (
        lambda: graphc.cuda.set_device(0),
        lambda: graphc.cuda.set_device("cuda:1"),
        lambda: graphc.cuda.device(0).__enter__(),
        lambda: graphc.cuda.device(graphc.device("cuda")).__enter__(),
    ):
        with pytest.raises(graphc.cuda.NoGPUError):
            refused()
    assert issubclass(graphc.cuda.OutOfMemoryError, RuntimeError)
    assert graphc.OutOfMemoryError is graphc.cuda.OutOfMemoryError


# --------------------------------------------------------------------------------------- settings


def test_switches_remember():
    backends = graphc.backends
    assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == (True, False, False)
    try:
        backends.cudnn.benchmark = True
        assert cudnn.benchmark
        with cudnn.flags(enabled=False, deterministic=True):
            assert (cudnn.enabled, cudnn.deterministic, cudnn.benchmark) == (False, True, False)
        assert (cudnn.enabled, cudnn.deterministic, cudnn.benchmark) == (True, False, True)
        before = cudnn.set_flags(_deterministic=True)
        assert before[3] is False and cudnn.deterministic
    finally:
        cudnn.benchmark = cudnn.deterministic = False
    try:
        backends.cuda.matmul.allow_tf32 = True
        assert backends.cuda.matmul.allow_tf32
    finally:
        backends.cuda.matmul.allow_tf32 = False
    with pytest.raises(AttributeError, match="Unknown attribute allow_tf33"):
        backends.cuda.matmul.allow_tf33 = True
    with backends.cuda.sdp_kernel(enable_flash=False):
        assert not backends.cuda.flash_sdp_enabled() and backends.cuda.math_sdp_enabled()
    assert backends.cuda.flash_sdp_enabled()
    with backends.mkldnn.flags(enabled=False):
        assert not backends.mkldnn.enabled
    assert backends.mkldnn.enabled


def test_what_is_there():
    backends = graphc.backends
    found = [backends.mps.is_available(), backends.mps.is_built(), backends.cuda.is_built(),
             cudnn.is_available(), cudnn.is_acceptable(graphc.ones(1)), backends.mkl.is_available(),
             backends.mkldnn.is_available(), backends.openmp.is_available(),
             backends.opt_einsum.is_available()]  # fmt: skip
    assert found == [False] * len(found)
    assert cudnn.version() is None
    assert backends.cpu.get_cpu_capability() in ("AVX512", "AVX2", "NEON", "DEFAULT")


def loaded_by(code):
    command = [sys.executable, "-c", f"import sys, graphc; {code}; print(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return set(done.stdout.split())


def test_switches_load_no_compiler():
    loaded = loaded_by("graphc.backends.cudnn.benchmark")
    assert "graphc.backends.cudnn" in loaded
    assert not {"graphc.backends.c", "cffi", "jinja2"} & loaded


OWN_LATER = """amp autograd.function autograd.functional autograd.profiler backends codegen compiler
    control cuda distributions func kernel lowering nn optim passes profiler serialization testing
    utils""".split()
OTHERS_LATER = """bz2 cffi difflib hashlib jinja2 json multiprocessing numpy.random pathlib scipy
    shutil socket statistics tempfile torch unicodedata urllib""".split()


def test_what_is_not_asked_for_is_not_loaded():
    """Importing graphc is quick, for it loads what tensors need and no more."""
    loaded = loaded_by("graphc.ones(2).requires_grad_().sum().backward()")
    inside = {name.rpartition(".")[0] for name in loaded}
    later = {*OTHERS_LATER, *(f"graphc.{name}" for name in OWN_LATER)}
    assert not later & (loaded | inside)
    assert {"graphc.optim", "graphc.optim.lr_scheduler"} <= loaded_by("graphc.optim.SGD")
    assert "graphc.compiler.function" in loaded_by("graphc.compile")


LATE = {
    "graphc.nn.Linear(2, 3)": "graphc.nn.modules.linear",
    "import graphc.nn as nn; nn.functional.relu": "graphc.nn.functional.activation",
    "from graphc import nn; nn.Linear(2, 3).compile()": "graphc.compiler.function",
    "from graphc.nn.functional import conv2d; assert graphc.conv2d": "graphc.nn.functional.linear",
    "graphc.layer_norm(graphc.ones(2), (2,))": "graphc.nn.functional.normalization",
    "graphc.gru_cell, graphc.celu_": "graphc.nn.functional.recurrent",
    "graphc.vmap(graphc.sin)(graphc.ones(2))": "graphc.func.mapping",
    "from graphc.func import functional_call": "graphc.func.modules",
    "graphc.autocast('cpu').__enter__()": "graphc.amp.autocast_mode",
    "graphc.scan": "graphc.control",
    "graphc.autograd.Function, graphc.autograd.forward_ad": "graphc.autograd.application",
    "from graphc import *; conv2d, autocast, nn.Module, load": "graphc.serialization",
}


@pytest.mark.parametrize("code", LATE)
def test_what_is_asked_for_is_loaded(code):
    assert LATE[code] in loaded_by(code)


def test_all_names_are_there():
    missing = "[n for n in graphc.__all__ if not hasattr(graphc, n)]"
    networks = "set(functions.FUNCTIONS) - before"
    loaded_by(
        f"from graphc import functions; before = set(functions.FUNCTIONS); assert not {missing}; "
        f"assert graphc._OF_NETWORKS == {networks}; assert dir(graphc) == graphc.__all__"
    )


def test_the_types_of_results_are_made_when_asked_for():
    made = graphc.ones(3).sort()
    assert type(made) is graphc.return_types.sort and "svd" in dir(graphc.return_types)
    assert type(pickle.loads(pickle.dumps(graphc.return_types.qr(1, 2)))) is graphc.return_types.qr
    with pytest.raises(AttributeError, match="has no attribute 'sorted'"):
        print(graphc.return_types.sorted)


# ---------------------------------------------------------------------------------------- versions


def test_the_version_compares_as_versions_do():
    version = graphc.__version__
    assert isinstance(version, str)
    assert version.startswith("2.13.0+graphc")
    assert version >= "2.0" and version >= "1.10.0" and version >= (2, 0) and version > (1, 13, 1)
    assert version < "3" and version < (2, 14) and not version < "2.9"
    assert version > "2.13.0.dev20260101" and version > "2.13.0rc1" and version < "2.13.1a0"
    assert version >= "2.13" and version != "2.13.0" and version == str(version)
    assert version != "no version"
    assert int(version.split(".")[0]) == 2
    assert graphc.version.cuda is None
    assert graphc.version.graphc in version
    with pytest.raises(ValueError, match="Invalid version"):
        assert version > "no version"


# --------------------------------------------------------------------------------- compiled by name


def doubled(x):
    return x * 2 if x.shape[0] > 1 else x


def test_script_and_trace_compile():
    x = graphc.ones(2)
    for made in (graphc.jit.script(doubled), graphc.jit.trace(doubled, x)):
        assert isinstance(made, graphc.jit.ScriptFunction)
        assert made(x).tolist() == [2, 2]
        assert made(graphc.ones(1)).tolist() == [1]  # not only what the example did
    assert graphc.jit.script(made) is made


def test_scripted_modules_keep_their_state():
    class Net(graphc.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = graphc.nn.Linear(2, 3)

        @graphc.jit.export
        def twice(self, x):
            return self.forward(self.forward(x)[:, :2])

        @graphc.jit.ignore
        def name(self):
            return "net"

        @graphc.jit.unused
        def other(self):
            raise NotImplementedError

        def forward(self, x):
            return self.layer(x)

    net, x = Net(), graphc.ones(1, 2)
    for made in (graphc.jit.script(net), graphc.jit.trace(net, (x,)), graphc.jit.freeze(net)):
        assert graphc.allclose(made(x), net(x))
        assert list(made.state_dict()) == ["layer.weight", "layer.bias"]
        assert made.name() == "net" and made.twice(x).shape == (1, 3)
    traced = graphc.jit.trace(net, example_kwarg_inputs={"x": x})
    assert len(traced.receipts) == 1
    assert graphc.jit.script(Net) is Net
    assert not graphc.jit.is_scripting() and not graphc.jit.is_tracing()
    assert graphc.jit.annotate(int, 3) == 3 and graphc.jit.isinstance(3, int)


def test_programs_are_not_saved():
    with pytest.raises(RuntimeError, match=r"jit.save: .*state_dict"):
        graphc.jit.save(graphc.jit.script(doubled), "file")
    with pytest.raises(RuntimeError, match="jit.load"):
        graphc.jit.load("file")
    with pytest.raises(RuntimeError, match="example_inputs"):
        graphc.jit.trace(doubled)


def test_controls_of_the_compiler():
    @graphc.compiler.disable
    def inner(x):
        return x + (1 if graphc.compiler.is_compiling() else 5)

    @graphc.compiler.disable(recursive=False)
    def other(x):
        return x

    @graphc.compile
    def outer(x):
        return other(inner(x) * 2)

    assert outer(graphc.ones(1)).tolist() == [4]
    assert inner(graphc.ones(1)).tolist() == [6]
    outer(graphc.ones(1))
    assert len(outer.receipts) == 1
    graphc.compiler.reset()
    assert outer(graphc.ones(1)).tolist() == [4]
    assert len(outer.receipts) == 2
    assert graphc.compiler.allow_in_graph(doubled) is doubled
    assert "c" in graphc.compiler.list_backends()
    assert not graphc.compiler.is_exporting()


# --------------------------------------------------------------------------------------------- hub


def test_hub_fetches_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert graphc.hub.get_dir() == str(tmp_path / "hub")
    with pytest.raises(RuntimeError, match="nothing from the network"):
        graphc.hub.load("pytorch/vision", "resnet18")
    with pytest.raises(RuntimeError, match=r"Download https://host/a.pth\?x=1 to .*a.pth"):
        graphc.hub.load_state_dict_from_url("https://host/a.pth?x=1")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    graphc.save({"w": graphc.ones(2)}, folder / "a.pth")
    found = graphc.hub.load_state_dict_from_url("https://host/a.pth?x=1", map_location="cpu")
    assert found["w"].tolist() == [1, 1]


# ------------------------------------------------------------------------------------------- types


def test_annotations_and_overrides():
    from graphc.types import Device, Number, _dtype, _size  # noqa: F401

    assert isinstance(graphc.float32, _dtype)
    assert graphc.overrides.is_tensor_like(graphc.ones(1))
    assert not graphc.overrides.has_torch_function((graphc.ones(1),))
    assert graphc.overrides.handle_torch_function(max, (), 1, 2) == 2


# --------------------------------------------------------------- other devices and processes


def test_devices_that_are_not_there():
    for space in (graphc.mps, graphc.xpu, graphc.accelerator):
        assert not space.is_available() and space.device_count() == 0
        space.empty_cache()
    assert graphc.accelerator.current_accelerator() is None
    chosen = (
        graphc.accelerator.current_accelerator() if graphc.accelerator.is_available() else "cpu"
    )
    assert graphc.ones(2, device=chosen).sum() == 2
    for refused in (graphc.accelerator.synchronize, graphc.accelerator.current_device_index):
        with pytest.raises(RuntimeError, match="no accelerator"):
            refused()


def test_one_process_is_alone():
    distributed = graphc.distributed
    assert not distributed.is_available() and not distributed.is_initialized()
    for name in ("init_process_group", "get_rank", "all_reduce", "barrier"):
        with pytest.raises(RuntimeError, match=f"graphc.distributed.{name}: .* one process"):
            getattr(distributed, name)()


def test_places_of_names():
    import graphc.utils.data.distributed as of_data
    from graphc.torch_version import TorchVersion
    from graphc.utils import hooks, model_zoo

    assert of_data.DistributedSampler is graphc.utils.data.DistributedSampler
    assert isinstance(graphc.__version__, TorchVersion)
    assert model_zoo.load_url is graphc.hub.load_state_dict_from_url
    handle = graphc.nn.Linear(1, 1).register_forward_hook(lambda *_: None)
    assert isinstance(handle, hooks.RemovableHandle)
