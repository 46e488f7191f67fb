"""Files between graphc and PyTorch, in both directions."""

import io
import pickle
import zipfile
from collections import Counter, OrderedDict

import numpy as np
import pytest

import graphc
from graphc.serialization.archive import ArchiveReader

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.differential

DTYPES = (
    "float32", "float64", "float16", "bfloat16", "uint8", "int8", "int16", "int32", "int64", "bool"
)  # fmt: skip


def to_torch(obj, **options):
    buffer = io.BytesIO()
    graphc.save(obj, buffer)
    buffer.seek(0)
    return torch.load(buffer, **options)


def to_graphc(obj, **options):
    buffer = io.BytesIO()
    torch.save(obj, buffer)
    buffer.seek(0)
    return graphc.load(buffer, **options)


def contents(x):
    """The elements as bytes."""
    if isinstance(x, torch.Tensor):
        x = x.detach().contiguous()
        return x.view(torch.uint8).numpy().tobytes() if x.numel() and x.ndim else x.tolist()
    x = x.detach().contiguous()
    return x._array().tobytes() if x.numel() and x.ndim else x.tolist()


def assert_alike(mine, theirs):
    assert type(mine).__name__ == type(theirs).__name__
    assert tuple(mine.shape) == tuple(theirs.shape) and mine.stride() == theirs.stride()
    assert mine.storage_offset() == theirs.storage_offset()
    assert str(mine.dtype).rpartition(".")[2] == str(theirs.dtype).rpartition(".")[2]
    assert mine.requires_grad == theirs.requires_grad
    assert mine.untyped_storage().nbytes() == theirs.untyped_storage().nbytes()
    assert contents(mine) == contents(theirs)


def everything(lib):
    """The same object in either library."""
    x = lib.arange(6.0).reshape(2, 3)
    images = lib.arange(48.0).reshape(1, 3, 4, 4).contiguous(memory_format=lib.channels_last)
    parameter, noted = lib.nn.Parameter(lib.ones(2)), lib.nn.Parameter(lib.zeros(1))
    attributed = lib.ones(3)
    attributed.note, noted.note = "text", 5
    return OrderedDict(
        row=x[1], x=x, transposed=x.t(), column=x[:, 1:2], same=x, images=images,
        parameter=parameter, noted=noted, attributed=attributed,
        frozen=lib.nn.Parameter(lib.ones(2), requires_grad=False),
        leaf=lib.ones(2, requires_grad=True), result=lib.ones(2, requires_grad=True) * 3,
        scalar=lib.tensor(3), empty=lib.zeros(0), hollow=lib.zeros(2, 0, 3),
        expanded=lib.ones(3, 1).expand(3, 4),
        plain=[1, -1, 300, 70000, 2**70, 1.5, None, True, "text", "ä", (1, 2, 3, 4), (), {1}],
        bytes=[b"\x00\xff", bytearray(b"abc"), 1 + 2j], counter=Counter("aab"),
        size=lib.Size([2, 3]), dtype=lib.int64, layout=lib.strided,
        **{name: lib.arange(5).to(getattr(lib, name)) for name in DTYPES},
    )  # fmt: skip


def test_the_bytes_are_those_that_pytorch_writes():
    mine, theirs = io.BytesIO(), io.BytesIO()
    graphc.save(everything(graphc), mine)
    torch.save(everything(torch), theirs)
    one, other = (ArchiveReader(io.BytesIO(f.getvalue())) for f in (mine, theirs))
    assert list(one._entries) == list(other._entries)
    for name in one._entries:
        record = name.partition("/")[2]
        assert one.offset(record) == other.offset(record)
        if record != ".data/serialization_id":
            assert one.read(record) == other.read(record), record
    # The identity is a number for the names, which PyTorch makes otherwise, and one for the rest.
    identities = [r.read(".data/serialization_id")[20:] for r in (one, other)]
    assert identities[0] == identities[1]
    end = one.offset(".data/serialization_id")
    assert mine.getvalue()[: end - 64] == theirs.getvalue()[: end - 64]
    assert len(mine.getvalue()) == len(theirs.getvalue())


@pytest.mark.parametrize("name", ["model.pt", "a.b.c.pt", "plain", "ünicode.pt"])
def test_names_inside_of_the_archive(tmp_path, name):
    for library, folder in ((graphc, "mine"), (torch, "theirs")):
        (tmp_path / folder).mkdir()
        library.save(library.ones(2), str(tmp_path / folder / name))
    mine, theirs = (zipfile.ZipFile(tmp_path / f / name) for f in ("mine", "theirs"))
    assert mine.namelist() == theirs.namelist()
    assert mine.testzip() is None
    for library in (graphc, torch):
        with pytest.raises(RuntimeError, match="invalid file name"):
            library.save(1, str(tmp_path / ".pt"))


def test_pytorch_reads_what_graphc_writes():
    found, expected = to_torch(everything(graphc)), everything(torch)
    assert list(found) == list(expected)
    for name, value in expected.items():
        if isinstance(value, torch.Tensor):
            assert_alike(found[name], value)
        else:
            assert found[name] == value and type(found[name]) is type(value), name
    assert found["same"] is found["x"] and found["noted"].note == 5
    found["x"].fill_(9)
    assert found["row"].tolist() == [9, 9, 9] and found["transposed"].sum() == 54


def test_graphc_reads_what_pytorch_writes():
    found, expected, alike = to_graphc(everything(torch)), everything(graphc), everything(torch)
    assert list(found) == list(expected)
    for name, value in expected.items():
        if isinstance(value, graphc.Tensor):
            assert_alike(found[name], alike[name])
        else:
            assert found[name] == value and type(found[name]) is type(value), name
    assert found["same"] is found["x"] and found["attributed"].note == "text"
    found["x"].fill_(9)
    assert found["row"].tolist() == [9, 9, 9] and found["transposed"].sum().item() == 54


def test_mapped_files_of_pytorch(tmp_path):
    torch.save(everything(torch), tmp_path / "x.pt")
    found = graphc.load(tmp_path / "x.pt", mmap=True)
    for name, value in everything(torch).items():
        if isinstance(value, torch.Tensor):
            assert_alike(found[name], value)
    graphc.save(everything(graphc), tmp_path / "y.pt")
    assert_alike(found["x"], torch.load(tmp_path / "y.pt", mmap=True)["x"])


@pytest.mark.parametrize("checksums", [True, False])
def test_files_without_checksums(checksums):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(checksums)
    try:
        buffer = io.BytesIO()
        torch.save(torch.arange(3), buffer)
    finally:
        torch.serialization.set_crc32_options(before)
    buffer.seek(0)
    if checksums:
        assert graphc.load(buffer).tolist() == [0, 1, 2]
    else:
        with pytest.warns(UserWarning, match="checksum"):
            assert graphc.load(buffer).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: torch.ones(2, dtype=torch.complex64), "complex"),
        (lambda: torch.ones(2).to(torch.float8_e4m3fn), "8-bit float"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantized"),
        (lambda: torch.eye(2).to_sparse(), "sparse|layout"),
        (lambda: torch.ones(2, device="meta"), "meta"),
        (lambda: torch.ones(2)._neg_view(), "resolve_neg"),
    ],
)
@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_tensors_that_graphc_does_not_have(make, match, weights_only):
    with pytest.raises(RuntimeError, match=match):
        to_graphc({"x": make()}, weights_only=weights_only)


@pytest.mark.parametrize("name", ["uint16", "uint32", "uint64"])
def test_dtypes_without_a_class_of_storages(name):
    x = torch.arange(5).to(getattr(torch, name))
    if hasattr(graphc, name):
        assert contents(to_graphc(x)) == contents(x)
        y = graphc.arange(5).to(getattr(graphc, name))
        assert contents(to_torch(y)) == contents(x)
    else:
        with pytest.raises(RuntimeError, match="unsigned tensors"):
            to_graphc(x)


def test_old_formats_are_refused():
    buffer = io.BytesIO()
    torch.save(torch.ones(2), buffer, _use_new_zipfile_serialization=False)
    buffer.seek(0)
    with pytest.raises(RuntimeError, match=r"before version 1\.6"):
        graphc.load(buffer)


class Foreign:
    pass


def test_the_same_things_are_refused():
    for obj in (Foreign(), [np.float64(1)], np.ones(2)):
        for library in (graphc, torch):
            buffer = io.BytesIO()
            library.save(obj, buffer)
            buffer.seek(0)
            with pytest.raises(pickle.UnpicklingError, match="was not an allowed global"):
                library.load(buffer)


# ---------------------------------------------------------------------------- modules and training


def network(lib):
    nn = lib.nn
    lib.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4 * 4 * 4, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3),
    )  # fmt: skip


def trained(lib, model, optimizer, scheduler, steps):
    x = lib.from_numpy(np.random.RandomState(0).rand(6, 1, 8, 8).astype(np.float32))
    y = lib.from_numpy(np.arange(6) % 3)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = lib.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    return losses


def trainer(lib, model, name):
    optimizer = getattr(lib.optim, name)(model.parameters(), lr=0.05)
    return optimizer, lib.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_training_goes_on_in_the_other_library(name):
    mine, theirs = network(graphc), network(torch)
    mine.load_state_dict(to_graphc(theirs.state_dict()))
    for source, target, move in ((theirs, mine, to_graphc), (mine, theirs, to_torch)):
        one, other = (torch, graphc) if source is theirs else (graphc, torch)
        optimizer, scheduler = trainer(one, source, name)
        trained(one, source, optimizer, scheduler, 3)
        state = move(
            {
                "model": source.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
            }
        )
        optimizer2, scheduler2 = trainer(other, target, name)
        target.load_state_dict(state["model"])
        optimizer2.load_state_dict(state["optimizer"])
        scheduler2.load_state_dict(state["scheduler"])
        losses = trained(one, source, optimizer, scheduler, 3)
        assert trained(other, target, optimizer2, scheduler2, 3) == pytest.approx(losses, rel=1e-3)


def test_whole_modules_of_pytorch():
    theirs = network(torch)
    trained(torch, theirs, *trainer(torch, theirs, "SGD"), 2)
    theirs.eval()
    mine = to_graphc(theirs, weights_only=False)
    assert type(mine) is graphc.nn.Sequential and repr(mine) == repr(theirs)
    x = np.random.RandomState(0).rand(2, 1, 8, 8).astype(np.float32)
    np.testing.assert_allclose(
        mine(graphc.from_numpy(x)).detach().numpy(),
        theirs(torch.from_numpy(x)).detach().numpy(),
        rtol=1e-4,
        atol=1e-5,
    )
    mine.train()
    graphc.compile(mine)(graphc.from_numpy(x)).sum().backward()
    assert all(p.grad is not None for p in mine.parameters())
    assert [n for n, _ in mine.named_parameters()] == [n for n, _ in theirs.named_parameters()]


LAYERS = (
    "Linear(3, 4)", "Conv1d(2, 4, 3, padding='same')", "Conv2d(3, 4, 3, groups=1, bias=False)",
    "ConvTranspose2d(3, 2, 2)", "BatchNorm1d(3)", "LayerNorm(4)", "GroupNorm(2, 4)",
    "InstanceNorm2d(3)", "RMSNorm(4)", "Embedding(5, 3, padding_idx=0)", "EmbeddingBag(5, 3)",
    "Bilinear(2, 3, 4)", "PReLU()", "LSTM(3, 4, 2)", "GRU(3, 4)", "LSTMCell(3, 4)",
    "MultiheadAttention(4, 2)", "TransformerEncoderLayer(4, 2, 8, batch_first=True)",
    "Dropout(0.3)", "LeakyReLU(0.2)", "Softmax(-1)", "MaxPool2d(2, ceil_mode=True)",
    "AvgPool2d(2)", "AdaptiveAvgPool2d((2, None))", "Upsample(scale_factor=2)",
    "PixelShuffle(2)", "ZeroPad2d(1)", "Identity()", "CrossEntropyLoss(label_smoothing=0.1)",
    "MSELoss(reduction='sum')", "BCEWithLogitsLoss()", "NLLLoss(ignore_index=2)",
)  # fmt: skip


@pytest.mark.parametrize("text", LAYERS)
def test_layers_of_pytorch(text):
    name = text.partition("(")[0]
    if not hasattr(graphc.nn, name):
        pytest.skip(f"graphc has no nn.{name}")
    torch.manual_seed(0)
    theirs = eval(f"torch.nn.{text}")
    mine = to_graphc(theirs, weights_only=False)
    assert type(mine) is getattr(graphc.nn, name) and repr(mine) == repr(theirs)
    state = mine.state_dict()
    for key, value in theirs.state_dict().items():
        assert contents(state[key]) == contents(value)
    assert list(state) == list(theirs.state_dict())


def test_modules_whose_classes_are_trusted():
    theirs = network(torch)
    kinds = {type(module).__name__ for module in theirs.modules()}
    with graphc.serialization.safe_globals([getattr(graphc.nn, name) for name in kinds]):
        mine = to_graphc(theirs)
    assert repr(mine) == repr(theirs)


def test_optimizers_and_other_objects_of_pytorch():
    found = to_graphc(torch.nn.functional.relu, weights_only=False)
    assert found is graphc.nn.functional.relu
    with pytest.raises(AttributeError, match="graphc does not have"):
        to_graphc(torch.nn.intrinsic.ConvReLU2d, weights_only=False)


# ------------------------------------------------------------------------------------- safetensors


def test_safetensors_files_are_the_same(tmp_path):
    theirs = pytest.importorskip("safetensors.torch")
    from graphc.utils import safetensors as mine

    state = {name: torch.arange(6).reshape(2, 3).to(getattr(torch, name)) for name in DTYPES}
    here = {name: graphc.arange(6).reshape(2, 3).to(getattr(graphc, name)) for name in DTYPES}
    assert mine.save(here, {"a": "b"}) == theirs.save(state, {"a": "b"})
    theirs.save_file(state, tmp_path / "x.safetensors")
    for found in (
        mine.load_file(tmp_path / "x.safetensors"), graphc.load(tmp_path / "x.safetensors")
    ):  # fmt: skip
        for name, value in state.items():
            assert_alike(found[name], value)
