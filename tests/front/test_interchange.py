"""Memory shared through DLPack and buffers: with NumPy, with PyTorch, and with what is refused."""

import array as arrays
import gc
import mmap
import weakref
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.utils.dlpack import DLDeviceType
from tests.front.expressions import check, lines, torch

pytestmark = pytest.mark.differential

CALLS = lines("""
    t.from_dlpack(np.arange(3))
    t.from_dlpack(np.arange(6.0).reshape(2, 3).T)
    t.from_dlpack(np.arange(6)[::2])
    t.from_dlpack(np.array(2.5))
    t.from_dlpack(np.array([True, False]))
    t.from_dlpack(np.zeros((0, 3))).shape
    t.from_dlpack(np.arange(3), device="cpu")
    t.from_dlpack(np.arange(3), copy=True)
    t.from_dlpack(np.arange(3), copy=False)
    t.from_dlpack(np.frombuffer(b"abcd", dtype=np.uint8))
    t.from_dlpack(t.arange(3))
    t.from_dlpack(t.to_dlpack(t.arange(3)))
    t.utils.dlpack.from_dlpack(t.utils.dlpack.to_dlpack(t.ones(2, dtype=t.bfloat16)))
    t.from_dlpack([1])
    t.from_dlpack(3)
    (lambda c: (t.from_dlpack(c), t.from_dlpack(c)))(t.to_dlpack(t.arange(3)))
    t.ones(2, requires_grad=True).__dlpack__()
    type(t.ones(2).__dlpack__()).__name__
    repr(t.ones(2).__dlpack__(max_version=(1, 0))).split('"')[1]
    repr(t.ones(2).__dlpack__()).split('"')[1]
    t.ones(2).__dlpack__(stream=1)
    type(t.ones(2).__dlpack__(stream=None, dl_device=(1, 0), copy=True)).__name__
    t.ones(2).__dlpack_device__()
    np.from_dlpack(t.ones(2))
    np.from_dlpack(t.arange(6).reshape(2, 3).t())
    np.from_dlpack(t.tensor([True, False]))
    np.from_dlpack(t.ones(2)).flags.writeable
    np.from_dlpack(t.ones(2), copy=True)
    np.from_dlpack(t.ones(2, dtype=t.bfloat16))
    np.from_dlpack(t.ones(2, requires_grad=True))
    t.frombuffer(bytearray(b"abcd"), dtype=t.int16)
    t.frombuffer(bytearray(b"abcd"), dtype=t.uint8, count=2, offset=1)
    t.frombuffer(bytearray(b"abcd"), dtype=t.bool)
    t.frombuffer(bytearray(b"abcd"), dtype=t.bfloat16)
    t.frombuffer(bytearray(b"abcd"), dtype=t.float32, requires_grad=True)
    t.frombuffer(bytearray(b"abcde"), dtype=t.int16, count=2)
    t.frombuffer(np.arange(4), dtype=t.int64)
    t.frombuffer(bytearray(b"abcd"), dtype=t.uint8, offset=4)
    t.frombuffer(bytearray(b"abcd"), dtype=t.uint8, offset=-1)
    t.frombuffer(bytearray(b"abcd"), dtype=t.int32, offset=1)
    t.frombuffer(bytearray(b"abcde"), dtype=t.int16)
    t.frombuffer(bytearray(b"abcde"), dtype=t.int16, count=3)
    t.frombuffer(bytearray(b"abcde"), dtype=t.int16, count=0)
    t.frombuffer(bytearray(b""), dtype=t.int16)
    t.frombuffer([1], dtype=t.int16)
    t.frombuffer(bytearray(b"abcd"))
    t.frombuffer(bytearray(b"abcd"), dtype=t.int32, requires_grad=True)
    t.asarray([1, 2.5])
    t.asarray(3)
    t.asarray(np.float64(3))
    t.asarray(np.array([1, 2]))
    t.asarray(bytearray(b"abcd"))
    t.asarray(bytearray(b"abcd"), dtype=t.int16)
    t.asarray(memoryview(bytearray(b"abcd")), dtype=t.uint8)
    t.asarray(t.ones(2), requires_grad=True)
    t.asarray(t.ones(2, requires_grad=True), requires_grad=False)
    t.asarray(t.ones(2), dtype=t.float64)
    t.asarray([1, 2], dtype=float)
    t.asarray(np.array([1, 2]), copy=True)
    (lambda x: (t.asarray(x) is x, t.asarray(x, copy=True) is x))(t.ones(2))
    t.asarray(np.array([1, 2])[::-1])
    t.asarray(bytearray(b"abcd"), dtype=t.int64)
    t.asarray([1, 2], copy=False)
    t.asarray(np.array([1, 2]), dtype=t.float32, copy=False)
    t.asarray(t.ones(2), dtype=t.float64, copy=False)
    t.asarray(None)
    t.asarray("ab")
    t.asarray([1, 2], dtype=t.int32, requires_grad=True)
""")


@pytest.mark.parametrize("line", CALLS)
def test_as_in_pytorch(line: str) -> None:
    check(line)


@pytest.mark.parametrize("dtype", graphc.dtypes.ALL, ids=repr)
def test_pytorch_and_graphc_share_memory_both_ways(dtype: Any) -> None:
    theirs_of = getattr(torch, dtype.name)
    ours = graphc.tensor([0, 1, 1, 0]).to(dtype)
    theirs = torch.from_dlpack(ours)
    assert theirs.dtype is theirs_of
    assert theirs.data_ptr() == ours.data_ptr()
    theirs[0] = 1
    assert ours[0].item() == 1
    back = graphc.from_dlpack(theirs)
    assert back.dtype is dtype
    assert back.data_ptr() == ours.data_ptr()
    back[3] = 1
    assert bool((theirs == 1).all())
    own = torch.tensor([[0, 1], [1, 1]]).to(theirs_of).t()
    taken = graphc.from_dlpack(own)
    assert (taken.dtype, taken.stride(), taken.data_ptr()) == (dtype, (1, 2), own.data_ptr())
    assert taken.float().tolist() == own.float().tolist()
    for capsule in (own.__dlpack__(), own.__dlpack__(max_version=(1, 0))):
        old = graphc.from_dlpack(capsule)
        old[0, 0] = 1
        assert own[0, 0].item() == 1
        own[0, 0] = 0
    copied = graphc.from_dlpack(own, copy=True)
    copied[0, 0] = 1
    assert own[0, 0].item() == 0


def test_memory_lives_as_long_as_anybody_uses_it() -> None:
    held = np.arange(1000.0)
    gone = weakref.ref(held)
    x = graphc.from_dlpack(held)
    part = x[10:20]
    del held, x
    gc.collect()
    assert gone() is not None
    assert part.tolist() == list(range(10, 20))
    theirs = torch.from_dlpack(part)
    del part
    gc.collect()
    assert theirs.tolist() == list(range(10, 20))
    del theirs
    gc.collect()
    assert gone() is None


def test_memory_marked_read_only_stays_so() -> None:
    x = graphc.from_dlpack(np.frombuffer(b"abcd", dtype=np.uint8))
    with pytest.raises((RuntimeError, ValueError)):
        x.add_(1)
    y = graphc.frombuffer(b"abcd", dtype=graphc.uint8)
    with pytest.raises((RuntimeError, ValueError)):
        y.zero_()
    assert (x + y).tolist() == [2 * b for b in b"abcd"]


def test_buffers_of_many_kinds_are_shared() -> None:
    numbers = arrays.array("f", [1.0, 2.0])
    pages = mmap.mmap(-1, 8)
    for buffer in (bytearray(8), numbers, pages, memoryview(bytearray(8)), np.zeros(2, np.float32)):
        x = graphc.frombuffer(buffer, dtype=graphc.float32)
        x[1] = 7
        assert graphc.frombuffer(buffer, dtype=graphc.float32)[1].item() == 7
    assert numbers[1] == 7
    assert (
        graphc.asarray(numbers, dtype=graphc.float32).data_ptr()
        == graphc.frombuffer(numbers, dtype=graphc.float32).data_ptr()
    )


class Elsewhere:
    """An object whose memory is on a GPU."""

    def __dlpack__(self, **_named: Any) -> Any:
        raise AssertionError("nobody may ask for the capsule")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


class Old:
    """A producer from before the keywords."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, stream: Any = None) -> Any:
        return self.array.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def test_producers() -> None:
    with pytest.raises(BufferError, match="not on the CPU"):
        graphc.from_dlpack(Elsewhere())
    held = np.arange(3.0)
    x = graphc.from_dlpack(Old(held))
    x[0] = 5
    assert held[0] == 5
    with pytest.raises(BufferError, match="exported to the device"):
        x.__dlpack__(dl_device=(2, 0))
    assert x.__dlpack_device__() == (DLDeviceType.kDLCPU, 0)
    with pytest.raises((TypeError, RuntimeError, BufferError)):
        graphc.from_dlpack(np.zeros(2, np.complex64))


def test_memory_inside_a_compiled_function_is_refused() -> None:
    held = np.ones(2)
    for make in (
        lambda: graphc.from_dlpack(held),
        lambda: graphc.frombuffer(held, dtype=graphc.float64),
        lambda: graphc.from_numpy(held),
    ):
        compiled = graphc.compile(lambda x, make=make: x + make())
        with pytest.raises(RuntimeError, match="frozen at the first call"):
            compiled(graphc.ones(2))
