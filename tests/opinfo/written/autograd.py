"""Recording, modes, hooks, functions with their own gradients, and what is computed with them."""

from tests.opinfo.written.case import Cases, eager, failing, seq


def leaves(t, *shapes):
    return [seq(t, *s, dtype="float64").requires_grad_() for s in shapes]


def accumulated(t):
    (x,) = leaves(t, (3,))
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    (x * 3).backward(t.ones(3, dtype=t.float64))
    return x.grad


def second_order(t):
    x, w = leaves(t, (3,), (3,))
    ((x * w).exp().sum()).backward(create_graph=True)
    g = x.grad
    (h,) = t.autograd.grad((g * g).sum(), w)
    return g.detach(), h


def only_inputs(t):
    x, w = leaves(t, (3,), (3,))
    (x * w).sum().backward(inputs=[w])
    return x.grad, w.grad


def several(t):
    x, w = leaves(t, (3,), (3,))
    t.autograd.backward([x * w, x + w], [t.ones(3, dtype=t.float64), seq(t, 3, dtype="float64")])
    return x.grad, w.grad


def unused(t):
    x, w = leaves(t, (3,), (3,))
    got = t.autograd.grad((x * 2).sum(), [x, w], allow_unused=True)
    filled = t.autograd.grad((x * 2).sum(), [x, w], materialize_grads=True)
    return got, filled


def modes(t):
    (x,) = leaves(t, (2,))
    found = [t.is_grad_enabled()]
    with t.no_grad():
        found += [t.is_grad_enabled(), (x * 2).requires_grad]
        with t.enable_grad():
            found += [t.is_grad_enabled(), (x * 2).requires_grad]
        x.add_(1)
    with t.set_grad_enabled(False):
        found.append((x * 2).requires_grad)
    t.set_grad_enabled(False)
    found.append((x * 2).requires_grad)
    t.set_grad_enabled(True)
    found.append((x * 2).requires_grad)
    return found, x.detach()


def decorated(t):
    (x,) = leaves(t, (2,))

    @t.no_grad()
    def off(v):
        return (v * 2).requires_grad

    @t.enable_grad()
    def on(v):
        return (v * 2).requires_grad

    @t.inference_mode()
    def inferring(v):
        return (v * 2).requires_grad, t.is_inference_mode_enabled()

    with t.no_grad():
        inside = on(x)
    return off(x), inside, inferring(x), t.is_inference_mode_enabled()


def hooks(t):
    (x,) = leaves(t, (3,))
    seen = []
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: seen.append(g.clone()))
    handle = x.register_hook(lambda g: g * 10)
    (y * y).sum().backward(retain_graph=True)
    first = x.grad.clone()
    handle.remove()
    (y * y).sum().backward()
    return first, x.grad, y.grad, seen


def overwritten(t):
    (x,) = leaves(t, (3,))
    y = x.exp()
    y.add_(1)
    y.sum().backward()


def freed(t):
    (x,) = leaves(t, (3,))
    y = x.exp().sum()
    y.backward()
    y.backward()


def detached_in_place(t):
    (x,) = leaves(t, (3,))
    y = x * 2
    y.detach_()
    return y.requires_grad, y.is_leaf, y


def own_function(t):
    class Cube(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, power):
            ctx.save_for_backward(x)
            ctx.power = power
            return x**power

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * ctx.power * x ** (ctx.power - 1), None

    (x,) = leaves(t, (3,))
    y = Cube.apply(x, 3)
    (g,) = t.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = t.autograd.grad(g.sum(), x)
    return y.detach(), g.detach(), h


def own_pair(t):
    from importlib import import_module

    once = import_module(f"{t.autograd.__name__}.function").once_differentiable

    class Pair(t.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.needs = ctx.needs_input_grad
            ctx.mark_non_differentiable(*())
            return a * b, a + b

        @staticmethod
        @once
        def backward(ctx, g, h):
            return (g + h if ctx.needs_input_grad[0] else None), (
                g - h if ctx.needs_input_grad[1] else None
            )

    a, b = leaves(t, (3,), (3,))
    p, q = Pair.apply(a, b)
    (p.sum() + (q * 2).sum()).backward()
    p, q = Pair.apply(a, b.detach())
    return p.requires_grad, a.grad, b.grad


def twice_once(t):
    from importlib import import_module

    once = import_module(f"{t.autograd.__name__}.function").once_differentiable

    class Square(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0]

    (x,) = leaves(t, (2,))
    (g,) = t.autograd.grad(Square.apply(x).sum(), x, create_graph=True)
    g.sum().backward()


def f(t):
    return lambda x, y: (x * y.exp()).sum(0) + x.sin()[0]


def checked(t):
    x, y = leaves(t, (3,), (3,))
    wrong = None

    class Wrong(t.autograd.Function):
        @staticmethod
        def forward(_ctx, x):
            return x * 2

        @staticmethod
        def backward(_ctx, g):
            return g * 3

    try:
        t.autograd.gradcheck(Wrong.apply, (x,))
    except Exception as error:
        wrong = isinstance(error, RuntimeError)
    return (t.autograd.gradcheck(f(t), (x, y)), wrong,
            t.autograd.gradcheck(Wrong.apply, (x,), raise_exception=False))  # fmt: skip


def checked_twice(t):
    x, y = leaves(t, (3,), (3,))
    return t.autograd.gradgradcheck(f(t), (x, y))


def jacobians(t):
    x, y = (v.detach() for v in leaves(t, (3,), (3,)))
    F = t.autograd.functional  # noqa: N806
    return (
        F.jacobian(lambda a: a * a.sum(), x),
        F.jacobian(lambda a, b: (a * b, a.sum()), (x, y)),
        F.jacobian(lambda a: (a * a).sum(), x, create_graph=True).requires_grad,
    )


def hessians(t):
    x, y = (v.detach() for v in leaves(t, (3,), (3,)))
    F = t.autograd.functional  # noqa: N806
    return (F.hessian(lambda a: (a**3).sum(), x),
            F.hessian(lambda a, b: (a * a * b).sum(), (x, y)))  # fmt: skip


def products(t):
    x, y = (v.detach() for v in leaves(t, (3,), (3,)))
    F = t.autograd.functional  # noqa: N806
    return F.vjp(lambda a: a.exp() * 2, x, y)


def forward_products(t):
    x, y = (v.detach() for v in leaves(t, (3,), (3,)))
    F = t.autograd.functional  # noqa: N806
    return F.jvp(lambda a: a.exp() * 2, x, y)


def anomalous(t):
    (x,) = leaves(t, (2,))
    with t.autograd.detect_anomaly():
        y = (x * 0).sqrt() * 0
        (y / y).sum().backward()


def anomaly_switch(t):
    t.autograd.set_detect_anomaly(True)
    found = t.is_anomaly_enabled()
    t.autograd.set_detect_anomaly(False)
    with t.autograd.detect_anomaly():
        inside = t.is_anomaly_enabled()
    return found, inside, t.is_anomaly_enabled()


def checkpointed(t):
    from importlib import import_module

    checkpoint = import_module(f"{t.__name__}.utils.checkpoint").checkpoint
    (x,) = leaves(t, (3,))
    runs = []

    def part(v):
        runs.append(1)
        return v.exp() * v

    y = checkpoint(part, x, use_reentrant=False)
    y.sum().backward()
    return y.detach(), x.grad, len(runs)


def func_grads(t):
    x, y = (v.detach() for v in leaves(t, (3,), (3,)))
    grad = t.func.grad
    scalar = lambda a, b: (a * a * b).sum()  # noqa: E731
    return (
        grad(scalar)(x, y), grad(scalar, argnums=(0, 1))(x, y),
        grad(lambda a: grad(lambda b: (b**3).sum())(a).sum())(x),
        t.func.grad_and_value(scalar)(x, y),
        grad(lambda a: ((a * a).sum(), a * 2), has_aux=True)(x),
    )  # fmt: skip


def func_vjps(t):
    x, y = (v.detach() for v in leaves(t, (3,), (3,)))
    out, pull = t.func.vjp(lambda a, b: (a * b, a.sum()), x, y)
    return out, pull((t.ones(3, dtype=t.float64), t.tensor(2.0, dtype=t.float64)))


def mapped(t):
    vmap = t.func.vmap
    x, y = seq(t, 4, 3), seq(t, 4, 3) * 2
    return (
        vmap(lambda a, b: (a * b).sum())(x, y), vmap(lambda a: a * 2, in_dims=1, out_dims=1)(x),
        vmap(lambda a, b: a @ b, in_dims=(0, None))(x, y[0]),
        vmap(t.func.grad(lambda a: (a * a).sum()))(x),
        vmap(vmap(lambda a: a * a))(x), vmap(lambda a: (a.max(), a.softmax(0)))(x),
    )  # fmt: skip


def called(t):
    model = t.nn.Linear(3, 2)
    weights = {"weight": seq(t, 2, 3), "bias": seq(t, 2)}
    x = seq(t, 4, 3)
    out = t.func.functional_call(model, weights, (x,))
    g = t.func.grad(lambda w: t.func.functional_call(model, w, (x,)).sum())(weights)
    return out, g


def graph_of_views(t):
    (x,) = leaves(t, (3, 4))
    y = x * 1
    y[1:, ::2].mul_(2)
    y.t()[0].add_(y[:, 3].detach() * 3)
    (y * y).sum().backward()
    return x.grad


CASES: Cases = {
    "Tensor.backward": [
        accumulated, second_order, only_inputs, graph_of_views,
        failing(freed), failing(overwritten),
        failing(lambda t: leaves(t, (3,))[0].exp().backward()),
        failing(lambda t: seq(t, 3).sum().backward()),
        failing(lambda t: leaves(t, (3,))[0].exp().backward(t.ones(2))),
    ],
    "autograd.backward": [several],
    "autograd.grad": [
        unused, second_order,
        failing(lambda t: t.autograd.grad(leaves(t, (3,))[0].sum(), leaves(t, (3,))[0])),
        failing(lambda t: t.autograd.grad(seq(t, 3).sum(), seq(t, 3))),
        failing(lambda t: t.autograd.grad(leaves(t, (3,))[0] * 2, leaves(t, (3,)))),
    ],
    "no_grad": [eager(modes), decorated,
                failing(lambda t: leaves(t, (3,))[0].add_(1))],
    "enable_grad": [eager(modes), decorated],
    "set_grad_enabled": [eager(modes)],
    "is_grad_enabled": [eager(modes)],
    "inference_mode": [decorated],
    "Tensor.detach_": [detached_in_place, failing(lambda t: leaves(t, (3,))[0][1:].detach_())],
    "Tensor.retain_grad": [eager(hooks), failing(lambda t: seq(t, 3).retain_grad())],
    "Tensor.register_hook": [eager(hooks), failing(lambda t: seq(t, 3).register_hook(print))],
    "autograd.Function": [own_function, own_pair, failing(twice_once)],
    "autograd.gradcheck": [eager(checked)],
    "autograd.gradgradcheck": [eager(checked_twice)],
    "autograd.functional.jacobian": [eager(jacobians)],
    "autograd.functional.hessian": [eager(hessians)],
    "autograd.functional.vjp": [eager(products)],
    "autograd.functional.jvp": [eager(forward_products)],
    "autograd.detect_anomaly": [eager(anomaly_switch), failing(anomalous)],
    "autograd.set_detect_anomaly": [eager(anomaly_switch)],
    "utils.checkpoint.checkpoint": [eager(checkpointed)],
    "func.grad": [func_grads],
    "func.vjp": [func_vjps],
    "func.vmap": [mapped],
    "func.functional_call": [eager(called)],
}  # fmt: skip
