"""OpInfo's samples of an operation as calls that both libraries can run."""

import random
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.testing._internal import common_utils
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo import core

import graphc
from graphc.trees import Tree, flatten, unflatten
from tests.opinfo.convert import NAMES, fresh, in_scope, translated
from tests.opinfo.names import UNTIED

BY_NAME: dict[str, list[Any]] = {}
for _info in op_db:
    if _info.variant_test_name == "partial_views":
        continue  # inputs that show a part of larger memory, which conversion does not carry over
    BY_NAME.setdefault(_info.name, []).append(_info)
BY_ALIAS = {alias.name: _info for _info in op_db for alias in _info.aliases}


def _seeded(seed: int = common_utils.SEED) -> None:
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


# Before every sample PyTorch looks for the test that asks for it, in the source of every frame, and
# seeds all kinds of devices, which notes the stack for each: nine tenths of the time of this suite.
common_utils.extract_test_fn = core.extract_test_fn = lambda: None
common_utils.set_rng_seed = _seeded

LARGEST = 200_000  # elements of a sample's largest tensor; the few beyond test PyTorch's memory use
DEEPEST = 64  # dimensions of a NumPy array


class Missing(Exception):  # noqa: N818 - a finding, not a mistake
    """graphc has no such name."""


@dataclass
class Call:
    """One sample: the leaves of ``(args, kwargs)`` in PyTorch's words, and how they are nested."""

    leaves: list[Any]
    tree: Tree
    processed: Callable[[Any], Any]  # of a result: the part that has well-defined gradients
    broadcasts: bool
    label: str

    @property
    def tensors(self) -> list[int]:
        """Which leaves are tensors."""
        return [i for i, leaf in enumerate(self.leaves) if isinstance(leaf, torch.Tensor)]

    def theirs(self, replaced: dict[int, torch.Tensor] | None = None) -> tuple[Any, Any]:
        """The arguments for PyTorch: the same numbers in fresh memory.

        An operation may write into its arguments (running statistics), and a sample's tensors may
        be those of another sample too.
        """
        leaves = list(self.leaves)
        for i in self.tensors:
            leaves[i] = replaced[i] if replaced and i in replaced else fresh(leaves[i])
        return unflatten(self.tree, leaves)  # type: ignore[no-any-return]

    def exact(self) -> "Call":
        """The same call in float64."""

        def wider(leaf: Any) -> Any:
            if isinstance(leaf, torch.Tensor) and leaf.dtype.is_floating_point:
                return leaf.detach().double().requires_grad_(leaf.requires_grad)
            narrow = isinstance(leaf, torch.dtype) and leaf.is_floating_point
            return torch.float64 if narrow else leaf

        return replace(self, leaves=[wider(leaf) for leaf in self.leaves])

    def ours(self, replaced: dict[int, graphc.Tensor] | None = None) -> tuple[Any, Any]:
        """The arguments for graphc: the same numbers in fresh memory."""
        given = replaced or {}
        leaves = [given[i] if i in given else translated(x) for i, x in enumerate(self.leaves)]
        return unflatten(self.tree, leaves)  # type: ignore[no-any-return]

    def __str__(self) -> str:
        args, kwargs = unflatten(self.tree, [_described(leaf) for leaf in self.leaves])
        parts = [*map(_plain, args), *(f"{k}={_plain(v)}" for k, v in kwargs.items())]
        return f"{self.label}({', '.join(parts)})"


class _Word(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _plain(value: Any) -> str:
    return repr(value)


def _described(leaf: Any) -> Any:
    if not isinstance(leaf, torch.Tensor):
        return leaf
    name = str(leaf.dtype).removeprefix("torch.")
    kind = {"float": "f", "bfloat": "bf", "int": "i", "uint": "u"}
    short = next((s + name[len(k) :] for k, s in kind.items() if name[len(k) :].isdigit()
                  and name.startswith(k)), name)  # fmt: skip
    marks = "" if leaf.is_contiguous() or not leaf.numel() else f" strides {leaf.stride()}"
    if leaf.numel() <= 4:
        marks += f" = {leaf.tolist()}"
    return _Word(f"{short}{list(leaf.shape)}{marks}")


def seed() -> None:
    """The same draws every time."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)


def calls(info: Any, dtype: torch.dtype, gradient: bool, limit: int | None = None) -> list[Call]:
    """The samples of one OpInfo in a dtype; with ``limit`` evenly chosen ones."""
    seed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samples = list(info.sample_inputs("cpu", dtype, requires_grad=gradient))
    found = [c for c in (call_of(s, _label(info)) for s in samples) if c is not None]
    if info.name in UNTIED:
        found = [c for c in map(_untied, found) if c is not None]
    if limit is not None and len(found) > limit:
        found = [found[i * (len(found) - 1) // max(limit - 1, 1)] for i in range(limit)]
    return found


def _label(info: Any) -> str:
    variant = info.variant_test_name
    return f"{info.name}.{variant}" if variant else str(info.name)


def call_of(sample: Any, label: str) -> Call | None:
    """A SampleInput as a call; None when it is out of scope."""
    leaves, tree = flatten(((sample.input, *sample.args), dict(sample.kwargs)))
    leaves = [x.detach().requires_grad_(x.requires_grad) if isinstance(x, torch.Tensor) else x
              for x in leaves]  # fmt: skip
    for leaf in leaves:
        if isinstance(leaf, torch.Tensor) and (leaf.numel() > LARGEST or leaf.ndim > DEEPEST):
            return None
        if not in_scope(leaf):
            return None
    return Call(leaves, tree, sample.output_process_fn_grad, sample.broadcasts_input, label)


def _untied(call: Call) -> Call | None:
    """The call with an input whose elements all differ; None when the dtype has too few values."""
    x = call.leaves[0]
    if x.dtype.is_floating_point:
        steps = x.numel() <= 2 / torch.finfo(x.dtype).eps
        first, unit = -1.0, 2 / max(x.numel(), 1)
    else:
        info = None if x.dtype is torch.bool else torch.iinfo(x.dtype)
        first, unit = (0, 1) if info is None else (max(info.min, -x.numel() // 2), 1)
        steps = x.numel() <= 2 if info is None else first + x.numel() - 1 <= info.max
    if not steps:
        return None
    values = torch.tensor(np.random.default_rng(0).permutation(x.numel())).reshape(x.shape)
    with torch.no_grad():
        x = torch.empty_like(x).copy_(values * unit + first).requires_grad_(x.requires_grad)
    return replace(call, leaves=[x, *call.leaves[1:]])


def dtypes_of(info: Any, wanted: Iterator[str] | tuple[str, ...]) -> list[torch.dtype]:
    """Those of the wanted dtypes that PyTorch supports on the CPU."""
    return [d for name in wanted for d in info.supported_dtypes("cpu") if NAMES.get(d) == name]


def backward_dtypes_of(info: Any, wanted: tuple[str, ...]) -> list[torch.dtype]:
    """The same for gradients."""
    if not info.supports_autograd:
        return []
    return [
        d for name in wanted for d in info.supported_backward_dtypes("cpu") if NAMES.get(d) == name
    ]


# ---------------------------------------------------------------------------------- the operations


def their_operation(info: Any) -> Callable[..., Any]:
    """PyTorch's operation of an OpInfo."""
    return info.op  # type: ignore[no-any-return]


def our_operation(info: Any) -> Callable[..., Any]:
    """The same operation of graphc.

    OpInfo's lambdas run with graphc under the name of torch; everything else is found by name.
    Raises Missing.
    """
    op = info.op
    if isinstance(op, types.FunctionType) and op.__name__ == "<lambda>":
        return retold(op)
    return found(info.name)


def found(name: str) -> Callable[..., Any]:
    """``graphc.<name>``, else ``Tensor.<name>``. Raises Missing."""
    path = name.split(".")
    for root in (graphc, graphc.Tensor):
        place: Any = root
        for part in path:
            place = getattr(place, part, None)
            if place is None:
                break
        if place is not None:
            return place  # type: ignore[no-any-return]
    raise Missing(name)


def retold(function: types.FunctionType) -> Callable[..., Any]:
    """A function of PyTorch's test suite with graphc in the place of torch."""
    scope = {
        **function.__globals__,
        "torch": graphc,
        "wrapper_set_seed": lambda op, *args, **kwargs: op(*args, **kwargs),
    }
    made = types.FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, function.__closure__
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made
