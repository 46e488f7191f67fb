"""Einstein summation: any number of operands, contracted two at a time.

Every dimension gets a label: 0 to 51 for the letters A-Z, a-z, and from 52 on for the dimensions
that an ellipsis stands for, counted so that those of all operands line up on the right. A label
repeated within an operand takes the diagonal, a label that nothing needs any more is summed, and
what is left of two operands is one row ``contract``.
"""

import string
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from graphc import dtypes
from graphc.autocasting import lowered
from graphc.errors import DtypeError, ShapeError
from graphc.functions.promotion import cast, promoted
from graphc.functions.registry import FUNCTIONS, tensor_function
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

_LETTERS = string.ascii_uppercase + string.ascii_lowercase  # PyTorch's order of implicit outputs
_ELLIPSIS = -1  # in a list of subscripts
_EXHAUSTIVE = 8  # operands up to which every order of contraction is tried

Labels = tuple[int, ...]


class _Term:
    """An operand whose dimensions are labelled."""

    __slots__ = ("labels", "value")

    def __init__(self, value: Tensor, labels: Labels) -> None:
        self.value = value
        self.labels = labels


@tensor_function(method=False)
def einsum(*args: Any) -> Tensor:
    """``einsum('ij,jk->ik', a, b)``: products summed over the labels that the result lacks.

    Operands follow the equation, one by one or as a list; or operands and lists of subscripts (0
    to 51, Ellipsis) alternate, and a last list gives the result. Without ``->`` the result has the
    labels that occur once, in alphabetical order after the dimensions of the ellipsis. Dimensions
    of size 1 broadcast. Raises RuntimeError for an equation that does not fit the operands.
    """
    operands, subscripts, output = _arguments(args)
    terms, counts, hidden = _labelled(operands, subscripts)
    result = _result_labels(output, counts, hidden)
    sizes = _sizes(terms, hidden)
    terms = [_without_repeats(term) for term in terms]
    if len(terms) == 1:
        return _single(terms[0], result)
    kept = set(result)
    for term in terms:  # a size 1 against a larger one is broadcast: it multiplies every element
        ones = [x for x, n in zip(term.labels, term.value.shape, strict=True) if n != sizes[x]]
        _drop(term, set(ones))
    while len(terms) > 1:
        i, j = _next_pair(terms, kept, sizes)
        b, a = terms.pop(j), terms.pop(i)
        terms.append(_contracted(a, b, kept | {x for t in terms for x in t.labels}))
    return _ordered(terms[0], result)


# ------------------------------------------------------------------------------------ the equation


def _arguments(args: tuple[Any, ...]) -> tuple[list[Tensor], list[list[int]], list[int] | None]:
    """Operands, their subscripts, and those of the result (None: implicit)."""
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one "
            "operand and its subscripts list"
        )
    if isinstance(args[0], Tensor):
        pairs = len(args) // 2
        operands = list(args[: 2 * pairs : 2])
        subscripts = [_from_list(x) for x in args[1 : 2 * pairs : 2]]
        output = _from_list(args[-1]) if len(args) % 2 else None
    else:
        equation = args[0]
        if not isinstance(equation, str):
            raise TypeError(
                f"einsum(): the equation must be a string, not {type(equation).__name__}"
            )
        given = args[1:]
        operands = list(given[0] if isinstance(given[0], (list, tuple)) else given)
        left, arrow, right = equation.partition("->")
        subscripts = [
            _parsed(text, f"operand {i}", equation) for i, text in enumerate(left.split(","))
        ]
        output = _parsed(right, "the output", equation) if arrow else None
    for x in operands:
        if not isinstance(x, Tensor):
            raise TypeError(f"einsum(): operands must be tensors, not {type(x).__name__}")
    if len(operands) != len(subscripts):
        more = "more" if len(operands) > len(subscripts) else "fewer"
        raise RuntimeError(
            f"einsum(): {more} operands were provided than specified in the equation"
        )
    return operands, subscripts, output


def _from_list(subscripts: Sequence[Any]) -> list[int]:
    labels = []
    for each in subscripts:
        if each is Ellipsis:
            labels.append(_ELLIPSIS)
        elif isinstance(each, int) and 0 <= each < len(_LETTERS):
            labels.append(each)
        else:
            raise ValueError(
                f"einsum(): subscript {each!r} in subscript list is not within the valid range "
                "[0, 52)"
            )
    return labels


def _parsed(text: str, where: str, equation: str) -> list[int]:
    labels: list[int] = []
    rest = text
    while rest:
        if rest.startswith("..."):
            if _ELLIPSIS in labels:
                raise RuntimeError(
                    f"einsum(): found '.' for {where} for which an ellipsis was already found"
                )
            labels.append(_ELLIPSIS)
            rest = rest[3:]
            continue
        if rest[0] == ".":
            raise RuntimeError(f"einsum(): found '.' for {where} that is not part of any ellipsis")
        if rest[0] in _LETTERS:
            labels.append(_LETTERS.index(rest[0]))
        elif rest[0] != " ":
            raise RuntimeError(
                f"einsum(): invalid subscript {rest[0]!r} in the equation {equation!r}, subscripts "
                "must be in [a-zA-Z]"
            )
        rest = rest[1:]
    return labels


def _labelled(
    operands: list[Tensor], subscripts: list[list[int]]
) -> tuple[list[_Term], dict[int, int], int]:
    """The operands with their labels, how often each label occurs, and the ellipsis' dimensions."""
    hidden = []
    for i, (x, labels) in enumerate(zip(operands, subscripts, strict=True)):
        named = len(labels) - labels.count(_ELLIPSIS)
        if named > x.ndim or (_ELLIPSIS not in labels and named != x.ndim):
            raise ShapeError(
                f"einsum(): the number of subscripts in the equation ({named}) "
                f"{'is more than' if _ELLIPSIS in labels else 'does not match'} the number of "
                f"dimensions ({x.ndim}) for operand {i}"
                + ("" if _ELLIPSIS in labels else " and no ellipsis was given")
            )
        hidden.append(x.ndim - named)
    most = max((n for n, s in zip(hidden, subscripts, strict=True) if _ELLIPSIS in s), default=0)
    terms, counts = [], dict[int, int]()
    for x, labels, count in zip(operands, subscripts, hidden, strict=True):
        own: list[int] = []
        for label in labels:
            first = len(_LETTERS) + most - count
            own.extend(range(first, first + count) if label == _ELLIPSIS else (label,))
        terms.append(_Term(x, tuple(own)))
        for label in own:
            counts[label] = counts.get(label, 0) + 1
    return terms, counts, most


def _result_labels(output: list[int] | None, counts: dict[int, int], hidden: int) -> Labels:
    ellipsis = range(len(_LETTERS), len(_LETTERS) + hidden)
    if output is None:
        return (*ellipsis, *sorted(x for x, n in counts.items() if n == 1 and x < len(_LETTERS)))
    result: list[int] = []
    for label in output:
        if label == _ELLIPSIS:
            result.extend(ellipsis)
            continue
        if label in result:
            raise RuntimeError(
                f"einsum(): output subscript {_LETTERS[label]} appears more than once in the output"
            )
        if label not in counts:
            raise RuntimeError(
                f"einsum(): output subscript {_LETTERS[label]} does not appear in the equation for "
                "any input operand"
            )
        result.append(label)
    return tuple(result)


def _sizes(terms: list[_Term], hidden: int) -> dict[int, int]:
    """The size of each label, over all operands. Raises RuntimeError where they differ."""
    sizes: dict[int, int] = {}
    for i, term in enumerate(terms):
        own: dict[int, int] = {}
        for label, size in zip(term.labels, term.value.shape, strict=True):
            if own.setdefault(label, size) != size:
                raise ShapeError(
                    f"einsum(): subscript {_LETTERS[label]} is repeated for operand {i} but the "
                    f"sizes don't match, {size} != {own[label]}"
                )
        for label, size in own.items():
            known = sizes.get(label, 1)
            if 1 not in (known, size) and known != size:
                shapes = " ".join(str(list(t.value.shape)) for t in terms)
                name = _LETTERS[label] if label < len(_LETTERS) else "..."
                raise ShapeError(
                    f"einsum(): operands do not broadcast with remapped shapes: {name!r} has size "
                    f"{known} and {size} in operands of shapes {shapes}"
                )
            sizes[label] = size if known == 1 else known
    for label in range(len(_LETTERS), len(_LETTERS) + hidden):
        sizes.setdefault(label, 1)
    return sizes


# ------------------------------------------------------------------------------------- one operand


def _without_repeats(term: _Term) -> _Term:
    """Diagonals in the place of repeated labels."""
    value, labels = term.value, list(term.labels)
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            value = FUNCTIONS["diagonal"](value, dim1=first, dim2=second)
            del labels[second], labels[first]
            labels.append(label)  # where diagonal puts it
    return _Term(value, tuple(labels))


def _single(term: _Term, result: Labels) -> Tensor:
    """A permutation (a view), after sums of what the result lacks."""
    gone = tuple(d for d, label in enumerate(term.labels) if label not in result)
    if gone:
        summed = FUNCTIONS["sum"](term.value, gone)
        term = _Term(summed, tuple(x for x in term.labels if x in result))
    return _ordered(term, result)


def _drop(term: _Term, gone: set[int]) -> None:
    """Sums dimensions away; integers sum in int64."""
    dims = tuple(d for d, label in enumerate(term.labels) if label in gone)
    if dims:
        if not term.value.dtype.is_floating_point:
            term.value = cast(term.value, dtypes.int64)
        term.value = apply(OPS["sum"], (term.value,), {"dims": dims, "keepdim": False})
        term.labels = tuple(x for x in term.labels if x not in gone)


def _ordered(term: _Term, result: Labels) -> Tensor:
    order = tuple(term.labels.index(x) for x in result)
    if order == tuple(range(len(order))):
        return term.value
    return apply(OPS["permute"], (term.value,), {"dims": order})


# ------------------------------------------------------------------------------------ two operands


def _contracted(a: _Term, b: _Term, needed: set[int]) -> _Term:
    """The product of two terms, summed over the labels nobody else needs."""
    for term, other in ((a, b), (b, a)):
        _drop(term, set(term.labels) - set(other.labels) - needed)
    out = tuple(x for x in dict.fromkeys((*a.labels, *b.labels)) if x in needed)
    names = dict(zip(dict.fromkeys((*a.labels, *b.labels)), _LETTERS, strict=False))
    left, right, made = ("".join(names[x] for x in y) for y in (a.labels, b.labels, out))
    x, y = a.value, b.value
    if len(out) < len(names):
        x, y = lowered(x, y)
    if x.dtype is not y.dtype:
        if len(out) < len(names):
            raise DtypeError(
                f"expected scalar type {x.dtype.type_name} but found {y.dtype.type_name}"
            )
        x, y = promoted("einsum", x, y)  # an outer product is pointwise
    return _Term(apply(OPS["contract"], (x, y), {"spec": f"{left},{right}->{made}"}), out)


def _volume(labels: set[int], sizes: dict[int, int]) -> int:
    total = 1
    for label in labels:
        total *= sizes[label]
    return total


def _next_pair(terms: list[_Term], kept: set[int], sizes: dict[int, int]) -> tuple[int, int]:
    """The two operands to contract first: of the cheapest order, or (of many) the cheapest pair."""
    if len(terms) == 2:
        return 0, 1
    if len(terms) <= _EXHAUSTIVE:
        return _best_pair([set(t.labels) for t in terms], kept, sizes)
    pairs = combinations(range(len(terms)), 2)
    return min(pairs, key=lambda p: _volume({*terms[p[0]].labels, *terms[p[1]].labels}, sizes))


def _best_pair(labels: list[set[int]], kept: set[int], sizes: dict[int, int]) -> tuple[int, int]:
    """The first contraction of the order with the fewest multiplications, over all orders.

    ``cost[s]`` is the least for the subset ``s`` of operands (as bits), ``pair[s]`` what such an
    order multiplies first.
    """
    everything = (1 << len(labels)) - 1

    def open_labels(subset: int) -> set[int]:
        inside = set[int]().union(*(x for i, x in enumerate(labels) if subset >> i & 1))
        outside = kept.union(*(x for i, x in enumerate(labels) if not subset >> i & 1))
        return inside & outside

    left = {s: open_labels(s) for s in range(1, everything + 1)}
    cost: dict[int, int] = {1 << i: 0 for i in range(len(labels))}
    pair: dict[int, tuple[int, int]] = {}
    for subset in sorted(left, key=int.bit_count):
        part = (subset - 1) & subset
        while part:
            rest = subset ^ part
            if part < rest:
                total = cost[part] + cost[rest] + _volume(left[part] | left[rest], sizes)
                if subset not in cost or total < cost[subset]:
                    cost[subset] = total
                    first = pair.get(part) or pair.get(rest)
                    pair[subset] = first or (part.bit_length() - 1, rest.bit_length() - 1)
            part = (part - 1) & subset
    i, j = pair[everything]
    return min(i, j), max(i, j)
