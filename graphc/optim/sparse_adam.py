"""SparseAdam, for gradients that graphc does not have: all of its tensors are dense."""

from typing import Any

from graphc.optim.groupwise import GroupwiseOptimizer, check, check_betas
from graphc.tensor import Tensor


class SparseAdam(GroupwiseOptimizer):
    """Adam for sparse gradients. A step with a dense one raises RuntimeError, as in PyTorch."""

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        check(not isinstance(lr, Tensor) or lr.numel() == 1, "Tensor lr must be 1-element")
        check(lr > 0.0, f"Invalid learning rate: {lr}")
        check(eps > 0.0, f"Invalid epsilon value: {eps}")
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    def update(self, group: dict[str, Any]) -> None:
        for _ in self.with_gradients(group):
            raise RuntimeError(
                "SparseAdam does not support dense gradients, please consider Adam instead"
            )
