"""Many samples as one program: compiled, and with gradients, eager and compiled.

All samples of an operation and a dtype are one compiled program; where that fails they run one by
one, which tells which of them it is.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import graphc
from graphc.trees import unflatten
from tests.opinfo.convert import fresh, translate
from tests.opinfo.names import GAUGE, RANDOM, SLOW
from tests.opinfo.outcomes import (
    GRADIENT_DTYPES,
    Outcome,
    Settings,
    agree,
    attempt,
    loose_for,
)
from tests.opinfo.samples import (
    Call,
    backward_dtypes_of,
    calls,
    dtypes_of,
    our_operation,
    retold,
    seed,
    their_operation,
)

LONGEST = 60  # compiled samples of one operation and dtype


class Program:
    """Several calls as one function of a flat list of tensors, for both libraries alike.

    ``gradient`` makes every call also give the gradients of its differentiable results, weighted
    by fixed cotangents, with respect to its differentiable inputs.
    """

    def __init__(self, info: Any, calls: list[Call], gradient: bool) -> None:
        self.info = info
        self.calls = calls
        self.gradient = gradient

    def expected(self, i: int, exact: bool = False) -> Any:
        call = self.calls[i].exact() if exact else self.calls[i]
        seed()
        op = their_operation(self.info)
        given = [fresh(call.leaves[k]) for k in call.tensors]
        return _one(
            torch, op, call.processed, self._raw(), self.gradient,
            lambda: call.theirs(dict(zip(call.tensors, given, strict=True))), given,
        )  # fmt: skip

    def _raw(self) -> bool:
        return self.info.name not in GAUGE

    def ours(self, numbers: list[int], compiled: bool) -> list[Any]:
        """The results of these calls; one function call for all of them."""
        op = our_operation(self.info)
        operands: list[list[Any]] = []
        steps: list[Callable[[list[Any]], Any]] = []
        for i in numbers:
            call = self.calls[i]
            made = [translate(call.leaves[k]) for k in call.tensors]
            fixed = [x if k in call.tensors else translate(x) for k, x in enumerate(call.leaves)]
            operands.append(made)
            process = retold(call.processed)  # type: ignore[arg-type]

            def step(mine: list[Any], call=call, process=process, fixed=fixed) -> Any:
                leaves = list(fixed)
                for k, tensor in zip(call.tensors, mine, strict=True):
                    leaves[k] = tensor
                return _one(
                    graphc, op, process, self._raw(), self.gradient,
                    lambda: unflatten(call.tree, leaves), mine,
                )  # fmt: skip

            steps.append(step)
        # A bound method of a list: the program depends on its arguments only, and the compiler
        # need not watch what the steps hold.
        step_of = steps.__getitem__

        def program(operands: list[list[Any]]) -> list[Any]:
            return [step_of(k)(mine) for k, mine in enumerate(operands)]

        graphc.manual_seed(0)
        if not compiled:
            return program(operands)
        program.__name__ = f"{self.info.name.replace('.', '_')}"
        return graphc.compile(program)(operands)  # type: ignore[no-any-return]


def _one(
    t: Any, op: Any, process: Any, raw: bool, gradient: bool, arguments: Any, given: list[Any]
) -> Any:
    """One call, told in terms of either library ``t``."""
    args, kwargs = arguments()
    result = op(*args, **kwargs)
    if not gradient:
        return result if raw else process(result)
    values = process(result)
    outputs = [y for y in tensors_among(t, values) if y.requires_grad]
    inputs = [x for x in given if x.requires_grad]
    if not outputs or not inputs:
        return values, []
    seeds = [cotangent(t, y, i) for i, y in enumerate(outputs)]
    gradients = t.autograd.grad(outputs, inputs, seeds, allow_unused=True)
    filled = [t.zeros_like(x) if g is None else g for g, x in zip(gradients, inputs, strict=True)]
    return [y.detach() for y in outputs], filled


def tensors_among(t: Any, nest: Any) -> list[Any]:
    """The tensors of either library in a nested result."""
    if isinstance(nest, t.Tensor):
        return [nest]
    if isinstance(nest, (list, tuple)):
        return [y for part in nest for y in tensors_among(t, part)]
    return []


def cotangent(t: Any, like: Any, number: int) -> Any:
    """Fixed weights of both signs in the shape and dtype of a result.

    Made by operations, so that a compiled program can make them too.
    """
    shape = tuple(like.shape)
    count = t.arange(int(np.prod(shape)))
    weights = (count * 7919 + 13 * number) % 23 - 11
    return (weights.to(like.dtype) / 8).reshape(shape)


def compiled(info: Any, settings: Settings) -> Iterator[Outcome]:
    """Values of the compiled operation."""
    yield from _programs(info, dtypes_of(info, settings.dtypes), False, settings, "compiled")


def compiled_gradient(info: Any, settings: Settings) -> Iterator[Outcome]:
    """Values and gradients, computed inside one compiled program."""
    wanted = tuple(d for d in GRADIENT_DTYPES if d in settings.dtypes)
    kinds = backward_dtypes_of(info, wanted)
    yield from _programs(info, kinds, True, settings, "compiled_gradient")


def gradient(info: Any, settings: Settings) -> Iterator[Outcome]:
    """Values and gradients of eager tensors."""
    wanted = tuple(d for d in GRADIENT_DTYPES if d in settings.dtypes)
    for dtype in backward_dtypes_of(info, wanted):
        chosen = calls(info, dtype, True, settings.limit)
        program = Program(info, chosen, True)
        for i, call in enumerate(chosen):
            yield attempt(call, "gradient", dtype, lambda p=program, k=i: _eager_one(p, k))


def _eager_one(program: Program, i: int) -> None:
    _agree(program, program.ours([i], compiled=False)[0], i)


def _agree(program: Program, found: Any, i: int) -> None:
    loose = loose_for(program.info)
    values = program.info.name not in RANDOM
    expected = program.expected(i)
    if not program.gradient:
        agree(
            found, expected, lambda: program.expected(i, exact=True), "result", loose, values
        )  # fmt: skip
        return
    for part, (name, factor) in enumerate((("result", 2), ("gradient", 10))):
        agree(
            found[part], expected[part], lambda k=part: program.expected(i, exact=True)[k],
            name, loose * factor, values,
        )  # fmt: skip


def _programs(
    info: Any, kinds: list[torch.dtype], with_gradient: bool, settings: Settings, mode: str
) -> Iterator[Outcome]:
    longest = SLOW.get(info.name, LONGEST)
    limit = min(settings.limit or longest, longest)
    chosen = [(d, call) for d in kinds for call in calls(info, d, with_gradient, limit)]
    program = Program(info, [call for _, call in chosen], with_gradient)
    together = _together(program, [d for d, _ in chosen])
    for i, (dtype, call) in enumerate(chosen):

        def check(i: int = i) -> None:
            found = together[i] if i in together else program.ours([i], compiled=True)[0]
            _agree(program, found, i)

        outcome = attempt(call, mode, dtype, check)
        yield outcome
        failed = outcome.failure is not None
        if failed and (settings.first_only or str(outcome.failure).startswith("missing")):
            return


def _together(program: Program, kinds: list[torch.dtype]) -> dict[int, Any]:
    """The results of as many calls as can be compiled as one: all, those of a dtype, or none."""
    everything = list(range(len(kinds)))
    groups = [[i for i in everything if kinds[i] is d] for d in dict.fromkeys(kinds)]
    if len(everything) <= LONGEST * 2:
        results = _results(program, everything)
        if results or len(groups) < 2:
            return results
    return {i: result for group in groups for i, result in _results(program, group).items()}


def _results(program: Program, numbers: list[int]) -> dict[int, Any]:
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return dict(zip(numbers, program.ours(numbers, compiled=True), strict=True))
    except Exception:
        return {}  # which of the samples it is, they tell one by one
