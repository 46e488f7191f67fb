"""Functions of arrays: matrix products, pointwise chains, reductions."""

import numpy as np

from .rows import MAIN, ODD, SIZES, Call, Row, Work, normal


def matmul_bias_relu(rows, depth, columns):
    """relu(x @ weight.T + bias), the weight as nn.Linear keeps it."""

    def function(xp, x, weight, bias):
        return xp.relu(xp.nn.functional.linear(x, weight, bias))

    def jax_function(jx, x, weight, bias):
        return jx.relu(x @ weight.T + bias)

    data = normal((rows, depth), (columns, depth), (columns,), scale=0.2)
    return Call(data, function, jax_function)


def matmul(rows, depth, columns, dtype="float32"):
    def function(_xp, x, y):
        return x @ y

    def jax_function(_jx, x, y):
        return x @ y

    return Call(normal((rows, depth), (depth, columns)), function, jax_function, dtype=dtype)


def pointwise(n):
    def function(xp, x, y):
        return xp.tanh(x * 0.7 + 0.1) * xp.sigmoid(y) + xp.exp(-x * x)

    def jax_function(jx, x, y):
        return jx.np.tanh(x * 0.7 + 0.1) * jx.sigmoid(y) + jx.np.exp(-x * x)

    return Call(normal((n,), (n,)), function, jax_function)


def chain(n):
    """Six pointwise operations on one array, cheap enough for memory to be what counts."""

    def function(xp, x):
        return xp.sqrt(xp.relu(x * 1.5 + 0.5) + 1.0) * x

    def jax_function(jx, x):
        return jx.np.sqrt(jx.relu(x * 1.5 + 0.5) + 1.0) * x

    return Call(normal((n,)), function, jax_function)


def total(n):
    """The sum of one array; its numbers are positive, so that the sum is well conditioned."""

    def data(random):
        return [random.uniform(0, 1, n).astype(np.float32)]

    def function(_xp, x):
        return x.sum()

    def jax_function(_jx, x):
        return x.sum()

    return Call(data, function, jax_function)


def softmax(rows, columns):
    def function(xp, x):
        return xp.softmax(x, -1)

    def jax_function(jx, x):
        return jx.softmax(x)

    return Call(normal((rows, columns)), function, jax_function)


def layer_norm_gelu(rows, columns):
    def function(xp, x, weight, bias):
        functional = xp.nn.functional
        return functional.gelu(functional.layer_norm(x, (columns,), weight, bias))

    def jax_function(jx, x, weight, bias):
        return jx.gelu(jx.normalised(x, weight, bias))

    return Call(normal((rows, columns), (columns,), (columns,)), function, jax_function)


def column_sums(rows, columns):
    def function(_xp, x):
        return x.sum(0)

    def jax_function(_jx, x):
        return x.sum(0)

    return Call(normal((rows, columns)), function, jax_function)


def ten_floats(n):
    def function(_xp, x):
        return x * 2 + 1

    def jax_function(_jx, x):
        return x * 2 + 1

    return Call(normal((n,)), function, jax_function)


def cube(n):
    return {"rows": n, "depth": n, "columns": n}


SMALL = {"rows": 9, "columns": 70}
ROWS = [
    Row(
        *("matmul_bias_relu_1024", MAIN, "relu(x @ w.T + b), 1024 x 1024 x 1024"),
        *(matmul_bias_relu, cube(1024), cube(20)),
    ),
    Row(
        *("pointwise_4m", MAIN, "tanh(a*x + b) * sigmoid(y) + exp(-x*x), 4 M elements"),
        *(pointwise, {"n": 4_000_000}, {"n": 1000}),
    ),
    Row(
        *("softmax_4096x1024", MAIN, "softmax over rows, 4096 x 1024", softmax),
        *({"rows": 4096, "columns": 1024}, SMALL),
    ),
    Row(
        *("layer_norm_gelu_4096x1024", MAIN, "layer norm and gelu, 4096 x 1024"),
        *(layer_norm_gelu, {"rows": 4096, "columns": 1024}, SMALL),
    ),
    Row(
        *("column_sums_8192x1024", MAIN, "sums of columns, 8192 x 1024", column_sums),
        *({"rows": 8192, "columns": 1024}, SMALL),
    ),
    Row("tiny_call", MAIN, "x * 2 + 1, ten elements", ten_floats, {"n": 10}),
    Row(
        *("matmul_1000x777x333", ODD, "x @ y, 1000 x 777 by 777 x 333", matmul),
        *({"rows": 1000, "depth": 777, "columns": 333}, {"rows": 13, "depth": 11, "columns": 7}),
    ),
    Row(
        *("matmul_bfloat16_1024", ODD, "x @ y in bfloat16, 1024 x 1024 x 1024", matmul),
        *(cube(1024) | {"dtype": "bfloat16"}, cube(20)),
        tolerance=1e-2,
    ),
    *(
        Row(
            *(f"chain_{n}", SIZES, f"sqrt(relu(a*x + b) + 1) * x, {n} elements"),
            *(chain, {"n": n}, {"n": min(n, 1000)}),
            work=Work(read=4 * n, written=4 * n),
        )
        for n in (2**power for power in range(10, 25, 2))
    ),
    *(
        Row(
            *(f"sum_{n}", SIZES, f"sum of {n} elements", total, {"n": n}, {"n": min(n, 1000)}),
            work=Work(read=4 * n),
        )
        for n in (2**power for power in range(10, 25, 2))
    ),
    *(
        Row(
            *(f"gemm_{n}", SIZES, f"x @ y, {n} x {n} x {n}", matmul, cube(n), cube(min(n, 20))),
            work=Work(flops=2 * n**3, read=8 * n**2, written=4 * n**2),
        )
        for n in (16, 32, 64, 128, 256, 512, 1024, 2048)
    ),
]
