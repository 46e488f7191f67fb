"""Versions: of PyTorch, whose names and meanings these are, and of graphc itself.

``graphc.__version__`` is what programs compare (``torch.__version__ >= "2.0"``): PyTorch's version,
with graphc's own after the plus sign.
"""

import re
from typing import Any

_FORM = re.compile(
    r"v?(?P<release>\d+(?:\.\d+)*)(?:[._-]?(?P<stage>a|b|c|rc|alpha|beta|pre|preview)[._-]?"
    r"(?P<number>\d*))?(?P<rest>.*?)(?:\+(?P<local>.*))?",
    re.IGNORECASE,
)


def _key(version: Any) -> tuple[Any, ...]:
    """What versions are ordered by: numbers, then the stage before a release, then the local part.

    Raises ValueError for what is no version.
    """
    if isinstance(version, (tuple, list)):
        version = ".".join(map(str, version))
    found = _FORM.fullmatch(str(version).strip())
    if found is None:
        raise ValueError(f"Invalid version: {version!r}")
    numbers = [int(n) for n in found["release"].split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    development = ".dev" in found["rest"]
    stage = (found["stage"] or "").lower()[:1] or ("" if development else "release")
    order = ["", "a", "b", "c", "p", "r", "release"].index(stage)
    return numbers, order, int(found["number"] or 0), not development, found["local"] or ""


class Version(str):
    """A version as text, which compares with text and tuples as versions do."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        try:
            return _key(self) == _key(other)
        except ValueError:
            return False

    def __lt__(self, other: Any) -> bool:
        return _key(self) < _key(other)

    def __gt__(self, other: Any) -> bool:
        return _key(self) > _key(other)

    def __le__(self, other: Any) -> bool:
        return _key(self) <= _key(other)

    def __ge__(self, other: Any) -> bool:
        return _key(self) >= _key(other)

    __hash__ = str.__hash__


graphc = "0.1.0"
__version__ = Version(f"2.13.0+graphc{graphc}")
cuda: str | None = None
hip: str | None = None
debug = False
git_version: str | None = None
