"""Samples give both libraries the same numbers, however often and in whatever order they run."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from tests.opinfo.convert import elements, fresh, to_graphc
from tests.opinfo.outcomes import Settings
from tests.opinfo.programs import Program, compiled
from tests.opinfo.samples import BY_NAME, calls, their_operation

pytestmark = pytest.mark.differential


def test_running_statistics_that_pytorch_moves_are_those_of_the_sample_afterwards() -> None:
    info = BY_NAME["nn.functional.batch_norm"][0]
    for dtype in (torch.float32, torch.float64):  # in float64 the exact call is of the same dtype
        given = calls(info, dtype, False)
        before = [[call.leaves[k].clone() for k in call.tensors] for call in given]
        program = Program(info, given, False)
        moved = False
        for i, call in enumerate(given):
            program.expected(i)
            program.expected(i, exact=True)
            args, kwargs = call.theirs()
            their_operation(info)(*args, **kwargs)
            moved |= args[1] is not None and not torch.equal(args[1], call.leaves[1])
        assert moved  # else these samples would show nothing
        for call, kept in zip(given, before, strict=True):
            for k, old in zip(call.tensors, kept, strict=True):
                assert torch.equal(call.leaves[k], old)


def test_samples_that_share_running_statistics_run_as_one_program() -> None:
    info = BY_NAME["nn.functional.batch_norm"][0]
    # Four samples share their statistics, and one of these trains.
    assert [o.failure for o in compiled(info, Settings(("float32",))) if o.failure] == []


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0).reshape(2, 3),
        torch.arange(24.0).reshape(2, 3, 4)[:, 1, ::2],
        torch.arange(6.0).reshape(2, 3).t().requires_grad_(),
        torch.arange(3.0)[1:].expand(4, 2),
        torch.arange(5).unfold(0, 3, 1),
        torch.ones(3, dtype=torch.bfloat16)[::2],
        torch.zeros(2, 0, 3).transpose(0, 2),
        torch.tensor(True),
    ],
    ids=lambda t: f"{list(t.shape)}, strides {t.stride()}",
)
def test_copies_are_laid_out_as_the_sample(tensor: torch.Tensor) -> None:
    mine, other = to_graphc(tensor), fresh(tensor)
    assert torch.equal(other, tensor)
    assert other.dtype is tensor.dtype
    assert other.requires_grad == tensor.requires_grad == mine.requires_grad
    assert mine.tolist() == tensor.tolist()
    if tensor.numel():
        assert not np.shares_memory(elements(other), elements(tensor))
        assert not np.shares_memory(mine._array(), elements(tensor))
        assert other.stride() == tensor.stride()
        assert mine._array().strides == elements(tensor).strides
