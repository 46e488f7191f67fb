"""Attention: ``softmax(q @ k.T * scale + mask) @ v``, its log-sum-exp, and its gradient.

The operands are those that :mod:`graphc.ops.attention_form` describes. Short sequences dissolve
into products of matrices and a softmax. Long ones become rows that go through the scores tile by
tile and never store them: both the result and the log-sum-exp are parts of one such row, so a
program that needs both computes it once.
"""

import math
from typing import Any

from graphc import dtypes
from graphc.ir import TensorType
from graphc.ops.attention_form import (
    Form,
    backward_reference,
    batch_of,
    check,
    check_backward,
    half_samples,
    plain_attention,
    plain_backward,
    reference,
    samples,
)
from graphc.ops.attention_tiled import is_long
from graphc.ops.rules import Shape, composite, row
from graphc.sizes import product

_HALVES = (dtypes.float16, dtypes.bfloat16)

# --------------------------------------------------------------------------------- in other rows


def _turned(x: Any) -> Any:
    """The matrices transposed."""
    rank = len(x.shape)
    return row.permute(x, dims=(*range(rank - 2), rank - 1, rank - 2))


def _scores(q: Any, k: Any, v: Any, more: tuple[Any, ...], form: Form) -> Any:
    """(..., T, S) with the whole batch; -inf where a query may not attend."""
    scores = row.matmul(q, _turned(k)) * form.scale
    mask = form.mask(more)
    if mask is not None:
        if mask.dtype is dtypes.bool_:
            scores = row.where(mask, scores, -math.inf)
        else:
            wide = mask if mask.dtype is q.dtype else row.cast(mask, dtype=q.dtype)
            scores = scores + wide
    if form.causal:
        scores = row.where(_earlier(scores), scores, -math.inf)
    shape = (*batch_of(q, k, v), q.shape[-2], k.shape[-2])
    return scores if tuple(scores.shape) == shape else row.expand(scores, shape=shape)


def _earlier(scores: Any) -> Any:
    """Where the key is no later than the query."""
    shape = tuple(scores.shape)[-2:]
    counting = {"shape": shape, "dtype": dtypes.int64, "start": 0, "step": 1}
    query, key = (
        scores.__apply__(row.iota, (), {**counting, "dim": dim, "device": scores.device})
        for dim in (0, 1)
    )
    return row.ge(query, key)


def _kept(scores: Any, more: tuple[Any, ...], form: Form) -> Any:
    """What dropout multiplies the weights by."""
    drawn = row.random(
        form.state(more), shape=tuple(scores.shape), dtype=scores.dtype, kind="uniform"
    )
    kept = row.cast(row.ge(drawn, form.dropout), dtype=scores.dtype)
    return kept * (1 / (1 - form.dropout))


def part(packed: Any, start: Any, shape: Shape) -> Any:
    """Elements of the last dimension, from ``start`` on, in a shape of their own."""
    batch = tuple(packed.shape)[:-1]
    stop = start + product(shape)
    taken = row.slice(
        packed,
        starts=(*(0 for _ in batch), start),
        stops=(*batch, stop),
        steps=(1,) * len(packed.shape),
    )
    return row.reshape(taken, shape=(*batch, *shape))


def _attention(q: Any, k: Any, v: Any, *more: Any, **attrs: Any) -> Any:
    if q.dtype in _HALVES:
        return row.cast(row.attention(*_widened(q, k, v, *more), **attrs), dtype=q.dtype)
    if is_long(q, k, v):
        packed = row.tiled_attention(q, k, v, *more, **attrs)
        return part(packed, 0, (q.shape[-2], v.shape[-1]))
    weights, kept = _weights(q, k, v, more, Form(**attrs))
    return row.matmul(weights if kept is None else weights * kept, v)


def _widened(*operands: Any) -> tuple[Any, ...]:
    """16-bit operands in float32."""
    return tuple(row.cast(x, dtype=dtypes.float32) if x.dtype in _HALVES else x for x in operands)


def _weights(q: Any, k: Any, v: Any, more: tuple[Any, ...], form: Form) -> tuple[Any, Any]:
    """The softmax of the scores, and what dropout multiplies it by (or None)."""
    scores = _scores(q, k, v, more, form)
    kept = _kept(scores, more, form) if form.dropout else None
    last = len(scores.shape) - 1
    if k.shape[-2] == 0:
        return scores, kept
    if not form.masked:
        return row.softmax(scores, dim=last), kept
    most = row.stop_gradient(row.amax(scores, dims=(last,), keepdim=True))
    none = row.eq(most, -math.inf)
    return row.where(none, 0, row.softmax(row.where(none, 0, scores), dim=last)), kept


def _attention_lse(q: Any, k: Any, v: Any, *more: Any, **attrs: Any) -> Any:
    form = Form(**attrs)
    if is_long(q, k, v):
        packed = row.tiled_attention(q, k, v, *more, **attrs)
        return part(packed, q.shape[-2] * v.shape[-1], (q.shape[-2], 1))
    scores = _scores(q, k, v, more, form)
    dims = (len(scores.shape) - 1,)
    if k.shape[-2] == 0:
        return row.sum(scores, dims=dims, keepdim=True) + math.inf
    total = row.logsumexp(scores, dims=dims, keepdim=True)
    return row.where(row.eq(total, -math.inf), math.inf, total)


def _attention_backward(
    g: Any, lse: Any, delta: Any, q: Any, k: Any, v: Any, *more: Any, **attrs: Any
) -> Any:
    form = Form(**attrs)
    if is_long(q, k, v):
        return _summed(
            row.tiled_attention_backward(g, lse, delta, q, k, v, *more, **attrs), q, k, v
        )
    weights, kept = _weights(q, k, v, more, form)
    inner, dropped = row.matmul(g, _turned(v)), weights
    if kept is not None:
        inner, dropped = inner * kept, weights * kept
    # The sum is delta; taken from the weights, it cancels exactly where one of them is 1.
    both = row.sum(weights * inner, dims=(len(weights.shape) - 1,), keepdim=True)
    flow = weights * (inner - both)
    parts = (
        row.matmul(flow, k) * form.scale,
        row.matmul(_turned(flow), q) * form.scale,
        row.matmul(_turned(dropped), g),
    )
    batch = batch_of(q, k, v)
    return row.cat(
        *(row.reshape(x, shape=(*batch, product(tuple(x.shape)[-2:]))) for x in parts),
        dim=len(batch),
    )


def _summed(packed: Any, q: Any, k: Any, v: Any) -> Any:
    """The gradient of ``q`` from its parts, one for each share of the keys."""
    size, rest = product(q.shape[-2:]), product(k.shape[-2:]) + product(v.shape[-2:])
    shares = (packed.shape[-1] - rest) // size
    if shares == 1:
        return packed
    rank = len(packed.shape)
    first = row.sum(part(packed, 0, (shares, size)), dims=(rank - 1,), keepdim=False)
    return row.cat(first, part(packed, shares * size, (rest,)), dim=rank - 1)


# -------------------------------------------------------------------------------------- gradients


def _attention_vjp(g: Any, y: Any, q: Any, k: Any, v: Any, *more: Any, **attrs: Any) -> Any:
    """With P the softmax, d/dS = P * (g @ v.T - delta), where delta = rows of sum(g * y).

    Of 16-bit operands ``y`` has been rounded, which would show where weights are near 1.
    """
    form = Form(**attrs)
    if q.dtype in _HALVES:
        g, q, k, v, *rest = _widened(g, q, k, v, *more)
        more = tuple(rest)
        y = row.attention(q, k, v, *more, **attrs)
    lse = row.attention_lse(q, k, v, *more, **attrs)
    delta = row.sum(g * y, dims=(len(y.shape) - 1,), keepdim=True)
    packed = row.attention_backward(g, lse, delta, q, k, v, *more, **attrs)

    def of_mask() -> Any:
        weights, kept = _weights(q, k, v, more, form)
        inner = row.matmul(g, _turned(v))
        return weights * ((inner if kept is None else inner * kept) - delta)

    return (*_gradients(packed, q, k, v), *_of_more(more, form, of_mask))


def _gradients(packed: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any, Any]:
    """The gradients of q, k and v in the result of ``attention_backward``."""
    shapes = [tuple(x.shape)[-2:] for x in (q, k, v)]
    first, second = product(shapes[0]), product(shapes[1])
    starts = (0, first, first + second)
    dq, dk, dv = (part(packed, at, shape) for at, shape in zip(starts, shapes, strict=True))
    return dq, dk, dv


def _of_more(more: tuple[Any, ...], form: Form, of_mask: Any) -> tuple[Any, ...]:
    """Cotangents of the operands behind ``v``: only a mask of numbers has one."""
    mask = form.mask(more)
    floating = mask is not None and mask.dtype.is_floating_point
    return tuple(of_mask if floating and x is mask else None for x in more)


def _lse_vjp(g: Any, _y: Any, q: Any, k: Any, v: Any, *more: Any, **attrs: Any) -> Any:
    """d/dS = g * P."""
    form = Form(**attrs)

    def flow() -> Any:
        return g * _weights(q, k, v, more, form)[0]

    return (
        lambda: row.matmul(flow(), k) * form.scale,
        lambda: row.matmul(_turned(flow()), q) * form.scale,
        None,
        *_of_more(more, form, flow),
    )


def _backward_vjp(
    c: Any, _y: Any, g: Any, _lse: Any, delta: Any, q: Any, k: Any, v: Any, *more: Any, **attrs: Any
) -> Any:
    """By the chain rule through D = M * (g @ v.T), F = P * (D - delta), dq = F @ k, dk = F.T @ q,
    dv = (M * P).T @ g, where P = exp(S - lse) is the softmax, and M what dropout multiplies by.
    """
    form = Form(**attrs)
    a, b, e = _gradients(c, q, k, v)  # the cotangents of dq, dk, dv
    weights, kept = _weights(q, k, v, more, form)

    def dropped(x: Any) -> Any:
        return x if kept is None else x * kept

    inner = dropped(row.matmul(g, _turned(v))) - delta
    flow = weights * inner
    to_flow = (row.matmul(a, _turned(k)) + row.matmul(q, _turned(b))) * form.scale
    to_weights = to_flow * inner + dropped(row.matmul(g, _turned(e)))
    to_inner = dropped(to_flow * weights)
    to_scores = to_weights * weights
    last = (len(weights.shape) - 1,)
    return (
        row.matmul(to_inner, v) + row.matmul(dropped(weights), e),
        -row.sum(to_scores, dims=last, keepdim=True),
        -row.sum(to_flow * weights, dims=last, keepdim=True),
        (row.matmul(to_scores, k) + row.matmul(flow, b)) * form.scale,
        (row.matmul(_turned(to_scores), q) + row.matmul(_turned(flow), a)) * form.scale,
        row.matmul(_turned(to_inner), g),
        *_of_more(more, form, lambda: to_scores),
    )


# ------------------------------------------------------------------------------------------ types


def _attention_type(
    q: TensorType, k: TensorType, v: TensorType, *more: TensorType, **attrs: Any
) -> TensorType:
    check("attention", q, k, v, more, Form(**attrs))
    return q.with_shape((*batch_of(q, k, v), q.shape[-2], v.shape[-1]))


def _lse_type(
    q: TensorType, k: TensorType, v: TensorType, *more: TensorType, **attrs: Any
) -> TensorType:
    check("attention_lse", q, k, v, more, Form(**attrs))
    return q.with_shape((*batch_of(q, k, v), q.shape[-2], 1))


def _backward_type(
    g: TensorType, lse: TensorType, delta: TensorType, q: TensorType, k: TensorType,
    v: TensorType, *more: TensorType, **attrs: Any,
) -> TensorType:  # fmt: skip
    form = Form(**attrs)
    batch = check_backward("attention_backward", g, lse, delta, q, k, v, more, form)
    return q.with_shape((*batch, sum(product(x.shape[-2:]) for x in (q, k, v))))


# ------------------------------------------------------------------------------------------- rows

ATTENTION = composite(
    "attention",
    _attention,
    _attention_vjp,
    infer=_attention_type,
    numpy=lambda *arrays, **attrs: plain_attention(*arrays, **attrs)[0],
    samples=lambda: (*samples(), *half_samples()),
    reference=lambda *arrays, **attrs: reference(*arrays, **attrs)[0],
)
ATTENTION_LSE = composite(
    "attention_lse",
    _attention_lse,
    _lse_vjp,
    infer=_lse_type,
    numpy=lambda *arrays, **attrs: plain_attention(*arrays, **attrs)[1],
    samples=lambda: samples(hidden=False),
    reference=lambda *arrays, **attrs: reference(*arrays, **attrs)[1],
)
ATTENTION_BACKWARD = composite(
    "attention_backward",
    _attention_backward,
    _backward_vjp,
    infer=_backward_type,
    numpy=plain_backward,
    samples=lambda: samples(backward=True),
    reference=backward_reference,
)
