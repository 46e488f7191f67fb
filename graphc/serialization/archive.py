"""The archives that PyTorch's files are: zip files whose entries are stored and aligned.

Entries ("records") lie one after the other, uncompressed, in a folder named after the file. Each
begins at a multiple of 64 bytes, for which its header is padded by an extra field ``FB``, and sizes
follow the contents in a data descriptor (PKWARE's APPNOTE.TXT, sections 4.3 to 4.5). Of zip files
that others wrote only stored entries are read: whatever a file claims, what is read of it is no
more than what it holds.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

ALIGNMENT = 64
_MOST32 = 0xFFFFFFFF
_CHUNK = 1 << 26

_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END64 = struct.Struct("<IQHHIIQQQQ")
_LOCATOR = struct.Struct("<IIQI")
_END = struct.Struct("<IHHHHIIH")
_LOCAL_MARK, _CENTRAL_MARK, _DESCRIPTOR_MARK = 0x04034B50, 0x02014B50, 0x08074B50
_END64_MARK, _LOCATOR_MARK, _END_MARK = 0x06064B50, 0x07064B50, 0x06054B50
_DESCRIBED, _UTF8, _ENCRYPTED = 0x0008, 0x0800, 0x0001  # flags of an entry
_ZIP64 = 1  # the extra field for sizes beyond 32 bits

MAGIC = b"PK\x03\x04"


class _Written(NamedTuple):
    name: bytes
    flags: int
    crc: int
    size: int
    start: int
    extra: bytes


class ArchiveWriter:
    """Writes records to a file object, byte for byte as PyTorch does."""

    def __init__(self, file: Any, folder: str) -> None:
        self._file = file
        self._folder = folder
        self._position = 0
        self._entries: list[_Written] = []
        self._fingerprint = 0

    def write(self, name: str, contents: Any) -> None:
        """Adds a record; ``contents`` is anything with a buffer of bytes."""
        path = f"{self._folder}/{name}".encode()
        view = memoryview(contents).cast("B")
        size, start, crc = len(view), self._position, zlib.crc32(view)
        flags = _UTF8 | (_DESCRIBED if size else 0)
        wide = size >= _MOST32 or start >= _MOST32
        # The size in the archive is not known yet, for PyTorch, when it writes the header.
        extra = _zip64(size, 0, start) if wide else b""
        before = start + _LOCAL.size + len(path) + len(extra) + 4
        padding = -before % ALIGNMENT
        extra_and_padding = extra + struct.pack("<2sH", b"FB", padding) + b"Z" * padding
        self._put(
            _LOCAL.pack(
                _LOCAL_MARK, 0, flags, 0, 0, 0, 0, 0, 0, len(path), len(extra_and_padding)
            )
        )  # fmt: skip
        self._put(path + extra_and_padding)
        for first in range(0, size, _CHUNK):
            self._put(view[first : first + _CHUNK])
        if size:
            form = "<IIQQ" if wide else "<IIII"
            self._put(struct.pack(form, _DESCRIPTOR_MARK, crc, size, size))
        known = _zip64(size, size, start) if wide else b""
        self._entries.append(_Written(path, flags, crc, size, start, known))
        if size:
            self._fingerprint = _combined(self._fingerprint, crc)

    def finish(self, version: str) -> None:
        """Adds the format's version and the identity of the contents, and closes the archive."""
        self.write("version", f"{version}\n".encode())
        names = 0
        for entry in self._entries:
            names = _combined(names, zlib.crc32(entry.name[len(self._folder) + 1 :]))
        self.write(".data/serialization_id", f"{names:020d}{self._fingerprint:020d}".encode())
        start = self._position
        for e in self._entries:
            size, offset = min(e.size, _MOST32), min(e.start, _MOST32)
            self._put(
                _CENTRAL.pack(
                    _CENTRAL_MARK, 0, 0, e.flags, 0, 0, 0, e.crc, size, size, len(e.name),
                    len(e.extra), 0, 0, 0, 0, offset,
                )
                + e.name
                + e.extra
            )  # fmt: skip
        end, count = self._position, len(self._entries)
        self._put(
            _END64.pack(
                _END64_MARK, _END64.size - 12, 0x031E, 45, 0, 0, count, count, end - start, start
            )
        )
        self._put(_LOCATOR.pack(_LOCATOR_MARK, 0, end, 1))
        few = min(count, 0xFFFF)
        sizes = (min(end - start, _MOST32), min(start, _MOST32))
        self._put(_END.pack(_END_MARK, 0, 0, few, few, *sizes, 0))

    def _put(self, data: Any) -> None:
        self._position += len(data)
        while True:
            written = self._file.write(data)  # an unbuffered file may take a part only
            if not isinstance(written, int) or written >= len(data):
                return
            data = data[written:]


def _zip64(size: int, packed: int, start: int) -> bytes:
    """The extra field with what does not fit into 32 bits."""
    fields = [size, packed] if size >= _MOST32 else []
    if start >= _MOST32:
        fields.append(start)
    return struct.pack(f"<HH{len(fields)}Q", _ZIP64, 8 * len(fields), *fields)


def _combined(seed: int, value: int) -> int:
    """PyTorch's way to make one number of 64 bits from two."""
    mixed = value + 0x9E3779B9 + (seed << 6) + (seed >> 2)
    return (seed ^ mixed) & (2**64 - 1)


def folder_name(path: str) -> str:
    """The folder inside the archive that PyTorch would choose for a file.

    Raises RuntimeError for a path without a name.
    """
    if not path.isascii():
        return "archive"
    name = os.path.basename(path)
    stem, dot, _ = name.rpartition(".")
    folder = stem if dot else name
    if not folder:
        raise RuntimeError(f"invalid file name: {path}")
    return folder


# ------------------------------------------------------------------------------------------ reading


def damaged(what: str) -> RuntimeError:
    """The error for an archive that is not one, or not all of one."""
    return RuntimeError(
        f"PytorchStreamReader failed reading zip archive: {what}. The file is damaged, was not "
        "written to its end, or does not come from graphc.save or torch.save."
    )


class _Entry(NamedTuple):
    start: int
    size: int
    crc: int
    limit: int  # where the next entry begins


class ArchiveReader:
    """The records of an archive that begins where a seekable file object stands.

    Raises RuntimeError for anything that is not a complete archive of stored entries, each in
    memory of its own.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._base = int(file.tell())
        self._length = int(file.seek(0, os.SEEK_END)) - self._base
        self._entries = self._directory()
        self._folder = next(iter(self._entries), "").partition("/")[0]
        if not any(name.startswith(f"{self._folder}/") for name in self._entries):
            raise damaged("file in archive is not in a subdirectory")

    def __contains__(self, name: str) -> bool:
        return f"{self._folder}/{name}" in self._entries

    def size(self, name: str) -> int:
        """How many bytes a record has."""
        return self._entry(name).size

    def offset(self, name: str) -> int:
        """Where in the file the contents of a record begin."""
        entry = self._entry(name)
        head = self._read(entry.start, _LOCAL.size)
        mark, _, flags, method, _, _, _, _, _, name_length, extra_length = _LOCAL.unpack(head)
        path = f"{self._folder}/{name}".encode()
        if mark != _LOCAL_MARK or name_length != len(path) or method or flags & _ENCRYPTED:
            raise damaged(f"the header of {name} is not the one in the central directory")
        first = entry.start + _LOCAL.size + name_length + extra_length
        if first + entry.size > entry.limit:
            raise damaged(f"{name} reaches into the next entry")
        if self._read(entry.start + _LOCAL.size, name_length) != path:
            raise damaged(f"the header of {name} is not the one in the central directory")
        return self._base + int(first)

    def read(self, name: str) -> bytes:
        """All bytes of a record. Raises RuntimeError when there is none of this name."""
        first = self.offset(name) - self._base
        return self._read(first, self.size(name))

    def read_into(self, name: str, target: memoryview) -> bool:
        """Fills ``target``, as large as the record; gives whether its checksum is the one noted."""
        entry = self._entry(name)
        self._file.seek(self.offset(name))
        crc = done = 0
        while done < entry.size:
            part = self._file.read(min(_CHUNK, entry.size - done))
            if not part:
                raise damaged(f"{name} ends early")
            target[done : done + len(part)] = part
            crc = zlib.crc32(part, crc)
            done += len(part)
        return bool(crc == entry.crc)

    def _entry(self, name: str) -> _Entry:
        found = self._entries.get(f"{self._folder}/{name}")
        if found is None:
            raise damaged(f"file not found: {self._folder}/{name}")
        return found

    def _read(self, start: int, size: int) -> bytes:
        if start < 0 or size < 0 or start + size > self._length:
            raise damaged("a part lies outside of the file")
        self._file.seek(self._base + start)
        data = self._file.read(size)
        while len(data) < size:
            more = self._file.read(size - len(data))
            if not more:
                raise damaged("a part lies outside of the file")
            data += more
        return bytes(data)

    def _directory(self) -> dict[str, _Entry]:
        start, size, count = self._end()
        if start + size > self._length or count * _CENTRAL.size > size:
            raise damaged("failed finding central directory")
        found = dict(_central(self._read(start, size), count))
        if len(found) != count:
            raise damaged("two entries have the same name")
        # Each ends before the next one begins, the last before the directory.
        order = sorted(found, key=lambda name: found[name].start)
        limits = [*(found[name].start for name in order[1:]), start]
        for name, limit in zip(order, limits, strict=True):
            entry = found[name]
            if entry.start + _LOCAL.size + len(name.encode()) + entry.size > limit:
                raise damaged(f"{name} overlaps another entry")
            found[name] = entry._replace(limit=limit)
        return found

    def _end(self) -> tuple[int, int, int]:
        """Start and size of the central directory, and how many entries it has."""
        tail_size = min(self._length, _END.size + 0xFFFF)
        tail = self._read(self._length - tail_size, tail_size)
        place = tail.rfind(struct.pack("<I", _END_MARK))
        if place < 0 or place + _END.size > tail_size:
            raise damaged("failed finding central directory")
        _, disk, disk_of_start, here, count, size, start, _ = _END.unpack_from(tail, place)
        end = self._length - tail_size + place
        if end >= _LOCATOR.size + _END64.size:
            mark, _, end64, _ = _LOCATOR.unpack(self._read(end - _LOCATOR.size, _LOCATOR.size))
            if mark == _LOCATOR_MARK:
                fields = _END64.unpack(self._read(end64, _END64.size))
                if fields[0] != _END64_MARK:
                    raise damaged("failed finding central directory")
                _, _, _, _, disk, disk_of_start, here, count, size, start = fields
                end = end64
        if disk or disk_of_start or here != count or start + size > end:
            raise damaged("failed finding central directory")
        return start, size, count


def _central(data: bytes, count: int) -> Iterator[tuple[str, _Entry]]:
    place = 0
    for _ in range(count):
        if place + _CENTRAL.size > len(data):
            raise damaged("the central directory ends early")
        (
            mark, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length,
            comment_length, _, _, _, start,
        ) = _CENTRAL.unpack_from(data, place)  # fmt: skip
        place += _CENTRAL.size
        after = place + name_length + extra_length + comment_length
        if mark != _CENTRAL_MARK or after > len(data):
            raise damaged("the central directory ends early")
        raw = data[place : place + name_length]
        extra = data[place + name_length : place + name_length + extra_length]
        place = after
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise damaged("an entry has a name that is no UTF-8") from None
        if method or flags & _ENCRYPTED:
            raise damaged(
                f"{name} is compressed or encrypted; graphc.save and torch.save store their entries"
            )
        size, packed, start = _wide(extra, size, packed, start)
        if size != packed:
            raise damaged(f"{name} has {packed} bytes and claims {size}")
        yield name, _Entry(start, size, crc, 0)


def _wide(extra: bytes, *values: int) -> tuple[int, ...]:
    """The values, those that are 32 ones taken from the extra field for larger numbers."""
    if _MOST32 not in values:
        return values
    place = 0
    while place + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, place)
        if kind == _ZIP64:
            known = min(size, len(extra) - place - 4) // 8
            numbers = list(struct.unpack_from(f"<{known}Q", extra, place + 4))
            needed = values.count(_MOST32)
            if len(numbers) >= needed:
                return tuple(numbers.pop(0) if v == _MOST32 else v for v in values)
        place += 4 + size
    return values
