"""Places that a function may write to: what they held before a trace, and what it put there."""

from dataclasses import dataclass
from typing import Any

MISSING: Any = object()


@dataclass
class Place:
    """Something that can be assigned to, and what it held: a dict, a list, or a closure cell."""

    container: Any
    text: str
    before: Any
    keys: tuple[str, ...] | None = None  # of a dict: only these entries matter


@dataclass
class Change:
    """What the trace left in a place: to be repeated at every run."""

    container: Any
    key: Any
    before: Any
    value: Any


def restored(place: Place) -> list[Change]:
    """Puts a place back to what it held; tells what was changed."""
    where, before = place.container, place.before
    if isinstance(where, list):
        if len(where) == len(before) and all(a is b for a, b in zip(where, before, strict=True)):
            return []
        now = list(where)
        where[:] = before
        return [Change(where, None, None, now)]
    if not isinstance(where, dict):  # a closure cell
        now = where.cell_contents
        if now is before:
            return []
        where.cell_contents = before
        return [Change(where, None, before, now)]
    changes = []
    keys = place.keys if place.keys is not None else dict.fromkeys((*before, *where))
    for key in keys:
        old, new = before.get(key, MISSING), where.get(key, MISSING)
        if old is new:
            continue
        changes.append(Change(where, key, old, new))
    for c in changes:
        if c.before is MISSING:
            where.pop(c.key, None)
        else:
            where[c.key] = c.before
    return changes
