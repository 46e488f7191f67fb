"""Products, distances, statistics and special functions where OpInfo has nothing or little."""

import math

from tests.opinfo.written.case import Cases, drawn, eager, failing, ints, seq


def gradient(t, f, *shapes):
    """Values and gradients of a function of fixed tensors."""
    given = [(seq(t, *shape) + 0.1).requires_grad_() for shape in shapes]
    y = f(*given)
    return y.detach(), t.autograd.grad((y * y).sum(), given)


def sublists(t):
    a, b, c = seq(t, 2, 3), seq(t, 3, 4), seq(t, 5, 2, 3)
    return (
        t.einsum(a, [0, 1], b, [1, 2], [2, 0]), t.einsum(a, [0, 1], b, [1, 2]),
        t.einsum(c, [..., 0, 1], a, [0, 1], [...]), t.einsum(a, [0, 1], [1, 0]),
        t.einsum("ij,jk", [a, b]), t.einsum(" i j , j k -> i k ", a, b),
    )  # fmt: skip


def chains(t):
    a, b, c, d = seq(t, 2, 7), seq(t, 7, 3), seq(t, 3, 5), seq(t, 5, 2)
    return (
        t.einsum("ij,jk,kl,lm->im", a, b, c, d), t.einsum("ij,jk,kl,li->", a, b, c, d),
        t.einsum("ab,bc,ab,bd->acd", a, b, a, seq(t, 7, 2)),
        t.einsum("i,j,k->kji", a[:, 0], b[0], d[:, 1]),
    )  # fmt: skip


def many_operands(t):
    parts = [seq(t, 2, 2) / 4 + i * 0.1 for i in range(10)]
    letters = "abcdefghijk"
    equation = ",".join(letters[i : i + 2] for i in range(10)) + "->ak"
    return t.einsum(equation, *parts)


def diagonals(t):
    x = seq(t, 3, 3, 3)
    return (
        t.einsum("iii->i", x), t.einsum("iij->j", x), t.einsum("iji", x),
        t.einsum("...ii->...i", x),
        t.einsum("ii,ii->i", x[0], x[1]), t.einsum("aab,b->a", x, x[0, 0]),
    )  # fmt: skip


def shared_memory(t):
    x = t.zeros(3, 3)
    t.einsum("ii->i", x).fill_(2)
    t.einsum("ij->ji", x)[0, 1] = 5
    return x


def ignores_nan(t):
    bad, a, b = t.full((2, 2), math.nan), seq(t, 2, 3), seq(t, 3, 2)
    batches = seq(t, 2, 2, 3), seq(t, 2, 3, 2)
    return (
        t.addmm(bad, a, b, beta=0), t.addmv(bad[0], a, b[:, 0], beta=0),
        t.addr(bad, a[:, 0], b[0], beta=0), t.addbmm(bad, *batches, beta=0),
        t.baddbmm(bad, *batches, beta=0, alpha=2),
    )  # fmt: skip


def pairwise(t):
    x = seq(t, 4, 3)
    powers = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, math.inf)
    return [t.pdist(x, p) for p in powers], t.pdist(x[:1]), t.pdist(x[:, :0]), t.pdist(x, p=2)


def same_points(t):
    """Distances of a point from itself: their gradient is 0."""
    given = seq(t, 3, 2).requires_grad_()
    found = []
    for p in (1.0, 1.5, 2.0, 3.0, math.inf):
        if p < math.inf:  # where coordinates tie, PyTorch gives the whole cotangent to each
            found.append(t.autograd.grad(t.cdist(given, given.detach(), p=p).sum(), given))
        found.append(t.autograd.grad(t.dist(given, given.detach(), p=p), given))
        found.append(t.autograd.grad(t.norm(given * 0, p=p), given))
    return found


def slopes(t):
    x = seq(t, 5).requires_grad_()
    t.manual_seed(0)
    y = t.rrelu(x, 0.2, 0.3, True)
    (g,) = t.autograd.grad(y.sum(), x)
    kept = (y.detach() == x.detach()) == (x.detach() > 0)
    return kept, (g >= 0.2), (g <= 1)


def refused(t):
    x, y = seq(t, 3).abs().requires_grad_(), (seq(t, 3).abs() + 1).requires_grad_()
    t.special.gammainc(x, y).sum().backward()


CASES: Cases = {
    "einsum": [
        sublists, chains, many_operands, diagonals, shared_memory,
        lambda t: gradient(t, lambda a, b, c: t.einsum("ij,jk,lk->li", a, b, c), (2, 3), (3, 4),
                           (2, 4)),
        lambda t: gradient(t, lambda a, b: t.einsum("...ij,...j->...i", a, b), (5, 2, 3), (3,)),
        lambda t: gradient(t, lambda a: t.einsum("iij->j", a), (3, 3, 2)),
        lambda t: t.einsum("ij,kj->ik", seq(t, 2, 1), seq(t, 3, 4)),
        lambda t: (t.einsum("i->", ints(t, 4, dtype="int8")),
                   t.einsum("ij,jk->ik", ints(t, 2, 3), ints(t, 3, 2))),
        lambda t: t.einsum(",i->i", t.tensor(2.0), seq(t, 3)),
        failing(lambda t: t.einsum("ij,jk", seq(t, 2, 3), seq(t, 4, 3))),
        failing(lambda t: t.einsum("ij", seq(t, 2))),
        failing(lambda t: t.einsum("ii", seq(t, 2, 3))),
        failing(lambda t: t.einsum("i->j", seq(t, 2))),
        failing(lambda t: t.einsum("i->ii", seq(t, 2))),
        failing(lambda t: t.einsum("i,j", seq(t, 2))),
        failing(lambda t: t.einsum("i", seq(t, 2), seq(t, 2))),
        failing(lambda t: t.einsum("i.j", seq(t, 2, 2))),
        failing(lambda t: t.einsum("i1", seq(t, 2, 2))),
        failing(lambda t: t.einsum("i")),
        failing(lambda t: t.einsum(seq(t, 2), [60])),
    ],
    "addmm": [
        ignores_nan,
        failing(lambda t: t.addmm(seq(t, 4, 2, 2), seq(t, 2, 3), seq(t, 3, 2))),
        failing(lambda t: t.addmm(seq(t, 2, 2), seq(t, 2, 3), ints(t, 3, 2))),
        lambda t: t.zeros(2, 2).addmm_(seq(t, 2, 3), seq(t, 3, 2), alpha=0.5),
    ],
    "vander": [
        lambda t: (t.vander(seq(t, 3)), t.vander(seq(t, 3), 2), t.vander(seq(t, 3), N=5),
                   t.vander(seq(t, 3), increasing=True), t.vander(ints(t, 4, dtype="int8"), 0)),
        failing(lambda t: t.vander(seq(t, 2, 2))),
        failing(lambda t: t.vander(seq(t, 2), -1)),
    ],
    "chain_matmul": [
        lambda t: t.chain_matmul(seq(t, 2, 3)),
        lambda t: gradient(t, t.chain_matmul, (2, 5), (5, 3), (3, 4)),
    ],
    "pdist": [
        pairwise,
        lambda t: gradient(t, lambda x: t.pdist(x, 1.5), (4, 3)),
        failing(lambda t: t.pdist(seq(t, 3))),
        failing(lambda t: t.pdist(seq(t, 3, 2), -1.0)),
    ],
    "cdist": [
        same_points,
        lambda t: t.cdist(seq(t, 30, 3), seq(t, 2, 3)),
        failing(lambda t: t.cdist(seq(t, 3), seq(t, 3, 3))),
        failing(lambda t: t.cdist(seq(t, 3, 2), seq(t, 3, 3))),
        failing(lambda t: t.cdist(seq(t, 3, 2), seq(t, 3, 2), p=-1)),
    ],
    "cross": [
        lambda t: (t.cross(seq(t, 4, 3, 3), seq(t, 4, 3, 3)),
                   t.cross(seq(t, 3, 3), seq(t, 3, 3), 1),
                   t.linalg.cross(seq(t, 4, 3), seq(t, 1, 3))),
        failing(lambda t: t.cross(seq(t, 2, 2), seq(t, 2, 2))),
        failing(lambda t: t.linalg.cross(seq(t, 2, 3), seq(t, 3))),
    ],
    "std_mean": [
        lambda t: (t.std_mean(seq(t, 3, 4)), t.var_mean(seq(t, 3, 4), 1, keepdim=True),
                   t.std_mean(seq(t, 3, 4), dim=(0, 1), correction=0),
                   t.var_mean(seq(t, 3, 4), False), seq(t, 3).std(unbiased=False)),
        lambda t: gradient(t, lambda x: (x * 0).std(), (4,)),
        failing(lambda t: t.std_mean(ints(t, 3))),
        failing(lambda t: t.var(seq(t, 3), 0, True, correction=1)),
    ],
    "max": [
        failing(lambda t: t.max(t.zeros(0))),
        failing(lambda t: t.max(t.zeros(0, 2), 0)),
        failing(lambda t: t.argmax(t.zeros(0), 0)),
        failing(lambda t: t.aminmax(t.zeros(0))),
        failing(lambda t: t.aminmax(t.zeros(0), dim=0)),
        lambda t: t.max(t.zeros(2, 0, 3), 0),
    ],
    "is_nonzero": [
        eager(lambda t: (t.is_nonzero(t.tensor(2)), t.is_nonzero(t.tensor([0.0])))),
        failing(lambda t: t.is_nonzero(seq(t, 2))),
        failing(lambda t: t.is_nonzero(t.zeros(0))),
    ],
    "is_complex": [lambda t: (t.is_complex(seq(t, 2)), ints(t, 2).is_complex())],
    "rrelu": [
        drawn(slopes),
        lambda t: (t.rrelu(seq(t, 6)), t.rrelu_(seq(t, 6), 0.1, 0.5)),
    ],
    "celu": [
        lambda t: (t.celu(seq(t, 6)), t.celu_(seq(t, 6), 0.5), t.selu(seq(t, 6)),
                   t.selu_(seq(t, 6)), t.threshold(seq(t, 6), 0.5, -2), t.relu_(seq(t, 6)),
                   t.threshold_(seq(t, 6), 1, 3), t.prelu(seq(t, 2, 3), t.tensor([0.25]))),
    ],
    "bitwise_left_shift": [
        lambda t: (ints(t, 5) << 2, ints(t, 5) >> 1, 1 << ints(t, 5).abs(),
                   ints(t, 5) << ints(t, 5).abs(),
                   ints(t, 5, dtype="uint8") >> 1, ints(t, 5).bitwise_left_shift_(1)),
        failing(lambda t: seq(t, 3) << 1),
    ],
    "igamma": [failing(refused)],
    "special.zeta": [
        lambda t: (t.special.zeta(2, seq(t, 4).abs() + 1), t.special.zeta(ints(t, 3).abs() + 2, 2)),
        lambda t: gradient(t, lambda x: t.special.zeta(t.tensor(3.0), x + 4), (4,)),
    ],
    "special.psi": [
        lambda t: [getattr(t.special, name)(seq(t, 6).abs() / 8 + 0.1) for name in (
            "psi", "gammaln", "expit", "expm1", "log1p", "erf", "erfc", "exp2", "digamma", "logit",
            "erfinv", "sinc", "i0")],
        lambda t: (t.special.multigammaln(seq(t, 4).abs() + 3, 2), t.special.round(seq(t, 4)),
                   t.special.polygamma(1, seq(t, 4).abs() + 1), t.special.logsumexp(seq(t, 4), 0),
                   t.special.xlogy(seq(t, 4), 2), t.special.log_softmax(seq(t, 4), 0)),
    ],
    "exp_": [
        lambda t: [getattr(t, f"{name}_")(seq(t, 4).abs() / 8 + 1) for name in (
            "abs", "acosh", "exp", "sqrt", "neg", "square", "trunc", "sigmoid", "log", "deg2rad",
            "i0", "nan_to_num", "sinc", "frac", "rsqrt", "erf")],
        lambda t: (t.clamp_(seq(t, 4), 0, 1), t.clip_(seq(t, 4), 0, 1), seq(t, 4).clip_(max=0.5),
                   t.clamp_min_(seq(t, 4), 0), t.round_(seq(t, 4), decimals=1),
                   t.xlogy_(seq(t, 4).abs(), seq(t, 4).abs())),
    ],
    "sum": [
        lambda t: (seq(t, 2, 3).sum(axis=0, keepdims=True), t.add(x1=seq(t, 2), x2=seq(t, 2)),
                   t.mean(a=seq(t, 2, 3), axis=1)),
        failing(lambda t: t.sum(seq(t, 2, 3), axis=0, dim=0)),
    ],
}  # fmt: skip
