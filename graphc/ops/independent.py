"""Values that stand on the tape as functions of operands they do not depend on."""

import numpy as np

from graphc.ir import Op, Sample, Scalar, TensorType, register
from graphc.ops.rules import Array, zeros_like


def _type(x: TensorType, of: TensorType) -> TensorType:
    del of
    return x


def _value(x: Array, of: Array) -> Array:
    del of
    return np.array(x)


def _samples() -> list[Sample]:
    x = np.array([[1.5, -2.0, 0.0], [3.0, 0.25, -1.0]])
    return [
        Sample((x.astype(dtype), of.astype(dtype)))
        for dtype in (np.float32, np.float64)
        for of in (x + 1, np.array(2.0), np.array([[1.0], [-4.0]]))
    ]


# d(x)/d(of) = 0, of any order: what is drawn with a parameter, or filled into a tensor.
INDEPENDENT = register(
    Op(
        "independent",
        _type,
        _value,
        Scalar("{0}", cost=0),
        lambda g, _y, _x, of: (g, zeros_like(of)),
        samples=_samples,
        reference=lambda x, of: x + np.zeros_like(of),
    )
)
