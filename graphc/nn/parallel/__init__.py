"""Modules on several devices, as far as there are several: today there is one, the CPU."""

from graphc.nn.parallel.data_parallel import DataParallel, data_parallel
from graphc.nn.parallel.distributed import DistributedDataParallel

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel"]
