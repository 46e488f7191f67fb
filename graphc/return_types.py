"""The named tuples that functions with several results return, under PyTorch's names.

``graphc.return_types.sort`` is the type of what ``graphc.sort`` returns; its fields are read by
name or unpacked by position.
"""

from collections import namedtuple
from typing import Any

_VALUES = ("values", "indices")
_FIELDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("sort", "topk", "kthvalue", "median", "nanmedian", "mode", "max", "min"), _VALUES
    ),
    "cummax": _VALUES,
    "cummin": _VALUES,
    "aminmax": ("min", "max"),
    "frexp": ("mantissa", "exponent"),
    "histogram": ("hist", "bin_edges"),
    "qr": ("Q", "R"),
    "svd": ("U", "S", "V"),
    "slogdet": ("sign", "logabsdet"),
    "geqrf": ("a", "tau"),
    "_lu_with_info": ("LU", "pivots", "info"),
    "triangular_solve": ("solution", "cloned_coefficient"),
    "lu_unpack": ("P", "L", "U"),
    "linalg_cholesky_ex": ("L", "info"),
    "linalg_eigh": ("eigenvalues", "eigenvectors"),
    "linalg_inv_ex": ("inverse", "info"),
    "linalg_lstsq": ("solution", "residuals", "rank", "singular_values"),
    "linalg_lu": ("P", "L", "U"),
    "linalg_lu_factor": ("LU", "pivots"),
    "linalg_lu_factor_ex": ("LU", "pivots", "info"),
    "linalg_qr": ("Q", "R"),
    "linalg_slogdet": ("sign", "logabsdet"),
    "linalg_solve_ex": ("result", "info"),
    "linalg_svd": ("U", "S", "Vh"),
}


_namedtuple: Any = namedtuple  # type checkers know it with literal names only


def _repr(self: Any) -> str:
    fields = ",\n".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
    return f"graphc.return_types.{type(self).__name__}(\n{fields})"


def _type(name: str, fields: tuple[str, ...]) -> Any:
    made = _namedtuple(name, fields, module=__name__)
    made.__repr__ = _repr
    made.__doc__ = f"What ``{name.replace('linalg_', 'linalg.')}`` returns: {', '.join(fields)}."
    return made


def __getattr__(name: str) -> Any:
    """The type of that name, made when it is first asked for: making them all takes a while."""
    if name not in _FIELDS:
        raise AttributeError(f"module 'graphc.return_types' has no attribute {name!r}")
    return globals().setdefault(name, _type(name, _FIELDS[name]))  # one for all threads


def __dir__() -> list[str]:
    return sorted({*globals(), *_FIELDS})
