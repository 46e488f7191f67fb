"""Matrix products and convolutions in GFLOP/s: graphc compiled, NumPy, and PyTorch if installed.

Contenders take turns, so that whatever else the machine does falls on all of them alike; a
figure is the best of all rounds. Every result is compared with NumPy in float64.

    python examples/benchmarks/gemm.py
    python examples/benchmarks/gemm.py --threads 1 --rounds 3 linear conv
"""

import argparse
import importlib
import importlib.util
import os
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    """relu(x @ w + b), or of its transposed operands: rows x cols, summed over depth."""

    rows: int
    cols: int
    depth: int
    turned: bool = False  # w as nn.Linear keeps it

    @property
    def flops(self):
        return 2 * self.rows * self.cols * self.depth

    def shapes(self):
        w = (self.cols, self.depth) if self.turned else (self.depth, self.cols)
        return (self.rows, self.depth), w, (self.cols,)

    def run(self, xp, x, w, b):
        return xp.relu(x @ (w.T if self.turned else w) + b)

    def expected(self, np, x, w, b):
        return np.maximum(x @ (w.T if self.turned else w) + b, 0)


@dataclass(frozen=True)
class Convolution:
    """relu(conv2d(x, w, b)) of square images and windows."""

    batch: int
    channels: int
    size: int
    filters: int
    window: int
    stride: int = 1
    padding: int = 0

    @property
    def out(self):
        return (self.size + 2 * self.padding - self.window) // self.stride + 1

    @property
    def flops(self):
        each = self.filters * self.out**2 * self.channels * self.window**2
        return 2 * self.batch * each

    def shapes(self):
        x = (self.batch, self.channels, self.size, self.size)
        return x, (self.filters, self.channels, self.window, self.window), (self.filters,)

    def run(self, xp, x, w, b):
        conv2d = xp.nn.functional.conv2d
        return xp.relu(conv2d(x, w, b, stride=self.stride, padding=self.padding))

    def expected(self, np, x, w, b):
        edge = (self.padding, self.padding)
        x = np.pad(x, ((0, 0), (0, 0), edge, edge))
        views = np.lib.stride_tricks.sliding_window_view(x, (self.window, self.window), (2, 3))
        views = views[:, :, :: self.stride, :: self.stride]
        return np.maximum(np.einsum("nchwij,ocij->nohw", views, w) + b[:, None, None], 0)


CASES = {
    "square 1024": Product(1024, 1024, 1024),
    "odd 1000x777x333": Product(1000, 777, 333),
    "linear 64x400-120": Product(64, 120, 400, turned=True),
    "linear 64x120-84": Product(64, 84, 120, turned=True),
    "linear 128x256-256": Product(128, 256, 256, turned=True),
    "conv LeNet 1": Convolution(64, 1, 32, 6, 5),
    "conv LeNet 2": Convolution(64, 6, 14, 16, 5),
    "conv 3x3 padded": Convolution(8, 64, 56, 64, 3, padding=1),
    "conv 3x3 stride 2": Convolution(8, 64, 56, 64, 3, stride=2, padding=1),
    "conv 1x1": Convolution(8, 64, 56, 64, 1),
}


def best_of(call, seconds):
    """The shortest time of a call, called again and again for some seconds."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def contenders(case, arrays, torch):
    """{name: call}; what a call returns can be made an array."""
    import numpy as np

    import graphc

    compiled = graphc.compile(lambda x, w, b: case.run(graphc, x, w, b))
    tensors = [graphc.from_numpy(array) for array in arrays]
    calls = {"graphc": lambda: compiled(*tensors)}
    if isinstance(case, Product):
        calls["NumPy"] = lambda: case.expected(np, *arrays)
    if torch is not None:
        theirs = [torch.from_numpy(array) for array in arrays]

        def call():
            with torch.inference_mode():
                return case.run(torch, *theirs)

        calls["PyTorch"] = call
    return calls


def measure(case, options, torch):
    import numpy as np

    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape).astype(np.float32) for shape in case.shapes()]
    exact = case.expected(np, *(array.astype(np.float64) for array in arrays))
    calls = contenders(case, arrays, torch)
    for name, call in calls.items():
        result = np.asarray(call())
        apart = float(np.abs(result - exact).max() / np.abs(exact).max())
        if apart > 1e-5:
            raise SystemExit(f"{name} is {apart:.1e} away from the result in float64")
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(options.rounds):
        for name, call in calls.items():
            best[name] = min(best[name], best_of(call, options.seconds))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("only", nargs="*", help="words that the names of cases must hold")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.1, help="per contender and round")
    options = parser.parse_args()
    for name in ("OMP", "MKL", "OPENBLAS", "GRAPHC"):  # read when the libraries are loaded
        os.environ[f"{name}_NUM_THREADS"] = str(options.threads)
    found = importlib.util.find_spec("torch") is not None
    torch = importlib.import_module("torch") if found else None
    print(f"{options.threads} threads; microseconds, and GFLOP/s in parentheses")
    for name, case in CASES.items():
        if options.only and not any(word in name for word in options.only):
            continue
        best = measure(case, options, torch)
        figures = (
            f"{who} {seconds * 1e6:9.1f} ({case.flops / seconds * 1e-9:4.0f})"
            for who, seconds in best.items()
        )
        print(f"{name:20}", "   ".join(figures), flush=True)


if __name__ == "__main__":
    main()
