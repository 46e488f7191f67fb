"""Resampling, sampling grids, pools, unpooling, shuffles and padding against PyTorch."""

import itertools
import warnings

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import (  # noqa: E402
    assert_same,
    same_error,
    same_with_gradients,
    values,
)

pytestmark = pytest.mark.differential

SIZES = [(1, 4), (2, 5), (3, 3), (4, 8), (5, 2), (6, 22), (7, 3), (9, 4), (12, 37), (16, 59)]
MODES = {
    "nearest": (None,),
    "nearest-exact": (None,),
    "area": (None,),
    "linear": (False, True),
    "bilinear": (False, True),
    "bicubic": (False, True),
    "trilinear": (False, True),
}
RANKS = {"linear": (3,), "bilinear": (4,), "bicubic": (4,), "trilinear": (5,)}


def image(t, rank, source, dtype="float32"):
    shape = (2, 3, *([2, 3, source][5 - rank :] if rank > 3 else [source]))
    return values(t, *shape, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("mode", MODES)
def test_interpolate_of_all_sizes(mode, dtype):
    for (source, target), corners in itertools.product(SIZES, MODES[mode]):
        two_kernels = mode == "nearest-exact" and dtype == "float64"  # of images: they round apart
        for rank in RANKS.get(mode, (3,) if two_kernels else (3, 4)):
            x = image(torch, rank, source).to(getattr(torch, dtype))
            size = (*x.shape[2:-1], target)
            options = {"size": size, "mode": mode, "align_corners": corners}
            theirs = torch.nn.functional.interpolate(x, **options)
            given = graphc.tensor(x.double().numpy()).to(getattr(graphc, dtype))
            mine = graphc.nn.functional.interpolate(given, **options)
            rtol = 1e-2 if dtype == "bfloat16" else 3e-5
            assert_same(mine.double(), theirs.double(), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("scale", [0.3, 0.7, 1.3, 1.5, 2.0, 3.7, (1.5, 0.5)])
@pytest.mark.parametrize("again", [None, False, True])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
def test_interpolate_by_a_factor(mode, again, scale):
    same_with_gradients(
        lambda t, x: t.nn.functional.interpolate(
            x, scale_factor=scale, mode=mode, recompute_scale_factor=again
        ),
        lambda t: (values(t, 2, 2, 4, 7),),
    )


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
def test_antialias(mode, corners):
    if mode == "lanczos" and corners:
        same_error(
            lambda t: t.nn.functional.interpolate(
                values(t, 1, 1, 5, 5), size=3, mode=mode, align_corners=True, antialias=True
            )
        )
        return
    for size in ((3, 3), (11, 4), (2, 20)):
        same_with_gradients(
            lambda t, x, size=size: t.nn.functional.interpolate(
                x, size=size, mode=mode, align_corners=corners, antialias=True
            ),
            lambda t: (values(t, 1, 2, 9, 7),),
        )


BYTES = ["nearest", "nearest-exact", "bilinear", "bicubic"]
WIDE_BYTES = ["bilinear", "bicubic", "lanczos"]


@pytest.mark.parametrize(
    ("mode", "antialias"), [*((m, False) for m in BYTES), *((m, True) for m in WIDE_BYTES)]
)
def test_bytes_are_exact(mode, antialias):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 9, 13), np.uint8)
    for size in ((4, 5), (20, 31), (1, 3)):
        options = {"size": size, "mode": mode, "antialias": antialias}
        theirs = torch.nn.functional.interpolate(torch.tensor(pixels), **options)
        mine = graphc.nn.functional.interpolate(graphc.tensor(pixels), **options)
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_infinities_stay_where_they_are():
    x = np.zeros((1, 1, 5), np.float32)
    x[0, 0, 2] = np.inf
    theirs = torch.nn.functional.adaptive_avg_pool1d(torch.tensor(x), 3)
    mine = graphc.nn.functional.adaptive_avg_pool1d(graphc.tensor(x), 3)
    np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample(mode, padding, corners):
    for rank in (2, 3) if mode != "bicubic" else (2,):

        def sample(t, x, grid):
            read = t.nn.functional.grid_sample
            y = read(x, grid * 0.6, mode, padding, corners)  # beyond the image too
            return y if mode == "nearest" else y + 0 * grid.sum()

        sizes, out = (4, 5, 3)[:rank], (3, 6, 2)[:rank]
        if mode == "nearest":

            def nearest(t, x, grid, sample=sample):
                return sample(t, x, grid.detach())

            same_with_gradients(
                nearest,
                lambda t: (
                    values(t, 2, 3, *sizes, dtype="float64"),  # noqa: B023
                    values(t, 2, *out, rank, dtype="float64"),  # noqa: B023
                ),
            )
            continue
        same_with_gradients(
            sample,
            lambda t: (
                values(t, 2, 3, *sizes, dtype="float64"),  # noqa: B023
                values(t, 2, *out, rank, dtype="float64", salt=2),  # noqa: B023
            ),
        )


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 1, 3, 4, 5), (2, 1, 1, 3)])
def test_affine_grid(size, corners):
    n = len(size) - 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same_with_gradients(
            lambda t, theta: t.nn.functional.affine_grid(theta, size, corners),
            lambda t: (values(t, 2, n, n + 1),),
        )


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_pad_by_all_amounts(mode):
    for size, before, after in itertools.product((1, 2, 4), range(-4, 5), range(-4, 5)):
        if mode == "circular" and min(before, after) < 0 < max(before, after):
            continue  # PyTorch reads memory that it has not written
        x = np.arange(6.0 * size).reshape(2, 3, size)
        try:
            theirs = torch.nn.functional.pad(torch.tensor(x), (before, after), mode=mode)
        except RuntimeError:
            with pytest.raises(RuntimeError):
                graphc.nn.functional.pad(graphc.tensor(x), (before, after), mode=mode)
            continue
        mine = graphc.nn.functional.pad(graphc.tensor(x), (before, after), mode=mode)
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_fractional_pools_with_given_draws():
    rng = np.random.default_rng(0)
    for spatial in (2, 3) * 8:
        kernel, count = rng.integers(1, 4, spatial), rng.integers(1, 5, spatial)
        more = rng.integers(1, 5, spatial)
        x = rng.standard_normal((2, 3, *(kernel + count - 1 + more))).astype(np.float32)
        draws = rng.random((2, 3, spatial)).astype(np.float32)
        name = f"fractional_max_pool{spatial}d"
        found = []
        for t in (graphc, torch):
            pool = getattr(t.nn.functional, name)
            found.append(
                pool(
                    t.tensor(x), tuple(map(int, kernel)), output_size=tuple(map(int, count)),
                    return_indices=True, _random_samples=t.tensor(draws),
                )
            )  # fmt: skip
        assert_same(*found)


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_adaptive_maxima_with_ties_and_nan(spatial):
    rng = np.random.default_rng(spatial)
    for _ in range(10):
        count = tuple(map(int, rng.integers(1, 6, spatial)))
        x = rng.integers(-2, 3, (2, 2, *rng.integers(1, 8, spatial))).astype(np.float32)
        x[rng.random(x.shape) < 0.1] = np.nan
        name = f"adaptive_max_pool{spatial}d_with_indices"
        mine = getattr(graphc.nn.functional, name)(graphc.tensor(x), count)
        theirs = getattr(torch.nn.functional, name)(torch.tensor(x), count)
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


LAYERS = {
    "Upsample(6)": (2, 3, 4),
    "Upsample(scale_factor=2)": (2, 3, 4, 5),
    "Upsample(scale_factor=(2, 1.5), mode='bilinear')": (2, 3, 4, 5),
    "Upsample(size=(3, 7), mode='bicubic', align_corners=True)": (2, 3, 4, 5),
    "Upsample(scale_factor=2, mode='trilinear')": (1, 2, 2, 3, 2),
    "UpsamplingNearest2d(scale_factor=3)": (1, 2, 3, 4),
    "UpsamplingBilinear2d((5, 7))": (1, 2, 3, 4),
    "PixelShuffle(2)": (2, 8, 3, 2),
    "PixelUnshuffle(2)": (2, 2, 4, 6),
    "ChannelShuffle(3)": (2, 6, 3),
    "AdaptiveMaxPool1d(3)": (2, 3, 7),
    "AdaptiveMaxPool2d((2, 3))": (2, 3, 5, 7),
    "AdaptiveMaxPool3d(2)": (1, 2, 3, 5, 3),
    "AdaptiveAvgPool2d((3, None))": (2, 3, 5, 7),
    "AdaptiveAvgPool3d((3, 2, 4))": (1, 2, 5, 3, 6),
    "LPPool1d(float('inf'), 3)": (2, 3, 9),
    "LPPool3d(2, 2)": (1, 2, 4, 4, 4),
    "AvgPool3d(3, 2, 1, ceil_mode=True, count_include_pad=False)": (1, 2, 5, 4, 6),
    "ReflectionPad3d((1, 0, 1, 1, 0, 1))": (1, 2, 3, 3, 3),
    "ReplicationPad3d((1, -1, 0, 2, 1, 1))": (1, 2, 3, 3, 3),
    "CircularPad3d(1)": (1, 2, 3, 3, 3),
    "ZeroPad3d((1, 2, 0, -1, 0, 1))": (1, 2, 3, 3, 3),
    "ConvTranspose2d(2, 3, 3, stride=2, output_padding=(1, 2), dilation=3)": (1, 2, 4, 3),
}


def text_of(t, text):
    return eval(f"nn.{text}", {"nn": t.nn})


def outcome(t, module, shape, compiled):
    x = values(t, *shape).requires_grad_()
    call = graphc.compile(module) if compiled else module
    y = call(x * 1)
    (y * values(t, *y.shape, salt=1)).sum().backward()
    return [y, x.grad, *(p.grad for p in module.parameters())]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("text", LAYERS)
def test_layer(text, compiled):
    mine, theirs = text_of(graphc, text), text_of(torch, text)
    assert repr(mine) == repr(theirs)
    state = {k: graphc.tensor(v.numpy().copy()) for k, v in theirs.state_dict().items()}
    mine.load_state_dict(state)
    shape = LAYERS[text]
    assert_same(outcome(graphc, mine, shape, compiled), outcome(torch, theirs, shape, False))


@pytest.mark.parametrize("compiled", [False, True])
def test_pool_and_unpool(compiled):
    def there_and_back(t):
        pool = t.nn.MaxPool2d(2, stride=2, return_indices=True)
        back = t.nn.MaxUnpool2d(2, stride=2)

        def run(x):
            y, places = pool(x)
            return back(y * 2, places, output_size=x.shape)

        run = graphc.compile(run) if compiled and t is graphc else run
        x = values(t, 2, 3, 5, 6).requires_grad_()
        y = run(x)
        (y * values(t, *y.shape, salt=1)).sum().backward()
        return [y, x.grad]

    assert_same(there_and_back(graphc), there_and_back(torch))


def test_compiled_grid_sample():
    def program(t, compiled):
        def run(x, theta):
            grid = t.nn.functional.affine_grid(theta, (2, 3, 4, 5), align_corners=False)
            return t.nn.functional.grid_sample(x, grid, align_corners=False)

        run = graphc.compile(run) if compiled else run
        x = values(t, 2, 3, 6, 7).requires_grad_()
        theta = (values(t, 2, 2, 3, salt=4) * 0.3).detach().requires_grad_()
        y = run(x, theta)
        (y * values(t, *y.shape, salt=1)).sum().backward()
        return [y, x.grad, theta.grad]

    assert_same(program(graphc, True), program(torch, False))


ERRORS = {
    "conv_dims": lambda t, f: f.conv2d(t.zeros(2, 4, 5, 6), t.zeros(6, 4, 3)),
    "conv_bool": lambda t, f: f.conv1d(t.zeros(1, 1, 3).bool(), t.zeros(1, 1, 3).bool()),
    "conv_bias": lambda t, f: f.conv_transpose1d(t.zeros(1, 2, 3), t.zeros(2, 3, 2), t.zeros(4)),
    "conv_output_padding": lambda t, f: f.conv_transpose1d(
        t.zeros(1, 2, 3), t.zeros(2, 3, 2), output_padding=1
    ),
    "conv_tbc": lambda t, f: f.conv_tbc(t.zeros(5, 2, 3), t.zeros(3, 2, 4), t.zeros(4)),
    "unfold_large": lambda t, f: f.unfold(t.zeros(1, 1, 3, 3), 5),
    "unfold_dtype": lambda t, f: f.unfold(t.zeros(1, 1, 3, 3).long(), 2),
    "fold_stride": lambda t, f: f.fold(t.zeros(2, 12, 6), (3, 4), 2, stride=0),
    "fold_columns": lambda t, f: f.fold(t.zeros(2, 11, 6), (3, 4), 2),
    "pool_kernel": lambda t, f: f.max_pool2d(t.zeros(1, 1, 3, 3), 0),
    "pool_dtype": lambda t, f: f.max_pool1d(t.zeros(1, 1, 3).long(), 2),
    "pool_empty": lambda t, f: f.max_pool3d(t.zeros(0, 1, 2, 10), 1),
    "mean_dtype": lambda t, f: f.avg_pool2d(t.zeros(1, 1, 3, 3).int(), 2),
    "adaptive_rank": lambda t, f: f.adaptive_avg_pool2d(t.zeros(2, 2), (2, 2)),
    "adaptive_count": lambda t, f: f.adaptive_max_pool2d(t.zeros(1, 2, 3, 3), (2, 2, 2)),
    "adaptive_negative": lambda t, f: f.adaptive_avg_pool2d(t.zeros(1, 2, 3, 3), (2, -1)),
    "pad_mode": lambda t, f: f.pad(t.zeros(1, 2, 3), (1, 1), mode="odd"),
    "pad_value": lambda t, f: f.pad(t.zeros(1, 2, 3), (1, 1), mode="reflect", value=3),
    "pad_rank": lambda t, f: f.pad(t.zeros(4), (1, 1), mode="reflect"),
    "pad_fraction": lambda t, f: f.pad(t.zeros(4), (1, 1.5)),
    "interpolate_both": lambda t, f: f.interpolate(t.zeros(1, 1, 3), size=2, scale_factor=2),
    "interpolate_rank": lambda t, f: f.interpolate(t.zeros(1, 1, 3, 3), size=2, mode="linear"),
    "interpolate_dtype": lambda t, f: f.interpolate(t.zeros(1, 1, 3).long(), size=2),
    "interpolate_empty": lambda t, f: f.interpolate(t.zeros(1, 1, 0), size=2),
    "grid_last": lambda t, f: f.grid_sample(t.zeros(1, 1, 3, 3), t.zeros(1, 2, 2, 3)),
    "grid_mode": lambda t, f: f.grid_sample(t.zeros(1, 1, 3, 3), t.zeros(1, 2, 2, 2), "odd"),
    "affine_size": lambda t, f: f.affine_grid(t.zeros(2, 2, 3), (2, 3, 4)),
    "unpool_size": lambda t, f: f.max_unpool1d(
        t.ones(1, 1, 2), t.zeros(1, 1, 2).long(), 2, output_size=(9,)
    ),
    "unpool_place": lambda t, f: f.max_unpool1d(t.ones(1, 1, 2), t.zeros(1, 1, 2).long() + 9, 2),
    "fractional_none": lambda t, f: f.fractional_max_pool2d(t.zeros(1, 1, 3, 3), 2),
    "fractional_large": lambda t, f: f.fractional_max_pool2d(t.zeros(1, 1, 3, 3), 2, 3),
    "shuffle": lambda t, f: f.pixel_shuffle(t.zeros(1, 3, 2, 2), 2),
    "unshuffle": lambda t, f: f.pixel_unshuffle(t.zeros(1, 3, 3, 2), 2),
    "channels": lambda t, f: f.channel_shuffle(t.zeros(1, 3, 3, 2), 2),
    "upsample_module": lambda t, f: t.nn.FractionalMaxPool2d(3),
    "circular_module": lambda t, f: t.nn.CircularPad1d(1)(t.zeros(1, 2, 3, 4)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    assert same_error(lambda t: ERRORS[name](t, t.nn.functional))


def test_means_of_integers_lose_the_fraction():
    x = np.array([[[[-7, -6, 3], [1, 5, 3], [4, 4, 2]]]])
    for options in ({}, {"padding": 1, "count_include_pad": False}, {"divisor_override": -2}):
        theirs = torch.nn.functional.avg_pool2d(torch.tensor(x), 2, 1, **options)
        mine = graphc.nn.functional.avg_pool2d(graphc.tensor(x), 2, 1, **options)
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_cross_map_norm(size):
    for channels in (1, 2, 4, 7):
        x = values(torch, 2, channels, 2, 3)
        theirs = torch.nn.CrossMapLRN2d(size, alpha=0.5)
        mine = graphc.nn.CrossMapLRN2d(size, alpha=0.5)
        assert repr(mine) == repr(theirs)
        assert_same(mine(values(graphc, 2, channels, 2, 3)), theirs(x))
    # PyTorch's own gradient is not that of its result.
    given = values(graphc, 1, 4, 2, 2, dtype="float64").requires_grad_()
    assert graphc.autograd.gradcheck(mine, (given,))


def test_conv_tbc():
    same_with_gradients(
        lambda t, x, w, b: t.nn.functional.conv_tbc(x, w, b, 1),
        lambda t: (values(t, 5, 2, 3), values(t, 3, 3, 4, salt=1), values(t, 4, salt=2)),
    )
