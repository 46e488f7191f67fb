"""One contender at one workload, in a process of its own; ``run.py`` starts it and gives the time.

    python worker.py "torch.compile" lenet_step 2

It makes the workload, runs it five times (compiling happens here) and writes a line of JSON:
seconds of those calls, and numbers to compare with the other contenders'. From then on it answers
each line ``go SECONDS`` with a round of about that length: a line of JSON with the median, in
seconds for one call. It ends when its input does.
"""

import json
import math
import os
import platform
import statistics
import sys
import time

# Name -> library, and how it runs there: see workloads_pytorch.py.
CONTENDERS = {
    "graphc eager": ("graphc", "eager"),
    "graphc compiled model": ("graphc", "model"),
    "graphc compiled": ("graphc", "step"),
    "PyTorch eager": ("torch", "eager"),
    "torch.compile": ("torch", "parts"),
    "JAX jit": ("jax", "jit"),
}
FIRST_CALLS = 5
SAMPLE = 1e-3  # seconds; what takes less is called several times for one sample


def main():
    contender, workload, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    library, how = CONTENDERS[contender]
    restrict(threads)
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    run, finish, read, version = make(library, how, workload, threads)
    start = time.perf_counter()
    results = [read(run()) for _ in range(FIRST_CALLS)]
    ready = {
        "first_calls": time.perf_counter() - start,
        "numbers": results,
        "versions": {library: version, "python": platform.python_version()},
        "plain_call": plain_call(),
    }
    print(json.dumps(ready), file=answers, flush=True)
    for line in sys.stdin:
        seconds = float(line.split()[1])
        print(json.dumps({"median": measure(run, finish, seconds)}), file=answers, flush=True)


def restrict(threads):
    """To that many CPUs, where the system can do it; JAX has no other setting."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def make(library, how, workload, threads):
    """The workload, how to wait for its result, how to read that as floats, and the version."""
    if library == "jax":
        import jax
        import workloads_jax

        run = workloads_jax.WORKLOADS[workload]()
        return run, jax.block_until_ready, numbers, jax.__version__
    if library == "torch":
        import torch as xp
    else:
        import graphc as xp
    import workloads_pytorch

    xp.set_num_threads(threads)
    run = workloads_pytorch.WORKLOADS[workload](xp, how)
    return run, lambda result: result, lambda r: numbers(r.detach().numpy()), xp.__version__


def numbers(array):
    """The mean of the values, and the first of them."""
    import numpy as np

    flat = np.asarray(array, np.float64).ravel()
    return [float(flat.mean()), *map(float, flat[:4])]


def plain_call():
    """Seconds of a Python call that does nothing, as the workloads' functions are called."""
    values = [1.0]

    def nothing(_x):
        pass

    def run():
        return nothing(*values)

    return measure(run, lambda _: None, 0.1)


def measure(run, finish, seconds):
    """Median seconds of a call, of samples that together take about ``seconds``."""
    start = time.perf_counter()
    finish(run())
    once = time.perf_counter() - start
    repeat = range(max(1, math.ceil(SAMPLE / max(once, 1e-7))))
    samples = []
    end = time.perf_counter() + seconds
    while len(samples) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in repeat:
            result = run()
        finish(result)
        samples.append((time.perf_counter() - start) / len(repeat))
    return statistics.median(samples)


if __name__ == "__main__":
    main()
