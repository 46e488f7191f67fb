"""Cutting a chosen plan: the depth into blocks, the work into units, sums into splits."""

from dataclasses import replace
from math import ceil, prod

from graphc.codegen.contraction.costs import BLOCK, UNITS, has_panels
from graphc.codegen.contraction.operands import estimated
from graphc.codegen.contraction.plans import Packing, Plan, Sides, tiles_of
from graphc.kernel import Contraction

DEEP = 512  # depth from which it is cut, so that packed panels stay in the caches
KEPT_BYTES = 256 * 1024  # panels that every thread may pack for itself: no waiting for others
OWN_STRIPS = 32  # strips for which packing a panel costs next to nothing
OWN_PANELS = 64  # most panels that a thread packs for one unit
LINES_PACKED = 128  # lines packed together
SUMS_BYTES = 512 * 1024  # unfinished sums of one thread


def cut(sides: Sides, chosen: Plan, size: int) -> Plan:
    """Blocks of the depth, splits of it, and shares of work, for a plan that is otherwise made."""
    nest = sides.nest
    strips, panels = tiles_of(chosen.lines), tiles_of(chosen.lanes)
    batch = max(prod(estimated(axis) for axis in nest.batch), 1)
    splits = _splits(nest, batch * strips * panels)
    chosen = replace(chosen, splits=splits, block=_block(nest, chosen, splits))
    if not sides.known or not all(isinstance(axis.extent, int) for axis in nest.batch):
        return _unknown(sides, chosen)
    lanes_bytes = panels * chosen.lanes.size * sides.depth * size
    packing = chosen.lanes_packing
    finished = splits == 1 and chosen.block is None
    if packing is Packing.SHARED and finished and 0 < lanes_bytes <= KEPT_BYTES:
        shares = max(1, ceil(UNITS / (batch * panels)))
        return replace(
            chosen,
            lanes_packing=Packing.KEPT,
            strips_per_unit=_strips(chosen, max(1, ceil(strips / shares))),
        )
    if packing is Packing.SHARED and splits == 1 and _is_own(sides, chosen, size):
        parts = max(1, min(ceil(UNITS / (batch * panels)), strips // OWN_STRIPS))
        return replace(
            chosen, lanes_packing=Packing.OWN, strips_per_unit=max(ceil(strips / parts), 1)
        )
    wanted = max(1, ceil(UNITS / (batch * splits)))
    per_strip = _strips(chosen, max(strips // wanted, 4 if strips >= 16 else 1))
    if splits > 1 or (batch >= UNITS // 4 and chosen.lines_packing is Packing.DIRECT):
        per_strip = max(strips, 1)
    blocks = ceil(strips / per_strip)
    per_panel = panels
    if blocks * batch * splits < UNITS // 2:
        per_panel = ceil(panels / ceil(UNITS / 2 / max(blocks * batch * splits, 1)))
    if chosen.block is not None and splits == 1:
        per_panel = min(
            per_panel, SUMS_BYTES // (chosen.lines.size * chosen.lanes.size * size * per_strip)
        )
    if packing is Packing.SHARED and (blocks == 1 or splits > 1):
        packing = Packing.OWN
        per_panel = min(per_panel, OWN_PANELS)
    return replace(
        chosen,
        lanes_packing=packing,
        strips_per_unit=per_strip,
        panels_per_unit=max(per_panel, 1),
    )


def _is_own(sides: Sides, chosen: Plan, size: int) -> bool:
    """Whether a thread packs a panel and goes through all strips with it: a panel is not kept.

    Written for all threads, panels that the caches do not hold would go to memory and back.
    """
    if chosen.lines_packing is not Packing.DIRECT or not has_panels(sides, chosen.lanes):
        return False
    if any(not sides.lane.moves(axis) for axis in sides.nest.batch):
        return False  # it would be packed for each
    sums = tiles_of(chosen.lines) * chosen.lines.size * chosen.lanes.size * size
    return chosen.block is None or sums <= SUMS_BYTES


def _strips(chosen: Plan, wanted: int) -> int:
    """Strips of a unit: no more than are packed together."""
    strips = max(tiles_of(chosen.lines), 1)
    if chosen.lines_packing is Packing.OWN:
        strips = max(1, min(strips, LINES_PACKED // chosen.lines.size))
    return min(strips, wanted)


def _unknown(sides: Sides, chosen: Plan) -> Plan:
    """A plan whose scratch memory does not depend on sizes."""
    packing = chosen.lanes_packing
    if packing is Packing.SHARED:
        packing = Packing.OWN
    if sides.known:  # but for the batch
        panels = min(max(tiles_of(chosen.lanes), 1), OWN_PANELS)
        strips = _strips(chosen, max(tiles_of(chosen.lines), 1))
        tile_bytes = chosen.lines.size * chosen.lanes.size * 8
        if chosen.block is not None:
            panels = max(1, min(panels, SUMS_BYTES // (tile_bytes * strips)))
        return replace(
            chosen, lanes_packing=packing, strips_per_unit=strips, panels_per_unit=panels
        )
    return replace(chosen, lanes_packing=packing, strips_per_unit=12, panels_per_unit=4)


def _splits(nest: Contraction, tiles: int) -> int:
    """Parts of the depth: only where there are few tiles and much depth."""
    if not nest.depth or not all(isinstance(a.extent, int) for a in (*nest.depth, *nest.batch)):
        return 1
    if not all(isinstance(a.extent, int) for a in (*nest.rows, *nest.cols)):
        return 1
    depth = prod(estimated(axis) for axis in nest.depth)
    outer = estimated(nest.depth[0])
    if tiles >= UNITS // 2 or depth < 2048:
        return 1
    steps = ceil(outer / max(1, min(outer, 16, depth // 512)))
    return ceil(outer / steps)  # none of them empty


def _block(nest: Contraction, chosen: Plan, splits: int) -> tuple[int, int] | None:
    depth = prod(estimated(axis) for axis in nest.depth)
    unknown = not all(isinstance(axis.extent, int) for axis in nest.depth)
    packed = chosen.lanes_packing is not Packing.DIRECT
    if chosen.dot or not (unknown or depth // splits > DEEP):
        return None
    if not packed and chosen.lines_packing is Packing.DIRECT and not unknown:
        return None
    if unknown:
        return len(nest.depth) - 1, BLOCK
    inner = 1
    for number in range(len(nest.depth) - 1, -1, -1):
        extent = estimated(nest.depth[number])
        if inner * extent > BLOCK or number == 0:
            pieces = ceil(extent / max(1, BLOCK * 3 // 2 // inner))
            return number, ceil(extent / pieces)
        inner *= extent
    return None
