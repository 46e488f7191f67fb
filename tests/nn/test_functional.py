"""Functions of networks compared with PyTorch: results, gradients, errors."""

import warnings

import pytest

pytest.importorskip("torch")

from tests.nn.same_program import classes, same_error, same_with_gradients, values

pytestmark = pytest.mark.differential


def f(t):
    return t.nn.functional


def v(*shape, salt=0, dtype="float32"):
    return lambda t: values(t, *shape, salt=salt, dtype=dtype)


def probabilities(*shape, salt=0):
    return lambda t: (values(t, *shape, salt=salt) * 2).sigmoid().detach()


def labels(*shape, count):
    return lambda t: classes(t, *shape, count=count)


X = v(3, 5)
IMAGE = v(2, 3, 6, 7)

ACTIVATIONS = {
    "relu": lambda t, x: f(t).relu(x),
    "relu6": lambda t, x: f(t).relu6(x * 4),
    "leaky_relu": lambda t, x: f(t).leaky_relu(x, 0.2),
    "elu": lambda t, x: f(t).elu(x, 0.7),
    "selu": lambda t, x: f(t).selu(x),
    "celu": lambda t, x: f(t).celu(x, 1.7),
    "gelu": lambda t, x: f(t).gelu(x),
    "gelu_tanh": lambda t, x: f(t).gelu(x, approximate="tanh"),
    "silu": lambda t, x: f(t).silu(x),
    "mish": lambda t, x: f(t).mish(x),
    "softplus": lambda t, x: f(t).softplus(x, 2.0, 3.0),
    "logsigmoid": lambda t, x: f(t).logsigmoid(x * 20),
    "sigmoid": lambda t, x: f(t).sigmoid(x),
    "tanh": lambda t, x: f(t).tanh(x),
    "hardtanh": lambda t, x: f(t).hardtanh(x, -0.5, 2.0),
    "hardsigmoid": lambda t, x: f(t).hardsigmoid(x * 2),
    "hardswish": lambda t, x: f(t).hardswish(x * 2),
    "hardshrink": lambda t, x: f(t).hardshrink(x, 0.8),
    "softshrink": lambda t, x: f(t).softshrink(x, 0.8),
    "tanhshrink": lambda t, x: f(t).tanhshrink(x),
    "softsign": lambda t, x: f(t).softsign(x),
    "threshold": lambda t, x: f(t).threshold(x, 0.3, 7.0),
    "softmax": lambda t, x: f(t).softmax(x, 0),
    "softmin": lambda t, x: f(t).softmin(x, -1),
    "log_softmax": lambda t, x: f(t).log_softmax(x, dim=1),
    "log_softmax_double": lambda t, x: f(t).log_softmax(x, 1, dtype=t.float64),
    "normalize": lambda t, x: f(t).normalize(x),
    "normalize_one": lambda t, x: f(t).normalize(x, p=1.0, dim=0),
    "glu": lambda t, x: f(t).glu(x[:, :4]),
    "dropout_off": lambda t, x: f(t).dropout(x, 0.3, training=False),
    "pad": lambda t, x: f(t).pad(x, (1, 2, 0, 3), value=1.5),
    "pad_crop": lambda t, x: f(t).pad(x, (-1, 1, -1, -1)),
    "pad_reflect": lambda t, x: f(t).pad(x, (2, 1), mode="reflect"),
    "pad_replicate": lambda t, x: f(t).pad(x, (0, 3), mode="replicate"),
    "pad_circular": lambda t, x: f(t).pad(x, (2, 3), mode="circular"),
    "layer_norm_plain": lambda t, x: f(t).layer_norm(x, (5,)),
    "rms_norm_plain": lambda t, x: f(t).rms_norm(x, (5,)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name):
    same_with_gradients(ACTIVATIONS[name], lambda t: (X(t),))


def test_inplace_activations_write_their_input():
    def program(t, x):
        y = x * 1
        for change in (f(t).relu, f(t).elu, f(t).leaky_relu, f(t).silu):
            y = y - 1
            assert change(y, inplace=True) is y
        return y

    same_with_gradients(program, lambda t: (X(t),))


CONVOLUTIONS = {
    "conv1d": (lambda t, x, w, b: f(t).conv1d(x, w, b, 2, 1), v(2, 4, 9), v(6, 4, 3), v(6)),
    "conv2d": (lambda t, x, w, b: f(t).conv2d(x, w, b), IMAGE, v(4, 3, 3, 2), v(4)),
    "conv2d_all": (
        lambda t, x, w, b: f(t).conv2d(x, w, b, (2, 1), (1, 2), (1, 2), 3),
        IMAGE, v(6, 1, 3, 2), v(6),
    ),
    "conv2d_same": (
        lambda t, x, w, b: f(t).conv2d(x, w, b, padding="same"), IMAGE, v(4, 3, 2, 4), v(4),
    ),
    "conv2d_valid": (
        lambda t, x, w, b: f(t).conv2d(x, w, b, padding="valid"), IMAGE, v(4, 3, 2, 4), v(4),
    ),
    "conv2d_single": (lambda t, x, w, b: f(t).conv2d(x, w, b), v(3, 6, 7), v(4, 3, 3, 3), v(4)),
    "conv3d": (
        lambda t, x, w, b: f(t).conv3d(x, w, b, 1, 1), v(1, 2, 4, 3, 5), v(3, 2, 2, 3, 3), v(3),
    ),
    "conv_transpose1d": (
        lambda t, x, w, b: f(t).conv_transpose1d(x, w, b, 3, 1, 2), v(2, 4, 5), v(4, 3, 4), v(3),
    ),
    "conv_transpose2d": (
        lambda t, x, w, b: f(t).conv_transpose2d(x, w, b, (2, 1), 1, (1, 0), 2, (1, 2)),
        v(2, 4, 5, 6), v(4, 3, 3, 2), v(6),
    ),
    "conv_transpose3d": (
        lambda t, x, w, b: f(t).conv_transpose3d(x, w, b, 2), v(1, 2, 2, 3, 2), v(2, 3, 2, 2, 3),
        v(3),
    ),
    "linear": (lambda t, x, w, b: f(t).linear(x, w, b), v(2, 3, 5), v(4, 5), v(4)),
    "bilinear": (
        lambda t, x, y, w: f(t).bilinear(x, y, w), v(3, 5), v(3, 4), v(2, 5, 4),
    ),
    "layer_norm": (
        lambda t, x, w, b: f(t).layer_norm(x, (3, 5), w, b, 1e-3), v(4, 3, 5), v(3, 5), v(3, 5),
    ),
    "rms_norm": (lambda t, x, w, b: f(t).rms_norm(x, (5,), w) + b, X, v(5), v(5)),
    "group_norm": (
        lambda t, x, w, b: f(t).group_norm(x, 2, w, b), v(3, 4, 5), v(4), v(4),
    ),
    "instance_norm": (
        lambda t, x, w, b: f(t).instance_norm(x, weight=w, bias=b), v(3, 4, 5), v(4), v(4),
    ),
    "prelu": (lambda t, x, w, b: f(t).prelu(x, w) + b, v(2, 4, 3), v(4), v(3)),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_with_weights(name):
    function, *makers = CONVOLUTIONS[name]
    same_with_gradients(function, lambda t: tuple(m(t) for m in makers))


POOLS = {
    "max_pool1d": (lambda t, x: f(t).max_pool1d(x, 3, 2, 1), v(2, 3, 9)),
    "max_pool2d": (lambda t, x: f(t).max_pool2d(x, 2), IMAGE),
    "max_pool2d_all": (
        lambda t, x: f(t).max_pool2d(x, (3, 2), (2, 1), (1, 0), (1, 2), ceil_mode=True), IMAGE,
    ),
    "max_pool2d_indices": (
        lambda t, x: f(t).max_pool2d(x, 3, 2, 1, return_indices=True), IMAGE,
    ),
    "max_pool3d": (lambda t, x: f(t).max_pool3d(x, 2, 1), v(2, 3, 3, 4)),
    "avg_pool1d": (lambda t, x: f(t).avg_pool1d(x, 3, 2, 1), v(2, 3, 9)),
    "avg_pool2d": (lambda t, x: f(t).avg_pool2d(x, (2, 3), ceil_mode=True), IMAGE),
    "avg_pool2d_border": (
        lambda t, x: f(t).avg_pool2d(x, 3, 2, 1, count_include_pad=False), IMAGE,
    ),
    "avg_pool2d_divisor": (lambda t, x: f(t).avg_pool2d(x, 2, divisor_override=3), IMAGE),
    "avg_pool3d": (lambda t, x: f(t).avg_pool3d(x, 2), v(1, 2, 4, 4, 4)),
    "lp_pool1d": (lambda t, x: f(t).lp_pool1d(x.abs(), 3.0, 2), v(2, 3, 9)),
    "lp_pool2d": (lambda t, x: f(t).lp_pool2d(x, 2, 2), IMAGE),
    "adaptive_avg_pool1d": (lambda t, x: f(t).adaptive_avg_pool1d(x, 4), v(2, 3, 9)),
    "adaptive_avg_pool2d": (lambda t, x: f(t).adaptive_avg_pool2d(x, (3, None)), IMAGE),
    "adaptive_avg_pool2d_odd": (lambda t, x: f(t).adaptive_avg_pool2d(x, (4, 5)), IMAGE),
    "adaptive_avg_pool2d_one": (lambda t, x: f(t).adaptive_avg_pool2d(x, 1), v(3, 6, 7)),
    "adaptive_avg_pool3d": (lambda t, x: f(t).adaptive_avg_pool3d(x, 2), v(1, 2, 4, 3, 5)),
    "adaptive_max_pool1d": (lambda t, x: f(t).adaptive_max_pool1d(x, 4), v(2, 3, 9)),
    "adaptive_max_pool2d": (lambda t, x: f(t).adaptive_max_pool2d(x, (2, 4)), IMAGE),
    "local_response_norm": (
        lambda t, x: f(t).local_response_norm(x, 3, 0.5, 0.6, 2.0), IMAGE,
    ),
    "unfold": (lambda t, x: f(t).unfold(x, (2, 3), 1, 1, 2), IMAGE),
    "fold": (
        lambda t, x: f(t).fold(x.reshape(2, 12, 6), (4, 5), (2, 3), 1, (0, 1), (2, 2)),
        v(2, 12, 6),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", POOLS)
def test_pool(name):
    function, maker = POOLS[name]
    same_with_gradients(function, lambda t: (maker(t),))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (2, 3, 4, 2)])
def test_batch_norm_moves_its_running_statistics(training, shape):
    def program(t, x, w, b):
        mean, var = t.full((3,), 0.5), t.full((3,), 2.0)
        y = f(t).batch_norm(x, mean, var, w, b, training, 0.3, 1e-3)
        return y, mean, var

    same_with_gradients(program, lambda t: (v(*shape)(t), v(3)(t), v(3, salt=1)(t)))


LOSSES = {
    "mse": (lambda t, x, y, r: f(t).mse_loss(x, y, reduction=r), X, v(3, 5, salt=1)),
    "mse_weight": (
        lambda t, x, y, r: f(t).mse_loss(x, y, reduction=r, weight=y.detach().abs()),
        X, v(3, 5, salt=1),
    ),
    "l1": (lambda t, x, y, r: f(t).l1_loss(x, y, reduction=r), X, v(3, 5, salt=1)),
    "smooth_l1": (
        lambda t, x, y, r: f(t).smooth_l1_loss(x, y, reduction=r, beta=2.0), X, v(3, 5, salt=1),
    ),
    "huber": (
        lambda t, x, y, r: f(t).huber_loss(x, y, reduction=r, delta=1.5), X, v(3, 5, salt=1),
    ),
    "nll": (lambda t, x, y, r: f(t).nll_loss(x, y, reduction=r), X, labels(3, count=5)),
    "nll_weight": (
        lambda t, x, y, r: f(t).nll_loss(
            x, y, t.tensor([1.0, 2, 0, 3, 1]), ignore_index=3, reduction=r
        ),
        v(4, 5), labels(4, count=5),
    ),
    "nll_images": (
        lambda t, x, y, r: f(t).nll_loss(x, y, reduction=r), v(2, 4, 3), labels(2, 3, count=4),
    ),
    "cross_entropy": (
        lambda t, x, y, r: f(t).cross_entropy(x, y, reduction=r), X, labels(3, count=5),
    ),
    "cross_entropy_one": (
        lambda t, x, y, r: f(t).cross_entropy(x, y, reduction=r), v(5), labels(count=5),
    ),
    "cross_entropy_weight": (
        lambda t, x, y, r: f(t).cross_entropy(
            x, y, t.tensor([1.0, 2, 0.5, 3]), ignore_index=2, reduction=r
        ),
        v(2, 4, 3), labels(2, 3, count=4),
    ),
    "cross_entropy_smooth": (
        lambda t, x, y, r: f(t).cross_entropy(
            x, y, t.tensor([1.0, 2, 0.5, 3]), ignore_index=2, reduction=r, label_smoothing=0.2
        ),
        v(2, 4, 3), labels(2, 3, count=4),
    ),
    "cross_entropy_soft": (
        lambda t, x, y, r: f(t).cross_entropy(x, y, reduction=r, label_smoothing=0.1),
        X, lambda t: v(3, 5, salt=1)(t).softmax(1).detach(),
    ),
    "cross_entropy_soft_weight": (
        lambda t, x, y, r: f(t).cross_entropy(x, y, t.tensor([1.0, 2, 0.5, 3]), reduction=r),
        v(2, 4, 3), lambda t: v(2, 4, 3, salt=1)(t).softmax(1).detach(),
    ),
    "bce": (
        lambda t, x, y, r: f(t).binary_cross_entropy(x, y, reduction=r),
        probabilities(3, 5), probabilities(3, 5, salt=1),
    ),
    "bce_weight": (
        lambda t, x, y, r: f(t).binary_cross_entropy(x, y, t.arange(5.0), reduction=r),
        probabilities(3, 5), probabilities(3, 5, salt=1),
    ),
    "bce_logits": (
        lambda t, x, y, r: f(t).binary_cross_entropy_with_logits(x * 20, y, reduction=r),
        X, probabilities(3, 5),
    ),
    "bce_logits_weights": (
        lambda t, x, y, r: f(t).binary_cross_entropy_with_logits(
            x, y, t.arange(5.0), reduction=r, pos_weight=t.arange(5.0) + 1
        ),
        X, probabilities(3, 5),
    ),
    "kl_div_sum": (
        lambda t, x, y, r: f(t).kl_div(x, y, reduction="batchmean" if r == "mean" else r),
        X, probabilities(3, 5),
    ),
    "kl_div_log": (
        lambda t, x, y, r: f(t).kl_div(
            x, y, reduction="batchmean" if r == "mean" else r, log_target=True
        ),
        X, v(3, 5, salt=1),
    ),
    "poisson": (
        lambda t, x, y, r: f(t).poisson_nll_loss(x, y.detach() * 5, full=True, reduction=r),
        X, probabilities(3, 5),
    ),
    "gaussian": (
        lambda t, x, y, r: f(t).gaussian_nll_loss(x, y, y.detach().abs(), True, reduction=r),
        X, v(3, 5, salt=1),
    ),
    "cosine_embedding": (
        lambda t, x, y, r: f(t).cosine_embedding_loss(
            x, y, t.tensor([1, -1, 1]), 0.1, reduction=r
        ),
        X, v(3, 5, salt=1),
    ),
    "hinge_embedding": (
        lambda t, x, y, r: f(t).hinge_embedding_loss(x, y.detach().sign(), 0.5, reduction=r),
        X, v(3, 5, salt=1),
    ),
    "margin_ranking": (
        lambda t, x, y, r: f(t).margin_ranking_loss(
            x, y, t.tensor([[1.0], [-1], [1]]), 0.5, reduction=r
        ),
        X, v(3, 5, salt=1),
    ),
    "soft_margin": (
        lambda t, x, y, r: f(t).soft_margin_loss(x, y.detach().sign(), reduction=r),
        X, v(3, 5, salt=1),
    ),
    "multilabel_soft_margin": (
        lambda t, x, y, r: f(t).multilabel_soft_margin_loss(
            x, y.detach(), t.arange(5.0), reduction=r
        ),
        X, probabilities(3, 5),
    ),
    "multi_margin": (
        lambda t, x, y, r: f(t).multi_margin_loss(x, y, 2, 0.7, t.arange(5.0), reduction=r),
        X, labels(3, count=5),
    ),
    "triplet": (
        lambda t, x, y, r: f(t).triplet_margin_loss(x, y, x * y, swap=True, reduction=r),
        X, v(3, 5, salt=1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_loss(name, reduction):
    function, x, y = LOSSES[name]
    same_with_gradients(function, lambda t: (x(t), y(t), reduction))


def test_losses_with_the_old_switches():
    def program(t, x, y):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return f(t).mse_loss(x, y, size_average=False), f(t).l1_loss(x, y, reduce=False)

    same_with_gradients(program, lambda t: (X(t), v(3, 5, salt=1)(t)))


def test_distances():
    def program(t, x, y):
        return (
            f(t).cosine_similarity(x, y) + f(t).pairwise_distance(x, y, 1.0),
            f(t).cosine_similarity(x, y, dim=0, eps=2.0),
        )

    same_with_gradients(program, lambda t: (X(t), v(3, 5, salt=1)(t)))


EMBEDDINGS = {
    "plain": {},
    "padding": {"padding_idx": 2},
    "negative padding": {"padding_idx": -1},
    "by frequency": {"scale_grad_by_freq": True},
    "short": {"max_norm": 1.5},
}


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_embedding(name):
    def program(t, index, w):
        rows = w if "max_norm" in EMBEDDINGS[name] else w * 1
        return f(t).embedding(index, rows, **EMBEDDINGS[name])

    same_with_gradients(program, lambda t: (classes(t, 2, 7, count=4), v(4, 3)(t)))


def test_one_hot():
    def program(t, x, index):
        return x.sum() * f(t).one_hot(index), f(t).one_hot(index, 9)

    same_with_gradients(program, lambda t: (X(t), classes(t, 2, 3, count=5)))


ERRORS = {
    "linear": lambda t: f(t).linear(t.zeros(2, 3), t.zeros(4, 5)),
    "linear dtype": lambda t: f(t).linear(t.zeros(2, 3), t.zeros(4, 3, dtype=t.float64)),
    "conv channels": lambda t: f(t).conv2d(t.zeros(1, 2, 5, 5), t.zeros(3, 4, 2, 2)),
    "conv rank": lambda t: f(t).conv2d(t.zeros(5, 5), t.zeros(3, 4, 2, 2)),
    "conv kernel": lambda t: f(t).conv2d(t.zeros(1, 1, 2, 2), t.zeros(3, 1, 4, 4)),
    "conv dtype": lambda t: f(t).conv2d(t.zeros(1, 1, 5, 5), t.zeros(3, 1, 2, 2).double()),
    "conv bias": lambda t: f(t).conv2d(t.zeros(1, 1, 5, 5), t.zeros(3, 1, 2, 2), t.zeros(4)),
    "pool size": lambda t: f(t).max_pool2d(t.zeros(1, 1, 2, 2), 3),
    "pool padding": lambda t: f(t).max_pool2d(t.zeros(1, 1, 8, 8), 3, 1, 2),
    "nll class": lambda t: f(t).nll_loss(t.zeros(2, 3), t.tensor([0, 3])),
    "nll batch": lambda t: f(t).nll_loss(t.zeros(2, 3), t.tensor([0, 1, 2])),
    "cross_entropy class": lambda t: f(t).cross_entropy(t.zeros(2, 3), t.tensor([0, -1])),
    "reduction": lambda t: f(t).mse_loss(t.zeros(2), t.zeros(2), reduction="median"),
    "bce size": lambda t: f(t).binary_cross_entropy(t.zeros(2), t.zeros(3)),
    "bce range": lambda t: f(t).binary_cross_entropy(t.full((2,), 1.5), t.zeros(2)),
    "bce logits": lambda t: f(t).binary_cross_entropy_with_logits(t.zeros(2), t.zeros(2, 1)),
    "embedding": lambda t: f(t).embedding(t.tensor([0, 4]), t.zeros(4, 2)),
    "embedding dtype": lambda t: f(t).embedding(t.tensor([0.0]), t.zeros(4, 2)),
    "one_hot": lambda t: f(t).one_hot(t.tensor([0, 5]), 3),
    "batch_norm": lambda t: f(t).batch_norm(t.zeros(1, 3), t.zeros(3), t.ones(3), training=True),
    "layer_norm": lambda t: f(t).layer_norm(t.zeros(2, 3), (4,)),
    "dropout": lambda t: f(t).dropout(t.zeros(3), 1.5),
    "glu": lambda t: f(t).glu(t.zeros(3, 3)),
    "softmax dim": lambda t: f(t).softmax(t.zeros(3, 3), 2),
    "gelu": lambda t: f(t).gelu(t.zeros(3), approximate="fast"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_is_of_the_type_that_pytorch_raises(name):
    assert same_error(ERRORS[name])
