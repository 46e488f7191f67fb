"""Source text to a loaded program, one package for each target; and PyTorch's settings of others.

``backends.c`` is loaded by the first compilation. ``cudnn``, ``cuda.matmul`` and so on hold the
settings that PyTorch programs make.
"""

from graphc.backends import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp, opt_einsum

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum"]
