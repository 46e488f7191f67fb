"""Losses as modules.

The arguments of a loss are those of its function that are no operands, in PyTorch's order, and are
written there once: ``nn.SmoothL1Loss(size_average, reduce, reduction, beta)`` follows from
``F.smooth_l1_loss(input, target, size_average, reduce, reduction, beta)``.
"""

import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

from graphc.nn import functional as F
from graphc.nn.functional.loss import chosen
from graphc.nn.module import Module
from graphc.nn.modules.distance import PairwiseDistance
from graphc.nn.modules.linear import Linear
from graphc.tensor import Tensor

_TENSORS = ("weight", "pos_weight")  # arguments that become buffers
_LEGACY = ("size_average", "reduce")


class _Loss(Module):
    """A loss with a reduction; a subclass with a ``function`` gets its constructor from that.

    function  of ``operands`` tensors and then the arguments of the loss
    keywords  the arguments can be given by name only
    lacks     arguments of the function that the loss does not have
    """

    function: ClassVar[Callable[..., Any] | None] = None
    operands: ClassVar[int] = 2
    keywords: ClassVar[bool] = False
    lacks: ClassVar[tuple[str, ...]] = ()
    arguments: ClassVar[inspect.Signature] = inspect.Signature(
        [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
            for name, default in (("size_average", None), ("reduce", None), ("reduction", "mean"))
        ]
    )
    reduction: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "function" in vars(cls):
            assert cls.function is not None
            given = list(inspect.signature(cls.function).parameters.values())[cls.operands :]
            kept = [p for p in given if p.name not in cls.lacks]
            if cls.keywords:
                kept = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in kept]
            cls.arguments = inspect.Signature(kept)
        own = inspect.signature(cls.__init__)
        passing = any(p.kind is p.VAR_POSITIONAL for p in own.parameters.values())
        shown = cls.arguments if passing else own.replace(parameters=[*own.parameters.values()][1:])
        cls.__signature__ = shown  # type: ignore[attr-defined]  # what help() shows

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        try:
            bound = self.arguments.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}.__init__() {error}") from None
        bound.apply_defaults()
        settings = bound.arguments
        legacy = [settings.pop(name, None) for name in _LEGACY]
        if legacy != [None, None]:
            settings["reduction"] = chosen(legacy[0], legacy[1], "mean")
        for name, value in settings.items():
            if name in _TENSORS:
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, *operands: Tensor) -> Tensor:
        assert self.function is not None
        names = [name for name in self.arguments.parameters if name not in _LEGACY]
        return self.function(*operands, **{name: getattr(self, name) for name in names})


class _WeightedLoss(_Loss):
    """A loss with a weight for each class."""

    arguments = inspect.Signature(
        [
            inspect.Parameter("weight", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None),
            *_Loss.arguments.parameters.values(),
        ]
    )
    weight: Tensor | None


class L1Loss(_Loss):
    """``|input - target|``."""

    function = staticmethod(F.l1_loss)
    lacks = ("weight",)


class MSELoss(_Loss):
    """``(input - target) ** 2``."""

    function = staticmethod(F.mse_loss)
    lacks = ("weight",)


class SmoothL1Loss(_Loss):
    """Quadratic below ``beta``, linear above."""

    function = staticmethod(F.smooth_l1_loss)


class HuberLoss(_Loss):
    """Quadratic below ``delta``, linear above."""

    function = staticmethod(F.huber_loss)
    lacks = ("weight",)
    delta: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self.delta, (float, int)):
            raise TypeError(f"delta must be a float or int, got: {type(self.delta)}")


class NLLLoss(_WeightedLoss):
    """``-input[target]`` of log-probabilities."""

    function = staticmethod(F.nll_loss)


class NLLLoss2d(NLLLoss):
    """The old name of :class:`NLLLoss`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            "`NLLLoss2d` has been deprecated. Please use `NLLLoss` instead as a drop-in "
            "replacement.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__(*args, **kwargs)


class CrossEntropyLoss(_WeightedLoss):
    """Cross-entropy of logits against classes or class probabilities."""

    function = staticmethod(F.cross_entropy)


class BCELoss(_WeightedLoss):
    """Binary cross-entropy of probabilities."""

    function = staticmethod(F.binary_cross_entropy)


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of logits."""

    function = staticmethod(F.binary_cross_entropy_with_logits)


class KLDivLoss(_Loss):
    """``target * (log(target) - input)``."""

    function = staticmethod(F.kl_div)


class PoissonNLLLoss(_Loss):
    """The negative log-likelihood of counts."""

    function = staticmethod(F.poisson_nll_loss)


class GaussianNLLLoss(_Loss):
    """The negative log-likelihood of normal numbers: ``loss(input, target, var)``."""

    function = staticmethod(F.gaussian_nll_loss)
    operands = 3
    keywords = True


class CosineEmbeddingLoss(_Loss):
    """``1 - cos`` of like pairs, ``max(0, cos - margin)`` of unlike ones."""

    function = staticmethod(F.cosine_embedding_loss)
    operands = 3


class MarginRankingLoss(_Loss):
    """``max(0, -target * (input1 - input2) + margin)``."""

    function = staticmethod(F.margin_ranking_loss)
    operands = 3


class HingeEmbeddingLoss(_Loss):
    """``input`` where the target is 1, ``max(0, margin - input)`` where it is -1."""

    function = staticmethod(F.hinge_embedding_loss)


class SoftMarginLoss(_Loss):
    """``log(1 + exp(-target * input))``."""

    function = staticmethod(F.soft_margin_loss)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """Binary cross-entropy of logits, averaged over classes."""

    function = staticmethod(F.multilabel_soft_margin_loss)


class MultiLabelMarginLoss(_Loss):
    """``max(0, 1 - input[y] + input[i])`` over labels ``y`` and the other classes ``i``."""

    function = staticmethod(F.multilabel_margin_loss)


class MultiMarginLoss(_WeightedLoss):
    """``max(0, margin - input[target] + input[i]) ** p`` over the other classes."""

    function = staticmethod(F.multi_margin_loss)
    p: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.p not in (1, 2):
            raise ValueError("only p == 1 and p == 2 supported")
        if self.weight is not None and self.weight.ndim != 1:
            raise ValueError(
                "MultiMarginLoss: expected weight to be None or 1D tensor, got "
                f"{self.weight.ndim}D instead"
            )


class _TripletLoss(_Loss):
    operands = 3
    margin: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.margin <= 0:
            raise ValueError(
                f"{type(self).__name__}: expected margin to be greater than 0, got {self.margin} "
                "instead"
            )


class TripletMarginLoss(_TripletLoss):
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)``."""

    function = staticmethod(F.triplet_margin_loss)


class TripletMarginWithDistanceLoss(_TripletLoss):
    """:class:`TripletMarginLoss` with a distance of one's own, which may be a module."""

    function = staticmethod(F.triplet_margin_with_distance_loss)
    distance_function: Callable[[Tensor, Tensor], Tensor]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.distance_function is None:
            self.distance_function = PairwiseDistance()


class CTCLoss(_Loss):
    """The negative log-likelihood of labels without a known alignment.

    ``loss(log_probs, targets, input_lengths, target_lengths)``.
    """

    function = staticmethod(F.ctc_loss)
    operands = 4


class LinearCrossEntropyLoss(_WeightedLoss):
    """A linear layer and the cross-entropy of what comes out of it."""

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: Any = None,
    ) -> None:
        if weight is not None and tuple(weight.shape) != (num_classes,):
            raise RuntimeError(
                f"expected weight shape to be {(num_classes,)}, got {tuple(weight.shape)}"
            )
        if not 0 <= label_smoothing <= 1:
            raise RuntimeError(
                f"expected label_smoothing to be in range [0, 1], got {label_smoothing}"
            )
        super().__init__(weight=weight, reduction=reduction)
        self.num_classes = num_classes
        self.out_features = out_features
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        rows = math.prod(out_features, start=num_classes)
        self.linear = Linear(in_features, rows, bias=bias, device=device, dtype=dtype)
        self.options = options

    def forward(self, *operands: Tensor) -> Tensor:
        outer = (self.num_classes, *self.out_features)
        weight: Any = self.linear.weight
        bias: Any = self.linear.bias
        return F.linear_cross_entropy(
            operands[0],
            weight.reshape(*outer, self.linear.in_features),
            operands[1],
            linear_bias=None if bias is None else bias.reshape(outer),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )

    def extra_repr(self) -> str:
        return (
            f"in_features={self.linear.in_features}, num_classes={self.num_classes}, "
            f"out_features={self.out_features}, bias={self.linear.bias is not None}, "
            f"reduction={self.reduction}, ignore_index={self.ignore_index}, "
            f"label_smoothing={self.label_smoothing}, options={self.options}"
        )
