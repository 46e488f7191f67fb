"""What the workloads' JAX versions are written with: parameters by name, and layers.

Images are (batch, channels, height, width), weights as PyTorch keeps them.
"""

import jax
import jax.numpy as np
from jax import lax
from jax.lax import stop_gradient
from jax.nn import relu, relu6, sigmoid, softmax, softplus

__all__ = ["np", "relu", "relu6", "sigmoid", "softmax", "softplus", "stop_gradient"]


class State:
    """Parameters and buffers by their names in the model; ``at`` goes to a part of it."""

    def __init__(self, values, training, prefix="", updates=None):
        self.values, self.training, self.prefix = values, training, prefix
        self.updates = {} if updates is None else updates

    def at(self, *path):
        prefix = self.prefix + "".join(f"{name}." for name in path)
        return State(self.values, self.training, prefix, self.updates)

    def __getitem__(self, name):
        """What this step has written to the buffer before, or its value."""
        name = self.prefix + name
        return self.updates.get(name, self.values[name])

    def __setitem__(self, name, value):
        self.updates[self.prefix + name] = value

    def __contains__(self, name):
        return self.prefix + name in self.values


def gelu(x):
    return jax.nn.gelu(x, approximate=False)


def leaky_relu(x):
    return jax.nn.leaky_relu(x, 0.2)


def linear(p, x):
    x = x @ p["weight"].T
    return x + p["bias"] if "bias" in p else x


def _biased(p, x):
    return x + p["bias"][:, None, None] if "bias" in p else x


def conv(p, x, stride=1, padding=0, groups=1):
    x = lax.conv_general_dilated(
        *(x, p["weight"], (stride, stride), [(padding, padding)] * 2), feature_group_count=groups
    )
    return _biased(p, x)


def conv_transpose(p, x, stride=1, padding=0):
    """The gradient of ``conv`` for its input: the same window, turned round, over spread pixels."""
    weight = np.flip(p["weight"], (2, 3)).swapaxes(0, 1)
    edge = weight.shape[-1] - 1 - padding
    x = lax.conv_general_dilated(x, weight, (1, 1), [(edge, edge)] * 2, lhs_dilation=(stride,) * 2)
    return _biased(p, x)


def batch_norm(p, x, momentum=0.1, eps=1e-5):
    if p.training:
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
        count = x.size // x.shape[1]
        seen = {"running_mean": mean, "running_var": variance * (count / (count - 1))}
        for name, value in seen.items():
            p[name] = (1 - momentum) * p[name] + momentum * lax.stop_gradient(value)
        p["num_batches_tracked"] = p["num_batches_tracked"] + 1
    else:
        mean, variance = p["running_mean"], p["running_var"]
    scale = p["weight"] * lax.rsqrt(variance + eps)
    return (x - mean[:, None, None]) * scale[:, None, None] + p["bias"][:, None, None]


def normalised(x, weight, bias, eps=1e-5):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + eps) * weight + bias


def layer_norm(p, x):
    return normalised(x, p["weight"], p["bias"])


def max_pool(x, window, stride=None, padding=0):
    windows, strides = (1, 1, window, window), (1, 1, stride or window, stride or window)
    edges = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    return lax.reduce_window(x, -np.inf, lax.max, windows, strides, edges)


def attention(q, k, v, heads, causal):
    """Of (batch, length, width) arrays, whose width is split among the heads."""
    q, k, v = (x.reshape(*x.shape[:2], heads, -1) for x in (q, k, v))
    y = jax.nn.dot_product_attention(q, k, v, is_causal=causal)
    return y.reshape(*y.shape[:2], -1)


def lstm(p, layer, x):
    """(batch, length, inputs) to (batch, length, hidden), from zeros."""
    recurrent, hidden = p[f"weight_hh_{layer}"].T, p[f"weight_hh_{layer}"].shape[1]
    given = x @ p[f"weight_ih_{layer}"].T + (p[f"bias_ih_{layer}"] + p[f"bias_hh_{layer}"])

    def step(carry, given):
        h, c = carry
        i, f, g, o = np.split(given + h @ recurrent, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return (h, c), h

    zeros = np.zeros((len(x), hidden), x.dtype)
    return lax.scan(step, (zeros, zeros), given.swapaxes(0, 1))[1].swapaxes(0, 1)


def gru(p, layer, x):
    """(batch, length, inputs) to (batch, length, hidden), from zeros."""
    recurrent, hidden = p[f"weight_hh_{layer}"].T, p[f"weight_hh_{layer}"].shape[1]
    bias = p[f"bias_hh_{layer}"]
    given = x @ p[f"weight_ih_{layer}"].T + p[f"bias_ih_{layer}"]

    def step(h, given):
        given_r, given_z, given_n = np.split(given, 3, -1)
        r, z, n = np.split(h @ recurrent + bias, 3, -1)
        z = sigmoid(given_z + z)
        n = np.tanh(given_n + sigmoid(given_r + r) * n)
        h = n + z * (h - n)
        return h, h

    zeros = np.zeros((len(x), hidden), x.dtype)
    return lax.scan(step, zeros, given.swapaxes(0, 1))[1].swapaxes(0, 1)


RECURRENT = {"LSTM": lstm, "GRU": gru}


def cross_entropy(scores, labels):
    scores = jax.nn.log_softmax(scores)
    return -np.take_along_axis(scores, labels[:, None], 1).mean()
