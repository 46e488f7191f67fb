"""``load``: what ``graphc.save`` and PyTorch's ``torch.save`` wrote."""

import mmap as mapped_memory
import os
import pickle
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import cuda
from graphc.device import device
from graphc.errors import TraceError
from graphc.modes import MODES
from graphc.serialization.archive import MAGIC, ArchiveReader, damaged
from graphc.serialization.names import (
    STORAGES,
    WRITTEN,
    StorageType,
    found_here,
    layout_named,
    refuse_foreign,
    swapped,
)
from graphc.serialization.rebuild import Rebuilder
from graphc.serialization.restricted import Machine, trusted
from graphc.storage import TypedStorage, UntypedStorage
from graphc.tape import Storage
from graphc.tensor import Array

_NEWEST = 10  # the version of the format that is understood
_OLD_MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa850192e")  # PyTorch's before its zip files
_UNSAFE = (
    "Re-running `graphc.load` with `weights_only` set to `False` will likely succeed, but it can "
    "result in arbitrary code execution. Do it only if you got the file from a trusted source."
)


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Reads what ``graphc.save`` or PyTorch's ``torch.save`` wrote.

    ``f`` is a path or a seekable file object. By default (``weights_only``) nothing in the file is
    run: it may hold tensors, numbers, text and plain containers, and what
    ``graphc.serialization.add_safe_globals`` names. ``weights_only=False`` runs what the file says
    and also reads whole modules, PyTorch's ``nn`` classes as graphc's. ``map_location`` is a
    device, a dict from the devices in the file to others, or a function of a storage and its
    device. ``mmap=True`` leaves the elements in the file until they are used; writes to them stay
    in memory.

    Raises pickle.UnpicklingError for what ``weights_only`` refuses and for damaged pickles, and
    RuntimeError for files that are damaged or in an old format, and for tensors that graphc does
    not have.
    """
    if MODES.trace is not None:
        raise TraceError(
            "graphc.load would read the file once, while a compiled function is traced and not "
            "when it runs: call it outside of the compiled function"
        )
    restricted = pickle_module is None if weights_only is None else weights_only
    if restricted and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    if restricted and pickle_load_args:
        warnings.warn("pickle_load_args only works if `weights_only=False`.", stacklevel=2)
    is_path = isinstance(f, (str, os.PathLike))
    if is_path and os.fspath(f).endswith(".safetensors"):
        return _load_safetensors(os.fspath(f), map_location)
    if mmap and not is_path:
        raise ValueError("f must be a file path in order to use the mmap argument")
    file = open(f, "rb") if is_path else _seekable(f)  # noqa: SIM115 - closed below
    try:
        _check_format(file)
        contents = _Contents(ArchiveReader(file), map_location, _mapped(file) if mmap else None)
        if restricted:
            return _load_restricted(contents)
        return contents.unpickled(
            pickle if pickle_module is None else pickle_module, pickle_load_args
        )
    finally:
        if is_path:
            file.close()


def get_unsafe_globals_in_checkpoint(f: Any) -> list[str]:
    """The names in a file that ``load(weights_only=True)`` would refuse; nothing of it is run.

    ``f`` is a path or a seekable file object. Raises RuntimeError for a damaged file.
    """
    import pickletools

    from graphc.serialization.restricted import known_names

    is_path = isinstance(f, (str, os.PathLike))
    file = open(f, "rb") if is_path else _seekable(f)  # noqa: SIM115 - closed below
    try:
        _check_format(file)
        data = ArchiveReader(file).read("data.pkl")
    finally:
        if is_path:
            file.close()
    allowed = {*known_names(), *trusted()}
    allowed.update(f"{module}.{name}" for module, name in Rebuilder().functions())
    found = []
    try:
        for code, argument, _ in pickletools.genops(data):
            if code.name == "GLOBAL":
                path = str(argument).replace(" ", ".").replace("__builtin__.", "builtins.")
                if path not in allowed and path not in found:
                    found.append(path)
    except ValueError as error:
        raise damaged(f"its pickle is none: {error}") from None
    return found


# ---------------------------------------------------------------------------------------- the file


def _seekable(f: Any) -> Any:
    if not callable(getattr(f, "read", None)):
        raise AttributeError(
            f"'{type(f).__name__}' object has no attribute 'read'. graphc.load takes a path or a "
            "file object that is open for reading bytes"
        )
    try:
        f.seek(f.tell())
    except (AttributeError, OSError) as error:
        raise type(error)(
            f"{error}. You can only graphc.load from a file that is seekable. Please pre-load the "
            "data into a buffer like io.BytesIO and try to load from it instead."
        ) from None
    return f


def _check_format(file: Any) -> None:
    """Raises RuntimeError unless a zip file begins here."""
    start = file.tell()
    head = file.read(512)
    file.seek(start)
    if not isinstance(head, bytes):
        raise TypeError("graphc.load reads bytes: open the file with mode 'rb'")
    if head.startswith(MAGIC):
        return
    if _OLD_MAGIC in head[:32] or head[257:262] == b"ustar":
        raise RuntimeError(
            "the file is in the format that PyTorch wrote before version 1.6, which graphc does "
            "not read. Convert it with PyTorch: torch.save(torch.load(path), path)"
        )
    if not head:
        raise damaged("the file is empty")
    raise damaged("not a ZIP archive")


def _mapped(file: Any) -> Array:
    pages = mapped_memory.mmap(file.fileno(), 0, access=mapped_memory.ACCESS_COPY)
    return np.frombuffer(pages, np.uint8)


def _load_restricted(contents: "_Contents") -> Any:
    try:
        return contents.restricted()
    except pickle.UnpicklingError as error:
        message = str(error)
        if "was not an allowed global" in message:
            message = (
                "Weights only load failed. This file can still be loaded, to do so you have two "
                "options, do those steps only if you trust the source of the checkpoint. \n\t(1) "
                f"{_UNSAFE}\n\t(2) Alternatively, to load with `weights_only=True` please check "
                "the recommended steps in the following error message.\n\tWeightsUnpickler error: "
                + message
            )
        elif message.startswith("the pickle"):  # it is damaged for everybody
            message = f"Weights only load failed: {message}"
        else:
            message = f"Weights only load failed. {_UNSAFE}\n\n{message}"
        raise pickle.UnpicklingError(message) from error.__cause__


def _load_safetensors(path: str, map_location: Any) -> Any:
    from graphc.utils.safetensors import load_file

    if map_location is not None and not isinstance(map_location, (str, device)):
        raise RuntimeError(
            "Loading safetensors file with a map_location that is no device is not supported. Use "
            "a device string or graphc.device instead."
        )
    return load_file(path, "cpu" if map_location is None else str(map_location))


class _Contents:
    """A file's pickle and its storages."""

    def __init__(self, archive: ArchiveReader, map_location: Any, pages: Array | None) -> None:
        self._archive = archive
        self._pages = pages
        self._place = _placement(map_location)
        self._rebuilder = Rebuilder()
        self._memories: dict[str, tuple[Array, Storage]] = {}
        if "constants.pkl" in archive:
            raise RuntimeError(
                "the file is a TorchScript archive (torch.jit.save), which graphc does not run; "
                "save the module's state_dict() instead"
            )
        self._check_version()
        order = archive.read("byteorder") if "byteorder" in archive else b"little"
        if order not in (b"little", b"big"):
            raise damaged(f"Unknown endianness type: {order[:20]!r}")
        self._foreign_order = order.decode() != sys.byteorder

    def _check_version(self) -> None:
        name = next((n for n in (".data/version", "version") if n in self._archive), None)
        if name is None:
            raise damaged("it has no version")
        text = self._archive.read(name)[:20].strip()
        if not text.isdigit() or not 1 <= int(text) <= _NEWEST:
            raise RuntimeError(
                f"Attempted to read a PyTorch file with version {text.decode(errors='replace')}, "
                f"but the maximum supported version for reading is {_NEWEST}."
            )

    def restricted(self) -> Any:
        """The object, if it is plain."""
        functions = self._rebuilder.functions()
        return Machine(self._archive.read("data.pkl"), functions, self.storage).run()

    def unpickled(self, module: Any, arguments: dict[str, Any]) -> Any:
        """The object, for which the pickle may run anything."""
        import io

        functions: dict[Any, Any] = {name: known for known, name in WRITTEN.items()}
        functions.update(self._rebuilder.functions())
        functions["torch.serialization", "_get_layout"] = layout_named
        find_storage = self.storage

        class Unpickler(module.Unpickler):  # type: ignore[misc]
            def find_class(self, module_name: str, name: str) -> Any:
                if module_name.partition(".")[0] != "torch":
                    return super().find_class(module_name, name)
                refuse_foreign(module_name, name)
                if name in STORAGES:
                    return STORAGES[name]
                known = functions.get((module_name, name))
                return found_here(module_name, name) if known is None else known

            def persistent_load(self, saved: Any) -> Any:
                return find_storage(saved)

        arguments.setdefault("encoding", "utf-8")
        return Unpickler(io.BytesIO(self._archive.read("data.pkl")), **arguments).load()

    # ------------------------------------------------------------------------------------ storages

    def storage(self, saved: Any) -> Any:
        """The storage that a persistent id names."""
        if (
            not isinstance(saved, tuple)
            or len(saved) != 5
            or saved[0] not in ("storage", b"storage")
        ):
            raise pickle.UnpicklingError("Only persistent_load of storage is allowed")
        _, kind, key, location, count = saved
        if isinstance(location, bytes):
            location = location.decode("ascii", "replace")
        if not isinstance(kind, StorageType) or type(key) is not str or type(location) is not str:
            raise pickle.UnpicklingError("the file names a storage that is none")
        dtype = kind.dtype
        record = f"data/{key}"
        size = self._archive.size(record)
        if type(count) is not int or count * dtype.itemsize != size:
            raise damaged(f"{record} has {size} bytes, which are not {count} of {dtype.name}")
        known = self._memories.get(key)
        if known is None:
            known = self._memories[key] = self._read(record, size, kind, location)
        raw, version = known
        if kind.name == "UntypedStorage":
            return UntypedStorage._of(raw, version)
        if raw.size != size:
            raise RuntimeError("map_location changed the size of a storage")
        return TypedStorage._of(raw.view(dtype.numpy), version)

    def _read(
        self, record: str, size: int, kind: StorageType, location: str
    ) -> tuple[Array, Storage]:
        raw: Array
        first = self._archive.offset(record)
        if self._pages is not None and first % kind.dtype.itemsize == 0:
            raw = self._pages[first : first + size]
        else:
            raw = np.empty(size, np.uint8)
            if not self._archive.read_into(record, memoryview(raw)):  # type: ignore[arg-type]
                warnings.warn(
                    f"{record} does not have the checksum that was noted when it was written: "
                    "the file may be damaged",
                    stacklevel=2,
                )
        if self._foreign_order:
            swapped(raw, kind.dtype)
        placed = self._place(UntypedStorage._of(raw, Storage()), location)
        return placed._flat, placed._count


# ----------------------------------------------------------------------------------------- devices


def _placement(map_location: Any) -> Callable[[UntypedStorage, str], Any]:
    """What moves a storage to where ``map_location`` wants it, given where it was."""
    if map_location is None:
        return default_restore_location
    if isinstance(map_location, dict):
        return lambda storage, location: default_restore_location(
            storage, map_location.get(location, location)
        )
    if isinstance(map_location, (str, bytes, device)):
        where = map_location.decode() if isinstance(map_location, bytes) else str(map_location)
        return lambda storage, _: default_restore_location(storage, where)
    if not callable(map_location):
        raise TypeError(
            "map_location must be a device, a string, a dict or a function, not "
            f"{type(map_location).__name__}"
        )

    def asked(storage: UntypedStorage, location: str) -> Any:
        chosen = map_location(storage, location)
        if chosen is None:
            return default_restore_location(storage, location)
        if not isinstance(chosen, (TypedStorage, UntypedStorage)):
            raise TypeError(f"map_location returned {type(chosen)}, not a storage or None")
        return UntypedStorage._of(chosen._flat.view(np.uint8), chosen._count)

    return asked


def default_restore_location(storage: UntypedStorage, location: Any) -> UntypedStorage:
    """The storage at a location. Raises RuntimeError where there is no such device."""
    location = str(location)
    if location == "cpu":
        return storage
    if location.partition(":")[0] == "cuda" and not cuda.is_available():
        raise RuntimeError(
            "Attempting to deserialize object on a CUDA device but graphc.cuda.is_available() is "
            "False. If you are running on a CPU-only machine, please use graphc.load with "
            "map_location=graphc.device('cpu') to map your storages to the CPU."
        )
    raise RuntimeError(
        "don't know how to restore data location of graphc.storage.UntypedStorage (tagged with "
        f"{location[:40]}); graphc.load(..., map_location='cpu') maps storages to the CPU"
    )
