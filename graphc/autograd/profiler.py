"""The older place of :mod:`graphc.profiler`."""

from typing import Any

from graphc import profiler
from graphc.profiler import record_function

__all__ = ["profile", "record_function"]


class profile(profiler.profile):  # noqa: N801 - PyTorch's name
    """:class:`graphc.profiler.profile` with its older arguments; ``enabled=False`` does nothing."""

    def __init__(self, enabled: bool = True, *, record_shapes: bool = False, **_: Any) -> None:
        super().__init__(record_shapes=record_shapes)
        self._enabled = enabled

    def start(self) -> None:
        if self._enabled:
            super().start()

    def __str__(self) -> str:
        return self.table()
