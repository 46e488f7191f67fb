"""What rendering gives: all that there is to know of a program that was rendered before."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """One source file."""

    filename: str
    text: str


@dataclass(frozen=True)
class ProgramSource:
    """Everything to compile, and what the caller must prepare.

    ``entries`` are the exported functions, one for each run of stages between host steps.
    ``kernels`` maps the name of each of the program's kernels to that of the function (and, with
    the suffix, the file) that computes it. ``clocks`` names the kernels whose time is taken, in
    the order of their clocks.
    """

    units: tuple[Unit, ...]
    entries: tuple[str, ...]
    kernels: Mapping[str, str]
    threads: int
    intermediate_bytes: int
    shared_bytes: int
    own_bytes: int
    clocks: tuple[str, ...] = ()

    def arena_bytes(self, threads: int) -> int:
        """The size of the arena when up to ``threads`` threads may run."""
        return self.intermediate_bytes + self.shared_bytes + threads * self.own_bytes
