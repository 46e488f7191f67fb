"""``python -m tests.opinfo.table [--write]``: the README's table, from the recorded full run."""

import sys
from pathlib import Path

from tests.opinfo.names import NAMES
from tests.opinfo.results import Counts, load

README = Path(__file__).parents[2] / "README.md"
START, END = "<!-- names: python -m tests.opinfo.table --write -->", "<!-- end of names -->"
COLUMNS = {
    "eager": ("eager", "forms", "errors"),
    "compiled": ("compiled",),
    "gradients": ("gradient", "second"),
    "compiled gradients": ("compiled_gradient",),
}


def share(names: list[str], modes: tuple[str, ...], counts: Counts) -> str:
    """How many of the names that have these modes agree in every sample of them."""
    having = [n for n in names if not counts.get(n) or any(m in counts[n] for m in modes)]
    agreeing = [
        n
        for n in having
        if counts.get(n) and all(a == b for a, b in (counts[n].get(m, (0, 0)) for m in modes))
    ]
    return f"{len(agreeing)} of {len(having)}"


def table(counts: Counts) -> str:
    """Markdown: one line a family."""
    heads = ["", "names", *COLUMNS]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    families = list(dict.fromkeys(n.family for n in NAMES))
    for family in [*families, "all"]:
        names = [n.name for n in NAMES if family in (n.family, "all")]
        there = sum(bool(counts.get(n)) for n in names)
        shares = [share(names, modes, counts) for modes in COLUMNS.values()]
        lines.append(f"| {' | '.join([family, f'{there} of {len(names)}', *shares])} |")
    return "\n".join(lines)


def replaced(text: str, counts: Counts) -> str:
    """The README with the table as it should be. Raises ValueError without its two marks."""
    before, mark, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{README.name} lacks {START if not mark else END}")
    return f"{before}{START}\n{table(counts)}\n{END}{after}"


def main() -> int:
    if "--write" in sys.argv[1:]:
        README.write_text(replaced(README.read_text(encoding="utf-8"), load()), encoding="utf-8")
    else:
        print(table(load()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
