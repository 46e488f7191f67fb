"""Where a tensor's memory is: ``cpu``, or ``cuda`` with or without an index."""

import re
from typing import Any, final

from graphc.errors import hinted

TYPES = ("cpu", "cuda")
_MOST = 127
_FORM = re.compile(r"([^:]*)(?::(0|[1-9]\d*))?")


@final
class device:  # noqa: N801 - PyTorch's name
    """``device("cpu")``, ``device("cuda:1")``, ``device("cuda", 1)``, ``device(another)``.

    Equal devices are one object, so comparing and hashing cost nothing. As in PyTorch, ``cuda``
    (whichever is current) and ``cuda:0`` are different. Raises RuntimeError for text that names no
    device, TypeError for other arguments.
    """

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __new__(cls, type: "str | int | device", index: int | None = None) -> "device":
        if isinstance(type, device) and index is None:
            return type
        if isinstance(type, bool) or not isinstance(type, (str, int)):
            raise TypeError(
                f"device() expects a device, a string such as 'cuda:0', or a string and an index, "
                f"got {_kind(type)}"
            )
        if index is not None and (isinstance(index, bool) or not isinstance(index, int)):
            raise TypeError(
                f"device(): argument 'index' (position 2) must be int, not {_kind(index)}"
            )
        if isinstance(type, int):
            if index is not None:
                raise TypeError("device(): an integer device takes no index argument")
            type = f"cuda:{type}"
        name, written = _parse(type)
        if index is not None and written is not None:
            raise RuntimeError(
                "type (string) must not include an index because index was passed explicitly: "
                f"{type}"
            )
        index = written if index is None else index
        if index is not None and index < 0:
            raise RuntimeError("Device index must not be negative")
        if index is not None and index > _MOST:
            raise RuntimeError(f"Device index must not exceed {_MOST}, got {index}")
        known = _KNOWN.get((name, index))
        return _KNOWN.setdefault((name, index), _make(name, index)) if known is None else known

    def __setattr__(self, name: str, _value: object) -> None:
        raise AttributeError(f"attribute {name!r} of 'graphc.device' objects is not writable")

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"

    def __reduce__(self) -> "tuple[Any, ...]":
        return device, (self.type, self.index)


_KNOWN: dict[tuple[str, int | None], device] = {}


def _kind(value: object) -> str:
    return value.__class__.__name__


def _make(name: str, index: int | None) -> device:
    made = object.__new__(device)
    object.__setattr__(made, "type", name)
    object.__setattr__(made, "index", index)
    return made


def _parse(text: str) -> tuple[str, int | None]:
    if not text:
        raise RuntimeError("Device string must not be empty")
    form = _FORM.fullmatch(text)
    name = text.partition(":")[0] if form is None else form[1]
    if name not in TYPES:
        raise hinted(
            RuntimeError(
                f"Expected one of {', '.join(TYPES)} device type at start of device string: {name}"
            ),
            "graphc knows the devices 'cpu', 'cuda' and 'cuda:<index>'",
        )
    if form is None:
        raise RuntimeError(f"Invalid device string: '{text}'")
    return name, None if form[2] is None else int(form[2])
