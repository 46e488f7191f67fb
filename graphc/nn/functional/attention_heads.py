"""Attention of several heads, with the projections in and out of them."""

import math
import warnings
from typing import Any

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.functions.creation import zeros, zeros_like
from graphc.functions.joining import cat
from graphc.nn.functional.activation import softmax
from graphc.nn.functional.attention import scaled_dot_product_attention
from graphc.nn.functional.linear import linear
from graphc.nn.functional.normalization import dropout
from graphc.nn.functional.padding import pad
from graphc.tensor import Tensor


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attends with ``num_heads`` heads; gives the output and, if needed, the weights.

    ``query`` is (T, N, E), ``key`` (S, N, kdim), ``value`` (S, N, vdim), or all of them without N;
    the output is (T, N, E) and the weights (N, T, S), or (N, heads, T, S) unless averaged.
    ``key_padding_mask`` is (N, S), ``attn_mask`` (T, S) or (N * heads, T, S): True where not to
    attend, or numbers added to the scores. ``is_causal`` says that ``attn_mask`` is the causal one.

    Raises AssertionError or RuntimeError for shapes that do not fit, and RuntimeError for
    ``is_causal`` without a mask.
    """
    batched = _check_ranks(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        query, key, value = (x.unsqueeze(1) for x in (query, key, value))
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    length, batch, width = query.shape
    key_padding_mask = additive_mask(
        key_padding_mask, "key_padding_mask", query.dtype, attn_mask, "attn_mask"
    )
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module "
            "method `generate_square_subsequent_mask` to create this mask."
        )
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None
    else:
        attn_mask = additive_mask(attn_mask, "attn_mask", query.dtype)
        is_causal = is_causal and key_padding_mask is None
    _check(
        width == embed_dim_to_check,
        f"was expecting embedding dimension of {embed_dim_to_check}, but got {width}",
    )
    depth = width // num_heads
    _check(depth * num_heads == width, f"embed_dim {width} not divisible by num_heads {num_heads}")
    weights = (q_proj_weight, k_proj_weight, v_proj_weight)
    if use_separate_proj_weight:
        _check(
            key.shape[:2] == value.shape[:2],
            f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}",
        )
        q, k, v = _projected_apart(query, key, value, weights, in_proj_bias)
    else:
        _check(
            key.shape == value.shape,
            f"key shape {key.shape} does not match value shape {value.shape}",
        )
        q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias)
    if attn_mask is not None:
        attn_mask = _mask_of_heads(attn_mask, batch * num_heads, length, key.shape[0])

    grown = 0  # keys that the masks do not know
    if bias_k is not None and bias_v is not None:
        _check(static_k is None, "bias cannot be added to static key.")
        _check(static_v is None, "bias cannot be added to static value.")
        k = cat([k, bias_k.repeat(1, batch, 1)])
        v = cat([v, bias_v.repeat(1, batch, 1)])
        grown += 1
    else:
        _check(bias_k is None, "bias_k is set but bias_v is None")
        _check(bias_v is None, "bias_v is set but bias_k is None")
    q = _heads(q, batch * num_heads, depth)
    k = _heads_or_static(k, static_k, "static_k", batch * num_heads, depth)
    v = _heads_or_static(v, static_v, "static_v", batch * num_heads, depth)
    if add_zero_attn:
        nothing = zeros(batch * num_heads, 1, depth, dtype=k.dtype, device=k.device)
        k, v = cat([k, nothing], 1), cat([v, nothing], 1)
        grown += 1
    if grown and attn_mask is not None:
        attn_mask = pad(attn_mask, (0, grown))
    if key_padding_mask is not None:
        padding = pad(key_padding_mask, (0, grown)) if grown else key_padding_mask
        merged = _mask_of_padding(padding, batch, num_heads, k.shape[1])
        attn_mask = merged if attn_mask is None else attn_mask + merged
    dropped = dropout_p if training else 0.0

    if need_weights:
        attended, found = _with_weights(q, k, v, attn_mask, dropped)
        found = found.reshape(batch, num_heads, length, k.shape[1])
        if average_attn_weights:
            found = found.mean(1)
        attended = attended.transpose(0, 1)
    else:
        found = None
        q, k, v = (x.reshape(batch, num_heads, -1, depth) for x in (q, k, v))
        if attn_mask is not None:
            # One mask for all, or each head its own.
            lead = (1, 1) if attn_mask.shape[0] == 1 else (batch, num_heads)
            attn_mask = attn_mask.reshape(*lead, -1, k.shape[2])
        attended = scaled_dot_product_attention(q, k, v, attn_mask, dropped, is_causal)
        attended = attended.permute(2, 0, 1, 3)
    output = linear(attended.reshape(length, batch, width), out_proj_weight, out_proj_bias)
    if not batched:
        output = output.squeeze(1)
        found = None if found is None else found.squeeze(0)
    return output, found


def additive_mask(
    mask: Tensor | None,
    name: str,
    dtype: DType,
    other: Tensor | None = None,
    other_name: str = "",
) -> Any:
    """A mask as numbers to add: -inf where a boolean one is True.

    Warns when ``other`` has another dtype. Raises AssertionError for integers.
    """
    if mask is None:
        return None
    _check(
        mask.dtype is dtypes.bool_ or mask.dtype.is_floating_point,
        f"only bool and floating types of {name} are supported",
    )
    if other is not None and other.dtype is not mask.dtype:
        warnings.warn(
            f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both "
            "instead.",
            stacklevel=3,
        )
    if mask.dtype.is_floating_point:
        return mask
    return zeros_like(mask, dtype=dtype).masked_fill(mask, -math.inf)


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def _check_ranks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    num_heads: int,
) -> bool:
    """Whether there is a batch. Raises AssertionError for ranks that do not go together."""
    rank = query.ndim
    _check(
        rank in (2, 3),
        f"query should be unbatched 2D or batched 3D tensor but received {rank}-D query tensor",
    )
    for_query = f"For {'batched' if rank == 3 else 'unbatched'} ({rank}-D) `query`, expected"
    _check(
        key.ndim == rank and value.ndim == rank,
        f"{for_query} `key` and `value` to be {rank}-D but found {key.ndim}-D and {value.ndim}-D "
        "tensors respectively",
    )
    if key_padding_mask is not None:
        _check(
            key_padding_mask.ndim == rank - 1,
            f"{for_query} `key_padding_mask` to be `None` or {rank - 1}-D but found "
            f"{key_padding_mask.ndim}-D tensor instead",
        )
    if attn_mask is not None:
        _check(
            attn_mask.ndim in (2, 3),
            f"{for_query} `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.ndim}-D tensor "
            "instead",
        )
        expected = (num_heads, query.shape[0], key.shape[0])
        _check(
            rank == 3 or attn_mask.ndim == 2 or attn_mask.shape == expected,
            f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}",
        )
    return rank == 3


def _projected(
    query: Tensor, key: Tensor, value: Tensor, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values by one stacked weight; by one product where they are the same."""
    if weight is None:
        raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
    width = query.shape[-1]
    if query is key and key is value:
        q, k, v = linear(query, weight, bias).chunk(3, -1)
        return q, k, v
    if key is value:
        w_q, w_kv = weight.split([width, 2 * width])
        b_q, b_kv = (None, None) if bias is None else bias.split([width, 2 * width])
        k, v = linear(key, w_kv, b_kv).chunk(2, -1)
        return linear(query, w_q, b_q), k, v
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    q, k, v = (
        linear(x, w, b)
        for x, w, b in zip((query, key, value), weight.chunk(3), biases, strict=True)
    )
    return q, k, v


def _projected_apart(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    weights: tuple[Tensor | None, ...],
    bias: Tensor | None,
) -> list[Tensor]:
    """Queries, keys and values by a weight each."""
    width = query.shape[-1]
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    found = []
    for name, x, w, b in zip(
        ("query", "key", "value"), (query, key, value), weights, biases, strict=True
    ):
        if w is None:
            raise AssertionError(
                f"use_separate_proj_weight is True but {name[0]}_proj_weight is None"
            )
        expected = (width, x.shape[-1])
        _check(
            w.shape == expected,
            f"expecting {name} weights shape of {expected}, but got {w.shape}",
        )
        _check(
            b is None or b.shape == (width,),
            f"expecting {name} bias shape of {(width,)}, but got {None if b is None else b.shape}",
        )
        found.append(linear(x, w, b))
    return found


def _mask_of_heads(mask: Tensor, heads: int, length: int, keys: int) -> Tensor:
    """The attention mask with a dimension for the heads. Raises RuntimeError for other shapes."""
    flat = mask.ndim == 2
    expected = (length, keys) if flat else (heads, length, keys)
    if tuple(mask.shape) != expected:
        raise RuntimeError(
            f"The shape of the {mask.ndim}D attn_mask is {mask.shape}, but should be {expected}."
        )
    return mask.unsqueeze(0) if flat else mask


def _mask_of_padding(mask: Tensor, batch: int, heads: int, keys: int) -> Tensor:
    """The padding mask, the same for all heads and queries of an example."""
    for dim, size in enumerate((batch, keys)):
        _check(
            mask.shape[dim] == size,
            f"Expected key_padded_mask.shape[{dim}] to be {size}, but got {mask.shape[dim]}",
        )
    spread: Tensor = mask.reshape(batch, 1, 1, keys).expand(-1, heads, -1, -1)
    return spread.reshape(batch * heads, 1, keys)  # type: ignore[no-any-return]


def _heads(x: Tensor, heads: int, depth: int) -> Tensor:
    """(T, N, E) as (N * heads, T, depth)."""
    return x.reshape(x.shape[0], heads, depth).transpose(0, 1)  # type: ignore[no-any-return]


def _heads_or_static(x: Tensor, static: Tensor | None, name: str, heads: int, depth: int) -> Tensor:
    if static is None:
        return _heads(x, heads, depth)
    for dim, size in ((0, heads), (2, depth)):
        _check(
            static.shape[dim] == size,
            f"expecting {name}.size({dim}) of {size}, but got {static.shape[dim]}",
        )
    return static


def _with_weights(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float
) -> tuple[Tensor, Tensor]:
    """What the heads attend to, and how much: all of T x S weights are made."""
    scores = (q * math.sqrt(1.0 / q.shape[-1])) @ k.transpose(-2, -1)
    weights = softmax(scores if mask is None else mask + scores, -1)
    if dropout_p > 0:
        weights = dropout(weights, dropout_p)
    return weights @ v, weights
