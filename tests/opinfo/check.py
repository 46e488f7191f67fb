"""``python -m tests.opinfo.check NAME...``: compares names with PyTorch and shows the failures.

    python -m tests.opinfo.check add linalg.svd           all modes and dtypes
    python -m tests.opinfo.check add --modes eager,gradient --dtypes float32,int64 -x
    python -m tests.opinfo.check --all --summary          one line a name

A name is one of tests/opinfo/names.py or any OpInfo of PyTorch. The status is 1 after a failure.
"""

import argparse
import os
import sys
from collections import Counter
from typing import Any

os.environ.setdefault("GRAPHC_VERIFY", "1")

from tests.opinfo import results
from tests.opinfo.modes import DTYPES, MODES
from tests.opinfo.names import NAMES
from tests.opinfo.operations import is_missing, is_tested, run_mode
from tests.opinfo.outcomes import Outcome, Report, Settings
from tests.opinfo.results import Counts


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.opinfo.check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--all", action="store_true", help="every name of names.py")
    parser.add_argument("--family", help="every name of one family")
    parser.add_argument("--modes", default=",".join(MODES), help="default: all of %(default)s")
    parser.add_argument("--dtypes", default=",".join(DTYPES), help="default: %(default)s")
    parser.add_argument("--samples", type=int, help="at most so many of each operation and dtype")
    parser.add_argument("--shown", type=int, default=3, help="failures shown per mode")
    parser.add_argument("--summary", action="store_true", help="counts only")
    parser.add_argument("--record", action="store_true", help="put the counts into results.json")
    parser.add_argument("-x", action="store_true", help="stop at the first failure")
    return parser.parse_args()


def show(outcome: Outcome, seen: set[str]) -> None:
    """One failure with its sample and, the first time, where it arose."""
    print(f"    {outcome.mode} {outcome.dtype} {outcome.sample[:400]}")
    print(f"        {(outcome.failure or '')[:700]}")
    if outcome.trace not in seen:
        seen.add(outcome.trace)
        for line in outcome.trace.splitlines():
            print(f"        | {line}")


def check(
    name: str, modes: list[str], settings: Settings, options: argparse.Namespace, found: Counts
) -> str:
    """Prints the report of one name; gives 'passed', 'failed', 'missing' or 'untested'."""
    found[name] = {}
    if is_missing(name):
        print(f"{name}: missing")
        return "missing"
    if not is_tested(name):
        print(f"{name}: untested (neither an OpInfo nor written cases)")
        return "untested"
    reports: list[Report] = []
    seen: set[str] = set()
    for mode in modes:
        report = run_mode(name, mode, settings)
        reports.append(report)
        if report.failures and options.x:
            break
    counts = [f"{r.mode} {r.passed}/{len(r.outcomes)}" for r in reports if r.outcomes]
    failed = any(r.failures for r in reports)
    found[name] = {r.mode: [r.passed, len(r.outcomes)] for r in reports if r.outcomes}
    print(f"{name}: {'FAILED' if failed else 'passed'}  {', '.join(counts)}", flush=True)
    if not options.summary:
        for report in reports:
            for outcome in report.failures[: 1 if options.x else options.shown]:
                show(outcome, seen)
            rest = len(report.failures) - options.shown
            if rest > 0 and not options.x:
                kinds = Counter(f"{o.dtype} {(o.failure or '')[:60]}" for o in report.failures)
                print(f"    ... {rest} more in {report.mode}: {dict(kinds.most_common(4))}")
    return "failed" if failed else "passed"


def main() -> int:
    options = arguments()
    modes = options.modes.split(",")
    unknown = [m for m in modes if m not in MODES]
    if unknown:
        print(f"no mode {unknown[0]!r}; there are {', '.join(MODES)}", file=sys.stderr)
        return 2
    names = list(options.names)
    if options.all:
        names += [n.name for n in NAMES]
    if options.family:
        names += [n.name for n in NAMES if n.family == options.family]
    if not names:
        print("name something, or --all", file=sys.stderr)
        return 2
    settings = Settings(tuple(options.dtypes.split(",")), options.samples, options.x)
    counts: Counter[Any] = Counter()
    found: Counts = {}
    for name in names:
        verdict = check(name, modes, settings, options, found)
        counts[verdict] += 1
        if options.x and verdict == "failed":
            return 1
    if options.record:
        results.save(results.load() | found)
    if len(names) > 1:
        print(", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items())))
    return int(bool(counts["failed"]))


if __name__ == "__main__":
    sys.exit(main())
