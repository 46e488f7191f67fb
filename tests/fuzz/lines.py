"""The lines that random programs are made of, by what they need of their operands.

In a line ``{a}``, ``{b}``, ``{c}`` are earlier values, ``{n}`` a small number, ``{k}`` a whole one,
``{d}`` a dimension of ``a``, ``{i}`` a position along it, ``{s}`` a shape.

A line is *smooth* where a rounding difference of its operands stays a rounding difference of its
result; the others (comparisons, rounding, sorting, extremes) take exact operands only: values that
every correct implementation computes to the last bit.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """``kinds`` has a letter for each operand.

    f float, i integer, b bool, n float or integer, x any; capitals want an exact value. ``keeps``:
    the result is exact where the operands are. ``writes``: the first operand is written in place.
    """

    text: str
    kinds: str
    keeps: bool = False
    writes: bool = False


def _many(kinds: str, texts: str, keeps: bool = False, writes: bool = False) -> list[Line]:
    found = [line.strip() for line in texts.strip().splitlines()]
    return [Line(text, kinds, keeps, writes) for text in found]


LINES: list[Line] = [
    # smooth functions of floats
    *_many(
        "f",
        """
        torch.tanh({a})
        torch.sigmoid({a})
        torch.exp(-{a}.abs())
        torch.sin({a})
        {a}.cos()
        torch.sqrt({a}.abs() + 0.5)
        torch.log({a}.abs() + 0.5)
        torch.rsqrt({a} * {a} + 1)
        torch.erf({a})
        torch.atan({a})
        torch.log1p({a}.square())
        torch.expm1(torch.tanh({a}))
        torch.reciprocal({a}.abs() + 1)
        {a}.square()
        {a} ** 3 * 0.1
        torch.nn.functional.softplus({a})
        torch.nn.functional.gelu({a})
        torch.nn.functional.silu({a})
        torch.softmax({a}, {d})
        {a}.log_softmax({d})
        torch.logsumexp({a}, {d})
        {a}.mean()
        {a}.mean({d}, keepdim=True)
        {a}.sum({d})
        {a}.sum()
        (1 + {a} * 0.1).prod({d})
        torch.cumsum({a}, {d})
        torch.linalg.vector_norm({a} + 0.25)
        ({a}.abs() + 0.5).norm(dim={d})
        torch.diff({a}, dim={d})
        {a}.mul({n}).add(0.5)
        {a} / ({n} + 3.5)
        torch.lerp({a}, {a}.flip(0), 0.25)
        torch.addcmul({a}, {a}, {a}, value=0.1)
        torch.nn.functional.pad({a}, (1, 0), value={n})
        torch.einsum('...->', {a})
        torch.baddbmm({a}.sum(), {a}.reshape(1, 1, -1), {a}.reshape(1, -1, 1), beta=0.5)
        """,
    ),
    *_many(
        "ff",
        """
        {a} + {b}
        {a} - {b}
        {a} * {b}
        {a} / ({b}.abs() + 1)
        torch.add({a}, {b}, alpha=2)
        torch.atan2({a}.abs() + 0.5, {b}.abs() + 0.5)
        torch.hypot({a} + 3, {b})
        torch.logaddexp({a}, {b})
        {a} @ {b}
        {a} @ {b}.mT
        torch.outer({a}.reshape(-1), {b}.reshape(-1))
        torch.einsum('i,j->ij', {a}.flatten(), {b}.flatten())
        torch.nn.functional.mse_loss({a}, {b})
        torch.dist({a}, {b} + 9)
        """,
    ),
    *_many("nn", "{a} + {b}\n{a} * {b}\n{b} - {a}\ntorch.true_divide({a}, {b}.abs() + 1)"),
    *_many("bff", "torch.where({a}, {b}, {c})\n{b}.masked_fill({a}, {n})\n{b} * {a} + {c}"),
    # rearrangements: exact as their operands are
    *_many(
        "x",
        """
        {a}.clone()
        {a}.detach()
        {a}.reshape(-1)
        {a}.flatten()
        {a}.t()
        {a}.mT
        {a}.transpose(0, -1)
        {a}.permute(tuple(range({a}.ndim))[::-1])
        {a}.unsqueeze({d})
        {a}.squeeze()
        {a}.contiguous().view(-1)
        {a}[{i}]
        {a}[..., {i}]
        {a}[1:]
        {a}[..., :-1]
        {a}[::2]
        {a}[None]
        {a}[..., None]
        {a}.narrow({d}, 0, 1)
        {a}.select({d}, {i})
        {a}.expand(2, *{a}.shape)
        {a}.flip({d})
        torch.roll({a}, 1, {d})
        torch.cat([{a}, {a}], {d})
        torch.stack([{a}, {a}], {d})
        {a}.repeat(2, *[1] * {a}.ndim)
        {a}.chunk(2, {d})[0]
        torch.split({a}, 1, {d})[-1]
        torch.unbind({a}, {d})[{i}]
        {a}.diagonal(0, 0, -1)
        {a}.unfold({d}, 1, 1)
        {a}.movedim({d}, 0)
        torch.tril({a})
        torch.triu({a}, 1)
        torch.zeros_like({a})
        torch.ones_like({a})
        torch.full({s}, {k}, dtype={a}.dtype)
        torch.index_select({a}, {d}, torch.tensor([0, {i}]))
        {a}[torch.tensor([{i}, 0, -1])]
        {a}.to(torch.float32)
        {a}.to(torch.float64)
        torch.rot90({a})
        torch.tile({a}, (2,))
        torch.repeat_interleave({a}, 2, {d})
        torch.take_along_dim({a}, torch.zeros_like({a}, dtype=torch.int64), {d})
        torch.atleast_2d({a})
        """,
        keeps=True,
    ),
    *_many("xx", "torch.cat([{a}, {b}], {d})\ntorch.stack([{a}, {b}])", keeps=True),
    *_many("bxx", "torch.where({a}, {b}, {c})", keeps=True),
    *_many(
        "n", "{a}.neg()\n{a}.abs()\n-{a}\ntorch.relu({a})\n{a}.clamp(-1, 1)\n{a} * 2", keeps=True
    ),
    # steps that would make a rounding difference visible
    *_many(
        "F",
        """
        {a}.floor()
        {a}.round()
        torch.ceil({a})
        {a}.trunc()
        torch.sign({a})
        torch.sort({a}, {d}).values
        {a}.sort(descending=True)[0]
        torch.topk({a}.detach(), 1, {d}).values
        {a}.cummax({d}).values
        torch.remainder({a}, 0.75)
        torch.fmod({a}, 0.75)
        {a}.median()
        {a}.to(torch.int64)
        {a}.to(torch.int32)
        {a}.bfloat16()
        torch.frac({a})
        """,
        keeps=True,
    ),
    *_many(
        "N",
        """
        {a} > {n}
        {a} == {k}
        {a}.isfinite()
        {a}.amax({d})
        {a}.max()
        {a}.min({d})[0]
        torch.amin({a}, {d}, keepdim=True)
        {a}.argmax({d})
        torch.argsort({a}, {d}, stable=True)
        {a}.any({d})
        {a}.all()
        {a}.bool()
        torch.unique({a}.detach())
        {a}.nonzero()
        {a}[{a} > 0]
        torch.masked_select({a}, {a} != 0)
        ({a} if bool({a}.sum() > 0) else {a} * 2)
        torch.clamp({a}, min={k})
        torch.count_nonzero({a}, {d})
        torch.searchsorted(torch.sort({a}.reshape(-1)).values, {a}.reshape(-1)[:2])
        """,
        keeps=True,
    ),
    *_many(
        "NN",
        """
        torch.maximum({a}, {b})
        {a} < {b}
        {a} >= {b}
        torch.minimum({a}, {b})
        torch.floor_divide({a}, {b}.abs() + 1)
        """,
        keeps=True,
    ),
    # integers and truth values
    *_many(
        "i",
        """
        {a} // 3
        {a} % 5
        {a} & 6
        {a} | 1
        {a} ^ 3
        ~{a}
        {a} << 1
        {a} >> 1
        {a}.sum({d})
        {a}.cumsum({d})
        {a}.float()
        {a}.double() * 0.125
        {a}.to(torch.uint8)
        {a}.to(torch.int16)
        torch.bincount({a}.reshape(-1).abs() % 7)
        torch.nn.functional.one_hot({a}.abs() % 3, 3)
        """,
        keeps=True,
    ),
    *_many("ii", "{a} + {b}\n{a} * {b}\n{a} & {b}\n{a} ^ {b}\ntorch.gcd({a}, {b})", keeps=True),
    *_many(
        "b", "~{a}\n{a}.float()\n{a}.sum({d})\n{a}.to(torch.int32)\n{a}.int().cumsum(0)", keeps=True
    ),
    *_many("bb", "{a} & {b}\n{a} | {b}\n{a} ^ {b}\ntorch.logical_and({a}, {b})", keeps=True),
    *_many("xi", "{a}[{b}.reshape(-1).abs() % {a}.shape[0]]", keeps=True),
    *_many(
        "fi",
        "torch.zeros(5, dtype={a}.dtype)"
        ".index_add(0, {b}.flatten()[:1].abs() % 5, {a}.flatten()[:1])",
    ),
    *_many(
        "f",
        "torch.zeros(2, *{a}.shape, dtype={a}.dtype)"
        ".scatter_add(0, torch.ones_like({a}, dtype=torch.int64)[None], {a}[None])",
    ),
    *_many("f", "torch.gather({a}, {d}, torch.zeros_like({a}, dtype=torch.int64))", keeps=True),
    # writes
    *_many(
        "f",
        """
        {a}.tanh_()
        {a}.mul_(0.5)
        {a}[1:].sigmoid_()
        {a}.t().sub_(1)
        {a}.div_({k} + 3)
        """,
        writes=True,
    ),
    *_many(
        "x",
        """
        {a}.zero_()
        {a}.fill_({k})
        {a}[{i}] = {k}
        {a}[..., {i}] = 1
        {a}.t()[0] = 1
        {a}[::2].fill_(1)
        {a}.diagonal().zero_()
        {a}.select({d}, {i}).fill_({k})
        """,
        keeps=True,
        writes=True,
    ),
    *_many(
        "ff",
        """
        {a}.add_({b})
        {a}.add_({b}, alpha=0.5)
        {a}[...] = {b}
        {a}[1:] = {b}
        {a}.t().copy_({b})
        {a}[{i}].mul_({b}.mean())
        {a}.addcmul_({b}, {b}, value=0.1)
        {a}.lerp_({b}, 0.5)
        """,
        writes=True,
    ),
    *_many("xx", "{a}.copy_({b})\n{a}[{i}] = {b}", keeps=True, writes=True),
    *_many("xb", "{a}.masked_fill_({b}, 1)\n{a}[{b}] = 1", keeps=True, writes=True),
    *_many("i", "{a}.add_(1)\n{a}.mul_(3)\n{a} += {k}", keeps=True, writes=True),
    *_many("ii", "{a}.add_({b})\n{a} -= {b}\n{a}.bitwise_or_({b})", keeps=True, writes=True),
    *_many("f", "torch.mul({a}, 0.5, out={a})"),
]
