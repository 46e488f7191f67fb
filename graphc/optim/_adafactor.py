"""Adafactor: Shazeer and Stern, "Adafactor: adaptive learning rates with sublinear memory", 2018.

The module has PyTorch's name, so that pickles and imports find it.
"""

from typing import Any

from graphc import dtypes
from graphc.functions.creation import zeros
from graphc.optim.groupwise import GroupwiseOptimizer, check
from graphc.optim.numbers import is_set, larger, rate, smaller, value_of
from graphc.tensor import Tensor
from graphc.tracing import suspended


class Adafactor(GroupwiseOptimizer):
    """Adam whose squares of a matrix are kept as their means over rows and over columns.

    Steps are relative to the size of the parameters (at least ``eps[1]``), and updates are clipped
    to a root mean square of ``d``; ``lr`` is the largest relative step.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check(not isinstance(lr, Tensor) or lr.numel() == 1, "Tensor lr must be 1-element")
        check(lr >= 0.0, f"Learning rate should be >= 0 but is: {lr}")
        check(beta2_decay <= 0.0, f"beta2_decay should be <= 0 but is: {beta2_decay}")
        check(eps[0] is None or eps[0] >= 0.0, f"epsilon1 should be >= 0 but is: {eps[0]}")
        check(eps[1] >= 0.0, f"epsilon2 should be >= 0 but is: {eps[1]}")
        check(d >= 1.0, f"Clipping threshold d should be >= 1 but is: {d}")
        check(weight_decay >= 0.0, f"weight_decay should be >= 0 but is: {weight_decay}")
        defaults = {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d,
            "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any]) -> None:
        lr = rate(group["lr"])
        for p, grad in self.with_gradients(group):
            if p.is_complex():
                raise RuntimeError("Adafactor does not support complex parameters")
            state = self._create(p)
            least, smallest = group["eps"]
            if least is None:
                least = dtypes.finfo(p.dtype).eps
            state["step"].add_(1)
            count = value_of(state["step"])
            share = count ** group["beta2_decay"]
            size = larger(value_of(p.norm(2)) / p.numel() ** 0.5, smallest)
            size = size * smaller(1 / count**0.5, lr)
            if is_set(group, "weight_decay"):
                p.mul_(1 - lr * group["weight_decay"])
            square = _means(state, grad, share, least)
            update = square.clamp(min=least * least).rsqrt() * grad
            most = value_of(update.norm(2)) / (update.numel() ** 0.5 * group["d"])
            p.add_(update, alpha=-size / larger(most, 1.0))

    def _create(self, p: Any) -> dict[str, Any]:
        if p.dim() < 2:
            return self.create(p, step=0.0, variance=None)
        state = self.create(p, step=0.0)
        for name, place in (("row_var", -1), ("col_var", -2)):
            if name not in state:
                shape = list(p.shape)
                shape[place] = 1
                with suspended(record=False):
                    start = zeros(shape, dtype=p.dtype)
                self.create(p, **{name: start})
        return state


def _means(state: dict[str, Any], grad: Any, share: Any, least: float) -> Any:
    """The running mean of the squares, of a matrix from the means of its rows and columns."""
    if grad.dim() < 2:
        return state["variance"].lerp_(grad * grad, share)
    squares = grad * grad
    row = state["row_var"].lerp_(squares.mean(-1, keepdim=True), share)
    column = state["col_var"].lerp_(squares.mean(-2, keepdim=True), share)
    return row * column / row.mean(-2, keepdim=True).clamp(min=least)
