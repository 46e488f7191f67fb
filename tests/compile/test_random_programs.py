"""Random small programs, compiled against eager: values, gradients, what is written in place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc as torch
from graphc.tensor import Tensor
from tests.compile.comparing import assert_same

SHAPES = [(3, 4), (4,), (1, 4), (3, 1), (), (2, 3, 4)]


@dataclass(frozen=True)
class Step:
    """One line of a program: a name, which earlier values it takes, and a number."""

    name: str
    places: tuple[int, int]
    number: int


UNARY: dict[str, Callable[[Any, int], Any]] = {
    "tanh": lambda x, n: x.tanh(),
    "sigmoid": lambda x, n: torch.sigmoid(x),
    "relu": lambda x, n: torch.relu(x),
    "neg": lambda x, n: -x,
    "abs": lambda x, n: x.abs(),
    "exp": lambda x, n: (x * 0.1).exp(),
    "scale": lambda x, n: x * (n - 2) + 0.5,
    "sum": lambda x, n: x.sum(n % x.ndim) if x.ndim else x.sum(),
    "sum_all": lambda x, n: x.sum() * 0.1,
    "mean": lambda x, n: x.mean(-1, keepdim=True) if x.ndim else x,
    "amax": lambda x, n: x.amax(n % x.ndim) if x.ndim else x,
    "softmax": lambda x, n: torch.softmax(x, -1) if x.ndim else x,
    "transpose": lambda x, n: x.transpose(0, -1) if x.ndim else x,
    "reshape": lambda x, n: x.reshape(-1),
    "unsqueeze": lambda x, n: x.unsqueeze(n % (x.ndim + 1)),
    "first": lambda x, n: x[0] if x.ndim else x,
    "rest": lambda x, n: x[..., 1:] if x.ndim and x.shape[-1] > 1 else x,
    "every_second": lambda x, n: x[::2] if x.ndim else x,
    "flip": lambda x, n: x.flip(0) if x.ndim else x,
    "detach": lambda x, n: x.detach(),
    "clone": lambda x, n: x.clone(),
    "expand": lambda x, n: x.unsqueeze(0).expand(2, *x.shape),
}
BINARY: dict[str, Callable[[Any, Any, int], Any]] = {
    "add": lambda x, y, n: x + y,
    "sub": lambda x, y, n: x - y,
    "mul": lambda x, y, n: x * y,
    "div": lambda x, y, n: x / (y.abs() + 1),
    "maximum": lambda x, y, n: torch.maximum(x, y),
    "where": lambda x, y, n: torch.where(x > y, x, y * 2),
    "matmul": lambda x, y, n: x @ y,
    "cat": lambda x, y, n: torch.cat([x, y], -1),
}
IN_PLACE: dict[str, Callable[[Any, Any, int], Any]] = {
    "add_": lambda x, y, n: x.add_(y),
    "mul_": lambda x, y, n: x.mul_(0.5),
    "assign_first": lambda x, y, n: x.__setitem__(0, n),
    "assign_part": lambda x, y, n: x.__setitem__((..., slice(1, None)), y),
    "fill_view": lambda x, y, n: x.t().fill_(n),
    "relu_": lambda x, y, n: x.relu_(),
}
NAMES = [*UNARY, *BINARY, *IN_PLACE]

steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(NAMES),
        st.tuples(st.integers(0, 20), st.integers(0, 20)),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=8,
)


def run(program: list[Step], inputs: list[Any], results: list[int]) -> Any:
    """Runs a program; a step that its operands do not allow is left out, in both lives alike."""
    values = [x * 1 if x.requires_grad else x for x in inputs]
    for step in program:
        x, y = (values[p % len(values)] for p in step.places)
        try:
            if step.name in UNARY:
                values.append(UNARY[step.name](x, step.number))
            elif step.name in BINARY:
                values.append(BINARY[step.name](x, y, step.number))
            else:
                IN_PLACE[step.name](x, y, step.number)
        except (RuntimeError, IndexError):
            continue
        if values[-1].numel() > 200:
            values.pop()
    return [values[r % len(values)] for r in results]


def fresh(shapes: list[tuple[int, ...]], tracked: list[bool]) -> list[Tensor]:
    made = []
    for i, (shape, grad) in enumerate(zip(shapes, tracked, strict=True)):
        values = np.random.default_rng(i).standard_normal(shape).astype(np.float32)
        made.append(torch.from_numpy(np.asarray(values)).requires_grad_(grad))
    return made


def gradients(life: Callable[..., Any], *args: Any) -> tuple[Any, Any, Any]:
    inputs = fresh(*args)
    results = life(inputs)
    tracked = [t for t in results if t.requires_grad]
    error = None
    if tracked:
        weights = [torch.arange(t.numel()).reshape(t.shape).float() * 0.1 + 1 for t in tracked]
        try:
            torch.autograd.backward(tracked, weights)
        except RuntimeError as refused:
            error = str(refused).split(":")[0]
    return results, inputs, ([t.grad for t in inputs], error)


@settings(max_examples=60)
@given(
    steps,
    st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.lists(st.integers(0, 20), min_size=1, max_size=3),
)
def test_random_programs(
    program: list[Step], shapes: list[tuple[int, ...]], tracked: list[bool], results: list[int]
) -> None:
    def f(inputs: list[Any]) -> Any:
        return run(program, inputs, results)

    flags = tracked[: len(shapes)]
    expected, inputs, grads = gradients(f, shapes, flags)
    compiled = torch.compile(f)
    for _ in range(2):
        found, their_inputs, their_grads = gradients(compiled, shapes, flags)
        assert_same(expected, found, rtol=1e-3, atol=1e-4)
        assert_same(inputs, their_inputs, rtol=1e-3, atol=1e-4)
        assert_same(grads, their_grads, rtol=2e-3, atol=1e-3)
    assert len(compiled.receipts) == 1, [receipt.reason for receipt in compiled.receipts]
