"""Rows of linear algebra that LAPACK computes, in a host step of compiled programs."""

from graphc.ops.linalg import (
    determinants,
    exponential,
    factorizations,
    least_squares,
    lu,
    solving,
    spectral,
)

__all__ = [
    "determinants",
    "exponential",
    "factorizations",
    "least_squares",
    "lu",
    "solving",
    "spectral",
]
