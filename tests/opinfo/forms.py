"""The other forms of an operation: methods, in-place methods, ``out=``, keywords."""

import types
from collections.abc import Callable, Iterator
from typing import Any

import torch

import graphc
from tests.opinfo.compare import Difference
from tests.opinfo.convert import translate
from tests.opinfo.names import GAUGE, PLAIN_OUT, RANDOM
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
from tests.opinfo.samples import (
    Call,
    Missing,
    calls,
    dtypes_of,
    our_operation,
    seed,
    their_operation,
)


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
            yield attempt(call, "forms", dtype, lambda c=call: _keywords(info, c))


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
        expected, found = processed(call, expected, found)
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


def _keywords(info: Any, call: Call) -> None:
    """The same call with PyTorch's names for every argument."""
    args, kwargs = call.theirs()
    function = info.op
    if isinstance(function, types.FunctionType) and function.__name__ == "<lambda>":
        return  # the names would be those of the lambda
    for schema in torch._C._jit_get_schemas_for_operator(f"aten::{info.name.replace('.', '_')}"):
        names = [a.name.replace("self", "input") for a in schema.arguments[: len(args)]]
        if len(names) < len(args) or not names:
            continue
        seed()
        try:
            expected = function(**dict(zip(names, args, strict=True)), **kwargs)
        except TypeError:
            continue  # another overload, or names that Python does not see
        ours, our_kwargs = call.ours()
        graphc.manual_seed(0)
        found = our_operation(info)(**dict(zip(names, ours, strict=True)), **our_kwargs)
        if info.name in GAUGE:
            expected, found = processed(call, expected, found)
        values = info.name not in RANDOM
        where = f"with {', '.join(names)}="
        agree(found, expected, exactly(info, call), where, loose_for(info), values)
        return
