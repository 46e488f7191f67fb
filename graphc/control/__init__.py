"""Loops whose steps stay one graph: ``graphc.scan``."""

from graphc.control.known import Known
from graphc.control.repetition import applied, interpreted, repeated
from graphc.control.scanning import scan

__all__ = ["Known", "applied", "interpreted", "repeated", "scan"]
