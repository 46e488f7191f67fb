"""PyTorch's settings of ``opt_einsum``; graphc looks for the best order of an einsum by itself."""

enabled = False
strategy: str | None = None


def is_available() -> bool:
    """Whether the library is asked: it is not."""
    return False
