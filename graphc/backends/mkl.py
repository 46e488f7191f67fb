"""Intel's MKL, which graphc does not use by itself (NumPy may)."""


def is_available() -> bool:
    """Whether graphc calls MKL: it does not."""
    return False
