"""Programs on the thread pool: barriers, errors, several callers, forks, interrupts."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from graphc import config
from graphc.backends.c import (
    Arena,
    BuiltProgram,
    IndexReport,
    SourceFile,
    address_of,
    build_program,
)
from graphc.backends.c.interface import interface
from graphc.backends.c.program import Program

SOURCE = """#include "gc_program.h"
#include <unistd.h>

/* Every thread counts rounds in its own slot; after a barrier all slots must agree. */
static void rounds(gc_thread *t) {
    volatile int64_t *slots = (int64_t *)t->call->buffers[0];
    int64_t *wrong = (int64_t *)t->call->buffers[1];
    for (int64_t i = 0; i < t->call->sizes[0]; i++) {
        slots[t->tid] = i;
        gc_barrier(t);
        for (int k = 0; k < t->nthreads; k++) wrong[t->tid] += slots[k] != i;
        gc_barrier(t);
    }
    if (t->tid == 0) wrong[63] = t->nthreads;
}
GC_EXPORT int64_t count_rounds(gc_call *call) { return gc_run(call, rounds, 64); }

/* y = 2 x, then z = reversed y: the second stage reads what other threads wrote. */
static void stages(gc_thread *t) {
    double *x = (double *)t->call->buffers[0], *z = (double *)t->call->buffers[1];
    double *y = (double *)t->call->arena;
    int64_t n = t->call->sizes[0], begin, end;
    gc_share(t, n, 16, &begin, &end);
    for (int64_t i = begin; i < end; i++) y[i] = 2 * x[i];
    gc_barrier(t);
    for (int64_t i = begin; i < end; i++) z[i] = y[n - 1 - i];
}
GC_EXPORT int64_t reverse_double(gc_call *call) { return gc_run(call, stages, 64); }

static void check(gc_thread *t) {
    int64_t *index = (int64_t *)t->call->buffers[0];
    int64_t n = t->call->sizes[0];
    for (int64_t i = t->tid; i < n; i += t->nthreads)
        if (index[i] < 0 || index[i] >= 1000)
            gc_report_index(&t->call->error, i, index[i], 1000 + index[i]);
    gc_barrier(t);
}
GC_EXPORT int64_t check_indices(gc_call *call) { return gc_run(call, check, 64); }

static void slow(gc_thread *t) {
    usleep(t->tid == 0 ? 700000 : 1000);
    gc_barrier(t);
    ((int64_t *)t->call->buffers[0])[t->tid] += 1;
}
GC_EXPORT int64_t sleep_long(gc_call *call) { return gc_run(call, slow, 2); }

static void nothing(gc_thread *t) { (void)t; }
GC_EXPORT int64_t do_nothing(gc_call *call) { return gc_run(call, nothing, 1); }

GC_EXPORT int64_t layout(gc_call *call) {
    int64_t *out = (int64_t *)call->buffers[0];
    out[0] = sizeof(gc_call), out[1] = sizeof(gc_pool), out[2] = sizeof(gc_error);
    return 0;
}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuiltProgram]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPHC_CACHE_DIR", str(tmp_path_factory.mktemp("home") / "cache"))
        patch.delenv("GRAPHC_SANITIZE", raising=False)
        yield build_program([SourceFile("pool", SOURCE)], entry="count_rounds")


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = config.get_num_threads()
    config.set_num_threads(2)
    yield
    config.set_num_threads(before)


def program(built: BuiltProgram, entry: str, buffers: int = 2, arena_bytes: int = 0) -> Program:
    return built.program(buffers=buffers, sizes=1, arena_bytes=arena_bytes, entries=[entry])


def count(counting: Program, rounds: int) -> int:
    """Runs so many rounds, asserts all agreed, returns the number of threads there were."""
    slots, wrong = np.zeros(64, "int64"), np.zeros(64, "int64")
    counting.run([address_of(slots), address_of(wrong)], [rounds])
    assert wrong[:63].tolist() == [0] * 63
    return int(wrong[63])


@pytest.mark.parametrize("nthreads", [1, 2, 3, 4])
def test_barriers_keep_threads_in_step(built: BuiltProgram, nthreads: int) -> None:
    config.set_num_threads(nthreads)
    assert count(program(built, "count_rounds"), 5000) == nthreads  # two barriers a round


def test_threads_may_change_between_runs(built: BuiltProgram) -> None:
    counting = program(built, "count_rounds")
    for nthreads in (4, 1, 3, 2, 4):
        config.set_num_threads(nthreads)
        for _ in range(50):
            assert count(counting, 3) == nthreads


def test_workers_wake_after_sleeping(built: BuiltProgram) -> None:
    counting = program(built, "count_rounds")
    for _ in range(20):
        time.sleep(0.003)  # long past the spinning
        assert count(counting, 2) == 2


@pytest.mark.parametrize("nthreads", [1, 3])
@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 1000])
def test_stages_and_arena(built: BuiltProgram, n: int, nthreads: int) -> None:
    config.set_num_threads(nthreads)
    x, z = np.arange(float(n)), np.zeros(n + 1)
    program(built, "reverse_double", arena_bytes=8 * n).run([address_of(x), address_of(z)], [n])
    np.testing.assert_array_equal(z[:n], 2 * x[::-1])
    assert z[n] == 0


def test_arena_grows_when_asked(built: BuiltProgram) -> None:
    reverse = program(built, "reverse_double")
    for n in (10, 100_000, 10):
        x, z = np.arange(float(n)), np.zeros(n)
        reverse.run([address_of(x), address_of(z)], [n], arena_bytes=8 * n)
        np.testing.assert_array_equal(z, 2 * x[::-1])


def test_never_more_threads_than_the_arena_has_room_for(built: BuiltProgram) -> None:
    config.set_num_threads(4)
    few = built.program(buffers=2, sizes=1, threads=3, entries=["count_rounds"])
    assert count(few, 5) == 3


def test_entries_share_an_arena(built: BuiltProgram) -> None:
    both = built.program(
        buffers=2, sizes=1, arena_bytes=800, entries=["reverse_double", "check_indices"]
    )
    x, z = np.arange(100.0), np.zeros(100)
    frame = both.begin([address_of(x), address_of(z)], [100])
    both.enter(frame, 0)
    arena = interface().buffer(interface().cast("char *", frame.arena.address), 800)
    np.testing.assert_array_equal(np.frombuffer(arena), 2 * x)
    with pytest.raises(IndexReport):
        both.enter(frame, 1)  # these doubles are no indices
    both.end(frame)
    assert both.begin([0, 0], [0]) is frame


def test_python_threads_call_at_once(built: BuiltProgram) -> None:
    reverse = program(built, "reverse_double", arena_bytes=8 * 500)
    failures: list[str] = []

    def caller(seed: int) -> None:
        x, z = np.arange(500.0) + seed, np.zeros(500)
        for _ in range(400):
            z[:] = 0
            reverse.run([address_of(x), address_of(z)], [500])
            if not np.array_equal(z, 2 * x[::-1]):
                failures.append(f"caller {seed}")

    callers = [threading.Thread(target=caller, args=(seed,)) for seed in range(6)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(60)
    assert failures == []
    assert not any(thread.is_alive() for thread in callers)


# --------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("nthreads", [1, 3])
def test_index_out_of_range_is_reported(built: BuiltProgram, nthreads: int) -> None:
    config.set_num_threads(nthreads)
    checking = program(built, "check_indices", buffers=1)
    index = np.arange(1000)
    checking.run([address_of(index)], [1000])
    index[[100, 333, 801]] = [-5, 1000, 4444]
    for _ in range(50):
        with pytest.raises(IndexReport) as caught:
            checking.run([address_of(index)], [1000])
        # One of the three, and its own value and limit, never a mixture.
        assert caught.value.site in (100, 333, 801)
        assert caught.value.value == index[caught.value.site]
        assert caught.value.limit == 1000 + caught.value.value
    assert isinstance(caught.value, IndexError)
    if nthreads == 1:
        assert caught.value.site == 100  # the first one is kept
    index[[100, 333, 801]] = 0
    checking.run([address_of(index)], [1000])  # the report does not stick


def test_wrong_number_of_addresses(built: BuiltProgram) -> None:
    with pytest.raises(ValueError):
        program(built, "count_rounds").run([1], [0])


def test_unknown_entry(built: BuiltProgram) -> None:
    with pytest.raises(OSError, match="exports no missing"):
        program(built, "missing")


def test_python_and_c_agree_on_structures(built: BuiltProgram) -> None:
    sizes = np.zeros(3, "int64")
    program(built, "layout", buffers=1).run([address_of(sizes)])
    ffi = interface()
    assert sizes.tolist() == [ffi.sizeof(t) for t in ("gc_call", "gc_pool", "gc_error")]


# ------------------------------------------------------------------------- forks and interrupts


def survives_fork(built: BuiltProgram) -> None:
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a hang becomes a failure
        status = 1
        try:
            status = 0 if count(program(built, "count_rounds"), 100) == 2 else 2
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_child_makes_its_own_workers(built: BuiltProgram) -> None:
    assert count(program(built, "count_rounds"), 100) == 2
    survives_fork(built)
    assert count(program(built, "count_rounds"), 100) == 2  # the parent keeps its own


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fork_in_the_middle_of_a_run(built: BuiltProgram) -> None:
    done = np.zeros(64, "int64")
    sleeping = program(built, "sleep_long", buffers=1)
    other = threading.Thread(target=sleeping.run, args=([address_of(done)],))
    other.start()
    time.sleep(0.1)  # it holds the pool now
    survives_fork(built)
    assert count(program(built, "count_rounds"), 10) == 1  # taken: the caller runs alone
    other.join(20)
    assert done[:2].tolist() == [1, 1]
    assert count(program(built, "count_rounds"), 10) == 2


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_workers_leave_signals_to_python(built: BuiltProgram) -> None:
    assert count(program(built, "count_rounds"), 10) == 2
    states = [(task / "status").read_text() for task in Path("/proc/self/task").iterdir()]
    workers = [state for state in states if state.startswith("Name:\tgraphc-")]
    assert workers
    for state in workers:
        blocked = int(state.split("SigBlk:")[1].split()[0], 16)
        assert blocked >> (signal.SIGINT - 1) & 1


def test_interrupt_during_a_run(built: BuiltProgram) -> None:
    done = np.zeros(64, "int64")
    sleeping = program(built, "sleep_long", buffers=1)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        sleeping.run([address_of(done)])
        time.sleep(1)
    timer.join()
    assert done[:2].tolist() == [1, 1]  # it ran to its end
    sleeping.run([address_of(done)])
    assert done[:2].tolist() == [2, 2]
    assert count(program(built, "count_rounds"), 10) == 2


def test_process_ends_while_workers_sleep_or_spin(tmp_path: Path) -> None:
    script = (
        "from graphc.backends.c import *; from graphc import config; config.set_num_threads(3)\n"
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_pool\n"
        "built = build_program([SourceFile('p', test_pool.SOURCE)], entry='count_rounds')\n"
        "print(test_pool.count(built.program(buffers=2, sizes=1), 10))"
    )
    environment = {
        **os.environ,
        "GRAPHC_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "3\n", "")


# ---------------------------------------------------------------------------------------- memory


def test_addresses_of_arrays() -> None:
    whole = np.arange(60.0).reshape(3, 4, 5)
    fixed = whole.copy()
    fixed.flags.writeable = False
    views = [whole, whole[1:, ::2, 3], whole[::-1], whole.T, whole[:0], whole[1, 2, 3, ...], fixed]
    views += [np.zeros(3, "bool"), np.zeros((), "int8"), np.zeros(2, "complex64")]
    for view in views:
        assert address_of(view) == view.__array_interface__["data"][0]


@pytest.mark.parametrize("size", [0, 1, 1000, 3 << 20])
def test_arena_alignment(size: int) -> None:
    arena = Arena(size)
    assert arena.size == size
    assert arena.address % (64 if size < 2 << 20 else 2 << 20) == 0
    if size:
        memory = interface().buffer(interface().cast("char *", arena.address), size)
        memory[size - 1] = b"x"
        assert memory[size - 1] == b"x"


def test_arena_too_large() -> None:
    with pytest.raises(MemoryError, match="arena"):
        Arena(1 << 60)


def test_a_call_is_cheap_and_keeps_no_memory(built: BuiltProgram) -> None:
    nothing = program(built, "do_nothing", buffers=4)
    x = np.zeros(3)
    addresses = [address_of(x)] * 4
    best = min(_seconds(nothing, addresses) for _ in range(20))
    # About half a microsecond; the bound leaves room for a slow, busy machine.
    assert best / 2000 < 5e-6
    assert len(nothing.free) == 1


def _seconds(nothing: Program, addresses: list[int]) -> float:
    began = time.perf_counter()
    for _ in range(2000):
        nothing.run(addresses)
    return time.perf_counter() - began
