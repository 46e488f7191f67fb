"""Tensors in the safetensors format, by the library of that name (the extra ``safetensors``).

The functions are those of ``safetensors.torch``. A file holds contiguous tensors by name and
nothing that could run; tensors that share memory are refused by :func:`save_file`, and are written
once, under one of their names, by :func:`save_model`.
"""

import os
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.nn.module import Module
from graphc.serialization.atomic import replacing
from graphc.tensor import Array, Tensor

_DTYPES = {
    "F64": dtypes.float64,
    "F32": dtypes.float32,
    "F16": dtypes.float16,
    "BF16": dtypes.bfloat16,
    "I64": dtypes.int64,
    "I32": dtypes.int32,
    "I16": dtypes.int16,
    "I8": dtypes.int8,
    "U8": dtypes.uint8,
    "BOOL": dtypes.bool_,
}


def _library() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ModuleNotFoundError(
            "the safetensors format is read and written by the library safetensors: "
            "pip install 'graphc[safetensors]'",
            name="safetensors",
        ) from None
    return safetensors


def save(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """The contents of a file with these tensors.

    Raises ValueError for what is no dict of contiguous tensors, RuntimeError where some of them
    share memory.
    """
    if not isinstance(tensors, dict):
        raise ValueError(f"Expected a dict of [str, graphc.Tensor] but received {type(tensors)}")
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(
                f"Key `{name}` is invalid, expected graphc.Tensor but received {type(tensor)}"
            )
    shared = [names for names in _groups(tensors) if len(names) > 1]
    if shared:
        raise RuntimeError(
            "Some tensors share memory, this will lead to duplicate memory on disk and potential "
            f"differences when loading them again: {shared}. A potential way to correctly save "
            "your model is to use `save_model`."
        )
    arrays = {}
    for name, tensor in tensors.items():
        arrays[name] = tensor._array()
        if not arrays[name].flags.c_contiguous:
            raise ValueError(
                f"You are trying to save a non contiguous tensor: `{name}` which is not allowed. "
                "Save the whole tensor that it is a part of and slice it after loading, or call "
                "`.contiguous()` on it before saving."
            )
    return bytes(_library().numpy.save(arrays, metadata=metadata))


def save_file(
    tensors: dict[str, Tensor],
    filename: str | os.PathLike[str],
    metadata: dict[str, str] | None = None,
) -> None:
    """Writes :func:`save`'s bytes to a file, in place of the old one once they are all there."""
    contents = save(tensors, metadata)
    with replacing(os.fspath(filename)) as file:
        file.write(contents)


def load(data: bytes) -> dict[str, Tensor]:
    """The tensors in the contents of a file. Raises RuntimeError for damaged contents."""
    library = _library()
    try:
        found = library.deserialize(data)
    except library.SafetensorError as error:
        raise RuntimeError(f"these are no contents of a safetensors file: {error}") from None
    return {
        name: _tensor(name, known["dtype"], known["shape"], known["data"]) for name, known in found
    }


def load_file(filename: str | os.PathLike[str], device: Any = "cpu") -> dict[str, Tensor]:
    """The tensors in a file. Raises RuntimeError for a damaged one."""
    with open(filename, "rb") as file:
        found = load(file.read())
    return {name: x.to(device) for name, x in found.items()}  # type: ignore[attr-defined]


def _tensor(name: str, kind: str, shape: list[int], data: Any) -> Tensor:
    dtype = _DTYPES.get(kind)
    if dtype is None:
        raise RuntimeError(f"{name} has elements of type {kind}, which graphc does not have")
    array = np.frombuffer(data, dtype.numpy).reshape(shape)
    if not array.flags.writeable:
        array = array.copy()
    return Tensor._make(array)  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------------------ models


def save_model(
    model: Module,
    filename: str | os.PathLike[str],
    metadata: dict[str, str] | None = None,
    force_contiguous: bool = True,
) -> None:
    """Writes the state dict of a module; of what shares memory, one.

    The metadata notes for each name left out the one under which its elements are. Raises
    RuntimeError where several tensors overlap and none of them shows all.
    """
    state = dict(model.state_dict())
    notes = dict(metadata or {})
    for kept, dropped in _duplicates(state).items():
        for name in dropped:
            notes.setdefault(name, kept)
            del state[name]
    if force_contiguous:
        state = {name: tensor.contiguous() for name, tensor in state.items()}
    save_file(state, filename, notes or None)


def load_model(
    model: Module,
    filename: str | os.PathLike[str],
    strict: bool = True,
    device: Any = "cpu",
) -> tuple[set[str], list[str]]:
    """Copies a file that :func:`save_model` wrote into a module.

    Gives the names that the file does not have, and those that the module does not have; with
    ``strict`` any of them is a RuntimeError.
    """
    state = load_file(filename, device)
    duplicates = _duplicates(model.state_dict(), preferred=set(state))
    result = model.load_state_dict(state, strict=False)
    missing, unexpected = set(result.missing_keys), list(result.unexpected_keys)
    for dropped in duplicates.values():
        for name in dropped:
            if name in missing:
                missing.remove(name)
            else:
                unexpected.append(name)
    if strict and (missing or unexpected):
        error = f"Error(s) in loading state_dict for {type(model).__name__}:"
        for what, names in (("Missing", sorted(missing)), ("Unexpected", sorted(unexpected))):
            if names:
                quoted = ", ".join(f'"{name}"' for name in names)
                error += f"\n    {what} key(s) in state_dict: {quoted}"
        raise RuntimeError(error)
    return missing, unexpected


def _range(array: Array) -> tuple[int, int]:
    """First and last address (exclusive) of an array's memory."""
    first = int(array.__array_interface__["data"][0])
    reach = sum(step * (n - 1) for n, step in zip(array.shape, array.strides, strict=True))
    return (first, first + reach + array.itemsize) if array.size else (first, first)


def _groups(tensors: dict[str, Tensor]) -> list[list[str]]:
    """The names of tensors that show elements of the same memory, in groups."""
    places = sorted((*_range(x._array()), name) for name, x in tensors.items())
    groups: list[list[str]] = []
    end = -1
    for low, high, name in places:
        if low == high:
            continue
        if low < end:
            groups[-1].append(name)
        else:
            groups.append([name])
        end = max(end, high)
    return groups


def _duplicates(
    tensors: dict[str, Tensor], preferred: set[str] | None = None
) -> dict[str, list[str]]:
    """For each group that shares memory the name to be kept, and the others."""
    found = {}
    for names in _groups(tensors):
        if len(names) < 2:
            continue
        ranges = {name: _range(tensors[name]._array()) for name in names}
        whole = min(low for low, _ in ranges.values()), max(high for _, high in ranges.values())
        complete = sorted(
            name
            for name in names
            if ranges[name] == whole
            and tensors[name].numel() * tensors[name].dtype.itemsize == whole[1] - whole[0]
        )
        if not complete:
            raise RuntimeError(
                "Error while trying to find names to remove to save state dict, but found no "
                f"suitable name to keep for saving amongst: {names}. None is covering the entire "
                "storage. Refusing to save/load the model since you could be storing much more "
                "memory than needed."
            )
        kept = next((name for name in complete if name in (preferred or ())), complete[0])
        found[kept] = sorted(name for name in names if name != kept)
    return found
