"""Nested lists, tuples and dicts of tensors: taken apart into leaves and put together again."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tree:
    """The shape of a nest: ``kind`` is the container's type, None for a leaf."""

    kind: type | None
    keys: tuple[Any, ...] = ()
    children: "tuple[Tree, ...]" = ()


LEAF = Tree(None)
_CONTAINERS = (list, tuple, dict, OrderedDict)


def _is_container(value: Any) -> bool:
    kind = type(value)
    return kind in _CONTAINERS or (isinstance(value, tuple) and hasattr(value, "_fields"))


def flatten(value: Any) -> tuple[list[Any], Tree]:
    """The leaves in order, and the tree that :func:`unflatten` needs."""
    leaves: list[Any] = []
    return leaves, _flatten(value, leaves)


def _flatten(value: Any, leaves: list[Any]) -> Tree:
    if not _is_container(value):
        leaves.append(value)
        return LEAF
    if isinstance(value, Mapping):
        keys = tuple(value)
        return Tree(type(value), keys, tuple(_flatten(value[k], leaves) for k in keys))
    return Tree(type(value), (len(value),), tuple(_flatten(v, leaves) for v in value))


def unflatten(tree: Tree, leaves: Sequence[Any]) -> Any:
    """The nest with these leaves."""
    return _build(tree, iter(leaves))


def _build(tree: Tree, leaves: Iterator[Any]) -> Any:
    kind = tree.kind
    if kind is None:
        return next(leaves)
    parts = [_build(child, leaves) for child in tree.children]
    if issubclass(kind, dict):
        return kind(zip(tree.keys, parts, strict=True))
    if hasattr(kind, "_fields"):
        return kind(*parts)
    return list(parts) if kind is list else tuple(parts)
