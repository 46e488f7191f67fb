"""Times graphc beside PyTorch and JAX, each in its own environment and process.

For each workload every contender gets a worker process. The workers take turns, one round each,
so that whatever else the machine does falls on all of them alike; a contender's figure is the
median of its rounds. All run on the same CPUs with the same number of threads, from the same
numbers, and their results are compared.

    python examples/benchmarks/run.py
    python examples/benchmarks/run.py --rounds 3 --workload lenet_step --contender graphc

PyTorch and JAX are installed into ``examples/benchmarks/.envs`` unless ``--torch-python`` and
``--jax-python`` name interpreters that have them. Results: a table here, and the same with all
details in ``examples/benchmarks/results/``.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from worker import CONTENDERS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REQUIREMENTS = {"torch": ["torch==2.13.0", "numpy"], "jax": ["jax"]}
STEPS = ("lenet_step", "mlp_step")
WORKLOADS = (*STEPS, "tiny_call", "pointwise_4m", "softmax_4096x1024", "matmul_bias_relu_1024")
REFERENCE = "PyTorch eager"
TOLERANCE = 1e-4  # relative to the largest number compared


class Worker:
    """A contender's process for one workload."""

    def __init__(self, contender, workload, options, interpreter, caches):
        self.contender = contender
        threads = str(options.threads)
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "GRAPHC_CACHE_DIR": str(caches / "graphc"),
            "TORCHINDUCTOR_CACHE_DIR": str(caches / "torch"),
            "JAX_COMPILATION_CACHE_DIR": str(caches / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "JAX_PLATFORMS": "cpu",
            **{f"{name}_NUM_THREADS": threads for name in ("OMP", "MKL", "OPENBLAS", "GRAPHC")},
        }
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by end()
        self.process = subprocess.Popen(
            [interpreter, HERE / "worker.py", contender, workload, threads],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment,
        )
        self.ready = self.answer()
        self.medians = []

    def answer(self):
        """The next line of JSON; raises RuntimeError with what the process said when it died."""
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.log.seek(0)
            said = self.log.read().strip().splitlines()[-15:]
            raise RuntimeError(f"{self.contender} failed:\n    " + "\n    ".join(said))
        return json.loads(line)

    def go(self, seconds):
        self.process.stdin.write(f"go {seconds}\n")
        self.process.stdin.flush()
        self.medians.append(self.answer()["median"])

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


def contenders_of(workload, chosen):
    """A call has no model to be compiled apart from the rest."""
    return [c for c in chosen if workload in STEPS or c != "graphc compiled model"]


def measure(workload, options, interpreters):
    """One workload: starts the workers (cold, then warm), interleaves rounds, compares."""
    rows, problems, workers = {}, [], []
    with tempfile.TemporaryDirectory(prefix="graphc-benchmark-") as folder:
        try:
            for i, name in enumerate(contenders_of(workload, options.contenders)):
                interpreter = interpreters[CONTENDERS[name][0]]
                caches = Path(folder) / str(i)
                caches.mkdir(mode=0o700)
                starts = ["first_calls_warm"]
                if (
                    CONTENDERS[name][1] != "eager"
                ):  # it compiles, so what does it find the next time?
                    starts.insert(0, "first_calls_cold")
                row = {}
                try:
                    for start in starts:
                        progress(f"{workload}: {name}, {start.replace(chr(95), chr(32))}")
                        worker = Worker(name, workload, options, interpreter, caches)
                        row[start] = worker.ready["first_calls"]
                        if start != starts[-1]:
                            worker.end()
                except RuntimeError as error:
                    problems.append(f"{workload}: {error}")
                    continue
                workers.append(worker)
                row.update({k: worker.ready[k] for k in ("plain_call", "versions", "numbers")})
                rows[name] = row
            for number in range(options.rounds):
                for worker in workers[:]:
                    progress(
                        f"{workload}: round {number + 1} of {options.rounds}, {worker.contender}"
                    )
                    time.sleep(0.05)  # threads of the one before may still spin
                    try:
                        worker.go(options.seconds)
                    except RuntimeError as error:
                        problems.append(f"{workload}: {error}")
                        workers.remove(worker)
                        del rows[worker.contender]
        finally:
            for worker in workers:
                worker.end()
            progress("")
    for worker in workers:
        rows[worker.contender].update(
            seconds=statistics.median(worker.medians), rounds=worker.medians
        )
    return rows, problems + disagreements(workload, rows)


def progress(text):
    """A line on the terminal that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def disagreements(workload, rows):
    """Contenders whose first five results (losses, or values) are not those of the reference."""
    if not rows:
        return []
    reference = REFERENCE if REFERENCE in rows else next(iter(rows))
    expected = [x for result in rows[reference]["numbers"] for x in result]
    largest = max(map(abs, expected))
    found = []
    for name, row in rows.items():
        values = [x for result in row["numbers"] for x in result]
        apart = max(abs(a - b) for a, b in zip(values, expected, strict=True)) / largest
        row["apart"] = apart
        if not apart <= TOLERANCE:
            found.append(f"{workload}: {name} is {apart:.1e} from {reference}")
    return found


def environments(options):
    """An interpreter for each library; installs what is missing."""
    given = {"graphc": sys.executable, "torch": options.torch_python, "jax": options.jax_python}
    for library in {CONTENDERS[name][0] for name in options.contenders}:
        if given[library] is None:
            given[library] = install(library)
    return {library: path and os.path.abspath(path) for library, path in given.items()}


def install(library):
    folder = HERE / ".envs" / library
    python = folder / "bin" / "python"
    finished = folder / "installed"
    if not finished.exists():
        print(f"installing {' '.join(REQUIREMENTS[library])} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
        subprocess.run([*pip, *REQUIREMENTS[library]], check=True, stdout=sys.stderr)
        finished.touch()
    return python


# ---------------------------------------------------------------------------------------- telling


def duration(seconds):
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 1 or unit == "µs":
            return f"{seconds * scale:.3g} {unit}"


def table(results):
    """Rows of text: a header, then for each workload its contenders."""
    lines = [
        (
            *("workload", "contender", "time", "rounds", "against PyTorch", "against graphc eager"),
            *("first 5, cold", "first 5, warm"),
        )
    ]
    for workload, rows in results.items():
        for name, row in rows.items():
            seconds = row["seconds"]
            shown = duration(seconds)
            if workload == "tiny_call":
                shown += f" ({duration(max(0.0, seconds - row['plain_call']))} beyond a plain call)"
            cold = row.get("first_calls_cold")
            lines.append(
                (
                    workload,
                    name,
                    shown,
                    f"{duration(min(row['rounds']))} to {duration(max(row['rounds']))}",
                    *(
                        f"{rows[other]['seconds'] / seconds:.2f}x" if other in rows else ""
                        for other in (REFERENCE, "graphc eager")
                    ),
                    "" if cold is None else f"{cold:.2f} s",
                    f"{row['first_calls_warm']:.2f} s",
                )
            )
            workload = ""  # named once
    return lines


def matrix(results):
    """The same, short: a row for each workload, a column for each contender, medians only."""
    names = [name for name in CONTENDERS if any(name in rows for rows in results.values())]
    cells = [("", *names)]
    for workload, rows in results.items():
        times = [duration(rows[n]["seconds"]) if n in rows else "" for n in names]
        cells.append((workload, *times))
    return cells


NOTE = (
    "Medians of interleaved rounds, one call or step. First 5: seconds of the first five calls in a"
    " new process, compiling included, with empty caches and with those of an earlier process."
)


def plain_text(lines):
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def markdown(lines):
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([rows[0], "|" + " --- |" * len(lines[0]), *rows[1:]])


def processor():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", action="append", choices=WORKLOADS, help="default: all")
    parser.add_argument("--contender", action="append", help="names that begin so; default: all")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--torch-python", type=Path, help="a Python that has torch and numpy")
    parser.add_argument("--jax-python", type=Path, help="a Python that has jax")
    parser.add_argument("--output", type=Path, default=HERE / "results")
    options = parser.parse_args()
    begins = tuple(options.contender or [""])
    options.contenders = [name for name in CONTENDERS if name.startswith(begins)]
    if not options.contenders:
        parser.error(f"no contender begins with {' or '.join(begins)}; there are: {[*CONTENDERS]}")

    interpreters = environments(options)
    results, problems = {}, []
    for workload in options.workload or WORKLOADS:
        results[workload], found = measure(workload, options, interpreters)
        problems += found
    versions = {}
    for rows in results.values():
        for row in rows.values():
            versions.update(row.pop("versions"))

    today = datetime.date.today().isoformat()
    about = {
        "date": today,
        "cpu": processor(),
        "threads": options.threads,
        "load": os.getloadavg(),
        "rounds": options.rounds,
        "seconds_of_a_round": options.seconds,
        "versions": versions,
    }
    lines = table(results)
    options.output.mkdir(parents=True, exist_ok=True)
    report = options.output / f"{today}-cpu.json"
    report.write_text(
        json.dumps({**about, "results": results, "problems": problems}, indent=1) + "\n"
    )
    listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    title = f"{about['cpu']}, {options.threads} threads; {listed}; {today}"
    report.with_suffix(".md").write_text(
        f"{title}\n\n{markdown(matrix(results))}\n\n{markdown(lines)}\n\n{NOTE}\n"
    )
    print(f"\n{title}\n\n{plain_text(lines)}\n\n{NOTE}\n\n{report}\n{report.with_suffix('.md')}")
    if problems:
        print("\nPROBLEMS\n" + "\n".join(problems))
        sys.exit(1)


if __name__ == "__main__":
    main()
