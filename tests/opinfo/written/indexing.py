"""Every form of reading and assigning with brackets."""

from tests.opinfo.written.case import Case, Cases, eager, failing, ints, seq

# Index programs over a tensor of shape (4, 5, 6).
FORMS = [
    lambda t: 1,
    lambda t: -1,
    lambda t: (1, 2),
    lambda t: (1, 2, 3),
    lambda t: slice(1, 3),
    lambda t: slice(None, None, 2),
    lambda t: (slice(-3, None), slice(None, -1, 3)),
    lambda t: (slice(10, 2), 0),
    lambda t: None,
    lambda t: (None, 1, None),
    lambda t: (slice(None), None, slice(1, 2)),
    lambda t: Ellipsis,
    lambda t: (Ellipsis, 1),
    lambda t: (1, Ellipsis, slice(2, 4)),
    lambda t: (Ellipsis, None),
    lambda t: True,
    lambda t: False,
    lambda t: (slice(None), True),
    lambda t: [0, 2],
    lambda t: [[0, 2], [1, 3]],
    lambda t: ([0, 2], [1, 3]),
    lambda t: (slice(None), [0, 2]),
    lambda t: (Ellipsis, [0, 2]),
    lambda t: ([0, 1], slice(None), [2, 3]),
    lambda t: (0, slice(None), [2, 3]),
    lambda t: ([0, 1], 2),
    lambda t: ([[0], [1]], [2, 3]),
    lambda t: (None, [0, 1], [2, 3]),
    lambda t: ([0, 1], None, [2, 3]),
    lambda t: t.tensor(2),
    lambda t: t.tensor([2, -1]),
    lambda t: t.tensor([[0, 1], [2, 3]]),
    lambda t: (t.tensor([0, 1]), slice(1, 3), t.tensor([[1], [0]])),
    lambda t: t.tensor([], dtype=t.int64),
    lambda t: (t.tensor([0, 1], dtype=t.int32), 1),
    lambda t: t.tensor([0, 1], dtype=t.uint8)[:0].long(),
    lambda t: (slice(None), t.tensor([0, 0, 4]), slice(None, None, 2)),
    lambda t: (slice(None), [0, 2], [1, 1]),
    lambda t: range(2),
]
MASKS = [
    lambda t: seq(t, 4, 5, 6) > 0,
    lambda t: seq(t, 4, 5) > 0,
    lambda t: seq(t, 4) > 0,
    lambda t: (slice(None), seq(t, 5) > 0),
    lambda t: (seq(t, 4) > 0, slice(1, 3)),
    lambda t: (seq(t, 4) > 0, 1),
    lambda t: (Ellipsis, seq(t, 6) > 1),
    lambda t: (slice(None), seq(t, 5, 6) > 1),
    lambda t: [True, False, True, False],
    lambda t: (t.tensor([True, False, True, False]), [1, 3]),
    lambda t: t.tensor([False] * 4),
    lambda t: t.tensor(True),
    lambda t: t.tensor([0, 1, 0, 1], dtype=t.uint8),
]


def shown(t, form):
    x = seq(t, 4, 5, 6)
    return x[form(t)]


def shown_transposed(t, form):
    x = seq(t, 6, 5, 4).permute(2, 1, 0)
    return x[form(t)]


def assigned(t, form, value):
    x = seq(t, 4, 5, 6)
    given = value(t, x[form(t)])
    x[form(t)] = given
    y = t.zeros(6, 5, 4).permute(2, 1, 0)
    y[form(t)] = given
    return x, y


def gradients(t, form):
    x = seq(t, 4, 5, 6).requires_grad_()
    y = x * 2
    z = y[form(t)]
    (z * z).sum().backward()
    return x.grad


def assigned_gradients(t, form):
    x = seq(t, 4, 5, 6).requires_grad_()
    y = x * 3
    v = (x * 2)[form(t)]
    y[form(t)] = v * v
    (y * y).sum().backward()
    return x.grad


def views(t):
    x = t.zeros(4, 5, 6)
    x[1][2][3] = 5
    x[1:3, ..., 2][0] += 1
    x[:, None][..., 4].add_(2)
    x[[0, 1]].add_(100)
    x[0, 1] += x[1, 2]
    x[..., 0] -= 1
    return x


def wider(t):
    x = ints(t, 4, 3)
    x[1] = 2.7
    x[2] = t.tensor([True, False, True])
    x[:, 0] = seq(t, 1, 4)
    x[0] = t.tensor(9.9)
    return x


def one_of_expanded(t):
    x = t.zeros(1).expand(3)
    x[0] = 1
    return x


VALUES = [
    lambda t, part: 7,
    lambda t, part: part * 2 + 1,
    lambda t, part: t.tensor(2.5),
    lambda t, part: ints(t, *part.shape),
]


def _reading(form) -> list[Case]:
    return [Case(lambda t: shown(t, form)), Case(lambda t: shown_transposed(t, form)),
            Case(lambda t: gradients(t, form))]  # fmt: skip


def _writing(form) -> list[Case]:
    # Two of the values for each form: a number and the others in turn.
    return [*(Case(lambda t, v=v: assigned(t, form, v)) for v in VALUES),
            Case(lambda t: assigned_gradients(t, form))]  # fmt: skip


CASES: Cases = {
    "__getitem__": [
        *(case for form in (*FORMS, *MASKS) for case in _reading(form)),
        failing(lambda t: seq(t, 3)[3]),
        failing(lambda t: seq(t, 3)[-4]),
        failing(lambda t: seq(t, 3)[0, 0]),
        failing(lambda t: seq(t, 3)[::-1]),
        failing(lambda t: seq(t, 3)["a"]),
        failing(lambda t: seq(t, 3)[1.5]),
        failing(lambda t: seq(t, 3)[t.tensor([5])]),
        failing(lambda t: seq(t, 3)[t.tensor([-4])]),
        failing(lambda t: seq(t, 3)[t.tensor([1.0])]),
        failing(lambda t: seq(t, 3)[t.tensor([True, False])]),
        failing(lambda t: seq(t, 3, 3)[[0, 1], [0, 1, 2]]),
        failing(lambda t: seq(t, 3)[..., ...]),
        failing(lambda t: t.tensor(1)[0]),
    ],
    "Tensor.__setitem__": [
        *(case for form in (*FORMS, *MASKS) for case in _writing(form)),
        views,
        wider,
        failing(lambda t: seq(t, 3).__setitem__(3, 1)),
        failing(lambda t: seq(t, 3).__setitem__(0, seq(t, 2))),
        failing(lambda t: seq(t, 3).__setitem__(slice(None), seq(t, 2))),
        failing(lambda t: seq(t, 3).__setitem__([0, 1], seq(t, 3))),
        failing(lambda t: seq(t, 3).__setitem__(t.tensor([True, False]), 1)),
        failing(lambda t: seq(t, 3).requires_grad_().__setitem__(0, 1)),
        failing(lambda t: t.zeros(1).expand(3).__setitem__(slice(None), 1)),
        eager(one_of_expanded),
        failing(lambda t: seq(t, 3).__setitem__(0, "a")),
    ],
    "where": [eager(lambda t: t.where(seq(t, 3, 4) > 0)), lambda t: t.where(seq(t, 3) > 0, 1, 2)],
}
