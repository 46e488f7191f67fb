"""OpenMP: compiled programs have threads of their own instead."""


def is_available() -> bool:
    """Whether graphc's threads are OpenMP's: they are not."""
    return False
