"""Eager tensors against PyTorch: values, views, second gradients, mistakes."""

import warnings
from collections.abc import Iterator
from typing import Any

import torch

import graphc
from graphc.trees import flatten
from tests.opinfo import compare
from tests.opinfo.compare import same
from tests.opinfo.convert import fresh, translate
from tests.opinfo.deliberate import NEEDLESS
from tests.opinfo.names import GAUGE, RANDOM, STRIDED
from tests.opinfo.outcomes import (
    Outcome,
    Settings,
    agree,
    attempt,
    exactly,
    loose_for,
    processed,
    same_error,
)
from tests.opinfo.programs import cotangent, tensors_among
from tests.opinfo.samples import (
    Call,
    backward_dtypes_of,
    call_of,
    calls,
    dtypes_of,
    our_operation,
    retold,
    seed,
    their_operation,
)

# ------------------------------------------------------------------------------------------- eager


def eager(info: Any, settings: Settings) -> Iterator[Outcome]:
    """Values, dtypes, shapes, named fields, views."""
    for dtype in dtypes_of(info, settings.dtypes):
        for call in calls(info, dtype, False, settings.limit):
            yield attempt(call, "eager", dtype, lambda c=call: _eager(info, c))


def _eager(info: Any, call: Call) -> None:
    operation = our_operation(info)
    args, kwargs = call.theirs()
    seed()
    expected = their_operation(info)(*args, **kwargs)
    ours, our_kwargs = call.ours()
    graphc.manual_seed(0)
    found = operation(*ours, **our_kwargs)
    if info.name in GAUGE:
        expected, found = processed(call, expected, found)
    values = info.name not in RANDOM
    agree(found, expected, exactly(info, call), "result", loose_for(info), values)
    mine, theirs = tensors_of(ours, our_kwargs), tensors_of(args, kwargs)
    compare.same_memory(found, expected, mine, theirs)
    if info.name in STRIDED and isinstance(expected, torch.Tensor):
        compare.same_strides(found, expected)


def tensors_of(*nests: Any) -> list[Any]:
    """The tensors of a nest, in order."""
    leaves, _ = flatten(nests)
    return [x for x in leaves if isinstance(x, (torch.Tensor, graphc.Tensor))]


# ------------------------------------------------------------------------------------------ errors


def errors(info: Any, settings: Settings) -> Iterator[Outcome]:
    """OpInfo's mistaken calls: the same kind of exception."""
    if info.error_inputs_func is None:
        return
    seed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mistakes = list(info.error_inputs("cpu"))
    for mistake in mistakes:
        call = call_of(mistake.sample_input, f"{info.name}")
        if call is not None:
            yield attempt(call, "errors", "", lambda c=call: _mistaken(info, c))


def _mistaken(info: Any, call: Call) -> None:
    operation = our_operation(info)
    args, kwargs = call.theirs()
    try:
        their_operation(info)(*args, **kwargs)
    except Exception as error:
        expected = error
    else:
        return  # not an error in this version of PyTorch
    if any(text in str(expected) for text in NEEDLESS):
        return
    ours, our_kwargs = call.ours()
    same_error(lambda: operation(*ours, **our_kwargs), expected)


# --------------------------------------------------------------------------------- second gradient


def second(info: Any, settings: Settings) -> Iterator[Outcome]:
    """Gradients of gradients, eager, in float64."""
    if not info.supports_gradgrad or "float64" not in settings.dtypes:
        return
    for dtype in backward_dtypes_of(info, ("float64",)):
        for call in calls(info, dtype, True, settings.limit):
            yield attempt(call, "second", dtype, lambda c=call: _second(info, c))


def _second(info: Any, call: Call) -> None:
    theirs = [fresh(call.leaves[k]) for k in call.tensors]
    ours = [translate(t) for t in theirs]

    def run() -> list[Any]:
        return _twice(
            graphc, our_operation(info), retold(call.processed),  # type: ignore[arg-type]
            call.ours(dict(zip(call.tensors, ours, strict=True))), ours,
        )  # fmt: skip

    try:
        expected = _twice(
            torch, their_operation(info), call.processed,
            call.theirs(dict(zip(call.tensors, theirs, strict=True))), theirs,
        )  # fmt: skip
    except RuntimeError as error:  # there is no second gradient
        same_error(run, error)
        return
    found = run()
    same(found, expected, "second gradient", loose_for(info) * 100, info.name not in RANDOM)


def _twice(t: Any, op: Any, process: Any, arguments: Any, given: list[Any]) -> list[Any]:
    args, kwargs = arguments
    outputs = [y for y in tensors_among(t, process(op(*args, **kwargs))) if y.requires_grad]
    inputs = [x for x in given if x.requires_grad]
    if not outputs or not inputs:
        return []
    seeds = [cotangent(t, y, i).requires_grad_() for i, y in enumerate(outputs)]
    first = t.autograd.grad(outputs, inputs, seeds, create_graph=True, allow_unused=True)
    # Numbered among all: the gradient of nothing (shape (0,)) is a constant to PyTorch alone.
    kept = [(i, g) for i, g in enumerate(first) if g is not None and g.requires_grad]
    wanted = [*inputs, *seeds]
    if not kept:  # a gradient that depends on nothing
        return [t.zeros_like(x) for x in wanted]
    weights = [cotangent(t, g, 7 + i) for i, g in kept]
    found = t.autograd.grad([g for _, g in kept], wanted, weights, allow_unused=True)
    return [t.zeros_like(x) if g is None else g for g, x in zip(found, wanted, strict=True)]
