"""``func``: gradients, Jacobians and modules as functions, as PyTorch gives them."""

from typing import Any

import pytest

import graphc
from tests.autograd.both import leaf, numbers, same, same_error
from tests.compile.comparing import compare

pytestmark = pytest.mark.differential


def wave(x: Any) -> Any:
    return (x.sin() * x**2).sum()


def several(x: Any, y: Any) -> Any:
    return x.sin() * y.sum(), y * x[0]


PROGRAMS: dict[str, Any] = {
    "grad": lambda t, f, x, y: f.grad(wave)(x),
    "grad of grad": lambda t, f, x, y: f.grad(lambda v: f.grad(wave)(v).cos().sum())(x),
    "grad three times": lambda t, f, x, y: f.grad(f.grad(f.grad(lambda v: v**4)))(x[0]),
    "grad of what is unused": lambda t, f, x, y: f.grad(lambda a, b: a.sum(), (0, 1))(x, y),
    "grad of a constant": lambda t, f, x, y: f.grad(lambda a: t.ones(()) * 2)(x),
    "grad and value": lambda t, f, x, y: f.grad_and_value(wave)(x),
    "grad by the last": lambda t, f, x, y: f.grad(lambda a, b: (a.sum() * b).sum(), -1)(x, y),
    "grad by both": lambda t, f, x, y: f.grad(lambda a, b: (a.sum() * b).sum(), (1, 0))(x, y),
    "grad by a dict": lambda t, f, x, y: f.grad(lambda p: (p["a"] * p["b"][0].sum()).sum())(
        {"a": x, "b": [y, x]}
    ),
    "grad with aux": lambda t, f, x, y: f.grad(lambda v: (wave(v), v * 2), has_aux=True)(x),
    "grad and value with aux": lambda t, f, x, y: f.grad_and_value(
        lambda v: (wave(v), {"twice": v * 2}), has_aux=True
    )(x),
    "grad with keywords": lambda t, f, x, y: f.grad(lambda a, *, b: (a * b.sum()).sum())(x, b=y),
    "vjp": lambda t, f, x, y: f.vjp(wave, x)[1](t.ones((), dtype=t.float64)),
    "vjp of several": lambda t, f, x, y: (
        lambda made: (made[0], made[1]((x, y)), made[1]((x * 2, y)))
    )(f.vjp(several, x, y)),
    "vjp of nests": lambda t, f, x, y: f.vjp(
        lambda p: {"s": p["a"] * p["b"].sum()}, {"a": x, "b": y}
    )[1]({"s": x}),
    "vjp with aux": lambda t, f, x, y: (lambda made: (made[0], made[1](x), made[2]))(
        f.vjp(lambda v: (v.exp(), v * 3), x, has_aux=True)
    ),
    "jvp": lambda t, f, x, y: f.jvp(lambda v: v.exp() * v.sum(), (x,), (x * 2,)),
    "jvp of several": lambda t, f, x, y: f.jvp(several, (x, y), (x * 2, y * 3)),
    "jvp of a constant": lambda t, f, x, y: f.jvp(lambda v: t.ones(2), (x,), (x,)),
    "jvp with aux": lambda t, f, x, y: f.jvp(lambda v: (v.exp(), v * 3), (x,), (x,), has_aux=True),
    "linearize": lambda t, f, x, y: (lambda made: (made[0], made[1](x), made[1](x * 2)))(
        f.linearize(lambda v: v.exp() * v.sum(), x)
    ),
    "jacrev": lambda t, f, x, y: f.jacrev(lambda v: v.exp() * v.sum())(x),
    "jacfwd": lambda t, f, x, y: f.jacfwd(lambda v: v.exp() * v.sum())(x),
    "jacrev of several": lambda t, f, x, y: f.jacrev(several, (0, 1))(x, y),
    "jacfwd of several": lambda t, f, x, y: f.jacfwd(several, (0, 1))(x, y),
    "jacrev by one": lambda t, f, x, y: f.jacrev(several, 1)(x, y),
    "jacfwd by one": lambda t, f, x, y: f.jacfwd(several, 1)(x, y),
    "jacrev with aux": lambda t, f, x, y: f.jacrev(lambda v: (v.exp(), v * 3), has_aux=True)(x),
    "jacfwd with aux": lambda t, f, x, y: f.jacfwd(lambda v: (v.exp(), v * 3), has_aux=True)(x),
    "jacrev in chunks": lambda t, f, x, y: f.jacrev(lambda v: v.exp() * v[0], chunk_size=2)(x),
    "jacrev of a dict": lambda t, f, x, y: f.jacrev(lambda p: {"s": p["a"] * p["b"].sum()})(
        {"a": x, "b": y}
    ),
    "jacrev of a matrix": lambda t, f, x, y: f.jacrev(lambda m: m @ m)(x[:, None] * x),
    "hessian": lambda t, f, x, y: f.hessian(wave)(x),
    "hessian by both": lambda t, f, x, y: f.hessian(
        lambda a, b: (a.sum() * b.exp()).sum() * a.prod(), (0, 1)
    )(x, y),
    "reverse over forward": lambda t, f, x, y: f.jacrev(f.jacfwd(wave))(x),
    "forward over forward": lambda t, f, x, y: f.jacfwd(f.jacfwd(wave))(x),
    "without recording inside": lambda t, f, x, y: f.grad(lambda v: (v * _unrecorded(t, v)).sum())(
        x
    ),
}


def _unrecorded(t: Any, v: Any) -> Any:
    with t.no_grad():
        return v**2


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str) -> None:
    def plain(t: Any) -> Any:
        return PROGRAMS[name](t, t.func, numbers(t, 3), numbers(t, 2, salt=1))

    def without_recording(t: Any) -> Any:
        with t.no_grad():
            return plain(t)

    same(plain)
    same(without_recording)


FIRST = ["grad", "grad of grad", "grad by both", "vjp", "jvp", "jacrev", "jacfwd", "hessian"]


@pytest.mark.parametrize("name", FIRST)
def test_gradients_go_on_outside(name: str) -> None:
    def program(t: Any) -> Any:
        x, y = leaf(t, 3), leaf(t, 2, salt=1)
        found = PROGRAMS[name](t, t.func, x, y)
        parts = found if isinstance(found, tuple) else (found,)
        total = sum((p * p).sum() for p in parts)
        return t.autograd.grad(total, [x, y], allow_unused=True)

    same(program)


def test_captured_tensors_are_followed() -> None:
    def program(t: Any) -> Any:
        x, w = numbers(t, 3), leaf(t, 3, salt=1)
        found = t.func.grad(lambda v: (w * v**3).sum().sin())(x)
        jacobian = t.func.jacrev(lambda v: v * w)(x)
        found.sum().backward()
        return found, jacobian, w.grad, x.requires_grad

    same(program)


BAD: dict[str, Any] = {
    "grad of a vector": lambda t, f: f.grad(lambda v: v * 2)(numbers(t, 3)),
    "grad of a number": lambda t, f: f.grad(lambda v: 3.0)(numbers(t, 3)),
    "grad of integers": lambda t, f: f.grad(lambda v: v.sum())(t.ones(3, dtype=t.int64)),
    "grad without aux": lambda t, f: f.grad(wave, has_aux=True)(numbers(t, 3)),
    "argnums beyond": lambda t, f: f.grad(wave, 3)(numbers(t, 3)),
    "argnums twice": lambda t, f: f.grad(lambda a, b: a.sum(), (0, 0))(
        numbers(t, 3), numbers(t, 3)
    ),
    "vjp of a number": lambda t, f: f.vjp(lambda v: 3.0, numbers(t, 3)),
    "vjp of nothing": lambda t, f: f.vjp(lambda: 3.0),
    "vjp with another nest": lambda t, f: f.vjp(lambda v: v, numbers(t, 3))[1](
        (numbers(t, 3), numbers(t, 3))
    ),
    "jvp without a tuple": lambda t, f: f.jvp(wave, numbers(t, 3), (numbers(t, 3),)),
    "jvp with another nest": lambda t, f: f.jvp(wave, (numbers(t, 3),), (numbers(t, 3),) * 2),
    "jvp with another shape": lambda t, f: f.jvp(wave, (numbers(t, 3),), (numbers(t, 2),)),
    "stack of nothing": lambda t, f: f.stack_module_state([]),
    "stack of modes": lambda t, f: f.stack_module_state(
        [t.nn.Linear(2, 2), t.nn.Linear(2, 2).eval()]
    ),
    "stack of classes": lambda t, f: f.stack_module_state([t.nn.Linear(2, 2), t.nn.ReLU()]),
    "call with a repeated name": lambda t, f: f.functional_call(
        t.nn.Linear(2, 2), ({"bias": t.ones(2)}, {"bias": t.ones(2)}), (t.ones(2),)
    ),
    "strict call": lambda t, f: f.functional_call(
        t.nn.Linear(2, 2), {"bias": t.ones(2)}, (t.ones(2),), strict=True
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name: str) -> None:
    same_error(lambda t: BAD[name](t, t.func))


# ----------------------------------------------------------------------------------------- modules


def test_functional_call() -> None:
    def program(t: Any) -> Any:
        module = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Linear(4, 2)).double()
        given = {
            "0.weight": leaf(t, 4, 3),
            "0.bias": leaf(t, 4),
            "2.weight": leaf(t, 2, 4),
        }
        with t.no_grad():
            module[2].bias.fill_(0.5)
        own = dict(module.named_parameters())
        x = numbers(t, 5, 3)
        result = t.func.functional_call(module, given, (x,))
        again = t.func.functional_call(module, (given, {"2.bias": numbers(t, 2)}), x)
        result.sum().backward()
        kept = all(own[k] is p for k, p in module.named_parameters())
        return result, again, [g.grad for g in given.values()], kept

    same(program)


def test_buffers_and_tied_weights() -> None:
    def program(t: Any) -> Any:
        norm = t.nn.BatchNorm1d(3).double()
        buffers = {
            "running_mean": numbers(t, 3),
            "running_var": numbers(t, 3) ** 2,
            "num_batches_tracked": t.tensor(5),
        }
        result = t.func.functional_call(norm, buffers, (numbers(t, 4, 3),))
        tied = t.nn.Module()
        tied.a = tied.b = t.nn.Parameter(t.ones(2, dtype=t.float64))
        tied.forward = lambda x: x * tied.a + tied.b
        both = t.func.functional_call(tied, {"a": numbers(t, 2)}, (t.ones(2),))
        one = t.func.functional_call(tied, {"a": numbers(t, 2)}, (t.ones(2),), tie_weights=False)
        return result, buffers, norm.running_mean, both, one

    same(program)


def test_an_ensemble_of_modules() -> None:
    def program(t: Any) -> Any:
        modules = [t.nn.Linear(3, 2).double() for _ in range(4)]
        for k, m in enumerate(modules):
            with t.no_grad():
                m.weight.copy_(numbers(t, 2, 3, salt=k))
                m.bias.copy_(numbers(t, 2, salt=k))
        parameters, buffers = t.func.stack_module_state(modules)

        def call(p: Any, b: Any, x: Any) -> Any:
            return t.func.functional_call(modules[0], (p, b), (x,))

        result = t.vmap(call, in_dims=(0, 0, None))(parameters, buffers, numbers(t, 5, 3))
        result.square().sum().backward()
        return result, parameters, [p.grad for p in parameters.values()], list(buffers)

    same(program)


def test_gradients_of_each_example() -> None:
    def program(t: Any) -> Any:
        module = t.nn.Sequential(
            t.nn.Conv2d(1, 2, 3), t.nn.ReLU(), t.nn.Flatten(), t.nn.Linear(18, 3)
        ).double()
        with t.no_grad():
            for k, p in enumerate(module.parameters()):
                p.copy_(numbers(t, *p.shape, salt=k))
        images, labels = numbers(t, 4, 1, 5, 5), t.tensor([0, 2, 1, 1])
        parameters = {k: p.detach() for k, p in module.named_parameters()}

        def loss(p: Any, image: Any, label: Any) -> Any:
            scores = t.func.functional_call(module, p, (image[None],))
            return t.nn.functional.cross_entropy(scores, label[None])

        return t.vmap(t.func.grad(loss), in_dims=(None, 0, 0))(parameters, images, labels)

    same(program)


# ------------------------------------------------------------------------------------ forward mode


def test_dual_tensors() -> None:
    def program(t: Any) -> Any:
        fwd = t.autograd.forward_ad
        x, y = numbers(t, 3), numbers(t, 3, salt=1)
        with fwd.dual_level():
            a = fwd.make_dual(x, numbers(t, 3, salt=2))
            b = fwd.make_dual(y, numbers(t, 3, salt=3))
            primal, tangent = fwd.unpack_dual(a.sin() * b + a)
            back = fwd.unpack_dual(a)
            nothing = fwd.unpack_dual(x * 2).tangent
        return primal.detach(), tangent.detach(), back.tangent.detach(), nothing

    same(program)
    same_error(lambda t: t.autograd.forward_ad.make_dual(numbers(t, 3), numbers(t, 3)))
    same_error(lambda t: t.autograd.forward_ad.exit_dual_level())

    def nested(t: Any) -> None:
        with t.autograd.forward_ad.dual_level(), t.autograd.forward_ad.dual_level():
            pass

    same_error(nested)


# ---------------------------------------------------------------------------------------- compiled


@pytest.mark.parametrize("name", [*FIRST, "jvp of several", "linearize", "jacrev of several"])
def test_compiled(name: str) -> None:
    def program(x: Any, y: Any) -> Any:
        return PROGRAMS[name](graphc, graphc.func, x, y)

    for tracked in (False, True):
        x, y = numbers(graphc, 3), numbers(graphc, 2, salt=1)
        compare(program, x.requires_grad_(tracked), y.requires_grad_(tracked), rtol=1e-6)
