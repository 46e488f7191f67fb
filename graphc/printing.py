"""A tensor as text, to the character as PyTorch prints it.

Elements of one tensor share a format: floats that are all whole numbers print as ``3.``, others
with four decimals, or in scientific notation where the magnitudes are far apart. Tensors of more
than 1000 elements show the first and last three of each dimension.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from graphc.dtypes import bool_, get_default_dtype, int64
from graphc.dtypes import dtype as DType

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class PrintOptions:
    """How tensors print: see :func:`set_printoptions`."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}


class _Current:
    """The options of this process."""

    options = PrintOptions()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Sets how tensors print; what is None stays, except ``sci_mode``, which becomes automatic.

    precision  decimals of a float (4)
    threshold  more elements than this are summarised (1000)
    edgeitems  how many stay at each end of a dimension then (3)
    linewidth  characters in a line (80)
    profile    ``default``, ``short`` or ``full``, before the others are applied
    sci_mode   always or never in scientific notation

    Raises ValueError for an unknown profile.
    """
    start = _Current.options
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"profile {profile!r} is none of {', '.join(_PROFILES)}")
        start = _PROFILES[profile]
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    known: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    _Current.options = replace(start, **known, sci_mode=sci_mode)


def get_printoptions() -> dict[str, Any]:
    """The options as keyword arguments of :func:`set_printoptions`."""
    return asdict(_Current.options)


@contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """Other options inside of a ``with``; the arguments are those of :func:`set_printoptions`."""
    before = _Current.options
    set_printoptions(**options)
    try:
        yield
    finally:
        _Current.options = before


def format_tensor(
    array: Array | None,
    dtype: DType,
    *,
    prefix: str = "tensor(",
    device: str = "cpu",
    requires_grad: bool = False,
    grad_fn: str | None = None,
    shape: Sequence[object] | None = None,
) -> str:
    """The text of ``repr(tensor)``.

    array          the elements, of ``dtype.numpy``; None where only ``shape`` is known
    prefix         what opens the text, with its parenthesis: a subclass or parameter has its own
    device         shown unless it is the CPU
    grad_fn        the name of the operation on the tape (``AddBackward0``), shown in brackets
    requires_grad  shown where there is no ``grad_fn``
    """
    options = _Current.options
    suffixes = []
    if device.partition(":")[0] != "cpu":
        suffixes.append(f"device='{device}'")
    implied: tuple[DType, ...] = (get_default_dtype(), int64, bool_)
    if array is None:
        body = "..."
        suffixes.append(f"size={_shape_text(() if shape is None else shape)}")
        implied = (get_default_dtype(),)
    elif array.size == 0:
        body = "[]"
        if array.ndim != 1:
            suffixes.append(f"size={_shape_text(array.shape)}")
        implied = (get_default_dtype(),)  # there are no elements that would show it
    else:
        body = _Elements(array, dtype, options).text(len(prefix))
        if not options.edgeitems:
            suffixes.append(f"size={_shape_text(array.shape)}")
    if all(dtype is not d for d in implied):
        suffixes.append(f"dtype={dtype}")
    if grad_fn is not None:
        suffixes.append(f"grad_fn=<{grad_fn}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    return _with_suffixes(prefix + body, suffixes, len(prefix), options.linewidth)


def _shape_text(shape: Sequence[object]) -> str:
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


def _with_suffixes(text: str, suffixes: Sequence[str], indent: int, linewidth: int) -> str:
    """Appends the suffixes, each on the same line if it fits there, and the closing parenthesis."""
    column = len(text) - (text.rfind("\n") + 1) + 2
    for suffix in suffixes:
        # Lines break where PyTorch breaks them, whose module name is one letter shorter.
        width = len(suffix.replace("graphc.", "torch."))
        if column + width + 2 > linewidth:
            text += f",\n{' ' * indent}{suffix}"
            column = indent + width
        else:
            text += f", {suffix}"
            column += width + 2
    return text + ")"


class _Elements:
    """The elements that are shown, and the format they share."""

    def __init__(self, array: Array, dtype: DType, options: PrintOptions) -> None:
        self.options = options
        summarised = array.size > options.threshold
        self.cut = tuple(summarised and size > 2 * options.edgeitems for size in array.shape)
        shown = _edges(array, self.cut, options.edgeitems)
        self.values = shown.astype(np.float64) if dtype.is_floating_point else shown
        self.form = "{}"
        self.whole = False
        if dtype.is_floating_point:
            self._choose_float_form()
            known = self.values[np.isfinite(self.values) & (self.values != 0)]
            self.width = max((len(self._text(v)) for v in known.tolist()), default=1)
        else:
            self.width = max((len(str(v)) for v in self.values.reshape(-1).tolist()), default=1)

    def _choose_float_form(self) -> None:
        precision = self.options.precision
        magnitudes = np.abs(self.values[np.isfinite(self.values) & (self.values != 0)])
        scientific = False
        self.whole = bool(np.all(magnitudes == np.ceil(magnitudes)))
        if magnitudes.size:
            low, high = magnitudes.min(), magnitudes.max()
            with np.errstate(over="ignore"):
                automatic = bool(high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4)
            scientific = automatic if self.options.sci_mode is None else self.options.sci_mode
        if scientific:
            self.form, self.whole = f"{{:.{precision}e}}", False
        else:
            self.form = "{:.0f}" if self.whole else f"{{:.{precision}f}}"

    def _text(self, value: Any) -> str:
        text = self.form.format(value)
        return f"{text}." if self.whole and math.isfinite(value) else text

    def text(self, indent: int) -> str:
        """All elements in nested brackets; ``indent`` is the column where they begin."""
        return self._nested(self.values.tolist(), 0, indent)

    def _nested(self, values: Any, dim: int, indent: int) -> str:
        below = len(self.cut) - dim
        if below == 0:
            return self._text(values).rjust(self.width)
        if below == 1:
            return self._row([self._text(v).rjust(self.width) for v in values], indent)
        parts = [self._nested(v, dim + 1, indent + 1) for v in values]
        if self.cut[dim]:
            parts.insert(self.options.edgeitems, "...")
        return f"[{_lines(parts, below - 1, indent)}]"

    def _row(self, texts: list[str], indent: int) -> str:
        if self.cut[-1]:
            texts.insert(self.options.edgeitems, " ..." if self.options.edgeitems else "...")
        count = max(1, (self.options.linewidth - indent) // (self.width + 2))
        lines = [", ".join(texts[i : i + count]) for i in range(0, len(texts), count)]
        return f"[{_lines(lines, 1, indent)}]"


def _lines(parts: Sequence[str], newlines: int, indent: int) -> str:
    """Joins with line breaks, each following line indented below the opening bracket."""
    return ("," + "\n" * newlines + " " * (indent + 1)).join(parts)


def _edges(array: Array, cut: Sequence[bool], edge: int) -> Array:
    """The first and last ``edge`` elements along every dimension that is cut."""
    for dim, shortened in enumerate(cut):
        if shortened:
            size = array.shape[dim]
            array = array.take([*range(edge), *range(size - edge, size)], axis=dim)
    return array
