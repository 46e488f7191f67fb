"""What the workloads' JAX versions are written with: parameters by name, and layers.

Images are (batch, height, width, channels) and windows (height, width, in, out), as is usual with
JAX and what its convolutions on a CPU are fastest with; see ``placed``. Other weights are as
PyTorch keeps them.
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


def placed(array):
    """A batch of images in PyTorch's order of dimensions in JAX's."""
    return array.transpose(0, 2, 3, 1)


def placed_back(array):
    return array.transpose(0, 3, 1, 2)


def placed_window(array):
    """A weight of ``nn.Conv2d``, or of ``nn.ConvTranspose2d``, whose in and out change places."""
    return array.transpose(2, 3, 1, 0)


def flatten(x):
    """The numbers of every image, in PyTorch's order."""
    return placed_back(x).reshape(len(x), -1)


def conv(p, x, stride=1, padding=0, groups=1):
    return _conv(
        p, x, p["weight"], padding, window_strides=(stride,) * 2, feature_group_count=groups
    )


def conv_transpose(p, x, stride=1, padding=0):
    """The gradient of ``conv`` for its input: the same window, turned round, over spread pixels."""
    weight = np.flip(p["weight"], (0, 1)).swapaxes(2, 3)
    edge = len(weight) - 1 - padding
    return _conv(p, x, weight, edge, window_strides=(1, 1), lhs_dilation=(stride,) * 2)


def _conv(p, x, weight, edge, **settings):
    order = ("NHWC", "HWIO", "NHWC")
    edges = [(edge, edge)] * 2
    x = lax.conv_general_dilated(x, weight, padding=edges, dimension_numbers=order, **settings)
    return x + p["bias"] if "bias" in p else x


def batch_norm(p, x, momentum=0.1, eps=1e-5):
    if p.training:
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        count = x.size // x.shape[-1]
        seen = {"running_mean": mean, "running_var": variance * (count / (count - 1))}
        for name, value in seen.items():
            p[name] = (1 - momentum) * p[name] + momentum * lax.stop_gradient(value)
        p["num_batches_tracked"] = p["num_batches_tracked"] + 1
    else:
        mean, variance = p["running_mean"], p["running_var"]
    return (x - mean) * (p["weight"] * lax.rsqrt(variance + eps)) + p["bias"]


def normalised(x, weight, bias, eps=1e-5):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + eps) * weight + bias


def layer_norm(p, x):
    return normalised(x, p["weight"], p["bias"])


def max_pool(x, window, stride=None, padding=0):
    windows, strides = (1, window, window, 1), (1, stride or window, stride or window, 1)
    edges = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return lax.reduce_window(x, -np.inf, lax.max, windows, strides, edges)


def mean_pool(x):
    """(batch, channels): what remains of each image."""
    return x.mean((1, 2))


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
