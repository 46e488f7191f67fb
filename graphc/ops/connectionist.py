"""Connectionist temporal classification: the likelihood of labels that are not aligned with time.

Graves et al., "Connectionist Temporal Classification", 2006. The states of one example are its
labels with a blank before, between and after them; a path stays in its state, goes on to the next,
or leaves out a blank between two labels that differ. The sums over all paths run over time, one
step after the other, for all examples and states at once, in float64.

Operands: log-probabilities (T, N, C); labels (N, S), or all of them in one vector; the number of
time steps and of labels of each example, (N,) each.
"""

from collections.abc import Iterable
from itertools import product as every
from typing import Any, NamedTuple

import numpy as np

from graphc.errors import DtypeError, ShapeError
from graphc.ir import Host, Op, Sample, TensorType, register
from graphc.ops.evaluation import Quiet
from graphc.ops.rules import Array, row, spread


class _Paths(NamedTuple):
    """The states of a batch, (N, 2 S + 1) each: their labels and whether a path may skip to them.

    ``ends`` and ``steps`` (N,): the index of the last state, and the time steps, of each example.
    """

    labels: Array
    skips: Array
    ends: Array
    steps: Array


def _check(
    logs: TensorType, labels: TensorType, steps: TensorType, counts: TensorType, blank: int
) -> None:
    if len(logs.shape) != 3:
        raise ShapeError(f"ctc_loss: log_probs must be (T, N, C), not {list(logs.shape)}")
    if not logs.dtype.is_floating_point or logs.dtype.itemsize < 4:
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{logs.dtype.type_name}'")
    if labels.dtype.name not in ("int64", "int32"):
        raise DtypeError(f"ctc_loss: targets must be int64 or int32, not {labels.dtype}")
    if 0 in logs.shape:
        raise ShapeError("log_probs tensor must not be empty")
    _, batch, classes = logs.shape
    if blank < 0 or (isinstance(classes, int) and blank >= classes):
        raise ShapeError("blank must be in label range")
    for lengths, name in ((steps, "input_lengths"), (counts, "target_lengths")):
        if lengths.dtype.is_floating_point or lengths.dtype.name == "bool":
            raise DtypeError(f"{name} must be integral")
        if lengths.shape != (batch,):
            raise ShapeError(f"{name} must be of size batch_size")
    if len(labels.shape) not in (1, 2) or (len(labels.shape) == 2 and labels.shape[0] != batch):
        raise ShapeError(
            f"ctc_loss: targets must be ({batch}, S) or one vector, not {list(labels.shape)}"
        )


def _check_lengths(logs: Array, labels: Array, steps: Array, counts: Array) -> None:
    """What only the values tell. Raises RuntimeError."""
    if counts.min() < 0:
        raise RuntimeError(
            f"Expected target_lengths to have value at least 0, but got value {counts.min()}"
        )
    if steps.min() < 0 or steps.max() > logs.shape[0]:
        wrong = steps.min() if steps.min() < 0 else steps.max()
        raise RuntimeError(
            f"Expected input_lengths to have value at most {logs.shape[0]}, but got value {wrong} "
            "(while checking arguments for ctc_loss_cpu)"
        )
    needed, given = (
        (counts.sum(), labels.size) if labels.ndim == 1 else (counts.max(), labels.shape[1])
    )
    if needed > given:
        raise RuntimeError(
            f"Expected tensor to have size at least {needed} at dimension {labels.ndim - 1}, but "
            f"got size {given} for argument #2 'targets' (while checking arguments for "
            "ctc_loss_cpu)"
        )


def _paths(logs: Array, labels: Array, steps: Array, counts: Array, blank: int) -> _Paths:
    _check_lengths(logs, labels, steps, counts)
    longest = int(counts.max())
    place = np.arange(longest)
    if labels.ndim == 1:
        place = place + (np.cumsum(counts) - counts)[:, None]
    else:
        place = place + np.zeros((len(counts), 1), np.int64)
    there = np.arange(longest) < counts[:, None]
    if labels.ndim == 1:
        own = labels[np.where(there, place, 0)] if labels.size else np.zeros(place.shape, np.int64)
    else:
        own = np.take_along_axis(labels, place, 1)
    own = np.where(there, own, blank)
    if own.size and (own.min() < 0 or own.max() >= logs.shape[2]):
        raise IndexError(f"ctc_loss: targets must be classes from 0 to {logs.shape[2] - 1}")
    states = np.full((len(counts), 2 * longest + 1), blank, np.int64)
    states[:, 1::2] = own
    skips = np.zeros(states.shape, bool)
    skips[:, 3::2] = states[:, 3::2] != states[:, 1:-2:2]
    return _Paths(states, skips, 2 * counts, steps)


def _log_sum(*terms: Array) -> Array:
    most = np.maximum.reduce(terms)
    most = np.where(most == -np.inf, 0.0, most)
    return np.asarray(np.log(sum(np.exp(t - most) for t in terms)) + most)


def _shifted(x: Array, by: int) -> Array:
    """States moved on; minus infinity comes in."""
    moved: Array = np.full(x.shape, -np.inf)
    if by >= 0:
        moved[:, by:] = x[:, : x.shape[1] - by]
    else:
        moved[:, :by] = x[:, -by:]
    return moved


def _emissions(logs: Array, paths: _Paths) -> Array:
    """(T, N, states): the log-probability of the label of each state at each time."""
    labels = np.broadcast_to(paths.labels, (len(logs), *paths.labels.shape))
    return np.take_along_axis(logs.astype(np.float64), labels, 2)


def _forward(emitted: Array, paths: _Paths) -> Array:
    """(T, N, states): the log-probability of all beginnings of paths that end there."""
    begun: Array = np.full(emitted.shape, -np.inf)
    begun[0, :, 0] = emitted[0, :, 0]
    if begun.shape[2] > 1:
        begun[0, :, 1] = np.where(paths.ends > 0, emitted[0, :, 1], -np.inf)
    for t in range(1, len(emitted)):
        before = begun[t - 1]
        two_back = np.where(paths.skips, _shifted(before, 2), -np.inf)
        begun[t] = _log_sum(before, _shifted(before, 1), two_back) + emitted[t]
    return begun


def _backward(emitted: Array, paths: _Paths) -> Array:
    """(T, N, states): the log-probability of all ends of paths that begin there."""
    number = np.arange(emitted.shape[2])
    last = (number == paths.ends[:, None]) | (number == paths.ends[:, None] - 1)
    from_here = np.zeros(paths.skips.shape, bool)
    from_here[:, :-2] = paths.skips[:, 2:]
    left: Array = np.full(emitted.shape, -np.inf)
    after: Array = np.full(emitted.shape[1:], -np.inf)
    for t in reversed(range(len(emitted))):
        two_on = np.where(from_here, _shifted(after, -2), -np.inf)
        onward = _log_sum(after, _shifted(after, -1), two_on)
        ending = (paths.steps == t + 1)[:, None] & last
        after = np.where(ending, 0.0, onward) + emitted[t]
        left[t] = after
    return left


def _costs(begun: Array, paths: _Paths) -> Array:
    """The negative log-likelihood of each example; infinite where no path is long enough."""
    example = np.arange(len(paths.steps))
    at = begun[np.maximum(paths.steps - 1, 0), example]
    blank_last = at[example, paths.ends]
    label_last = np.where(paths.ends > 0, at[example, paths.ends - 1], -np.inf)
    costs = -_log_sum(blank_last, label_last)
    no_time = np.where(paths.ends > 0, np.inf, 0.0)
    return np.where(paths.steps > 0, costs, no_time)


def _losses(
    logs: Array, labels: Array, steps: Array, counts: Array, *, blank: int, zero_infinity: bool
) -> Array:
    paths = _paths(logs, labels, steps, counts, blank)
    costs = _costs(_forward(_emissions(logs, paths), paths), paths)
    if zero_infinity:
        costs = np.where(np.isinf(costs), 0.0, costs)
    return costs.astype(logs.dtype)


def _gradient(
    logs: Array, labels: Array, steps: Array, counts: Array, *, blank: int, zero_infinity: bool
) -> Array:
    """``exp(logs)`` less the probability that a path of the labels has the class at the time."""
    paths = _paths(logs, labels, steps, counts, blank)
    emitted = _emissions(logs, paths)
    begun = _forward(emitted, paths)
    costs = _costs(begun, paths)
    share = np.exp(begun + _backward(emitted, paths) - emitted + costs[:, None])
    share = np.where(begun == -np.inf, 0.0, share)
    result = np.exp(logs.astype(np.float64))
    example = np.arange(logs.shape[1])
    for state in range(share.shape[2]):
        result[:, example, paths.labels[:, state]] -= share[:, :, state]
    result[:, np.isinf(costs)] = 0.0 if zero_infinity else np.nan
    result[np.arange(len(logs))[:, None] >= steps] = 0.0
    return result.astype(logs.dtype)


def _losses_type(
    logs: TensorType,
    labels: TensorType,
    steps: TensorType,
    counts: TensorType,
    *,
    blank: int,
    zero_infinity: bool,
) -> TensorType:
    del zero_infinity
    _check(logs, labels, steps, counts, blank)
    return logs.with_shape((logs.shape[1],))


def _gradient_type(
    logs: TensorType, labels: TensorType, steps: TensorType, counts: TensorType, **attrs: Any
) -> TensorType:
    _losses_type(logs, labels, steps, counts, **attrs)
    return logs


def _losses_vjp(
    g: Any, _y: Any, logs: Any, labels: Any, steps: Any, counts: Any, **attrs: Any
) -> tuple[Any, ...]:
    """That of log-probabilities that come out of ``log_softmax``, as PyTorch has it.

    ``exp(logs)`` is what the derivative of ``log_softmax`` takes away again.
    """

    def to_logs() -> Any:
        share = row.reshape(g, shape=(1, logs.shape[1], 1))
        return share * row.ctc_gradient(logs, labels, steps, counts, **attrs)

    return to_logs, None, None, None


def _no_second(_g: Any, _y: Any, _logs: Any, _l: Any, _s: Any, _c: Any, **_attrs: Any) -> Any:
    def refuse() -> Any:
        raise RuntimeError("derivative for aten::_ctc_loss_backward is not implemented")

    return refuse, None, None, None


# ---------------------------------------------------------------------------------------- samples


def _samples() -> Iterable[Sample]:
    labels = np.array([[1, 2], [2, 2], [1, 0], [0, 0]])
    steps, counts = np.array([4, 3, 2, 1]), np.array([2, 2, 1, 0])
    for dtype in (np.float64, np.float32):
        scores = spread((4, 4, 3), -2, 2, dtype)
        logs = scores - np.log(np.exp(scores).sum(2, keepdims=True))
        for zero_infinity in (False, True):
            attrs = {"blank": 0, "zero_infinity": zero_infinity}
            yield Sample((logs, labels, steps, counts), attrs, differentiable=False)
        joined = np.array([1, 2, 0, 1])
        attrs = {"blank": 2, "zero_infinity": True}
        some = (joined % 2, np.array([4, 2, 3, 4]), np.array([1, 2, 0, 1]))
        yield Sample((logs, *some), attrs, differentiable=False)
    short = (logs, labels, np.array([2, 2, 0, 0]), np.array([2, 2, 1, 0]))
    yield Sample(short, {"blank": 0, "zero_infinity": True}, differentiable=False)


def _by_every_path(
    logs: Array, labels: Array, steps: Array, counts: Array, blank: int
) -> Iterable[tuple[float, Array]]:
    """Of each example: the probability of its labels, and how it is spread over (T, C)."""
    classes, starts = logs.shape[2], np.cumsum(counts) - counts
    for n, (time, count) in enumerate(zip(steps, counts, strict=True)):
        own = labels[n, :count] if labels.ndim == 2 else labels[starts[n] : starts[n] + count]
        spread_out, total = np.zeros((len(logs), classes)), 0.0
        for path in every(range(classes), repeat=int(time)):
            merged = [c for i, c in enumerate(path) if i == 0 or path[i - 1] != c]
            if [c for c in merged if c != blank] != list(own):
                continue
            p = float(np.exp(sum(float(logs[t, n, c]) for t, c in enumerate(path))))
            total += p
            for t, c in enumerate(path):
                spread_out[t, c] += p
        yield total, spread_out


def _losses_reference(
    logs: Array, labels: Array, steps: Array, counts: Array, *, blank: int, zero_infinity: bool
) -> Array:
    found = [p for p, _ in _by_every_path(logs, labels, steps, counts, blank)]
    impossible = 0.0 if zero_infinity else np.inf
    return np.array([-np.log(p) if p else impossible for p in found], logs.dtype)


def _gradient_reference(
    logs: Array, labels: Array, steps: Array, counts: Array, *, blank: int, zero_infinity: bool
) -> Array:
    result = np.exp(logs.astype(np.float64))
    every_example = _by_every_path(logs, labels, steps, counts, blank)
    for n, (total, spread_out) in enumerate(every_example):
        if total:
            result[:, n] -= spread_out / total
        else:
            result[:, n] = 0.0 if zero_infinity else np.nan
        result[steps[n] :, n] = 0.0
    return result.astype(logs.dtype)


CTC_LOSS = register(
    Op(
        "ctc_loss",
        _losses_type,
        Quiet(_losses),
        Host(),
        _losses_vjp,
        samples=_samples,
        reference=_losses_reference,
    )
)
CTC_GRADIENT = register(
    Op(
        "ctc_gradient",
        _gradient_type,
        Quiet(_gradient),
        Host(),
        _no_second,
        samples=_samples,
        reference=_gradient_reference,
    )
)
