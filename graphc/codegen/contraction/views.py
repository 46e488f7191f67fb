"""What the templates of contractions read: prepared text in small records."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Loop:
    """``for (var = begin; var < end; var++)``; where ``skip`` does not hold, a step is left out."""

    var: str
    begin: str
    end: str
    skip: str = ""


@dataclass(frozen=True)
class TileView:
    """A tile function: ``lines`` by ``across`` vectors of sums, over a block of the depth.

    In a dot tile ``across`` counts lanes: its vectors run along the depth.
    """

    name: str
    comment: str
    dot: bool
    kind: str
    factor: str  # what lines and lanes hold
    vector: str
    factors: str  # the vectors of factors
    pairs: bool  # a sum takes the products of two factors at a time
    width: int
    lines: int
    across: int
    row: int  # elements between the lines of ``sums``
    params: tuple[str, ...]
    loops: tuple[Loop, ...]
    line_offset: str
    lane_offset: str
    line_loops: tuple[Loop, ...]  # over the lines of a tile
    line_place: str
    line_number: str
    before_loads: tuple[str, ...]
    loads: tuple[str, ...]  # of each vector of lanes
    places: tuple[str, ...]  # of their sums within a line of ``sums``
    resumed: bool  # it may have to go on with earlier sums
    remainder: str = ""  # dot: steps of the last axis beyond whole vectors


@dataclass(frozen=True)
class TileCall:
    """A call of a tile function, and when it is the one to call ("": otherwise)."""

    condition: str
    text: str


@dataclass(frozen=True)
class PackView:
    """Packing one strip or panel for a block of the depth, a row of ``size`` for each step.

    ``how``: ``copy`` runs along the tile, ``across`` transposes, ``points`` computes each element.
    Where the depth goes by pairs, a step is a pair and puts ``per`` = 2 elements side by side.
    """

    how: str
    comment: str
    kind: str
    source_kind: str
    zero: str
    vector: str
    width: int
    per: int
    second: tuple[str, ...]  # tells which step has a pair's second element
    both: str  # whether it has one
    converted: str  # the end of the names of functions that convert
    size: int  # elements of a row
    to: str
    loops: tuple[Loop, ...]  # over the depth
    at: str  # the number of the row
    groups: tuple[Loop, ...]  # over the axes of the tile; a run takes the place of the last
    element: str  # within the row
    ragged: bool  # a tile may stick out at the end
    source: str = ""
    loaded: str = ""  # copy: an element of the source
    other: str = ""  # copy: the source of second elements
    run: int = 1
    valid: str = ""  # elements of a run that exist
    stride: str = ""
    count: str = ""  # across: elements of the depth in a row
    ahead: str = ""  # elements to a piece of memory that is fetched; "": none is
    piece: str = ""  # its elements
    pitch: int = 0  # across: elements from one row to that of the next element in memory
    decode: tuple[str, ...] = ()
    points: tuple[tuple[tuple[str, ...], str], ...] = ()  # statements and values of a step
    simd: bool = True


@dataclass(frozen=True)
class HaloView:
    """A copy of an operand with zeros around it, so that nothing needs a condition any more."""

    comment: str
    kind: str
    zero: str
    buffer: str  # the pointer to the copy
    start: str
    each: str  # the number of what is copied, for copies that each thread makes; "": of all
    planes: str
    decode: tuple[str, ...]
    to: str
    source: str
    loops: tuple[Loop, ...]  # over all but the last padded dimension
    inside: str
    row: str
    source_row: str
    size: int
    before: int
    valid: int
    step: int  # between the elements of a row, in the copy
    stride: int  # and in the original


@dataclass(frozen=True)
class EpilogueView:
    """What happens with a finished tile."""

    turned: bool
    width: int
    row: int
    rows: int
    turned_row: int
    loops: tuple[Loop, ...]
    simd: bool
    run: int  # the last loop goes by runs of this length; 0: it does not
    accumulator: str
    index: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class ContractionView:
    """A contraction in tiles."""

    comments: tuple[str, ...]
    kind: str
    serial: bool
    halo: HaloView | None
    shared_panels: str  # how many panels all threads pack together; "" when they do not
    shared_decode: tuple[str, ...]
    units: str
    unit_decode: tuple[str, ...]
    strip_end: str
    panel_end: str
    strip_decode: tuple[str, ...]
    panel_decode: tuple[str, ...]
    outer_loops: tuple[Loop, ...]  # depth axes in front of the one that is cut
    block: Loop | None  # the depth axis that is cut
    block_to: str
    block_step: str
    block_end: str
    blocked: bool
    pack_lines: PackView | None
    pack_lanes: PackView | None
    kept: str  # the number of the packed panel that stays for the next units; "": none stays
    calls: tuple[TileCall, ...]
    tile_size: int
    sums: str  # where sums are kept between calls; "" when a call finishes them
    single: bool
    maybe_empty: bool
    epilogue: EpilogueView
    splits: int
    tile_count: str
    tile_decode: tuple[str, ...]
    tiles: tuple[TileView, ...]
    shared_bytes: int
    own_bytes: int
    template: str = "contraction"
    includes: tuple[str, ...] = ("gc_gemm.h",)


@dataclass(frozen=True)
class PlainView:
    """A contraction as ordinary loops: integers, and sums of no terms."""

    comments: tuple[str, ...]
    serial: bool
    points: str
    decode: tuple[str, ...]
    cols: tuple[Loop, ...]
    depth: tuple[Loop, ...]
    kind: str
    accumulator: str
    body: tuple[str, ...]
    value: str
    epilogue: tuple[str, ...]
    tiles: tuple[TileView, ...] = ()
    shared_bytes: int = 0
    own_bytes: int = 0
    template: str = "contraction_plain"
    includes: tuple[str, ...] = ("gc_gemm.h",)
