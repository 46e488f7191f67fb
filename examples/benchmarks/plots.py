"""Plots of what was measured, one SVG file for each table. Needs matplotlib."""

import matplotlib
import report

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "graphc"  # the same figures give the same file
from matplotlib import pyplot as plt  # noqa: E402

COLOURS = {
    "graphc compiled": "#d62728",
    "graphc eager": "#f4a6a6",
    "PyTorch eager": "#ff9f40",
    "torch.compile": "#8c564b",
    "JAX jit": "#1f77b4",
    "floor": "#999999",
}


def draw(path, measured):
    """Writes the plot of a table beside its JSON file; returns the paths of what it wrote."""
    kinds = {"scaling": sizes, "threads": threads}
    figure = kinds.get(measured["table"], speeds)(measured)
    if figure is None:
        return []
    picture = path.with_suffix(".svg")
    figure.savefig(picture, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return [picture]


def speeds(measured):
    """How many times graphc compiled is as fast, for each workload and contender."""
    results = {
        workload: rows
        for workload, rows in measured["results"].items()
        if "seconds" in rows.get("graphc compiled", {})
    }
    names = [n for n in report.names_of(measured) if n != "graphc compiled"]
    if not results or not names:
        return None
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(results) + 1.2))
    for name in names:
        points = [
            (rows[name]["seconds"] / rows["graphc compiled"]["seconds"], place)
            for place, rows in enumerate(results.values())
            if "seconds" in rows.get(name, {})
        ]
        if points:
            axes.plot(*zip(*points, strict=True), "o", color=COLOURS[name], label=name)
    axes.axvline(1, color=COLOURS["graphc compiled"], label="graphc compiled")
    axes.set_xscale("log")
    axes.set_yticks(range(len(results)), results)
    axes.invert_yaxis()
    axes.set_xlabel("time divided by that of graphc compiled (right of the line: slower)")
    axes.grid(axis="both", alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


# Workloads that differ in size alone: what is counted for one call of size n, and its unit.
FAMILIES = {
    "chain": (lambda n: 8 * n / 1e9, "GB/s"),
    "sum": (lambda n: 4 * n / 1e9, "GB/s"),
    "gemm": (lambda n: 2 * n**3 / 1e9, "GFLOP/s"),
}


def sizes(measured):
    """Rates over sizes, one panel for each function."""
    found = {}  # family -> name -> [(size, rate)]
    for workload, rows in measured["results"].items():
        family, size = workload.rsplit("_", 1)
        count, _ = FAMILIES[family]
        for name, row in rows.items():
            if "seconds" in row:
                points = found.setdefault(family, {}).setdefault(name, [])
                points.append((int(size), count(int(size)) / row["seconds"]))
    if not found:
        return None
    figure, panels = plt.subplots(1, len(found), figsize=(5 * len(found), 4), squeeze=False)
    for axes, (family, lines) in zip(panels[0], found.items(), strict=True):
        for name in filter(lines.__contains__, COLOURS):
            style = "--" if name == "floor" else "o-"
            axes.plot(
                *zip(*sorted(lines[name]), strict=True),
                style,
                ms=3,
                color=COLOURS[name],
                label=name,
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_title(family)
        axes.set_xlabel("n")
        axes.set_ylabel(FAMILIES[family][1])
        axes.grid(alpha=0.3)
    panels[0][-1].legend(loc="lower right")
    return figure


def threads(measured):
    """How many times as fast several threads are as one, for each workload and contender."""
    gains = {}  # contender -> [(gain, place)]
    for place, rows in enumerate(measured["results"].values()):
        for name, row in rows.items():
            contender, count = name.rsplit(", ", 1)
            one = rows.get(f"{contender}, 1 thread", {})
            if not count.startswith("1 ") and "seconds" in row and "seconds" in one:
                gains.setdefault(contender, []).append((one["seconds"] / row["seconds"], place))
    if not gains:
        return None
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(measured["results"]) + 1.2))
    for contender in filter(gains.__contains__, COLOURS):
        points = zip(*gains[contender], strict=True)
        axes.plot(*points, "o", color=COLOURS[contender], label=contender)
    axes.set_yticks(range(len(measured["results"])), measured["results"])
    axes.invert_yaxis()
    axes.set_xlabel(f"time with one thread divided by that with {measured['threads']}")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
