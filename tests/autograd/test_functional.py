"""``autograd.functional``: the same programs with PyTorch."""

import itertools
from typing import Any

import pytest

import graphc
from tests.autograd.both import leaf, numbers, same, same_error
from tests.compile.comparing import compare

pytestmark = pytest.mark.differential


def several(x: Any, y: Any) -> Any:
    return (x[:, None] * y).sin(), (x * x).sum()


def scalar(x: Any, y: Any) -> Any:
    return (x.sin() * x).sum() * y.exp().sum() + (x.sum() ** 3)


def single(x: Any) -> Any:
    return (x**3).sum() * x.sum()


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("how", ["loop", "reverse", "forward"])
def test_jacobian(how: str, create_graph: bool) -> None:
    options: dict[str, Any] = {"create_graph": create_graph and how != "forward"}
    if how != "loop":
        options |= {"vectorize": True, "strategy": f"{how}-mode"}

    def program(t: Any) -> Any:
        x, y = leaf(t, 3), leaf(t, 2, salt=1)
        if how == "forward":  # PyTorch has no create_graph there, and never detaches
            x, y = x.detach(), y.detach()
        jacobian = t.autograd.functional.jacobian
        found = (
            jacobian(several, (x, y), **options),
            jacobian(lambda v: v.exp() * v.sum(), x, **options),
            jacobian(lambda v: (v.exp(), v.sum()), x, **options),
            jacobian(lambda v: v[0] * y, (x,), **options),
            jacobian(lambda v: v.exp(), numbers(t, 2, 2), **options),
        )
        if not options["create_graph"]:
            return found
        total = found[0][0][0].square().sum() + found[1].sum() + found[3][0].sum()
        # PyTorch tracks zeros too when it is vectorised.
        shown = found if how == "loop" else (found[0][0], found[1])
        return shown, t.autograd.grad(total, [x, y])

    same(program)


def test_jacobian_of_what_does_not_depend() -> None:
    def program(t: Any) -> Any:
        x, y = numbers(t, 3), numbers(t, 2, salt=1)
        jacobian = t.autograd.functional.jacobian
        return (
            jacobian(lambda a, b: a * 2, (x, y)),
            jacobian(lambda a, b: a * 2, (x, y), vectorize=True),
            jacobian(lambda a: t.ones(2, dtype=t.float64), x),
        )

    same(program)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("vectorize", [False, True])
def test_hessian(vectorize: bool, create_graph: bool) -> None:
    def program(t: Any) -> Any:
        x, y = leaf(t, 3), leaf(t, 2, salt=1)
        hessian = t.autograd.functional.hessian
        options = {"create_graph": create_graph, "vectorize": vectorize}
        found = hessian(scalar, (x, y), **options), hessian(single, x, **options)
        if not create_graph:
            return found
        return found, t.autograd.grad(found[1].square().sum() + found[0][0][1].sum(), [x, y])

    same(program)


def test_hessian_by_columns() -> None:
    def program(t: Any) -> Any:
        x, y = numbers(t, 3), numbers(t, 2, salt=1)
        options = {"vectorize": True, "outer_jacobian_strategy": "forward-mode"}
        hessian = t.autograd.functional.hessian
        found = hessian(scalar, (x, y), **options)
        return hessian(single, x, **options).detach(), [[h.detach() for h in row] for row in found]

    same(program)


@pytest.mark.parametrize("create_graph", [False, True])
def test_products_with_vectors(create_graph: bool) -> None:
    def program(t: Any) -> Any:
        x, y = leaf(t, 3), leaf(t, 2, salt=1)
        u, v = numbers(t, 3, salt=2), numbers(t, 2, salt=3)
        f = t.autograd.functional
        g = {"create_graph": create_graph}
        found = [
            f.vjp(several, (x, y), (numbers(t, 3, 2), numbers(t)), **g),
            f.vjp(single, x, **g),
            f.vjp(lambda a: a * y[0], x, u, **g),
            f.jvp(several, (x, y), (u, v), **g),
            f.jvp(lambda a: a.exp(), x, u, **g),
            f.hvp(scalar, (x, y), (u, v), **g),
            f.hvp(single, x, u, **g),
            f.vhp(scalar, (x, y), (u, v), **g),
            f.vhp(single, x, u, **g),
        ]
        if not create_graph:
            return found
        total = found[2][1].sum() + found[3][1][0].sum() + found[6][1].sum() + found[8][1].sum()
        return found, t.autograd.grad(total, [x, y])

    same(program)


def test_products_that_vanish() -> None:
    def program(t: Any) -> Any:
        x, y = numbers(t, 3), numbers(t, 2, salt=1)
        f = t.autograd.functional
        return (
            f.vjp(lambda a, b: a.sum(), (x, y)),
            f.jvp(lambda a, b: a * 2, (x, y), (x, y)),
            f.hvp(lambda a, b: a.sum() * b.sum(), (x, y), (x, y)),
            f.vhp(lambda a: a.sum(), x, x),
            f.jvp(lambda a: t.ones(2), x, x),
        )

    same(program)


BAD: dict[str, Any] = {
    "jacobian of a list": lambda t, f: f.jacobian(single, [numbers(t, 3)]),
    "jacobian of numbers": lambda t, f: f.jacobian(single, (3.0,)),
    "jacobian that gives a number": lambda t, f: f.jacobian(lambda x: 3.0, numbers(t, 3)),
    "jacobian forward without vectors": lambda t, f: f.jacobian(
        single, numbers(t, 3), strategy="forward-mode"
    ),
    "jacobian sideways": lambda t, f: f.jacobian(single, numbers(t, 3), strategy="sideways"),
    "strict and vectorised": lambda t, f: f.jacobian(
        single, numbers(t, 3), strict=True, vectorize=True
    ),
    "strict and constant": lambda t, f: f.jacobian(lambda x: t.ones(2), numbers(t, 3), strict=True),
    "strict and independent": lambda t, f: f.jacobian(
        lambda x, y: x * 2, (numbers(t, 3), numbers(t, 2)), strict=True
    ),
    "strict and linear": lambda t, f: f.jacobian(
        lambda x: x * 2, numbers(t, 3), strict=True, create_graph=True
    ),
    "hessian of a vector": lambda t, f: f.hessian(lambda x: x * 2, numbers(t, 3)),
    "hessian of two": lambda t, f: f.hessian(lambda x: (x.sum(), x.sum()), numbers(t, 3)),
    "hessian strict and linear": lambda t, f: f.hessian(
        lambda x: x.sum(), numbers(t, 3), strict=True
    ),
    "vjp without v": lambda t, f: f.vjp(lambda x: x * 2, numbers(t, 3)),
    "vjp with v of another shape": lambda t, f: f.vjp(
        lambda x: x * 2, numbers(t, 3), numbers(t, 2)
    ),
    "vjp with too many": lambda t, f: f.vjp(lambda x: (x, x * 2), numbers(t, 3), (numbers(t, 3),)),
    "vjp strict": lambda t, f: f.vjp(
        lambda x, y: x.sum(), (numbers(t, 3), numbers(t, 2)), strict=True
    ),
    "jvp without v": lambda t, f: f.jvp(single, numbers(t, 3)),
    "jvp strict": lambda t, f: f.jvp(
        lambda x, y: x * 1, (numbers(t, 3),) * 2, (numbers(t, 3),) * 2, strict=True
    ),
    "hvp of a vector": lambda t, f: f.hvp(lambda x: x * 2, numbers(t, 3), numbers(t, 3)),
    "hvp strict and linear": lambda t, f: f.hvp(
        lambda x: x.sum(), numbers(t, 3), numbers(t, 3), strict=True
    ),
    "vhp without v": lambda t, f: f.vhp(single, numbers(t, 3)),
    "vhp of two": lambda t, f: f.vhp(lambda x: (x.sum(), x.sum()), numbers(t, 3), numbers(t, 3)),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name: str) -> None:
    same_error(lambda t: BAD[name](t, t.autograd.functional))


# ---------------------------------------------------------------------------------------- compiled


def test_compiled() -> None:
    f = graphc.autograd.functional

    def jacobians(x: Any, y: Any) -> Any:
        return (
            f.jacobian(several, (x, y)),
            f.jacobian(several, (x, y), vectorize=True),
            f.hessian(scalar, (x, y)),
        )

    def products(x: Any, y: Any) -> Any:
        return f.hvp(scalar, (x, y), (x, y)), f.jvp(several, (x, y), (x, y)), f.vhp(single, x, x)

    for program, tracked in itertools.product((jacobians, products), (False, True)):
        x, y = numbers(graphc, 3), numbers(graphc, 2, salt=1)
        compare(program, x.requires_grad_(tracked), y.requires_grad_(tracked))
