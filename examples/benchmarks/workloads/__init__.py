"""All workloads: one row each, beside the programs that it makes."""

from . import arrays, classifiers, images, perceptrons, sequences
from .rows import MAIN, ODD, SIZES, TABLES, THREADS, Call, Row, Training, Work

__all__ = ["MAIN", "ODD", "SIZES", "TABLES", "THREADS", "WORKLOADS"]
__all__ += ["Call", "Row", "Training", "Work"]

FAMILIES = (perceptrons, images, sequences, arrays, classifiers)
WORKLOADS = {row.name: row for family in FAMILIES for row in family.ROWS}
