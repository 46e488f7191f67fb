"""Matrix products: PyTorch's words for operands that do not fit, and BLAS for those that do."""

import re
from typing import Any

import numpy as np
import pytest

import graphc.ops  # noqa: F401 - fills the registry
from graphc.dtypes import bool_, float32, float64
from graphc.errors import DtypeError, ShapeError
from graphc.ir import OPS, TensorType, infer_type
from graphc.ops.contract import fit_for_blas, plan


def infer(name: str, *shapes: tuple[int, ...], **attrs: Any) -> TensorType:
    return infer_type(OPS[name], [TensorType(s, float32) for s in shapes], attrs)


MISFITS = [
    ("matmul", (2, 3), (4, 5)),
    ("matmul", (3,), (4,)),
    ("matmul", (2, 3), (4,)),
    ("matmul", (3,), (4, 5)),
    ("matmul", (6, 2, 3), (4, 5)),
    ("matmul", (6, 2, 3), (6, 4, 5)),
    ("matmul", (), (3,)),
    ("matmul", (2, 2, 3), (3, 3, 4)),
    ("linear", (2, 3), (5, 4)),
    ("dot", (3,), (4,)),
    ("dot", (2, 3), (3,)),
]


@pytest.mark.differential
@pytest.mark.parametrize(("name", "a", "b"), MISFITS)
def test_misfits_are_told_in_the_words_of_pytorch(
    name: str, a: tuple[int, ...], b: tuple[int, ...]
) -> None:
    torch = pytest.importorskip("torch")
    function = torch.nn.functional.linear if name == "linear" else getattr(torch, name)
    with pytest.raises(RuntimeError) as theirs:
        function(torch.ones(a), torch.ones(b))
    with pytest.raises(ShapeError) as ours:
        infer(name, a, b)
    assert str(ours.value).split("\n")[0].rstrip(".") == str(theirs.value).rstrip(".")


def test_mixed_dtypes_are_refused() -> None:
    types = [TensorType((2, 2), float32), TensorType((2, 2), float64)]
    with pytest.raises(DtypeError, match=re.escape("got: float != double")):
        infer_type(OPS["matmul"], types, {})
    with pytest.raises(DtypeError, match="integer or floating-point"):
        infer_type(OPS["matmul"], [TensorType((2, 2), bool_)] * 2, {})


@pytest.mark.parametrize("spec", ["mk,kn", "mk->m", "mm,mn->n", "mk,kn->m", "m1,1n->mn"])
def test_specs_that_mean_nothing_are_refused(spec: str) -> None:
    with pytest.raises(ShapeError, match="contract"):
        infer("contract", (2, 2), (2, 2), spec=spec)


def test_sizes_of_a_letter_must_agree() -> None:
    with pytest.raises(ShapeError, match="'k' of 'mk,kn->mn' has size 3 .* and 4"):
        infer("contract", (2, 3), (4, 5), spec="mk,kn->mn")
    with pytest.raises(ShapeError, match="names 2 dimensions"):
        infer("contract", (2, 3, 1), (3, 5), spec="mk,kn->mn")


def test_a_transposed_result_is_computed_transposed() -> None:
    """The result is contiguous whenever its letters do not interleave."""
    a, b = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32)
    for spec in ("mk,kn->mn", "mk,kn->nm"):
        assert OPS["contract"].evaluate(a, b, spec=spec).flags.c_contiguous
    assert plan("mk,kn->nm").swap


def test_layouts_that_blas_takes_are_not_copied() -> None:
    x = np.ones((6, 8), np.float32)
    for fine in (x, x.T, x[:, :3], x[::2], x[:1], np.ones((4, 6, 8), np.float32).swapaxes(0, 1)):
        assert fit_for_blas(fine) is fine
    for bad in (x[:, ::2], x[::-1], np.broadcast_to(x[0], (5, 8))):
        assert fit_for_blas(bad).flags.c_contiguous
