"""Things around training: data, checkpointing."""

from graphc.utils import checkpoint, data

__all__ = ["checkpoint", "data"]
