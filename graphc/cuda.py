"""GPUs, as far as there are any: today graphc runs on CPUs, and these functions say so."""


def is_available() -> bool:
    """Whether tensors can live on a GPU: not yet."""
    return False


def device_count() -> int:
    """The number of GPUs that graphc can use."""
    return 0


def manual_seed(seed: int) -> None:
    """Seeds the GPU's generator; without one there is nothing to seed."""
    del seed


def manual_seed_all(seed: int) -> None:
    """Seeds every GPU's generator; without one there is nothing to seed."""
    del seed
