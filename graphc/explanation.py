"""What was fused and why not more: facts about each kernel, for people."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Fused:
    """One kernel. ``nodes`` are operations by name; ``stored`` tells for every value that the
    kernel writes why it is written and not passed on in registers.
    """

    kernel: str
    stage: int
    nodes: tuple[str, ...]
    stored: tuple[tuple[str, str], ...]
    readers: tuple[tuple[str, ...], ...]  # for each stored value, the kernels that load it
    bytes_read: int
    bytes_written: int
    flops: int


@dataclass(frozen=True)
class Explanation:
    """Facts about a whole program. ``arena_live`` is the least that any plan could need."""

    kernels: tuple[Fused, ...]
    arena_bytes: int
    arena_live: int

    def __str__(self) -> str:
        return self.text({})

    def text(self, times: Mapping[str, tuple[int, int]]) -> str:
        """The facts, and by kernel the nanoseconds in all and the number of its runs."""
        lines = [
            f"{len(self.kernels)} kernels, arena {self.arena_bytes} bytes "
            f"(at most {self.arena_live} alive at once)"
        ]
        total = sum(t for t, _ in times.values())
        for k in self.kernels:
            lines.append(
                f"stage {k.stage}  {k.kernel}: reads {k.bytes_read} B, writes {k.bytes_written} B, "
                f"{k.flops} operations"
            )
            if k.kernel in times:
                lines.append(f"    {_timed(k, *times[k.kernel], total)}")
            lines.append(f"    {' '.join(dict.fromkeys(k.nodes))}")
            for (name, why), readers in zip(k.stored, k.readers, strict=True):
                to = f", read by {', '.join(readers)}" if readers else ""
                lines.append(f"    stores {name}: {why}{to}")
        return "\n".join(lines)


def _timed(kernel: Fused, nanoseconds: int, runs: int, total: int) -> str:
    if not runs or not nanoseconds:
        return "has not run"
    each = nanoseconds / runs
    moved = kernel.bytes_read + kernel.bytes_written
    return (
        f"{runs} runs of {each / 1e3:.1f} us, {nanoseconds / total:.1%} of the time: "
        f"{kernel.flops / each:.1f} GFLOP/s, {moved / each:.1f} GB/s"
    )
