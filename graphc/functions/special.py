"""Special functions: gamma, Bessel, error functions and relatives, and of logarithms.

Some are PyTorch's own functions and methods; ``graphc.special`` has them all.
"""

import math
from typing import Any

from graphc import dtypes
from graphc.functions.promotion import cast, pointwise, promoted
from graphc.functions.registry import tensor_function
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

# Name in graphc.special -> row. Integers are computed in the default float dtype.
UNARY = {
    "entr": "entr",
    "erfcx": "erfcx",
    "i0e": "i0e",
    "i1": "i1",
    "i1e": "i1e",
    "ndtr": "ndtr",
    "log_ndtr": "log_ndtr",
    "ndtri": "ndtri",
    "bessel_j0": "bessel_j0",
    "bessel_j1": "bessel_j1",
    "bessel_y0": "bessel_y0",
    "bessel_y1": "bessel_y1",
    "modified_bessel_i0": "i0",
    "modified_bessel_i1": "i1",
    "modified_bessel_k0": "k0",
    "modified_bessel_k1": "k1",
    "scaled_modified_bessel_k0": "k0e",
    "scaled_modified_bessel_k1": "k1e",
}
SPECIAL: dict[str, Any] = {}


def _floating(input: Any, name: str) -> Tensor:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(input).__name__}")
    if input.dtype.is_floating_point:
        return input
    return cast(input, dtypes.get_default_dtype())


def _unary(name: str, row: str) -> Any:
    def function(input: Tensor) -> Tensor:
        return apply(OPS[row], (_floating(input, name),), {})

    function.__name__ = name
    function.__doc__ = f"Elementwise ``{name}`` of a tensor of any shape."
    return function


for _name, _row in UNARY.items():
    SPECIAL[_name] = tensor_function(
        _unary(_name, _row), name=_name, method=False, public=False, out=True
    )

i0 = tensor_function(_unary("i0", "i0"), name="i0", inplace=True, out=True)


def _spherical_bessel_j0(input: Tensor) -> Tensor:
    """``sin(x) / x``, 1 at zero."""
    x = _floating(input, "spherical_bessel_j0")
    return apply(OPS["sinc"], (apply(OPS["mul"], (x, 1 / math.pi), {}),), {})


SPECIAL["spherical_bessel_j0"] = tensor_function(
    _spherical_bessel_j0, name="spherical_bessel_j0", method=False, public=False, out=True
)

# --------------------------------------------------------------------------- of two operands


def _binary(name: str) -> Any:
    def function(input: Any, other: Any) -> Tensor:
        return pointwise(name, input, other, floating=True)

    function.__name__ = name
    function.__doc__ = f"Elementwise ``{name}`` of two tensors, or a tensor and a number."
    return tensor_function(function, method=False, public=False, out=True)


def _without_first(name: str, first: Any, second: Any, what: str) -> Tensor:
    """A row of two operands whose derivative by the first one is refused."""
    a, b = promoted(name, first, second, floating=True)
    if isinstance(a, Tensor) and a.requires_grad:
        a = apply(OPS["undifferentiable"], (a,), {"what": what})
    return apply(OPS[name], (a, b), {})


SPECIAL["xlog1py"] = _binary("xlog1py")


def _zeta(input: Any, other: Any) -> Tensor:
    """The Hurwitz zeta function: the sum of ``(other + n)**-input`` over n >= 0."""
    return _without_first("zeta", input, other, "special_zeta: self")


SPECIAL["zeta"] = tensor_function(_zeta, name="zeta", method=False, public=False, out=True)


def _incomplete(name: str, row: str, text: str) -> Any:
    def function(input: Tensor, other: Tensor) -> Tensor:
        for argument, value in (("input", input), ("other", other)):
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"{name}(): argument '{argument}' must be Tensor, not {type(value).__name__}"
                )
        if not (input.dtype.is_floating_point or other.dtype.is_floating_point):
            raise NotImplementedError(
                f"\"{name}_cpu\" not implemented for '{input.dtype.type_name}'"
            )
        return _without_first(row, input, other, f"{name}: input")

    function.__name__ = name
    function.__doc__ = text
    return tensor_function(function, inplace=True, out=True)


igamma = _incomplete("igamma", "gammainc", "The regularised lower incomplete gamma function P.")
igammac = _incomplete("igammac", "gammaincc", "The regularised upper incomplete gamma function Q.")

# ------------------------------------------------------------------------------- gamma, logarithms


def _order(n: Any) -> int:
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"polygamma(): argument 'n' must be int, not {type(n).__name__}")
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return n


def _polygamma(n: int, input: Tensor) -> Tensor:
    """The ``n``-th derivative of digamma."""
    x = _floating(input, "polygamma")
    if _order(n) == 0:
        return apply(OPS["digamma"], (x,), {})
    return apply(OPS["polygamma"], (x,), {"n": n})


polygamma = tensor_function(_polygamma, name="polygamma", method=False, out=True)


def _polygamma_method(self: Tensor, n: int) -> Tensor:
    """The ``n``-th derivative of digamma."""
    return _polygamma(n, self)


tensor_function(_polygamma_method, name="polygamma", public=False, inplace=True)


@tensor_function(inplace=True, out=True)
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension ``p``."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    x = _floating(input, "mvlgamma")
    total = apply(OPS["lgamma"], (x,), {})
    for j in range(1, p):
        shifted = apply(OPS["sub"], (x, j / 2), {})
        total = apply(OPS["add"], (total, apply(OPS["lgamma"], (shifted,), {})), {})
    return apply(OPS["add"], (total, p * (p - 1) / 4 * math.log(math.pi)), {})


@tensor_function(inplace=True, out=True)
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """``log(x / (1 - x))``, with ``eps`` of ``x`` limited to ``[eps, 1 - eps]``."""
    x = _floating(input, "logit")
    return apply(OPS["logit"], (x,), {"eps": None if eps is None else float(eps)})
