"""Clipping of gradients, and parameters as a vector: as PyTorch, eager and in compiled steps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import assert_same, plain, same_error, values  # noqa: E402

pytestmark = pytest.mark.differential


def parameters(t: Any, dtype: str = "float32") -> list[Any]:
    """Three with gradients, one without."""
    made = [t.nn.Parameter(values(t, *s, dtype=dtype)) for s in ((3, 4), (5,), (2,), (2, 1, 3))]
    for i, p in enumerate(made):
        p.grad = None if i == 2 else values(t, *p.shape, dtype=dtype, salt=i + 3)
    return made


CLIPPED: dict[str, Callable[[Any, list[Any]], Any]] = {
    "norm": lambda t, ps: t.nn.utils.clip_grad_norm_(ps, 1.5),
    "norm of order 1": lambda t, ps: t.nn.utils.clip_grad_norm_(ps, 2.0, norm_type=1),
    "norm of order 3.5": lambda t, ps: t.nn.utils.clip_grad_norm_(ps, 2.0, 3.5),
    "largest": lambda t, ps: t.nn.utils.clip_grad_norm_(ps, 0.7, norm_type=float("inf")),
    "largest by name": lambda t, ps: t.nn.utils.clip_grad_norm_(ps, 0.7, norm_type="inf"),
    "smallest": lambda t, ps: t.nn.utils.clip_grad_norm_(ps, 0.7, norm_type=-float("inf")),
    "nothing to do": lambda t, ps: t.nn.utils.clip_grad_norm_(ps, 1e3),
    "generator": lambda t, ps: t.nn.utils.clip_grad_norm_((p for p in ps), 1.5),
    "one tensor": lambda t, ps: t.nn.utils.clip_grad_norm_(ps[0], 1.5, foreach=False),
    "none": lambda t, ps: t.nn.utils.clip_grad_norm_([], 1.5),
    "without gradients": lambda t, ps: t.nn.utils.clip_grad_norm_(ps[2:3], 1.5),
    "tensor as a bound": lambda t, ps: t.nn.utils.clip_grad_norm_(ps, t.tensor(1.5)),
    "value": lambda t, ps: t.nn.utils.clip_grad_value_(ps, 0.8),
    "value of a generator": lambda t, ps: t.nn.utils.clip_grad_value_((p for p in ps), 1),
    "value of one": lambda t, ps: t.nn.utils.clip_grad_value_(ps[1], 0.5),
    "norm that is known": lambda t, ps: t.nn.utils.clip_grads_with_norm_(ps, 1.0, t.tensor(4.0)),
    "total": lambda t, ps: t.nn.utils.get_total_norm([p.grad for p in ps if p.grad is not None]),
    "total of order 1": lambda t, ps: t.nn.utils.get_total_norm(
        (p.grad for p in ps if p.grad is not None), 1.0
    ),
}


def outcome(t: Any, name: str, dtype: str) -> list[Any]:
    made = parameters(t, dtype)
    result = CLIPPED[name](t, made)
    assert made[2].grad is None
    return [0 if result is None else result, *(p.grad for p in made if p.grad is not None)]


@pytest.mark.parametrize("name", CLIPPED)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_clipped(name: str, dtype: str) -> None:
    coarse = dtype == "bfloat16"
    mine, theirs = (
        [x.double() if isinstance(x, t.Tensor) else x for x in outcome(t, name, dtype)]
        for t in (graphc, torch)
    )
    assert_same(mine, theirs, *((1e-2, 1e-2) if coarse else ()))


@pytest.mark.parametrize(
    "name", [n for n in CLIPPED if "value" in n or ("norm" in n and "order" not in n)]
)
def test_in_a_compiled_step(name: str) -> None:
    ends = []
    for t, compiled in ((graphc, True), (torch, False)):
        net = t.nn.Sequential(t.nn.Linear(4, 6), t.nn.Tanh(), t.nn.Linear(6, 2))
        with t.no_grad():
            for i, p in enumerate(net.parameters()):
                p.copy_(values(t, *p.shape, salt=i) / 3)
        optimizer = t.optim.SGD(net.parameters(), lr=0.5)

        def step(x: Any, t: Any = t, net: Any = net, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            net(x).square().sum().backward()
            norm = CLIPPED[name](t, list(net.parameters()))
            optimizer.step()
            return norm

        run = graphc.compile(step) if compiled else step
        norms = [run(values(t, 3, 4, salt=i)) for i in range(4)]
        ends.append([[0 if n is None else n for n in norms], [plain(p) for p in net.parameters()]])
    assert_same(*ends)


def test_norms_that_are_not_finite() -> None:
    def program(t: Any, error: bool) -> Any:
        made = parameters(t)
        made[0].grad[0, 0] = float("nan")
        return t.nn.utils.clip_grad_norm_(made, 1.0, error_if_nonfinite=error)

    assert np.isnan(program(graphc, False).item())
    assert "error_if_nonfinite=False" in same_error(lambda t: program(t, True))


def test_an_empty_generator_warns() -> None:
    for t in (graphc, torch):
        with pytest.warns(UserWarning, match="empty generator"):
            assert t.nn.utils.clip_grad_norm_((p for p in []), 1.0).item() == 0


def test_the_old_name_warns() -> None:
    ends = []
    for t in (graphc, torch):
        made = parameters(t)
        with pytest.warns(FutureWarning, match="clip_grad_norm_"):
            ends.append([t.nn.utils.clip_grad_norm(made, 1.0), made[0].grad])
    assert_same(*ends)


def vectors(t: Any) -> Any:
    made = parameters(t)
    vector = t.nn.utils.parameters_to_vector(p for p in made)
    t.nn.utils.vector_to_parameters(vector.detach() * 2, (p for p in made))
    assert all(p.is_leaf and p.requires_grad for p in made)
    vector.sum().backward()
    return [vector, *made, made[0].grad]


def test_vectors_of_parameters() -> None:
    assert_same(vectors(graphc), vectors(torch))


def test_parameters_share_the_memory_of_their_vector() -> None:
    def program(t: Any) -> Any:
        made, vector = parameters(t), values(t, 25)
        t.nn.utils.vector_to_parameters(vector, made)
        vector[0] = 9.0
        return [*made]

    assert_same(program(graphc), program(torch))


def test_vectors_that_do_not_fit() -> None:
    same_error(lambda t: t.nn.utils.vector_to_parameters([1.0, 2.0], parameters(t)))
    same_error(lambda t: t.nn.utils.vector_to_parameters(values(t, 3), parameters(t)))
    same_error(lambda t: t.nn.utils.parameters_to_vector([]))


def test_a_vector_in_a_compiled_program() -> None:
    made = parameters(graphc)
    total = graphc.compile(lambda: graphc.nn.utils.parameters_to_vector(made).square().sum())
    total().backward()
    expected = parameters(torch)
    torch.nn.utils.parameters_to_vector(expected).square().sum().backward()
    assert_same([p.grad for p in made], [p.grad for p in expected])
