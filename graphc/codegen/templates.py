"""Nests with a template of their own, such as scans and sorts: what ``templates/*/NAME.j2`` reads.

A row of the registry whose lowering is ``Named("name", work)`` becomes one
:class:`~graphc.kernel.Template` nest in a kernel of its own, and that is rendered by
``templates/c/name.j2`` or ``templates/cuda/name.j2`` with ``nest`` bound to a
:class:`TemplateView`; ``work`` tells what a node costs and needs (:class:`graphc.ir.Work`). The
operands and the result are contiguous. A row with an attribute ``dim`` has ``nest.rows`` rows along
it, numbered by the variable ``row``; a template for C reads, with ``x`` for ``nest.inputs[0]``
and ``y`` for ``nest.output``::

    {% include "c/share.j2" %}                          begin and end of this thread's rows
    for (int64_t row = {{ nest.begin }}; row < {{ nest.end }}; row++) {
    for (int64_t at = 0; at < {{ nest.length }}; at++) {
    const {{ x.scalar }} item = {{ x.at("at") }};        an element of the row, as a value
    {{ y.put("at", "item") }}                            stored; a half type is rounded
    }
    }

Threads share the rows where the work (``cost`` times the elements) is worth it, and thread 0 runs
them all where it is not; ``begin`` and ``end`` say so either way. ``nest.lead``, ``nest.length``
and ``nest.inner`` are the extents before, along and behind the dimension, for loops of another
order. The row's attributes and the fields of its ``Work`` are in ``nest.given``. The ``scratch``
bytes for the work on one row begin at ``nest.scratch``, aligned to 64 bytes. In CUDA the rows are
shared out to blocks (``row`` from ``blockIdx.x`` in steps of ``gridDim.x``), and there is no
scratch.

Variables of templates must not meet the names of buffers: use those of :data:`WORDS` or words that
the dialect reserves. All extents may be named sizes; everything here is text already.
"""

from dataclasses import dataclass, replace
from typing import Any

from graphc.codegen.dialect import Dialect
from graphc.codegen.expressions import Expressions
from graphc.codegen.nests import SHARED_WORK
from graphc.codegen.views import NestText
from graphc.dtypes import dtype
from graphc.kernel import Template
from graphc.sizes import Int, product

# What buffers are not called in kernels with templates.
WORDS = frozenset(
    """row at item items spare sorted total before after key best other merged apart pairs pair
    own_key best_key other_key mirrored lanes lane start place places met larger fall wanted low
    high middle base own own_place before_place left left_place last last_place step
    batch number first count turned turned_g scores sums most limit key keys masks result lse none
    share flow own_q own_g own_k own_v to_q to_k to_v end_of_share score""".split()
)


@dataclass(frozen=True)
class RowsView:
    """A buffer of a template: ``kind`` is the C type in memory, ``scalar`` that of a value.

    ``start`` is the place of a row's first element, ``stride`` the distance to the next one.
    """

    name: str
    dtype: dtype
    dialect: Dialect
    length: str
    start: str
    stride: str

    @property
    def kind(self) -> str:
        return self.dialect.storage(self.dtype)

    @property
    def scalar(self) -> str:
        return self.dialect.scalar(self.dtype)

    @property
    def short(self) -> str:
        """The short name of the type that values have: ``f32`` for half types too."""
        return "f32" if self.scalar == "float" else self.dtype.short

    @property
    def lanes(self) -> int:
        """The values that fit into a vector of the target."""
        return self.dialect.vector_bytes // (8 if self.scalar == "double" else 4)

    @property
    def vector(self) -> str:
        """The short name of a vector of floats of this type: ``f32x16``."""
        return f"{self.short}x{self.lanes}"

    def place(self, at: str) -> str:
        """The element number ``at`` of the row as an lvalue."""
        step = at if self.stride == "1" else f"{at}*{self.stride}"
        return f"{self.name}[{step if self.start == '0' else f'{self.start} + {step}'}]"

    def at(self, at: str) -> str:
        """The element number ``at`` of the row as a value."""
        return self.dialect.loaded(self.place(at), self.dtype)

    def put(self, at: str, value: str) -> str:
        """The assignment of a value to the element number ``at`` of the row."""
        return f"{self.place(at)} = {self.dialect.narrowed(value, self.dtype)};"

    def load(self, index: str) -> str:
        """The element at an index from the start of the buffer as a value."""
        return self.dialect.loaded(f"{self.name}[{index}]", self.dtype)

    def store(self, index: str, value: str) -> str:
        """The assignment of a value to the element at an index from the start of the buffer."""
        return f"{self.name}[{index}] = {self.dialect.narrowed(value, self.dtype)};"


@dataclass(frozen=True)
class TemplateView:
    """See the module's text. ``shared`` and ``owner`` are those of other nests."""

    inputs: tuple[RowsView, ...]
    output: RowsView
    lead: str
    length: str
    inner: str
    rows: str
    given: dict[str, object]
    scratch: str = ""
    shared: str = ""
    grain: int = 1
    owner: int | None = None

    @property
    def begin(self) -> str:
        return "begin" if self.shared else "0"

    @property
    def end(self) -> str:
        return "end" if self.shared else self.rows


FEW_ROWS = 8  # that are not worth scratch memory for every thread there may be
_LINE = 64
_OWN = ("inputs", "outputs", "lead", "length", "inner", "lengths", "scratch")


def template_view(nest: Template, expressions: Expressions) -> tuple[TemplateView, NestText]:
    """The view of a nest with a template, and what is known of its text before it is filled in."""
    fields: dict[str, Any] = dict(nest.fields)
    lead, length, inner = (fields[name] for name in ("lead", "length", "inner"))
    buffers = (*fields["inputs"], *fields["outputs"])
    views = [
        _rows_view(name, own, inner, lead, expressions)
        for name, own in zip(buffers, fields["lengths"], strict=True)
    ]
    rows = product((lead, inner))
    chunks = expressions.dialect.chunks
    shared = chunks and nest.work >= SHARED_WORK and rows != 1
    scratch, text = _scratch(fields["scratch"] if chunks else 0, rows, shared)
    view = TemplateView(
        inputs=tuple(views[:-1]),
        output=views[-1],
        lead=expressions.operand(lead),
        length=expressions.operand(length),
        inner=expressions.operand(inner),
        rows=expressions.operand(rows),
        given={name: value for name, value in nest.fields if name not in _OWN},
        scratch=scratch,
        shared=expressions.integer(rows) if shared else "",
    )
    return view, replace(text, alone=chunks and not shared)


def _scratch(size: int, rows: Int, shared: bool) -> tuple[str, NestText]:
    """Where the memory for a row is: a thread's own, or, for fewer rows than threads, the row's."""
    aligned = -(-size // _LINE) * _LINE
    if not size:
        return "", NestText("")
    if not shared:
        return "shared", NestText("", shared_bytes=aligned)
    if isinstance(rows, int) and rows <= FEW_ROWS:
        return f"(shared + row*{aligned})", NestText("", shared_bytes=rows * aligned)
    return "own", NestText("", own_bytes=aligned)


def _rows_view(name: str, length: Int, inner: Int, lead: Int, expressions: Expressions) -> RowsView:
    between = expressions.operand(length * inner)
    if lead == 1:
        start = "0" if inner == 1 else "row"
    elif inner == 1:
        start = "row" if length == 1 else f"row*{between}"
    else:
        inside = expressions.operand(inner)
        start = f"row / {inside}*{between} + row % {inside}"
    return RowsView(
        name=expressions.identifier(name),
        dtype=expressions.stored[name],
        dialect=expressions.dialect,
        length=expressions.operand(length),
        start=start,
        stride=expressions.operand(inner),
    )
