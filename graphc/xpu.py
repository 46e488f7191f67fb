"""Intel's GPUs, which graphc does not use."""


def is_available() -> bool:
    """Whether tensors can live on one: they cannot."""
    return False


def device_count() -> int:
    """How many there are for graphc: none."""
    return 0


def empty_cache() -> None:
    """Gives unused memory back; there is none."""


def manual_seed(seed: int) -> None:
    """Seeds their generator; without one there is nothing to seed."""
    del seed
