"""Times graphc beside PyTorch and JAX, each in its own environment and process.

For each workload every contender gets a worker process. The workers take turns, one round each,
so that whatever else the machine does falls on all of them alike; a contender's figure is the
median of its rounds. All run on the same CPUs with the same number of threads, from the same
numbers, and their results are compared.

    python examples/benchmarks/run.py                      # the main table
    python examples/benchmarks/run.py --table all
    python examples/benchmarks/run.py --table odd --rounds 3 --only resnet18 --contender graphc
    python examples/benchmarks/run.py --table all --tiny   # do results agree? small sizes, no times

Tables: ``main`` (everyday steps and functions), ``odd`` (odd sizes, other dtypes, whole models),
``scaling`` (one function at many sizes, beside the floor that the processor sets), ``threads``
(the main table's workloads with one thread and with several).

PyTorch and JAX are installed into ``examples/benchmarks/.envs`` unless ``--torch-python`` and
``--jax-python`` name interpreters that have them. Results: tables here, and the same with all
details and plots in ``examples/benchmarks/results/``; ``report.py`` writes them again, and the
README's.
"""

import argparse
import compileall
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import report
from contest import HERE, ROOT, Entry, measure
from worker import CLOCKS, CONTENDERS
from workloads import MAIN, ODD, SIZES, TABLES, THREADS, WORKLOADS

REQUIREMENTS = {"torch": ["torch==2.13.0", "numpy"], "jax": ["jax"]}


def rows_of(table, options):
    wanted = MAIN if table == THREADS else table
    rows = [row for row in WORKLOADS.values() if row.table == wanted]
    return [r for r in rows if not options.only or any(part in r.name for part in options.only)]


def entries_of(table, options):
    """The floor is measured where sizes are; eager graphc is NumPy, whose threads are its own."""
    left_out = {"floor"} - ({"floor"} if table == SIZES else set())
    if table == THREADS:
        left_out.add("graphc eager")
    chosen = [name for name in options.contenders if name not in left_out]
    if table != THREADS:
        return [Entry(name, options.threads, name) for name in chosen]
    return [
        Entry(name, threads, f"{name}, {report.counted(threads)}")
        for name in chosen
        for threads in sorted({1, options.threads})
    ]


def environments(options):
    """An interpreter for each library; installs what is missing."""
    given = {"torch": options.torch_python, "jax": options.jax_python}
    given |= {"graphc": sys.executable, "floor": sys.executable}
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


def processor():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def measured_tables(table, options, interpreters):
    """What is measured of a table so far, as its JSON file holds it, after each workload."""
    measured = {
        "table": table,
        "date": datetime.date.today().isoformat(),
        "cpu": processor(),
        "threads": options.threads,
        "load_before": os.getloadavg(),
        "rounds": options.rounds,
        "seconds_of_a_round": options.seconds,
        "clock": options.clock,
        "tiny": options.tiny,
        "versions": {},
        "titles": {},
        "results": {},
    }
    for row in rows_of(table, options):
        again = table in (MAIN, ODD) and not options.one_start
        found = measure(row, entries_of(table, options), options, interpreters, again)
        for one in found.values():
            measured["versions"].update(one.pop("versions", {}))
        measured["titles"][row.name], measured["results"][row.name] = row.title, found
        yield measured | {"load_after": os.getloadavg()}


def parsed():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", choices=(*TABLES, "all"), default=MAIN)
    parser.add_argument("--only", nargs="+", help="parts of the names of workloads; default: all")
    parser.add_argument("--contender", action="append", help="names that begin so; default: all")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="processor: on a busy machine, 1 thread"
    )
    parser.add_argument("--limit", type=float, default=600, help="seconds that a start may take")
    parser.add_argument("--one-start", action="store_true", help="with empty caches only")
    parser.add_argument("--tiny", action="store_true", help="small sizes: only results matter")
    parser.add_argument("--torch-python", type=Path, help="a Python that has torch and numpy")
    parser.add_argument("--jax-python", type=Path, help="a Python that has jax")
    parser.add_argument("--output", type=Path, default=HERE / "results")
    options = parser.parse_args()
    begins = tuple(options.contender or [""])
    options.contenders = [name for name in CONTENDERS if name.startswith(begins)]
    if not options.contenders:
        parser.error(f"no contender begins with {' or '.join(begins)}; there are: {[*CONTENDERS]}")
    options.tables = TABLES if options.table == "all" else (options.table,)
    if not any(rows_of(table, options) for table in options.tables):
        parser.error(f"no workload there has {' or '.join(options.only)} in its name")
    return options


def main():
    options = parsed()
    interpreters = environments(options)
    # Others come installed, with their bytecode; a clone may have none, or be told to keep none.
    compileall.compile_dir(ROOT / "graphc", quiet=1)
    options.output.mkdir(parents=True, exist_ok=True)
    problems = []
    for table in options.tables:
        path, measured = options.output / f"{table}.json", None
        for measured in measured_tables(table, options, interpreters):
            path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        if measured is not None:
            print(f"\n{report.plain_text(measured)}\n")
            print(*report.write(path, measured), sep="\n")
            problems += report.problems(measured)
    if problems:
        print("\nPROBLEMS\n" + "\n".join(problems))
        sys.exit(1)


if __name__ == "__main__":
    main()
