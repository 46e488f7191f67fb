"""``DistributedDataParallel``, which graphc does not have: it says so when it is made."""

from typing import Any

from graphc.nn.module import Module


class DistributedDataParallel(Module):
    """One model in several processes. Making one raises RuntimeError."""

    def __init__(self, module: Module, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        del module, args, kwargs
        raise RuntimeError(
            "DistributedDataParallel needs process groups (torch.distributed), which graphc does "
            "not have: it trains in one process, whose threads share the work. Use the module "
            "itself; nn.DataParallel gives its parameters the same names (module.*)"
        )
