"""Which files are compiled together.

Starting a compiler and reading the runtime's headers takes as long as compiling a small kernel, so
kernels share translation units: one for each processor, or several where they are long.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SourceFile:
    """A file of C. The name is for people; equal texts are built once."""

    name: str
    text: str


# Of a unit, in milliseconds of gcc 12 on a processor of 2024: what is worth one of its own, and
# what is too much for one, since the last unit to end should not end long after the others.
_LEAST, _MOST = 60.0, 800.0


def cost(file: SourceFile) -> float:
    """About the milliseconds that compiling the file takes, headers aside."""
    return 4.0 * file.text.count("for (") + 0.0026 * len(file.text)


def grouped(files: Sequence[SourceFile], jobs: int) -> list[list[SourceFile]]:
    """The files in groups of about equal cost for ``jobs`` compilers, the longest group first."""
    costs = {file.name: cost(file) for file in files}
    total = sum(costs.values())
    rounds = -(-total // (_MOST * jobs))
    count = max(1, int(min(jobs * rounds, total // _LEAST, len(files))))
    groups: list[list[SourceFile]] = [[] for _ in range(count)]
    filled = [(0.0, number) for number in range(count)]  # a heap
    for file in sorted(files, key=lambda file: -costs[file.name]):
        taken, number = filled[0]
        groups[number].append(file)
        heapq.heapreplace(filled, (taken + costs[file.name], number))
    order = sorted(filled, key=lambda each: (-each[0], each[1]))
    return [groups[number] for _, number in order if groups[number]]
