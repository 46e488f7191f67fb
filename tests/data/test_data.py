"""Data sets, samplers and loaders."""

from collections import namedtuple

import numpy as np
import pytest

import graphc
from graphc.generator import Generator
from graphc.utils import data


class Squares(data.Dataset):
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if i >= self.n:
            raise IndexError(i)
        return i, {"square": float(i * i), "name": f"n{i}"}


class Stream(data.IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))

    def __len__(self):
        return self.n


def pairs(n):
    return data.TensorDataset(graphc.arange(n), graphc.arange(n * 2.0).reshape(n, 2))


def seeded(seed):
    return Generator().manual_seed(seed)


def test_batches_in_order_with_a_smaller_last_one():
    loader = data.DataLoader(pairs(5), batch_size=2)
    batches = list(loader)
    assert len(loader) == len(batches) == 3
    assert [x.tolist() for x, _ in batches] == [[0, 1], [2, 3], [4]]
    assert batches[1][1].tolist() == [[4, 5], [6, 7]]
    assert len(data.DataLoader(pairs(5), 2, drop_last=True)) == 2
    assert [x.tolist() for x, _ in data.DataLoader(pairs(5), 2, drop_last=True)] == [[0, 1], [2, 3]]


def test_one_gather_gives_what_stacking_gives():
    whole = data.DataLoader(pairs(7), 3, shuffle=True, generator=seeded(1))
    stacked = data.DataLoader(
        pairs(7), 3, shuffle=True, generator=seeded(1), collate_fn=data.default_collate
    )
    for a, b in zip(whole, stacked, strict=True):
        assert type(a) is type(b)
        assert [x.tolist() for x in a] == [x.tolist() for x in b]
        assert [x.dtype for x in a] == [x.dtype for x in b]


def test_shuffling_by_seed():
    def order(seed):
        loader = data.DataLoader(pairs(20), 6, shuffle=True, generator=seeded(seed))
        return [[i for x, _ in loader for i in x.tolist()] for _ in range(2)]

    first, second = order(3)
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert order(3) == [first, second]
    assert order(4) != [first, second]


def test_collation():
    numbers, entries = next(iter(data.DataLoader(Squares(3), 3)))
    assert numbers.dtype is graphc.int64
    assert entries["square"].dtype is graphc.float64
    assert entries["square"].tolist() == [0, 1, 4]
    assert entries["name"] == ["n0", "n1", "n2"]
    Point = namedtuple("Point", "x y")
    point = data.default_collate(
        [Point(1, np.ones(2, np.float32)), Point(2, np.zeros(2, np.float32))]
    )
    assert isinstance(point, Point)
    assert point.y.tolist() == [[1, 1], [0, 0]]
    assert point.y.dtype is graphc.float32
    assert data.default_collate([True, False]).dtype is graphc.bool
    with pytest.raises(TypeError, match="found"):
        data.default_collate([object()])
    with pytest.raises(RuntimeError, match="equal size"):
        data.default_collate([[1], [1, 2]])
    with pytest.raises(RuntimeError, match="equal size"):
        data.default_collate([graphc.zeros(1), graphc.zeros(2)])


def test_without_batches():
    singles = list(data.DataLoader(Squares(2), batch_size=None))
    assert singles[1] == [1, {"square": 1.0, "name": "n1"}]
    arrays = data.DataLoader([np.ones(2), np.zeros(2)], batch_size=None)
    assert [x.tolist() for x in arrays] == [[1, 1], [0, 0]]


def test_streams():
    loader = data.DataLoader(Stream(5), batch_size=2)
    assert [x.tolist() for x in loader] == [[0, 1], [2, 3], [4]]
    assert len(loader) == 3
    assert [x.tolist() for x in data.DataLoader(Stream(5), 2, drop_last=True)] == [[0, 1], [2, 3]]
    assert list(data.DataLoader(Stream(3), None)) == [0, 1, 2]
    assert list(Stream(2) + Stream(1)) == [0, 1, 0]
    with pytest.raises(ValueError, match="IterableDataset"):
        data.DataLoader(Stream(3), shuffle=True)


def test_samplers():
    assert list(data.SequentialSampler(range(3))) == [0, 1, 2]
    assert list(data.BatchSampler(data.SequentialSampler(range(5)), 2, False)) == [
        [0, 1],
        [2, 3],
        [4],
    ]
    assert len(data.BatchSampler(data.SequentialSampler(range(5)), 2, True)) == 2
    many = data.RandomSampler(range(4), replacement=True, num_samples=50, generator=seeded(0))
    assert set(many) == {0, 1, 2, 3}
    assert len(many) == 50
    assert len(list(data.RandomSampler(range(4), num_samples=6))) == 6
    assert sorted(data.SubsetRandomSampler([5, 7, 9])) == [5, 7, 9]
    drawn = list(data.WeightedRandomSampler([0.0, 1.0, 3.0], 4000, generator=seeded(0)))
    assert drawn.count(0) == 0
    assert drawn.count(2) == pytest.approx(3000, abs=150)
    once = list(data.WeightedRandomSampler([1.0, 0.0, 3.0], 2, replacement=False))
    assert sorted(once) == [0, 2]
    loader = data.DataLoader(Squares(6), sampler=[4, 2, 0], batch_size=2)
    assert [x.tolist() for x, _ in loader] == [[4, 2], [0]]
    loader = data.DataLoader(Squares(6), batch_sampler=[[1], [3, 5]])
    assert [x.tolist() for x, _ in loader] == [[1], [3, 5]]


def test_parts_and_unions():
    both = Squares(3) + Squares(2)
    assert [both[i][0] for i in range(len(both))] == [0, 1, 2, 0, 1]
    assert both[-1][0] == 1
    with pytest.raises(IndexError):
        both[5]
    part = data.Subset(Squares(10), [7, 3])
    assert [part[i][0] for i in range(len(part))] == [7, 3]
    assert [x.tolist() for x, _ in data.DataLoader(part, 2)] == [[7, 3]]
    three = data.random_split(range(10), [5, 3, 2], seeded(0))
    assert [len(p) for p in three] == [5, 3, 2]
    assert sorted(i for p in three for i in p) == list(range(10))
    assert [len(p) for p in data.random_split(range(10), [0.5, 0.25, 0.25])] == [6, 2, 2]
    stacked = data.StackDataset(a=[1, 2], b=[3, 4])
    assert stacked[1] == {"a": 2, "b": 4}
    with pytest.raises(ValueError, match="Sum of input lengths"):
        data.random_split(range(10), [5, 3])
    with pytest.raises(AssertionError, match="Size mismatch"):
        data.TensorDataset(graphc.zeros(2), graphc.zeros(3))


def test_arguments_that_exclude_each_other():
    for arguments, words in (
        ({"shuffle": True, "sampler": [0]}, "mutually exclusive"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, "mutually exclusive"),
        ({"batch_size": 0}, "positive integer"),
        ({"timeout": -1}, "non-negative"),
    ):
        with pytest.raises(ValueError, match=words):
            data.DataLoader(Squares(3), **arguments)
