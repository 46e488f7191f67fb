"""What is saved comes back: values, types, memory that is shared, attributes."""

import io
import os
import pathlib
import pickle
import signal
import stat
import subprocess
import sys
import textwrap
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest

import graphc
from graphc import nn
from tests.serialization.files import loaded, put_together, records, saved, through_file

DTYPES = (
    "float32", "float64", "float16", "bfloat16", "uint8", "int8", "int16", "int32", "int64", "bool"
)  # fmt: skip


# ----------------------------------------------------------------------------------------- tensors


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_comes_back_bit_for_bit(name):
    dtype = getattr(graphc, name)
    x = (graphc.arange(24).reshape(2, 3, 4) - 7).to(dtype)
    y = through_file(x)
    assert y.dtype is dtype and type(y) is graphc.Tensor
    assert y.shape == x.shape and y.stride() == x.stride()
    assert y._array().tobytes() == x._array().tobytes()


def test_numbers_that_are_none_and_signed_zeros_are_kept():
    x = graphc.tensor([float("nan"), float("inf"), -float("inf"), -0.0, 1e-45])
    assert through_file(x).numpy().tobytes() == x.numpy().tobytes()


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (2, 1, 3)])
def test_shapes(shape):
    y = through_file(graphc.ones(shape))
    assert tuple(y.shape) == shape and y.stride() == graphc.ones(shape).stride()


def test_leaves_that_require_gradients():
    x = graphc.ones(3, requires_grad=True)
    y = through_file({"x": x, "y": x * 2, "z": x.detach()})
    assert [v.requires_grad for v in y.values()] == [True, True, False]
    assert all(v.is_leaf for v in y.values())


def test_parameters_keep_their_class():
    p = through_file(nn.Parameter(graphc.ones(2)))
    q = through_file(nn.Parameter(graphc.ones(2), requires_grad=False))
    assert type(p) is nn.Parameter and p.requires_grad
    assert type(q) is nn.Parameter and not q.requires_grad


def test_attributes_of_tensors_come_back():
    x, p = graphc.ones(2), nn.Parameter(graphc.ones(2))
    x.note, p.note = {"a": 1}, "text"
    x2, p2 = through_file([x, p])
    assert x2.note == {"a": 1} and p2.note == "text" and type(p2) is nn.Parameter


def test_hooks_are_left_out_with_a_warning():
    x = graphc.ones(2, requires_grad=True)
    x.register_hook(lambda g: g)
    with pytest.warns(UserWarning, match="will not be serialized"):
        saved(x)


# ------------------------------------------------------------------------------------------ memory


def test_views_share_memory_again_and_it_is_written_once():
    x = graphc.arange(1000.0).reshape(20, 50)
    given = {"row": x[3], "x": x, "t": x.t(), "column": x[:, 2], "same": x, "alias": x.detach()}
    data = saved(given)
    assert len(data) < 4000 + 3000
    y = loaded(data)
    assert y["same"] is y["x"]
    y["x"].fill_(7)
    for name, value in y.items():
        assert value.stride() == given[name].stride()
        assert value.storage_offset() == given[name].storage_offset()
        assert bool((value == 7).all()), name
    y["column"].zero_()
    assert y["row"][2].item() == 0 and y["t"][2].sum().item() == 0


def test_a_part_brings_the_whole_memory():
    part = through_file(graphc.arange(10.0)[4:6])
    assert part.tolist() == [4, 5] and part.storage_offset() == 4
    assert part.untyped_storage().nbytes() == 40


def test_expanded_memory_stays_expanded():
    x = graphc.arange(3.0).reshape(3, 1).expand(3, 1000)
    data = saved(x)
    y = loaded(data)
    assert len(data) < 2000 and y.stride() == (1, 0) and bool((y == x).all())


def test_parameters_on_parts_of_one_tensor():
    x = graphc.arange(6.0)
    late, early = nn.Parameter(x[3:5]), nn.Parameter(x[0:2])
    y = through_file([late, early, x])
    assert [v.tolist() for v in y] == [[3, 4], [0, 1], [0, 1, 2, 3, 4, 5]]
    with graphc.no_grad():
        y[2].mul_(10)
    assert y[0].tolist() == [30, 40] and y[1].tolist() == [0, 10]
    assert y[0].requires_grad and not y[2].requires_grad


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = nn.Linear(3, 3)
        self.b.weight = self.a.weight


def test_tied_parameters_stay_tied():
    state = through_file(Tied().state_dict())
    state["a.weight"].zero_()
    assert state["b.weight"].abs().sum().item() == 0
    model = through_file(Tied(), weights_only=False)
    assert model.a.weight is model.b.weight and len(list(model.parameters())) == 3


def test_loaded_views_work_in_compiled_functions():
    x = graphc.arange(6.0)
    y = through_file({"x": x, "part": x[1:4]})

    @graphc.compile
    def f(part):
        part.mul_(2)
        return part + 1

    assert f(y["part"]).tolist() == [3, 5, 7]
    assert y["x"].tolist() == [0, 2, 4, 6, 4, 5]


def test_views_of_leaves_that_require_gradients_can_be_written_as_others_can():
    p = nn.Parameter(graphc.arange(4.0))
    y = through_file([p, p.detach()[1:3]])
    y[1].add_(1)
    assert y[0].tolist() == [0, 2, 3, 3]


def test_memory_of_two_dtypes_is_refused():
    x = graphc.ones(4)
    with pytest.raises(RuntimeError, match="view the same data as different types"):
        saved([x, x.view(graphc.int32)])


def test_storages_by_themselves():
    x = graphc.arange(3.0)
    with pytest.warns(UserWarning, match="TypedStorage"):
        typed = x.storage()
    y = through_file([typed])[0]
    assert y.tolist() == [0, 1, 2] and y.dtype is graphc.float32
    raw = through_file([graphc.UntypedStorage(3)])[0]
    assert type(raw) is graphc.UntypedStorage and raw.tolist() == [0, 0, 0]


# ------------------------------------------------------------------------------------ other objects


def test_plain_objects():
    recursive = [1]
    recursive.append(recursive)
    given = {
        "numbers": [0, -1, 255, 65536, 2**31, -(2**40), 2**100, 1.5, float("inf"), 1 + 2j],
        "text": ["", "ä", "x" * 300, "\ud800"],
        "bytes": [b"", b"\x00\xff", bytearray(b"abc")],
        "none": None,
        "flags": (True, False),
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "sets": {1, "a"},
        "counter": Counter("abca"),
        "ordered": OrderedDict(b=1, a=2),
        "default": defaultdict(list, {1: [2]}),
        "size": graphc.Size([2, 3]),
        "dtype": graphc.bfloat16,
        "device": graphc.device("cpu"),
        "layout": graphc.strided,
        (1, "key"): "tuple as key",
    }
    found = through_file(given)
    assert found == given
    assert [type(v) for v in found.values()] == [type(v) for v in given.values()]
    assert found["default"].default_factory is list
    loop = through_file(recursive)
    assert loop[1] is loop


class Kept:
    """A class that graphc does not know."""

    def __init__(self, x):
        self.x = x


def test_other_objects_need_weights_only_to_be_off():
    data = saved({"kept": Kept(graphc.ones(2))})
    with pytest.raises(pickle.UnpicklingError, match="add_safe_globals"):
        loaded(data)
    assert loaded(data, weights_only=False)["kept"].x.tolist() == [1, 1]


def test_whole_modules():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).eval()
    again = through_file(model, weights_only=False)
    x = graphc.randn(5, 3)
    assert repr(again) == repr(model) and not again.training
    assert bool((again(x) == model(x)).all())
    assert list(again.state_dict()) == list(model.state_dict())


def test_compiled_modules_save_the_state_of_the_original():
    model = nn.Linear(3, 2)
    compiled = graphc.compile(model)
    assert list(through_file(compiled.state_dict())) == ["weight", "bias"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_protocols(protocol):
    given = {"x": graphc.arange(3), "y": nn.Parameter(graphc.ones(2))}
    data = saved(given, pickle_protocol=protocol)
    if protocol != 2:
        with pytest.raises(pickle.UnpicklingError, match="protocol"):
            loaded(data)
    found = loaded(data, weights_only=False)
    assert found["x"].tolist() == [0, 1, 2] and type(found["y"]) is nn.Parameter


class _OwnPickle:
    """A pickle module with a pickler of its own."""

    __name__ = "own"

    class Pickler(pickle._Pickler):
        pass

    Unpickler = pickle.Unpickler


def test_another_pickle_module():
    data = saved({"x": graphc.arange(3)}, pickle_module=_OwnPickle)
    assert loaded(data, pickle_module=_OwnPickle)["x"].tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match="pickle_module"):
        loaded(data, pickle_module=_OwnPickle, weights_only=True)

    class Native:
        Pickler = pickle.Pickler

    with pytest.raises(TypeError, match="pickler written in Python"):
        saved({}, pickle_module=Native)


# ------------------------------------------------------------------------------- files and devices


@pytest.mark.parametrize("as_path", [str, pathlib.Path])
def test_paths(tmp_path, as_path):
    path = as_path(tmp_path / "x.pt")
    graphc.save({"x": graphc.arange(3)}, path)
    assert graphc.load(path)["x"].tolist() == [0, 1, 2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.pt"]


def test_open_files_and_what_stands_before_the_archive(tmp_path):
    path = tmp_path / "x"
    with open(path, "wb") as file:
        file.write(b"before")
        graphc.save(graphc.arange(3), file)
    with open(path, "rb") as file:
        assert file.read(6) == b"before"
        assert graphc.load(file).tolist() == [0, 1, 2]
        assert not file.closed


def test_unbuffered_files(tmp_path):
    class Slow(io.RawIOBase):
        """Takes a few bytes at a time, as a pipe may."""

        def __init__(self):
            self.taken = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.taken += bytes(data[:7])
            return min(len(data), 7)

    slow = Slow()
    graphc.save(graphc.arange(100), slow)
    assert loaded(bytes(slow.taken)).tolist() == list(range(100))


def test_what_is_no_file():
    with pytest.raises(AttributeError, match="'write' attribute"):
        graphc.save({}, 3)
    with pytest.raises(AttributeError, match="read"):
        graphc.load(3)
    with pytest.raises(TypeError, match="'rb'"):
        graphc.load(io.StringIO("text"))
    with pytest.raises(FileNotFoundError):
        graphc.load("no such file.pt")
    with pytest.raises(RuntimeError, match=r"Parent directory .* does not exist"):
        graphc.save({}, "/no/such/folder/x.pt")

    class Pipe(io.BytesIO):
        def seek(self, *args):
            raise io.UnsupportedOperation("seek")

    with pytest.raises(io.UnsupportedOperation, match="that is seekable"):
        graphc.load(Pipe(saved({})))


def test_old_formats_are_refused():
    with pytest.raises(RuntimeError, match="_use_new_zipfile_serialization"):
        saved({}, _use_new_zipfile_serialization=False)
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
    tar = bytes(257) + b"ustar" + bytes(300)
    for old in (magic + b"more", tar):
        with pytest.raises(RuntimeError, match=r"before version 1\.6"):
            loaded(old)
    for none in (b"", b"not a zip file", b"PK"):
        with pytest.raises(RuntimeError, match="PytorchStreamReader"):
            loaded(none)
    script = put_together({**records(saved({})), "constants.pkl": b""})
    with pytest.raises(RuntimeError, match="TorchScript"):
        loaded(script)
    with pytest.raises(RuntimeError, match="maximum supported version for reading is 10"):
        loaded(put_together(records(saved({})), version="11"))


@pytest.mark.parametrize(
    "where",
    [
        "cpu",
        b"cpu",
        graphc.device("cpu"),
        {"cuda:1": "cpu"},
        lambda storage, location: storage,
        lambda storage, location: graphc.serialization.default_restore_location(storage, "cpu"),
        lambda storage, location: storage if location == "cuda:1" else None,
    ],
)
def test_map_location(where):
    parts = records(saved({"x": graphc.arange(3)}))
    location, other = b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:1"
    assert location in parts["data.pkl"]
    parts["data.pkl"] = parts["data.pkl"].replace(location, other)
    data = put_together(parts)
    assert loaded(data, map_location=where)["x"].tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match="map_location=graphc.device"):
        loaded(data)
    with pytest.raises(RuntimeError, match="don't know how to restore"):
        loaded(data, map_location="nowhere")


def test_map_location_sees_each_storage_once():
    x = graphc.arange(3)
    seen = []

    def where(storage, location):
        seen.append((type(storage), storage.nbytes(), location))

    through_file([x, x[1:], graphc.ones(2)], map_location=where)
    assert seen == [(graphc.UntypedStorage, 24, "cpu"), (graphc.UntypedStorage, 8, "cpu")]
    with pytest.raises(TypeError, match="map_location"):
        through_file(x, map_location=3)
    with pytest.raises(TypeError, match="not a storage"):
        through_file(x, map_location=lambda storage, location: 3)


def test_mapped_files(tmp_path):
    path = tmp_path / "x.pt"
    graphc.save({"x": graphc.arange(1000.0), "part": graphc.arange(9)[2:4]}, path)
    found = graphc.load(path, mmap=True)
    assert found["x"].sum().item() == 499500 and found["part"].tolist() == [2, 3]
    assert found["x"].data_ptr() % 64 == 0
    found["x"].zero_()  # of this process only
    assert graphc.load(path)["x"].sum().item() == 499500
    with pytest.raises(ValueError, match="must be a file path"):
        graphc.load(io.BytesIO(path.read_bytes()), mmap=True)


def test_files_of_the_other_byte_order():
    x = graphc.arange(5, dtype=graphc.int32)
    parts = records(saved({"x": x, "b": graphc.ones(2, dtype=graphc.bfloat16)}))
    parts["byteorder"] = b"big" if sys.byteorder == "little" else b"little"
    parts["data/0"] = np.frombuffer(parts["data/0"], "i4").byteswap().tobytes()
    parts["data/1"] = np.frombuffer(parts["data/1"], "u2").byteswap().tobytes()
    found = loaded(put_together(parts))
    assert found["x"].tolist() == [0, 1, 2, 3, 4] and found["b"].tolist() == [1, 1]


def test_a_changed_element_is_warned_about():
    data = bytearray(saved(graphc.zeros(64)))
    reader = records(bytes(data))
    place = bytes(data).index(reader["data/0"])
    data[place] ^= 1
    with pytest.warns(UserWarning, match="checksum"):
        loaded(bytes(data))


def test_inside_compiled_functions_files_are_refused():
    @graphc.compile
    def f(x):
        graphc.save(x, io.BytesIO())
        return x

    @graphc.compile
    def g(x):
        return x + loaded(data)

    data = saved(graphc.ones(2))
    for function in (f, g):
        with pytest.raises(RuntimeError, match="outside of the compiled function"):
            function(graphc.ones(2))


# --------------------------------------------------------------------------------- atomic replacing


class Unpicklable:
    def __reduce__(self):
        raise KeyError("cannot be pickled")


def test_an_exception_while_pickling_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.pt"
    graphc.save({"x": 1}, path)
    with pytest.raises(KeyError):
        graphc.save([graphc.ones(1000), Unpicklable()], path)
    assert graphc.load(path) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.pt"]


def test_an_exception_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.pt"
    graphc.save({"x": 1}, path)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        graphc.save({"x": 2}, path)
    monkeypatch.undo()
    assert graphc.load(path) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.pt"]


KILLED = """
import os, signal, sys
import graphc
from graphc.serialization import archive

put = archive.ArchiveWriter._put

def stopping(self, data):
    put(self, data)
    if self._position > 300_000:
        self._file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

archive.ArchiveWriter._put = stopping
graphc.save([graphc.ones(50_000), graphc.ones(50_000)], sys.argv[1])
"""


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.pt"
    graphc.save({"x": 1}, path)
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == -signal.SIGKILL, run.stderr
    beside = [p for p in tmp_path.iterdir() if p.name != "x.pt"]
    assert len(beside) == 1 and beside[0].stat().st_size > 300_000  # it was in the midst of it
    assert graphc.load(path) == {"x": 1}
    graphc.save({"x": 2}, path)
    assert graphc.load(path) == {"x": 2}


def test_permissions_links_and_pipes(tmp_path):
    path, link = tmp_path / "x.pt", tmp_path / "link.pt"
    before = os.umask(0o027)
    try:
        graphc.save(1, path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    link.symlink_to(path)
    graphc.save(2, link)
    assert link.is_symlink() and graphc.load(path) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    graphc.save(3, os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
