"""Small programs that read the same for graphc and PyTorch, run by both and compared."""

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.differential


def seq(t, *shape, dtype=None):
    count = int(np.prod(shape))
    values = [((i * 7919) % 23 - 11) / 4 for i in range(count)]
    made = t.tensor(values).reshape(shape)
    return made if dtype is None else made.to(getattr(t, dtype))


def ints(t, *shape, dtype="int64"):
    count = int(np.prod(shape))
    made = t.tensor([(i * 7919) % 13 - 6 for i in range(count)]).reshape(shape)
    return made.to(getattr(t, dtype))


def in_place(t, change, *shape):
    x = seq(t, *shape)
    change(x)
    return x


def through_views(t):
    x = t.zeros(4, 6)
    x[:, 1] = 5
    x.t()[2].add_(3)
    x[1:3, ::2] *= 2
    x.view(-1)[:3] = seq(t, 3)
    return x, x.T.is_contiguous(), x.stride(), x[1:, 2:].storage_offset()


def gradient(t, function, *shapes):
    inputs = [seq(t, *s).requires_grad_() for s in shapes]
    out = function(t, *inputs)
    (out * seq(t, *out.shape)).sum().backward()
    return out.detach(), [x.grad for x in inputs]


def second(t, function, *shapes):
    inputs = [seq(t, *s, dtype="float64").requires_grad_() for s in shapes]
    out = function(t, *inputs).sum()
    first = t.autograd.grad(out, inputs, create_graph=True)
    total = sum((g * g).sum() for g in first)
    return t.autograd.grad(total, inputs, allow_unused=True)


def in_place_gradient(t):
    w = seq(t, 4, 3).requires_grad_()
    x = w * 2
    x[1] = x[0].clone() * x[2].clone()
    x[:, 1].mul_(w[:, 0])
    y = x.t()
    x.add_(1)
    (y * seq(t, 3, 4)).sum().backward()
    return w.grad, x.detach(), y.detach()


PROGRAMS = {
    "add": lambda t: seq(t, 2, 3) + seq(t, 3),
    "add alpha": lambda t: t.add(seq(t, 2), seq(t, 2), alpha=3),
    "reflected": lambda t: (1 - seq(t, 3), 2 / (seq(t, 3) + 0.1), 2 ** seq(t, 3)),
    "int / int": lambda t: ints(t, 4) / 3,
    "int // int": lambda t: (ints(t, 6) // 4, ints(t, 6) % 4, ints(t, 6) // -4),
    "div modes": lambda t: [
        t.div(seq(t, 6), 0.4, rounding_mode=m) for m in (None, "floor", "trunc")
    ],
    "promote int float": lambda t: ints(t, 3) + 1.5,
    "promote zero dim": lambda t: ints(t, 3, dtype="int8") + t.tensor(1.5, dtype=t.float64),
    "promote dims": lambda t: seq(t, 3) + seq(t, 3, dtype="float64"),
    "promote bool": lambda t: (seq(t, 3) > 0) + 1,
    "bool and": lambda t: ((seq(t, 6) > 0) & (seq(t, 6) < 1), ~(seq(t, 6) > 0)),
    "int bits": lambda t: (ints(t, 6) & 3, ints(t, 6) | 4, ints(t, 6) ^ 5, ~ints(t, 6)),
    "compare": lambda t: (seq(t, 6) >= 0, ints(t, 6) == 1, seq(t, 6).ne(0.25)),
    "pow": lambda t: (seq(t, 5) ** 2, ints(t, 5) ** 2, seq(t, 5).abs() ** 0.5),
    "unary ints": lambda t: (ints(t, 5).sqrt(), ints(t, 5).abs(), ints(t, 5).exp()),
    "clamp": lambda t: (seq(t, 9).clamp(-1, 1), seq(t, 9).clamp(min=0), seq(t, 9).clip(max=1)),
    "where": lambda t: (
        t.where(seq(t, 6) > 0, seq(t, 6), 0.0),
        t.where(seq(t, 6) > 0, 1, 2),
        t.where(seq(t, 6) > 0, ints(t, 6), seq(t, 6)),
    ),
    "masked_fill": lambda t: seq(t, 2, 3).masked_fill(seq(t, 2, 3) > 0, -1),
    "lerp": lambda t: t.lerp(seq(t, 4), seq(t, 4) * 2, 0.25),
    "addcmul": lambda t: t.addcmul(seq(t, 4), seq(t, 4), seq(t, 4), value=0.5),
    "round": lambda t: (seq(t, 9).round(), seq(t, 9).floor(), seq(t, 9).trunc()),
    "sum": lambda t: (seq(t, 3, 4).sum(), seq(t, 3, 4).sum(1), seq(t, 3, 4).sum((0, 1), True)),
    "sum ints": lambda t: (ints(t, 4, dtype="int8").sum(), (seq(t, 4) > 0).sum()),
    "sum dtype": lambda t: ints(t, 4).sum(dtype=t.float32),
    "mean": lambda t: (seq(t, 3, 4).mean(), seq(t, 3, 4).mean(-1, keepdim=True)),
    "var": lambda t: (seq(t, 3, 4).var(), seq(t, 3, 4).std(1), seq(t, 3, 4).var(0, False)),
    "max": lambda t: (seq(t, 3, 4).max(), seq(t, 3, 4).max(1), seq(t, 3, 4).max(0, True)),
    "max pair": lambda t: t.max(seq(t, 4), seq(t, 4) * -1),
    "argmax": lambda t: (seq(t, 3, 4).argmax(), seq(t, 3, 4).argmin(1)),
    "any all": lambda t: ((seq(t, 3, 4) > 2).any(1), (seq(t, 3, 4) > -9).all(), ints(t, 4).any()),
    "prod": lambda t: (seq(t, 4).prod(), ints(t, 2, 2).prod(0)),
    "softmax": lambda t: (seq(t, 3, 4).softmax(1), t.log_softmax(seq(t, 3, 4), 0)),
    "norm": lambda t: (seq(t, 3, 4).norm(), seq(t, 3, 4).norm(1, 1), seq(t, 3).norm(float("inf"))),
    "matmul": lambda t: (
        seq(t, 2, 3) @ seq(t, 3, 4), seq(t, 5, 2, 3) @ seq(t, 3), seq(t, 3) @ seq(t, 3),
        seq(t, 4, 1, 2, 3) @ seq(t, 5, 3, 2), ints(t, 2, 3) @ ints(t, 3, 2),
    ),
    "addmm": lambda t: t.addmm(seq(t, 3), seq(t, 2, 4), seq(t, 4, 3), beta=2, alpha=0.5),
    "bmm": lambda t: (t.bmm(seq(t, 2, 3, 4), seq(t, 2, 4, 2)), t.outer(seq(t, 2), seq(t, 3))),
    "reshape": lambda t: (seq(t, 2, 6).reshape(3, -1), seq(t, 2, 6).view(4, 3), seq(t, 1).view(())),
    "flatten": lambda t: (seq(t, 2, 3, 4).flatten(1), seq(t, 2, 3).flatten(), t.tensor(1.0).flatten()),
    "squeeze": lambda t: (seq(t, 1, 3, 1).squeeze(), seq(t, 1, 3, 1).squeeze(0), seq(t, 3).unsqueeze(-1)),
    "transpose": lambda t: (seq(t, 2, 3).t(), seq(t, 2, 3, 4).transpose(0, 2), seq(t, 2, 3, 4).mT),
    "permute": lambda t: (seq(t, 2, 3, 4).permute(2, 0, 1), seq(t, 2, 3, 4).movedim(0, -1)),
    "expand": lambda t: (seq(t, 3, 1).expand(-1, 4), seq(t, 3).expand(2, 3), seq(t, 3).repeat(2, 2)),
    "cat": lambda t: (t.cat([seq(t, 2, 3), seq(t, 1, 3)]), t.stack([seq(t, 3), seq(t, 3)], 1)),
    "cat promotes": lambda t: t.cat([seq(t, 3), ints(t, 2)]),
    "split": lambda t: (seq(t, 7).split(3), seq(t, 7).chunk(3), seq(t, 6, 2).split([1, 5])),
    "narrow": lambda t: (seq(t, 6).narrow(0, 1, 3), seq(t, 3, 4).select(1, -1), seq(t, 2, 2).unbind(1)),
    "flip": lambda t: (seq(t, 2, 3).flip(1), seq(t, 5).roll(2), seq(t, 2, 3).roll((1, -1), (0, 1))),
    "tril": lambda t: (seq(t, 3, 4).tril(), seq(t, 3, 4).triu(1), seq(t, 2, 3, 3).tril(-1)),
    "index basic": lambda t: (
        seq(t, 4, 5)[1], seq(t, 4, 5)[-1, 2:], seq(t, 4, 5)[::2, None, 1::3], seq(t, 4, 5)[..., -1],
        seq(t, 4)[2], seq(t, 2, 3, 4)[0, ..., 1],
    ),
    "index arrays": lambda t: (
        seq(t, 4, 5)[t.tensor([0, -1, 2])], seq(t, 4, 5)[:, [1, 1]], seq(t, 4, 5)[[0, 1], [2, -1]],
        seq(t, 3, 4, 5)[t.tensor([[0], [1]]), :, t.tensor([1, 2])], seq(t, 3, 4, 5)[1, [0, 2]],
        seq(t, 4, 5)[seq(t, 4, 5) > 0], seq(t, 4, 5)[seq(t, 4) > 0], seq(t, 3, 4, 5)[:, [0, 1], [2, 3]],
    ),
    "assign": lambda t: (
        in_place(t, lambda x: x.__setitem__((slice(None), 1), 7), 3, 4),
        in_place(t, lambda x: x.__setitem__([0, 2], seq(t, 4)), 3, 4),
        in_place(t, lambda x: x.__setitem__(x > 0, 0), 3, 4),
        in_place(t, lambda x: x.__setitem__(([0, 1], [2, 3]), t.tensor([9.0, 8.0])), 3, 4),
        in_place(t, lambda x: x.__setitem__(x > 0, x[x > 0] * 2), 3, 4),
    ),
    "in place": lambda t: (
        in_place(t, lambda x: x.add_(1).mul_(2), 3), in_place(t, lambda x: x.clamp_(0, 1), 5),
        in_place(t, lambda x: x.copy_(ints(t, 3)), 2, 3), in_place(t, lambda x: x.zero_(), 3),
        in_place(t, lambda x: x.t().add_(seq(t, 2)), 2, 3), in_place(t, lambda x: x.exp_(), 3),
    ),
    "through views": through_views,
    "gather": lambda t: (
        seq(t, 3, 4).gather(1, t.tensor([[0, 3], [1, 1], [2, 0]])),
        t.index_select(seq(t, 3, 4), 1, t.tensor([3, 0])),
        t.zeros(3, 4).scatter(1, t.tensor([[0], [2], [1]]), 1.0),
        t.zeros(2, 4).scatter_add(0, t.tensor([[0, 1, 1], [0, 0, 1]]), seq(t, 2, 3)),
        (seq(t, 3, 4) > 0).nonzero(), seq(t, 3, 4).masked_select(seq(t, 3, 4) > 1),
    ),
    "creation": lambda t: (
        t.zeros(2, 3), t.ones((2,)), t.full((2, 2), 7), t.full((2,), 1.5), t.eye(3, 2), t.arange(5),
        t.arange(1.0, 2.0, 0.3), t.arange(5, 0, -2), t.linspace(0, 1, 5), t.tensor([[1, 2], [3, 4.5]]),
        t.zeros_like(ints(t, 3)), t.ones_like(seq(t, 2), dtype=t.int32), t.tensor([]), t.tensor(True),
        seq(t, 2).new_zeros(3), t.tensor([[], []]), t.tensor(3),
    ),
    "casts": lambda t: (
        seq(t, 5).int(), seq(t, 5).long(), seq(t, 5).bool(), ints(t, 3).float(), seq(t, 3).double(),
        seq(t, 3).to(t.float64), seq(t, 3).half(), ints(t, 5).to(t.uint8), seq(t, 3).bfloat16(),
    ),
    "python": lambda t: (
        seq(t, 1).item(), ints(t, 3).tolist(), len(seq(t, 4, 2)), float(t.tensor(2.5)), int(t.tensor(3)),
        bool(t.tensor(0)), [x.item() for x in seq(t, 3)], 2.0 in t.tensor([1.0, 2.0]),
        f"{t.tensor(2.5):.2f}", seq(t, 2, 3).numel(), seq(t, 2, 3).dim(), list(seq(t, 2, 3).size()),
    ),
    "gradient broadcast": lambda t: gradient(t, lambda t, a, b: a * b + b, (3, 4), (4,)),
    "gradient matmul": lambda t: gradient(t, lambda t, a, b: a @ b, (2, 3), (3, 4)),
    "gradient softmax": lambda t: gradient(t, lambda t, a: a.log_softmax(1), (3, 4)),
    "gradient index": lambda t: gradient(t, lambda t, a: a[[0, 0, 2]] + a[1], (3, 4)),
    "gradient max": lambda t: gradient(t, lambda t, a: a.max(1).values, (3, 4)),
    "gradient cat": lambda t: gradient(t, lambda t, a, b: t.cat([a, b * 2], 1), (2, 3), (2, 2)),
    "gradient var": lambda t: gradient(t, lambda t, a: a.var(0), (4, 3)),
    "gradient where": lambda t: gradient(t, lambda t, a: t.where(a > 0, a, a.exp()), (6,)),
    "gradient views": lambda t: gradient(
        t, lambda t, a: a.t()[1:].reshape(-1).unsqueeze(0).expand(2, -1), (3, 4)
    ),
    "gradient in place": in_place_gradient,
    "second": lambda t: second(t, lambda t, a, b: (a * b).tanh() @ b.t(), (3, 4), (3, 4)),
    "second softmax": lambda t: second(t, lambda t, a: a.softmax(1) * a, (3, 4)),
}  # fmt: skip


def check(ours, theirs):
    if isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            check(a, b)
    elif isinstance(theirs, torch.Tensor):
        assert isinstance(ours, graphc.Tensor)
        assert str(ours.dtype).replace("graphc", "torch") == str(theirs.dtype)
        assert tuple(ours.shape) == tuple(theirs.shape)
        np.testing.assert_allclose(
            np.array(ours.detach().tolist(), np.float64),
            np.array(theirs.tolist(), np.float64),
            rtol=2e-6, atol=1e-6,
        )  # fmt: skip
    else:
        assert ours == theirs and type(ours) is type(theirs)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    check(PROGRAMS[name](graphc), PROGRAMS[name](torch))


MISTAKES = {
    "shapes": lambda t: seq(t, 3) + seq(t, 4),
    "matmul shapes": lambda t: seq(t, 2, 3) @ seq(t, 2, 3),
    "reshape": lambda t: seq(t, 6).reshape(4),
    "view of transpose": lambda t: seq(t, 2, 3).t().view(6),
    "dim": lambda t: seq(t, 2, 3).sum(2),
    "index": lambda t: seq(t, 3)[3],
    "index tensor": lambda t: seq(t, 3)[t.tensor([5])],
    "too many indices": lambda t: seq(t, 3)[0, 0],
    "negative step": lambda t: seq(t, 3)[::-1],
    "in place shape": lambda t: seq(t, 3).add_(seq(t, 2, 3)),
    "in place dtype": lambda t: ints(t, 3).add_(1.5),
    "in place leaf": lambda t: seq(t, 3).requires_grad_().add_(1),
    "in place expanded": lambda t: t.zeros(1).expand(3).add_(1),
    "mean of ints": lambda t: ints(t, 3).mean(),
    "grad of ints": lambda t: ints(t, 3).requires_grad_(),
    "no grad": lambda t: seq(t, 3).sum().backward(),
    "not scalar": lambda t: seq(t, 3).requires_grad_().exp().backward(),
    "numpy of grad": lambda t: seq(t, 3).requires_grad_().numpy(),
    "item": lambda t: seq(t, 3).item(),
    "truth": lambda t: bool(seq(t, 3)),
    "mixed matmul": lambda t: seq(t, 2, 2) @ ints(t, 2, 2),
    "add string": lambda t: seq(t, 3) + "x",
    "len": lambda t: len(t.tensor(1)),
    "cat": lambda t: t.cat([seq(t, 2, 3), seq(t, 2, 4)]),
    "ragged": lambda t: t.tensor([[1, 2], [3]]),
    "bool neg": lambda t: -(seq(t, 3) > 0),
    "bool sub": lambda t: (seq(t, 3) > 0) - (seq(t, 3) > 0),
    "permute": lambda t: seq(t, 2, 3).permute(0, 0),
    "expand": lambda t: seq(t, 3).expand(4),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    with pytest.raises(Exception) as theirs:
        MISTAKES[name](torch)
    with pytest.raises(theirs.type):
        MISTAKES[name](graphc)
