"""Index arithmetic beyond 2**31 elements: offsets are 64 bits wide, eagerly and compiled."""

from typing import Any

import numpy as np

import graphc as torch

COUNT = 2**31 + 2


def _sparse() -> np.ndarray[Any, Any]:
    """Memory that the system gives page by page: only what is touched takes room."""
    data = np.zeros(COUNT, np.uint8)
    data[-3:] = (7, 8, 9)
    return data


def test_reads_behind_the_limit() -> None:
    def f(x: Any, place: Any) -> Any:
        return x[-3:] + 1, x[place], x[::2][-1], x.view(5, -1)[-1, -2:]

    x = torch.from_numpy(_sparse())
    place = torch.tensor([x.numel() - 1, 0, x.numel() - 2])
    expected = [t.tolist() for t in f(x, place)]
    assert expected[0] == [8, 9, 10]
    assert [t.tolist() for t in torch.compile(f)(x, place)] == expected


def test_positions_behind_the_limit() -> None:
    def f(x: Any) -> Any:
        wide = x.expand(3, COUNT // 3)  # nothing of this size is ever stored
        flat = torch.arange(COUNT)
        return wide[2, -4:], flat[-2:] + 0, flat[:: COUNT - 1] + 0

    x = torch.tensor([[1.0], [2.0], [3.0]])
    found = torch.compile(f)(x)
    assert [t.tolist() for t in found] == [[3.0] * 4, [COUNT - 2, COUNT - 1], [0, COUNT - 1]]


def test_a_sum_over_more_than_the_limit() -> None:
    x = torch.from_numpy(_sparse())
    assert torch.compile(lambda x: x.sum())(x).item() == 24
    assert torch.compile(lambda x: (x > 6).sum())(x).item() == 3


def test_writes_behind_the_limit() -> None:
    def f(x: Any) -> None:
        x[-1:].fill_(5)
        x[COUNT - 3] = 4

    data = _sparse()
    torch.compile(f)(torch.from_numpy(data))
    assert data[-3:].tolist() == [4, 8, 5]
