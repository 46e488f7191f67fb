"""One contender at one workload, in a process of its own; ``run.py`` starts it and gives the time.

    python worker.py "torch.compile" lenet_step whole 2 numbers.npz results.npz

It makes the workload from the numbers, runs it five times (compiling happens here), saves what
came out, and writes a line of JSON: seconds of those calls, and the memory they took. From then on
it answers each line ``go SECONDS CLOCK`` with a round of about that length: a line of JSON with the
median, in seconds for one call. It ends when its input does.
"""

import json
import math
import os
import platform
import statistics
import sys
import time
from collections import deque

# Name -> library, and how it runs there: see pytorch_runs.py.
CONTENDERS = {
    "graphc eager": ("graphc", "eager"),
    "graphc compiled": ("graphc", "whole"),
    "PyTorch eager": ("torch", "eager"),
    "torch.compile": ("torch", "parts"),
    "JAX jit": ("jax", "jit"),
    "floor": ("floor", "measured"),
}
FIRST_CALLS = 5
SAMPLE = 1e-3  # seconds; what takes less is called several times for one sample
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def main():
    contender, workload, size, threads, numbers, results = sys.argv[1:]
    library, how = CONTENDERS[contender]
    threads = int(threads)
    restrict(threads)
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**fields):
        print(json.dumps(fields), file=answers, flush=True)

    from workloads import WORKLOADS

    row = WORKLOADS[workload]
    if library == "floor":
        import floor

        measured = floor.Floor(row.work, threads)
        answer(versions={})
        for line in sys.stdin:
            answer(median=measured.seconds(float(line.split()[1])))
        return
    program = row.program(size == "tiny")
    run, finish, arrays, version = make(library, how, program, numbers, threads)
    ready = first_calls(program, run, finish, arrays, results)
    versions = {library: version, "python": platform.python_version()}
    answer(**ready, versions=versions, plain_call=plain_call())
    for line in sys.stdin:
        _, seconds, clock = line.split()
        answer(median=measure(run, finish, float(seconds), CLOCKS[clock]))


def restrict(threads):
    """To that many CPUs, where the system can do it; JAX has no other setting."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def make(library, how, program, numbers, threads):
    """The workload, how to wait for its result and to read it as arrays, and the version."""
    from start import Start

    start = Start.load(numbers)
    if library == "jax":
        import jax
        import jax_runs

        run = jax_runs.prepare(program, start)
        return run, jax.block_until_ready, jax_runs.arrays, jax.__version__
    if library == "torch":
        import torch as xp
    else:
        import graphc as xp
    import pytorch_runs
    from workloads import Training

    xp.set_num_threads(threads)
    xp.set_grad_enabled(isinstance(program, Training))
    run = pytorch_runs.prepare(xp, program, how, start)
    return run, lambda _: None, lambda r: pytorch_runs.arrays(xp, r), xp.__version__


def first_calls(program, run, finish, arrays, path):
    """Seconds and memory of the first calls; saves the losses of all, or the last one's result."""
    import numpy as np
    from workloads import Training

    trains = isinstance(program, Training) and program.optimizer is not None
    kept = deque(maxlen=FIRST_CALLS if trains else 1)
    before = peak_memory(reset=True)
    start = time.perf_counter()
    for _ in range(FIRST_CALLS):
        kept.append(run())
        finish(kept[-1])
    seconds = time.perf_counter() - start
    memory = max(0, peak_memory() - before)
    results = [arrays(result) for result in kept]
    np.savez(path, *(np.stack(parts) for parts in zip(*results, strict=True)))
    return {"first_calls": seconds, "memory": memory}


def peak_memory(reset=False):
    """Bytes that the process has held at most; ``reset`` forgets the past, where Linux can.

    Not ru_maxrss on Linux, which begins with the peak of the process that started this one.
    """
    try:
        if reset:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        with open("/proc/self/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmHWM"].split()[0]) * 1024
    except OSError:  # not Linux
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def plain_call():
    """Seconds of a Python call that does nothing, as the workloads' functions are called."""
    values = [1.0]

    def nothing(_x):
        pass

    def run():
        return nothing(*values)

    return measure(run, lambda _: None, 0.05)


def measure(run, finish, seconds, clock=time.perf_counter):
    """Median seconds of a call, of samples that together take about ``seconds``.

    There are three samples at least, or as many as thrice the time holds.
    """
    start = clock()
    finish(run())
    once = clock() - start
    repeat = range(max(1, math.ceil(SAMPLE / max(once, 1e-7))))
    samples = []
    end = time.perf_counter() + seconds
    while not samples or time.perf_counter() < end + (2 * seconds if len(samples) < 3 else 0):
        start = clock()
        for _ in repeat:
            result = run()
        finish(result)
        samples.append((clock() - start) / len(repeat))
    return statistics.median(samples)


if __name__ == "__main__":
    main()
