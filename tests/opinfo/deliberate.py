"""Where graphc deliberately differs from PyTorch 2.13: the whole list.

An entry whose samples agree by now fails the full run, so nothing stays here without need.
"""

import re
from typing import NamedTuple


class Entry(NamedTuple):
    """Samples of one name: ``sample`` is searched in the printed sample, ``dtype`` as a regex."""

    name: str
    modes: str
    dtype: str
    sample: str
    reason: str

    def covers(self, dtype: str, sample: str) -> bool:
        return bool(re.fullmatch(self.dtype, dtype) and re.search(self.sample, sample))


ENTRIES: tuple[Entry, ...] = (
    Entry(
        "Tensor.__setitem__",
        "eager",
        "",
        "one_of_expanded",
        "writing one element of an expanded tensor, which writes all of them, is refused",
    ),
    Entry(
        "mode",
        "eager forms compiled gradient compiled_gradient",
        "int64|uint8|bool|bfloat16|float16",
        r"\[3000\]",
        "the index is that of the last of equal elements, as PyTorch's is in short rows; in long "
        "ones PyTorch's sort leaves it to chance",
    ),
    Entry(
        "logcumsumexp",
        "second",
        "float64",
        r"\[5, 5, 5\]",
        "PyTorch's gradient takes the logarithm of the cotangent, so that its own gradient is NaN "
        "where the cotangent is 0",
    ),
    *(
        Entry(
            name,
            "eager compiled",
            "int8|int16",
            r"\(i(8|16)\[.*, 1\)",
            "the first derivative of digamma is infinite at its poles; PyTorch's is a large number",
        )
        for name in ("polygamma", "special.polygamma")
    ),
    Entry(
        "linalg.norm",
        "second",
        "float64",
        r"subgradients_at_zero|f64\[0\] = \[\], 3\.5",
        "the subgradient of a norm at zero is the constant 0; that of PyTorch has NaN as its own "
        "gradient",
    ),
    *(
        Entry(
            name,
            "gradient compiled_gradient second",
            "float64|float32",
            r"5, 5\]",
            "the gradient is 0 in the triangle of the factor that is not read; PyTorch's is not",
        )
        for name in ("cholesky_solve", "cholesky_inverse")
    ),
    *(
        Entry(
            name,
            "second",
            "float64",
            r"f64\[0\] = \[\]",
            "without reflections the first gradient is zeros that depend on the cotangent; "
            "PyTorch's depend on nothing",
        )
        for name in ("linalg.householder_product", "orgqr")
    ),
    Entry(
        "matrix_exp",
        "eager compiled gradient compiled_gradient",
        "bfloat16|float16",
        "",
        "16 bits are computed in 64; PyTorch's own arithmetic overflows to infinities and NaN",
    ),
    Entry(
        "nn.functional.scaled_dot_product_attention",
        "eager compiled gradient compiled_gradient second",
        ".*",
        "dropout_p=0.5",
        "other weights are drawn; tests/nn/test_attention.py looks at how many",
    ),
    Entry(
        "nn.functional.scaled_dot_product_attention",
        "second",
        "float64",
        r"\[4, 4, 3, 8\].*dropout_p=0.0",
        "PyTorch's kernel for four dimensions has no second gradient",
    ),
    Entry(
        "as_strided_scatter",
        "gradient compiled_gradient second",
        ".*",
        "",
        "PyTorch's gradient is that of the places written to, and 0 at the others: the reverse",
    ),
    Entry(
        "nn.functional.linear_cross_entropy",
        "second",
        "float64",
        "options=Linear",
        "PyTorch's options that save memory take the second gradient away: it is 0, or an error",
    ),
    Entry(
        "nn.functional.linear_cross_entropy",
        "eager compiled gradient compiled_gradient",
        "bfloat16|float16",
        "",
        "logits are rounded to 16 bits once; PyTorch's options keep some of them in 32, and its "
        "gradient rounds in other places",
    ),
    Entry(
        "narrow_copy",
        "forms",
        "int64|bool",
        r", (1|2|-1), ",
        "PyTorch copies bytes into out= as if it were contiguous",
    ),
    Entry(
        "nn.functional.grid_sample",
        "gradient compiled_gradient",
        "bfloat16",
        r"bicubic.*(zeros|reflection).*align_corners=True",
        "16 bits are computed in 32; PyTorch rounds the places between the elements to 8 bits, "
        "which takes some over an edge where the gradient jumps",
    ),
)

# Of all names: errors that only PyTorch has cause for, by a part of their text.
NEEDLESS = (
    # graphc casts into ``out=`` wherever that loses nothing, some of PyTorch's operations do not.
    "Expected out tensor to have dtype",
    # graphc knows the whole result before it writes, so an input may lie in the same memory.
    "some elements of the input tensor and the written-to tensor refer to a single memory location",
)


def entries_of(name: str, mode: str) -> list[Entry]:
    """The entries about one name in one mode."""
    return [e for e in ENTRIES if e.name == name and mode in e.modes.split()]
