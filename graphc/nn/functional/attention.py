"""Scaled dot-product attention."""

import math
from typing import Any

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.errors import DimensionError, DtypeError, ShapeError
from graphc.functions.promotion import cast
from graphc.functions.registry import tensor_function
from graphc.generator import draw
from graphc.ops import OPS
from graphc.ops.rules import broadcast
from graphc.tensor import Tensor, apply

# PyTorch's messages have the C++ names of dtypes.
_NAMES = {
    "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double",
    "int64": "long int", "int32": "int", "int16": "short int", "int8": "signed char",
    "uint8": "unsigned char", "bool": "bool",
}  # fmt: skip


def _row(name: str, *operands: Any, **attrs: Any) -> Tensor:
    return apply(OPS[name], operands, attrs)


def _reshaped(x: Tensor, shape: tuple[Any, ...]) -> Tensor:
    return x if tuple(x.shape) == shape else _row("reshape", x, shape=shape)


@tensor_function(method=False)
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query @ key.T * scale + attn_mask) @ value``, softmax over the keys.

    ``query`` is (..., T, E), ``key`` (..., S, E), ``value`` (..., S, Ev), all of one floating
    dtype; the result is (..., T, Ev). The batch dimensions broadcast; with ``enable_gqa`` dimension
    -3 of key and value may also divide that of the query, and each of their heads serves as many
    heads in a row. ``attn_mask`` broadcasts to (..., T, S): boolean, True where a query may attend
    to a key, or numbers that are added to the scores. ``is_causal`` lets query i attend to the keys
    0 to i; with a mask both hold. ``dropout_p`` is applied whenever it is not 0: pass 0 in
    evaluation. ``scale`` is 1/sqrt(E) by default. A query that may attend to no key gets zeros.

    Raises RuntimeError for dtypes or shapes that do not fit and a probability outside [0, 1],
    TypeError for what is no tensor or number.
    """
    _check(query, key, value, attn_mask)
    if not 0 <= dropout_p <= 1:
        raise RuntimeError(
            f"dropout probability has to be between 0 and 1, but got {float(dropout_p):g}"
        )
    if scale is not None and (isinstance(scale, bool) or not isinstance(scale, (int, float))):
        raise TypeError(
            "scaled_dot_product_attention(): argument 'scale' must be float, not "
            f"{type(scale).__name__}"
        )
    width = query.shape[-1]
    if scale is None:
        scale = 1 / math.sqrt(width) if width else 1.0
    if enable_gqa:
        key, value = (_repeated(x, query, name) for x, name in ((key, "key"), (value, "value")))
    _fit(query, key, value, attn_mask)
    return _attended(
        query, key, value, attn_mask, float(dropout_p), bool(is_causal), float(scale)
    )  # fmt: skip


def _check(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
    """Raises unless these are tensors of dtypes and ranks that go together."""
    given: tuple[tuple[str, Any], ...] = (("query", query), ("key", key), ("value", value))
    for place, (name, x) in enumerate(
        (*given, *((("attn_mask", mask),) if mask is not None else ()))
    ):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"scaled_dot_product_attention(): argument '{name}' (position {place + 1}) must "
                f"be Tensor, not {type(x).__name__}"
            )
    if key.dtype is not query.dtype or value.dtype is not query.dtype:
        raise DtypeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{_called(query.dtype)} key.dtype: {_called(key.dtype)} and value.dtype: "
            f"{_called(value.dtype)} instead."
        )
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ShapeError(
            "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: "
            f"{query.ndim} key.dim: {key.ndim} and value.dim: {value.ndim} instead."
        )
    if mask is not None and mask.dtype not in (dtypes.bool_, dtypes.float32, query.dtype):
        raise DtypeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
            f"attn_mask.dtype: {_called(mask.dtype)} and  query.dtype: {_called(query.dtype)} "
            "instead."
        )
    if not query.dtype.is_floating_point:
        raise DtypeError(f"expected scalar type Float but found {query.dtype.type_name}")


def _called(dtype: DType) -> str:
    return _NAMES.get(dtype.name, dtype.name)


def _repeated(x: Tensor, query: Tensor, name: str) -> Tensor:
    """Each head of a key or value as often as queries share it."""
    if query.ndim < 3 or x.ndim < 3:
        low = min(query.ndim, x.ndim)
        raise DimensionError(
            f"Dimension out of range (expected to be in range of [-{low}, {low - 1}], but got -3)"
        )
    heads, own = int(query.shape[-3]), int(x.shape[-3])
    if own == heads:
        return x
    if not own or heads % own:
        raise ShapeError(
            "Number of heads in key and value must divide the number of heads in query: "
            f"{name} has {own}, query {heads}"
        )
    return x.repeat_interleave(heads // own, -3)  # type: ignore[attr-defined, no-any-return]


def _fit(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
    """Raises ShapeError unless the sizes go together."""
    batch = broadcast(*(tuple(x.shape)[:-2] for x in (query, key, value)))
    size = math.prod(batch)
    if key.shape[-1] != query.shape[-1]:
        raise ShapeError(
            "Expected size for first two dimensions of batch2 tensor to be: "
            f"[{size}, {query.shape[-1]}] but got: [{size}, {key.shape[-1]}]."
        )
    if value.shape[-2] != key.shape[-2]:
        raise ShapeError(
            "Expected size for first two dimensions of batch2 tensor to be: "
            f"[{size}, {key.shape[-2]}] but got: [{size}, {value.shape[-2]}]."
        )
    if mask is None:
        return
    scores = (*batch, query.shape[-2], key.shape[-2])
    joined = broadcast(scores, tuple(mask.shape))
    if joined != scores:
        raise ShapeError(
            f"output with shape {list(scores)} doesn't match the broadcast shape {list(joined)}"
        )


def _attended(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, causal: bool,
    scale: float,
) -> Tensor:  # fmt: skip
    """Attention of operands that fit."""
    dtype = query.dtype
    wide = dtypes.float32 if dtype in (dtypes.float16, dtypes.bfloat16) else dtype
    q, k, v = (cast(x, wide) for x in (query, key, value))
    turned = _row("permute", k, dims=(*range(k.ndim - 2), k.ndim - 1, k.ndim - 2))
    scores = _row("mul", _row("matmul", q, turned), scale)
    if mask is not None:
        if mask.dtype is dtypes.bool_:
            scores = _row("where", mask, scores, -math.inf)
        else:
            scores = _row("add", scores, cast(mask, wide))
    length, keys = scores.shape[-2:]
    if causal:
        rows, columns = (
            _row("iota", shape=(length, keys), dim=dim, dtype=dtypes.int64, start=0, step=1,
                 device=query.device)
            for dim in (0, 1)
        )  # fmt: skip
        scores = _row("where", _row("ge", rows, columns), scores, -math.inf)
    weights = _weights(scores, mask is not None)
    if dropout == 1:
        weights = _row("mul", weights, 0.0)
    elif dropout:
        kept = _row("ge", draw("uniform", tuple(weights.shape), wide, None), dropout)
        weights = _row("where", kept, _row("mul", weights, 1 / (1 - dropout)), 0.0)
    return cast(_row("matmul", weights, v), dtype)


def _weights(scores: Tensor, masked: bool) -> Tensor:
    """The softmax over the keys; zeros for a query that may attend to none of them."""
    last = scores.ndim - 1
    if scores.shape[-1] == 0:
        return scores
    if not masked:
        return _row("softmax", scores, dim=last)
    none = _row("eq", _row("amax", scores.detach(), dims=(last,), keepdim=True), -math.inf)
    weights = _row("softmax", _row("where", none, 0.0, scores), dim=last)
    return _row("where", none, 0.0, weights)
