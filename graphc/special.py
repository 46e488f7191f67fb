"""Special functions under the names of ``torch.special``, element by element.

Integers are computed in the default float dtype. Every function has ``out=`` where PyTorch's has
it, and a gradient where one is known.
"""

from typing import Any

from graphc.errors import unknown_name
from graphc.functions.registry import FUNCTIONS
from graphc.functions.special import SPECIAL

# Names that graphc has outside as well, under these or other names.
_OUTSIDE = {
    "digamma": "digamma", "psi": "digamma", "erf": "erf", "erfc": "erfc", "erfinv": "erfinv",
    "exp2": "exp2", "expit": "sigmoid", "expm1": "expm1", "gammainc": "igamma",
    "gammaincc": "igammac", "gammaln": "lgamma", "i0": "i0", "log1p": "log1p",
    "log_softmax": "log_softmax", "logit": "logit", "logsumexp": "logsumexp",
    "multigammaln": "mvlgamma", "polygamma": "polygamma", "round": "round", "sinc": "sinc",
    "softmax": "softmax", "xlogy": "xlogy",
}  # fmt: skip

globals().update(SPECIAL)
globals().update({name: FUNCTIONS[other] for name, other in _OUTSIDE.items()})

__all__ = sorted({*SPECIAL, *_OUTSIDE})


def __getattr__(name: str) -> Any:
    raise unknown_name("module 'graphc.special'", name, __all__)
