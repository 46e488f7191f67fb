"""Losses: old arguments, warnings, mistakes, text; options that OpInfo's samples leave out."""

import copy
import inspect
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import (  # noqa: E402
    assert_same,
    classes,
    same_error,
    same_with_gradients,
    values,
)

pytestmark = pytest.mark.differential

MODULES = (
    "L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss", "NLLLoss", "CrossEntropyLoss", "BCELoss",
    "BCEWithLogitsLoss", "KLDivLoss", "PoissonNLLLoss", "GaussianNLLLoss", "CosineEmbeddingLoss",
    "MarginRankingLoss", "HingeEmbeddingLoss", "SoftMarginLoss", "MultiLabelSoftMarginLoss",
    "MultiLabelMarginLoss", "MultiMarginLoss", "TripletMarginLoss", "CTCLoss",
    "TripletMarginWithDistanceLoss", "LinearCrossEntropyLoss",
)  # fmt: skip


def arguments(module: Any) -> list[Any]:
    taken = inspect.signature(module).parameters.values()
    return [(p.name, p.default, p.kind) for p in taken if p.kind is not p.VAR_KEYWORD]


@pytest.mark.parametrize("name", MODULES)
def test_arguments_of_modules(name: str) -> None:
    assert arguments(getattr(graphc.nn, name)) == arguments(getattr(torch.nn, name))


@pytest.mark.parametrize("name", [n for n in MODULES if n != "LinearCrossEntropyLoss"])
def test_modules_as_text_copied_and_pickled(name: str) -> None:
    mine, theirs = getattr(graphc.nn, name)(), getattr(torch.nn, name)()
    assert repr(mine) == repr(theirs)
    for other in (copy.deepcopy(mine), pickle.loads(pickle.dumps(mine))):
        assert repr(other) == repr(mine)
        assert other.reduction == "mean"
    attributes = {k for k in vars(theirs) if not k.startswith("_")}
    assert attributes <= {k for k in vars(mine) if not k.startswith("_")}


def test_weights_are_buffers() -> None:
    for make in (
        lambda t: t.nn.CrossEntropyLoss(t.ones(3)),
        lambda t: t.nn.BCEWithLogitsLoss(t.ones(3), pos_weight=t.full((3,), 2.0)),
        lambda t: t.nn.MultiMarginLoss(weight=t.ones(2)),
    ):
        mine, theirs = make(graphc), make(torch)
        assert list(mine.state_dict()) == list(theirs.state_dict())
        assert list(dict(mine.named_buffers())) == list(dict(theirs.named_buffers()))
        assert mine.double().weight.dtype is graphc.float64


def test_losses_of_ones_own() -> None:
    """Subclasses of the base classes, as programs write them."""

    def program(t: Any) -> Any:
        base = t.nn.modules.loss._WeightedLoss

        class Focal(base):
            def __init__(self, gamma: float, weight: Any = None, reduction: str = "mean") -> None:
                super().__init__(weight, reduction=reduction)
                self.gamma = gamma

            def forward(self, x: Any, y: Any) -> Any:
                nll = t.nn.functional.cross_entropy(x, y, weight=self.weight, reduction="none")
                loss = (1 - (-nll).exp()) ** self.gamma * nll
                return loss.mean() if self.reduction == "mean" else loss.sum()

        class Softer(t.nn.CrossEntropyLoss):
            def __init__(self) -> None:
                super().__init__(label_smoothing=0.2)

        x, y = values(t, 4, 3), classes(t, 4, count=3)
        focal = Focal(2.0, t.tensor([1.0, 2.0, 0.5]), "sum")
        assert isinstance(focal, t.nn.modules.loss._Loss)
        return [focal(x, y), Softer()(x, y)]

    assert_same(program(graphc), program(torch))


@pytest.mark.parametrize("name", ["mse_loss", "nll_loss", "kl_div", "hinge_embedding_loss"])
@pytest.mark.parametrize("size_average", [None, True, False])
@pytest.mark.parametrize("reduce", [None, True, False])
def test_old_reductions(name: str, size_average: Any, reduce: Any) -> None:
    told = []
    for t in (graphc, torch):
        x = values(t, 4, 3)
        y = classes(t, 4, count=3) if name == "nll_loss" else values(t, 4, 3, salt=2)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            named = {"size_average": size_average, "reduce": reduce}
            result = getattr(t.nn.functional, name)(x, y, **named)
            module = {"mse_loss": "MSELoss", "nll_loss": "NLLLoss"}.get(name)
            reduction = module and getattr(t.nn, module)(**named).reduction
        told.append((result, reduction, {str(w.message) for w in seen}))
    assert_same(told[0][0], told[1][0])
    assert told[0][1:] == told[1][1:]


WARNINGS: dict[str, Callable[[Any], Any]] = {
    "sizes": lambda t: t.nn.functional.mse_loss(t.ones(3, 1), t.ones(3)),
    "sizes of l1": lambda t: t.nn.functional.l1_loss(t.ones(3, 1), t.ones(3)),
    "sizes of Huber": lambda t: t.nn.functional.huber_loss(t.ones(3, 1), t.ones(3)),
    "sizes of smooth L1": lambda t: t.nn.functional.smooth_l1_loss(t.ones(3, 1), t.ones(3)),
    "mean of a divergence": lambda t: t.nn.functional.kl_div(t.ones(3), t.ones(3)),
    "old mean": lambda t: t.nn.functional.mse_loss(
        t.ones(3), t.ones(3), reduction="elementwise_mean"
    ),
    "NLLLoss2d": lambda t: t.nn.NLLLoss2d()(t.ones(1, 2, 1, 1), t.zeros(1, 1, 1, dtype=t.int64)),
    "softmax": lambda t: t.nn.functional.softmax(t.ones(2, 3)),
    "log_softmax": lambda t: t.nn.functional.log_softmax(t.ones(2, 3, 1)),
    "softmin": lambda t: t.nn.functional.softmin(t.ones(2)),
    "eps of Gumbel": lambda t: t.nn.functional.gumbel_softmax(t.zeros(1), eps=1e-3),
    "Hardtanh": lambda t: t.nn.Hardtanh(min_value=-2.0, max_value=0.5)(t.ones(3)),
    "dropout2d": lambda t: t.nn.functional.dropout2d(t.ones(3, 2), training=False),
    "dropout3d": lambda t: t.nn.functional.dropout3d(t.ones(3, 2), training=False),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_warnings(name: str) -> None:
    told = []
    for t in (graphc, torch):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            result = WARNINGS[name](t)
        told.append((result, [w.category for w in seen], [str(w.message) for w in seen]))
    assert_same(told[0][0], told[1][0])
    assert told[0][1] == told[1][1]
    for mine, theirs in zip(told[0][2], told[1][2], strict=True):
        assert mine.replace("graphc.", "torch.")[:70] == theirs[:70]


MISTAKES: dict[str, Callable[[Any], Any]] = {
    "reduction": lambda t: t.nn.functional.mse_loss(t.ones(3), t.ones(3), reduction="all"),
    "reduction of a module": lambda t: t.nn.MSELoss(reduction="all")(t.ones(3), t.ones(3)),
    "unknown argument": lambda t: t.nn.MSELoss(margin=1.0),
    "too many arguments": lambda t: t.nn.HuberLoss("mean", 1.0, None),
    "shapes": lambda t: t.nn.functional.mse_loss(t.ones(3), t.ones(4)),
    "weights of squares": lambda t: t.nn.functional.mse_loss(
        t.ones(3), t.ones(3), weight=t.ones(2)
    ),
    "beta": lambda t: t.nn.functional.smooth_l1_loss(t.ones(3), t.ones(3), beta=-1.0),
    "delta": lambda t: t.nn.functional.huber_loss(t.ones(3), t.ones(3), delta=0.0),
    "class": lambda t: t.nn.functional.cross_entropy(t.ones(2, 3), t.tensor([0, 3])),
    "negative class": lambda t: t.nn.functional.cross_entropy(t.ones(2, 3), t.tensor([0, -1])),
    "batch": lambda t: t.nn.functional.cross_entropy(t.ones(2, 3), t.tensor([0, 1, 2])),
    "classes as floats": lambda t: t.nn.functional.cross_entropy(t.ones(2, 3), t.ones(2)),
    "smoothing": lambda t: t.nn.functional.cross_entropy(
        t.ones(2, 3), t.tensor([0, 1]), label_smoothing=1.5
    ),
    "class weights": lambda t: t.nn.functional.cross_entropy(
        t.ones(2, 3), t.tensor([0, 1]), weight=t.ones(2)
    ),
    "integers": lambda t: t.nn.functional.cross_entropy(
        t.ones(2, 3, dtype=t.int64), t.tensor([0, 1])
    ),
    "binary sizes": lambda t: t.nn.functional.binary_cross_entropy(t.ones(3), t.ones(3, 1)),
    "no probability": lambda t: t.nn.functional.binary_cross_entropy(t.ones(3) * 2, t.ones(3)),
    "logits sizes": lambda t: t.nn.functional.binary_cross_entropy_with_logits(
        t.ones(3), t.ones(3, 1)
    ),
    "variance": lambda t: t.nn.functional.gaussian_nll_loss(t.ones(3), t.ones(3), -t.ones(3)),
    "variance size": lambda t: t.nn.functional.gaussian_nll_loss(t.ones(3), t.ones(3), t.ones(2)),
    "negative variance": lambda t: t.nn.functional.gaussian_nll_loss(t.ones(3), t.ones(3), -0.5),
    "power": lambda t: t.nn.MultiMarginLoss(p=3),
    "weight of margins": lambda t: t.nn.MultiMarginLoss(weight=t.ones(2, 2)),
    "margin": lambda t: t.nn.TripletMarginLoss(margin=-1.0),
    "margin of a distance": lambda t: t.nn.TripletMarginWithDistanceLoss(margin=0.0),
    "ranks": lambda t: t.nn.functional.margin_ranking_loss(t.ones(3), t.ones(3, 1), t.ones(3)),
    "ranks of triplets": lambda t: t.nn.functional.triplet_margin_with_distance_loss(
        t.ones(3), t.ones(3, 1), t.ones(3)
    ),
    "labels": lambda t: t.nn.functional.multilabel_margin_loss(
        t.ones(2, 3), t.zeros(2, 4, dtype=t.int64)
    ),
    "labels as floats": lambda t: t.nn.functional.multilabel_margin_loss(t.ones(2), t.ones(2)),
    "features": lambda t: t.nn.functional.linear_cross_entropy(
        t.ones(2, 3), t.ones(4, 2), t.tensor([0, 1])
    ),
    "probabilities and ignored": lambda t: t.nn.functional.linear_cross_entropy(
        t.ones(2, 3), t.ones(4, 3), t.ones(2, 4), ignore_index=1
    ),
    "dropout probability": lambda t: t.nn.functional.feature_alpha_dropout(t.ones(2, 2), 1.5),
    "dropout1d": lambda t: t.nn.functional.dropout1d(t.ones(3)),
    "slopes": lambda t: t.nn.functional.rrelu(t.ones(3), 0.5, 0.2),
    "Hardtanh": lambda t: t.nn.Hardtanh(1.0, -1.0),
    "cutoffs": lambda t: t.nn.AdaptiveLogSoftmaxWithLoss(8, 10, [5, 3]),
    "no cutoffs": lambda t: t.nn.AdaptiveLogSoftmaxWithLoss(8, 10, []),
    "target of an adaptive softmax": lambda t: t.nn.AdaptiveLogSoftmaxWithLoss(8, 10, [5])(
        t.ones(2, 8), t.tensor([0, 10])
    ),
    "rank of an adaptive softmax": lambda t: t.nn.AdaptiveLogSoftmaxWithLoss(8, 10, [5])(
        t.ones(8), t.tensor([0])
    ),
    "one value": lambda t: t.nn.functional.batch_norm(t.ones(1, 3), None, None, training=True),
    "eps": lambda t: t.nn.functional.batch_norm(
        t.ones(2, 3), None, None, training=True, eps=0.0
    ),
    "one value of a group": lambda t: t.nn.functional.group_norm(t.ones(1, 2), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    same_error(MISTAKES[name])


OPTIONS: dict[str, tuple[Callable[..., Any], Callable[[Any], tuple[Any, ...]]]] = {
    "weighted squares": (
        lambda t, x, y, w: t.nn.functional.mse_loss(x, y, weight=w),
        lambda t: (values(t, 3, 4), values(t, 3, 4, salt=1), values(t, 3, 4, salt=2).abs()),
    ),
    "weighted Huber": (
        lambda t, x, y, w: t.nn.functional.huber_loss(x, y, weight=w),
        lambda t: (values(t, 3, 4), values(t, 3, 4, salt=1), values(t, 3, 4, salt=2).abs()),
    ),
    "weights for each element": (
        lambda t, x, y, w: t.nn.functional.binary_cross_entropy_with_logits(
            x, y.sigmoid(), weight=w.detach().abs(), pos_weight=w.detach().exp()
        ),
        lambda t: (values(t, 3, 4), values(t, 3, 4, salt=1), values(t, 3, 4, salt=2)),
    ),
    "smooth classes of images": (
        lambda t, x, y, w: t.nn.functional.cross_entropy(
            x, y, w.detach().abs(), ignore_index=1, label_smoothing=0.3, reduction="none"
        ),
        lambda t: (values(t, 2, 4, 3, 2), classes(t, 2, 3, 2, count=4), values(t, 4, salt=2)),
    ),
    "probabilities of images": (
        lambda t, x, y, w: t.nn.functional.cross_entropy(
            x, y.softmax(1), w.detach().abs(), label_smoothing=0.3
        ),
        lambda t: (values(t, 2, 4, 3, 2), values(t, 2, 4, 3, 2, salt=1), values(t, 4, salt=2)),
    ),
    "one example": (
        lambda t, x, y: t.nn.functional.cross_entropy(x, y, label_smoothing=0.1),
        lambda t: (values(t, 4), t.tensor(2)),
    ),
    "one variance for a row": (
        lambda t, x, y, v: t.nn.functional.gaussian_nll_loss(x, y, v.abs(), full=True),
        lambda t: (values(t, 3, 4), values(t, 3, 4, salt=1), values(t, 3, 1, salt=2)),
    ),
    "a number as variance": (
        lambda t, x, y: t.nn.functional.gaussian_nll_loss(x, y, 0.7, reduction="sum"),
        lambda t: (values(t, 3, 4), values(t, 3, 4, salt=1)),
    ),
    "Gaussian glu": (lambda t, x: t.nn.functional.glu(x, 1), lambda t: (values(t, 3, 4, 2),)),
    "K-dimensional linear": (
        lambda t, x, w, b, y: t.nn.functional.linear_cross_entropy(x, w, y, linear_bias=b),
        lambda t: (values(t, 3, 5), values(t, 4, 2, 5, salt=1), values(t, 4, 2),
                   classes(t, 3, 2, count=4)),
    ),
    "far triplets": (
        lambda t, a, p, n: t.nn.functional.triplet_margin_loss(a, p, n, 1.3, 1.0, swap=True),
        lambda t: (values(t, 3, 4), values(t, 3, 4, salt=1), values(t, 3, 4, salt=2)),
    ),
    "one hinge at its corner": (
        lambda t, x, y: t.nn.functional.margin_ranking_loss(x, y, t.ones(3), margin=0.0),
        lambda t: (t.tensor([1.0, 2.0, 0.0]), t.tensor([1.0, 1.0, 0.0])),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_options(name: str) -> None:
    same_with_gradients(*OPTIONS[name])


@pytest.mark.parametrize("twin", [
    "celu", "elu", "hardtanh", "leaky_relu", "relu", "rrelu", "selu", "threshold",
])  # fmt: skip
def test_in_place_twins(twin: str) -> None:
    more = (0.3, 7.0) if twin == "threshold" else ()

    def program(t: Any, x: Any) -> Any:
        y = x * 1
        assert getattr(t.nn.functional, f"{twin}_")(y, *more) is y
        return y

    same_with_gradients(program, lambda t: (values(t, 3, 5),))


@pytest.mark.parametrize("name", ["hardswish", "hardsigmoid", "relu6", "mish", "silu", "selu"])
def test_in_place_of_an_intermediate_result(name: str) -> None:
    def program(t: Any, x: Any) -> Any:
        y = x * 2
        assert getattr(t.nn.functional, name)(y, inplace=True) is y
        return y

    same_with_gradients(program, lambda t: (values(t, 3, 5),))
