"""Apple's GPUs, which graphc does not use."""


def is_available() -> bool:
    """Whether tensors can live on such a GPU: they cannot."""
    return False


def is_built() -> bool:
    """Whether graphc was built for such GPUs: it was not."""
    return False
