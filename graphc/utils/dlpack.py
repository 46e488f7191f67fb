"""``graphc.utils.dlpack``: memory shared with other libraries."""

from graphc.interchange import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
