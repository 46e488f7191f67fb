"""The names of nodes on the tape: those that PyTorch prints for the same program."""

from collections.abc import Mapping, Sequence
from typing import Any

from graphc.ir import Node

# Where a row is called otherwise than PyTorch's own operation.
_OTHERS = {
    "all": "All",
    "amax": "Amax",
    "avg_pool": "AvgPool",
    "binary_cross_entropy_with_logits": "BinaryCrossEntropyWithLogits",
    "cast": "ToCopy",
    "cross_entropy": "NllLoss",
    "dot": "Dot",
    "elu": "Elu",
    "group_norm": "NativeGroupNorm",
    "layer_norm": "NativeLayerNorm",
    "l1_loss": "Abs",
    "leaky_relu": "LeakyRelu",
    "log_sigmoid": "LogSigmoid",
    "log_softmax": "LogSoftmax",
    "max_pool": "MaxPool2DWithIndices",
    "batch_norm": "NativeBatchNorm",
    "batch_norm_inference": "NativeBatchNorm",
    "pad": "ConstantPadNd",
    "put_index": "IndexPut",
    "put_slice": "SliceScatter",
    "reshape": "View",
    "stop_gradient": "Detach",
    "take": "Index",
    "window": "Unfold",
}


def backward_name(row: str, attrs: Mapping[str, Any], inputs: Sequence[Node]) -> str:
    """PyTorch's name of the gradient of a row: ``AddBackward0``."""
    number = 0
    stem = _OTHERS.get(row) or "".join(part.capitalize() for part in row.split("_"))
    if row in ("sum", "mean", "prod") and inputs:
        number = int(len(attrs["dims"]) < inputs[0].type.ndim or bool(attrs["keepdim"]))
    elif row == "matmul":
        stem = _product(inputs)
    elif row == "linear":
        stem = "Addmm" if len(inputs) == 3 else "Mm"
    elif row == "pow" and inputs:
        number = int(inputs[1].type.ndim > 0 or getattr(inputs[1], "requires", False))
    elif row in ("clamp", "clamp_min", "clamp_max"):
        stem, number = "Clamp", 1
    return f"{stem}Backward{number}"


def _product(inputs: Sequence[Node]) -> str:
    ranks = tuple(n.type.ndim for n in inputs)
    if ranks == (1, 1):
        return "Dot"
    if ranks == (2, 1):
        return "Mv"
    return "Mm" if max(ranks) == 2 else "Bmm"
