"""Autocast regions compared with PyTorch's on the CPU: the same expressions, evaluated by both."""

import threading
import warnings

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")

from graphc.autocasting import POLICIES, STATE  # noqa: E402
from graphc.modes import MODES  # noqa: E402
from tests.nn.same_program import assert_same, plain, values  # noqa: E402

pytestmark = pytest.mark.differential

# x is a float32 matrix, b the same in bfloat16; v a vector; t three-dimensional; i classes.
LOW = """
    t.mm(x, x) / x.mm(x) / x @ x / t.matmul(x, v) / t.bmm(c, c) / t.bmm(c, c.bfloat16())
    t.addmm(x, x, x) / t.addbmm(x, c, c) / t.baddbmm(c, c, c) / F.linear(x, x, v) / x.half() @ x
    F.conv1d(c, c) / F.conv2d(c[None], c[None]) / F.conv3d(c[None, None], c[None, None])
    F.conv2d(c[None], c[None], padding="same") / F.conv_transpose1d(c, c)
    F.conv_transpose2d(c[:, None], c[:1, None]) / F.conv_transpose3d(c[None, None], c[None, None])
    F.prelu(x, v[:1]) / F.prelu(b, v[:1]) / F.scaled_dot_product_attention(c, c, c)
    F.scaled_dot_product_attention(c, c, c, x) / t.linalg.vecdot(x, x) / t.tensordot(x, x, 1)
    t.einsum("ij,jk->ik", x, x) / t.einsum("ij,jk,kl->il", x, x, x) / t.einsum("i,i->", v, v)
    t.chain_matmul(x, x, x) / t.linalg.multi_dot([x, x, x]) / t.matrix_power(x, 3) / t.cov(x)
    t.inner(x, x) / t.inner(x, v) / t.corrcoef(x)
"""
FULL = """
    F.mse_loss(b, x) / F.mse_loss(b, b) / F.l1_loss(b, b) / F.smooth_l1_loss(b, b)
    F.huber_loss(b, b) / F.cross_entropy(b, i) / F.nll_loss(b.log_softmax(1), i) / F.kl_div(b, b)
    F.binary_cross_entropy(b.sigmoid(), x.sigmoid())
    F.binary_cross_entropy_with_logits(b, x.sigmoid()) / F.poisson_nll_loss(b, b)
    F.hinge_embedding_loss(b, b.sign()) / F.margin_ranking_loss(v.bfloat16(), v, v.sign())
    F.soft_margin_loss(b, b.sign()) / F.triplet_margin_loss(b, b, b) / F.multi_margin_loss(b, i)
    F.cosine_embedding_loss(b, b, i.sign()) / b.prod() / b.prod(0) / b.quantile(0.5) / b.trace()
    b.nanquantile(0.5) / t.cdist(b, b) / t.linalg.inv(b) / b.inverse() / t.linalg.qr(b)[0]
    t.linalg.solve(b, x) / t.linalg.svdvals(b) / t.linalg.eigvalsh(b) / t.pinverse(b)
    t.linalg.cond(b) / F.max_pool3d(c[None].bfloat16(), 2) / F.avg_pool3d(c[None].bfloat16(), 2)
    F.adaptive_avg_pool3d(c[None].bfloat16(), 2) / F.pad(c.bfloat16(), (1, 1), "reflect")
    F.pad(c.bfloat16(), (1, 1), "replicate") / F.pad(c[None].bfloat16(), (1, 1, 1, 1), "reflect")
"""
WIDEST = """
    t.cat([b, x]) / t.cat([b, b]) / t.cat([x, x]) / t.stack([b, x]) / t.hstack([b, x])
    t.index_copy(x, 0, i[:1], b[:1]) / t.index_copy(b, 0, i[:1], x[:1]) / t.cat([i, i])
    t.cat([x.double(), x]) / t.cat([x.double(), b]) / t.vstack([b, b])
"""
UNTOUCHED = """
    t.mv(x, v) / t.dot(v, v) / t.vdot(v, v) / t.inner(v, v) / t.addmv(v, x, v) / t.outer(v, v)
    t.addr(x, v, v) / t.kron(x, x) / t.einsum("ij->j", x) / t.einsum("i,j->ij", v, v)
    t.einsum("ij,ij->ij", x, x) / t.matrix_power(x, 1) / x.double() @ x.double() / i[None] @ i
    t.mm(x, x, out=t.empty(4, 4)) / x.clone().addmm_(x, x) / F.bilinear(x, x, c) / b.sum() / b.exp()
    b.softmax(0) / b.log_softmax(0) / b ** 2 / b + x / b.cumsum(0) / F.gelu(b) / F.softsign(b)
    F.layer_norm(b, (4,), v, v) / F.rms_norm(b, (4,), v) / F.group_norm(b, 2, v, v)
    F.batch_norm(b, v.clone(), v.abs(), v, v, True) / F.batch_norm(b, v.clone(), v.abs(), v, v)
    F.instance_norm(c.bfloat16(), v.clone(), v.abs(), v, v) / F.max_pool2d(c.bfloat16(), 2)
    F.pad(b, (1, 1)) / F.pad(c.bfloat16(), (1, 1), "circular") / F.gaussian_nll_loss(b, b, b.abs())
    F.pad(c[None, None].bfloat16(), (1, 1, 1, 1, 1, 1), "reflect") / F.cosine_similarity(b, x)
    t.where(x > 0, b, x) / b.std() / b.norm() / F.embedding(i, x)
    F.multilabel_soft_margin_loss(b, b)
    F.unfold(c[:1][None], 2) / F.dropout(b, 0.0) / F.interpolate(c.bfloat16(), scale_factor=2)
"""


def expressions(text):
    return [e.strip() for line in text.strip().splitlines() for e in line.split(" / ")]


def scope(t):
    square = values(t, 4, 4)
    return {
        "t": t,
        "F": t.nn.functional,
        "x": square,
        "b": square.bfloat16(),
        "v": values(t, 4, salt=1),
        "c": values(t, 4, 4, 4, salt=2),
        "i": t.tensor([1, 3, 2, 1]),
    }


def dtype_of(result):
    return str(result.dtype).split(".")[-1]


@pytest.mark.parametrize("low", ["bfloat16", "float16"])
@pytest.mark.parametrize("text", [*expressions(LOW), *expressions(UNTOUCHED)])
def test_dtypes_and_values(text, low):
    results = []
    for t in (graphc, torch):
        names = scope(t)
        with warnings.catch_warnings(), t.autocast("cpu", dtype=getattr(t, low)):
            warnings.simplefilter("ignore")
            results.append(eval(text, names))
    mine, theirs = results
    assert dtype_of(mine) == dtype_of(theirs)
    assert_same(mine.detach().double(), theirs.detach().double(), 0.02, 0.02)


@pytest.mark.parametrize("text", [*expressions(FULL), *expressions(WIDEST)])
def test_dtypes_and_values_in_float32(text):
    results = []
    for t in (graphc, torch):
        names = scope(t)
        with t.autocast("cpu"):
            results.append(eval(text, names))
    mine, theirs = results
    assert dtype_of(mine) == dtype_of(theirs)
    assert_same(mine.double(), theirs.double(), 0.01, 0.01)


def test_the_expressions_are_of_the_kinds_they_are_listed_under():
    with graphc.autocast("cpu"):
        for text in expressions(LOW):
            assert eval(text, scope(graphc)).dtype is graphc.bfloat16, text
        for text in expressions(FULL):
            assert eval(text, scope(graphc)).dtype is graphc.float32, text


def test_every_name_in_the_table_that_exists_casts():
    functions = graphc.functions.registry.FUNCTIONS
    of_linalg = {f"linalg_{name}": f for name, f in vars(graphc.linalg).items()}
    of_linalg.update(multi_dot=graphc.linalg.multi_dot, vecdot=graphc.linalg.vecdot)
    for name in POLICIES:
        places = [
            vars(graphc.nn.functional).get(name),
            functions.get(name),
            of_linalg.get(name),
            vars(graphc.Tensor).get(name),
        ]
        found = [f for f in places if f is not None]
        assert found, name
        assert all(hasattr(f, "autocasts") for f in found), name


def test_promotion_refuses_the_other_half_precision():
    for t in (graphc, torch):
        with t.autocast("cpu"), pytest.raises(RuntimeError, match="Unexpected floating"):
            t.cat([t.ones(2).half(), t.ones(2)])


# ----------------------------------------------------------------------------------------- regions


def test_nesting_disabling_and_leaving_by_an_exception():
    def program(t):
        x, seen = values(t, 4, 4), []

        def note():
            seen.append((dtype_of(x @ x), t.is_autocast_enabled("cpu"),
                         str(t.get_autocast_dtype("cpu")).split(".")[-1]))  # fmt: skip

        note()
        with t.autocast("cpu"):
            note()
            with t.autocast("cpu", enabled=False):
                note()
                with t.autocast("cpu", dtype=t.float16):
                    note()
                note()
            note()
            with t.amp.autocast(device_type="cpu", dtype=t.float16):
                note()
            try:
                with t.autocast("cpu", enabled=False):
                    raise KeyError
            except KeyError:
                note()
        note()
        return seen

    assert program(graphc) == program(torch)
    assert MODES.autocast is None and STATE.nesting == 0


def test_decorators():
    def program(t):
        x = values(t, 4, 4)

        @t.autocast("cpu")
        def low(y):
            """Doc."""
            return y @ y

        @t.autocast("cpu", enabled=False)
        def full(y):
            return y @ y

        with t.autocast("cpu"):
            inside = dtype_of(full(x))
        return dtype_of(low(x)), inside, dtype_of(x @ x), low.__name__, low.__doc__

    assert program(graphc) == program(torch)


def test_settings():
    def program(t):
        seen = [
            t.is_autocast_enabled("cpu"),
            t.is_autocast_enabled("cuda"),
            t.is_autocast_enabled(),
        ]
        seen += [str(t.get_autocast_dtype(k)).split(".")[-1] for k in ("cpu", "cuda")]
        seen += [t.is_autocast_cache_enabled(), t.amp.is_autocast_available("cpu")]
        t.set_autocast_enabled("cpu", True)
        t.set_autocast_dtype("cpu", t.float16)
        try:
            seen.append(dtype_of(t.ones(2, 2) @ t.ones(2, 2)))
            seen.append(t.is_autocast_enabled("cpu"))
        finally:
            t.set_autocast_enabled("cpu", False)
            t.set_autocast_dtype("cpu", t.bfloat16)
        with t.autocast("cpu", cache_enabled=False):
            seen.append(t.is_autocast_cache_enabled())
        return [*seen, t.is_autocast_cache_enabled()]

    assert program(graphc) == program(torch)


def test_a_region_belongs_to_its_thread():
    seen = []
    with graphc.autocast("cpu"):
        thread = threading.Thread(
            target=lambda: seen.append((graphc.is_autocast_enabled("cpu"), MODES.autocast))
        )
        thread.start()
        thread.join()
    assert seen == [(False, None)]


def test_what_is_refused():
    for t in (graphc, torch):
        with pytest.raises(RuntimeError, match="unsupported autocast device_type|device"):
            t.autocast("nowhere")
        with pytest.raises(ValueError, match="Expected `device_type` of type `str`"):
            t.autocast(t.device("cpu"))
        with pytest.raises(TypeError, match="requires a callable"):
            t.autocast("cpu")(3)
        with pytest.warns(UserWarning, match="Disabling autocast"), t.autocast("cuda"):
            assert not t.is_autocast_enabled("cuda")
            assert (t.ones(2, 2) @ t.ones(2, 2)).dtype is t.float32
        with (
            pytest.warns(UserWarning, match="target dtype is not supported"),
            t.autocast("cpu", dtype=t.float64),
        ):
            assert (t.ones(2, 2) @ t.ones(2, 2)).dtype is t.float32
        with pytest.warns(FutureWarning, match="deprecated"), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            t.cuda.amp.autocast()


# ---------------------------------------------------------------------------------- cached weights


def count_casts(monkeypatch):
    casts, real = [], graphc.Tensor.to

    def counted(self, *args, **kwargs):
        casts.append(id(self))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(graphc.Tensor, "to", counted)
    return casts


def test_a_parameter_is_cast_once_in_a_region(monkeypatch):
    layer, x = graphc.nn.Linear(3, 3), values(graphc, 2, 3)
    casts = count_casts(monkeypatch)
    with graphc.autocast("cpu"):
        for _ in range(3):
            layer(x)
        with graphc.autocast("cpu", enabled=False):
            layer(x)
        layer(x)
    assert casts.count(id(layer.weight)) == casts.count(id(layer.bias)) == 1
    assert casts.count(id(x)) == 4
    assert not STATE.casts
    with graphc.autocast("cpu", cache_enabled=False):
        layer(x)
        layer(x)
    assert casts.count(id(layer.weight)) == 3


def test_a_parameter_that_was_written_or_used_without_gradients_is_cast_again():
    layer, x = graphc.nn.Linear(3, 3, bias=False), values(graphc, 2, 3)
    with graphc.autocast("cpu"):
        with graphc.no_grad():
            layer(x)
        assert layer(x).requires_grad
        before = layer(x)
        with graphc.no_grad():
            layer.weight.zero_()
        assert before.abs().sum() > 0 and layer(x).abs().sum() == 0
        graphc.clear_autocast_cache()
        assert not STATE.casts


# ---------------------------------------------------------------------------------------- gradients


def network(t):
    net = t.nn.Sequential(
        t.nn.Conv2d(1, 4, 3, padding=1),
        t.nn.BatchNorm2d(4),
        t.nn.ReLU(),
        t.nn.MaxPool2d(2),
        t.nn.Flatten(),
        t.nn.Linear(64, 16),
        t.nn.LayerNorm(16),
        t.nn.GELU(),
        t.nn.Linear(16, 3),
    )
    with t.no_grad():
        for number, p in enumerate(net.parameters()):
            p.copy_(values(t, *p.shape, salt=number) / 10)
    return net


def trajectory(t, compiled=None, steps=20):
    net = network(t)
    optimizer = t.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x = values(t, 6, 1, 8, 8)
    y = t.tensor([0, 1, 2, 0, 1, 2])

    def step(x, y):
        optimizer.zero_grad()
        with t.autocast("cpu", dtype=t.bfloat16):
            loss = t.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = t.compile(step) if compiled == "step" else step
    if compiled == "model":
        net = t.compile(net)
    losses = [float(run(x, y).detach()) for _ in range(steps)]
    if compiled:
        assert len((run if compiled == "step" else net).receipts) <= 2
    return losses, {k: plain(p) for k, p in net.named_parameters()}


@pytest.mark.parametrize("compiled", [None, "model", "step"])
def test_training_follows_pytorch(compiled):
    mine, weights = trajectory(graphc, compiled)
    theirs, expected = trajectory(torch)
    np.testing.assert_allclose(mine, theirs, rtol=0.06, atol=0.02)
    assert theirs[-1] < theirs[0] / 4
    for name, value in expected.items():
        assert weights[name].dtype == value.dtype == np.float32
        np.testing.assert_allclose(weights[name], value, rtol=0.1, atol=0.02, err_msg=name)


def test_gradients_come_in_the_dtype_of_the_parameters():
    def program(t):
        w = (values(t, 4, 4) / 4).requires_grad_()
        with t.autocast("cpu"):
            y = (w @ w) @ values(t, 4, 2, salt=1)
        y.float().sum().backward()
        return w.grad

    assert_same(program(graphc), program(torch), 0.02, 0.02)


# ----------------------------------------------------------------------------------------- compiled


def test_a_region_around_a_compiled_call_is_seen():
    net, x = network(graphc).eval(), values(graphc, 2, 1, 8, 8)
    compiled = graphc.compile(net)
    assert compiled(x).dtype is graphc.float32
    for dtype in (graphc.bfloat16, graphc.float16):
        with graphc.autocast("cpu", dtype=dtype):
            for _ in range(2):
                result = compiled(x)
                assert result.dtype is dtype
                assert_same(result.float(), net(x).float(), 0.05, 0.05)
    assert compiled(x).dtype is graphc.float32
    assert len(compiled.receipts) == 3
    assert "autocast is now" in str(compiled.receipts[1])


def test_regions_inside_a_compiled_function():
    @graphc.compile
    def program(x):
        with graphc.autocast("cpu"):
            low = x @ x
            with graphc.autocast("cpu", enabled=False):
                full = x @ x
        return low, full, x @ x

    x = values(graphc, 4, 4)
    for _ in range(2):
        low, full, outside = program(x)
        assert low.dtype is graphc.bfloat16
        assert full.dtype is outside.dtype is graphc.float32
        assert_same(low.float(), (x.bfloat16() @ x.bfloat16()).float(), 0.01, 0.01)
    assert "cast" in str(program.ir["trace"])


def test_compiled_functions_cast_a_parameter_once():
    layer = graphc.nn.Linear(4, 4, bias=False)

    @graphc.compile
    def program(x):
        with graphc.autocast("cpu"):
            return layer(layer(layer(x)))

    program(values(graphc, 2, 4))
    assert str(program.ir["trace"]).count("= cast(weight") == 1


# --------------------------------------------------------------------------------------- autograd


def test_custom_functions():
    def program(t, cast_inputs):
        seen = []

        class Product(t.autograd.Function):
            @staticmethod
            @t.amp.custom_fwd(device_type="cpu", cast_inputs=t.float32 if cast_inputs else None)
            def forward(ctx, a, b):
                ctx.save_for_backward(a, b)
                seen.append((dtype_of(a), t.is_autocast_enabled("cpu")))
                return a @ b

            @staticmethod
            @t.amp.custom_bwd(device_type="cpu")
            def backward(ctx, g):
                a, b = ctx.saved_tensors
                seen.append((dtype_of(g), t.is_autocast_enabled("cpu"), dtype_of(a @ b)))
                return (g @ b.t()).to(a.dtype), (a.t() @ g).to(b.dtype)

        a, b = values(t, 3, 3).requires_grad_(), values(t, 3, 3, salt=1).bfloat16()
        with t.autocast("cpu"):
            result = Product.apply(a, b.requires_grad_() if not cast_inputs else b)
        seen.append(dtype_of(result))
        result.float().sum().backward()
        seen.append(dtype_of(a.grad))
        if not cast_inputs:
            return seen
        return [*seen, dtype_of(Product.apply(a, b.float()))]

    for cast_inputs in (True, False):
        assert program(graphc, cast_inputs) == program(torch, cast_inputs)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints_recompute_in_the_region(reentrant):
    def program(t):
        net, x = network(t)[5:], values(t, 2, 64).requires_grad_()
        with t.autocast("cpu"):
            y = t.utils.checkpoint.checkpoint(net, x, use_reentrant=reentrant)
            loss = y.float().square().sum()
        loss.backward()
        return [x.grad, *(p.grad for p in net.parameters())]

    for mine, theirs in zip(program(graphc), program(torch), strict=True):
        assert mine.dtype is graphc.float32
        assert_same(mine, theirs, 0.05, 0.03)
