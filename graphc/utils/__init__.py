"""Things around training: data, checkpointing, files, watching."""

from graphc.utils import checkpoint, data, dlpack, safetensors, tensorboard

__all__ = ["checkpoint", "data", "dlpack", "safetensors", "tensorboard"]
