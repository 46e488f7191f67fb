"""Sizes as programs for PyTorch take them apart, and keys of wrapped models."""

from collections.abc import Callable, Iterable
from typing import Any


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple[Any, ...]]:
    """A function that gives what can be iterated over as a tuple, anything else ``n`` times."""

    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    parse.__name__ = name
    return parse


_single = _ntuple(1, "_single")
_pair = _ntuple(2, "_pair")
_triple = _ntuple(3, "_triple")
_quadruple = _ntuple(4, "_quadruple")


def _reverse_repeat_tuple(t: Any, n: int) -> tuple[Any, ...]:
    """Each entry ``n`` times, from the last to the first."""
    return tuple(x for x in reversed(t) for _ in range(n))


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Takes a prefix like ``"module."`` off the keys, in place; also off those of the versions."""
    _without(state_dict, prefix)
    metadata = getattr(state_dict, "_metadata", None)
    if metadata is not None:
        _without(metadata, prefix)
        if prefix.rstrip(".") in metadata:  # of the wrapped module itself
            metadata[""] = metadata.pop(prefix.rstrip("."))


def _without(names: dict[str, Any], prefix: str) -> None:
    for key in [key for key in names if key.startswith(prefix)]:
        names[key[len(prefix) :]] = names.pop(key)
