"""Device objects: their forms, identity and errors."""

import copy
import pickle

import pytest

from graphc.device import device


@pytest.mark.parametrize(
    ("made", "text", "shown"),
    [
        (device("cpu"), "cpu", "device(type='cpu')"),
        (device("cpu", 0), "cpu:0", "device(type='cpu', index=0)"),
        (device("cuda:1"), "cuda:1", "device(type='cuda', index=1)"),
        (device("cuda", 1), "cuda:1", "device(type='cuda', index=1)"),
        (device(type="cuda", index=2), "cuda:2", "device(type='cuda', index=2)"),
        (device(3), "cuda:3", "device(type='cuda', index=3)"),
        (device(device("cuda")), "cuda", "device(type='cuda')"),
    ],
)
def test_forms(made, text, shown):
    assert (str(made), repr(made)) == (text, shown)


def test_equal_devices_are_one_object():
    assert device("cuda:1") is device("cuda", 1)
    assert device("cuda") != device("cuda:0")
    assert device("cpu") != "cpu"
    assert len({device("cpu"), device("cpu"), device("cuda")}) == 2
    for d in (device("cpu"), device("cuda:1")):
        assert pickle.loads(pickle.dumps(d)) is copy.deepcopy(d) is d


def test_a_device_cannot_be_changed():
    with pytest.raises(AttributeError, match="'index' of 'graphc.device' objects is not writable"):
        device("cpu").index = 1  # type: ignore[misc]


# The exception types are PyTorch's; so are the words, except where they list all its devices.
NONSENSE = [
    (("",), RuntimeError, "Device string must not be empty"),
    (("nonsense",), RuntimeError, "device type at start of device string: nonsense"),
    (("CUDA",), RuntimeError, "device type at start of device string: CUDA"),
    (("gpu:0",), RuntimeError, "device type at start of device string: gpu"),
    (("cpu:x",), RuntimeError, "Invalid device string: 'cpu:x'"),
    (("cuda:",), RuntimeError, "Invalid device string: 'cuda:'"),
    (("cuda:-1",), RuntimeError, "Invalid device string: 'cuda:-1'"),
    (("cuda:01",), RuntimeError, "Invalid device string: 'cuda:01'"),
    (("cuda:0 ",), RuntimeError, "Invalid device string: 'cuda:0 '"),
    (("cuda:0\n",), RuntimeError, "Invalid device string: 'cuda:0\n'"),
    (("cuda:1:2",), RuntimeError, "Invalid device string: 'cuda:1:2'"),
    (("cuda", -1), RuntimeError, "Device index must not be negative"),
    (
        ("cuda:1", 1),
        RuntimeError,
        "type (string) must not include an index because index was passed explicitly: cuda:1",
    ),
    ((1.5,), TypeError, "got float"),
    ((None,), TypeError, "got NoneType"),
    ((True,), TypeError, "got bool"),
    (("cuda", "1"), TypeError, "argument 'index' (position 2) must be int, not str"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), NONSENSE)
def test_nonsense_raises(arguments, error, words):
    with pytest.raises(error) as caught:
        device(*arguments)
    assert words in str(caught.value)


def test_an_index_that_no_machine_has_raises():
    with pytest.raises(RuntimeError, match="must not exceed 127, got 300"):
        device("cuda:300")


def test_an_unknown_type_says_what_there_is():
    with pytest.raises(RuntimeError, match="hint: graphc knows the devices 'cpu', 'cuda'"):
        device("tpu")


@pytest.mark.differential
@pytest.mark.parametrize(("arguments", "error", "words"), NONSENSE)
def test_nonsense_is_nonsense_to_pytorch(arguments, error, words):
    torch = pytest.importorskip("torch")
    with pytest.raises(error) as caught:
        torch.device(*arguments)
    if not words.startswith("got "):
        assert words in str(caught.value)
