"""What ``weights_only`` refuses, and what it says; nothing that it refuses has run."""

import io
import pickle
import struct
from collections import OrderedDict

import pytest

import graphc
from graphc import nn
from graphc.serialization import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    get_unsafe_globals_in_checkpoint,
    safe_globals,
)
from tests.serialization.files import loaded, saved, with_pickle

RAN = []


def note(*arguments):
    RAN.append(arguments)


class Trusted:
    def __init__(self, x):
        self.x = x


class WithState:
    def __setstate__(self, state):
        self.state = state


class Calls:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.fixture(autouse=True)
def _nothing_trusted():
    clear_safe_globals()
    RAN.clear()
    yield
    clear_safe_globals()


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def tensor(storage="FloatStorage", numel=6, offset=0, size=(6,), stride=(1,), key="0"):
    """The pickle of one tensor on the storage ``data/0``, which has 24 bytes."""

    def numbers(values):
        return (
            b"("
            + b"".join(b"\x8a\x09" + n.to_bytes(9, "little", signed=True) for n in values)
            + b"t"
        )

    def number(n):
        return b"\x8a\x09" + n.to_bytes(9, "little", signed=True)

    stored = b"(" + text("storage") + f"ctorch\n{storage}\n".encode() + text(key) + text("cpu")
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("
        + stored + number(numel) + b"tQ"
        + number(offset) + numbers(size) + numbers(stride)
        + b"\x89ccollections\nOrderedDict\n)RtR."
    )  # fmt: skip


def refused(pickled, match, error=pickle.UnpicklingError):
    with pytest.raises(error, match=match):
        loaded(with_pickle(pickled))
    assert not RAN


# --------------------------------------------------------------------------------- names and calls


@pytest.mark.parametrize(
    "code",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cposix\nsystem\n" + text("true") + b"\x85R.",
        b"cbuiltins\neval\n" + text("1") + b"\x85R.",
        b"c__builtin__\nexec\n" + text("1") + b"\x85R.",
        b"cbuiltins\ngetattr\n.",
        b"csubprocess\nPopen\n.",
        b"ctorch\nload\n.",
        b"ctorch._utils\n_import_dotted_name\n.",
        b"cgraphc\nload\n.",
        b"cnumpy._core.multiarray\n_reconstruct\n.",
    ],
)
def test_other_names_are_refused(code):
    refused(b"\x80\x02" + code, "Weights only load failed")


def test_the_message_names_the_global_and_what_to_do():
    with pytest.raises(pickle.UnpicklingError) as caught:
        loaded(saved(Trusted(1)))
    message, name = str(caught.value), f"{__name__}.Trusted"
    assert f"GLOBAL {name} was not an allowed global by default" in message
    assert f"add_safe_globals([{name}])" in message and "safe_globals" in message
    assert "`weights_only` set to `False`" in message


def test_calls_do_not_happen():
    data = saved([Calls(note, 1, 2)])
    with pytest.raises(pickle.UnpicklingError, match="note was not an allowed global"):
        loaded(data)
    assert not RAN
    loaded(data, weights_only=False)
    assert RAN == [(1, 2)]


@pytest.mark.parametrize(
    ("code", "match"),
    [
        (b"ctorch\nfloat32\n)R.", "reduce for unrecognized"),
        (b"K\x01)R.", "reduce for unrecognized"),
        (b"ccollections\nOrderedDict\nK\x01R.", "tuple of arguments"),
        (b"ccollections\nOrderedDict\n)\x81.", "Can only create new object"),
        (b"ctorch\nTensor\n)\x81.", "Can only create new object"),
        (b"ctorch\nTensor\n)R.", "reduce for unrecognized"),
        (b"cbuiltins\nlist\n)R.", "reduce for unrecognized"),
        (b"]}b.", "Can only build"),
        (b"K\x01K\x02a.", "Can only append"),
        (b"K\x01(K\x02e.", "Can only extend"),
        (b"]K\x01K\x02s.", "Can only set items"),
        (b"}(K\x01u.", "ends early"),
        (b"}]K\x01s.", "list cannot be a key"),
        (b"ccollections\nOrderedDict\n)R}" + text("items") + b"K\x01sb.", "attributes of its own"),
        (b"ccollections\ndefaultdict\nctorch\nTensor\n\x85R.", "cannot begin its values"),
        (b"ctorch\nSize\n(" + text("a") + b"t\x85R.", "integers only"),
        (b"ctorch\ndevice\n" + text("abacus") + b"\x85R.", "device that graphc does not know"),
        (b"c_codecs\nencode\n" + text("x") + text("zlib_codec") + b"\x86R.", "latin1 only"),
        (b"cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x40\x85R.", "bytes only"),
        (b"cbuiltins\nset\n" + text("abc") + b"\x85R.", "one container"),
        (b"cbuiltins\ncomplex\n" + text("1") + b"\x85R.", "two numbers"),
        (b"(K\x01Q.", "ends early|persistent_load"),
        (b"K\x01Q.", "persistent_load"),
        (b"h\x05.", "damaged"),
        (b"S'text'\n.", "Unsupported operand"),
        (b"i__main__\nx\n.", "Unsupported operand"),
        (b"\x95\x00\x00\x00\x00\x00\x00\x00\x00.", "Unsupported operand"),
        (b"X\xff\xff\xff\xffabc.", "ends early"),
        (b"X\x01\x00\x00\x00\xff.", "damaged"),
        (b"ctorch", "damaged"),
        (b"", "ends early"),
        (b".", "ends early"),
        (b"t.", "ends early"),
    ],
)
def test_misuse_of_what_is_allowed(code, match):
    refused(b"\x80\x02" + code, match)


def test_other_protocols_are_refused():
    refused(pickle.dumps([1], protocol=4), "protocol 2, the file has protocol 4")


# ------------------------------------------------------------------------------------------ tensors


def test_the_tensor_of_these_tests_is_one():
    assert loaded(with_pickle(tensor())).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"size": (7,)}, "out of bounds"),
        ({"offset": 1}, "out of bounds"),
        ({"stride": (2,)}, "out of bounds"),
        ({"size": (2, 2), "stride": (1,)}, "make no tensor"),
        ({"size": (2**40, 2**40), "stride": (0, 0)}, "make no tensor"),
        ({"size": (0, 2**62, 4), "stride": (1, 1, 1)}, "make no tensor"),
        ({"size": (0,), "offset": 7}, "make no tensor"),
        ({"size": (-1,)}, "no proper size"),
        ({"stride": (-1,)}, "no proper stride"),
        ({"offset": -1}, "no proper storage offset"),
        ({"offset": 2**70}, "no proper storage offset"),
        ({"size": (1,) * 65, "stride": (1,) * 65}, "no proper size"),
        ({"numel": 7}, "not 7 of float32"),
        ({"numel": 5}, "not 5 of float32"),
        ({"numel": 2**62}, "float32"),
        ({"storage": "DoubleStorage"}, "not 6 of float64"),
        ({"key": "1"}, "file not found"),
        ({"key": "../0"}, "file not found"),
        ({"storage": "ComplexFloatStorage"}, "complex tensors"),
        ({"storage": "QInt8Storage"}, "quantized tensors"),
    ],
)
def test_tensors_that_cannot_be(given, match):
    refused(tensor(**given), match, RuntimeError)


def test_tensors_of_other_kinds_are_named():
    for name, match in (("float8_e4m3fn", "8-bit float"), ("complex64", "complex")):
        refused(b"\x80\x02ctorch\n" + name.encode() + b"\n.", match, RuntimeError)
    code = b"\x80\x02ctorch._utils\n_rebuild_sparse_tensor\n."
    refused(code, "sparse", RuntimeError)


def test_attributes_of_tensors_are_their_own():
    plain = tensor()
    start = plain.index(b"(")
    function, arguments = plain[2:start], plain[start:-2]  # without the call and the end
    head = b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(" + function + b"ctorch\nTensor\n"
    good = head + arguments + b"}" + text("note") + b"K\x07s" + b"tR."
    assert loaded(with_pickle(good)).note == 7
    for name in ("_value", "_storage", "shape", "grad", "backward", "__class__"):
        refused(
            head + arguments + b"}" + text(name) + b"K\x07stR.",
            "no attribute of its own",
            RuntimeError,
        )


# -------------------------------------------------------------------------- sizes, depths and loops


def test_deep_nesting_is_no_danger():
    deep = loaded(with_pickle(b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."))
    assert type(deep) is list
    del deep
    tuples = b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"K\x01s."
    refused(tuples, "cannot be a key")


def test_keys_that_would_take_forever_to_hash_are_refused():
    doubled = b"\x80\x02})" + b"q\x00h\x00\x86" * 60 + b"K\x01s."
    refused(doubled, "cannot be a key|too many parts")


def test_contents_copied_over_and_over_are_refused():
    items = b"](" + b"K\x01" * 20_000 + b"eq\x00"
    copies = b"cbuiltins\nset\nh\x00\x85R" * 20_000
    refused(b"\x80\x02" + items + b"(" + copies + b"t.", "over and over")
    long = text("x" * 100_000) + b"q\x00"
    codes = b"c_codecs\nencode\nq\x01" + text("latin1") + b"q\x02"
    copies = b"h\x01h\x00h\x02\x86R" * 10_000
    refused(b"\x80\x02" + long + codes + b"(" + copies + b"t.", "over and over")


# ---------------------------------------------------------------------------------- what is trusted


def test_trusted_classes():
    data = saved({"a": Trusted(graphc.ones(2))})
    with safe_globals([Trusted]):
        assert loaded(data)["a"].x.tolist() == [1, 1]
        assert get_safe_globals() == [Trusted]
    assert get_safe_globals() == []
    with pytest.raises(pickle.UnpicklingError):
        loaded(data)
    add_safe_globals([Trusted])
    with safe_globals([Trusted]):
        pass
    assert loaded(data)["a"].x.tolist() == [1, 1]  # it was trusted before the block


def test_trusted_classes_and_their_state():
    made = WithState()
    made.number = 3
    with safe_globals([WithState]):
        assert loaded(saved(made)).state == {"number": 3}


def test_modules_whose_classes_are_trusted():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    data = saved(model)
    with pytest.raises(pickle.UnpicklingError, match="Sequential was not an allowed global"):
        loaded(data)
    with safe_globals([nn.Sequential, nn.Linear, nn.ReLU]):
        again = loaded(data)
    assert repr(again) == repr(model) and again[0].weight.tolist() == model[0].weight.tolist()
    again.register_forward_hook(lambda *_: None)  # its tables are those of a module
    assert type(again._parameters) is type(model._parameters)


def test_trusted_by_another_name():
    data = saved(Trusted(1)).replace(b"Trusted\n", b"Renamed\n")
    with safe_globals([(Trusted, f"{__name__}.Renamed")]):
        assert type(loaded(data)) is Trusted
    for wrong, error in (((Trusted,), ValueError), ((Trusted, 1), TypeError)):
        with safe_globals([wrong]), pytest.raises(error, match="Expected"):
            loaded(data)


def test_what_trusted_code_raises_is_not_reworded():
    with safe_globals([note]):
        loaded(saved(Calls(note, 1)))
    assert RAN == [(1,)]

    def fails():
        raise KeyError("mine")

    with safe_globals([(fails, f"{__name__}.note")]), pytest.raises(KeyError, match="mine"):
        loaded(saved(Calls(note)))


def test_modules_that_are_never_trusted():
    import os

    with safe_globals([(os.system, "os.system")]):
        refused(b"\x80\x02cos\nsystem\n" + text("true") + b"\x85R.", "is blocked")


def test_names_that_would_be_refused():
    given = {"a": Trusted(1), "b": WithState(), "c": OrderedDict(x=graphc.ones(2)), "d": {1}}
    found = get_unsafe_globals_in_checkpoint(io.BytesIO(saved(given)))
    assert [name.rpartition(".")[2] for name in found] == ["Trusted", "WithState"] or sorted(
        found
    ) == ["copyreg._reconstructor", *sorted(f"{__name__}.{n}" for n in ("Trusted", "WithState"))]
    with safe_globals([Trusted]):
        found = get_unsafe_globals_in_checkpoint(io.BytesIO(saved(given)))
        assert f"{__name__}.Trusted" not in found
    state = {"model": nn.Linear(2, 2).state_dict(), "size": graphc.Size([1]), "b": b"x"}
    assert get_unsafe_globals_in_checkpoint(io.BytesIO(saved(state))) == []
