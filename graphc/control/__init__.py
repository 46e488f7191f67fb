"""Loops whose steps stay one graph: ``graphc.scan``."""

from graphc.control.repetition import applied, interpreted, repeated
from graphc.control.scanning import scan

__all__ = ["applied", "interpreted", "repeated", "scan"]
