"""Tensors that processes share."""

import os
import signal

import pytest

import graphc
import graphc.multiprocessing as mp

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def answer(requests, answers):
    """Adds 1 to what comes, in place, and sends back what it is then."""
    while (x := requests.get()) is not None:
        with graphc.no_grad():
            x += 1
        answers.put((x, type(x).__name__, x.requires_grad, x.is_shared()))


@pytest.fixture(params=["fork", "spawn"])
def partner(request):
    context = mp.get_context(request.param)
    requests, answers = context.Queue(), context.Queue()
    process = context.Process(target=answer, args=(requests, answers))
    process.start()
    yield requests, answers
    requests.put(None)
    process.join(120)
    assert process.exitcode == 0


def test_what_one_writes_the_other_sees(partner):
    requests, answers = partner
    for dtype in (graphc.float32, graphc.bfloat16, graphc.int64):
        x = graphc.arange(6).reshape(2, 3).to(dtype).clone()
        requests.put(x)
        again, kind, tracked, shared = answers.get(timeout=120)
        assert x.is_shared()
        assert (kind, tracked, shared) == ("Tensor", False, True)
        assert again.dtype is x.dtype is dtype
        assert x.tolist() == again.tolist() == [[1, 2, 3], [4, 5, 6]]
        x[0, 0] = 9
        assert again[0, 0].item() == 9
        again[1, 1] = 7
        assert x[1, 1].item() == 7


def test_parameters_views_and_empty_tensors(partner):
    requests, answers = partner
    weight = graphc.nn.Parameter(graphc.zeros(3))
    weight.note = "kept"
    requests.put(weight)
    again, kind, tracked, _ = answers.get(timeout=120)
    assert (kind, tracked, again.note) == ("Parameter", True, "kept")
    assert weight.tolist() == [1, 1, 1]
    x = graphc.zeros(3, 4).share_memory_()
    requests.put(x[1:, ::2])
    again = answers.get(timeout=120)[0]
    assert again.shape == (2, 2)
    assert x.tolist() == [[0, 0, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0]]
    requests.put(graphc.zeros(0, 3))
    assert answers.get(timeout=120)[0].shape == (0, 3)
    whole = graphc.zeros(4)
    part = whole[:2]
    requests.put(whole)  # cannot move away from its view
    assert answers.get(timeout=120)[0].tolist() == [1, 1, 1, 1]
    assert part.tolist() == [0, 0]


def test_what_was_computed_with_gradients_is_not_sent():
    from multiprocessing.reduction import ForkingPickler

    with pytest.raises(RuntimeError, match="non-leaf"):
        ForkingPickler.dumps(graphc.rand(2, requires_grad=True) * 2)


# -------------------------------------------------------------------------------------- processes


def write(index, shared):
    shared[index] = index + 10


def refuse(index, shared):
    if index == 1:
        raise ValueError("not this one")
    signal.pause()


def die(index, shared):
    if index == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def leave(index, shared):
    if index == 1:
        os._exit(3)
    signal.pause()


def test_spawn():
    shared = graphc.zeros(2, dtype=graphc.int64).share_memory_()
    assert mp.spawn(write, (shared,), nprocs=2) is None
    assert shared.tolist() == [10, 11]
    started = mp.start_processes(write, (shared,), 2, join=False, start_method="fork")
    assert len(started.pids()) == 2
    while not started.join():
        pass


def change(index, tensors, view):
    for x in tensors:
        x += 1
    view += 1


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_arguments_of_new_processes_are_shared(method):
    shared = graphc.zeros(3)
    base = graphc.zeros(2, 2).share_memory_()
    tensors = [shared, shared.detach(), graphc.arange(4).reshape(2, 2)]  # two on one memory
    mp.start_processes(change, (tensors, base[0]), 1, start_method=method)
    assert base.tolist() == [[1, 1], [0, 0]]
    tensors = [graphc.zeros(3) for _ in range(20)]
    mp.start_processes(change, (tensors, base[1]), 1, start_method=method)
    assert all(x.tolist() == [1, 1, 1] for x in tensors)
    assert base.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        (refuse, mp.ProcessRaisedException, "Process 1 terminated with the following error:"),
        (die, mp.ProcessExitedException, "process 1 terminated with signal SIGKILL"),
        (leave, mp.ProcessExitedException, "process 1 terminated with exit code 3"),
    ],
)
def test_one_failure_ends_all(function, kind, words):
    shared = graphc.zeros(2)
    started = mp.start_processes(function, (shared,), 2, join=False, start_method="fork")
    with pytest.raises(kind, match=words) as told:
        while not started.join():
            pass
    assert told.value.error_index == 1
    assert told.value.error_pid == started.pids()[1]
    if function is refuse:
        assert "ValueError: not this one" in str(told.value)
    assert not any(process.is_alive() for process in started.processes)


def test_strategies():
    assert mp.get_sharing_strategy() in mp.get_all_sharing_strategies()
    mp.set_sharing_strategy(mp.get_sharing_strategy())
    with pytest.raises(AssertionError, match="Invalid strategy"):
        mp.set_sharing_strategy("letters")
