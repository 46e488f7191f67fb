"""The place where PyTorch keeps the sampler of one process among several."""

from graphc.utils.data.sampler import DistributedSampler

__all__ = ["DistributedSampler"]
