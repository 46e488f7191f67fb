"""Parameters begin with PyTorch's distributions: every layer that has some, every function of init.

Many draws of both libraries are compared: bounds, mean, deviation, and the largest distance of
their distributions (Kolmogorov and Smirnov). Constants are compared as they are.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")
stats = pytest.importorskip("scipy.stats")

from tests.nn.same_program import same_error  # noqa: E402

pytestmark = pytest.mark.differential

LAYERS = (
    "Linear(40, 30)",
    "Linear(40, 30, bias=False)",
    "Bilinear(8, 12, 20)",
    "Conv1d(8, 20, 5)",
    "Conv2d(8, 12, (3, 4), groups=4)",
    "Conv3d(4, 6, 3, bias=False)",
    "ConvTranspose1d(8, 20, 5)",
    "ConvTranspose2d(8, 12, (3, 4), groups=2)",
    "ConvTranspose3d(4, 6, 3)",
    "Embedding(40, 30)",
    "Embedding(40, 30, padding_idx=3)",
    "EmbeddingBag(40, 30, padding_idx=-1)",
    "PReLU(7)",
    "BatchNorm2d(6)",
    "SyncBatchNorm(6)",
    "InstanceNorm1d(6, affine=True)",
    "LayerNorm((3, 5))",
    "RMSNorm(5)",
    "GroupNorm(2, 6)",
    "AdaptiveLogSoftmaxWithLoss(40, 60, [10, 30], head_bias=True)",
    "LinearCrossEntropyLoss(40, 30, bias=True)",
)


def draws(t: Any, make: Callable[[], Any], times: int) -> dict[str, np.ndarray[Any, Any]]:
    """The values of every parameter and buffer of that many layers, end to end."""
    found: dict[str, list[Any]] = {}
    for _ in range(times):
        for name, value in make().state_dict().items():
            found.setdefault(name, []).append(value.detach().numpy().ravel())
    return {name: np.concatenate(parts).astype(np.float64) for name, parts in found.items()}


def assert_alike(mine: Any, theirs: Any) -> None:
    if theirs.min() == theirs.max():
        np.testing.assert_array_equal(mine, theirs)
        return
    scale = theirs.std()
    error = scale * math.sqrt(2 / len(theirs))
    assert abs(mine.mean() - theirs.mean()) < 5 * error
    assert abs(mine.std() / scale - 1) < 5 / math.sqrt(len(theirs))
    assert (mine == 0).mean() == pytest.approx((theirs == 0).mean(), abs=0.01)
    for ours, other in ((mine.min(), theirs.min()), (mine.max(), theirs.max())):
        assert abs(ours - other) < 0.2 * (theirs.max() - theirs.min())
    assert stats.ks_2samp(mine, theirs).pvalue > 1e-3


@pytest.mark.parametrize("text", LAYERS)
def test_layer(text: str) -> None:
    found = []
    for t in (graphc, torch):
        t.manual_seed(3)
        found.append(draws(t, lambda t=t: eval(f"nn.{text}", {"nn": t.nn}), 30))
    mine, theirs = found
    assert list(mine) == list(theirs)
    for name in theirs:
        assert_alike(mine[name], theirs[name])


@pytest.mark.parametrize("text", [t for t in LAYERS if "Norm" not in t and "PReLU" not in t])
def test_uniform_layers_reach_their_bounds_and_stay_within(text: str) -> None:
    """What is uniform in PyTorch has the very same bounds."""
    for name, theirs in draws(torch, lambda: eval(f"nn.{text}", {"nn": torch.nn}), 30).items():
        if "Embedding" in text:
            continue
        mine = draws(graphc, lambda: eval(f"nn.{text}", {"nn": graphc.nn}), 30)[name]
        bound = np.abs(theirs).max()
        assert np.abs(mine).max() == pytest.approx(bound, rel=0.02)


SHAPE = (30, 20, 3, 2)
FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "uniform": lambda init, w: init.uniform_(w, -0.5, 2.0),
    "normal": lambda init, w: init.normal_(w, 1.0, 0.3),
    "constant": lambda init, w: init.constant_(w, 0.7),
    "ones": lambda init, w: init.ones_(w),
    "zeros": lambda init, w: init.zeros_(w),
    "truncated": lambda init, w: init.trunc_normal_(w, std=0.8),
    "truncated, lopsided": lambda init, w: init.trunc_normal_(w, 0.5, 1.0, 0.0, 3.0),
    "truncated, narrow": lambda init, w: init.trunc_normal_(w, 0.0, 1.0, -0.2, 0.1),
    "truncated, in the tail": lambda init, w: init.trunc_normal_(w, 0.0, 1.0, 1.8, 4.0),
    "xavier uniform": lambda init, w: init.xavier_uniform_(w, gain=1.7),
    "xavier normal": lambda init, w: init.xavier_normal_(w),
    "kaiming uniform": lambda init, w: init.kaiming_uniform_(w, a=0.3),
    "kaiming uniform, out": lambda init, w: init.kaiming_uniform_(
        w, mode="fan_out", nonlinearity="relu"
    ),
    "kaiming normal": lambda init, w: init.kaiming_normal_(w, nonlinearity="tanh"),
    "kaiming normal, selu": lambda init, w: init.kaiming_normal_(w, nonlinearity="selu"),
    "orthogonal": lambda init, w: init.orthogonal_(w, gain=1.3),
    "dirac": lambda init, w: init.dirac_(w, groups=2),
}
DTYPES = ("float32", "float64", "bfloat16")


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_function(name: str, dtype: str) -> None:
    if name == "orthogonal" and dtype == "bfloat16":
        return  # PyTorch has no QR factors of 16 bits
    found = []
    for t in (graphc, torch):
        t.manual_seed(5)
        weight = t.nn.Parameter(t.empty(*SHAPE, dtype=getattr(t, dtype)))
        assert FUNCTIONS[name](t.nn.init, weight) is weight
        assert weight.requires_grad
        found.append(weight.detach().double().numpy().ravel())
    if name in ("dirac", "constant"):
        np.testing.assert_array_equal(*found)
    else:
        assert_alike(*found)


MATRICES: dict[str, Callable[[Any, Any], Any]] = {
    "sparse": lambda init, w: init.sparse_(w, 0.35, std=0.2),
    "eye": lambda init, w: init.eye_(w),
}


@pytest.mark.parametrize("name", MATRICES)
def test_matrix(name: str) -> None:
    found = []
    for t in (graphc, torch):
        t.manual_seed(5)
        weight = t.empty(60, 50)
        MATRICES[name](t.nn.init, weight)
        zeros = (weight == 0).sum(0)
        found.append((weight.numpy().ravel(), zeros.tolist()))
    (mine, zeros), (theirs, expected) = found
    assert zeros == expected
    if name == "eye":
        np.testing.assert_array_equal(mine, theirs)
    else:
        assert_alike(mine[mine != 0], theirs[theirs != 0])


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (4, 4), (3, 2, 5), (1, 6), (6, 1)])
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    graphc.manual_seed(2)
    weight = graphc.nn.init.orthogonal_(graphc.empty(*shape, dtype=graphc.float64), gain=0.5)
    q = weight.numpy().reshape(shape[0], -1)
    product = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    np.testing.assert_allclose(product, 0.25 * np.eye(len(product)), atol=1e-12)


def test_orthogonal_matrices_are_uniform() -> None:
    """Angles of rotations of the plane, and reflections half of the time."""
    graphc.manual_seed(2)
    made = [
        graphc.nn.init.orthogonal_(graphc.empty(2, 2, dtype=graphc.float64)).numpy()
        for _ in range(800)
    ]
    angles = [math.atan2(q[1, 0], q[0, 0]) / (2 * math.pi) % 1 for q in made]
    assert stats.kstest(angles, "uniform").pvalue > 1e-3
    assert abs(np.mean([np.linalg.det(q) > 0 for q in made]) - 0.5) < 0.06


def test_a_generator_gives_the_same_numbers_again() -> None:
    for fill in (
        lambda w, g: graphc.nn.init.uniform_(w, generator=g),
        lambda w, g: graphc.nn.init.normal_(w, generator=g),
        lambda w, g: graphc.nn.init.trunc_normal_(w, generator=g),
        lambda w, g: graphc.nn.init.xavier_normal_(w, generator=g),
        lambda w, g: graphc.nn.init.kaiming_uniform_(w, generator=g),
        lambda w, g: graphc.nn.init.orthogonal_(w, generator=g),
        lambda w, g: graphc.nn.init.sparse_(w, 0.2, generator=g),
    ):
        drawn = [
            fill(graphc.empty(4, 6), graphc.Generator().manual_seed(9)).tolist() for _ in range(2)
        ]
        assert drawn[0] == drawn[1]


OLD = (
    "uniform", "normal", "constant", "eye", "dirac", "xavier_uniform", "xavier_normal",
    "kaiming_uniform", "kaiming_normal", "orthogonal", "sparse",
)  # fmt: skip
ARGUMENTS = {"constant": (0.3,), "sparse": (0.5,)}


@pytest.mark.parametrize("name", OLD)
def test_old_names_warn(name: str) -> None:
    shape = (4, 4, 3) if name == "dirac" else (4, 4)
    told = []
    for t in (graphc, torch):
        weight = t.empty(*shape)
        with pytest.warns(FutureWarning) as seen:
            assert getattr(t.nn.init, name)(weight, *ARGUMENTS.get(name, ())) is weight
        told.append(str(seen[0].message))
    assert told[0] == told[1]


@pytest.mark.parametrize("shape", [(3, 4), (5, 2, 3), (2, 6, 3, 4), (2, 3, 4, 5, 6)])
def test_fans(shape: tuple[int, ...]) -> None:
    for mode in ("fan_in", "FAN_OUT"):
        fans = [t.nn.init._calculate_correct_fan(t.empty(*shape), mode) for t in (graphc, torch)]
        assert fans[0] == fans[1]
    assert graphc.nn.init._calculate_fan_in_and_fan_out(
        graphc.empty(*shape)
    ) == torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(*shape))


def test_gains() -> None:
    for name in (
        "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
        "conv_transpose3d", "sigmoid", "tanh", "relu", "selu", "leaky_relu",
    ):  # fmt: skip
        assert graphc.nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert graphc.nn.init.calculate_gain("leaky_relu", 2) == torch.nn.init.calculate_gain(
        "leaky_relu", 2
    )


MISTAKES: dict[str, Callable[[Any], Any]] = {
    "vector": lambda t: t.nn.init.xavier_uniform_(t.empty(3)),
    "vector of a mode": lambda t: t.nn.init.kaiming_normal_(t.empty(3)),
    "mode": lambda t: t.nn.init.kaiming_uniform_(t.empty(3, 3), mode="fan"),
    "nonlinearity": lambda t: t.nn.init.kaiming_uniform_(t.empty(3, 3), nonlinearity="gelu"),
    "slope": lambda t: t.nn.init.calculate_gain("leaky_relu", True),
    "eye": lambda t: t.nn.init.eye_(t.empty(3, 3, 3)),
    "dirac": lambda t: t.nn.init.dirac_(t.empty(3, 3)),
    "dirac groups": lambda t: t.nn.init.dirac_(t.empty(5, 3, 3), groups=2),
    "sparse": lambda t: t.nn.init.sparse_(t.empty(3), 0.1),
    "orthogonal": lambda t: t.nn.init.orthogonal_(t.empty(3)),
    "negative deviation": lambda t: t.nn.init.normal_(t.empty(3), 0.0, -1.0),
    "bounds": lambda t: t.nn.init.uniform_(t.empty(3), 1.0, 0.0),
    "nothing": lambda t: t.nn.init.xavier_normal_(t.empty(0, 0)),
    "integers": lambda t: t.nn.init.normal_(t.empty(3, dtype=t.int64)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    same_error(MISTAKES[name])


WARNINGS: dict[str, Callable[[Any], Any]] = {
    "kaiming uniform of nothing": lambda t: t.nn.init.kaiming_uniform_(t.empty(0, 3)),
    "kaiming normal of nothing": lambda t: t.nn.init.kaiming_normal_(t.empty(3, 0)),
    "linear of nothing": lambda t: t.nn.Linear(0, 3, bias=False).weight,
    "far truncation": lambda t: t.nn.init.trunc_normal_(t.empty(3), 5.0, 1.0, -2.0, 2.0),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_warnings(name: str) -> None:
    told = []
    for t in (graphc, torch):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            shape = tuple(WARNINGS[name](t).shape)
        told.append((shape, [(w.category, str(w.message)) for w in seen]))
    assert told[0] == told[1]
