"""Event files: records that TensorBoard reads while a program writes them.

A record is a length, the contents, and a checksum of either (TensorFlow's TFRecord format). They
are written by the calling thread into a buffer, so nothing is lost after :meth:`EventFile.flush`,
and no thread or queue is there to be copied by a fork.
"""

import itertools
import os
import socket
import struct
import threading
import time
from typing import Any

_numbers = itertools.count()


def _masked(data: bytes) -> int:
    """The checksum of a record's part, as the format turns it."""
    from tensorboardX.crc32c import crc32c

    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


class EventFile:
    """One event file in a folder, with the methods of tensorboardX's ``FileWriter``.

    It goes to disk when ``max_queue`` events wait or ``flush_secs`` seconds have passed since it
    last did. After :meth:`close` the next event begins another file.
    """

    def __init__(self, folder: str, max_queue: int, flush_secs: float, suffix: str) -> None:
        self._folder, self._suffix = folder, suffix
        self._most, self._seconds = max_queue, flush_secs
        self._lock = threading.Lock()
        self._file: Any = None
        self._waiting = 0
        self._flushed = 0.0

    def get_logdir(self) -> str:
        """The folder that the file is in."""
        return self._folder

    def add_event(self, event: Any, step: Any = None, walltime: float | None = None) -> None:
        """Writes an ``Event``, at this step and time, or now."""
        event.wall_time = time.time() if walltime is None else walltime
        if step is not None:
            event.step = int(step)
        with self._lock:
            if self._file is None:
                self._open()
            self._write(event)
            self._waiting += 1
            if self._waiting > self._most or time.time() - self._flushed >= self._seconds:
                self._flush()

    def add_summary(self, summary: Any, global_step: Any = None, walltime: Any = None) -> None:
        """Writes a ``Summary``."""
        from tensorboardX.proto.event_pb2 import Event

        self.add_event(Event(summary=summary), global_step, walltime)

    def flush(self) -> None:
        """Brings every event to disk."""
        with self._lock:
            if self._file is not None:
                self._flush()

    def close(self) -> None:
        """Brings every event to disk and closes the file."""
        with self._lock:
            if self._file is not None:
                self._flush()
                self._file.close()
                self._file = None

    def _open(self) -> None:
        from tensorboardX.proto.event_pb2 import Event

        os.makedirs(self._folder, exist_ok=True)
        place = f"{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        name = f"events.out.tfevents.{place}{self._suffix}"
        self._file = open(os.path.join(self._folder, name), "xb")  # noqa: SIM115 - until close
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._flush()

    def _write(self, event: Any) -> None:
        data = event.SerializeToString()
        head = struct.pack("<Q", len(data))
        ends = struct.pack("<I", _masked(head)), struct.pack("<I", _masked(data))
        self._file.write(head + ends[0] + data + ends[1])

    def _flush(self) -> None:
        self._file.flush()
        self._waiting, self._flushed = 0, time.time()
