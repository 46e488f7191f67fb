"""Results of graphc against results of PyTorch: values, dtypes, shapes, containers, views."""

import math
from typing import Any

import numpy as np
import torch

import graphc
from tests.opinfo.convert import DTYPES, NAMES, from_graphc


class Difference(AssertionError):  # noqa: N818 - a finding, not a mistake
    """The two libraries disagree."""


class Inexact(Difference):
    """They agree but for rounding beyond the tolerance."""


def fields(value: tuple[Any, ...]) -> tuple[str, ...] | None:
    """The field names of a named tuple, PyTorch's structure sequences included."""
    if type(value) is tuple:
        return None
    return getattr(value, "_fields", None) or getattr(type(value), "__match_args__", None)


def same(
    ours: Any,
    theirs: Any,
    where: str = "result",
    loose: float = 1.0,
    values: bool = True,
    exact: Any = None,
) -> None:
    """Raises Difference unless two nests agree; ``loose`` widens PyTorch's own tolerances.

    Without ``values`` only the form counts (results that are random). ``exact`` is PyTorch's result
    in float64: where it is given, being as exact as PyTorch is enough.
    """
    if isinstance(theirs, torch.Tensor):
        _same_tensor(ours, theirs, where, loose, values, exact)
    elif isinstance(theirs, torch.Size):
        if tuple(ours) != tuple(theirs):
            raise Difference(f"{where}: size {tuple(ours)} is not {tuple(theirs)}")
    elif isinstance(theirs, (list, tuple)):
        if not isinstance(ours, list if isinstance(theirs, list) else tuple):
            raise Difference(f"{where}: {type(ours).__name__} is not {type(theirs).__name__}")
        if len(ours) != len(theirs):
            raise Difference(f"{where}: {len(ours)} parts, not {len(theirs)}")
        if isinstance(theirs, tuple) and fields(ours) != fields(theirs):
            raise Difference(f"{where}: fields {fields(ours)} are not {fields(theirs)}")
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            same(a, b, f"{where}[{i}]", loose, values, None if exact is None else exact[i])
    elif isinstance(theirs, dict):
        if list(ours) != list(theirs):
            raise Difference(f"{where}: keys {list(ours)} are not {list(theirs)}")
        for key in theirs:
            same(ours[key], theirs[key], f"{where}[{key!r}]", loose, values)
    elif isinstance(theirs, torch.dtype):
        if ours is not getattr(graphc, NAMES[theirs]):
            raise Difference(f"{where}: {ours} is not {theirs}")
    elif isinstance(theirs, float):
        nan = isinstance(ours, float) and math.isnan(ours) and math.isnan(theirs)
        close = isinstance(ours, float) and math.isclose(ours, theirs, rel_tol=1e-5, abs_tol=1e-7)
        if not nan and not close:
            raise Difference(f"{where}: {ours!r} is not {theirs!r}")
    elif type(ours) is not type(theirs) or ours != theirs:
        raise Difference(f"{where}: {ours!r} is not {theirs!r}")


def _same_tensor(
    ours: Any, theirs: torch.Tensor, where: str, loose: float, values: bool, exact: Any
) -> None:
    if not isinstance(ours, graphc.Tensor):
        raise Difference(f"{where}: {type(ours).__name__} is not a tensor")
    if NAMES.get(theirs.dtype) != ours.dtype.name:
        raise Difference(f"{where}: dtype {ours.dtype} is not {theirs.dtype}")
    if tuple(ours.shape) != tuple(theirs.shape):
        raise Difference(f"{where}: shape {tuple(ours.shape)} is not {tuple(theirs.shape)}")
    if values:
        try:
            close(from_graphc(ours), theirs.detach(), where, loose)
        except Inexact:
            if exact is None or not as_exact(from_graphc(ours), theirs.detach(), exact.detach()):
                raise


def as_exact(ours: torch.Tensor, theirs: torch.Tensor, exact: torch.Tensor) -> bool:
    """Whether every element is about as near to the exact result as PyTorch's worst element."""
    if not theirs.dtype.is_floating_point or not exact.dtype.is_floating_point:
        return False
    kept = torch.finfo(theirs.dtype)
    finite = torch.isfinite(exact) & (exact.abs() <= kept.max) & torch.isfinite(theirs)
    if not torch.equal(ours[~finite].isnan(), theirs[~finite].isnan()):
        return False
    if not torch.isfinite(ours[finite]).all():
        return False
    mine, other = ((x.double() - exact.double())[finite].abs() for x in (ours, theirs))
    scale = exact.double()[finite].abs() + kept.tiny
    worst = (other / scale).max() if other.numel() else torch.tensor(0.0)
    allowed = torch.maximum(2 * worst * scale, 2 * other) + 2 * kept.eps * scale
    return bool((mine <= allowed).all())


def close(ours: torch.Tensor, theirs: torch.Tensor, where: str, loose: float = 1.0) -> None:
    """Raises Difference unless the elements are close by ``torch.testing``'s tolerances."""
    if torch.equal(ours, theirs):
        return
    rtol, atol = tolerance(theirs.dtype, loose)
    try:
        torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol, equal_nan=True)
    except AssertionError as error:
        text = " ".join(str(error).split("\n"))
        shown = f"; {_flat(ours)} against {_flat(theirs)}" if theirs.numel() <= 16 else ""
        raise Inexact(f"{where}: {text}{shown}") from None


def _flat(tensor: torch.Tensor) -> Any:
    return tensor.flatten().tolist()


def tolerance(dtype: torch.dtype, loose: float) -> tuple[float, float]:
    """Relative and absolute, as ``torch.testing.assert_close`` has them."""
    known = {
        torch.float16: (1e-3, 1e-5), torch.bfloat16: (1.6e-2, 1e-3),
        torch.float32: (1.3e-6, 1e-5), torch.float64: (1e-7, 1e-7),
    }  # fmt: skip
    rtol, atol = known.get(dtype, (0.0, 0.0))
    return rtol * loose, atol * loose


# ------------------------------------------------------------------------------------------- views


def same_memory(ours: Any, theirs: Any, our_inputs: list[Any], their_inputs: list[Any]) -> None:
    """Results share memory with the same inputs in both libraries, with the same strides."""
    if isinstance(theirs, torch.Tensor):
        if not theirs.numel():
            return
        for i, (mine, other) in enumerate(zip(our_inputs, their_inputs, strict=True)):
            shared = _storage(theirs) == _storage(other)
            if np.shares_memory(ours._array(), mine._array()) != shared:
                if shared:
                    raise Difference(f"result is not a view of input {i}, as in PyTorch")
                raise Difference(f"result shares the memory of input {i}, unlike PyTorch's")
            if shared:
                same_strides(ours, theirs)
    elif isinstance(theirs, (list, tuple)) and not isinstance(theirs, torch.Size):
        for a, b in zip(ours, theirs, strict=True):
            same_memory(a, b, our_inputs, their_inputs)


def same_strides(ours: graphc.Tensor, theirs: torch.Tensor) -> None:
    """Strides agree wherever a dimension has more than one element."""
    if not theirs.numel():
        return
    for n, a, b in zip(theirs.shape, ours.stride(), theirs.stride(), strict=True):
        if n > 1 and a != b:
            raise Difference(f"strides {ours.stride()} are not {theirs.stride()}")


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


__all__ = ["DTYPES", "Difference", "close", "fields", "same", "same_memory", "same_strides"]
