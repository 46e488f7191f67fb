"""From the primitive graph to the loop IR: fusion, loops, schedule, memory."""

from graphc.lowering.lower import Lowered, lower

__all__ = ["Lowered", "lower"]
