"""The in-place methods that are functions too: ``graphc.exp_(x)`` is ``x.exp_()``."""

from graphc.functions import (
    indexing,
    numeric,
    pointwise,
    products,
    scattering,
    special,
    strided,
    writing,
)
from graphc.functions.registry import FUNCTIONS
from graphc.tensor import Tensor

# Imported for the methods that they attach.
ATTACHED = (indexing, numeric, pointwise, products, scattering, special, strided, writing)

NAMES = """
    abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ as_strided_ asin_
    asinh_ atan_ atanh_ ceil_ clamp_ clamp_max_ clamp_min_ clip_ cos_ cosh_ deg2rad_ erf_ erfc_
    exp2_ exp_ expm1_ fix_ floor_ frac_ gcd_ i0_ index_put_ lcm_ ldexp_ log10_ log1p_ log2_ log_
    logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ round_ rsqrt_ sigmoid_ sin_ sinc_ sinh_
    sqrt_ square_ tan_ tanh_ trunc_ xlogy_
    """.split()

Tensor.clip_ = Tensor.clamp_  # type: ignore[attr-defined]
FUNCTIONS.update({name: getattr(Tensor, name) for name in NAMES})
