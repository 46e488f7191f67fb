"""Convolutions over one to three spatial dims, and their gradients as convolutions again.

``convolution(x, w)`` with x (N, C, *S) and w (O, C / groups, *K) gives (N, O, *T). It is bilinear,
so three rows are closed under differentiation: with ``<a, b>`` the sum of products,

    <g, convolution(x, w)> = <conv_input_grad(g, w), x> = <conv_weight_grad(g, x), w>

and each row's gradients are the two others. In a graph they dissolve into windows and contractions
that one kernel computes without storing the windows; :mod:`graphc.ops.convolution_arrays` is what
runs in eager.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from graphc.errors import DtypeError, ShapeError
from graphc.ir import Sample, TensorType
from graphc.ops.convolution_arrays import convolved, input_grad, weight_grad
from graphc.ops.rules import (
    HALVES,
    Array,
    Kind,
    Shape,
    check_kind,
    composite,
    row,
    same_device,
    spread,
)
from graphc.ops.windows import windows_in
from graphc.sizes import Int

Amounts = tuple[int, ...]


def _by(sizes: Iterable[Int]) -> str:
    return " x ".join(map(str, sizes))


# ------------------------------------------------------------------------------------ type rules


def _check_settings(stride: Amounts, padding: Amounts, dilation: Amounts, groups: int) -> None:
    if min(padding) < 0:
        raise ShapeError("negative padding is not supported")
    if min(stride) < 1:
        raise ShapeError("non-positive stride is not supported")
    if min(dilation) < 1:
        raise ShapeError("non-positive dilation is not supported")
    if groups < 1:
        raise ShapeError("non-positive groups is not supported")


def _output_shape(
    x: Shape, w: Shape, stride: Amounts, padding: Amounts, dilation: Amounts, groups: int
) -> Shape:
    """(N, O, *T) for x (N, C, *S) and w (O, C / groups, *K), or PyTorch's errors."""
    n = len(w) - 2
    if n not in (1, 2, 3) or len(x) != n + 2:
        raise ShapeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to conv{n}d, but got input "
            f"of size: {list(x)}"
        )
    _check_settings(stride, padding, dilation, groups)
    if not len(stride) == len(padding) == len(dilation) == n:
        raise ShapeError(
            f"convolution: stride={stride}, padding={padding} and dilation={dilation} need one "
            f"entry for each of {n} spatial dimensions"
        )
    if isinstance(w[0], int) and w[0] < groups:
        raise ShapeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but "
            f"got weight of size {list(w)} instead"
        )
    if w[0] % groups != 0:
        raise ShapeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size [{list(w)}] instead"
        )
    if x[1] != w[1] * groups:
        raise ShapeError(
            f"Given groups={groups}, weight of size {list(w)}, expected input{list(x)} to have "
            f"{w[1] * groups} channels, but got {x[1]} channels instead"
        )
    padded = tuple(size + 2 * p for size, p in zip(x[2:], padding, strict=True))
    extents = tuple(d * (k - 1) + 1 for k, d in zip(w[2:], dilation, strict=True))
    if any(isinstance(a, int) and isinstance(b, int) and a < b for a, b in zip(padded, extents)):  # noqa: B905
        raise ShapeError(
            f"Calculated padded input size per channel: ({_by(padded)}). Kernel size: "
            f"({_by(extents)}). Kernel size can't be greater than actual input size"
        )
    counts = (
        windows_in(size, k, s, d)  # type: ignore[arg-type]
        for size, k, s, d in zip(padded, w[2:], stride, dilation, strict=True)
    )
    return (x[0], w[0], *counts)


def _check_dtypes(name: str, a: TensorType, b: TensorType) -> None:
    same_device(a, b)
    if a.dtype is not b.dtype:
        raise DtypeError(f"expected scalar type {a.dtype.type_name} but found {b.dtype.type_name}")
    check_kind(name, a, Kind.NUMBER)


def _convolution_type(x: TensorType, w: TensorType, **attrs: Any) -> TensorType:
    shape = _output_shape(x.shape, w.shape, **attrs)
    _check_dtypes("convolution", x, w)
    return x.with_shape(shape)


def _check_cotangent(name: str, g: TensorType, x: Shape, w: Shape, attrs: dict[str, Any]) -> None:
    expected = _output_shape(x, w, **attrs)
    if g.shape != expected:
        raise ShapeError(
            f"{name}: an input of shape {list(x)} and a weight of shape {list(w)} give "
            f"{list(expected)}, but the cotangent has shape {list(g.shape)}"
        )


def _input_grad_type(
    g: TensorType, w: TensorType, *, input_shape: Shape, **attrs: Any
) -> TensorType:
    _check_cotangent("conv_input_grad", g, input_shape, w.shape, attrs)
    _check_dtypes("conv_input_grad", g, w)
    return g.with_shape(input_shape)


def _weight_grad_type(
    g: TensorType, x: TensorType, *, weight_shape: Shape, **attrs: Any
) -> TensorType:
    _check_cotangent("conv_weight_grad", g, x.shape, weight_shape, attrs)
    _check_dtypes("conv_weight_grad", g, x)
    return g.with_shape(weight_shape)


# --------------------------------------------------------------------------------- decomposition


def _letters(n: int) -> tuple[str, str]:
    """Letters of the spatial dims of a result and of a window."""
    return "xyz"[:n], "ijk"[:n]


def _grouped(x: Any, dim: int, groups: int) -> Any:
    """``x`` with one dim split into (groups, rest)."""
    shape = tuple(x.shape)
    rest = shape[dim] // groups
    return row.reshape(x, shape=(*shape[:dim], groups, rest, *shape[dim + 1 :]))


def _padded(x: Any, before: Shape, after: Shape) -> Any:
    if not any(before) and not any(after):
        return x
    return row.pad(x, before=(0, 0, *before), after=(0, 0, *after), value=0)


def _windows(x: Any, sizes: Amounts, stride: Amounts, dilation: Amounts) -> Any:
    dims = tuple(range(2, 2 + len(sizes)))
    return row.window(x, dims=dims, sizes=sizes, strides=stride, dilations=dilation)


def _product(a: Any, b: Any, spec: str, groups: int, split: tuple[int, int], join: int) -> Any:
    """A contraction, group by group: ``split`` dims of both operands, ``join`` of the result."""
    if groups == 1:
        return row.contract(a, b, spec=spec.replace("g", ""))
    result = row.contract(_grouped(a, split[0], groups), _grouped(b, split[1], groups), spec=spec)
    shape = tuple(result.shape)
    return row.reshape(
        result, shape=(*shape[:join], shape[join] * shape[join + 1], *shape[join + 2 :])
    )


def _convolution(
    x: Any, w: Any, *, stride: Amounts, padding: Amounts, dilation: Amounts, groups: int
) -> Any:
    t, k = _letters(len(stride))
    patches = _windows(_padded(x, padding, padding), tuple(w.shape[2:]), stride, dilation)
    return _product(patches, w, f"ngc{t}{k},goc{k}->ngo{t}", groups, (1, 0), 1)


def _input_grad(
    g: Any,
    w: Any,
    *,
    input_shape: Shape,
    stride: Amounts,
    padding: Amounts,
    dilation: Amounts,
    groups: int,
) -> Any:
    """The cotangent with its strides opened up, convolved with the kernel turned around."""
    t, k = _letters(len(stride))
    sizes = tuple(w.shape[2:])
    if any(s != 1 for s in stride):
        g = row.dilate(g, steps=(1, 1, *stride))
    before = tuple(d * (n - 1) - p for n, d, p in zip(sizes, dilation, padding, strict=True))
    after = tuple(
        size + d * (n - 1) - b - have
        for size, n, d, b, have in zip(
            input_shape[2:], sizes, dilation, before, g.shape[2:], strict=True
        )
    )
    patches = _windows(_padded(g, before, after), sizes, (1,) * len(sizes), dilation)
    axes = tuple(d for d in range(2, 2 + len(sizes)) if sizes[d - 2] != 1)
    turned = row.flip(w, dims=axes) if axes else w
    return _product(patches, turned, f"ngo{t}{k},goc{k}->ngc{t}", groups, (1, 0), 1)


def _weight_grad(
    g: Any,
    x: Any,
    *,
    weight_shape: Shape,
    stride: Amounts,
    padding: Amounts,
    dilation: Amounts,
    groups: int,
) -> Any:
    t, k = _letters(len(stride))
    patches = _windows(_padded(x, padding, padding), tuple(weight_shape[2:]), stride, dilation)  # type: ignore[arg-type]
    return _product(g, patches, f"ngo{t},ngc{t}{k}->goc{k}", groups, (1, 1), 0)


# -------------------------------------------------------------------------------------- gradients


def _convolution_vjp(g: Any, _y: Any, x: Any, w: Any, **attrs: Any) -> tuple[Any, Any]:
    return (
        lambda: row.conv_input_grad(g, w, input_shape=tuple(x.shape), **attrs),
        lambda: row.conv_weight_grad(g, x, weight_shape=tuple(w.shape), **attrs),
    )


def _input_grad_vjp(
    h: Any, _y: Any, g: Any, w: Any, *, input_shape: Shape, **attrs: Any
) -> tuple[Any, Any]:
    del input_shape
    return (
        lambda: row.convolution(h, w, **attrs),
        lambda: row.conv_weight_grad(g, h, weight_shape=tuple(w.shape), **attrs),
    )


def _weight_grad_vjp(
    h: Any, _y: Any, g: Any, x: Any, *, weight_shape: Shape, **attrs: Any
) -> tuple[Any, Any]:
    del weight_shape
    return (
        lambda: row.convolution(x, h, **attrs),
        lambda: row.conv_input_grad(g, h, input_shape=tuple(x.shape), **attrs),
    )


# ---------------------------------------------------------------------------------------- samples

_CASES: tuple[tuple[tuple[int, ...], tuple[int, ...], Amounts, Amounts, Amounts, int], ...] = (
    ((2, 3, 6), (4, 3, 3), (1,), (0,), (1,), 1),
    ((2, 4, 7), (6, 2, 2), (2,), (1,), (2,), 2),
    ((1, 2, 5), (2, 2, 1), (1,), (0,), (1,), 1),
    ((2, 2, 5, 6), (3, 2, 3, 2), (1, 1), (0, 0), (1, 1), 1),
    ((2, 2, 5, 6), (3, 2, 3, 2), (2, 3), (1, 0), (1, 1), 1),
    ((1, 2, 6, 7), (2, 2, 2, 3), (1, 2), (2, 1), (3, 2), 1),
    ((2, 4, 4, 4), (4, 1, 3, 3), (1, 1), (1, 1), (1, 1), 4),
    ((2, 3, 3, 3), (2, 3, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 3, 4, 4), (2, 3, 1, 1), (2, 2), (1, 1), (1, 1), 1),
    ((1, 2, 3, 4, 3), (2, 1, 2, 2, 2), (1, 2, 1), (1, 0, 1), (1, 1, 2), 2),
    ((0, 2, 4), (3, 2, 2), (1,), (0,), (1,), 1),
)


def _operands(which: str) -> Iterable[Sample]:
    """Samples of one of the rows: of ``x`` and ``w``, ``g`` and ``w``, or ``g`` and ``x``."""
    for i, (x, w, stride, padding, dilation, groups) in enumerate(_CASES):
        attrs: dict[str, Any] = {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
        }
        shapes = {"x": x, "w": w, "g": _output_shape(x, w, stride, padding, dilation, groups)}
        more: dict[str, Any] = {"gw": {"input_shape": x}, "gx": {"weight_shape": w}}.get(which, {})
        first, second = (shapes[letter] for letter in which)
        for dtype in (np.float64, np.float32, *(sorted(HALVES, key=str) if i == 3 else ())):
            arrays = (
                spread(first, -2, 2, dtype, i),  # type: ignore[arg-type]
                spread(second, -2, 2, dtype, i + 1),  # type: ignore[arg-type]
            )
            yield Sample(arrays, {**attrs, **more})
        if i == 4:
            yield Sample(tuple(a.astype(np.int64) for a in arrays), {**attrs, **more})


def _meetings(
    x: tuple[int, ...],
    w: tuple[int, ...],
    stride: Amounts,
    padding: Amounts,
    dilation: Amounts,
    groups: int,
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Every (place in the result, in the input, in the weight) whose product counts."""
    out: Any = _output_shape(x, w, stride, padding, dilation, groups)
    for at in np.ndindex(*out):
        group = at[1] // (w[0] // groups)
        for c, *k in np.ndindex(*w[1:]):
            place = [
                t * s - p + i * d
                for t, s, p, i, d in zip(at[2:], stride, padding, k, dilation, strict=True)
            ]
            if all(0 <= i < n for i, n in zip(place, x[2:], strict=True)):
                yield at, (at[0], group * w[1] + c, *place), (at[1], c, *k)


def _sums(x: Any, w: Any, g: Any, shape: Any, attrs: dict[str, Any]) -> Array:
    """The row whose operand is given as a shape, element by element."""
    shapes = [a if isinstance(a, tuple) else a.shape for a in (x, w)]
    dtype = next(a.dtype for a in (g, x, w) if not isinstance(a, tuple))
    result: Array = np.zeros(shape, np.int64 if dtype.kind in "iu" else np.float64)
    for at, in_x, in_w in _meetings(shapes[0], shapes[1], **attrs):
        if isinstance(g, tuple):
            result[at] += result.dtype.type(x[in_x]) * result.dtype.type(w[in_w])
        elif isinstance(x, tuple):
            result[in_x] += result.dtype.type(g[at]) * result.dtype.type(w[in_w])
        else:
            result[in_w] += result.dtype.type(g[at]) * result.dtype.type(x[in_x])
    return result.astype(dtype)


CONVOLUTION = composite(
    "convolution",
    _convolution,
    _convolution_vjp,
    infer=_convolution_type,
    numpy=convolved,
    samples=lambda: _operands("xw"),
    reference=lambda x, w, **attrs: _sums(
        x, w, (), _output_shape(x.shape, w.shape, **attrs), attrs
    ),
)
CONV_INPUT_GRAD = composite(
    "conv_input_grad",
    _input_grad,
    _input_grad_vjp,
    infer=_input_grad_type,
    numpy=input_grad,
    samples=lambda: _operands("gw"),
    reference=lambda g, w, *, input_shape, **attrs: _sums(input_shape, w, g, input_shape, attrs),
)
CONV_WEIGHT_GRAD = composite(
    "conv_weight_grad",
    _weight_grad,
    _weight_grad_vjp,
    infer=_weight_grad_type,
    numpy=weight_grad,
    samples=lambda: _operands("gx"),
    reference=lambda g, x, *, weight_shape, **attrs: _sums(x, weight_shape, g, weight_shape, attrs),
)
