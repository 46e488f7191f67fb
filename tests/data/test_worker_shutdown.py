"""Nothing is left behind by loaders with workers: processes, descriptors, shared memory."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import graphc
from graphc.utils import data

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="counts in Linux's /proc"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
]


class Large(data.Dataset):
    """Examples that travel as shared memory; one of them may do something else."""

    def __init__(self, at=-1, act=None):
        self.at, self.act = at, act

    def __len__(self):
        return 24

    def __getitem__(self, i):
        if i == self.at:
            self.act()
        return graphc.full((30_000,), float(i))


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def refuse():
    raise ValueError("not this one")


def children():
    return {
        pid
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }


def resources():
    """Child processes (zombies too), open descriptors, mappings of shared memory, names of it."""
    gc.collect()
    descriptors = {
        entry: os.readlink(f"/proc/self/fd/{entry}")
        for entry in os.listdir("/proc/self/fd")
        if os.path.lexists(f"/proc/self/fd/{entry}")  # not the one that lists
    }
    mappings = [
        line for line in Path("/proc/self/maps").read_text().splitlines() if "memfd:graphc" in line
    ]
    names = set(os.listdir("/dev/shm")) if Path("/dev/shm").exists() else set()
    own = {name for name in names if "graphc" in name or "psm_" in name or "sem." in name}
    return children(), descriptors, len(mappings), own


def loader_of(dataset, **options):
    return data.DataLoader(
        dataset, 2, num_workers=4, multiprocessing_context="fork", timeout=300, **options
    )


def whole():
    for epoch, batch in enumerate(loader_of(Large())):
        assert batch[:, 0].tolist() == [2 * epoch, 2 * epoch + 1]


def stopped():
    for batch in loader_of(Large()):
        assert batch[0, 0].item() == 0
        break


def dropped_at_once():
    iter(loader_of(Large()))


def stopped_while_workers_stay():
    loader = loader_of(Large(), persistent_workers=True)
    for _ in range(2):
        next(iter(loader))


def killed():
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        list(loader_of(Large(5, kill)))


def failed():
    with pytest.raises(ValueError, match="not this one"):
        list(loader_of(Large(9, refuse)))


def interrupted():
    with pytest.raises(KeyboardInterrupt):
        for _ in loader_of(Large()):
            signal.raise_signal(signal.SIGINT)


WAYS = [whole, stopped, dropped_at_once, stopped_while_workers_stay, killed, failed, interrupted]


def test_fifty_epochs_leave_nothing_behind():
    for way in WAYS:
        way()  # what Python itself opens once
    before = resources()
    for epoch in range(50):
        WAYS[epoch % len(WAYS)]()
    assert resources() == before


def test_batches_keep_memory_but_no_descriptors():
    whole()
    before = resources()
    batches = list(loader_of(Large()))
    processes, descriptors, mappings, names = resources()
    assert (processes, descriptors, names) == (before[0], before[1], before[3])
    assert mappings == before[2] + len(batches)
    part = batches[3][1]
    del batches
    assert resources()[2] == before[2] + 1
    assert part[7].item() == 7
    del part
    assert resources() == before


def test_workers_end_with_their_iterator():
    batches = iter(loader_of(Large()))
    next(batches)
    pids = batches._pool.pids
    assert {str(pid) for pid in pids} <= children()
    del batches
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


# ---------------------------------------------------------------------- the end of the program

PROGRAM = """
import os, signal, sys
import graphc
from graphc.utils import data

class Large(data.Dataset):
    def __len__(self):
        return 1000
    def __getitem__(self, i):
        return graphc.full((30_000,), float(i))

loader = data.DataLoader(Large(), 2, num_workers=2, multiprocessing_context="fork")
batches = iter(loader)
assert [next(batches)[1, 5].item() for _ in range(2)] == [1, 3]  # both workers have begun
"""

ENDS = {
    "exit": ("", 0),
    "sys.exit": ("sys.exit(4)", 4),
    "error": ("raise ValueError('wrong')", 1),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "interrupted": ("os.killpg(0, signal.SIGINT)\nlist(batches)", -signal.SIGINT),
    "forked": ("if os.fork() == 0:\n    del batches, loader\n    os._exit(0)\nos.wait()", 0),
}


@pytest.mark.parametrize("end", ENDS)
def test_workers_end_with_the_program(end):
    """The pipe of its output is closed when the last of its processes has ended."""
    code, status = ENDS[end]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM + code],
        capture_output=True,
        text=True,
        timeout=300,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )
    assert run.returncode == status, run.stderr
    wanted = {"error": "ValueError: wrong", "interrupted": "KeyboardInterrupt"}.get(end)
    assert run.stderr.count("Traceback") == (wanted is not None), run.stderr
    assert wanted is None or wanted in run.stderr
