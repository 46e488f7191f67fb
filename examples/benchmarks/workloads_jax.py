"""The workloads in JAX, jitted as a whole; a step's old parameters are donated to the new."""

import inputs
import jax
import jax.numpy as jnp
from jax import lax


def linear(x, weight, bias):
    return x @ weight.T + bias


def lenet(parameters, x):
    w1, b1, w2, b2, *layers = parameters
    for weight, bias in ((w1, b1), (w2, b2)):
        x = lax.conv_general_dilated(x, weight, (1, 1), "VALID")
        x = jax.nn.relu(x + bias[:, None, None])
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return mlp(layers, x.reshape(len(x), -1))


def mlp(parameters, x):
    *hidden, weight, bias = parameters
    for i in range(0, len(hidden), 2):
        x = jax.nn.relu(linear(x, hidden[i], hidden[i + 1]))
    return linear(x, weight, bias)


def training(network, update, start):
    """``update(parameters, gradients, state)`` gives new parameters and state."""
    x, labels, weights = start
    x, labels = jnp.asarray(x), jnp.asarray(labels)
    parameters = [jnp.asarray(array) for array in weights]
    state = [jnp.zeros_like(p) for p in parameters], [jnp.zeros_like(p) for p in parameters], 0.0

    def loss_of(parameters, x, labels):
        scores = jax.nn.log_softmax(network(parameters, x))
        return -jnp.take_along_axis(scores, labels[:, None], 1).mean()

    def step(parameters, state, x, labels):
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, labels)
        return loss, *update(parameters, gradients, state)

    compiled = jax.jit(step, donate_argnums=(0, 1))

    def run():
        nonlocal parameters, state
        loss, parameters, state = compiled(parameters, state, x, labels)
        return loss

    return run


def sgd(parameters, gradients, state, lr=0.02, momentum=0.9):
    moments, unused, count = state
    moments = [momentum * m + g for m, g in zip(moments, gradients, strict=True)]
    return [p - lr * m for p, m in zip(parameters, moments, strict=True)], (moments, unused, count)


def adam(parameters, gradients, state, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    first, second, count = state
    count = count + 1
    first = [beta1 * m + (1 - beta1) * g for m, g in zip(first, gradients, strict=True)]
    second = [beta2 * v + (1 - beta2) * g * g for v, g in zip(second, gradients, strict=True)]
    scale, root = lr / (1 - beta1**count), jnp.sqrt(1 - beta2**count)
    updated = [
        p - scale * m / (jnp.sqrt(v) / root + eps)
        for p, m, v in zip(parameters, first, second, strict=True)
    ]
    return updated, (first, second, count)


def call(function, arrays):
    values = [jnp.asarray(array) for array in arrays]
    run = jax.jit(function)
    return lambda: run(*values)


def pointwise(x, y):
    return jnp.tanh(x * 0.7 + 0.1) * jax.nn.sigmoid(y) + jnp.exp(-x * x)


WORKLOADS = {
    "lenet_step": lambda: training(lenet, sgd, inputs.lenet()),
    "mlp_step": lambda: training(mlp, adam, inputs.mlp()),
    "tiny_call": lambda: call(lambda x: x * 2 + 1, inputs.tiny_call()),
    "pointwise_4m": lambda: call(pointwise, inputs.pointwise_4m()),
    "softmax_4096x1024": lambda: call(jax.nn.softmax, inputs.softmax_4096x1024()),
    "matmul_bias_relu_1024": lambda: call(
        lambda x, weight, bias: jax.nn.relu(linear(x, weight, bias)),
        inputs.matmul_bias_relu_1024(),
    ),
}
