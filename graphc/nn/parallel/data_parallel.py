"""``DataParallel``: a batch spread over GPUs. Without GPUs the module is called as it is."""

from collections.abc import Sequence
from typing import Any

from graphc.nn.module import Module


class DataParallel(Module):
    """Splits batches over GPUs; where there are none, everything goes to ``module``.

    Parameters are named ``module.*``, as in state dicts of PyTorch's. As in PyTorch without GPUs,
    ``device_ids``, ``output_device`` and ``dim`` mean nothing.
    """

    module: Module
    device_ids: list[int]

    def __init__(
        self,
        module: Module,
        device_ids: Sequence[Any] | None = None,
        output_device: Any = None,
        dim: int = 0,
    ) -> None:
        super().__init__()
        del device_ids, output_device, dim
        self.module = module
        self.device_ids = []

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Sequence[Any] | None = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """One call of a module over several GPUs. Raises RuntimeError where there are none."""
    del module, inputs, device_ids, output_device, dim, module_kwargs
    raise RuntimeError(
        "device type could not be determined: data_parallel needs GPUs, and graphc runs on CPUs; "
        "call the module itself, or wrap it in DataParallel, which does so"
    )
