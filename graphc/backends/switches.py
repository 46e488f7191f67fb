"""PyTorch's settings of libraries that graphc does not use: they remember what they were given.

Every switch can be read and set; none changes a result. Products are computed in full precision,
algorithms are chosen without measuring, and results are the same every time.
"""

import contextlib
from collections.abc import Iterator
from typing import Any


class Switches:
    """Named settings with their first values; other names are refused."""

    def __init__(self, **settings: Any) -> None:
        self.__dict__.update(settings)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__dict__:
            raise AttributeError(f"Unknown attribute {name}; there are {', '.join(self.__dict__)}")
        self.__dict__[name] = value


@contextlib.contextmanager
def changed(space: Any, **settings: Any) -> Iterator[None]:
    """Sets attributes of a module and puts them back at the end."""
    before = {name: getattr(space, name) for name in settings}
    try:
        for name, value in settings.items():
            setattr(space, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(space, name, value)
