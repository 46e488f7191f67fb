"""Linear algebra under the names of ``torch.linalg``, on stacks of matrices ``[..., m, n]``.

LAPACK computes it, in compiled programs between native calls; LU, triangular systems and least
squares need SciPy. It takes float32 and float64. A matrix that has no such decomposition raises
:class:`LinAlgError`.
"""

from graphc.errors import LinAlgError
from graphc.functions.chains import linalg_vander as vander
from graphc.functions.chains import matrix_power, multi_dot
from graphc.functions.determinants import linalg_det as det
from graphc.functions.determinants import linalg_matrix_exp as matrix_exp
from graphc.functions.determinants import linalg_slogdet as slogdet
from graphc.functions.diagonals import linalg_diagonal as diagonal
from graphc.functions.factorizations import linalg_cholesky as cholesky
from graphc.functions.factorizations import linalg_cholesky_ex as cholesky_ex
from graphc.functions.factorizations import linalg_householder_product as householder_product
from graphc.functions.factorizations import linalg_lu as lu
from graphc.functions.factorizations import linalg_lu_factor as lu_factor
from graphc.functions.factorizations import linalg_lu_factor_ex as lu_factor_ex
from graphc.functions.factorizations import linalg_qr as qr
from graphc.functions.norms import linalg_norm as norm
from graphc.functions.norms import matrix_norm, vector_norm
from graphc.functions.products import linalg_cross as cross
from graphc.functions.products import matmul, vecdot
from graphc.functions.spectra import linalg_cond as cond
from graphc.functions.spectra import linalg_eigh as eigh
from graphc.functions.spectra import linalg_eigvalsh as eigvalsh
from graphc.functions.spectra import linalg_matrix_rank as matrix_rank
from graphc.functions.spectra import linalg_pinv as pinv
from graphc.functions.spectra import linalg_svd as svd
from graphc.functions.spectra import linalg_svdvals as svdvals
from graphc.functions.systems import linalg_inv as inv
from graphc.functions.systems import linalg_inv_ex as inv_ex
from graphc.functions.systems import linalg_lstsq as lstsq
from graphc.functions.systems import linalg_lu_solve as lu_solve
from graphc.functions.systems import linalg_solve as solve
from graphc.functions.systems import linalg_solve_ex as solve_ex
from graphc.functions.systems import linalg_solve_triangular as solve_triangular
from graphc.functions.systems import linalg_tensorinv as tensorinv
from graphc.functions.systems import linalg_tensorsolve as tensorsolve

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]
