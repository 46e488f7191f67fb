"""Places in the arena: every intermediate by the stages in which it is alive."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from graphc.errors import GraphError
from graphc.kernel import Buffer, HostStep, Launch, Loop, Role
from graphc.sizes import product

ALIGNMENT = 64
Stage = tuple[Launch | Loop | HostStep, ...]


@dataclass(frozen=True)
class Lifetime:
    """Bytes of a buffer (whole cache lines) and the first and last stage that touch it."""

    name: str
    size: int
    first: int
    last: int

    def overlaps(self, other: "Lifetime") -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Arena:
    """Offsets by buffer name. ``live`` is the largest sum of what is alive in one stage."""

    offsets: Mapping[str, int]
    size: int
    live: int


def lifetimes(buffers: Sequence[Buffer], stages: Sequence[Stage]) -> list[Lifetime]:
    """When each intermediate is alive."""
    touched: dict[str, list[int]] = {}
    for number, stage in enumerate(stages):
        for step in stage:
            names = (*step.inputs, *step.outputs) if isinstance(step, HostStep) else step.buffers
            for name in names:
                touched.setdefault(name, []).append(number)
    found = []
    for buffer in buffers:
        if buffer.role is Role.INTERMEDIATE and buffer.name in touched:
            at = touched[buffer.name]
            found.append(Lifetime(buffer.name, _bytes(buffer), min(at), max(at)))
    return found


def _bytes(buffer: Buffer) -> int:
    elements = product(buffer.shape)
    if not isinstance(elements, int):
        raise GraphError(
            f"the intermediate {buffer.name} has the size {elements}, which is not known when the "
            "memory is planned; compile for fixed sizes"
        )
    return aligned(max(elements * buffer.dtype.itemsize, 1))


def aligned(size: int) -> int:
    """The size in whole cache lines."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def planned(lives: Sequence[Lifetime]) -> Arena:
    """The smallest of a few placements, each of which puts buffers into the best fitting gap."""
    orders: tuple[Callable[[Lifetime], tuple[int, ...]], ...] = (
        lambda x: (-x.size, x.first),
        lambda x: (-(x.size * (x.last - x.first + 1)), x.first),
        lambda x: (x.first, -x.size),
        lambda x: (-(x.last - x.first), -x.size),
    )
    best: Arena | None = None
    live = peak(lives)
    for order in orders:
        offsets = _placed(sorted(lives, key=order))
        size = max((offsets[x.name] + x.size for x in lives), default=0)
        if best is None or size < best.size:
            best = Arena(offsets, size, live)
        if size == live:
            break
    assert best is not None
    return best


def peak(lives: Sequence[Lifetime]) -> int:
    """The largest sum of bytes alive in one stage."""
    changes: dict[int, int] = {}
    for x in lives:
        changes[x.first] = changes.get(x.first, 0) + x.size
        changes[x.last + 1] = changes.get(x.last + 1, 0) - x.size
    now = most = 0
    for stage in sorted(changes):
        now += changes[stage]
        most = max(most, now)
    return most


def _placed(lives: Sequence[Lifetime]) -> dict[str, int]:
    offsets: dict[str, int] = {}
    done: list[Lifetime] = []
    for x in lives:
        busy = sorted((offsets[y.name], y.size) for y in done if x.overlaps(y))
        best, tightest, end = -1, -1, 0
        for start, size in busy:
            gap = start - end
            if gap >= x.size and (best < 0 or gap < tightest):
                best, tightest = end, gap
            end = max(end, start + size)
        offsets[x.name] = end if best < 0 else best
        done.append(x)
    return offsets
