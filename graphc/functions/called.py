"""What PyTorch calls the gradients of functions that are composed here of other operations.

A node of the tape is named after its row. Where a public function ends in a row of another name
(``stack`` in ``cat``, ``squeeze`` in ``reshape``), the function's own name is what PyTorch prints.
"""

from collections.abc import Callable
from typing import Any

from graphc.tensor import Tensor

Naming = Callable[[tuple[Any, ...], dict[str, Any]], str | None]


def _by_number(stem: str, number: Callable[[tuple[Any, ...], dict[str, Any]], int]) -> Naming:
    return lambda args, named: f"{stem}Backward{number(args, named)}"


def _argument(args: tuple[Any, ...], named: dict[str, Any], place: int, *names: str) -> Any:
    if len(args) > place:
        return args[place]
    return next((named[name] for name in names if name in named), None)


def _squeeze(args: tuple[Any, ...], named: dict[str, Any]) -> int:
    dim = _argument(args, named, 1, "dim")
    return 0 if dim is None else 1 if isinstance(dim, int) else 2


def _extreme(stem: str) -> Naming:
    def name(args: tuple[Any, ...], named: dict[str, Any]) -> str:
        other = _argument(args, named, 1, "dim", "other")
        if isinstance(other, Tensor):
            return f"{stem}imumBackward0"
        return f"{stem}Backward{int(other is None)}"

    return name


def _with_tensor(stem: str, place: int, without: int = 0) -> Naming:
    """Numbered by whether an argument is a tensor."""

    def number(args: tuple[Any, ...], named: dict[str, Any]) -> int:
        return without + int(isinstance(_argument(args, named, place, "value", "src"), Tensor))

    return _by_number(stem, number)


def _number_first(name: str) -> Naming:
    """Only where the first operand is a number."""
    return lambda args, named: (
        None if isinstance(args[0] if args else named.get("input"), Tensor) else name
    )


def _split(args: tuple[Any, ...], named: dict[str, Any]) -> str:
    sizes = _argument(args, named, 1, "split_size_or_sections", "split_size")
    return "SplitBackward0" if isinstance(sizes, int) else "SplitWithSizesBackward0"


def _matmul(args: tuple[Any, ...], named: dict[str, Any]) -> str | None:
    ranks = [x.ndim for x in (*args, *named.values()) if isinstance(x, Tensor)]
    return "UnsafeViewBackward0" if max(ranks) > 2 and min(ranks) > 1 else None


def _indexing(args: tuple[Any, ...], _named: dict[str, Any]) -> str | None:
    """The last step of an index: PyTorch takes them one after the other."""
    items = args[1] if isinstance(args[1], tuple) else (args[1],)
    steps = [i for i in items if i is not Ellipsis and not (isinstance(i, slice) and i == _ALL)]
    if not steps or any(isinstance(i, (Tensor, list, bool)) for i in steps):
        return None
    last = steps[-1]
    if last is None:
        return "UnsqueezeBackward0"
    return "SliceBackward0" if isinstance(last, slice) else "SelectBackward0"


_ALL = slice(None)

NAMES: dict[str, str | Naming] = {
    "addmm": "AddmmBackward0",
    "bernoulli": "BernoulliBackward0",
    "bmm": "BmmBackward0",
    "chunk": "SplitBackward0",
    "copy_": "CopyBackwards",
    "diag": "DiagonalBackward0_copy",
    "div": _number_first("MulBackward0"),
    "fill": _with_tensor("Fill", 1),
    "fill_": _with_tensor("Fill", 1, 2),
    "index_add": "IndexAddBackward0",
    "index_select": "IndexSelectBackward0",
    "indexing": _indexing,
    "kthvalue": "KthvalueBackward0",
    "log1p": "Log1PBackward0",
    "masked_fill": _with_tensor("MaskedFill", 2),
    "masked_select": "MaskedSelectBackward0",
    "matmul": _matmul,
    "max": _extreme("Max"),
    "min": _extreme("Min"),
    "norm": "LinalgVectorNormBackward0",
    "pow": _number_first("PowBackward2"),
    "repeat": "RepeatBackward0",
    "roll": "RollBackward0",
    "scaled_dot_product_attention": "ScaledDotProductFlashAttentionForCpuBackward0",
    "scatter": _by_number(
        "Scatter", lambda a, k: int(not isinstance(_argument(a, k, 3, "src"), Tensor))
    ),
    "select": "SelectBackward0",
    "sort": "SortBackward0",
    "split": _split,
    "square": "PowBackward0",
    "squeeze": _by_number("Squeeze", _squeeze),
    "stack": "StackBackward0",
    "std": "StdBackward0",
    "sub": _number_first("RsubBackward1"),
    "swapaxes": "TransposeBackward0",
    "swapdims": "TransposeBackward0",
    "t": "TBackward0",
    "take": "TakeBackward0",
    "topk": "TopkBackward0",
    "trace": "TraceBackward0",
    "transpose": "TransposeBackward0",
    "tril": "TrilBackward0",
    "triu": "TriuBackward0",
    "unbind": "UnbindBackward0",
    "unsqueeze": "UnsqueezeBackward0",
    "zero_": "ZeroBackward0",
}


def name_gradients(
    naming: str | Naming, args: tuple[Any, ...], named: dict[str, Any], result: Any, inplace: bool
) -> None:
    """Names the nodes of a call's results; results that were handed through keep theirs."""
    name = naming if isinstance(naming, str) else naming(args, named)
    if name is None:
        return
    for part in result if isinstance(result, (tuple, list)) else (result,):
        if not isinstance(part, Tensor) or part._node is None:
            continue
        if inplace or not any(part is x for x in args):
            part._node.known_as = name
