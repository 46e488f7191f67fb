"""PyTorch's own samples of layers, and the same layers in graphc."""

import importlib
import inspect
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_modules import ModuleErrorEnum, ModuleInfo, module_db

import graphc
from graphc.trees import flatten, unflatten
from tests.opinfo.convert import from_graphc, to_graphc, translated

INFOS: dict[str, ModuleInfo] = {info.module_cls.__name__: info for info in module_db}
PLAIN = (bool, int, float, str, type(None))


class Sample:
    """Arguments of a layer and of its call, whose tensors are leaves."""

    def __init__(self, given: Any) -> None:
        self.desc = given.desc or "no name"
        self.made = given.constructor_input
        called = given.forward_input
        self.args, self.kwargs = leaves(list(called.args)), leaves(dict(called.kwargs))


def leaves(nest: Any) -> Any:
    found, tree = flatten(nest)
    return unflatten(
        tree,
        [
            x.detach().requires_grad_(x.requires_grad) if isinstance(x, torch.Tensor) else x
            for x in found
        ],
    )


def samples(info: ModuleInfo, dtype: torch.dtype, training: bool, most: int) -> list[Sample]:
    """At most so many of the inputs, spread over all of them."""
    torch.manual_seed(0)
    given = list(
        info.module_inputs_func(
            info, device="cpu", dtype=dtype, requires_grad=True, training=training
        )
    )
    return [Sample(x) for x in given[:: max(1, math.ceil(len(given) / most))]]


def refusals(info: ModuleInfo) -> list[Any]:
    """What the layer, or its call, raises an error for: ``(made, called, error type)``."""
    if info.module_error_inputs_func is None:
        return []
    torch.manual_seed(0)
    given = info.module_error_inputs_func(
        info, device="cpu", dtype=torch.float32, requires_grad=False, training=True
    )
    return [
        (e.module_error_input, e.error_on is ModuleErrorEnum.FORWARD_ERROR, e.error_type)
        for e in given
    ]


def in_graphc(value: Any) -> Any:
    """An argument in graphc's words, with the functions and layers that it is made of."""
    if isinstance(value, torch.nn.Module):
        return layer_in_graphc(value)
    if isinstance(value, torch.nn.utils.rnn.PackedSequence):
        parts = [None if x is None else to_graphc(x) for x in value]
        return graphc.nn.utils.rnn.PackedSequence(*parts)
    if isinstance(value, (tuple, list, dict)) and not isinstance(value, torch.Size):
        leaves, tree = flatten(value)
        return unflatten(tree, [in_graphc(leaf) for leaf in leaves])
    if inspect.isroutine(value) and hasattr(graphc.nn.functional, value.__name__):
        return getattr(graphc.nn.functional, value.__name__)
    return translated(value)


def layer_in_graphc(theirs: torch.nn.Module) -> Any:
    """The same layer, made of the attributes of PyTorch's."""
    place = importlib.import_module(type(theirs).__module__.replace("torch.", "graphc.", 1))
    cls = getattr(place, type(theirs).__name__)
    mine = cls.__new__(cls)
    state = {
        name: in_graphc(value)
        for name, value in vars(theirs).items()
        if name not in ("_parameters", "_buffers", "_modules") and not name.endswith("_hooks")
    }
    state["_parameters"] = {
        name: None if p is None else graphc.nn.Parameter(to_graphc(p.detach()), p.requires_grad)
        for name, p in theirs._parameters.items()
    }
    state["_buffers"] = {n: None if b is None else to_graphc(b) for n, b in theirs._buffers.items()}
    state["_modules"] = {
        n: None if m is None else layer_in_graphc(m) for n, m in theirs._modules.items()
    }
    mine.__setstate__(state)
    return mine


def build(info: ModuleInfo, made: Any) -> tuple[Any, Any]:
    """Graphc's layer and PyTorch's with the same arguments; weights are not the same yet."""
    args, kwargs = made.args, made.kwargs
    theirs = info.module_cls(*args, **kwargs)
    cls = getattr(graphc.nn, info.module_cls.__name__)
    return cls(*in_graphc(list(args)), **in_graphc(dict(kwargs))), theirs


def copy_weights(mine: Any, theirs: Any) -> None:
    """Everything in PyTorch's state, by the same names."""
    state = {name: to_graphc(t.detach()) for name, t in theirs.state_dict().items()}
    mine.load_state_dict(state)


def tensors(nest: Any) -> list[Any]:
    """The tensors in results or arguments, packed ones too."""
    leaves = []
    for leaf in flatten(nest)[0] if not hasattr(nest, "batch_sizes") else [nest]:
        if hasattr(leaf, "batch_sizes"):
            leaves += [x for x in leaf if x is not None]
        elif isinstance(leaf, (torch.Tensor, graphc.Tensor)):
            leaves.append(leaf)
    return leaves


def weighted(t: Any, outputs: list[Any]) -> Any:
    """One number that depends on every element of the floating outputs, each in its own way."""
    total = t.zeros(())
    for output in outputs:
        if output.is_floating_point() and output.requires_grad:
            count = output.numel()
            weights = t.arange(1, count + 1).reshape(output.shape).to(output.dtype)
            total = total + (output * (weights * 0.7548776662466927 % 1 + 0.3)).sum()
    return total


def arrays(values: list[Any]) -> list[Any]:
    """Values as arrays; a gradient that did not arrive is None."""
    return [
        None if x is None
        else (from_graphc(x) if isinstance(x, graphc.Tensor) else x.detach().clone()).double()
        for x in values
    ]  # fmt: skip


def difference(mine: list[Any], theirs: list[Any], rtol: float, atol: float) -> str:
    """Where two lists of values differ, in words; empty where they agree."""
    if len(mine) != len(theirs):
        return f"{len(mine)} values, PyTorch has {len(theirs)}"
    for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        if a is None or b is None:
            # PyTorch's kernels give zeros where nothing depends on an input.
            given = b if a is None else a
            if given is not None and given.abs().sum() != 0:
                return f"value {i}: {a} and {b}"
            continue
        if a.shape != b.shape:
            return f"value {i}: shapes {tuple(a.shape)} and {tuple(b.shape)}"
        largest = float(b.abs()[b.isfinite()].max()) if b.isfinite().any() else 0.0
        close = np.isclose(a.numpy(), b.numpy(), rtol, atol * max(1.0, largest), equal_nan=True)
        if not close.all():
            return f"value {i} of shape {tuple(a.shape)}: {a.flatten()} and {b.flatten()}"
    return ""


def run(t: Any, module: Any, args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
    """Results, the gradients of arguments and parameters, and the buffers after it."""
    module.zero_grad()
    outputs = tensors(module(*args, **kwargs))
    total = weighted(t, outputs)
    if total.requires_grad:
        total.backward()
    given = [x for x in tensors([args, kwargs]) if x.requires_grad]
    grads = [x.grad for x in (*given, *module.parameters())]
    return [*outputs, *grads, *module.buffers()]


def unlike(mine: Any, theirs: Any) -> Iterator[str]:
    """Plain attributes that PyTorch's layer has and graphc's has not, or with another value."""
    for name, value in vars(theirs).items():
        if name.startswith("_") or not _is_plain(value):
            continue
        found = getattr(mine, name, "nothing")
        if found != value or isinstance(found, tuple) != isinstance(value, tuple):
            yield f"{name} is {found!r}, in PyTorch {value!r}"


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return isinstance(value, PLAIN)
