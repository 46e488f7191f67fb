"""Workers and their rounds: what ``run.py`` measures of one workload."""

import contextlib
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from worker import CONTENDERS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REFERENCE = "PyTorch eager"


class ContenderError(RuntimeError):
    """A contender could not do a workload, or not in time."""


@dataclass(frozen=True)
class Entry:
    """A contender with its threads, and what it is called in a table."""

    contender: str
    threads: int
    name: str

    @property
    def library(self):
        return CONTENDERS[self.contender][0]

    @property
    def compiles(self):
        return CONTENDERS[self.contender][1] not in ("eager", "measured")


class Worker:
    """An entry's process for one workload. Answers that take longer than ``limit`` seconds fail."""

    def __init__(self, entry, workload, options, interpreter, caches, numbers, results):
        self.entry, self.limit = entry, options.limit
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "GRAPHC_CACHE_DIR": str(caches / "graphc"),
            "TORCHINDUCTOR_CACHE_DIR": str(caches / "torch"),
            "JAX_COMPILATION_CACHE_DIR": str(caches / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "JAX_PLATFORMS": "cpu",
            **{
                f"{name}_NUM_THREADS": str(entry.threads)
                for name in ("OMP", "MKL", "OPENBLAS", "GRAPHC")
            },
        }
        size = "tiny" if options.tiny else "whole"
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by end()
        arguments = (entry.contender, workload, size, str(entry.threads), numbers, results)
        self.process = subprocess.Popen(
            [interpreter, HERE / "worker.py", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=self.environment,
            start_new_session=True,  # compilers that it starts end with it
        )
        self.medians = []
        try:
            self.ready = self.answer()
        except ContenderError:
            self.end()
            raise

    def answer(self):
        """The next line of JSON. Raises ContenderError with what the process said when it died."""
        if not select.select([self.process.stdout], [], [], self.limit)[0]:
            self.kill()
            raise ContenderError(f"no answer within {self.limit:g} s")
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.log.seek(0)
            said = self.log.read().strip().splitlines()[-15:]
            raise ContenderError(
                "\n".join([f"ended with status {self.process.returncode}:", *said])
            )
        return json.loads(line)

    def go(self, seconds, clock):
        with contextlib.suppress(BrokenPipeError):  # the answer tells why
            self.process.stdin.write(f"go {seconds} {clock}\n")
            self.process.stdin.flush()
        self.medians.append(self.answer()["median"])

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process.stdout.close()
        self.log.close()


def measure(row, entries, options, interpreters, again):
    """One workload: {name: what was measured}.

    Starts the workers (with empty caches, and ``again`` with those that this start has filled),
    interleaves their rounds and compares their results. What fails has a "failed", what differs
    too much a "wrong".
    """
    found, workers, results = {}, [], {}
    with tempfile.TemporaryDirectory(prefix="graphc-benchmark-") as folder:
        folder = Path(folder)
        numbers = folder / "numbers.npz"
        prepare(row.name, numbers, options)
        try:
            for i, entry in enumerate(entries):
                caches = folder / str(i)
                caches.mkdir(mode=0o700)
                results[entry.name] = folder / f"{i}.npz"
                found[entry.name] = {}

                def start(entry=entry, files=(caches, numbers, results[entry.name])):
                    interpreter = interpreters[entry.library]
                    return Worker(entry, row.name, options, interpreter, *files)

                try:
                    workers.append(started(row.name, entry, start, again, found[entry.name]))
                except ContenderError as error:
                    found[entry.name]["failed"] = str(error)
            take_turns(row.name, workers, found, options)
        finally:
            for worker in workers:
                worker.end()
            progress("")
        compare(row, {n: p for n, p in results.items() if "failed" not in found[n]}, found)
    return found


def started(workload, entry, start, again, found):
    """A worker that is ready; what its starts took goes into ``found``."""
    cold, warm = "first_calls_cold", "first_calls_warm"
    progress(f"{workload}: {entry.name} starts")
    worker = start()
    if entry.compiles and again:
        found[cold] = worker.ready["first_calls"]
        worker.end()
        progress(f"{workload}: {entry.name} starts again")
        worker = start()
    seconds = worker.ready.pop("first_calls", None)
    if seconds is not None:
        found[cold if entry.compiles and not again else warm] = seconds
    found.update(worker.ready)
    return worker


def prepare(workload, path, options):
    size = "tiny" if options.tiny else "whole"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = [sys.executable, HERE / "start.py", workload, size, path]
    subprocess.run(start, check=True, env=environment)


def take_turns(name, workers, found, options):
    for number in range(options.rounds):
        for worker in workers[:]:
            entry = worker.entry
            progress(f"{name}: round {number + 1} of {options.rounds}, {entry.name}")
            time.sleep(0.05)  # threads of the one before may still spin
            try:
                worker.go(options.seconds, options.clock)
            except ContenderError as error:
                found[entry.name]["failed"] = str(error)
                workers.remove(worker)
                worker.end()
    for worker in workers:
        seconds = statistics.median(worker.medians)
        found[worker.entry.name].update(seconds=seconds, rounds=worker.medians)


def compare(row, paths, found):
    """How far every result is from the reference's: see ``distance``."""
    arrays = {}
    for name, path in paths.items():
        if path.exists():  # a floor has no results
            with np.load(path) as file:
                arrays[name] = [file[key] for key in file.files]
    if not arrays:
        return
    reference = next((n for n in arrays if n.startswith(REFERENCE)), next(iter(arrays)))
    for name, results in arrays.items():
        apart = max(map(distance, results, arrays[reference]))
        same = len(results) == len(arrays[reference]) and apart <= row.tolerance
        found[name]["apart"] = apart
        if not same:
            found[name]["wrong"] = f"results are {apart:.1e} from those of {reference}"


def distance(result, expected):
    """The norm of the difference relative to that of ``expected``.

    Infinite where shapes differ or numbers are none.
    """
    if result.shape != expected.shape or not np.isfinite(result).all():
        return float("inf")
    apart, norm = (float(np.linalg.norm(x)) for x in (result - expected, expected))
    return apart / norm if norm else apart


def progress(text):
    """A line on the terminal that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)
