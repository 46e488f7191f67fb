"""Every name that PyTorch's test suite samples, under vmap: as if called on each example."""

import warnings
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.tensor import Tensor
from graphc.trees import flatten, unflatten
from tests.autograd.both import torch
from tests.opinfo.names import GAUGE, NAMES, RANDOM
from tests.opinfo.operations import infos_of
from tests.opinfo.samples import Missing, calls, our_operation

pytestmark = pytest.mark.differential

SIZE = 2
SAMPLES = 1

# What these do depends on values, which differ from example to example; test_vmap has some.
VALUES = {
    "allclose", "argwhere", "equal", "item", "linalg.lstsq", "nonzero", "resize_", "unique",
    "unique_consecutive",
}  # fmt: skip


def entries() -> list[Any]:
    found: dict[Any, Any] = {}
    for name in NAMES:
        for info in infos_of(name.name):
            if {name.name, info.name} & {*RANDOM, *GAUGE, *VALUES}:
                continue
            if torch.float64 in info.supported_dtypes("cpu"):
                variant = info.variant_test_name
                found[f"{info.name}.{variant}" if variant else info.name] = info
    return [pytest.param(info, id=key) for key, info in found.items()]


def parts(result: Any) -> list[Tensor]:
    return [x for x in flatten(result)[0] if isinstance(x, Tensor)]


def close(mine: Tensor, theirs: Tensor) -> None:
    assert mine.dtype is theirs.dtype and tuple(mine.shape) == tuple(theirs.shape)
    a, b = (x.detach().numpy() for x in (mine, theirs))
    wide = np.float64 if a.dtype.kind not in "biu" else a.dtype
    np.testing.assert_allclose(a.astype(wide), b.astype(wide), rtol=1e-6, atol=1e-8)


def gradients(results: list[Tensor], batch: list[Tensor]) -> Any:
    """By the batch, of a number that every element of the differentiable results moves."""
    total: Any = 0.0
    for x in results:
        if x.requires_grad:
            weights = graphc.arange(x.numel(), dtype=x.dtype).reshape(tuple(x.shape)) * 0.1 + 1
            total = total + (x * weights).sum()
    if not isinstance(total, Tensor):
        return [graphc.zeros_like(x) for x in batch]
    return graphc.autograd.grad(total, batch, materialize_grads=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("info", entries())
def test_name(info: Any) -> None:
    try:
        operation = our_operation(info)
    except Missing:
        pytest.skip("graphc lacks the name")
    compared = 0
    for call in calls(info, torch.float64, False, 4):
        if compared == SAMPLES:
            break
        leaves, tree = flatten(call.ours())
        places = [
            i for i, x in enumerate(leaves) if isinstance(x, Tensor) and x.dtype is graphc.float64
        ]
        if not places:
            continue

        def run(
            *given: Tensor, leaves: Any = leaves, tree: Any = tree, places: Any = places
        ) -> Any:
            filled = list(leaves)
            for i, x in zip(places, given, strict=True):
                filled[i] = x * 1  # the operation may write into it
            args, kwargs = unflatten(tree, filled)
            return parts(operation(*args, **kwargs))

        batch = [
            graphc.stack([leaves[i].detach() * (1 - 0.25 * k) for k in range(SIZE)]) for i in places
        ]
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                run(*(x[1] for x in batch))
            except (RuntimeError, ValueError, IndexError):
                continue  # the smaller example is outside of the operation's domain
            for x in batch:
                x.requires_grad_()
            compared += 1
            looped = [run(*(x[k] for x in batch)) for k in range(SIZE)]
            if any(tuple(a.shape) != tuple(b.shape) for a, b in zip(*looped, strict=True)):
                continue
            stacked = [graphc.stack(list(same)) for same in zip(*looped, strict=True)]
            mapped = graphc.vmap(run)(*batch)
            for mine, theirs in zip(mapped, stacked, strict=True):
                close(mine, theirs)
            for mine, theirs in zip(
                gradients(mapped, batch), gradients(stacked, batch), strict=True
            ):
                close(mine, theirs)
