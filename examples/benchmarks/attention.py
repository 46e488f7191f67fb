"""scaled_dot_product_attention in milliseconds: graphc compiled, and PyTorch if installed.

Contenders take turns, so that whatever else the machine does falls on all of them alike; a
figure is the best of all rounds. Results and gradients are compared with each other.

    python examples/benchmarks/attention.py
    python examples/benchmarks/attention.py --threads 1 --rounds 3 2048
"""

import argparse
import importlib
import importlib.util
import os
import time

SHAPES = ((8, 8, 256, 64), (1, 8, 2048, 64), (1, 8, 2048, 128), (1, 4, 8192, 64))


def forward(xp, causal):
    attention = xp.nn.functional.scaled_dot_product_attention

    def run(q, k, v, _g):
        with xp.no_grad():
            return (attention(q, k, v, is_causal=causal),)

    return run


def training(xp, causal):
    attention = xp.nn.functional.scaled_dot_product_attention

    def run(q, k, v, g):
        q, k, v = (x.detach().requires_grad_() for x in (q, k, v))
        y = attention(q, k, v, is_causal=causal)
        y.backward(g)
        return y.detach(), q.grad, k.grad, v.grad

    return run


def contenders(make, causal, arrays, torch):
    """{name: call}, and the bytes that graphc keeps beside operands and results."""
    import graphc

    compiled = graphc.compile(make(graphc, causal))
    tensors = [graphc.from_numpy(array) for array in arrays]
    calls = {"graphc": lambda: compiled(*tensors)}
    calls["graphc"]()
    if torch is not None:
        theirs, plain = [torch.from_numpy(array) for array in arrays], make(torch, causal)
        calls["PyTorch"] = lambda: plain(*theirs)
    return calls, compiled.receipts[-1].arena_bytes


def measure(make, causal, shape, options, torch):
    import numpy as np

    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape).astype(np.float32) for _ in range(4)]
    calls, arena = contenders(make, causal, arrays, torch)
    results = [[np.asarray(part) for part in call()] for call in calls.values()]
    for parts in zip(*results, strict=True):
        apart = max(float(np.abs(part - parts[0]).max()) for part in parts)
        if apart > 1e-4 * float(np.abs(parts[0]).max()):
            raise SystemExit(f"results are {apart:.1e} apart")
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(options.rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            best[name] = min(best[name], time.perf_counter() - start)
    return best, arena


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("only", nargs="*", help="parts of the names of cases")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    for name in ("OMP", "MKL", "OPENBLAS", "GRAPHC"):  # read when the libraries are loaded
        os.environ[f"{name}_NUM_THREADS"] = str(options.threads)
    found = importlib.util.find_spec("torch") is not None
    torch = importlib.import_module("torch") if found else None
    print(f"{options.threads} threads; milliseconds, and megabytes of graphc's intermediates")
    for shape in SHAPES:
        for causal in (False, True):
            for make in (forward, training):
                kind = " causal" if causal else ""
                name = f"{'x'.join(map(str, shape))} {make.__name__}{kind}"
                if options.only and not any(part in name for part in options.only):
                    continue
                best, arena = measure(make, causal, shape, options, torch)
                figures = "   ".join(f"{who} {1e3 * best[who]:8.2f}" for who in best)
                print(f"{name:30} {figures}   {arena / 1e6:6.1f} MB", flush=True)


if __name__ == "__main__":
    main()
