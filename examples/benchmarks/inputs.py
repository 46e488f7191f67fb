"""The numbers that every contender starts from: fixed seeds, NumPy only."""

import math

import numpy as np


def _weights(random, shapes):
    """Uniform in +-1/sqrt(fan in), for alternating weights and biases."""
    arrays = []
    for shape in shapes:
        if len(shape) > 1:
            bound = 1 / math.sqrt(math.prod(shape[1:]))
        arrays.append(random.uniform(-bound, bound, shape).astype(np.float32))
    return arrays


def lenet():
    """Images (64, 1, 32, 32), labels (64,), and the parameters of the network in order."""
    random = np.random.RandomState(0)
    shapes = [
        *((6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,)),
        *((120, 400), (120,), (84, 120), (84,), (10, 84), (10,)),
    ]
    images = random.standard_normal((64, 1, 32, 32)).astype(np.float32)
    return images, random.randint(0, 10, 64), _weights(random, shapes)


def mlp():
    """Rows (128, 64), labels (128,), and the parameters of 64-256-256-10 in order."""
    random = np.random.RandomState(0)
    shapes = [(256, 64), (256,), (256, 256), (256,), (10, 256), (10,)]
    rows = random.standard_normal((128, 64)).astype(np.float32)
    return rows, random.randint(0, 10, 128), _weights(random, shapes)


def _normal(*shapes, scale=1.0):
    random = np.random.RandomState(0)
    return [(scale * random.standard_normal(shape)).astype(np.float32) for shape in shapes]


def tiny_call():
    return _normal((10,))


def pointwise_4m():
    return _normal((4_000_000,), (4_000_000,))


def softmax_4096x1024():
    return _normal((4096, 1024))


def matmul_bias_relu_1024():
    return _normal((1024, 1024), (1024, 1024), (1024,), scale=0.2)
