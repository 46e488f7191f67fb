"""What the rows of attention share: their operands, NumPy evaluation, samples, a reference.

``q`` is (..., T, E), ``k`` (..., S, E), ``v`` (..., S, Ev); batch dimensions broadcast. ``masked``
says that a mask follows, which broadcasts to (..., T, S): booleans (True: attend) or numbers that
are added to the scores. With ``dropout`` above 0 the last operand is the state of a generator, and
weights are dropped by the draw that ``random`` makes of it in the shape (..., T, S). ``causal``
lets query i attend to the keys 0 to i. A query that may attend to no key gets zeros, and its
log-sum-exp is inf, so that exp(score - lse) is 0.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from graphc import dtypes
from graphc.errors import DtypeError, ShapeError
from graphc.ir import Sample, TensorType
from graphc.ops.rules import (
    HALVES,
    Array,
    Kind,
    Shape,
    broadcast,
    check_kind,
    row,
    same_device,
    same_dtype,
    spread,
)


class Form(NamedTuple):
    """The attributes that all rows of attention have."""

    scale: float
    causal: bool
    masked: bool
    dropout: float

    def mask(self, more: tuple[Any, ...]) -> Any:
        """The mask among the operands behind ``v``; None where there is none."""
        return more[0] if self.masked else None

    def state(self, more: tuple[Any, ...]) -> Any:
        """The generator's state among the operands behind ``v``; None without dropout."""
        return more[-1] if self.dropout else None


def batch_of(q: Any, k: Any, v: Any) -> Shape:
    """The batch dimensions of the result, for types and operands alike."""
    return broadcast(*(tuple(x.shape)[:-2] for x in (q, k, v)))


def check(name: str, q: TensorType, k: TensorType, v: TensorType, more: Any, form: Form) -> None:
    """Raises ShapeError or DtypeError unless operands go together."""
    same_device(q, k, v, *more)
    check_kind(name, q, Kind.FLOAT)
    same_dtype(name, q, k, v)
    if len(more) != form.masked + bool(form.dropout):
        raise ShapeError(f"{name} has {len(more)} operands behind v: mask and state are attributes")
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ShapeError(
            f"{name} needs (..., T, E), (..., S, E) and (..., S, Ev), not {list(q.shape)}, "
            f"{list(k.shape)} and {list(v.shape)}"
        )
    mask = form.mask(more)
    if mask is None:
        batch_of(q, k, v)
        return
    scores = (*batch_of(q, k, v), q.shape[-2], k.shape[-2])
    if broadcast(scores, mask.shape) != scores:
        raise ShapeError(f"{name}: a mask {list(mask.shape)} for scores {list(scores)}")
    if mask.dtype is not dtypes.bool_ and not mask.dtype.is_floating_point:
        raise DtypeError(f"{name} needs a mask of booleans or floats, not {mask.dtype}")


def check_backward(
    name: str, g: TensorType, lse: TensorType, delta: TensorType, q: TensorType, k: TensorType,
    v: TensorType, more: Any, form: Form,
) -> Shape:  # fmt: skip
    """The batch. Raises unless cotangent, log-sum-exp and delta are those of the operands."""
    check(name, q, k, v, more, form)
    same_dtype(name, g, lse, delta, q)
    batch, queries = batch_of(q, k, v), q.shape[-2]
    wanted = ((*batch, queries, v.shape[-1]), (*batch, queries, 1), (*batch, queries, 1))
    for x, shape in zip((g, lse, delta), wanted, strict=True):
        if broadcast(shape, x.shape) != shape:
            raise ShapeError(f"{name}: {list(x.shape)} where {list(shape)} belongs")
    return batch


# ------------------------------------------------------------------------------------- evaluation


def _batch(*operands: Array) -> tuple[int, ...]:
    return np.broadcast_shapes(*(x.shape[:-2] for x in operands))


def _plain_scores(q: Array, k: Array, v: Array, more: tuple[Any, ...], form: Form) -> Array:
    scores = np.matmul(q, np.swapaxes(k, -1, -2))
    scores *= scores.dtype.type(form.scale)
    mask = form.mask(more)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + mask
        scores = scores.astype(q.dtype, copy=False)
    if form.causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, -np.inf)
        scores = scores.astype(q.dtype, copy=False)
    return np.broadcast_to(scores, (*_batch(q, k, v), *scores.shape[-2:]))


def _plain_kept(scores: Array, more: tuple[Any, ...], form: Form) -> Array:
    kind = dtypes.from_numpy_dtype(scores.dtype)
    drawn: Array = row.random.evaluate(
        form.state(more), shape=scores.shape, dtype=kind, kind="uniform"
    )
    kept: Array = drawn >= form.dropout
    return np.asarray(kept * scores.dtype.type(1 / (1 - form.dropout)))


def plain_attention(
    q: Array, k: Array, v: Array, *more: Array, **attrs: Any
) -> tuple[Array, Array]:
    """The result and the log-sum-exp, inf for queries that may attend to no key."""
    form = Form(**attrs)
    scores = _plain_scores(q, k, v, more, form)
    most = np.max(scores, axis=-1, keepdims=True, initial=-np.inf)
    most[most == -np.inf] = 0
    weights = np.exp(scores - most)
    total = np.sum(weights, axis=-1, keepdims=True)
    none = total == 0
    total[none] = 1
    lse = np.where(none, np.inf, np.log(total) + most).astype(q.dtype)
    weights /= total
    if form.dropout:
        weights *= _plain_kept(scores, more, form)
    return np.matmul(weights, v), lse


def plain_backward(
    g: Array,
    lse: Array,
    delta: Array,
    q: Array,
    k: Array,
    v: Array,
    *more: Array,
    share: int | None = None,
    **attrs: Any,
) -> Array:
    """The gradients of q, k and v, each flat, one behind the other.

    That of q is the sum of those that every ``share`` of the keys gives, if they are asked for.
    """
    form = Form(**attrs)
    scores = _plain_scores(q, k, v, more, form)
    weights = np.exp(scores - lse)
    inner = np.matmul(g, np.swapaxes(v, -1, -2))
    dropped = weights
    if form.dropout:
        kept = _plain_kept(scores, more, form)
        inner, dropped = inner * kept, weights * kept
    flow = weights * (inner - delta) * q.dtype.type(form.scale)
    parts = [
        *(np.matmul(flow[..., at], k[..., at, :]) for at in _shares(k.shape[-2], share)),
        np.matmul(np.swapaxes(flow, -1, -2), q),
        np.matmul(np.swapaxes(dropped, -1, -2), g),
    ]
    return flat(parts, weights.shape[:-2])


def _shares(keys: int, share: int | None) -> list[slice]:
    return [slice(at, at + (share or keys)) for at in range(0, keys, share or keys or 1)] or [
        slice(0, 0)
    ]


def flat(parts: Iterable[Array], batch: Any) -> Array:
    """Matrices for each entry of the batch, flat, one behind the other."""
    return np.concatenate([x.reshape(*batch, x.shape[-2] * x.shape[-1]) for x in parts], axis=-1)


# ------------------------------------------------------------------- samples and their reference

Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
_SHORT: tuple[Shapes, ...] = (
    ((3, 4), (5, 4), (5, 2)),
    ((2, 5, 3), (2, 3, 3), (2, 3, 4)),
    ((2, 1, 4, 3), (3, 6, 3), (2, 3, 6, 3)),
)
_LONG: tuple[Shapes, ...] = (
    ((1, 2, 190, 9), (1, 2, 200, 9), (2, 1, 200, 5)),
    ((260, 16), (150, 16), (150, 16)),
    ((70, 6), (520, 6), (520, 3)),
)
_KINDS = (
    ("", False, 0.0),
    ("", True, 0.0),
    ("both", True, 0.0),
    ("numbers", False, 0.0),
    ("keys", False, 0.0),
    ("queries", False, 0.0),
    ("keys", True, 0.3),
)


def samples(*, backward: bool = False, short: bool = True, hidden: bool = True) -> Iterable[Sample]:
    """Every kind of mask; ``backward`` has cotangents first.

    ``hidden`` allows gradients where queries may attend to no key.
    """
    cases = [(_LONG[i % len(_LONG)], kind) for i, kind in enumerate(_KINDS)]
    if short:
        cases = cases[::2]  # what is long becomes rows that have all of them
        cases += [(shapes, kind) for shapes in _SHORT for kind in _KINDS[:2]]
        cases += [(_SHORT[i % len(_SHORT)], kind) for i, kind in enumerate(_KINDS[2:])]
    for number, (shapes, kind) in enumerate(cases):
        kinds: tuple[Any, ...] = (np.float64, np.float32)
        if shapes in _LONG and kind not in (_KINDS[0], _KINDS[-1]):
            kinds = (kinds[number % 2],)  # large programs: every mask once
        elif shapes not in (*_LONG, _SHORT[0]):
            kinds = (np.float64,)
        for dtype in kinds:
            made = _sample(shapes, dtype, *kind, salt=number % 7, backward=backward)
            yield made if hidden else replace(made, differentiable=kind[0] not in ("both", "keys"))
    if short and not backward:
        yield _sample(((2, 3), (0, 3), (0, 4)), np.float32, "", False)
        yield _sample(((0, 3), (2, 3), (2, 4)), np.float32, "both", False)


def half_samples() -> Iterable[Sample]:
    for half in sorted(HALVES, key=str):
        yield _sample(_SHORT[0], half, "numbers", False)
        yield _sample(_LONG[1], half, "", True)


def _sample(
    shapes: Shapes,
    dtype: Any,
    mask: str,
    causal: bool,
    dropout: float = 0.0,
    salt: int = 0,
    backward: bool = False,
) -> Sample:
    q, k, v = (spread(shape, -2, 2, dtype, salt + 10 * i) for i, shape in enumerate(shapes))
    queries, keys = q.shape[-2], k.shape[-2]
    more: list[Array] = []
    if mask == "both":
        chosen = spread((queries, keys), 0, 1, np.float64, 5) > 0.3
        chosen[:1] = False  # a query that may attend to no key
        more.append(chosen)
    elif mask == "keys":
        lead = (*shapes[2][:-2][:1], *(1 for _ in shapes[2][:-2][1:]))
        more.append(spread((*lead, 1, keys), 0, 1, np.float64, 5) > 0.3)
    elif mask:
        more.append(spread((queries, keys if mask == "numbers" else 1), -1, 1, dtype, 3))
    if dropout:
        more.append(np.array([7, 3], np.int64))
    attrs: dict[str, Any] = {
        "scale": 0.3 + 0.02 * salt,
        "causal": causal,
        "masked": mask != "",
        "dropout": dropout,
    }
    arrays = [q, k, v, *more]
    if backward:
        y, lse = plain_attention(*arrays, **attrs)
        g = spread(y.shape, -1, 1, dtype, 8)
        arrays = [g, lse, np.sum(g * y, axis=-1, keepdims=True), *arrays]
    return Sample(tuple(arrays), attrs)


def _each_query(q: Array, k: Array, v: Array, more: Any, form: Form) -> Iterable[tuple[Any, ...]]:
    """For each query its place, vector, keys, values, scores, and the factors of dropout."""
    shape = (*batch_of(q, k, v), q.shape[-2], k.shape[-2])
    mask, kept = form.mask(more), np.ones(shape)
    if form.dropout:
        kind = dtypes.from_numpy_dtype(q.dtype)
        drawn = row.random.reference(form.state(more), shape=shape, dtype=kind, kind="uniform")
        kept = (drawn >= form.dropout) / (1 - form.dropout)
    q, k, v = (
        np.broadcast_to(x, (*shape[:-2], *x.shape[-2:])).astype(np.float64) for x in (q, k, v)
    )
    for place in np.ndindex(*shape[:-1]):
        *batch, query = place
        keys, values = k[tuple(batch)], v[tuple(batch)]
        scores = form.scale * (keys @ q[place])
        if mask is not None:
            own = np.broadcast_to(mask, shape)[place]
            scores = np.where(own, scores, -np.inf) if own.dtype == np.bool_ else scores + own
        if form.causal:
            scores[query + 1 :] = -np.inf
        yield place, q[place], keys, values, scores, kept[place]


def reference(q: Array, k: Array, v: Array, *more: Array, **attrs: Any) -> tuple[Array, Array]:
    """The result and the log-sum-exp, one query after the other in float64."""
    form = Form(**attrs)
    lead = (*batch_of(q, k, v), q.shape[-2])
    result, lse = np.zeros((*lead, v.shape[-1])), np.full((*lead, 1), np.inf)
    for place, _, _, values, scores, kept in _each_query(q, k, v, more, form):
        allowed = scores != -np.inf
        if allowed.any():
            lse[place] = np.logaddexp.reduce(scores[allowed])
            result[place] = (np.exp(scores - lse[place]) * kept) @ values
    return result.astype(q.dtype), lse.astype(q.dtype)


def backward_reference(
    g: Array,
    lse: Array,
    delta: Array,
    q: Array,
    k: Array,
    v: Array,
    *more: Array,
    share: int | None = None,
    **attrs: Any,
) -> Array:
    """As :func:`plain_backward`, one query after the other in float64."""
    form = Form(**attrs)
    batch = tuple(batch_of(q, k, v))
    parts = _shares(k.shape[-2], share)
    dqs = [np.zeros((*batch, *q.shape[-2:])) for _ in parts]
    dk, dv = (np.zeros((*batch, *x.shape[-2:])) for x in (k, v))
    for place, query, keys, values, scores, kept in _each_query(q, k, v, more, form):
        weights = np.exp(scores - lse[place].astype(np.float64))
        own = g[place].astype(np.float64)
        flow = form.scale * weights * (values @ own * kept - delta[place])
        for dq, at in zip(dqs, parts, strict=True):
            dq[place] += flow[at] @ keys[at]
        dk[place[:-1]] += np.outer(flow, query)
        dv[place[:-1]] += np.outer(weights * kept, own)
    return flat((*dqs, dk, dv), batch).astype(q.dtype)
