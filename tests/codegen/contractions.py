"""Contractions as lowering makes them, and what NumPy says they are."""

from collections.abc import Callable, Mapping
from functools import reduce
from math import prod

import numpy as np

from graphc.dtypes import bfloat16, dtype, float32
from graphc.expressions import rounding
from graphc.kernel import (
    Axis,
    Call,
    Condition,
    Const,
    Contraction,
    Divisible,
    Expr,
    InRange,
    Kernel,
    Let,
    Load,
    Masked,
    Param,
    Phase,
    Position,
    Ref,
    Store,
)
from graphc.sizes import FloorDiv, Int, Mod, Product, Symbol, product, symbol

MEANING: Mapping[str, Callable[..., np.ndarray]] = {
    "({0} + {1})": np.add,
    "({0} * {1})": np.multiply,
    "({0} - {1})": np.subtract,
    "gc_max_f32({0}, {1})": np.maximum,
    "gc_exp_f32({0})": np.exp,
    "(float){0}": lambda x: x,
    rounding(bfloat16): lambda x: x.astype(bfloat16.numpy).astype(np.float64),
}


def call(text: str, *args: Expr, kind: dtype = float32) -> Call:
    return Call(text, args, kind)


# ------------------------------------------------------------------------------------ evaluation


def number(value: Int, places: Mapping[str, np.ndarray]) -> np.ndarray:
    """An index expression on a whole grid of points."""
    if isinstance(value, int):
        return np.array(value)
    total = np.array(value.const)
    for atom, factor in value.terms:
        total = total + _atom(atom, places) * factor
    return total


def _atom(atom: object, places: Mapping[str, np.ndarray]) -> np.ndarray:
    if isinstance(atom, Symbol):
        return np.asarray(places[atom.name])
    if isinstance(atom, Product):
        return reduce(np.multiply, [_atom(factor, places) for factor in atom.factors])
    assert isinstance(atom, (FloorDiv, Mod))
    top, bottom = number(atom.numerator, places), number(atom.divisor, places)
    return top // bottom if isinstance(atom, FloorDiv) else top % bottom


class Evaluation:
    """Evaluates expressions on a grid, in float64 where the program uses floating point."""

    def __init__(self, arrays: Mapping[str, np.ndarray], places: Mapping[str, np.ndarray]):
        self.arrays = arrays
        self.places = places
        self.values: dict[str, np.ndarray] = {}

    def holds(self, conditions: tuple[Condition, ...]) -> np.ndarray:
        result = np.array(True)
        for condition in conditions:
            index = number(condition.index, self.places)
            if isinstance(condition, Divisible):
                result = result & (index % number(condition.by, self.places) == 0)
            else:
                result = result & (index >= 0) & (index < number(condition.limit, self.places))
        return result

    def __call__(self, expr: Expr) -> np.ndarray:
        if isinstance(expr, Const):
            return np.array(expr.value)
        if isinstance(expr, Ref):
            return self.values[expr.name]
        if isinstance(expr, Position):
            return number(expr.index, self.places)
        if isinstance(expr, Load):
            flat = self.arrays[expr.buffer].reshape(-1)
            flat = flat if flat.dtype.kind in "iu" else flat.astype(np.float64)
            valid = self.holds(expr.mask)
            at = np.where(valid, number(expr.index, self.places), 0)
            if flat.size == 0:
                return np.zeros(at.shape, flat.dtype)
            assert at.min(initial=0) >= 0 and at.max(initial=0) < flat.size
            return np.where(valid, flat[at], expr.other)
        if isinstance(expr, Masked):
            return np.where(self.holds(expr.conditions), self(expr.value), self(expr.other))
        return MEANING[expr.text](*(self(arg) for arg in expr.args))


def evaluate(
    nest: Contraction, arrays: Mapping[str, np.ndarray], sizes: Mapping[str, int] | None = None
) -> dict[str, np.ndarray]:
    """What the stores of a contraction leave in the arrays they write, in float64 or integers."""
    known = {name: np.array(value) for name, value in (sizes or {}).items()}
    axes = (*nest.batch, *nest.rows, *nest.cols, *nest.depth)
    extents = [int(number(axis.extent, known)) for axis in axes]
    outer = len(axes) - len(nest.depth)
    places = dict(known)
    for at, (axis, extent) in enumerate(zip(axes, extents, strict=True)):
        shape = [1] * len(axes)
        shape[at] = extent
        places[axis.name] = np.arange(extent).reshape(shape)
    point = Evaluation(arrays, places)
    for let in nest.lhs_body:
        point.values[let.name] = point(let.expr)
    lhs = np.broadcast_to(
        point(nest.lhs), np.broadcast_shapes(point(nest.lhs).shape, (1,) * len(axes))
    )
    for let in nest.rhs_body:
        point.values[let.name] = point(let.expr)
    rhs = np.broadcast_to(
        point(nest.rhs), np.broadcast_shapes(point(nest.rhs).shape, (1,) * len(axes))
    )
    letters = "abcdefghijklmnop"[: len(axes)]
    total = (
        np.einsum(
            f"{letters},{letters}->{letters[:outer]}",
            *(
                np.broadcast_to(side, _own(side.shape, extents, nest, at))
                for at, side in ((0, lhs), (1, rhs))
            ),
        )
        if prod(extents)
        else np.zeros(extents[:outer], lhs.dtype)
    )
    total = np.broadcast_to(total, extents[:outer])
    after = Evaluation(
        arrays,
        {
            n: p.reshape(p.shape[:outer]) if p.ndim == len(axes) else p
            for n, p in places.items()
            if n not in {axis.name for axis in nest.depth}
        },
    )
    after.values[nest.accumulator] = total
    for let in nest.epilogue.body:
        after.values[let.name] = after(let.expr)
    results: dict[str, np.ndarray] = {}
    for store in nest.epilogue.stores:
        before = arrays[store.buffer].reshape(-1)
        kind = before.dtype if before.dtype.kind in "iu" else np.float64
        result = results.setdefault(store.buffer, before.astype(kind))
        at = np.broadcast_to(number(store.index, after.places), total.shape)
        value = np.broadcast_to(after(store.expr), total.shape)
        result[at] = result[at] + value if store.combine else value
    return {name: values.reshape(arrays[name].shape) for name, values in results.items()}


def _own(
    shape: tuple[int, ...], extents: list[int], nest: Contraction, side: int
) -> tuple[int, ...]:
    """einsum wants equal extents where both sides mention a letter: the other side's stay 1."""
    batch, rows = len(nest.batch), len(nest.rows)
    cols = len(nest.cols)
    result = list(extents)
    other = range(batch + rows, batch + rows + cols) if side == 0 else range(batch, batch + rows)
    for at in other:
        result[at] = shape[at]
    return tuple(result)


# ---------------------------------------------------------------------------------------- kernels


def matmul(
    rows: Int,
    cols: Int,
    depth: Int,
    *,
    batch: Int = 1,
    left_turned: bool = False,
    right_turned: bool = False,
    out_turned: bool = False,
    shared_right: bool = False,
    kind: dtype = float32,
    stored: dtype | None = None,
    result: dtype | None = None,
    relu: bool = False,
    prologue: bool = False,
    sizes: tuple[str, ...] = (),
) -> Kernel:
    """out[b] = act(x[b] @ y[b] + bias), each matrix transposed or not.

    ``stored`` is the dtype of the arrays, ``result`` that of the one written.
    """
    stored = stored or kind
    b, m, n, k = Axis("b", batch), Axis("m", rows), Axis("n", cols), Axis("k", depth)
    x_at = k.index * rows + m.index if left_turned else m.index * depth + k.index
    y_at = n.index * depth + k.index if right_turned else k.index * cols + n.index
    x: Expr = Load("x", b.index * (product((rows, depth))) + x_at, kind)
    y: Expr = Load("y", (0 if shared_right else b.index * product((depth, cols))) + y_at, kind)
    if prologue:
        y = call("gc_max_f32({0}, {1})", y, Const(0.5, float32))
    out_at = n.index * rows + m.index if out_turned else m.index * cols + n.index
    value: Expr = call("({0} + {1})", Ref("acc", kind), Load("bias", n.index, kind), kind=kind)
    if relu:
        value = call("gc_max_f32({0}, {1})", value, Const(0.0, float32))
    epilogue = Phase(
        body=(Let("result", value),),
        stores=(Store("out", b.index * product((rows, cols)) + out_at, Ref("result", kind)),),
    )
    nest = Contraction((b,), (m,), (n,), (k,), x, y, "acc", kind, epilogue)
    return Kernel(
        "product",
        (
            Param("x", stored, (batch, rows, depth)),
            Param("y", stored, ((1 if shared_right else batch), depth, cols)),
            Param("bias", stored, (cols,)),
            Param("out", result or stored, (batch, rows, cols), written=True),
        ),
        (nest,),
        sizes,
    )


def convolution(
    batch: Int,
    channels: int,
    size: tuple[int, int],
    filters: int,
    window: tuple[int, int],
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    kind: dtype = float32,
    result: dtype | None = None,
    sizes: tuple[str, ...] = (),
) -> Kernel:
    """out = relu(conv2d(x, w) + bias), NCHW."""
    reach = [dilation * (w - 1) for w in window]
    high, wide = ((s + 2 * padding - r - 1) // stride + 1 for s, r in zip(size, reach, strict=True))
    n, g = Axis("n", batch), Axis("g", groups)
    inputs, outputs = channels // groups, filters // groups
    oc, oh, ow = Axis("oc", outputs), Axis("oh", high), Axis("ow", wide)
    ic, kh, kw = Axis("ic", inputs), Axis("kh", window[0]), Axis("kw", window[1])
    h = oh.index * stride + kh.index * dilation - padding
    w = ow.index * stride + kw.index * dilation - padding
    area, taps = size[0] * size[1], window[0] * window[1]
    channel = g.index * inputs + ic.index
    filter_ = g.index * outputs + oc.index
    mask = (InRange(h, size[0]), InRange(w, size[1])) if padding else ()
    x = Load("x", n.index * (channels * area) + channel * area + h * size[1] + w, kind, mask)
    weight = Load(
        "w",
        filter_ * (inputs * taps) + ic.index * taps + kh.index * window[1] + kw.index,
        kind,
    )
    at = n.index * (filters * high * wide) + filter_ * (high * wide) + oh.index * wide + ow.index
    value = call("({0} + {1})", Ref("acc", kind), Load("bias", filter_, kind), kind=kind)
    epilogue = Phase(body=(Let("result", value),), stores=(Store("out", at, Ref("result", kind)),))
    nest = Contraction((g,), (oc,), (n, oh, ow), (ic, kh, kw), weight, x, "acc", kind, epilogue)
    return Kernel(
        "convolution",
        (
            Param("x", kind, (batch, channels, *size)),
            Param("w", kind, (filters, inputs, *window)),
            Param("bias", kind, (filters,)),
            Param("out", result or kind, (batch, filters, high, wide), written=True),
        ),
        (nest,),
        sizes,
    )


def input_gradient(
    batch: int,
    channels: int,
    size: tuple[int, int],
    filters: int,
    window: int,
    stride: int = 1,
    padding: int = 0,
) -> Kernel:
    """dx[n, c, h, w] of a convolution: the sum of g[n, f, (h - kh) / stride, ..] * w[f, c, ..]."""
    high, wide = ((s + 2 * padding - window) // stride + 1 for s in size)
    n, ic = Axis("n", batch), Axis("ic", channels)
    h, w = Axis("h", size[0]), Axis("w", size[1])
    oc, kh, kw = Axis("oc", filters), Axis("kh", window), Axis("kw", window)
    down, right = h.index - kh.index + padding, w.index - kw.index + padding
    mask: tuple[Condition, ...] = ()
    if stride > 1:
        mask = (
            InRange(down, high * stride),
            InRange(right, wide * stride),
            Divisible(down, stride),
            Divisible(right, stride),
        )
        down, right = down // stride, right // stride
    else:
        mask = (InRange(down, high), InRange(right, wide))
    taps = window * window
    grad = Load(
        "g",
        n.index * (filters * high * wide) + oc.index * (high * wide) + down * wide + right,
        float32,
        mask,
    )
    weight = Load(
        "weight",
        oc.index * (channels * taps) + ic.index * taps + kh.index * window + kw.index,
        float32,
    )
    area = size[0] * size[1]
    at = n.index * (channels * area) + ic.index * area + h.index * size[1] + w.index
    epilogue = Phase(stores=(Store("dx", at, Ref("acc", float32)),))
    nest = Contraction((), (n, h, w), (ic,), (oc, kh, kw), grad, weight, "acc", float32, epilogue)
    return Kernel(
        "input_gradient",
        (
            Param("g", float32, (batch, filters, high, wide)),
            Param("weight", float32, (filters, channels, window, window)),
            Param("dx", float32, (batch, channels, *size), written=True),
        ),
        (nest,),
    )


def weight_gradient(
    batch: int,
    channels: int,
    size: tuple[int, int],
    filters: int,
    window: int,
    padding: int = 0,
    kind: dtype = float32,
) -> Kernel:
    """dw of a convolution: a sum over images and positions."""
    high, wide = (s + 2 * padding - window + 1 for s in size)
    n, oh, ow = Axis("n", batch), Axis("oh", high), Axis("ow", wide)
    oc, ic = Axis("oc", filters), Axis("ic", channels)
    kh, kw = Axis("kh", window), Axis("kw", window)
    h, w = oh.index + kh.index - padding, ow.index + kw.index - padding
    mask = (InRange(h, size[0]), InRange(w, size[1])) if padding else ()
    area, taps = size[0] * size[1], window * window
    grad = Load(
        "g",
        n.index * (filters * high * wide) + oc.index * (high * wide) + oh.index * wide + ow.index,
        kind,
    )
    x = Load("x", n.index * (channels * area) + ic.index * area + h * size[1] + w, kind, mask)
    at = oc.index * (channels * taps) + ic.index * taps + kh.index * window + kw.index
    epilogue = Phase(stores=(Store("dw", at, Ref("acc", kind)),))
    nest = Contraction((), (oc,), (ic, kh, kw), (n, oh, ow), grad, x, "acc", kind, epilogue)
    return Kernel(
        "weight_gradient",
        (
            Param("g", kind, (batch, filters, high, wide)),
            Param("x", kind, (batch, channels, *size)),
            Param("dw", kind, (filters, channels, window, window), written=True),
        ),
        (nest,),
    )


def outer_size(name: str) -> Int:
    return symbol(name)
