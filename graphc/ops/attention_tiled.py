"""Attention over long sequences: rows with templates that never store the scores.

The result is (..., T, Ev) and the log-sum-exp (..., T), packed flat one behind the other for each
entry of the batch; the backward row packs the gradients of q (one for each share of the keys, to be
added), of k and of v. Threads share out tiles of queries forward, and shares of keys backward.
"""

from typing import Any

from graphc import dtypes
from graphc.errors import GraphError
from graphc.ir import Named, Op, TensorType, Work, register
from graphc.ops.attention_form import (
    Form,
    backward_reference,
    batch_of,
    check,
    check_backward,
    flat,
    plain_attention,
    plain_backward,
    reference,
    samples,
)
from graphc.ops.evaluation import Quiet
from graphc.ops.rules import Array, Shape
from graphc.sizes import Int, product

LONG = 1 << 15  # scores of one entry of the batch from which they are not stored
SHORTEST = 64  # keys: below, a product of matrices does as well
WIDEST = 512  # columns of q and v: what belongs to a tile stays in the caches
QUERIES = 64  # that a tile has, a multiple of the widest panel of lanes
KEYS = 64  # whose scores are computed at a time
SHARES = 16  # that the work backward has at least, where the keys are many
SHARE = 256  # keys that a share has at least


def is_long(q: Any, k: Any, v: Any) -> bool:
    """Whether the scores of these operands (or types) are too many to be stored."""
    sizes = (*batch_of(q, k, v), *q.shape[-2:], *k.shape[-2:], *v.shape[-2:])
    if not all(isinstance(n, int) and n > 0 for n in sizes):
        return False
    if q.dtype not in (dtypes.float32, dtypes.float64):
        return False
    wide = max(q.shape[-1], v.shape[-1]) <= WIDEST
    return bool(wide and k.shape[-2] >= SHORTEST and q.shape[-2] * k.shape[-2] >= LONG)


def share_of(batch: Shape, keys: int) -> int:
    """How many keys are one share of the work backward: the same for any number of threads."""
    wanted = -(-SHARES // max(_fixed(product(batch)), 1))
    number = max(1, min(wanted, keys // SHARE))
    return -(-keys // (KEYS * number)) * KEYS


def _fixed(size: Int) -> int:
    if not isinstance(size, int):
        raise GraphError(f"tiled attention is planned for sizes that are known, not for {size}")
    return size


# -------------------------------------------------------------------------------------- templates

Term = tuple[int, int, int]  # (number // divisor % count) * stride; a count of 0 stands for all


def places(x: TensorType, batch: Shape) -> tuple[Term, ...]:
    """Where the matrix of an operand begins that goes with a number in the batch, as a sum."""
    *own, rows, columns = map(_fixed, x.shape)
    extents = (*(1 for _ in range(len(batch) - len(own))), *own)
    terms: list[Term] = []
    divisor, stride = 1, rows * columns
    for extent, wanted in zip(reversed(extents), reversed(batch), strict=True):
        if extent != 1 and terms and terms[-1][0] * terms[-1][1] == divisor:
            terms[-1] = (terms[-1][0], terms[-1][1] * extent, terms[-1][2])
        elif extent != 1:
            terms.append((divisor, extent, stride))
        divisor, stride = divisor * _fixed(wanted), stride * extent
    return tuple((d, 0 if d * n == product(batch) else n, s) for d, n, s in terms)


def _fields(
    form: Form, batch: Shape, q: TensorType, k: TensorType, v: TensorType, more: Any
) -> dict[str, Any]:
    """What both templates read: sizes and, by operand, the terms of its place."""
    queries, width = map(_fixed, q.shape[-2:])
    keys, depth = map(_fixed, v.shape[-2:])
    found: dict[str, Any] = {
        "query_count": queries,
        "key_count": keys,
        "width": width,
        "depth": depth,
        "tile": QUERIES,
        "block": KEYS,
        "tiles": -(-queries // QUERIES),
        "q_at": places(q, batch),
        "k_at": places(k, batch),
        "v_at": places(v, batch),
        "mask": None,
    }
    mask = form.mask(more)
    if mask is not None:
        mask = mask.with_shape((*(1 for _ in range(2 - mask.ndim)), *mask.shape))
        high, wide = mask.shape[-2:]
        found["mask"] = {
            "boolean": mask.dtype is dtypes.bool_,
            "at": places(mask, batch),
            "row": 0 if high == 1 else wide,
            "column": 0 if wide == 1 else 1,
        }
    return found


def _forward_work(
    q: TensorType, k: TensorType, v: TensorType, *more: TensorType, **attrs: Any
) -> Work:
    form, batch = Form(**attrs), batch_of(q, k, v)
    fields = _fields(form, batch, q, k, v, more)
    width, depth = fields["width"], fields["depth"]
    blocks = 2 if form.dropout else 1
    return Work(
        cost=fields["key_count"] * (width + depth) / (8 * width),
        scratch=QUERIES * (width + depth + blocks * KEYS + 3) * q.dtype.itemsize,
        units=product(batch) * fields["tiles"],
        fields=fields,
    )


def _backward_work(
    g: TensorType,
    lse: TensorType,
    delta: TensorType,
    q: TensorType,
    k: TensorType,
    v: TensorType,
    *more: TensorType,
    **attrs: Any,
) -> Work:
    form, batch = Form(**attrs), batch_of(q, k, v)
    fields = _fields(form, batch, q, k, v, more)
    blocks = 3 if form.dropout else 2
    width, depth, keys = fields["width"], fields["depth"], fields["key_count"]
    share = share_of(batch, keys)
    more_fields = {
        "share": share,
        "shares": -(-keys // share),
        "g_at": places(g, batch),
        "lse_at": places(lse, batch),
        "delta_at": places(delta, batch),
    }
    return Work(
        cost=keys * (3 * width + 2 * depth) / (8 * depth),
        scratch=QUERIES * (2 * width + depth + blocks * KEYS + 2) * q.dtype.itemsize,
        units=product(batch) * more_fields["shares"],
        fields=fields | more_fields,
    )


# ------------------------------------------------------------------------------------------- rows


def _tiled_type(
    q: TensorType, k: TensorType, v: TensorType, *more: TensorType, **attrs: Any
) -> TensorType:
    check("tiled_attention", q, k, v, more, Form(**attrs))
    return q.with_shape((*batch_of(q, k, v), q.shape[-2] * (v.shape[-1] + 1)))


def _tiled_backward_type(
    g: TensorType,
    lse: TensorType,
    delta: TensorType,
    q: TensorType,
    k: TensorType,
    v: TensorType,
    *more: TensorType,
    **attrs: Any,
) -> TensorType:
    form = Form(**attrs)
    batch = check_backward("tiled_attention_backward", g, lse, delta, q, k, v, more, form)
    keys = _fixed(k.shape[-2])
    shares = -(-keys // share_of(batch, keys))
    sizes = (shares * product(q.shape[-2:]), product(k.shape[-2:]), product(v.shape[-2:]))
    return q.with_shape((*batch, sum(sizes)))


def _packed(evaluate: Any) -> Any:
    """An evaluation that gives result and log-sum-exp, with both in one."""

    def packed(q: Array, k: Array, v: Array, *more: Array, **attrs: Any) -> Array:
        return flat(evaluate(q, k, v, *more, **attrs), batch_of(q, k, v))

    return packed


def _in_shares(evaluate: Any) -> Any:
    """An evaluation of the gradients with one of q for each share of the keys."""

    def shared(
        g: Array, lse: Array, delta: Array, q: Array, k: Array, v: Array, *more: Array, **attrs: Any
    ) -> Array:
        share = share_of(batch_of(q, k, v), k.shape[-2])
        found: Array = evaluate(g, lse, delta, q, k, v, *more, share=share, **attrs)
        return found

    return shared


TILED_ATTENTION = register(
    Op(
        "tiled_attention",
        _tiled_type,
        Quiet(_packed(plain_attention)),
        Named("attention", _forward_work),
        samples=lambda: samples(short=False),
        reference=_packed(reference),
    )
)
TILED_ATTENTION_BACKWARD = register(
    Op(
        "tiled_attention_backward",
        _tiled_backward_type,
        Quiet(_in_shares(plain_backward)),
        Named("attention_backward", _backward_work),
        samples=lambda: samples(backward=True, short=False),
        reference=_in_shares(backward_reference),
    )
)
