"""The ways in which an operation is compared with PyTorch's: one function a mode.

Each takes one OpInfo and the settings, and gives one Outcome a sample. Compiled modes put all
samples of an operation and a dtype into one program; when that fails they run one by one, to tell
which of them it is.
"""

import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import graphc
from tests.opinfo import compare
from tests.opinfo.compare import Difference, Inexact, same
from tests.opinfo.convert import NAMES, translate
from tests.opinfo.names import DYNAMIC, GAUGE, LOOSE, PLAIN_OUT, RANDOM, STRIDED
from tests.opinfo.samples import (
    Call,
    Missing,
    backward_dtypes_of,
    call_of,
    calls,
    dtypes_of,
    our_operation,
    seed,
    their_operation,
)

DTYPES = ("float32", "float64", "int64", "uint8", "bool", "bfloat16", "float16")
GRADIENT_DTYPES = ("float64", "float32", "bfloat16")
LONGEST = 60  # samples of one compiled program


@dataclass(frozen=True)
class Settings:
    """Which dtypes, and how many samples of each (None: all)."""

    dtypes: tuple[str, ...] = DTYPES
    limit: int | None = None
    first_only: bool = False


@dataclass
class Outcome:
    """What became of one sample: ``failure`` is None when the libraries agree."""

    operation: str
    mode: str
    dtype: str
    sample: str
    failure: str | None = None
    trace: str = ""
    excuse: str = ""


@dataclass
class Report:
    """All outcomes of one name in one mode."""

    mode: str
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def failures(self) -> list[Outcome]:
        return [o for o in self.outcomes if o.failure is not None]

    @property
    def passed(self) -> int:
        return len(self.outcomes) - len(self.failures)


def attempt(call: Any, mode: str, dtype: Any, check: Callable[[], None]) -> Outcome:
    """Runs one comparison and tells how it went."""
    name = NAMES.get(dtype, str(dtype))
    outcome = Outcome(getattr(call, "label", ""), mode, name, str(call))
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            check()
    except Missing as missing:
        outcome.failure = f"missing: graphc has no {missing}"
    except Difference as difference:
        outcome.failure = str(difference)
    except Exception as error:
        outcome.failure = f"{type(error).__name__}: {error}"
        outcome.trace = _tail(error)
    return outcome


def _tail(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    skipped = ("with_place", "with_out", "in_place")
    ours = [f for f in frames if "/graphc/" in f.filename and f.name not in skipped]
    shown = ours[-4:] or frames[-3:]
    return "\n".join(f"{f.filename}:{f.lineno} {f.name}: {f.line}" for f in shown)


def agree(found: Any, expected: Any, exact: Callable[[], Any], *args: Any) -> None:
    """``same``; where only rounding differs, ``exact`` (the result in float64) decides."""
    try:
        same(found, expected, *args)
    except Inexact:
        try:
            wide = exact()
        except (RuntimeError, TypeError):  # not for float64
            wide = None
        same(found, expected, *args, wide)


def exactly(info: Any, call: Call) -> Callable[[], Any]:
    """PyTorch's result of a call in float64."""

    def run() -> Any:
        args, kwargs = call.exact().theirs()
        seed()
        return their_operation(info)(*args, **kwargs)

    return run


def loose_for(info: Any) -> float:
    return LOOSE.get(info.name, 1.0)


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
        expected, found = _processed(call, expected, found)
    values = info.name not in RANDOM
    agree(found, expected, exactly(info, call), "result", loose_for(info), values)
    mine, theirs = tensors_of(ours, our_kwargs), tensors_of(args, kwargs)
    compare.same_memory(found, expected, mine, theirs)
    if info.name in STRIDED and isinstance(expected, torch.Tensor):
        compare.same_strides(found, expected)


def _processed(call: Call, expected: Any, found: Any) -> tuple[Any, Any]:
    from tests.opinfo.samples import retold

    return call.processed(expected), retold(call.processed)(found)  # type: ignore[arg-type]


def tensors_of(*nests: Any) -> list[Any]:
    """The tensors of a nest, in order."""
    leaves, _ = graphc_flatten(nests)
    return [x for x in leaves if isinstance(x, (torch.Tensor, graphc.Tensor))]


def graphc_flatten(nest: Any) -> Any:
    from graphc.trees import flatten

    return flatten(nest)


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
    same_error(lambda: operation(*_given(call)[0], **_given(call)[1]), expected)


def _given(call: Call) -> tuple[Any, Any]:
    return call.ours()


def same_error(ours: Callable[[], Any], expected: BaseException) -> None:
    """Raises Difference unless ``ours`` raises an exception of the expected kind."""
    kinds = [
        k
        for k in (IndexError, TypeError, ValueError, NotImplementedError, RuntimeError, Exception)
        if isinstance(expected, k)
    ]
    try:
        ours()
    except Missing:
        raise
    except kinds[0]:
        return
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise Difference(
            f"{type(error).__name__} ({text}) is not {type(expected).__name__} "
            f"({' '.join(str(expected).split())[:200]})"
        ) from error
    raise Difference(
        f"no error; PyTorch: {type(expected).__name__} ({' '.join(str(expected).split())[:200]})"
    )


# ------------------------------------------------------------------------------------------- forms


def forms(info: Any, settings: Settings) -> Iterator[Outcome]:
    """Methods, in-place methods and ``out=``."""
    wanted = tuple(d for d in settings.dtypes if d in ("float32", "int64", "bool"))
    for dtype in dtypes_of(info, wanted):
        limit = min(settings.limit or 12, 12)
        for call in calls(info, dtype, False, limit):
            if info.method_variant is not None and isinstance(call.leaves[0], torch.Tensor):
                yield attempt(call, "forms", dtype, lambda c=call: _method(info, c))
            if info.inplace_variant is not None and isinstance(call.leaves[0], torch.Tensor):
                yield attempt(call, "forms", dtype, lambda c=call: _in_place(info, c))
            if info.supports_out and info.op is not None:
                yield attempt(call, "forms", dtype, lambda c=call: _out(info, c))


def _method(info: Any, call: Call) -> None:
    name = info.name.rsplit(".", 1)[-1]
    operation = getattr(graphc.Tensor, name, None)
    if not hasattr(torch.Tensor, name):
        return
    args, kwargs = call.theirs()
    seed()
    try:
        expected = info.method_variant(*args, **kwargs)
    except TypeError:
        return  # this overload is a function only
    if operation is None:
        raise Missing(f"Tensor.{name}")
    if not callable(operation):
        return
    ours, our_kwargs = call.ours()
    found = operation(*ours, **our_kwargs)
    if info.name in GAUGE:
        expected, found = _processed(call, expected, found)
    values = info.name not in RANDOM
    agree(found, expected, exactly(info, call), f".{name}()", loose_for(info), values)


def _in_place(info: Any, call: Call) -> None:
    name = f"{info.name.rsplit('.', 1)[-1].rstrip('_')}_"
    operation = getattr(graphc.Tensor, name, None)
    if not hasattr(torch.Tensor, name):
        return
    if operation is None:
        raise Missing(f"Tensor.{name}")
    target = call.leaves[0].clone()
    args, kwargs = call.theirs({0: target})
    ours, our_kwargs = call.ours()
    seed()
    try:
        info.inplace_variant(*args, **kwargs)
    except Exception as error:
        same_error(lambda: operation(*ours, **our_kwargs), error)
        return
    returned = operation(*ours, **our_kwargs)
    if returned is not ours[0]:
        raise Difference(f".{name}() does not return the tensor itself")
    values = info.name not in RANDOM
    agree(returned, target, exactly(info, call), f".{name}()", loose_for(info), values)


def _out(info: Any, call: Call) -> None:
    operation = our_operation(info)
    args, kwargs = call.theirs()
    if "out" in kwargs:
        return
    seed()
    expected = their_operation(info)(*args, **kwargs)
    several = not isinstance(expected, torch.Tensor)
    if several and not isinstance(expected, (tuple, list)):
        return  # a Python value
    parts = list(expected) if several else [expected]
    if not parts or not all(isinstance(p, torch.Tensor) for p in parts):
        return

    def wide() -> list[Any]:
        exact = exactly(info, call)()
        return list(exact) if several else [exact]

    kinds: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
        lambda p: torch.full_like(p.contiguous(), 1),
        lambda p: torch.ones(p.shape[::-1], dtype=p.dtype).permute(tuple(range(p.ndim)[::-1])),
        lambda p: torch.empty(0, dtype=p.dtype),
        lambda p: torch.ones(p.shape, dtype=torch.float64),
        lambda p: torch.ones(p.shape, dtype=torch.int32),
    )
    for make in kinds[::2][:2] if info.name in PLAIN_OUT else kinds:
        targets = [make(p) for p in parts]
        mine = [translate(make(p)) for p in parts]  # PyTorch cannot resize what NumPy has seen
        ours, our_kwargs = call.ours()
        given = tuple(targets) if several else targets[0]
        our_given = tuple(mine) if several else mine[0]

        def run(ours=ours, our_kwargs=our_kwargs, our_given=our_given) -> Any:
            return operation(*ours, **our_kwargs, out=our_given)

        seed()
        try:
            their_operation(info)(*args, **kwargs, out=given)
        except Exception as error:
            # Some of PyTorch's operations want the exact dtype. graphc casts wherever that is safe.
            if not all(
                torch.can_cast(p.dtype, t.dtype) for p, t in zip(parts, targets, strict=True)
            ):
                same_error(run, error)
            continue
        returned = run()
        if not several and returned is not mine[0]:
            raise Difference("out= is not what the function returns")
        where = f"out={targets[0].dtype}{list(targets[0].shape)}"
        values = info.name not in RANDOM and info.name not in GAUGE
        # A wider target does not make the computation more exact.
        loose = loose_for(info) * (100 if targets[0].dtype is not parts[0].dtype else 1)
        agree(mine, targets, wide, where, loose, values)


# ---------------------------------------------------------------------------------------- compiled


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
        given = [call.leaves[k] for k in call.tensors]
        given = [t.detach().requires_grad_(t.requires_grad) for t in given]
        return _one(
            torch, op, call.processed, self._raw(), self.gradient,
            lambda: call.theirs(dict(zip(call.tensors, given, strict=True))), given,
        )  # fmt: skip

    def _raw(self) -> bool:
        return self.info.name not in GAUGE

    def ours(self, numbers: list[int], compiled: bool) -> list[Any]:
        """The results of these calls; one function call for all of them."""
        from tests.opinfo.samples import retold

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
                from graphc.trees import unflatten

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
    outputs = [y for y in _tensors(t, values) if y.requires_grad]
    inputs = [x for x in given if x.requires_grad]
    if not outputs or not inputs:
        return values, []
    seeds = [cotangent(t, y, i) for i, y in enumerate(outputs)]
    gradients = t.autograd.grad(outputs, inputs, seeds, allow_unused=True)
    filled = [t.zeros_like(x) if g is None else g for g, x in zip(gradients, inputs, strict=True)]
    return [y.detach() for y in outputs], filled


def _tensors(t: Any, nest: Any) -> list[Any]:
    if isinstance(nest, t.Tensor):
        return [nest]
    if isinstance(nest, (list, tuple)):
        return [y for part in nest for y in _tensors(t, part)]
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
    for dtype in dtypes_of(info, settings.dtypes):
        yield from _programs(info, dtype, False, settings, "compiled")


def compiled_gradient(info: Any, settings: Settings) -> Iterator[Outcome]:
    """Values and gradients, computed inside one compiled program."""
    wanted = tuple(d for d in GRADIENT_DTYPES if d in settings.dtypes)
    for dtype in backward_dtypes_of(info, wanted):
        yield from _programs(info, dtype, True, settings, "compiled_gradient")


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
    info: Any, dtype: torch.dtype, with_gradient: bool, settings: Settings, mode: str
) -> Iterator[Outcome]:
    limit = min(settings.limit or LONGEST, LONGEST)
    chosen = calls(info, dtype, with_gradient, limit)
    if not chosen:
        return
    program = Program(info, chosen, with_gradient)
    everything = list(range(len(chosen)))
    results: list[Any] | None = None
    if info.name not in DYNAMIC:
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                results = program.ours(everything, compiled=True)
        except Exception:
            results = None  # which of the samples it is, the runs below tell
    for i in everything:

        def check(i: int = i) -> None:
            found = program.ours([i], compiled=True)[0] if results is None else results[i]
            _agree(program, found, i)

        outcome = attempt(chosen[i], mode, dtype, check)
        yield outcome
        if outcome.failure is not None and settings.first_only:
            return
        if outcome.failure is not None and outcome.failure.startswith("missing"):
            return


# --------------------------------------------------------------------------------- second gradient


def second(info: Any, settings: Settings) -> Iterator[Outcome]:
    """Gradients of gradients, eager, in float64."""
    if not info.supports_gradgrad or "float64" not in settings.dtypes:
        return
    for dtype in backward_dtypes_of(info, ("float64",)):
        for call in calls(info, dtype, True, settings.limit):
            yield attempt(call, "second", dtype, lambda c=call: _second(info, c))


def _second(info: Any, call: Call) -> None:
    from tests.opinfo.samples import retold

    theirs = [call.leaves[k] for k in call.tensors]
    theirs = [t.detach().clone().requires_grad_(t.requires_grad) for t in theirs]
    ours = [translate(t) for t in theirs]
    expected = _twice(
        torch, their_operation(info), call.processed,
        call.theirs(dict(zip(call.tensors, theirs, strict=True))), theirs,
    )  # fmt: skip
    found = _twice(
        graphc, our_operation(info), retold(call.processed),  # type: ignore[arg-type]
        call.ours(dict(zip(call.tensors, ours, strict=True))), ours,
    )  # fmt: skip
    same(found, expected, "second gradient", loose_for(info) * 100, info.name not in RANDOM)


def _twice(t: Any, op: Any, process: Any, arguments: Any, given: list[Any]) -> list[Any]:
    args, kwargs = arguments
    outputs = [y for y in _tensors(t, process(op(*args, **kwargs))) if y.requires_grad]
    inputs = [x for x in given if x.requires_grad]
    if not outputs or not inputs:
        return []
    seeds = [cotangent(t, y, i).requires_grad_() for i, y in enumerate(outputs)]
    first = t.autograd.grad(outputs, inputs, seeds, create_graph=True, allow_unused=True)
    kept = [g for g in first if g is not None and g.requires_grad]
    if not kept:
        return []
    weights = [cotangent(t, g, 7 + i) for i, g in enumerate(kept)]
    wanted = [*inputs, *seeds]
    found = t.autograd.grad(kept, wanted, weights, allow_unused=True)
    return [t.zeros_like(x) if g is None else g for g, x in zip(found, wanted, strict=True)]


MODES: dict[str, Callable[[Any, Settings], Iterator[Outcome]]] = {
    "eager": eager,
    "forms": forms,
    "errors": errors,
    "compiled": compiled,
    "gradient": gradient,
    "compiled_gradient": compiled_gradient,
    "second": second,
}
