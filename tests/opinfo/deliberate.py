"""Where graphc deliberately differs from PyTorch 2.13: the whole list.

An entry whose samples agree by now fails the full run, so nothing stays here without need.
"""

import re
from typing import NamedTuple


class Entry(NamedTuple):
    """Samples of one name: ``sample`` is searched in the printed sample, ``dtype`` as a regex."""

    name: str
    modes: str
    dtype: str
    sample: str
    reason: str

    def covers(self, dtype: str, sample: str) -> bool:
        return bool(re.fullmatch(self.dtype, dtype) and re.search(self.sample, sample))


ENTRIES: tuple[Entry, ...] = (
    Entry(
        "logcumsumexp",
        "second",
        "float64",
        r"\[5, 5, 5\]",
        "PyTorch's gradient takes the logarithm of the cotangent, so that its own gradient is NaN "
        "where the cotangent is 0",
    ),
)


def entries_of(name: str, mode: str) -> list[Entry]:
    """The entries about one name in one mode."""
    return [e for e in ENTRIES if e.name == name and mode in e.modes.split()]
