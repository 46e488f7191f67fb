"""Random programs under random transforms: compiled against eager, jacobians against each other."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc
from tests.autograd.both import numbers
from tests.autograd.test_vmap import STEPS

pytestmark = pytest.mark.differential

func = graphc.func


def program(source: random.Random) -> Any:
    """A function of two matrices, of 3 x 2 elements, that gives one."""
    steps = [(source.choice(STEPS), source.randrange(100)) for _ in range(source.randrange(1, 4))]

    def run(x: Any, y: Any) -> Any:
        for step, salt in steps:
            x, y = step(x, y, random.Random(salt)).tanh(), x
        return x * y.cos()

    return run


def scalar(f: Any) -> Any:
    return lambda x, y: f(x, y).square().sum()


TRANSFORMS: dict[str, Any] = {
    "grad": lambda f: func.grad(scalar(f), (0, 1)),
    "vjp": lambda f: lambda x, y: func.vjp(f, x, y)[1](x.cos()),
    "jvp": lambda f: lambda x, y: func.jvp(f, (x, y), (y, x)),
    "jacrev": lambda f: func.jacrev(f, (0, 1)),
    "jacfwd": lambda f: func.jacfwd(f, (0, 1)),
    "hessian": lambda f: func.hessian(scalar(f)),
    "vmap": lambda f: graphc.vmap(lambda a, b: f(a * b.exp(), b), in_dims=(None, 0)),
    "gradients of rows": lambda f: graphc.vmap(
        func.grad(lambda a, b: scalar(f)(a * b[0], b[1] * a)), in_dims=(None, 0)
    ),
}


def arguments(name: str) -> tuple[Any, Any]:
    x = numbers(graphc, 3, 2)
    if name == "vmap":
        return x, numbers(graphc, 4, 3, 2, salt=1)
    return x, numbers(graphc, *((4, 2) if name == "gradients of rows" else (3, 2)), salt=1)


def leaves(value: Any) -> list[Any]:
    return [value] if isinstance(value, graphc.Tensor) else [y for v in value for y in leaves(v)]


@settings(max_examples=8)
@given(st.integers(0, 10**6), st.sampled_from(sorted(TRANSFORMS)))
def test_compiled_transforms_are_eager_ones(seed: int, name: str) -> None:
    transformed = TRANSFORMS[name](program(random.Random(seed)))
    expected = leaves(transformed(*arguments(name)))
    found = leaves(graphc.compile(transformed)(*arguments(name)))
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert graphc.allclose(a, b, rtol=1e-6, atol=1e-9), name


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_both_modes_give_one_jacobian_and_a_symmetric_hessian(seed: int) -> None:
    f = program(random.Random(seed))
    x, y = arguments("jacrev")
    rows, columns = func.jacrev(f)(x, y), func.jacfwd(f)(x, y)
    assert graphc.allclose(rows, columns, rtol=1e-7, atol=1e-10)
    change = func.jvp(lambda v: f(v, y), (x,), (y,))[1]
    assert graphc.allclose(change, (rows * y).sum((-1, -2)), rtol=1e-7, atol=1e-10)
    second = func.hessian(scalar(f))(x, y).reshape(6, 6)
    assert graphc.allclose(second, second.mT, rtol=1e-6, atol=1e-9)
    other = graphc.autograd.functional.hessian(lambda v: scalar(f)(v, y), x).reshape(6, 6)
    assert graphc.allclose(second, other, rtol=1e-6, atol=1e-9)
