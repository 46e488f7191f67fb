"""Losses of a prediction ``x`` against a target ``t``, element by element, then reduced.

Both have one shape; ``reduction`` is 'none', 'mean' or 'sum'. Each loss is a line for its value and
a line for its derivatives by either operand.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from graphc.errors import ShapeError
from graphc.ir import Op, Sample, TensorType
from graphc.ops.cross_entropy import REDUCTIONS, check_reduction
from graphc.ops.reduce import accurate_sum
from graphc.ops.rules import (
    HALVES,
    Array,
    Kind,
    check_kind,
    composite,
    full_like,
    pointwise_type,
    row,
    spread,
)
from graphc.sizes import product

Value = Callable[..., Any]
Derivatives = Callable[..., tuple[Any, Any]]


def _reduced(losses: Any, reduction: str) -> Any:
    if reduction == "none":
        return losses
    return getattr(row, reduction)(losses, dims=tuple(range(len(losses.shape))), keepdim=False)


def _share(g: Any, x: Any, reduction: str) -> Any:
    """What arrives at each element: ``g``, divided by the number of elements for a mean."""
    if reduction != "mean":
        return g
    number = product(x.shape)
    if isinstance(number, int):
        return g / number if number else g
    return g / row.sum(full_like(x, 1), dims=tuple(range(len(x.shape))), keepdim=False)


def _pointwise_loss(
    name: str,
    value: Value,
    derivatives: Derivatives,
    reference: Callable[..., Any],
    *,
    attrs: tuple[dict[str, Any], ...] = ({},),
    domains: tuple[tuple[float, float], tuple[float, float]] = ((-2, 2), (-2, 2)),
    check: Callable[..., None] | None = None,
    numpy: Callable[..., Any] | None = None,
) -> Op:
    """A registered loss.

    value        ``(x, t, **attrs)``, on operands
    derivatives  of the value by ``x`` and by ``t``, as functions without arguments
    reference    the value in float64 NumPy
    domains      where ``x`` and ``t`` are sampled
    check        refuses attributes
    numpy        a faster ``value`` on arrays
    """

    def rule(x: Any, t: Any, *, reduction: str, **settings: Any) -> Any:
        return _reduced(value(x, t, **settings), reduction)

    def vjp(g: Any, _y: Any, x: Any, t: Any, *, reduction: str, **settings: Any) -> tuple[Any, Any]:
        share = _share(g, x, reduction)
        to_x, to_t = derivatives(x, t, **settings)
        return lambda: share * to_x(), lambda: share * to_t()

    def infer(x: TensorType, t: TensorType, *, reduction: str, **settings: Any) -> TensorType:
        check_reduction(reduction)
        if x.shape != t.shape:
            raise ShapeError(
                f"{name}: Target size {list(t.shape)} must be the same as input size "
                f"{list(x.shape)}",
                hint="broadcast_tensors(input, target) makes them equal",
            )
        result = pointwise_type(name, x, t)
        check_kind(name, result, Kind.FLOAT)
        if check is not None:
            check(**settings)
        return result if reduction == "none" else result.with_shape(())

    def evaluate(x: Array, t: Array, *, reduction: str, **settings: Any) -> Array:
        assert numpy is not None
        losses = np.asarray(numpy(x, t, **settings))
        if reduction == "none":
            return losses
        total = accurate_sum(losses, tuple(range(losses.ndim)))
        return total if reduction == "sum" else np.asarray(total / losses.dtype.type(losses.size))

    def samples() -> Iterable[Sample]:
        for each in attrs:
            for reduction in REDUCTIONS:
                more = {**each, "reduction": reduction}
                for dtype in (np.float64, np.float32):
                    yield Sample(
                        (spread((3, 4), *domains[0], dtype), spread((3, 4), *domains[1], dtype, 1)),
                        more,
                    )
            one = {**each, "reduction": "mean"}
            yield Sample((np.empty((0, 2), np.float32),) * 2, one)
            scalars = (
                spread((), *domains[0], np.float32),
                spread((), *domains[1], np.float32, 1),
            )
            yield Sample(scalars, one)
            for half in sorted(HALVES, key=str):
                yield Sample(
                    (spread((5,), *domains[0], half), spread((5,), *domains[1], half, 1)),
                    {**each, "reduction": "none"},
                )

    def wide(x: Array, t: Array, *, reduction: str, **settings: Any) -> Array:
        losses = np.asarray(reference(x.astype(np.float64), t.astype(np.float64), **settings))
        if reduction != "none":
            losses = losses.sum() / np.float64(losses.size if reduction == "mean" else 1)
        return np.asarray(losses).astype(x.dtype)

    return composite(
        name,
        rule,
        vjp,
        infer=infer,
        numpy=evaluate if numpy is not None else None,
        wide=True,
        samples=samples,
        reference=wide,
    )


MSE_LOSS = _pointwise_loss(
    "mse_loss",
    lambda x, t: row.square(x - t),
    lambda x, t: (lambda: (x - t) * 2, lambda: (t - x) * 2),
    lambda x, t: (x - t) ** 2,
    numpy=lambda x, t: np.square(x - t),
)
L1_LOSS = _pointwise_loss(
    "l1_loss",
    lambda x, t: row.abs(x - t),
    lambda x, t: (lambda: row.sign(x - t), lambda: row.sign(t - x)),
    lambda x, t: np.abs(x - t),
    numpy=lambda x, t: np.abs(x - t),
)


def _check_beta(*, beta: float) -> None:
    if beta < 0:
        raise ShapeError("smooth_l1_loss does not support negative values for beta.")


def _smooth(x: Any, t: Any, *, beta: float) -> Any:
    d = row.abs(x - t)
    if beta == 0:
        return d
    return row.where(row.lt(d, beta), row.square(d) * (0.5 / beta), d - 0.5 * beta)


def _smooth_slopes(x: Any, t: Any, *, beta: float) -> tuple[Any, Any]:
    def slope(d: Any) -> Any:
        if beta == 0:
            return row.sign(d)
        return row.where(row.lt(row.abs(d), beta), d * (1 / beta), row.sign(d))

    return lambda: slope(x - t), lambda: slope(t - x)


SMOOTH_L1_LOSS = _pointwise_loss(
    "smooth_l1_loss",
    _smooth,
    _smooth_slopes,
    lambda x, t, *, beta: np.where(
        abs(x - t) < beta, (x - t) ** 2 / (2 * (beta or 1)), abs(x - t) - beta / 2
    ),
    attrs=({"beta": 1.0}, {"beta": 0.3}, {"beta": 0.0}),
    check=_check_beta,
)


def _check_delta(*, delta: float) -> None:
    if delta <= 0:
        raise ShapeError("huber_loss does not support non-positive values for delta.")


def _huber(x: Any, t: Any, *, delta: float) -> Any:
    d = row.abs(x - t)
    return row.where(row.lt(d, delta), row.square(d) * 0.5, (d - 0.5 * delta) * delta)


def _huber_slopes(x: Any, t: Any, *, delta: float) -> tuple[Any, Any]:
    def slope(d: Any) -> Any:
        return row.where(row.lt(row.abs(d), delta), d, row.sign(d) * delta)

    return lambda: slope(x - t), lambda: slope(t - x)


HUBER_LOSS = _pointwise_loss(
    "huber_loss",
    _huber,
    _huber_slopes,
    lambda x, t, *, delta: np.where(
        abs(x - t) < delta, (x - t) ** 2 / 2, delta * (abs(x - t) - delta / 2)
    ),
    attrs=({"delta": 1.0}, {"delta": 2.3}),
    check=_check_delta,
)

# ------------------------------------------------------------------------------ binary targets

_LEAST_LOG = -100.0  # PyTorch's bound: a probability of 0 or 1 costs much, but not infinitely
_LEAST_SLOPE = 1e-12


def _binary(x: Any, t: Any) -> Any:
    no = row.maximum(row.log1p(-x), _LEAST_LOG)
    yes = row.maximum(row.log(x), _LEAST_LOG)
    return (t - 1) * no - t * yes


def _binary_slopes(x: Any, t: Any) -> tuple[Any, Any]:
    """By ``x`` as PyTorch bounds it; by ``t`` the difference of the two logarithms."""
    return (
        lambda: (x - t) / row.maximum((1 - x) * x, _LEAST_SLOPE),
        lambda: row.log1p(-x) - row.log(x),
    )


def _fast_binary(x: Array, t: Array) -> Array:
    if not np.all((x >= 0) & (x <= 1)):
        raise RuntimeError("all elements of input should be between 0 and 1")
    no, yes = np.maximum(np.log1p(-x), _LEAST_LOG), np.maximum(np.log(x), _LEAST_LOG)
    return np.asarray((t - 1) * no - t * yes)


BINARY_CROSS_ENTROPY = _pointwise_loss(
    "binary_cross_entropy",
    _binary,
    _binary_slopes,
    lambda x, t: -(t * np.log(x) + (1 - t) * np.log(1 - x)),
    domains=((0.1, 0.9), (0.1, 0.9)),
    numpy=_fast_binary,
)
BINARY_CROSS_ENTROPY_WITH_LOGITS = _pointwise_loss(
    "binary_cross_entropy_with_logits",
    lambda x, t: (1 - t) * x - row.log_sigmoid(x),
    lambda x, t: (lambda: row.sigmoid(x) - t, lambda: -x),
    lambda x, t: np.logaddexp(0, x) - t * x,
    domains=((-9, 9), (0, 1)),
)

# -------------------------------------------------------------------------------- divergence


def _divergence(x: Any, t: Any, *, log_target: bool) -> Any:
    if log_target:
        return row.exp(t) * (t - x)
    return row.xlogy(t, t) - t * x


def _divergence_slopes(x: Any, t: Any, *, log_target: bool) -> tuple[Any, Any]:
    if log_target:
        return lambda: -row.exp(t), lambda: row.exp(t) * (t - x + 1)
    return lambda: -t, lambda: row.where(row.eq(t, 0), 0, row.log(t) + 1) - x


def _divergence_reference(x: Array, t: Array, *, log_target: bool) -> Array:
    if log_target:
        return np.asarray(np.exp(t) * (t - x))
    safe = np.where(t > 0, t, 1)
    return np.asarray(np.where(t > 0, t * np.log(safe), 0) - t * x)


KL_DIV = _pointwise_loss(
    "kl_div",
    _divergence,
    _divergence_slopes,
    _divergence_reference,
    attrs=({"log_target": False}, {"log_target": True}),
    domains=((-3, -0.1), (0.05, 2)),
)
