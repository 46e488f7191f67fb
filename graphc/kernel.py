"""The loop IR: every kernel that graphc can generate, as a small grammar.

::

    program     = Program(kernels and loops in stages, buffers with their places)
    loop        = Loop(body, steps, parts, ...)    a program inside the program
    kernel      = Kernel(params, nests)            one generated function
    nest        = Nest(axes, phases, schedule)     parallel axes around phases
                | Contraction(batch, rows, cols, depth, lhs, rhs, epilogue)
                | Template(name, fields)           a named skeleton (sort, scan, ...)
    phase       = Phase(axes, body, reductions, finals, stores)
    statement   = Let(name, expr) | Index(name, expr, limit)
    expr        = Const | Ref | Load | Position | Call
    condition   = InRange(index, limit) | Divisible(index, by)

Templates see only this; C and CUDA render the same values. Indices are :mod:`graphc.sizes`
expressions in elements from the start of a buffer; every axis and every ``Index`` statement is a
symbol of its name. Nothing here depends on sizes being plain integers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Union

from graphc.dtypes import dtype
from graphc.expressions import (
    Call,
    Combine,
    Condition,
    Const,
    Divisible,
    Expr,
    InRange,
    Load,
    Masked,
    Position,
    Ref,
)
from graphc.sizes import Int, symbol

__all__ = [
    "AnyNest",
    "Axis",
    "Buffer",
    "Call",
    "Carry",
    "Combine",
    "Condition",
    "Const",
    "Contraction",
    "Divisible",
    "Expr",
    "HostStep",
    "InRange",
    "Index",
    "Kernel",
    "Launch",
    "Let",
    "Load",
    "Loop",
    "Masked",
    "Nest",
    "Param",
    "Phase",
    "Position",
    "Program",
    "Reduction",
    "Ref",
    "Role",
    "Schedule",
    "Site",
    "Skeleton",
    "Slice",
    "Statement",
    "Store",
    "Template",
]

# ----------------------------------------------------------------------------------- statements


@dataclass(frozen=True)
class Let:
    """A named scalar. ``comment`` holds the source line of the user's program, when known."""

    name: str
    expr: Expr
    comment: str = ""


@dataclass(frozen=True)
class Index:
    """A data-dependent index, checked: becomes the symbol ``name``.

    Negative values count from the end when ``wrap``. Outside ``[0, limit)`` the kernel reports
    ``site`` through ``gc_report_index`` and goes on with 0, so memory outside is never touched.
    An index that is ``known`` to lie within is not checked.
    """

    name: str
    expr: Expr
    limit: Int
    site: int
    wrap: bool = False
    known: bool = False


Statement = Union[Let, Index]


@dataclass(frozen=True)
class Reduction:
    """Joins ``expr`` over the axes of its phase; afterwards ``Ref(name)`` is the result.

    For ARGMAX and ARGMIN the result is int64: the value of ``position`` at the first extreme.
    ``dtype`` is that of the accumulator (a float32 sum accumulates in float32, pairwise or in
    several lanes).
    """

    name: str
    combine: Combine
    expr: Expr
    dtype: dtype
    position: Int | None = None


@dataclass(frozen=True)
class Store:
    """``buffer[index] = expr``; with ``combine`` (SUM, PROD, MAX or MIN) joined with what is there.

    The schedule keeps writers apart.
    """

    buffer: str
    index: Int
    expr: Expr
    combine: Combine | None = None


# ----------------------------------------------------------------------------------------- nests


@dataclass(frozen=True)
class Axis:
    name: str
    extent: Int

    @property
    def index(self) -> Int:
        """The axis as an index expression (0 when its extent is 1)."""
        return symbol(self.name, self.extent)


@dataclass(frozen=True)
class Phase:
    """One sweep over ``axes`` inside the nest's own axes (no axes: straight-line code).

    At each point the ``body`` runs, then the stores, and the reductions collect; after the sweep
    the ``finals`` run once (they may use the reductions, and later phases may use them), then the
    ``final_stores``.
    """

    axes: tuple[Axis, ...] = ()
    body: tuple[Statement, ...] = ()
    reductions: tuple[Reduction, ...] = ()
    stores: tuple[Store, ...] = ()
    finals: tuple[Statement, ...] = ()
    final_stores: tuple[Store, ...] = ()


class Skeleton(Enum):
    """The loop shapes that templates know.

    MAP      no reduction: vectorise the innermost parallel axis, share out the rest
    ROWS     reduce along contiguous memory: one row at a time, vector accumulators
    COLUMNS  reduce across: vectorise a parallel axis, the reduction loop inside or tiled
    TOTAL    few results from much data: partial results by thread, then joined in fixed order
    """

    MAP = "map"
    ROWS = "rows"
    COLUMNS = "columns"
    TOTAL = "total"


@dataclass(frozen=True)
class Schedule:
    """How a nest runs. ``work`` estimates scalar operations and decides how many threads pay."""

    skeleton: Skeleton = Skeleton.MAP
    work: int = 0
    serial: bool = False  # one thread only (colliding stores)


@dataclass(frozen=True)
class Nest:
    """Parallel ``axes`` (outermost first); at each point the phases run in order."""

    axes: tuple[Axis, ...]
    phases: tuple[Phase, ...]
    schedule: Schedule = Schedule()


@dataclass(frozen=True)
class Contraction:
    """``acc[batch, rows, cols] = sum over depth of lhs * rhs``, then the epilogue at each point.

    ``lhs`` is an expression in batch, rows and depth axes, ``rhs`` in batch, cols and depth axes:
    a plain strided ``Load`` for a matrix product, a masked one through a window for an implicit
    GEMM convolution, or anything computed (a prologue, evaluated while packing; ``lhs_body`` and
    ``rhs_body`` hold its statements). The epilogue is straight-line code over batch, rows and
    cols axes that reads ``Ref(accumulator)``; ``reduced`` collects over all rows or cols
    (not used yet by every template).
    """

    batch: tuple[Axis, ...]
    rows: tuple[Axis, ...]
    cols: tuple[Axis, ...]
    depth: tuple[Axis, ...]
    lhs: Expr
    rhs: Expr
    accumulator: str
    dtype: dtype
    epilogue: Phase
    lhs_body: tuple[Statement, ...] = ()
    rhs_body: tuple[Statement, ...] = ()
    work: int = 0


@dataclass(frozen=True)
class Template:
    """A named skeleton for what loops above cannot say; ``fields`` are read by that template."""

    name: str
    fields: tuple[tuple[str, object], ...]
    work: int = 0


AnyNest = Union[Nest, Contraction, Template]


# --------------------------------------------------------------------------- kernels and programs


@dataclass(frozen=True)
class Param:
    """A buffer a kernel touches. ``shape`` is for the reader of the generated code."""

    name: str
    dtype: dtype
    shape: tuple[Int, ...]
    written: bool = False


@dataclass(frozen=True)
class Kernel:
    """One generated function: buffers, named sizes, and nests that run side by side.

    The nests of one kernel are independent of each other (a horizontal fusion, such as all the
    parameter updates of an optimizer).
    """

    name: str
    params: tuple[Param, ...]
    nests: tuple[AnyNest, ...]
    sizes: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()


class Role(Enum):
    INPUT = "input"
    OUTPUT = "output"
    CONSTANT = "constant"
    INTERMEDIATE = "intermediate"


@dataclass(frozen=True)
class Buffer:
    """Memory of a program. An input may be written too (``updated``)."""

    name: str
    dtype: dtype
    shape: tuple[Int, ...]
    role: Role
    position: int = 0  # among inputs, outputs or constants: the slot in the pointer table
    offset: int = 0  # intermediates: bytes from the start of the arena
    updated: bool = False


@dataclass(frozen=True)
class Launch:
    """A call of a kernel with the program's buffers in the order of its params."""

    kernel: Kernel
    buffers: tuple[str, ...]
    sizes: tuple[Int, ...] = ()


@dataclass(frozen=True)
class HostStep:
    """Work done in Python between launches (LAPACK); ends one native call and starts another."""

    call: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True)
class Slice:
    """A buffer of a loop's body that is one of the slices of an outer buffer, a step a slice.

    ``elements`` lie between the slices of two steps (none, where all steps read the same), ``part``
    elements between those of two parts.
    """

    inner: str
    outer: str
    elements: int
    part: int = 0


@dataclass(frozen=True)
class Carry:
    """What a step of a loop hands to the next: the body reads ``read`` and writes ``written``.

    The first step reads ``initial``, the last one writes ``final`` if anybody wants it. Between
    them values lie in turn in two places of the workspace, ``offset`` bytes from its start and
    ``size`` bytes apart. In ``initial`` and ``final`` parts are ``part`` elements apart.
    """

    read: str
    written: str
    initial: str
    final: str | None
    offset: int
    size: int
    part: int = 0


@dataclass(frozen=True)
class Loop:
    """The stages of ``body`` repeated ``steps`` times, the last slices first if ``reverse``.

    ``fixed`` pairs the body's buffers that do not change with those of the program around it. Its
    intermediates lie in ``workspace``, one of the outer buffers, at their offsets.

    A loop in several ``parts`` is run once for each of them, in any order and at the same time:
    each part, in ``part_bytes`` of the workspace, by one thread.
    """

    name: str
    body: "Program"
    steps: int
    reverse: bool
    fixed: tuple[tuple[str, str], ...]
    slices: tuple[Slice, ...]
    carries: tuple[Carry, ...]
    workspace: str | None
    parts: int = 1
    part_bytes: int = 0

    @property
    def buffers(self) -> tuple[str, ...]:
        """The buffers of the program around it."""
        names = [outer for _, outer in self.fixed]
        names += [s.outer for s in self.slices]
        for carry in self.carries:
            names += [carry.initial, *((carry.final,) if carry.final else ())]
        if self.workspace is not None:
            names.append(self.workspace)
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class Site:
    """Where a checked index or divisor comes from: what to say when it is out of range, or 0."""

    operation: str
    location: str


@dataclass(frozen=True)
class Program:
    """Stages run in order with a barrier between; the launches of one stage are independent."""

    name: str
    buffers: tuple[Buffer, ...]
    stages: "tuple[tuple[Launch | Loop | HostStep, ...], ...]"
    arena_bytes: int = 0
    sizes: tuple[str, ...] = ()
    sites: tuple[Site, ...] = ()
    names: tuple[tuple[str, str], ...] = field(default=())  # buffer -> name in the user's program

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The distinct kernels in order of first launch."""
        seen: dict[str, Kernel] = {}
        for launch in self.launches():
            seen.setdefault(launch.kernel.name, launch.kernel)
        return tuple(seen.values())

    def launches(self) -> Iterator[Launch]:
        """Every launch, those of a loop's body once."""
        for stage in self.stages:
            for step in stage:
                if isinstance(step, Launch):
                    yield step
                elif isinstance(step, Loop):
                    yield from step.body.launches()
