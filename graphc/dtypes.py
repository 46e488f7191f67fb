"""Element types, and PyTorch's rules for mixing them.

The ten dtypes are singletons: compare them with ``is``. Promotion follows PyTorch
(https://pytorch.org/docs/stable/tensor_attributes.html): a tensor with dimensions outranks a
zero-dim tensor, which outranks a Python number, unless the lower one is of a higher *kind*
(boolean < integer < floating point).
"""

import builtins
from collections.abc import Iterable
from enum import IntEnum
from functools import cache
from typing import Any, Final, final

import ml_dtypes
import numpy as np


class Kind(IntEnum):
    """What sort of numbers a dtype holds, in the order of promotion."""

    BOOL = 0
    INTEGER = 1
    FLOAT = 2


@final
class dtype:  # noqa: N801 - PyTorch's name
    """One element type.

    name       PyTorch's name, ``float32``
    short      the name in IR text and runtime functions, ``f32``
    numpy      the NumPy dtype of the same memory layout
    c          the C type of an element in memory
    type_name  the word in PyTorch's messages and tensor types, ``Float``
    """

    __slots__ = (
        "c",
        "is_complex",
        "is_floating_point",
        "is_signed",
        "itemsize",
        "kind",
        "name",
        "numpy",
        "short",
        "type_name",
    )

    name: str
    short: str
    numpy: "np.dtype[Any]"
    c: str
    type_name: str
    kind: Kind
    itemsize: builtins.int
    is_floating_point: builtins.bool
    is_signed: builtins.bool
    is_complex: builtins.bool

    def __new__(cls, *_args: object, **_kwargs: object) -> "dtype":
        raise TypeError("cannot create 'graphc.dtype' instances")

    def __setattr__(self, name: str, _value: object) -> None:
        raise AttributeError(f"attribute {name!r} of 'graphc.dtype' objects is not writable")

    def __repr__(self) -> str:
        return f"graphc.{self.name}"

    def __reduce__(self) -> str:
        # A plain string makes pickle, copy and deepcopy look the singleton up again by this name.
        return "bool_" if self.name == "bool" else self.name


def _define(name: str, short: str, numpy: Any, c: str, type_name: str) -> dtype:
    layout = np.dtype(numpy)
    floating = short in ("f16", "bf16", "f32", "f64")
    facts: dict[str, Any] = {
        "name": name,
        "short": short,
        "numpy": layout,
        "c": c,
        "type_name": type_name,
        "kind": Kind.FLOAT if floating else Kind.BOOL if short == "b1" else Kind.INTEGER,
        "itemsize": layout.itemsize,
        "is_floating_point": floating,
        "is_signed": short not in ("u8", "b1"),
        "is_complex": False,
    }
    made = object.__new__(dtype)
    for field, value in facts.items():
        object.__setattr__(made, field, value)
    return made


float32: Final = _define("float32", "f32", np.float32, "float", "Float")
float64: Final = _define("float64", "f64", np.float64, "double", "Double")
float16: Final = _define("float16", "f16", np.float16, "gc_f16", "Half")
bfloat16: Final = _define("bfloat16", "bf16", ml_dtypes.bfloat16, "gc_bf16", "BFloat16")
uint8: Final = _define("uint8", "u8", np.uint8, "uint8_t", "Byte")
int8: Final = _define("int8", "i8", np.int8, "int8_t", "Char")
int16: Final = _define("int16", "i16", np.int16, "int16_t", "Short")
int32: Final = _define("int32", "i32", np.int32, "int32_t", "Int")
int64: Final = _define("int64", "i64", np.int64, "int64_t", "Long")
bool_: Final = _define("bool", "b1", np.bool_, "bool", "Bool")

ALL: Final = (float32, float64, float16, bfloat16, uint8, int8, int16, int32, int64, bool_)

# PyTorch's other names for the same objects. Below this line the built-in types of these names
# are reached through ``builtins``.
float: Final = float32
double: Final = float64
half: Final = float16
short: Final = int16
int: Final = int32
long: Final = int64
bool: Final = bool_

_BY_SHORT: Final = {d.short: d for d in ALL}
_BY_NUMPY: Final = {d.numpy: d for d in ALL}


def from_short(short: str) -> dtype:
    """The dtype of an IR name such as ``f32``. Raises KeyError for any other text."""
    return _BY_SHORT[short]


def from_numpy_dtype(numpy: Any) -> dtype:
    """The dtype of a NumPy dtype, or of what ``np.dtype`` accepts.

    Raises TypeError where there is none, ValueError for foreign byte order.
    """
    found = _BY_NUMPY.get(numpy)
    if found is not None:
        return found
    layout = np.dtype(numpy)
    found = _BY_NUMPY.get(layout)
    if found is not None:
        return found
    if not layout.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion "
            "between byte orders is currently not supported. Use array.astype(array.dtype."
            "newbyteorder('=')) first."
        )
    names = ", ".join(d.name for d in ALL)
    raise TypeError(
        f"can't convert np.ndarray of type numpy.{layout.type.__name__}. "
        f"The only supported types are: {names}."
    )


# --------------------------------------------------------------------------------- default dtype


class _Default:
    """The process-wide default, PyTorch's only dtype setting."""

    dtype: dtype = float32


def get_default_dtype() -> dtype:
    """The dtype of tensors made from Python floats; float32 at first."""
    return _Default.dtype


def set_default_dtype(d: dtype) -> None:
    """Sets the default. Raises TypeError unless ``d`` is a floating-point dtype."""
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(
            f"only floating-point types are supported as the default type, not {d!r}; "
            "choose graphc.float32, float64, float16 or bfloat16"
        )
    _Default.dtype = d


def of_python(value: builtins.bool | builtins.int | builtins.float) -> dtype:
    """The dtype a Python number has by itself: bool, int64, or the default dtype.

    Raises TypeError for anything else.
    """
    if isinstance(value, (builtins.bool, np.bool_)):
        return bool_
    if isinstance(value, (builtins.int, np.integer)):
        return int64
    if isinstance(value, (builtins.float, np.floating)):
        return _Default.dtype
    raise TypeError(f"expected a bool, int or float, got {type(value).__name__}")


# -------------------------------------------------------------------------------------- promotion


class Category(IntEnum):
    """How much an operand has to say about the dtype of a result."""

    NUMBER = 0
    ZERO_DIM = 1
    DIMENSIONED = 2


@cache
def _join(a: dtype, b: dtype) -> dtype:
    if a is b:
        return a
    if a.kind is not b.kind:
        return a if a.kind > b.kind else b
    if a.kind is Kind.FLOAT and a.itemsize == b.itemsize:
        return float32  # float16 and bfloat16: neither holds the other
    small, large = sorted((a, b), key=lambda d: d.itemsize)
    if a.kind is Kind.INTEGER and small.itemsize == large.itemsize:
        return int16  # uint8 and int8 likewise
    return large


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype of sufficient kind and size for both. Raises TypeError for non-dtypes."""
    _need_dtype("promote_types", type1=type1, type2=type2)
    return _join(type1, type2)


def promote_operands(operands: Iterable[tuple[dtype, Category]]) -> dtype:
    """The dtype in which operands of these dtypes and categories meet.

    A category changes the result of a higher one only by its kind: an int32 tensor plus a float64
    zero-dim tensor is float64, but a float32 tensor plus the same stays float32.
    Raises ValueError when there are no operands.
    """
    best: list[dtype | None] = [None, None, None]
    for d, category in operands:
        known = best[category]
        best[category] = d if known is None else _join(known, d)
    result: dtype | None = None
    for candidate in best:  # from the lowest category up
        if result is None:
            result = candidate
        elif candidate is not None:
            result = _outrank(candidate, result)
    if result is None:
        raise ValueError("no operands to promote")
    return result


def _outrank(higher: dtype, lower: dtype) -> dtype:
    """``higher`` stands unless the lower category brings a higher kind."""
    return lower if lower.kind > higher.kind else higher


def categorise(operand: Any) -> tuple[dtype, Category]:
    """Dtype and category of a Python number, or of anything with ``dtype`` and ``ndim``.

    Raises TypeError for anything else.
    """
    found = getattr(operand, "dtype", None)
    if isinstance(found, dtype):
        return found, Category.DIMENSIONED if operand.ndim else Category.ZERO_DIM
    return of_python(operand), Category.NUMBER


def result_type(tensor1: Any, tensor2: Any) -> dtype:
    """The dtype of arithmetic between two tensors or Python numbers.

    Raises TypeError when an operand is neither.
    """
    return promote_operands((categorise(tensor1), categorise(tensor2)))


def can_cast(from_: dtype, to: dtype) -> builtins.bool:
    """Whether a result of one dtype may be written to a tensor of the other: never to a lower kind.

    Raises TypeError for non-dtypes.
    """
    _need_dtype("can_cast", from_=from_, to=to)
    return from_.kind <= to.kind


def _need_dtype(function: str, **arguments: object) -> None:
    for position, (name, value) in enumerate(arguments.items(), 1):
        if not isinstance(value, dtype):
            raise TypeError(
                f"{function}(): argument '{name}' (position {position}) must be graphc.dtype, "
                f"not {type(value).__name__}"
            )


# ----------------------------------------------------------------------------------------- limits


class _Limits:
    """A read-only record that compares by its dtype."""

    __slots__ = ("_of",)
    _of: dtype

    @property
    def dtype(self) -> str:
        """The dtype's name."""
        return self._of.name

    @property
    def bits(self) -> builtins.int:
        """Size of an element in bits."""
        return 8 * self._of.itemsize

    def __eq__(self, other: object) -> builtins.bool:
        return type(other) is type(self) and self._of is other._of

    def __hash__(self) -> builtins.int:
        return hash((type(self), self._of))


# Bits of the stored fraction, and the largest exponent, of the IEEE 754 formats and bfloat16.
_FORMATS: Final = {float16: (10, 15), bfloat16: (7, 127), float32: (23, 127), float64: (52, 1023)}


class finfo(_Limits):  # noqa: N801 - PyTorch's name
    """Limits of a floating-point dtype (the default dtype when none is given).

    Raises TypeError for any other dtype.
    """

    __slots__ = ()

    def __init__(self, type: dtype | None = None) -> None:
        of = _Default.dtype if type is None else type
        _need_dtype("finfo", type=of)
        if not of.is_floating_point:
            raise TypeError(
                f"finfo() requires a floating point dtype, not {of!r}. Use graphc.iinfo instead."
            )
        self._of = of

    @property
    def eps(self) -> builtins.float:
        """The smallest number with ``1 + eps != 1``, to the next representable number."""
        return 2.0 ** -_FORMATS[self._of][0]

    @property
    def max(self) -> builtins.float:
        """The largest finite number."""
        fraction, exponent = _FORMATS[self._of]
        return (2.0 - 2.0**-fraction) * 2.0**exponent

    @property
    def min(self) -> builtins.float:
        """The most negative finite number."""
        return -self.max

    @property
    def smallest_normal(self) -> builtins.float:
        """The smallest positive number of full precision."""
        return 2.0 ** (1 - _FORMATS[self._of][1])

    @property
    def tiny(self) -> builtins.float:
        """The same as ``smallest_normal``."""
        return self.smallest_normal

    @property
    def resolution(self) -> builtins.float:
        """Ten to the minus number of decimal digits that always survive."""
        digits = builtins.int(_FORMATS[self._of][0] * 0.30102999566398120)
        return builtins.float(f"1e-{digits}")

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        facts = ", ".join(f"{n}={getattr(self, n):g}" for n in names)
        return f"finfo({facts}, dtype={self.dtype})"


class iinfo(_Limits):  # noqa: N801 - PyTorch's name
    """Limits of an integer dtype. Raises TypeError for any other dtype."""

    __slots__ = ()

    def __init__(self, type: dtype) -> None:
        _need_dtype("iinfo", type=type)
        if type.is_floating_point:
            raise TypeError(f"iinfo() requires an integer dtype, not {type!r}. Use graphc.finfo.")
        if type is bool_:
            raise TypeError("graphc.bool is not supported by graphc.iinfo")
        self._of = type

    @property
    def min(self) -> builtins.int:
        """The smallest number."""
        return -(1 << (self.bits - 1)) if self._of.is_signed else 0

    @property
    def max(self) -> builtins.int:
        """The largest number."""
        return (1 << (self.bits - 1 if self._of.is_signed else self.bits)) - 1

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"
