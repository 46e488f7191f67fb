"""The floor under a call's time: what these processors need at least for the work in it.

Multiplications and additions cannot be faster than independent vectors of fused multiply-adds in
registers, and memory not faster than reading, or copying, as many bytes wherever they lie (a cache
or memory, as for the call itself). ``floor.c`` measures both at the moment of asking.
"""

import ctypes
import math
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_suffix(".c")
MULTIPLY_ADD, READ, COPIES = 0, 1, (2, 3, 4)  # the kinds of floor.c
CHAINS, LANES = 12, 16
LINE = 64


def build():
    """The function of floor.c, compiled for this processor."""
    from graphc.backends.c.cache import open_cache
    from graphc.backends.c.compiler import find_compiler

    compiler = find_compiler(open_cache())
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "floor.so"
        flags = ["-O3", compiler.native, "-ffp-contract=fast", "-shared", "-fPIC", "-pthread"]
        subprocess.run([*compiler.command, *flags, SOURCE, "-o", library], check=True)
        function = ctypes.CDLL(str(library)).gc_floor
    function.restype = ctypes.c_float
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    function.argtypes = [ctypes.c_int, ctypes.c_int, number, number, pointer, pointer]
    return function


def aligned(count):
    """That many ones in float32, in memory of their own, from an address divisible by LINE."""
    memory = np.empty(count * 4 + LINE, np.uint8)
    first = -memory.ctypes.data % LINE
    array = memory[first : first + 4 * count].view(np.float32)
    array.fill(1)
    return array


class Floor:
    """Measures the floor of some work, as often as it is asked."""

    def __init__(self, work, threads):
        self.work, self.threads, self.function = work, threads, build()
        moved = max(work.read, work.written) // 4
        self.source, self.target = aligned(moved), aligned(moved)

    def seconds(self, budget):
        """At best; measuring takes about ``budget`` seconds."""
        # Arithmetic can go on while memory moves; reading and copying share the way.
        return max(self.arithmetic(budget / 2), self.movement(budget / 2))

    def arithmetic(self, budget):
        if not self.work.flops:
            return 0.0
        count = 10_000
        flops = 2 * count * CHAINS * LANES * self.threads
        return self.work.flops / flops * self.once(MULTIPLY_ADD, count, budget)

    def movement(self, budget):
        copied = min(self.work.read, self.work.written) // 4
        alone = (self.work.read - self.work.written) // 4
        seconds = 0.0
        if copied:
            share = budget / len(COPIES)
            seconds += min(self.once(kind, copied, share) for kind in COPIES)
        if alone > 0:
            seconds += self.once(READ, alone, budget)
        return seconds

    def once(self, kind, count, budget):
        """Seconds of one repetition: the best of several runs of enough repetitions."""

        def run(repeat):
            start = time.perf_counter()
            operands = self.source.ctypes.data, self.target.ctypes.data
            if math.isnan(self.function(kind, self.threads, repeat, count, *operands)):
                raise RuntimeError(f"floor.c could not run {self.threads} threads")
            return time.perf_counter() - start

        repeat = 1  # so often that starting threads does not count, even when one run is disturbed
        while (best := min(run(repeat) for _ in range(3))) < budget / 20 and repeat < 1 << 30:
            repeat *= 2
        end = time.perf_counter() + budget / 2
        while time.perf_counter() < end:
            best = min(best, run(repeat))
        return best / repeat
