"""Memory of large results: taken again when nobody holds the result, never while somebody does."""

import gc
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import graphc as torch
from graphc import memory

SIDE = 512  # a float32 matrix of LARGE bytes
FLOAT = np.dtype(np.float32)


@pytest.fixture(autouse=True)
def _nothing_waits() -> Iterator[None]:
    gc.collect()
    memory._waiting.clear()
    yield
    memory._waiting.clear()


def address(array: Any) -> int:
    return int(array.ctypes.data)


def test_memory_is_taken_again_once_it_is_free() -> None:
    first = memory.empty((SIDE, SIDE), FLOAT)
    place = address(first)
    assert place % 64 == 0
    first[...] = 1
    row = first[3]
    del first
    second = memory.empty((SIDE, SIDE), FLOAT)
    assert address(second) != place  # a view still shows the first
    second[...] = 2
    assert (row == 1).all()
    del row
    assert address(memory.empty((SIDE * SIDE,), FLOAT)) == place
    assert address(memory.empty((SIDE, SIDE + 1), FLOAT)) != place


def test_little_arrays_are_numpys_own() -> None:
    assert memory.empty((SIDE, SIDE - 1), FLOAT).base is None
    assert not memory._waiting


def test_what_waits_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = [memory.empty((SIDE, SIDE), FLOAT) for _ in range(20)]
    del arrays
    assert len(memory._waiting) == memory._MOST_BLOCKS
    monkeypatch.setattr(memory, "_MOST_BYTES", 3 << 20)
    large, larger = memory.empty((2 << 20,), np.dtype(np.int8)), memory.empty((9 << 20,), FLOAT)
    del large
    assert [m.nbytes >> 20 for m in memory._waiting.values()] == [1, 2]
    del larger
    assert not memory._waiting


def test_who_owns_memory() -> None:
    owned = memory.empty((SIDE, SIDE), FLOAT)
    assert memory.owns_memory(owned) and memory.owns_memory(np.ones(3))
    assert not memory.owns_memory(owned[1:]) and not memory.owns_memory(owned.view())
    assert not memory.owns_memory(np.frombuffer(b"12345678", np.float32))


def test_a_compiled_function_in_a_loop_uses_two_places() -> None:
    f = torch.compile(lambda x: x * 2)
    x = torch.ones(SIDE, SIDE)
    places = set()
    for _ in range(6):
        y = f(x)
        places.add(address(y.numpy()))
    assert len(places) == 2
    kept = f(x)
    for _ in range(3):
        y = f(y)
    assert (kept == 2).all() and (y == 2 ** (6 - 2)).all()


def test_gradients_of_compiled_functions_are_their_own() -> None:
    w = torch.ones(SIDE, SIDE, requires_grad=True)
    f = torch.compile(lambda w: (w * w).sum())
    f(w).backward()
    kept = w.grad
    w.grad = None
    f(w * 3).backward()
    assert (kept == 2).all() and (w.grad == 18).all()


def test_threads_never_get_the_same_memory() -> None:
    wrong = []

    def work(number: int) -> None:
        for _ in range(300):
            array = memory.empty((SIDE * SIDE,), FLOAT)
            array[::1024] = number
            if (array[::1024] != number).any():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
