"""The text of tensors as programs meet them: what computed them, parameters, views.

The formats of elements are looked at in ``tests/test_printing.py``.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphc
from tests.front.expressions import check, lines, torch

pytestmark = pytest.mark.differential

# x and w are 3x3 floats, of which x requires gradients; i holds positions.
COMPUTED = """
    x+1; x-1; 1-x; x*2; x/2; 2/x; x**2; 2**x; x**x; -x; abs(x); x@w; x.mm(w); t.mv(x, w[0])
    t.dot(x[0], w[0]); t.outer(x[0], w[0]); t.bmm(x[None], w[None]); t.matmul(x[None], w)
    t.addmm(x, x, w); x.t(); x.T; x.transpose(0, 1); x.swapaxes(0, 1); x.permute(1, 0)
    x[0]; x[:, 1:]; x[1:, 0]; x[..., None]; x[[0, 1]]; x[i]; x[x > 0]; x.view(-1); x.reshape(-1)
    x.flatten(); x[None].squeeze(); x[None].squeeze(0); x.unsqueeze(0); x.expand(2, 3, 3)
    x.sum(); x.sum(1); x.mean(); x.mean(0); x.max(); x.max(1).values; x.min(); x.min(0).values
    x.amax(1); x.prod(); x.prod(1); x.std(); x.var(1); x.norm(); x.logsumexp(1); x.cumsum(0)
    x.sort().values; x.topk(2).values; x.kthvalue(1).values; x.median(); x.trace()
    x.exp(); x.log(); x.sqrt(); x.rsqrt(); x.sin(); x.tanh(); x.sigmoid(); x.relu(); x.erf()
    x.expm1(); x.log1p(); x.square(); x.reciprocal(); x.pow(3); x.round(); x.floor(); x.sign()
    x.fmod(2); x.remainder(2); x.clamp(0); x.clamp(0, 1); x.softmax(1); x.log_softmax(1)
    x.nan_to_num(); t.atan2(x, w); t.maximum(x, w); x.lerp(w, 0.5); t.addcmul(x, x, w)
    t.where(x > 0, x, 0.0); t.where(x > 0, x, x); x.masked_fill(x > 0, 0)
    x.masked_select(x > 0); x.gather(0, i); x.index_select(0, i[0]); x.take(i)
    x.scatter(0, i, 1.0); x.scatter(0, i, w); x.index_add(0, i[0], w); x.select(0, 1)
    x.narrow(0, 0, 1); x.as_strided((2,), (1,)); x.unfold(0, 2, 1); x.split(1)[0]; x.chunk(3)[1]
    x.split([1, 2])[1]; x.unbind()[0]; t.cat([x, x]); t.stack([x, x]); x.repeat(2, 1); x.flip(0)
    x.roll(1); x.tril(); x.triu(); x.diagonal(); x.diag(); x.clone(); x.double(); x.to(t.float64)
    x.type_as(w.double()); t.fill(x, 1); t.fill(x, x[0, 0]); x.clone().zero_(); x.clone().fill_(1)
    x.clone().copy_(w); x.clone().add_(1); x.clone().mul_(x)
    t.nn.functional.linear(x, w); t.nn.functional.linear(x, w, x[0]); t.nn.functional.gelu(x)
    t.nn.functional.mse_loss(x, w); t.nn.functional.cross_entropy(x, i[0])
    t.nn.functional.layer_norm(x, (3,)); t.nn.functional.softplus(x); t.nn.functional.silu(x)
    t.nn.functional.conv2d(x[None, None], w[None, None]); t.nn.functional.leaky_relu(x)
    t.nn.functional.max_pool2d(x[None, None], 2); t.nn.functional.pad(x, (1, 1))
"""

MADE = (
    "(lambda x, w, i: {})(t.tensor([[1.0, 2, 3], [4, 5, 6.5], [0.5, 0.25, -1]], "
    "requires_grad=True), t.tensor([[1.0, 0, 3], [4, -5, 6.5], [0.5, 0.25, 1]]), "
    "t.tensor([[0, 1, 2]]))"
)


@pytest.mark.parametrize(
    "expression",
    [part.strip() for line in COMPUTED.split("\n") for part in line.split(";") if part.strip()],
)
def test_what_was_computed_tells_by_what(expression: str) -> None:
    """The name as the text of a tensor has it; elements may differ in their last bits."""
    names = []
    for module in (graphc, torch):
        made = eval(MADE.format(expression), {"t": module})
        text = repr(made)
        assert "grad_fn=<" in text
        names.append(text.rpartition("grad_fn=<")[2])
    assert names[0] == names[1]


TEXTS = lines("""
    repr(t.nn.Parameter(t.ones(2)))
    repr(t.nn.Parameter(t.ones(2, 2), requires_grad=False))
    repr(t.ones(2, requires_grad=True))
    repr(t.ones(2, requires_grad=True).detach())
    repr(t.ones(2, requires_grad=True) + 1)
    repr((t.ones(2, requires_grad=True) + 1)[0])
    repr(t.arange(12.0).reshape(3, 4)[::2, 1::2])
    repr(t.arange(3).expand(2, 3))
    repr(t.arange(4.0).reshape(2, 2).t())
    repr(t.zeros(0))
    repr(t.zeros(0, 3, dtype=t.int64))
    repr(t.zeros(2, 0, requires_grad=True))
    repr(t.tensor(2.5, dtype=t.bfloat16))
    repr(t.tensor([1.5, nan, -inf, -0.0], dtype=t.float16))
    repr(t.tensor([True, False]))
    repr(t.tensor(-7, dtype=t.int8))
    repr(t.tensor([2**63 - 1, -(2**63)]))
    repr(t.tensor([1e-45, 1.0]))
    repr(t.tensor([5e-324, 1.7e308], dtype=t.float64))
    repr(t.zeros(40, 40))
    repr(t.arange(2000, dtype=t.int32))
    repr(t.arange(10.0).exp().requires_grad_())
    repr(t.ones(1, 1, 1, 1, 1))
    repr([t.ones(2), (t.zeros(1), {"a": t.tensor(1)})])
    str(t.ones(2))
    f"{t.ones(2)} {t.tensor(1.5)}"
    "%s" % t.ones(1)
    repr(t.ones(2).shape)
    repr(t.Size([]))
    repr(t.Size([2, 3])[:1])
    repr(t.ones(2).dtype)
    repr(t.ones(2).device)
    repr(t.ones(2).layout)
    (t.ones(2, requires_grad=True) + 1).grad_fn.name()
    repr(t.finfo(t.float32))
    repr(t.iinfo(t.int8))
    repr(t.max(t.ones(2, 2), 1))
    repr(t.sort(t.tensor([2.0, 1.0])))
""")


@pytest.mark.parametrize("line", TEXTS)
def test_texts(line: str) -> None:
    check(line)


def nested(draw: st.DrawFn) -> tuple[str, str]:
    """A chain of views and a dtype."""
    dtype = draw(st.sampled_from(["float32", "float64", "bfloat16", "int64", "uint8", "bool"]))
    shape = draw(st.lists(st.integers(0, 5), min_size=1, max_size=4))
    views = draw(
        st.lists(
            st.sampled_from(
                ["[..., ::2]", "[:1]", ".unsqueeze(0)", ".movedim(0, -1)", ".flip(0)", "[None]"]
            ),
            max_size=3,
        )
    )
    numbers = f"t.arange({max(1, 9 * len(shape))}.0).sub(4).div(3)"
    made = f"({numbers}.repeat(70)[: t.Size({shape}).numel()] * 2).reshape({shape})"
    return f"{made}.to(t.{dtype}){''.join(views)}", dtype


@given(case=st.composite(nested)(), grad=st.booleans())
def test_views_of_any_shape(case: tuple[str, str], grad: bool) -> None:
    expression, dtype = case
    if grad and dtype not in ("int64", "uint8", "bool"):
        expression = f"{expression}.requires_grad_()"
    check(f"repr({expression})")
