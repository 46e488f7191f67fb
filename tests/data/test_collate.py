"""What is joined to batches, and arguments, as PyTorch has them."""

import warnings
from collections import ChainMap, OrderedDict, UserDict, UserList, defaultdict, namedtuple
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.utils import data

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.differential

Point = namedtuple("Point", "x y")


class Marked(dict):
    pass


def marked() -> Marked:
    made = Marked(a=1)
    made.note = "kept"  # type: ignore[attr-defined]
    return made


def shape_of(value: Any) -> Any:
    """Types, dtypes and values, of either library."""
    if isinstance(value, (graphc.Tensor, torch.Tensor)):
        kind = str(value.dtype).split(".")[-1]
        return "tensor", kind, tuple(value.shape), value.tolist()
    if isinstance(value, (dict, UserDict, ChainMap, MappingProxyType)):
        entries = {key: shape_of(entry) for key, entry in value.items()}
        return type(value), entries, getattr(value, "note", None)
    if isinstance(value, (list, tuple, UserList)):
        return type(value), [shape_of(item) for item in value]
    if isinstance(value, np.ndarray):
        return "array", value.dtype, value.tolist()
    return type(value), value


LEAVES: list[Any] = [
    [1, 2],
    [True, False],
    [1.5, 2.0],
    ["a", "b"],
    [b"a", b"b"],
    [np.float32(1), np.float32(2)],
    [np.float64(1), np.float64(2)],
    [np.int8(1), np.int8(2)],
    [np.bool_(True), np.bool_(False)],
    [np.str_("a"), np.str_("b")],
    [np.zeros(2, np.float32), np.ones(2, np.float32)],
    [np.array(1), np.array(2)],
    [np.array("a"), np.array("b")],
    [np.array([None]), np.array([1], object)],
    [np.zeros(2), np.zeros(3)],
    [(1, 2.0), (3, 4.0)],
    [[1, [2.0]], [3, [4.0]]],
    [[1], [1, 2]],
    [Point(1, [2]), Point(3, [4])],
    [{"a": 1, "b": [2, "x"]}, {"a": 3, "b": [4, "y"]}],
    [{"a": 1}, {"b": 1}],
    [OrderedDict(a=1), OrderedDict(a=2)],
    [defaultdict(int, a=1), defaultdict(int, a=2)],
    [UserDict(a=1), UserDict(a=2)],
    [UserList([1, 2]), UserList([3, 4])],
    [MappingProxyType({"a": 1}), MappingProxyType({"a": 2})],
    [ChainMap({"a": 1}), ChainMap({"a": 2})],
    [range(3), range(3)],
    [marked(), marked()],
    [None, None],
    [object(), object()],
    [{1, 2}, {1, 2}],
    [1j, 2j],
    [[], []],
    [1, 2.5],
]


def outcome(call: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return shape_of(call())
        except Exception as error:
            kinds = (RuntimeError, TypeError, ValueError, KeyError)
            return next(kind for kind in kinds if isinstance(error, kind))


@pytest.mark.parametrize("batch", LEAVES, ids=range(len(LEAVES)))
def test_collate_and_convert(batch: Any) -> None:
    if not isinstance(batch[0], complex):  # there are no complex tensors here
        mine = outcome(lambda: data.default_collate(batch))
        assert mine == outcome(lambda: torch.utils.data.default_collate(batch))
    mine = outcome(lambda: data.default_convert(batch))
    assert mine == outcome(lambda: torch.utils.data.default_convert(batch))


def test_collation_of_other_types() -> None:
    class Word:
        def __init__(self, text: str) -> None:
            self.text = text

    def words(batch: Any, *, collate_fn_map: Any = None) -> str:
        return " ".join(word.text for word in batch)

    from graphc.utils.data.collate import collate, default_collate_fn_map

    joined = collate(
        [(Word("a"), 1), (Word("b"), 2)], collate_fn_map={**default_collate_fn_map, Word: words}
    )
    assert joined[0] == "a b"
    assert joined[1].tolist() == [1, 2]


ARGUMENTS: list[dict[str, Any]] = [
    {"num_workers": -1},
    {"timeout": -1},
    {"prefetch_factor": 2},
    {"num_workers": 1, "prefetch_factor": -2},
    {"persistent_workers": True},
    {"sampler": [0], "shuffle": True},
    {"batch_sampler": [[0]], "batch_size": 2},
    {"batch_sampler": [[0]], "drop_last": True},
    {"batch_sampler": [[0]], "sampler": [0]},
    {"batch_size": None, "drop_last": True},
    {"batch_size": 0},
    {"batch_size": True},
    {"batch_size": 2.0},
    {"drop_last": 1},
    {"multiprocessing_context": "fork"},
    {"multiprocessing_context": "thread", "num_workers": 1},
    {"multiprocessing_context": 3, "num_workers": 1},
    {"batch_size": 3, "shuffle": False},
    {"batch_size": None},
]


def attempt(t: Any, build: Any) -> Any:
    try:
        built = build(t)
        return type(None) if built is None else len(built)
    except (LookupError, ValueError, TypeError, RuntimeError, AssertionError) as error:
        words = str(error).partition("\n  in ")[0]  # and graphc tells where
        return type(error), words.replace("multiprocessing.let", "multiprocessing. let")


@pytest.mark.parametrize("options", ARGUMENTS, ids=range(len(ARGUMENTS)))
def test_arguments_are_refused_with_the_same_words(options: dict[str, Any]) -> None:
    def build(t: Any) -> Any:
        return t.utils.data.DataLoader(range(7), **options)

    assert attempt(graphc, build) == attempt(torch, build)


class Squares:
    def __len__(self) -> int:
        return 5


def stream(t: Any) -> Any:
    class Stream(t.utils.data.IterableDataset):  # type: ignore[misc, name-defined]
        def __iter__(self) -> Any:
            return iter(range(7))

        def __len__(self) -> int:
            return 7

        def __repr__(self) -> str:
            return "Stream"

    return Stream()


def changed(t: Any, name: str) -> None:
    loader = t.utils.data.DataLoader(range(5), 2)
    setattr(loader, name, None)


BUILT: list[Any] = [
    lambda d: d.RandomSampler(range(0)),
    lambda d: d.RandomSampler(range(3), replacement=1),
    lambda d: d.RandomSampler(range(3), num_samples=0),
    lambda d: d.RandomSampler(range(3), num_samples=7),
    lambda d: list(d.RandomSampler(range(3), num_samples=7)),
    lambda d: list(d.RandomSampler(range(3), replacement=True, num_samples=70)),
    lambda d: d.WeightedRandomSampler([1.0], 0),
    lambda d: d.WeightedRandomSampler([1.0], True),
    lambda d: d.WeightedRandomSampler([[1.0]], 1),
    lambda d: d.WeightedRandomSampler([1.0], 1, replacement=0),
    lambda d: list(d.WeightedRandomSampler([1.0], 2, replacement=False)),
    lambda d: d.BatchSampler(range(3), 0, False),
    lambda d: d.BatchSampler(range(3), 2, 1),
    lambda d: d.BatchSampler(range(3), 2, True),
    lambda d: d.BatchSampler(range(3), 2, False),
    lambda d: d.DistributedSampler(range(7), 3, 3),
    lambda d: d.DistributedSampler(range(7), 3, -1),
    lambda d: d.DistributedSampler(range(7), 3, 1),
    lambda d: d.DistributedSampler(range(7), 3, 1, drop_last=True),
    lambda d: d.DistributedSampler(range(2), 5, 1, drop_last=True),
    lambda d: d.TensorDataset(),
    lambda d: d.StackDataset(),
    lambda d: d.StackDataset([1], [2, 3]),
    lambda d: d.StackDataset(a=[1, 2], b=[2, 3]),
    lambda d: d.ConcatDataset([]),
    lambda d: d.ConcatDataset([[1], [2, 3]]),
    lambda d: len(d.ChainDataset([[1]])),
    lambda d: d.random_split(range(10), [3, 3]),
    lambda d: d.random_split(range(10), [0.3, 0.3, 0.4]),
    lambda d: d.random_split(range(10), [0.3, -0.3, 1.0]),
    lambda d: type("S", (d.Subset,), {"__getitem__": lambda self, i: i})([1], [0]),
    lambda d: type("I", (d.IterableDataset,), {})(),
    lambda d: d.Dataset()[0],
    lambda d: d.DataLoader(range(0), shuffle=True),
    lambda d: d.DataLoader(range(0)),
]


@pytest.mark.parametrize("number", range(len(BUILT)))
def test_samplers_and_data_sets_are_built_or_refused_alike(number: int) -> None:
    mine = attempt(graphc, lambda t: BUILT[number](t.utils.data))
    theirs = attempt(torch, lambda t: BUILT[number](t.utils.data))
    if isinstance(theirs, tuple) and theirs[0] in (NotImplementedError, TypeError):
        mine, theirs = mine[0], theirs[0]
    assert mine == theirs


@pytest.mark.parametrize("name", ["shuffle", "sampler", "batch_sampler"])
def test_streams_have_no_order(name: str) -> None:
    options: dict[str, Any] = {name: True if name == "shuffle" else [0]}

    def build(t: Any) -> Any:
        return t.utils.data.DataLoader(stream(t), **options)

    assert attempt(graphc, build) == attempt(torch, build)


@pytest.mark.parametrize(
    "name",
    ["batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"],
)
def test_attributes_that_are_fixed(name: str) -> None:
    mine = attempt(graphc, lambda t: changed(t, name))
    assert mine == attempt(torch, lambda t: changed(t, name))


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("n", [2, 6, 7, 8])
@pytest.mark.parametrize("drop_last", [False, True])
def test_shares_of_processes(n: int, rank: int, drop_last: bool) -> None:
    options: Any = (range(n), 3, rank)
    mine = data.DistributedSampler(*options, shuffle=False, drop_last=drop_last)
    theirs: Any = torch.utils.data.DistributedSampler(*options, shuffle=False, drop_last=drop_last)
    assert list(mine) == list(theirs)
    shares = [
        data.DistributedSampler(range(n), 3, r, seed=4, drop_last=drop_last) for r in range(3)
    ]
    orders = []
    for epoch in (0, 1, 0):
        for share in shares:
            share.set_epoch(epoch)
        orders.append([list(share) for share in shares])
    assert orders[0] == orders[2]
    assert len({i for share in orders[0] for i in share}) == (n // 3 * 3 if drop_last else n)


def test_numpys_seeds_in_workers_are_pytorchs() -> None:
    from torch.utils.data._utils.worker import _generate_state

    from graphc.utils.data import worker

    state, kept = np.random.get_state(), graphc.get_rng_state()
    try:
        for base in (0, 7, 2**31, 2**62 + 12345):
            for number in (0, 1, 9):
                assert worker._seed(base, number) == base + number
                mine = np.random.rand()
                assert mine == np.random.RandomState(_generate_state(base, number)).rand()
    finally:
        np.random.set_state(state)
        graphc.set_rng_state(kept)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_longer_than_promised(workers: int) -> None:
    def told(t: Any) -> tuple[Any, int]:
        loader = t.utils.data.DataLoader(
            stream(t),
            None,
            num_workers=workers,
            **({"multiprocessing_context": "fork"} if workers else {}),
        )
        assert len(loader) == 7
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = list(loader)
        words = [
            str(w.message).replace(" ", "")[:90] for w in caught if "Length of" in str(w.message)
        ]
        return sorted(found), words

    assert told(graphc) == told(torch)


def test_pinned_memory_is_no_use_here() -> None:
    with pytest.warns(UserWarning, match="no accelerator is found"):
        assert [b.tolist() for b in data.DataLoader(range(2), pin_memory=True)] == [[0], [1]]
