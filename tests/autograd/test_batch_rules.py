"""Every row under vmap, by its own samples: as if applied to one example after the other."""

import itertools
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.func.batch_rules import RANDOM
from graphc.ir import OPS, Leaf, Op, Sample
from graphc.tensor import Tensor, apply
from tests.ops.test_rows import NAME, of_sample

SIZE = 3
ROWS = [op for op in OPS.values() if not isinstance(op.lower, Leaf) and op.name not in RANDOM]


def samples_of(op: Op) -> list[Sample]:
    """Samples with operands, a few for each shape and set of attributes."""
    found: dict[Any, Sample] = {}
    for sample in op.samples() if op.samples is not None else ():
        shapes = tuple(np.shape(a) for a in sample.arrays)
        if shapes and sum(int(np.prod(s)) for s in shapes) < 200:
            found.setdefault((shapes, tuple(sorted(map(repr, sample.attrs.items())))), sample)
    return list(found.values())[:: max(1, len(found) // 8)]


# Operands in an order that matters: sorted, symmetric, or well-conditioned.
ORDERED = {
    "cholesky", "eigh", "eigvalsh", "geqrf", "inv", "lstsq", "lu", "matrix_exp", "pinv",
    "pivot_order", "qr", "searchsorted", "solve", "solve_triangular", "svd", "svdvals",
}  # fmt: skip


def batch_of(op: Op, array: Any, salt: int) -> Any:
    """Different examples of the same kind: smaller, and their elements in another order."""
    array = np.asarray(array)
    examples = []
    for k in range(SIZE):
        example = array
        if op.name not in ORDERED:
            example = np.roll(array.reshape(-1), k * (salt + 1)).reshape(array.shape)
        if array.dtype.kind not in "biu":
            example = (example * (1 - 0.25 * ((k + salt) % SIZE))).astype(array.dtype)
        examples.append(example)
    return np.stack(examples)


def tensor(array: Any) -> Tensor:
    return Tensor._make(np.ascontiguousarray(array).reshape(np.shape(array)))


def values(t: Tensor) -> Any:
    array = t.detach().numpy()
    return array.astype(np.float64) if array.dtype.kind not in "biu" else array


@pytest.mark.parametrize("op", ROWS, ids=NAME)
def test_batched_is_one_by_one(op: Op) -> None:
    for number, sample in enumerate(samples_of(op)):
        with of_sample(op, number, sample):
            batched_is_one_by_one(op, sample)


def batched_is_one_by_one(op: Op, sample: Sample) -> None:
    count = len(sample.arrays)
    choices = [c for c in itertools.product((True, False), repeat=count) if any(c)]
    if count > 3:
        choices = [c for c in choices if all(c) or sum(c) == 1]
    for batched in choices:
        given = [
            tensor(batch_of(op, a, i)) if b else tensor(np.asarray(a))
            for i, (a, b) in enumerate(zip(sample.arrays, batched, strict=True))
        ]
        dims = tuple(0 if b else None for b in batched)
        found = graphc.vmap(lambda *xs: apply(op, xs, sample.attrs), in_dims=dims)(*given)
        for k in range(SIZE):
            one = [x[k] if b else x for x, b in zip(given, batched, strict=True)]
            expected = apply(op, one, sample.attrs)
            assert found.dtype is expected.dtype
            assert tuple(found.shape) == (SIZE, *expected.shape)
            tolerance = 1e-6 if expected.dtype is graphc.float64 else 2e-2
            if expected.dtype is graphc.float32:
                tolerance = 1e-4
            np.testing.assert_allclose(
                values(found[k]), values(expected), rtol=tolerance, atol=tolerance
            )


def test_every_rule_belongs_to_a_row() -> None:
    from graphc.func.batch_rules import FIRST_ONLY, MERGED, RULES

    assert sorted({*RULES, *MERGED, *FIRST_ONLY, *RANDOM} - OPS.keys()) == []


@pytest.mark.parametrize("name", sorted(RANDOM))
def test_random_rows_draw_the_same_or_other_numbers(name: str) -> None:
    sample = next(s for s in OPS[name].samples() if np.prod(np.shape(s.arrays[-1])) > 1)  # type: ignore[misc]
    state, *rest = (tensor(np.asarray(a)) for a in sample.arrays)
    lines = graphc.zeros(50)

    def draw(_: Tensor) -> Tensor:
        return apply(OPS[name], (state, *rest), sample.attrs)

    different = graphc.vmap(draw, randomness="different")(lines)
    assert len({tuple(values(x).reshape(-1).tolist()) for x in different}) > 1
    same = graphc.vmap(draw, randomness="same")(lines)
    assert len({tuple(values(x).reshape(-1).tolist()) for x in same}) == 1
    with pytest.raises(RuntimeError, match="randomness error mode"):
        graphc.vmap(draw)(lines)
