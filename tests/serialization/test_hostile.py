"""Damaged and hostile files: an error of two types, no more memory than a multiple of the file."""

import io
import pickle
import struct
import tracemalloc
import warnings
from collections import OrderedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc
from graphc import nn
from graphc.serialization import archive
from graphc.serialization.archive import ArchiveReader
from tests.serialization.files import loaded, put_together, records, saved, with_pickle

CLEAN = (RuntimeError, pickle.UnpicklingError)


def example():
    graphc.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    x = graphc.arange(6.0).reshape(2, 3)
    return {
        "model": model.state_dict(),
        "views": [x, x.t(), x[1]],
        "parameter": nn.Parameter(graphc.ones(2)),
        "numbers": (1, 2.5, None, True, "text", b"bytes", 2**70, {1, 2}),
        "epoch": OrderedDict(a=1),
        "empty": graphc.ones(0, dtype=graphc.bfloat16),
    }


DATA = saved(example())
PICKLED = records(DATA)["data.pkl"]
LIMIT = 16 * len(DATA) + (1 << 20)


def survives(data, **options):
    """Loading gives an object or one of two errors, within the limit of memory."""
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded(data, **options)
    except CLEAN:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < LIMIT + 16 * len(data), f"{peak} bytes for a file of {len(data)}"


def changed(data, edits):
    """The bytes after some edits: (place, what is done, new bytes)."""
    result = bytearray(data)
    for place, kind, new in edits:
        at = place % (len(result) + 1)
        if kind == "cut":
            del result[at : at + 1 + len(new)]
        elif kind == "insert":
            result[at:at] = new
        elif kind == "repeat":
            result[at:at] = result[at : at + 8 * len(new)]
        else:
            result[at : at + len(new)] = new
    return bytes(result)


NUMBERS = st.sampled_from([0, 1, 255, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1])
NEW = st.one_of(
    st.binary(min_size=1, max_size=4),
    NUMBERS.map(lambda n: struct.pack("<Q", n)),
    NUMBERS.map(lambda n: struct.pack("<I", n & 0xFFFFFFFF)),
)
EDITS = st.lists(
    st.tuples(
        st.integers(0, len(DATA)), st.sampled_from(["write", "insert", "cut", "repeat"]), NEW
    ),
    min_size=1,
    max_size=4,
)


def test_the_example_itself_loads():
    found = loaded(DATA)
    assert found["views"][1].tolist() == [[0, 3], [1, 4], [2, 5]]


@given(EDITS)
@settings(max_examples=150)
def test_changed_files(edits):
    survives(changed(DATA, edits))


@given(st.integers(0, 600), NEW)
@settings(max_examples=200)
def test_changed_directories(back, new):
    place = max(len(DATA) - back, 0)
    survives(changed(DATA, [(place, "write", new)]))


@given(EDITS)
@settings(max_examples=150)
def test_changed_pickles_in_whole_files(edits):
    survives(with_pickle(changed(PICKLED, edits), like=DATA))


@pytest.mark.parametrize("length", range(0, len(DATA), 97))
def test_files_that_end_early(length):
    with pytest.raises(RuntimeError, match="PytorchStreamReader"):
        loaded(DATA[:length])


GLOBALS = [
    b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_tensor_v3\n",
    b"ctorch._utils\n_rebuild_tensor\n", b"ctorch._utils\n_rebuild_parameter\n",
    b"ctorch._utils\n_rebuild_parameter_with_state\n", b"ctorch._tensor\n_rebuild_from_type_v2\n",
    b"ctorch\nFloatStorage\n", b"ctorch.storage\nUntypedStorage\n", b"ctorch\nfloat32\n",
    b"ctorch\nTensor\n", b"ctorch.nn.parameter\nParameter\n", b"ctorch\nSize\n",
    b"ctorch\ndevice\n", b"ccollections\nOrderedDict\n", b"ccollections\nCounter\n",
    b"ccollections\ndefaultdict\n", b"cbuiltins\nset\n", b"cbuiltins\nbytearray\n",
    b"cbuiltins\ncomplex\n", b"cbuiltins\nfrozenset\n", b"c_codecs\nencode\n",
    b"ctorch.serialization\n_get_layout\n",
]  # fmt: skip
STORED = (
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
)
OPERATIONS = [
    b"(", b")", b"]", b"}", b"t", b"\x85", b"\x86", b"\x87", b"a", b"e", b"s", b"u", b"R", b"b",
    b"\x81", b"N", b"\x88", b"\x89", b"K\x01", b"K\x06", b"J\xff\xff\xff\xff", b"\x8f", b"Q",
    b"q\x00", b"h\x00", b"q\x01", b"h\x01", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"X\x01\x00\x00\x00a", b"U\x01a", b"G\x7f\xf0\x00\x00\x00\x00\x00\x00",
]  # fmt: skip


@given(st.lists(st.sampled_from([*GLOBALS, STORED, *OPERATIONS]), max_size=60))
@settings(max_examples=200)
def test_programs_of_allowed_instructions(codes):
    survives(with_pickle(b"\x80\x02" + b"".join(codes) + b"."))


@given(
    st.sampled_from(GLOBALS[:6]),
    st.lists(
        st.sampled_from(
            [STORED, b"K\x00", b"K\x02", b")", b"K\x06\x85", b"K\x01\x85", b"K\x02K\x03\x86",
             b"K\x03K\x01\x86", b"K\x00K\x00\x86", b"]", b"N", b"\x88", b"\x89", b"}",
             b"J\xff\xff\xff\xff\x85", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85",
             b"ctorch\nfloat32\n", b"ctorch\nint64\n", b"ctorch.nn.parameter\nParameter\n"]
        ),
        min_size=2,
        max_size=8,
    ),
)  # fmt: skip
@settings(max_examples=200)
def test_calls_of_the_functions_that_make_tensors(function, arguments):
    survives(with_pickle(b"\x80\x02" + function + b"(" + b"".join(arguments) + b"tR."))


# ----------------------------------------------------------------------------- particular archives


def entry_fields(data, name):
    """Where in the file the central directory describes a record."""
    path = f"archive/{name}".encode()
    return data.rindex(b"PK\x01\x02", 0, data.rindex(path))


def patched(name, offset, form, value):
    data = bytearray(DATA)
    struct.pack_into(form, data, entry_fields(DATA, name) + offset, value)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (patched("data/0", 10, "<H", 8), "compressed"),
        (patched("data/0", 8, "<H", 1), "encrypted"),
        (patched("data/0", 24, "<I", 2**30), "claims"),
        (patched("data/1", 42, "<I", 0), "overlaps"),
        (patched("data/1", 42, "<I", 0xFFFFFFF0), "overlaps"),
        (patched("data/1", 28, "<H", 0xFFFF), "ends early"),
    ],
)
def test_directories_that_lie(data, match):
    with pytest.raises(RuntimeError, match=match):
        loaded(data)


def test_two_entries_of_one_name():
    with pytest.raises(RuntimeError, match="same name"):
        loaded(DATA.replace(b"archive/data/1", b"archive/data/0"))


def test_headers_that_differ_from_the_directory():
    place = DATA.index(b"archive/data/0")
    data = bytearray(DATA)
    data[place : place + 14] = b"archive/data/9"
    with pytest.raises(RuntimeError, match="is not the one in the central directory"):
        loaded(bytes(data))
    data = bytearray(DATA)
    struct.pack_into("<H", data, place - 2, 0xFFFF)  # the length of its extra field
    with pytest.raises(RuntimeError, match="next entry"):
        loaded(bytes(data))


def test_sizes_beyond_the_file_take_no_memory():
    big = bytearray(DATA)
    at = entry_fields(DATA, "data/0")
    struct.pack_into("<II", big, at + 20, 2**31, 2**31)
    survives(bytes(big))
    with pytest.raises(RuntimeError, match="overlaps"):
        loaded(bytes(big))


def test_many_entries_that_are_not_there():
    data = bytearray(DATA)
    end64 = DATA.rindex(b"PK\x06\x06")
    struct.pack_into("<QQ", data, end64 + 24, 2**40, 2**40)
    struct.pack_into("<HH", data, DATA.rindex(b"PK\x05\x06") + 8, 0xFFFF, 0xFFFF)
    survives(bytes(data))
    with pytest.raises(RuntimeError, match="central directory"):
        loaded(bytes(data))


def test_without_its_parts():
    parts = records(DATA)
    for name in ("data.pkl", "data/0"):
        with pytest.raises(RuntimeError, match=f"file not found: archive/{name}"):
            loaded(put_together({n: c for n, c in parts.items() if n != name}))
    with pytest.raises(RuntimeError, match="endianness"):
        loaded(put_together({**parts, "byteorder": b"middle"}))
    plain = {n: c for n, c in parts.items() if n != "byteorder"}
    assert loaded(put_together(plain))["numbers"][0] == 1


def test_archives_read_what_they_wrote():
    contents = {"a": b"", "b": b"x", "data/0": bytes(1000)}
    reader = ArchiveReader(io.BytesIO(put_together(contents)))
    for name, data in contents.items():
        assert reader.read(name) == data and reader.size(name) == len(data)
        assert name in reader and (not data or reader.offset(name) % 64 == 0)
    assert "c" not in reader
    with pytest.raises(RuntimeError, match="file not found"):
        reader.read("c")


@pytest.mark.parametrize("limit", [40, 1000, 2000])
def test_archives_beyond_32_bits(monkeypatch, limit):
    """The fields for large files, with another idea of what is large."""
    monkeypatch.setattr(archive, "_MOST32", limit)
    assert len(saved(example())) > len(DATA)
    found = loaded(saved(example()))
    assert found["views"][1].tolist() == [[0, 3], [1, 4], [2, 5]]
    survives(changed(saved(example()), [(len(DATA) - 100, "write", b"\xff\xff\xff\xff")]))
