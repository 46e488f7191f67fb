"""Messages between a loader and its workers: Python objects whose tensors are in shared memory.

A message is pickled with its arrays and tensors beside the pickle. All of it lies one after the
other in a *block*: a small block goes through the socket, a large one is shared memory whose
descriptor goes through the socket, and the tensors on the other side are views of it. A block is
gone when the last of them is, or when a socket is closed with the block still under way.
"""

import functools
import io
import os
import pickle
import selectors
import socket
import struct
from collections.abc import Callable, Iterator
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

from graphc import shared_memory
from graphc.dtypes import dtype as DType
from graphc.functions.copying import leaf_on
from graphc.tensor import Array, Tensor

_HEADER = struct.Struct("=QQ?")  # parts, bytes of the block, whether it is shared memory
_ALIGNMENT = 64
_SMALL = 1 << 16  # bytes of a block up to which a copy is cheaper than a mapping
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)
_CAN_SHARE = shared_memory.AVAILABLE and hasattr(socket, "send_fds")


class _Pickler(ForkingPickler):
    """Tensors give their memory, as arrays do, instead of a copy of it."""

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, Tensor):
            return NotImplemented
        if obj.requires_grad and not obj.is_leaf:
            raise RuntimeError(
                "Cowardly refusing to serialize non-leaf tensor which requires_grad, since "
                "autograd does not support crossing process boundaries. If you just want to "
                "transfer the data, call detach() on the tensor before serializing (e.g., putting "
                "it on the queue)."
            )
        array = obj._array()
        if not array.flags.c_contiguous:
            array = array.copy("K")  # dense, its dimensions in the order they had in memory
        flat = np.lib.stride_tricks.as_strided(array, (array.size,), (array.itemsize,))
        memory = pickle.PickleBuffer(flat.view(np.uint8))  # type: ignore[arg-type]
        layout = (obj.dtype, array.shape, array.strides)
        return _tensor, (type(obj), memory, *layout, obj.requires_grad), obj.__dict__ or None


def _tensor(
    cls: type, memory: Any, dtype: DType, shape: Any, strides: Any, requires_grad: bool
) -> Tensor:
    array: Array = np.ndarray(shape, dtype.numpy, memory if len(memory) else None, 0, strides)
    return leaf_on(cls, Tensor._make(array), requires_grad)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _parts(message: Any) -> list[Any]:
    """The pickle, then the memory beside it; before them their sizes."""
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    _Pickler(stream, 5, True, buffers.append).dump(message)
    parts = [stream.getbuffer(), *(buffer.raw() for buffer in buffers)]
    sizes = np.array([part.nbytes for part in parts], np.int64)
    return [memoryview(sizes).cast("B"), *parts]  # type: ignore[arg-type]


def _placed(parts: list[Any]) -> Iterator[tuple[int, memoryview]]:
    start = 0
    for part in parts:
        if part.nbytes:
            yield start, part.cast("B")
        start += _aligned(part.nbytes)


def _message(block: Array, count: int) -> Any:
    sizes = block[: 8 * count].view(np.int64).tolist()
    parts, start = [], _aligned(8 * count)
    for size in sizes:
        parts.append(memoryview(block[start : start + size]))  # type: ignore[arg-type]
        start += _aligned(size)
    return pickle.loads(parts[0], buffers=parts[1:])


class Channel:
    """One end of a connection. Closed ends raise EOFError or OSError at the other."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def __reduce__(self) -> Any:
        return Channel, (self._socket,)

    def never_block(self) -> None:
        """Sending waits only where ``meanwhile`` can be called."""
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """What ``multiprocessing.connection.wait`` asks for; -1 once closed."""
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def send(self, message: Any, meanwhile: Callable[[], None] | None = None) -> None:
        """Sends a message; calls ``meanwhile`` when one comes in before all of it has gone.

        Two ends that both send, and read only afterwards, could wait for each other forever.
        """
        parts = _parts(message)
        size = sum(_aligned(part.nbytes) for part in parts)
        shared = _CAN_SHARE and size > _SMALL
        header = _HEADER.pack(len(parts) - 1, size, shared)
        if not shared:
            block = bytearray(size)
            for start, part in _placed(parts):
                block[start : start + part.nbytes] = part
            self._write(header + block, (), meanwhile)
            return
        descriptor = shared_memory.create(size)
        try:
            for start, part in _placed(parts):
                shared_memory.write(descriptor, part, start)
            self._write(header, (descriptor,), meanwhile)
        finally:
            os.close(descriptor)

    def receive(self) -> Any:
        """The next message, once it is there. Raises EOFError when the other end is closed."""
        header, descriptors = self._header()
        count, size, shared = _HEADER.unpack(header)
        if not shared:
            block: Array = np.empty(size, np.uint8)
            self._read(memoryview(block))  # type: ignore[arg-type]
            return _message(block, count)
        try:
            block = shared_memory.mapped_or_copied(descriptors[0], size)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return _message(block, count)

    def _header(self) -> tuple[bytes, list[int]]:
        if not _CAN_SHARE:
            header, descriptors = self._patiently(lambda: self._socket.recv(_HEADER.size)), []
        else:
            header, descriptors, _, _ = self._patiently(
                lambda: socket.recv_fds(self._socket, _HEADER.size, 1, _CLOSE_ON_EXEC)
            )
        if not header:
            raise EOFError("the other end of the connection is closed")
        rest = bytearray(_HEADER.size - len(header))
        self._read(memoryview(rest))
        return header + rest, descriptors

    def _read(self, into: memoryview) -> None:
        while into:
            count = self._patiently(functools.partial(self._socket.recv_into, into))
            if not count:
                raise EOFError("the connection ended in the middle of a message")
            into = into[count:]

    def _patiently(self, receive: Callable[[], Any]) -> Any:
        while True:
            try:
                return receive()
            except BlockingIOError:
                self._wait(selectors.EVENT_READ)

    def _write(
        self, data: Any, descriptors: tuple[int, ...], meanwhile: Callable[[], None] | None
    ) -> None:
        view = memoryview(data)
        while view:
            try:
                if descriptors:
                    sent = socket.send_fds(self._socket, [view], descriptors)
                    descriptors = ()
                else:
                    sent = self._socket.send(view)
                view = view[sent:]
            except BlockingIOError:
                events = selectors.EVENT_WRITE | (selectors.EVENT_READ if meanwhile else 0)
                if self._wait(events) & selectors.EVENT_READ and meanwhile is not None:
                    meanwhile()

    def _wait(self, events: int) -> int:
        """Which of the events happened, at least one of them."""
        with _Selector() as selector:
            selector.register(self._socket, events)
            return sum(happened for _, happened in selector.select())
