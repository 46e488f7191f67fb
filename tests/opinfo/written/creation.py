"""Tensors from data, and the sharing of memory."""

import numpy as np

from tests.opinfo.written.case import Cases, eager, failing, ints, seq


def shares(t):
    array = np.arange(6.0).reshape(2, 3)
    x = t.from_numpy(array)
    x[0, 0] = 7
    array[1, 2] = 8
    return x, float(array[0, 0]), x.is_contiguous(), x.dtype


def as_shared(t):
    array = np.arange(4)
    x = t.as_tensor(array)
    array[0] = 9
    y = t.as_tensor(array, dtype=t.float32)
    array[1] = 9
    z = seq(t, 3)
    return x, y, t.as_tensor(z) is z, t.as_tensor(z, dtype=t.float64)


def copied(t):
    array = np.arange(4)
    x = t.tensor(array)
    array[0] = 9
    return x


def detached(t):
    x = seq(t, 3).requires_grad_()
    y = (x * 2).detach()
    y[0] = 5
    return y, y.requires_grad, y.is_leaf, x.detach().requires_grad


CASES: Cases = {
    "tensor": [
        lambda t: (t.tensor([1, 2]), t.tensor([1.5, 2]), t.tensor(True), t.tensor(3)),
        lambda t: (t.tensor([]), t.tensor([[], []]), t.tensor([[1], [2]]), t.tensor(())),
        lambda t: (t.tensor([True, 2]), t.tensor([1, 2.5, True]), t.tensor([[1, 2.5]])),
        lambda t: (t.tensor([1, 2], dtype=t.float64), t.tensor([0, 2], dtype=t.bool)),
        lambda t: t.tensor([1.0], requires_grad=True).requires_grad,
        eager(lambda t: (t.tensor(np.float32(2)), t.tensor(np.arange(3, dtype=np.int16)))),
        eager(lambda t: (t.tensor([np.float32(2), 3]), t.tensor([np.int8(2), 3]))),
        eager(lambda t: t.tensor([t.tensor(1), t.tensor(2)])),
        eager(lambda t: t.tensor([t.tensor(1.5), 2])),
        eager(copied),
        eager(lambda t: t.tensor(seq(t, 2, 3))),
        eager(lambda t: t.tensor([1e40, -1e40, float("nan"), float("inf")])),
        eager(lambda t: t.tensor(range(4))),
        failing(lambda t: t.tensor([[1, 2], [3]])),
        failing(lambda t: t.tensor("text")),
        failing(lambda t: t.tensor([1, "text"])),
        failing(lambda t: t.tensor([1], requires_grad=True)),
        failing(lambda t: t.tensor([None])),
        failing(lambda t: t.tensor([300], dtype=t.uint8)),
    ],
    "as_tensor": [
        eager(as_shared),
        lambda t: (t.as_tensor([1, 2.5]), t.as_tensor(3), t.as_tensor([1], dtype=t.float64)),
    ],
    "from_numpy": [
        eager(shares),
        eager(lambda t: [t.from_numpy(np.zeros(2, d)) for d in ("f4", "f8", "f2", "u1", "i1",
                                                              "i2", "i4", "i8", "?")]),
        eager(lambda t: t.from_numpy(np.arange(6).reshape(2, 3).T).stride()),
        eager(lambda t: t.from_numpy(np.array(3.5))),
        failing(lambda t: t.from_numpy([1, 2])),
        failing(lambda t: t.from_numpy(np.array(["a"]))),
        failing(lambda t: t.from_numpy(np.arange(3)[::-1])),
    ],
    "Tensor.new_tensor": [
        lambda t: (seq(t, 2).new_tensor([1, 2]), ints(t, 2).new_tensor([3, 4]),
                   ints(t, 2).new_tensor([1.5], dtype=t.float64)),
        lambda t: seq(t, 2).new_tensor([1.0], requires_grad=True).requires_grad,
    ],
    "Tensor.detach": [detached, lambda t: seq(t, 2, 3).t().detach().stride()],
    "Tensor.copy_": [
        lambda t: (t.zeros(2, 3).copy_(ints(t, 3)), ints(t, 3).copy_(seq(t, 3)),
                   t.zeros(3, 2).t().copy_(seq(t, 2, 3)), t.zeros(2).copy_(t.tensor(2))),
        failing(lambda t: t.zeros(2).copy_(seq(t, 3))),
    ],
    "chain_matmul": [
        lambda t: t.chain_matmul(seq(t, 2, 3), seq(t, 3, 4), seq(t, 4, 2)),
        lambda t: t.chain_matmul(seq(t, 2, 3), seq(t, 3, 4)),
        failing(lambda t: t.chain_matmul(seq(t, 2, 3), seq(t, 4, 4))),
    ],
}  # fmt: skip
