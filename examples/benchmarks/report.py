"""What was measured as tables: on the terminal, in Markdown, in the README; plots by ``plots.py``.

python examples/benchmarks/report.py           # results/*.json again as Markdown and plots
python examples/benchmarks/report.py --write   # and the README's table
"""

import json
import sys
from pathlib import Path

from worker import CONTENDERS
from workloads import MAIN, TABLES

HERE = Path(__file__).resolve().parent
README = HERE.parents[1] / "README.md"
START = "<!-- speed: python examples/benchmarks/report.py --write -->"
END = "<!-- end of speed -->"
NOTES = (
    "Medians of interleaved rounds, one call or step. best other / graphc: the time of the fastest"
    " contender that is not graphc, divided by that of graphc compiled.",
    "First 5: seconds of the first five calls in a new process, compiling included, with empty"
    " caches (cold) and with those of an earlier process (warm). Memory: how far these calls raise"
    " the process's peak above what it held with the library loaded and the operands in place.",
)


def duration(seconds):
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 1 or unit == "µs":
            return f"{seconds * scale:.3g} {unit}"


def counted(threads):
    return "1 thread" if threads == 1 else f"{threads} threads"


def names_of(measured):
    """The entries in the order of their contenders."""
    found = dict.fromkeys(name for rows in measured["results"].values() for name in rows)
    order = [*CONTENDERS]
    return sorted(found, key=lambda name: order.index(name.split(",")[0]))


def is_graphc(name):
    return name.startswith("graphc")


def best_other(rows):
    """The name of the fastest contender that is not graphc and whose results are right, or None."""
    right = {
        name: row["seconds"]
        for name, row in rows.items()
        if "seconds" in row and "wrong" not in row and not is_graphc(name) and name != "floor"
    }
    return min(right, key=right.__getitem__, default=None)


def ratio(rows):
    """Time of the best other contender divided by graphc's; None without both."""
    ours, other = rows.get("graphc compiled", {}), best_other(rows)
    if "seconds" not in ours or other is None:
        return None
    return rows[other]["seconds"] / ours["seconds"]


def time_of(row):
    """A cell of the short table."""
    if not row or "failed" in row:
        return "failed" if row else ""
    return duration(row["seconds"]) + (" (wrong)" if "wrong" in row else "")


def short(measured):
    """A row for each workload, a column for each contender: medians."""
    names = names_of(measured)
    compared = any(ratio(rows) is not None for rows in measured["results"].values())
    cells = [("", *names, *(["best other / graphc"] if compared else []))]
    for workload, rows in measured["results"].items():
        line = [workload, *(time_of(rows.get(name)) for name in names)]
        if compared:
            line.append("" if ratio(rows) is None else f"{ratio(rows):.2f}")
        cells.append(tuple(line))
    return cells


def long(measured):
    """A header, then for each workload its contenders with all details."""
    heads = ("time", "rounds", "first 5, cold", "first 5, warm", "memory", "difference")
    lines = [("workload", "contender", *heads)]
    for workload, rows in measured["results"].items():
        for name in names_of(measured):
            row = rows.get(name)
            if row is None:
                continue
            lines.append((workload, name, *details(row)))
            workload = ""  # named once
    return lines


def details(row):
    if "failed" in row:
        return "failed", "", "", "", "", ""
    shown = duration(row["seconds"])
    plain = row.get("plain_call", 0)
    if row["seconds"] < 100 * plain:
        shown += f" ({duration(max(0.0, row['seconds'] - plain))} beyond a plain call)"
    firsts = (row.get(f"first_calls_{start}") for start in ("cold", "warm"))
    memory = f"{row['memory'] / 1e6:.1f} MB" if "memory" in row else ""
    apart = f"{row['apart']:.0e}" if "apart" in row else ""
    return (
        *(shown, f"{duration(min(row['rounds']))} to {duration(max(row['rounds']))}"),
        *("" if seconds is None else f"{seconds:.2f} s" for seconds in firsts),
        *(memory, apart + (" (wrong)" if "wrong" in row else "")),
    )


def problems(measured):
    """Sentences on everything that failed or differs."""
    return [
        f"{workload}: {name}: {row[kind]}"
        for workload, rows in measured["results"].items()
        for name, row in rows.items()
        for kind in ("failed", "wrong")
        if kind in row
    ]


def title(measured):
    versions = ", ".join(f"{name} {v}" for name, v in sorted(measured["versions"].items()))
    threads = counted(measured["threads"])
    text = f"{measured['cpu']}, {threads}; {versions}; {measured['date']}"
    text += "" if measured["clock"] == "wall" else f"; {measured['clock']} time"
    return text + ("; tiny sizes" if measured["tiny"] else "")


def plain_text(measured):
    lines = short(measured)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    body = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    return f"{title(measured)}\n\n{body}\n\n{NOTES[0]}"


def markdown(lines):
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([rows[0], "| ---" + " | ---:" * (len(lines[0]) - 1) + " |", *rows[1:]])


def page(measured):
    """The Markdown file of a table."""
    kinds = "\n".join(f"- `{name}`: {words}" for name, words in measured["titles"].items())
    parts = [title(measured), kinds, markdown(short(measured)), markdown(long(measured)), *NOTES]
    wrong = problems(measured)
    if wrong:
        parts.append("Problems:\n\n```\n" + "\n".join(wrong) + "\n```")
    return "\n\n".join(parts) + "\n"


def write(path, measured):
    """Writes Markdown and plots beside a table's JSON file; returns their paths."""
    text = path.with_suffix(".md")
    text.write_text(page(measured), encoding="utf-8")
    try:
        import plots
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        print("no plots: they need matplotlib, which the extra demo brings", file=sys.stderr)
        return [path, text]
    return [path, text, *plots.draw(path, measured)]


def replaced(text, table):
    """The README with the table as it should be. Raises ValueError without its two marks."""
    before, mark, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{README.name} lacks {START if not mark else END}")
    return f"{before}{START}\n{table}\n{END}{after}"


def main():
    for path in filter(Path.exists, (HERE / "results" / f"{table}.json" for table in TABLES)):
        measured = json.loads(path.read_text(encoding="utf-8"))
        for written in write(path, measured):
            print(written)
        if "--write" in sys.argv[1:] and measured["table"] == MAIN:
            table = markdown(short(measured))
            text = README.read_text(encoding="utf-8")
            README.write_text(replaced(text, table), encoding="utf-8")


if __name__ == "__main__":
    main()
