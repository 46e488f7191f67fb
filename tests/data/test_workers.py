"""A loader with worker processes: order, contents, seeds, errors."""

import multiprocessing
import os
import random
import signal
import threading

import numpy as np
import pytest

import graphc
from graphc.generator import Generator
from graphc.utils import data
from graphc.utils.data import messages

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
]

FORK = "fork"


def loader_of(dataset, *args, **options):
    options = {"num_workers": 2, "multiprocessing_context": FORK, "timeout": 120, **options}
    return data.DataLoader(dataset, *args, **options)


class Numbers(data.Dataset):
    """Examples of several kinds; large ones come as shared memory, small ones in the message."""

    def __init__(self, n, size=3):
        self.n, self.size = n, size

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        x = graphc.full((self.size,), float(i))
        return {"x": x, "i": i, "name": f"n{i}", "array": np.full(2, i, np.int16)}


class Parts(data.IterableDataset):
    """A stream of which each worker reads its own part, of another length."""

    def __init__(self, n):
        self.n = n

    def __iter__(self):
        info = data.get_worker_info()
        if info is None:
            return iter(range(self.n))
        return iter(range(info.id, self.n - 3 * info.id, info.num_workers))


def plain(value):
    if isinstance(value, graphc.Tensor):
        return (value.dtype, value.tolist())
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("size", [3, 30_000])
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 4},
        {"batch_size": 4, "drop_last": True},
        {"batch_size": None},
        {"batch_size": 3, "sampler": [5, 1, 7, 0]},
        {"batch_sampler": [[1], [3, 2, 0], [9, 9]]},
        {"batch_size": 5, "prefetch_factor": 7},
        {"batch_size": 2, "num_workers": 3, "prefetch_factor": 1},
        {"batch_size": 2, "num_workers": 1},
        {"batch_size": 100},
    ],
    ids=str,
)
def test_batches_are_those_of_one_process(size, options):
    dataset = Numbers(10, size)
    here = data.DataLoader(
        dataset, **{k: v for k, v in options.items() if k not in ("num_workers", "prefetch_factor")}
    )
    loader = loader_of(dataset, **options)
    assert len(loader) == len(here)
    for _ in range(2):
        assert plain(list(loader)) == plain(list(here))


def test_batches_as_they_are_ready_are_the_same_ones():
    found = list(loader_of(Numbers(11), 2, in_order=False))
    assert sorted(i for batch in found for i in batch["i"].tolist()) == list(range(11))


def test_shuffling_is_that_of_one_process():
    def order(**options):
        loader = data.DataLoader(
            Numbers(20), 3, shuffle=True, generator=Generator().manual_seed(5), **options
        )
        return [[batch["i"].tolist() for batch in loader] for _ in range(2)]

    alone = order()
    assert alone[0] != alone[1]
    assert order(num_workers=2, multiprocessing_context=FORK) == alone


def test_batches_of_a_stream_come_in_the_same_order_every_time():
    loader = loader_of(Parts(20), 2)
    first = [batch.tolist() for batch in loader]
    assert first == [
        [0, 2],
        [1, 3],
        [4, 6],
        [5, 7],
        [8, 10],
        [9, 11],
        [12, 14],
        [13, 15],
        [16, 18],
    ]
    assert all([batch.tolist() for batch in loader] == first for _ in range(3))
    assert [b.tolist() for b in loader_of(Parts(20), 4, drop_last=True)] == [
        [0, 2, 4, 6],
        [1, 3, 5, 7],
        [8, 10, 12, 14],
        [9, 11, 13, 15],
    ]
    assert list(loader_of(Parts(5), None)) == [0, 1, 2, 4]


def test_workers_that_stay():
    loader = loader_of(Numbers(9), 2, persistent_workers=True)
    first = iter(loader)
    pids = first._pool.pids
    assert [b["i"].tolist() for b in first] == [[0, 1], [2, 3], [4, 5], [6, 7], [8]]
    assert next(iter(loader))["i"].tolist() == [0, 1]  # and the rest of this pass is not wanted
    assert [b["i"].tolist() for b in loader] == [[0, 1], [2, 3], [4, 5], [6, 7], [8]]
    assert iter(loader)._pool.pids == pids
    stream = loader_of(Parts(20), 2, persistent_workers=True)
    assert [b.tolist() for b in stream] == [b.tolist() for b in stream]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_ways_to_start_processes(method):
    dataset = data.TensorDataset(graphc.arange(40_000.0).reshape(4, 10_000), graphc.arange(4))
    loader = loader_of(dataset, 2, multiprocessing_context=multiprocessing.get_context(method))
    (x, i), (y, j) = loader
    assert (i.tolist(), j.tolist()) == ([0, 1], [2, 3])
    assert x.shape == y.shape == (2, 10_000)
    assert y[1, -1].item() == 39_999


# ----------------------------------------------------------------------------------- messages


def through(value):
    """A value after its way through a socket."""
    import socket

    here, there = (messages.Channel(end) for end in socket.socketpair())
    thread = threading.Thread(target=here.send, args=(value,))
    thread.start()
    received = there.receive()
    thread.join()
    here.close()
    there.close()
    return received


@pytest.mark.parametrize("size", [4, 200])
@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "bfloat16", "float16", "int64", "uint8", "bool"]
)
def test_tensors_keep_dtype_strides_and_attributes(dtype, size):
    x = graphc.arange(size * size).reshape(size, size).to(getattr(graphc, dtype))
    strided = x.t()
    image = graphc.rand(1, 3, size, size).to(memory_format=graphc.channels_last)
    sent = [x, strided, x[::2, 1:3], x.expand(2, size, size), x[:0], x[0, 0], image]
    for before, after in zip(sent, through(sent), strict=True):
        assert after.dtype is before.dtype
        assert after.tolist() == before.tolist()
    x_again, strided_again, *_, image_again = through(sent)
    assert x_again.is_contiguous()
    assert strided_again.stride() == strided.stride()
    assert image_again.stride() == image.stride()
    x_again.fill_(1)  # it is ours
    weight = graphc.nn.Parameter(graphc.rand(size, size))
    weight.note = "kept"
    again = through(weight)
    assert type(again) is graphc.nn.Parameter
    assert (again.requires_grad, again.note) == (True, "kept")
    assert again.tolist() == weight.tolist()


def test_what_was_computed_with_gradients_is_not_sent():
    with pytest.raises(RuntimeError, match="non-leaf"):
        through_sender(graphc.rand(3, requires_grad=True) * 2)


def through_sender(value):
    messages._parts(value)


def test_two_ends_that_both_send_do_not_wait_for_each_other():
    """Requests and batches larger than what a socket holds, in small parts without tensors."""
    wide = [[(f"{i}" * 40_000)] for i in range(30)]
    loader = loader_of(Words(), sampler=wide, batch_size=1, prefetch_factor=15, collate_fn=list)
    assert [len(batch[0][0]) for batch in loader] == [len(w[0]) for w in wide]


class Words(data.Dataset):
    def __getitem__(self, words):
        return words


# -------------------------------------------------------------------------------------- seeds


class Draws(data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        info = data.get_worker_info()
        assert info.dataset is self
        return [
            info.id,
            info.num_workers,
            info.seed,
            random.random(),
            float(np.random.rand()),
            graphc.rand(()).item(),
        ]


def test_workers_are_seeded():
    def draws(seed):
        generator = Generator().manual_seed(seed)
        return list(loader_of(Draws(), None, generator=generator, collate_fn=list))

    found = draws(3)
    assert draws(3) == found != draws(4)
    assert [row[:2] for row in found] == [[i % 2, 2] for i in range(8)]
    assert len({x for row in found for x in row[3:]}) == 24
    (first,), (second,) = ({row[2] for row in found if row[0] == w} for w in (0, 1))
    assert second == first + 1
    assert found[0][3] == random.Random(first).random()
    assert found[1][5] == graphc.rand((), generator=Generator().manual_seed(second)).item()
    assert data.get_worker_info() is None


def test_each_worker_is_initialised():
    def initialise(worker):
        data.get_worker_info().dataset.n += 10 * (worker + 1)

    loader = loader_of(Sizes(), None, worker_init_fn=initialise, sampler=range(4))
    assert list(loader) == [11, 21, 11, 21]


class Sizes(data.Dataset):
    n = 1

    def __getitem__(self, i):
        return self.n


# ------------------------------------------------------------------------- loading meanwhile


class Announced(data.Dataset):
    def __init__(self):
        context = multiprocessing.get_context(FORK)
        self.fetched = [context.Event() for _ in range(8)]

    def __len__(self):
        return 8

    def __getitem__(self, i):
        self.fetched[i].set()
        return i


def test_batches_are_fetched_while_the_program_computes():
    dataset = Announced()
    for i in loader_of(dataset, None, prefetch_factor=1):
        # The program is busy with example i: no call of the loader is under way.
        if i + 2 < len(dataset):
            assert dataset.fetched[i + 2].wait(120)


# ------------------------------------------------------------------------------------- errors


class OddError(Exception):
    def __init__(self, one, two):
        super().__init__(one, two)


class Failing(data.Dataset):
    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 6

    def __getitem__(self, i):
        if i == 2:
            raise self.error
        return i


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("no such picture"), ValueError),
        (KeyError("no such picture"), KeyError),
        (FileNotFoundError(2, "no such picture"), FileNotFoundError),
        (OddError("no such picture", 2), RuntimeError),
        (type("Local", (ValueError,), {})("no such picture"), RuntimeError),
    ],
    ids=lambda x: getattr(x, "__name__", type(x).__name__),
)
def test_errors_come_with_their_traceback_and_the_pass_can_go_on(error, kind):
    batches = iter(loader_of(Failing(error), None))
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(kind) as raised:
        next(batches)
    assert type(raised.value) is kind
    text = str(raised.value)
    assert text.startswith(
        f"Caught {type(error).__name__} in DataLoader worker process 0.\n"
        "Original Traceback (most recent call last):\n"
    )
    assert "raise self.error" in text
    assert "no such picture" in text
    assert list(batches) == [3, 4, 5]


def test_errors_before_the_first_example():
    def refuse(worker):
        raise OSError(f"worker {worker} has no disk")

    with pytest.raises(OSError, match="in DataLoader worker process 0") as raised:
        list(loader_of(Numbers(4), worker_init_fn=refuse))
    assert "worker 0 has no disk" in str(raised.value)
    with pytest.raises(TypeError, match="cannot pickle|can't pickle"):
        list(loader_of(Numbers(4), collate_fn=lambda batch: threading.Lock()))


class Deadly(data.Dataset):
    def __init__(self, how):
        self.how = how

    def __len__(self):
        return 40

    def __getitem__(self, i):
        if i == 5:
            self.how()
        return graphc.full((20_000,), float(i))


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def leave():
    os._exit(3)


@pytest.mark.parametrize(
    ("how", "words"), [(kill, "killed by signal: SIGKILL"), (leave, "exit code 3")]
)
def test_a_worker_that_ends_is_told_at_once(how, words):
    batches = iter(loader_of(Deadly(how), 2, timeout=0))
    pids = batches._pool.pids
    with pytest.raises(RuntimeError, match=r"worker \(pid\(s\) \d+\) exited unexpectedly") as told:
        list(batches)
    assert str(pids[0]) in str(told.value)
    assert words in str(told.value)
    with pytest.raises(RuntimeError, match="have ended"):
        next(batches)


class Stuck(data.Dataset):
    def __init__(self):
        self.go = multiprocessing.get_context(FORK).Event()

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return self.go.wait() and i


def test_timeout():
    dataset = Stuck()
    batches = iter(loader_of(dataset, None, timeout=0.01))
    with pytest.raises(RuntimeError, match=r"timed out after 0\.01 seconds"):
        next(batches)
    dataset.go.set()


# --------------------------------------------------------------------------- compiled programs


@graphc.compile
def brighten(x):
    return (x * 2).clamp(0, 1).sum(1)


class Brightened(data.Dataset):
    def __init__(self, function):
        self.function = function

    def __len__(self):
        return 8

    def __getitem__(self, i):
        return self.function(graphc.full((64, 300), i / 20))


def test_workers_run_compiled_functions_while_the_parents_threads_run_them():
    threads = graphc.get_num_threads()
    graphc.set_num_threads(4)
    stop = threading.Event()
    x = graphc.rand(512, 300)
    expected = brighten(x).tolist()

    def compute():
        while not stop.is_set():
            assert brighten(x).tolist() == expected

    busy = threading.Thread(target=compute)
    busy.start()
    try:
        for function in (brighten, graphc.compile(lambda x: (x * 2).clamp(0, 1).sum(1))):
            loader = loader_of(Brightened(function), 2, num_workers=2)
            for _ in range(3):
                found = graphc.cat(list(loader))
                assert found.shape == (8, 64)
                assert found[:, 0].tolist() == pytest.approx(
                    [min(i / 10, 1) * 300 for i in range(8)], rel=1e-5
                )
    finally:
        stop.set()
        busy.join()
        graphc.set_num_threads(threads)
