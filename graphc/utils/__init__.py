"""Things around training: data."""

from graphc.utils import data

__all__ = ["data"]
