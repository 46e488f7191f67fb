"""``graphc.utils.dlpack``: memory shared with other libraries."""

from graphc.interchange import DLDeviceType, from_dlpack, to_dlpack

__all__ = ["DLDeviceType", "from_dlpack", "to_dlpack"]
