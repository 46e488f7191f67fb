"""Tables looked up by integers."""

from typing import Any

from graphc import dtypes
from graphc.functions.promotion import cast
from graphc.ir import CPU
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 with a last dimension of ``num_classes`` that is 1 at each element's class.

    Without ``num_classes`` the largest element decides, which no compiled function can know.
    Raises RuntimeError for classes below 0 or too large.
    """
    if tensor.dtype is not dtypes.int64:
        raise RuntimeError(
            "one_hot is only applicable to index tensor of type LongTensor, got "
            f"{tensor.dtype.type_name}"
        )
    if num_classes == -1 or MODES.trace is None:
        array = tensor._array()
        if array.size and int(array.min()) < 0:
            raise RuntimeError("Class values must be non-negative.")
        if num_classes == -1:
            if not array.size:
                raise RuntimeError("Can not infer total number of classes from empty tensor.")
            num_classes = int(array.max()) + 1
        elif array.size and int(array.max()) >= num_classes:
            raise RuntimeError("Class values must be smaller than num_classes.")
    if num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    classes = apply(
        OPS["iota"],
        (),
        {"shape": (num_classes,), "dim": 0, "dtype": dtypes.int64, "start": 0, "step": 1,
         "device": CPU},
    )  # fmt: skip
    column = apply(OPS["reshape"], (tensor,), {"shape": (*tensor.shape, 1)})
    return cast(apply(OPS["eq"], (column, classes), {}), dtypes.int64)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of ``weight`` that ``input`` names; int64 or int32 of any shape.

    The row ``padding_idx`` gets no gradient. With ``max_norm`` the rows used are first scaled
    down in place to that norm. ``sparse`` is accepted and changes nothing: gradients are dense.
    Raises IndexError for a row that does not exist.
    """
    del sparse
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    check_table("embedding", input, weight)
    padding_idx = check_padding(padding_idx, weight)
    index = row_numbers(input, weight)
    if max_norm is not None:
        shorten(weight, index, max_norm, norm_type)
    return looked_up(weight, index, padding_idx, scale_grad_by_freq)


def check_table(name: str, input: Tensor, weight: Tensor) -> None:
    """Integers that name rows of a table of floats. Raises RuntimeError."""
    if input.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            f"Long, Int; but got graphc.{input.dtype.type_name}Tensor instead (while checking "
            f"arguments for {name})"
        )
    if name == "embedding_bag" and not weight.dtype.is_floating_point:
        raise RuntimeError(f"{name}: expected a table of floats, not {weight.dtype}")


def row_numbers(input: Tensor, weight: Tensor) -> Tensor:
    """int64; negative numbers do not count from the end here, but name no row at all."""
    index = cast(input, dtypes.int64)
    negative = apply(OPS["lt"], (index, 0), {})
    return apply(OPS["where"], (negative, int(weight.shape[0]), index), {})


def check_padding(padding_idx: int | None, weight: Tensor) -> int | None:
    """The row that pads, counted from the front. Raises AssertionError where there is none."""
    rows = int(weight.shape[0])
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise AssertionError("Padding_idx must be within num_embeddings")
    return padding_idx % rows


def looked_up(
    weight: Tensor, index: Tensor, padding_idx: int | None, scale_grad_by_freq: bool
) -> Tensor:
    """Rows of a table, with what the two options do to its gradient."""
    if not (weight.requires_grad and MODES.grad):
        return _rows(weight, index)
    rows = int(weight.shape[0])
    if scale_grad_by_freq:
        counts = _counts(index, rows)
        weight = _scaled_gradient(weight, apply(OPS["div"], (weight._ones(), counts), {}))
    if padding_idx is not None:
        places = apply(
            OPS["iota"],
            (),
            {"shape": (rows, 1), "dim": 0, "dtype": dtypes.int64, "start": 0, "step": 1,
             "device": CPU},
        )  # fmt: skip
        padding = apply(OPS["eq"], (places, padding_idx), {})
        frozen = apply(OPS["stop_gradient"], (weight,), {})
        weight = apply(OPS["where"], (padding, frozen, weight), {})
    return _rows(weight, index)


def _rows(weight: Tensor, index: Tensor) -> Tensor:
    return apply(OPS["take"], (weight, index), {"dim": 0})


def _counts(index: Tensor, rows: int) -> Tensor:
    """How often each row is used (at least 1), as a column."""
    flat = apply(OPS["reshape"], (index,), {"shape": (index.numel(),)})
    ones = cast(flat.ge(0), dtypes.float32)  # type: ignore[attr-defined]
    zeros = apply(
        OPS["full"], (), {"value": 0.0, "shape": (rows,), "dtype": dtypes.float32, "device": CPU}
    )
    counted = apply(OPS["put_index"], (zeros, flat, ones), {"dim": 0, "add": True})
    column = apply(OPS["reshape"], (counted,), {"shape": (rows, 1)})
    return apply(OPS["maximum"], (column, 1), {})


def _scaled_gradient(x: Tensor, factor: Tensor) -> Tensor:
    """``x`` itself, whose gradient is multiplied by ``factor``."""
    scaled = apply(OPS["mul"], (x, cast(factor, x.dtype)), {})
    frozen = apply(OPS["stop_gradient"], (x,), {}) - apply(OPS["stop_gradient"], (scaled,), {})  # type: ignore[operator]
    return frozen + scaled  # type: ignore[no-any-return]


def shorten(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Scales the named rows down to a norm, in place and never recorded."""
    recorded, MODES.grad = MODES.grad, False
    try:
        flat = apply(OPS["reshape"], (index,), {"shape": (index.numel(),)})
        used: Any = _rows(weight, flat)
        size = used.norm(norm_type, 1, True)
        factor = apply(OPS["where"], (size.gt(max_norm), max_norm / (size + 1e-7), 1.0), {})
        short = apply(OPS["put_index"], (weight, flat, used * factor), {"dim": 0, "add": False})
        weight._write(short)
    finally:
        MODES.grad = recorded
