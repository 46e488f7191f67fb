"""Softmax over very many classes, of which few are frequent."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from graphc.functions.joining import cat
from graphc.functions.promotion import cast
from graphc.modes import MODES
from graphc.nn import functional as F
from graphc.nn.module import Module
from graphc.nn.modules.container import ModuleList, Sequential
from graphc.nn.modules.linear import Linear
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


class _ASMoutput(NamedTuple):
    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities of targets and their mean loss (Grave et al., 2017).

    Classes come in the order of their frequency. The head decides among the first ``cutoffs[0]``
    classes and the clusters of the others; each cluster has a projection of its own, smaller by
    ``div_value`` than the one before. ``forward(input, target)`` takes (N, in_features) and (N,),
    or one example without N, and gives ``(output, loss)``. A compiled function computes every
    cluster for all examples, because which ones need it would change its shapes with each batch.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        given = list(cutoffs)
        if not given:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        ordered = all(a < b for a, b in pairwise(given)) and all(int(c) == c for c in given)
        if not ordered or given[0] <= 0 or given[-1] > n_classes - 1:
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing "
                "order, where each value is between 1 and n_classes-1"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*given, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        kind = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **kind)
        self.tail = ModuleList()
        for i, (start, stop) in enumerate(pairwise(self.cutoffs)):
            width = int(in_features // div_value ** (i + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, width, bias=False, **kind),
                    Linear(width, stop - start, bias=False, **kind),
                )
            )

    def reset_parameters(self) -> None:
        self.head.reset_parameters()
        for cluster in self.tail:
            for layer in cluster:  # type: ignore[attr-defined]
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> _ASMoutput:
        _check(input_, target_)
        single = target_.ndim == 0
        input: Any = input_.unsqueeze(0) if single else input_  # type: ignore[attr-defined]
        target: Any = target_.unsqueeze(0) if single else target_  # type: ignore[attr-defined]
        if MODES.trace is None:
            outside = (target < 0) | (target >= self.n_classes)
            if bool(outside.any()):
                raise RuntimeError(
                    f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                    f"[{target.min().item()}, {target.max().item()}] were found. "
                )
        head: Any = F.log_softmax(self.head(input), 1)
        place = target
        for i, start in enumerate(self.cutoffs[:-1]):
            place = _where(target >= start, self.shortlist_size + i, place)
        output = head.gather(1, place.unsqueeze(1)).squeeze(1)
        for i, (start, stop) in enumerate(pairwise(self.cutoffs)):
            inside = (target >= start) & (target < stop)
            output = output + self._within(i, input, target - start, inside)
        loss = (-output).mean()
        return _ASMoutput(output.squeeze(0) if single else output, loss)

    def _within(self, i: int, input: Any, target: Any, inside: Any) -> Any:
        """What cluster ``i`` adds to the log-probabilities of its targets; 0 elsewhere."""
        if MODES.trace is not None:
            logs: Any = F.log_softmax(self.tail[i](input), 1)
            own = logs.gather(1, _where(inside, target, 0).unsqueeze(1)).squeeze(1)
            return _where(inside, own, 0)
        rows = inside.nonzero().squeeze(1)
        if not rows.numel():
            return 0
        logs = F.log_softmax(self.tail[i](input.index_select(0, rows)), 1)
        own = logs.gather(1, target.index_select(0, rows).unsqueeze(1)).squeeze(1)
        return own.new_zeros(input.shape[0]).index_copy(0, rows, own)

    def _all(self, input: Any, head: Any) -> Any:
        """(N, n_classes) log-probabilities from what the head said."""
        logs: Any = F.log_softmax(head, 1)
        parts = [logs[:, : self.shortlist_size]]
        for i, cluster in enumerate(self.tail):
            within: Any = F.log_softmax(cluster(input), 1)
            parts.append(within + logs[:, self.shortlist_size + i].unsqueeze(1))
        return cat(parts, 1)

    def log_prob(self, input: Tensor) -> Tensor:
        """(N, n_classes) log-probabilities."""
        return self._all(input, self.head(input))  # type: ignore[no-any-return]

    def predict(self, input: Tensor) -> Tensor:
        """(N,) classes: those of the head where it is sure of one, else the likeliest of all."""
        head: Any = self.head(input)
        best = head.argmax(1)
        rare = best >= self.shortlist_size
        if MODES.trace is None and not bool(rare.any()):
            return best  # type: ignore[no-any-return]
        return _where(rare, self._all(input, head).argmax(1), best)  # type: ignore[no-any-return]


def _where(condition: Any, x: Any, y: Any) -> Any:
    like = x if isinstance(x, Tensor) else y
    operands = [cast(v, like.dtype) if isinstance(v, Tensor) else v for v in (x, y)]
    return apply(OPS["where"], (condition, *operands), {})


def _check(input: Tensor, target: Tensor) -> None:
    if target.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if target.ndim == 1 and input.shape[:1] != target.shape:
        raise RuntimeError("Input and target should have the same size in the batch dimension.")
    if input.ndim != target.ndim + 1:
        raise RuntimeError(
            f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found "
            f"inputs with size {input.shape}"
        )
