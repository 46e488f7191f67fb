"""Loaded programs, and how Python calls them.

A call fills a frame (the table of addresses, the sizes, the arena, room for an error) and makes
one foreign call. Frames are reused; each belongs to one call at a time, so threads may call a
program at once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphc import config
from graphc.backends.c.interface import interface, libc
from graphc.backends.c.memory import Arena

MAX_THREADS = 256  # as in gc_pool.c

_RTLD_NOW, _RTLD_LOCAL = 2, 0


class IndexReport(IndexError):  # noqa: N818 - becomes the IndexError of the operation
    """A program met an index out of range: at which of its places, which, and the limit."""

    def __init__(self, site: int, value: int, limit: int) -> None:
        super().__init__(f"index {value} is out of bounds for a dimension of size {limit}")
        self.site = site
        self.value = value
        self.limit = limit


class DivisionReport(ZeroDivisionError):  # noqa: N818 - becomes the RuntimeError of the operation
    """A program met an integer divisor that is 0: at which of its places."""

    def __init__(self, site: int) -> None:
        super().__init__("division of integers by zero")
        self.site = site


class Library:
    """A loaded shared library; unloaded when nothing refers to it any more."""

    def __init__(self, path: Path, keep: bool = False) -> None:
        """Raises OSError with the loader's message. ``keep`` never unloads it."""
        ffi = interface()
        self.path = path
        handle = libc().dlopen(str(path).encode(), _RTLD_NOW | _RTLD_LOCAL)
        if handle == ffi.NULL:
            message = libc().dlerror()
            raise OSError(ffi.string(message).decode() if message else f"cannot load {path}")
        self._handle = handle if keep else ffi.gc(handle, libc().dlclose)

    def function(self, name: str, type: str) -> Any:
        """The exported function of that name as a callable of a C type. Raises OSError."""
        ffi = interface()
        found = libc().dlsym(self._handle, name.encode())
        if found == ffi.NULL:
            raise OSError(f"{self.path} exports no {name}")
        return ffi.cast(type, found)


class Pool:
    """The process's thread pool, as the pointer that programs are given."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.pointer = library.function("gc_pool_open", "gc_pool *(*)(void)")()
        config.on_num_threads(self.resize)

    def resize(self, threads: int) -> None:
        """Lets programs use that many threads, the calling one included."""
        self.pointer.threads = threads


class Frame:
    """What one call in flight needs: its table of addresses, its sizes, its arena, its error."""

    __slots__ = ("arena", "buffers", "call", "numbers", "places", "sizes", "table")

    def __init__(
        self,
        buffers: int,
        sizes: int,
        arena_bytes: int,
        threads: int,
        pool: Any,
        constants: Sequence[int] = (),
        numbers: int = 0,
        clocks: Any = None,
    ) -> None:
        ffi = interface()
        self.buffers = ffi.new("uintptr_t[]", max(buffers, 1))
        if constants:
            self.buffers[buffers - len(constants) : buffers] = list(constants)
        self.table = ffi.buffer(self.buffers)
        # Python floats that a call passes live here, at these addresses.
        self.numbers = ffi.new("double[]", max(numbers, 1))
        start = int(ffi.cast("uintptr_t", self.numbers))
        self.places = tuple(start + 8 * i for i in range(numbers))
        self.sizes = ffi.new("int64_t[]", max(sizes, 1))
        self.call = ffi.new("gc_call *")
        self.call.buffers = self.buffers
        self.call.sizes = self.sizes
        self.call.threads = threads
        self.call.pool = pool
        self.call.clocks = ffi.NULL if clocks is None else clocks
        self.arena = Arena(0)
        self.grow(arena_bytes)

    def grow(self, arena_bytes: int) -> None:
        """A larger arena; what was in the old one is lost."""
        self.arena = Arena(arena_bytes)
        self.call.arena = interface().cast("unsigned char *", self.arena.address)


class Program:
    """A compiled program, ready to be called, from several threads at once if need be.

    Most programs are one entry: :meth:`run`. One with host steps between its entries holds its
    frame meanwhile: :meth:`begin`, :meth:`enter` for each entry, :meth:`end`.
    """

    def __init__(
        self,
        library: Library,
        entries: Sequence[str],
        pool: Pool | None,
        *,
        buffers: int,
        sizes: int = 0,
        arena_bytes: int = 0,
        threads: int = MAX_THREADS,
        constants: Sequence[int] = (),
        numbers: int = 0,
        clocks: int = 0,
    ) -> None:
        """``buffers`` and ``sizes`` count what each call passes.

        ``constants`` are the addresses of the last buffers, the same at every call; ``numbers``
        counts the floats that frames have room for; ``clocks`` the launches whose time is taken.

        ``threads`` is how many the arena has room for; fewer may run. Without a pool the program
        runs on the calling thread alone. Raises OSError when the library has no such entry.
        """
        self.library = library
        self.arena_bytes = arena_bytes
        self.threads = threads
        self._entries = [library.function(entry, "gc_entry *") for entry in entries]
        self.entry = self._entries[0]
        self._pool = pool
        self._buffers = buffers
        self._sizes = sizes
        self._constants = tuple(constants)
        self._numbers = numbers
        # For all calls together: who watches the time calls one at a time.
        self._clocks = interface().new("int64_t[]", 2 * clocks) if clocks else None
        self._passed = buffers - len(self._constants)
        self.free: list[Frame] = []  # pop and append are atomic

    def frame(self) -> Frame:
        """A new frame; callers take one from ``free`` first, and put it there afterwards."""
        pool = interface().NULL if self._pool is None else self._pool.pointer
        return Frame(
            self._buffers,
            self._sizes,
            self.arena_bytes,
            self.threads,
            pool,
            self._constants,
            self._numbers,
            self._clocks,
        )

    def clocks(self) -> list[tuple[int, int]]:
        """Nanoseconds and times of each launch since the program was made."""
        read = [] if self._clocks is None else list(self._clocks)
        return [(int(t), int(n)) for t, n in zip(read[::2], read[1::2], strict=True)]

    def run(
        self, addresses: Sequence[int], sizes: Sequence[int] = (), arena_bytes: int = 0
    ) -> None:
        """Runs the (first) entry on the memory at these addresses.

        The caller keeps that memory alive. ``arena_bytes`` enlarges the arena for programs whose
        need depends on their sizes. Raises IndexReport or DivisionReport; the
        outputs are then undefined.
        """
        # begin, enter and end, spelled out: this is the path that small programs live on.
        free = self.free
        try:
            frame = free.pop()
        except IndexError:
            frame = self.frame()
        frame.buffers[0 : self._passed] = addresses
        if sizes:
            frame.sizes[0 : self._sizes] = sizes
        if arena_bytes > frame.arena.size:
            frame.grow(arena_bytes)
        # An interrupt anywhere here loses the frame, which is then simply freed.
        if self.entry(frame.call):
            error = report(frame)
            free.append(frame)
            raise error
        free.append(frame)

    def begin(
        self, addresses: Sequence[int], sizes: Sequence[int] = (), arena_bytes: int = 0
    ) -> Frame:
        """A frame for the entries of one call; its arena keeps its content from one to the next."""
        free = self.free
        try:
            frame = free.pop()
        except IndexError:
            frame = self.frame()
        frame.buffers[0 : self._passed] = addresses
        if sizes:
            frame.sizes[0 : self._sizes] = sizes
        if arena_bytes > frame.arena.size:
            frame.grow(arena_bytes)
        return frame

    def enter(self, frame: Frame, entry: int) -> None:
        """Runs the entry of that number. Raises IndexReport or DivisionReport."""
        if self._entries[entry](frame.call):
            raise report(frame)

    def end(self, frame: Frame) -> None:
        """Gives the frame back; one not given back is freed with its last reference."""
        self.free.append(frame)


def report(frame: Frame) -> IndexReport | DivisionReport:
    """What went wrong in the call that used this frame."""
    error = frame.call.error
    if int(error.state) == 2:
        return DivisionReport(int(error.site))
    return IndexReport(int(error.site), int(error.value), int(error.limit))
