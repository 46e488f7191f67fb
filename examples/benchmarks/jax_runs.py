"""Workloads in JAX, jitted as a whole; a step's old parameters are donated to the new."""

import jax
import jax.numpy as jnp
import jax_layers as jx
import numpy as np
from workloads import Training


def prepare(program, start):
    """A function without arguments that runs one step or call, with its operands in place."""
    if program.dtype == "float64":
        jax.config.update("jax_enable_x64", True)

    def value(array, place):
        array = place(array) if array.ndim == 4 else array  # nothing but images and windows
        return jnp.asarray(array, program.dtype if array.dtype.kind == "f" else None)

    batch = [value(array, jx.placed) for array in start.batch]
    state = {name: value(array, jx.placed_window) for name, array in start.state.items()}
    if isinstance(program, Training):
        return training(program, state, start.parameters, batch)
    return call(program, state, batch)


def training(program, values, names, batch):
    passes = []
    for row in program.losses:
        part = [name for name in names if not row.of or name.startswith(f"{row.of}.")]
        moments = {name: jnp.zeros_like(values[name]) for name in part}
        state = {"first": moments, "second": {n: jnp.zeros_like(m) for n, m in moments.items()}}
        passes.append((row.jax_loss, part, state | {"count": jnp.zeros((), jnp.float32)}))
    if program.optimizer is None:
        return gradients(passes[0][0], values, names, batch)
    optimizer = OPTIMIZERS[program.optimizer.name]
    losses_of, parts, states = zip(*passes, strict=True)

    def step(values, states, *batch):
        losses, renewed = [], []
        for loss_of, part, state in zip(losses_of, parts, states, strict=True):
            trained = {name: values[name] for name in part}

            def loss(trained, values=values, loss_of=loss_of):
                p = jx.State(values | trained, training=True)
                return loss_of(jx, p, *batch), p.updates

            (value, updates), gradient = jax.value_and_grad(loss, has_aux=True)(trained)
            trained, state = optimizer(trained, gradient, state, **program.optimizer.settings)
            values = values | updates | trained
            losses.append(value)
            renewed.append(state)
        return losses, values, tuple(renewed)

    compiled = jax.jit(step, donate_argnums=(0, 1))

    def run():
        nonlocal values, states
        losses, values, states = compiled(values, states, *batch)
        return losses

    return run


def gradients(loss_of, values, names, batch):
    """Forward and backward to parameters and to the batch's first array."""
    trained = {name: values.pop(name) for name in names}

    def loss(trained, x, buffers, *rest):
        p = jx.State(buffers | trained, training=True)
        return loss_of(jx, p, x, *rest), buffers | p.updates

    compiled = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True), donate_argnums=2)

    def run():
        nonlocal values
        (value, values), (_, of_batch) = compiled(trained, batch[0], values, *batch[1:])
        return [value, of_batch]

    return run


def call(program, state, batch):
    if program.model is None:
        compiled = jax.jit(lambda *batch: program.jax_function(jx, *batch))
        return lambda: compiled(*batch)

    def function(state, *batch):
        return program.jax_function(jx, jx.State(state, training=False), *batch)

    compiled = jax.jit(function)
    return lambda: compiled(state, *batch)


def arrays(result):
    """What a step or call gave, as float64 arrays."""
    found = (np.asarray(x, np.float64) for x in jax.tree.leaves(result))
    return [jx.placed_back(x) if x.ndim == 4 else x for x in found]


def sgd(parameters, gradients, state, lr, momentum):
    first = {n: momentum * m + gradients[n] for n, m in state["first"].items()}
    return {n: p - lr * first[n] for n, p in parameters.items()}, state | {"first": first}


def adam(parameters, gradients, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    """Adam; with ``weight_decay`` AdamW, whose decay is apart from the gradients."""
    count = state["count"] + 1
    first = {n: betas[0] * m + (1 - betas[0]) * gradients[n] for n, m in state["first"].items()}
    second = {
        n: betas[1] * v + (1 - betas[1]) * gradients[n] ** 2 for n, v in state["second"].items()
    }
    scale, root = lr / (1 - betas[0] ** count), jnp.sqrt(1 - betas[1] ** count)
    updated = {
        n: (
            p * (1 - lr * weight_decay) - scale * first[n] / (jnp.sqrt(second[n]) / root + eps)
        ).astype(p.dtype)
        for n, p in parameters.items()
    }
    return updated, {"first": first, "second": second, "count": count}


OPTIMIZERS = {"SGD": sgd, "Adam": adam, "AdamW": adam}
