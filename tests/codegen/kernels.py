"""Kernels written by hand in the loop IR, as lowering would make them."""

from collections.abc import Iterable, Sequence

import numpy as np

import graphc.ops  # noqa: F401 - fills the registry
from graphc.dtypes import bfloat16, bool_, dtype, float32, from_numpy_dtype, int64
from graphc.ir import OPS, Builder, Graph, TensorType
from graphc.kernel import (
    Axis,
    Call,
    Combine,
    Const,
    Expr,
    Index,
    InRange,
    Kernel,
    Let,
    Load,
    Masked,
    Nest,
    Param,
    Phase,
    Position,
    Reduction,
    Ref,
    Schedule,
    Skeleton,
    Store,
    Template,
)
from graphc.lowering import lower
from graphc.sizes import Int, product, symbol

MUCH = 10**6  # work enough for several threads
LITTLE = 100


def call(text: str, *args: Expr, kind: dtype = float32) -> Call:
    return Call(text, args, kind)


def row_major(shape: Iterable[Int], *indices: Int) -> Int:
    """The position of an element in contiguous memory."""
    sizes = list(shape)
    return sum((i * product(sizes[k + 1 :]) for k, i in enumerate(indices)), start=0)


def pointwise(*shape: Int, work: int = MUCH, sizes: tuple[str, ...] = ()) -> Kernel:
    """y = tanh(x) * 2, one axis for each dimension."""
    axes = tuple(Axis("ijkl"[k], size) for k, size in enumerate(shape))
    at = row_major(shape, *(axis.index for axis in axes))
    phase = Phase(
        body=(
            Let("h", call("gc_tanh_f32({0})", Load("x", at, float32)), "net.py:7  h = x.tanh()"),
        ),
        stores=(Store("y", at, call("({0} * {1})", Ref("h", float32), Const(2.0, float32))),),
    )
    params = (Param("x", float32, shape), Param("y", float32, shape, written=True))
    nest = Nest(axes, (phase,), Schedule(Skeleton.MAP, work))
    return Kernel("double_tanh", params, (nest,), sizes)


def softmax(
    rows: Int,
    columns: Int,
    work: int = MUCH,
    skeleton: Skeleton = Skeleton.ROWS,
    across: bool = False,
    sizes: tuple[str, ...] = (),
) -> Kernel:
    """y = softmax(x) along the last dimension, or the one before it when ``across``."""
    i, j = Axis("i", rows), Axis("j", columns)
    at = j.index * rows + i.index if across else i.index * columns + j.index
    shape = (columns, rows) if across else (rows, columns)
    x = Load("x", at, float32)
    shifted = call("({0} - {1})", x, Ref("top", float32))
    exp = call("gc_exp_f32({0})", shifted)
    phases = (
        Phase((j,), reductions=(Reduction("top", Combine.MAX, x, float32),)),
        Phase(
            (j,),
            reductions=(Reduction("total", Combine.SUM, exp, float32),),
            finals=(
                Let(
                    "scale",
                    call("({0} / {1})", Const(1.0, float32), Ref("total", float32)),
                    "net.py:12  y = F.softmax(x, 1)",
                ),
            ),
        ),
        Phase(
            (j,),
            body=(Let("p", call("({0} * {1})", exp, Ref("scale", float32))),),
            stores=(Store("y", at, Ref("p", float32)),),
        ),
    )
    params = (Param("x", float32, shape), Param("y", float32, shape, written=True))
    nest = Nest((i,), phases, Schedule(skeleton, work))
    return Kernel("softmax", params, (nest,), sizes)


def reduced(
    combine: Combine,
    shape: tuple[Int, ...],
    kept: tuple[int, ...],
    skeleton: Skeleton,
    kind: dtype = float32,
    accumulator: dtype | None = None,
    work: int = MUCH,
    sizes: tuple[str, ...] = (),
) -> Kernel:
    """y = x reduced over all dimensions but ``kept``; an argument counts the reduced ones."""
    axes = tuple(Axis("ijkl"[k], size) for k, size in enumerate(shape))
    at = row_major(shape, *(axis.index for axis in axes))
    outer = tuple(axes[k] for k in kept)
    swept = tuple(axis for axis in axes if axis not in outer)
    position = row_major((a.extent for a in swept), *(a.index for a in swept))
    out = row_major((a.extent for a in outer), *(a.index for a in outer))
    value = Load("x", at, float32 if kind is bfloat16 else kind)
    argument = combine in (Combine.ARGMAX, Combine.ARGMIN)
    result = int64 if argument else accumulator or kind
    reduction = Reduction("r", combine, value, result, position if argument else None)
    phase = Phase(swept, reductions=(reduction,), final_stores=(Store("y", out, Ref("r", result)),))
    params = (
        Param("x", kind, shape),
        Param("y", result, tuple(a.extent for a in outer), written=True),
    )
    nest = Nest(outer, (phase,), Schedule(skeleton, work))
    return Kernel(f"{combine.value}_of_x", params, (nest,), sizes)


def max_pool(batch: int, height: int, width: int, work: int = MUCH) -> Kernel:
    """2 x 2 windows of x[batch, height, width]: the maximum and where it was."""
    n, i, j = Axis("n", batch), Axis("i", height // 2), Axis("j", width // 2)
    p, q = Axis("p", 2), Axis("q", 2)
    row, column = i.index * 2 + p.index, j.index * 2 + q.index
    x = Load("x", row_major((batch, height, width), n.index, row, column), float32)
    out = row_major((batch, height // 2, width // 2), n.index, i.index, j.index)
    phase = Phase(
        (p, q),
        reductions=(
            Reduction("top", Combine.MAX, x, float32),
            Reduction("where", Combine.ARGMAX, x, int64, row * width + column),
        ),
        final_stores=(
            Store("y", out, Ref("top", float32)),
            Store("at", out, Ref("where", int64)),
        ),
    )
    shape = (batch, height // 2, width // 2)
    params = (
        Param("x", float32, (batch, height, width)),
        Param("y", float32, shape, written=True),
        Param("at", int64, shape, written=True),
    )
    nest = Nest((n, i, j), (phase,), Schedule(Skeleton.COLUMNS, work))
    return Kernel("max_pool", params, (nest,))


def padded(rows: int, columns: int, border: int, work: int = MUCH) -> Kernel:
    """y = x with a border of minus one, each element doubled inside it."""
    shape = (rows + 2 * border, columns + 2 * border)
    i, j = Axis("i", shape[0]), Axis("j", shape[1])
    inner_i, inner_j = i.index - border, j.index - border
    inside = (InRange(inner_i, rows), InRange(inner_j, columns))
    x = Load("x", inner_i * columns + inner_j, float32)
    value = Masked(inside, call("({0} + {0})", x), Const(-1.0, float32))
    loaded = Load("x", inner_i * columns + inner_j, float32, inside, 0.5)
    out = row_major(shape, i.index, j.index)
    phase = Phase(stores=(Store("y", out, value), Store("z", out, loaded)))
    params = (
        Param("x", float32, (rows, columns)),
        Param("y", float32, shape, written=True),
        Param("z", float32, shape, written=True),
    )
    return Kernel("padded", params, (Nest((i, j), (phase,), Schedule(Skeleton.MAP, work)),))


def gather(rows: int, width: int, table: int, work: int = MUCH, wrap: bool = True) -> Kernel:
    """y[i] = table[labels[i]], labels checked."""
    i, j = Axis("i", rows), Axis("j", width)
    row = Index("row", Load("labels", i.index, int64), table, site=3, wrap=wrap)
    value = Load("table", symbol("row") * width + j.index, float32)
    phase = Phase(body=(row,), stores=(Store("y", i.index * width + j.index, value),))
    params = (
        Param("labels", int64, (rows,)),
        Param("table", float32, (table, width)),
        Param("y", float32, (rows, width), written=True),
    )
    return Kernel("gather", params, (Nest((i, j), (phase,), Schedule(Skeleton.MAP, work)),))


def scatter_add(count: int, size: int) -> Kernel:
    """y[labels[i]] += x[i]: several may meet, so one thread does it."""
    i = Axis("i", count)
    place = Index("place", Load("labels", i.index, int64), size, site=0)
    phase = Phase(
        body=(place,),
        stores=(Store("y", symbol("place"), Load("x", i.index, float32), Combine.SUM),),
    )
    params = (
        Param("labels", int64, (count,)),
        Param("x", float32, (count,)),
        Param("y", float32, (size,), written=True),
    )
    schedule = Schedule(Skeleton.MAP, MUCH, serial=True)
    return Kernel("scatter_add", params, (Nest((i,), (phase,), schedule),))


def updates(*counts: int) -> Kernel:
    """SGD with momentum on several parameters side by side."""
    params = [Param("lr", float32, ())]
    nests = []
    for k, count in enumerate(counts):
        i = Axis("i", count)
        w, v, g = f"w{k}", f"v{k}", f"g{k}"
        load = {name: Load(name, i.index, float32) for name in (w, v, g)}
        velocity = call("(({0} * {1}) + {2})", load[v], Const(0.9, float32), load[g])
        step = call("({0} * {1})", Load("lr", 0, float32), Ref("velocity", float32))
        phase = Phase(
            body=(Let("velocity", velocity, "sgd.py:3  v = v * 0.9 + g"),),
            stores=(
                Store(v, i.index, Ref("velocity", float32)),
                Store(w, i.index, call("({0} - {1})", load[w], step)),
            ),
        )
        params += [
            Param(w, float32, (count,), written=True),
            Param(v, float32, (count,), written=True),
            Param(g, float32, (count,)),
        ]
        nests.append(Nest((i,), (phase,), Schedule(Skeleton.MAP, 5 * count)))
    return Kernel("updates", tuple(params), tuple(nests))


def halves(count: int) -> Kernel:
    """y = bf16(float(x) * 1.5), and a flag for the positive ones."""
    i = Axis("i", count)
    x = Load("x", i.index, float32)
    phase = Phase(
        body=(Let("scaled", call("({0} * {1})", x, Const(1.5, float32))),),
        stores=(
            Store("y", i.index, Ref("scaled", float32)),
            Store("positive", i.index, call("({0} > {1})", x, Const(0.0, float32), kind=bool_)),
        ),
    )
    params = (
        Param("x", bfloat16, (count,)),
        Param("y", bfloat16, (count,), written=True),
        Param("positive", bool_, (count,), written=True),
    )
    return Kernel("halves", params, (Nest((i,), (phase,), Schedule(Skeleton.MAP, MUCH)),))


def positions(count: int) -> Kernel:
    """t[i] = 3 i + 1; the name is one that generated code keeps for itself."""
    i = Axis("i", count)
    phase = Phase(stores=(Store("t", i.index, Position(i.index * 3 + 1, float32)),))
    params = (Param("t", float32, (count,), written=True),)
    return Kernel("positions", params, (Nest((i,), (phase,), Schedule(Skeleton.MAP, LITTLE)),))


def sort(
    shape: tuple[Int, ...],
    dim: int,
    first: Int | None = None,
    kind: dtype = float32,
    descending: bool = False,
    work: int = MUCH,
    sizes: tuple[str, ...] = (),
) -> Kernel:
    """y = places of the elements of x in order, of the first few where a number is given."""
    length = shape[dim]
    kept = length if first is None else first
    part = (*shape[:dim], kept, *shape[dim + 1 :])
    wide = 16 if kind.itemsize == 8 else 8
    select = isinstance(kept, int) and isinstance(length, int) and kept * 8 <= length
    nest = Template(
        "sort",
        (
            ("inputs", ("x",)),
            ("outputs", ("y",)),
            ("lead", product(shape[:dim])),
            ("length", length),
            ("inner", product(shape[dim + 1 :])),
            ("lengths", (length, kept)),
            ("scratch", kept * wide if select else 2 * length * wide),
            ("select", select),
            ("descending", descending),
        ),
        work,
    )
    params = (Param("x", kind, shape), Param("y", int64, part, written=True))
    return Kernel("sort", params, (nest,), sizes)


def scan(
    combine: str,
    shape: tuple[Int, ...],
    dim: int,
    kind: dtype = float32,
    reverse: bool = False,
    work: int = MUCH,
    sizes: tuple[str, ...] = (),
) -> Kernel:
    """y = x joined along a dimension; a recurrence scales with x and adds z."""
    inputs = ("x", "z") if combine == "recurrence" else ("x",)
    result = int64 if combine in ("max", "min") else kind
    nest = Template(
        "scan",
        (
            ("inputs", inputs),
            ("outputs", ("y",)),
            ("lead", product(shape[:dim])),
            ("length", shape[dim]),
            ("inner", product(shape[dim + 1 :])),
            ("lengths", (shape[dim],) * (len(inputs) + 1)),
            ("scratch", 0),
            ("combine", combine),
            ("reverse", reverse),
        ),
        work,
    )
    params = (*(Param(x, kind, shape) for x in inputs), Param("y", result, shape, written=True))
    return Kernel("scan", params, (nest,), sizes)


def search(
    rows: Int,
    each: int,
    length: int,
    common: bool = False,
    right: bool = False,
    kind: dtype = float32,
    sizes: tuple[str, ...] = (),
) -> Kernel:
    """y = places of the values x in the sorted sequences z, a single one when ``common``."""
    nest = Template(
        "search",
        (
            ("inputs", ("x", "z")),
            ("outputs", ("y",)),
            ("lead", rows),
            ("length", each),
            ("inner", 1),
            ("lengths", (each, length, each)),
            ("scratch", 0),
            ("common", common),
            ("right", right),
        ),
        MUCH,
    )
    params = (
        Param("x", kind, (rows, each)),
        Param("z", kind, (1 if common else rows, length)),
        Param("y", int64, (rows, each), written=True),
    )
    return Kernel("search", params, (nest,), sizes)


def row_kernel(name: str, arrays: Sequence[np.ndarray], **attrs: object) -> Kernel:
    """The kernel of a row with a template, as it is lowered for operands like these arrays."""
    builder = Builder()
    inputs = [
        builder.input(f"x{i}", TensorType(a.shape, from_numpy_dtype(a.dtype)))
        for i, a in enumerate(arrays)
    ]
    graph = Graph(name, tuple(inputs), (builder.apply(OPS[name], inputs, attrs),))
    (kernel,) = lower(graph, threads=2).program.kernels
    return kernel


def attention(backward: bool) -> Kernel:
    """Causal attention of heads that share keys and values, with a mask of keys and dropout."""
    q, k, g = (np.zeros(s, np.float32) for s in ((2, 4, 300, 24), (2, 1, 600, 24), (2, 4, 300, 40)))
    v, mask = np.zeros((2, 1, 600, 40), np.float32), np.zeros((2, 1, 1, 600), np.bool_)
    operands = [q, k, v, mask, np.zeros(2, np.int64)]
    attrs = {"scale": 0.125, "causal": True, "masked": True, "dropout": 0.1}
    if not backward:
        return row_kernel("tiled_attention", operands, **attrs)
    each = np.zeros((2, 4, 300, 1), np.float32)
    return row_kernel("tiled_attention_backward", [g, each, each, *operands], **attrs)


def golden_kernels() -> dict[str, Kernel]:
    """The kernels whose text is kept, by the name of their file."""
    return {
        "pointwise": pointwise(64, 6, 28, 28),
        "softmax": softmax(4096, 1024),
        "softmax_across": softmax(4096, 64, skeleton=Skeleton.COLUMNS, across=True),
        "column_sums": reduced(Combine.SUM, (8192, 1024), (1,), Skeleton.COLUMNS),
        "total": reduced(Combine.SUM, (512, 6, 784), (1,), Skeleton.TOTAL),
        "argmax": reduced(Combine.ARGMAX, (64, 10), (0,), Skeleton.ROWS, work=LITTLE),
        "max_pool": max_pool(384, 28, 28),
        "padded": padded(100, 200, 2),
        "gather": gather(1000, 64, 50),
        "scatter_add": scatter_add(1000, 10),
        "updates": updates(48000, 120, 10080),
        "halves": halves(10000),
        "sort": sort((256, 1000), 1),
        "sort_across": sort((8, 100, 5), 1, kind=bfloat16, descending=True, work=LITTLE),
        "sort_first": sort((64, 30000), 1, first=5, kind=int64),
        "scan": scan("sum", (256, 1000), 1),
        "scan_across": scan("max", (8, 100, 500), 1, kind=float32),
        "scan_backwards": scan("recurrence", (100, 500), 0, kind=bfloat16, reverse=True),
        "scan_logarithms": scan("log", (64, 30), 1, reverse=True, work=LITTLE),
        "search": search(30000, 1, 100, common=True, right=True),
        "search_rows": search(64, 5, 100, kind=int64),
        "attention": attention(backward=False),
        "attention_backward": attention(backward=True),
        "any_size": softmax(symbol("n"), 10, sizes=("n",)),
    }
