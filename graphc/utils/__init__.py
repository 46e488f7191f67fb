"""Things around training: data, checkpointing."""

from graphc.utils import checkpoint, data, dlpack

__all__ = ["checkpoint", "data", "dlpack"]
