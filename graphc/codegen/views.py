"""What templates read: prepared text in small records, nothing left to compute."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """One loop: ``for (var = begin; var < end; var += step)``.

    ``decode`` recovers axes that were flattened into ``var``; ``statements`` are the lines that
    need no loop further in.
    """

    var: str
    begin: str
    end: str
    step: str = "1"
    pragmas: tuple[str, ...] = ()
    decode: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Collected:
    """A reduction: ``held`` accumulates, ``name`` is the result.

    ``update`` joins the value of one point; ``best`` is the extreme itself where ``name`` is its
    position. When parts are joined, each stands in ``part`` (an array at ``part_offset`` bytes of
    the kernel's shared scratch) at index ``at``, and ``rejoin`` joins that one.
    """

    name: str
    kind: str
    held: str
    held_kind: str
    initial: str
    update: tuple[str, ...]
    clause: str
    join: str
    result: str = ""  # the function from what is held to the result, where it is not a cast
    best: str = ""
    best_kind: str = ""
    best_initial: str = ""
    part: str = ""
    part_offset: int = 0
    best_part: str = ""
    best_part_offset: int = 0
    at: str = ""
    rejoin: tuple[str, ...] = ()

    @property
    def widened(self) -> bool:
        return self.held != self.name

    def value(self, place: str = "") -> str:
        """The result, from the accumulator or its element at ``place``."""
        held = f"{self.held}{place}"
        if self.result:
            return f"{self.result}({held})"
        return f"({self.kind}){held}" if self.kind != self.held_kind else held


@dataclass(frozen=True)
class Kept:
    """A value of one phase that a later one reads: with tiles, an array along the lanes."""

    name: str
    kind: str


@dataclass(frozen=True)
class PhaseView:
    """A sweep: loops, what runs at each point, what runs once after it."""

    levels: tuple[Level, ...] = ()
    before: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    reductions: tuple[Collected, ...] = ()
    finals: tuple[str, ...] = ()
    final_stores: tuple[str, ...] = ()
    reads: tuple[Kept, ...] = ()
    keeps: tuple[Kept, ...] = ()
    positions: bool = False  # some reduction starts from a position
    shared: str = ""
    grain: int = 1


@dataclass(frozen=True)
class Lanes:
    """The vectorised axis of a tiled nest: ``axis`` runs from ``start`` over ``width`` lanes.

    ``tiles`` is the loop over tiles where it is not one of the nest's own levels.
    """

    axis: str
    start: str
    width: str
    extent: str
    size: int
    tiles: tuple[Level, ...] = ()


@dataclass(frozen=True)
class NestView:
    """A nest. ``shared`` is the trip count that threads divide; empty when one thread runs it.

    ``owner`` is then the number of that thread (modulo the threads there are), unless the whole
    kernel runs on one.
    """

    levels: tuple[Level, ...]
    phases: tuple[PhaseView, ...]
    before: tuple[str, ...] = ()
    shared: str = ""
    grain: int = 1
    owner: int | None = None
    scoped: bool = False
    after: tuple[str, ...] = ()
    lanes: Lanes | None = None
    parts: int = 0


@dataclass(frozen=True)
class CallView:
    """A nest that a function computes; ``owner`` as in :class:`NestView`."""

    call: str
    owner: int | None = None


@dataclass(frozen=True)
class NestText:
    """One nest as text. ``declarations`` stand before the function, once each.

    ``shared_bytes`` of scratch are for all threads together, ``own_bytes`` for each; ``alone``
    says that a single thread runs it.
    """

    text: str
    declarations: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    shared_bytes: int = 0
    own_bytes: int = 0
    alone: bool = False


@dataclass(frozen=True)
class ParamView:
    declaration: str
    comment: str = ""


@dataclass(frozen=True)
class KernelView:
    name: str
    params: tuple[ParamView, ...]
    bodies: tuple[str, ...]
    comments: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    declarations: tuple[str, ...] = ()
    alone: bool = False  # every nest runs on thread 0


@dataclass(frozen=True)
class LoopView:
    """Stages repeated ``steps`` times; ``setup`` names the memory of one step.

    Threads divide ``parts`` of the loop, if there are several, and each runs its own alone, the
    last one first if ``reverse``: a gradient begins with what the loop before it wrote last, which
    is still in the cache.
    """

    comment: str
    steps: int
    setup: tuple[str, ...]
    stages: "tuple[StageView, ...]"
    parts: int = 1
    reverse: bool = False


@dataclass(frozen=True)
class StageView:
    """Calls and loops that do not depend on each other, and whether threads must meet after them.

    With ``stop`` the program ends before this stage if an index was out of range: what the caller
    passed is written from here on, and stays as it was.
    """

    calls: tuple[str, ...]
    barrier: bool
    stop: bool = False
    loops: tuple[LoopView, ...] = ()


@dataclass(frozen=True)
class SegmentView:
    """The launches between two host steps: one exported entry. ``setup`` names its memory."""

    entry: str
    body: str
    setup: tuple[str, ...]
    stages: tuple[StageView, ...]
    threads: int


@dataclass(frozen=True)
class ProgramView:
    includes: tuple[str, ...]
    declarations: tuple[str, ...]
    segments: tuple[SegmentView, ...]
