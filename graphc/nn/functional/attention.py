"""Scaled dot-product attention."""

import math
from typing import Any

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.errors import DimensionError, DtypeError, ShapeError
from graphc.functions.registry import tensor_function
from graphc.generator import take_stream
from graphc.ops import OPS
from graphc.ops.rules import broadcast
from graphc.tensor import Tensor, apply

# PyTorch's messages have the C++ names of dtypes.
_NAMES = {
    "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double",
    "int64": "long int", "int32": "int", "int16": "short int", "int8": "signed char",
    "uint8": "unsigned char", "bool": "bool",
}  # fmt: skip


_Operands = tuple[Tensor, Tensor, Tensor, Tensor | None]


def _row(name: str, *operands: Any, **attrs: Any) -> Tensor:
    return apply(OPS[name], operands, attrs)


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
    heads, rank = query.shape[:-2][-1:], query.ndim
    if enable_gqa:
        query, key, value, attn_mask = _grouped(query, key, value, attn_mask)
    _fit(query, key, value, attn_mask)
    operands = [query, key, value]
    if attn_mask is not None:
        operands.append(attn_mask)
    if 0 < dropout_p < 1:
        operands.append(take_stream(None))
    result = _row(
        "attention",
        *operands,
        scale=float(scale),
        causal=bool(is_causal),
        masked=attn_mask is not None,
        dropout=float(dropout_p) if dropout_p < 1 else 0.0,
    )
    if dropout_p == 1:
        result = _row("mul", result, 0.0)
    if query.ndim == rank:
        return result
    return _row("reshape", result, shape=(*result.shape[:-4], *heads, *result.shape[-2:]))


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


def _grouped(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> _Operands:
    """Heads of the query that share a key and value in a dimension of their own.

    Nothing is repeated in memory: that dimension is 1 in key and value.
    """
    low = min(query.ndim, key.ndim, value.ndim)
    if low < 3:
        raise DimensionError(
            f"Dimension out of range (expected to be in range of [-{low}, {low - 1}], but got -3)"
        )
    heads, own = int(query.shape[-3]), tuple(int(x.shape[-3]) for x in (key, value))
    if any(not n or heads % n for n in own):
        raise ShapeError(
            "Number of heads in key and value must divide the number of heads in query, which has "
            f"{heads}: key has {own[0]}, value {own[1]}"
        )
    fewer = max(own)
    if own[0] != own[1]:  # the one with fewer heads is repeated up to the other
        if fewer % min(own):
            fewer = heads
        key, value = (_repeated(x, fewer) for x in (key, value))
    if fewer == heads:
        return query, key, value, mask
    query = _split(query, fewer, heads // fewer)
    key, value = (_split(x, fewer, 1) for x in (key, value))
    if mask is not None and mask.ndim > 2:
        same = mask.shape[-3] == heads
        mask = _split(mask, *((fewer, heads // fewer) if same else (mask.shape[-3], 1)))
    return query, key, value, mask


def _repeated(x: Tensor, heads: int) -> Tensor:
    """Each head as often as it serves others."""
    return x.repeat_interleave(heads // int(x.shape[-3]), -3)  # type: ignore[attr-defined, no-any-return]


def _split(x: Tensor, heads: int, each: int) -> Tensor:
    """Dimension -3 in two."""
    shape = tuple(x.shape)
    return _row("reshape", x, shape=(*shape[:-3], heads, each, *shape[-2:]))


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
