"""``save``: objects with tensors in them as PyTorch's files."""

import io
import os
import pickle
import sys
from typing import Any

from graphc.errors import TraceError
from graphc.modes import MODES
from graphc.serialization.archive import ALIGNMENT, ArchiveWriter, folder_name
from graphc.serialization.atomic import replacing
from graphc.serialization.pickler import Memories, pickler_of

DEFAULT_PROTOCOL = 2


def save(
    obj: object,
    f: Any,
    pickle_module: Any = pickle,
    pickle_protocol: int = DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Writes an object to a file that ``graphc.load`` and PyTorch's ``torch.load`` read.

    ``f`` is a path, or a file object with ``write`` and ``flush``. Tensors that share memory share
    it again when they are loaded, and what they share is written once. A path is replaced in one
    step: a save that is interrupted leaves the old file as it was. Raises RuntimeError where the
    folder does not exist, where tensors show the same memory in two dtypes, and for PyTorch's old
    format; whatever pickle raises for objects that cannot be pickled.
    """
    if MODES.trace is not None:
        raise TraceError(
            "graphc.save writes a file once, while a compiled function is traced and not when it "
            "runs: call it outside of the compiled function"
        )
    is_path = isinstance(f, (str, os.PathLike))
    if not is_path and not callable(getattr(f, "write", None)):
        raise AttributeError(
            "expected 'f' to be string, path, or a file-like object with a 'write' attribute"
        )
    if not _use_new_zipfile_serialization:
        raise RuntimeError(
            "graphc.save writes PyTorch's zip files, which PyTorch reads since 1.4, and not the "
            "format before them (_use_new_zipfile_serialization=False)"
        )
    path = os.fsdecode(os.fspath(f)) if is_path else ""
    folder = folder_name(path) if is_path else "archive"
    pickled, memories = _pickled(obj, pickle_module, pickle_protocol)
    if is_path:
        with replacing(path) as file:
            _write(file, folder, pickled, memories, not _disable_byteorder_record)
    else:
        _write(f, folder, pickled, memories, not _disable_byteorder_record)
        if callable(getattr(f, "flush", None)):
            f.flush()


def _pickled(obj: object, pickle_module: Any, protocol: int) -> tuple[memoryview, Memories]:
    kind = pickler_of(pickle_module)
    memories = Memories()
    while True:
        buffer = io.BytesIO()
        pickler = kind(buffer, protocol=protocol)
        pickler.memories = memories
        pickler.dump(obj)
        if not memories.grew:
            return buffer.getbuffer(), memories
        memories.grew = False


def _write(file: Any, folder: str, pickled: Any, memories: Memories, with_order: bool) -> None:
    archive = ArchiveWriter(file, folder)
    archive.write("data.pkl", pickled)
    archive.write(".format_version", b"1")
    archive.write(".storage_alignment", str(ALIGNMENT).encode())
    if with_order:
        archive.write("byteorder", sys.byteorder.encode())
    for memory in memories.found.values():
        archive.write(f"data/{memory.key}", memory.contents())
    archive.finish("3")
