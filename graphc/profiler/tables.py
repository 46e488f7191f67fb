"""Recorded calls summed up by name, and printed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from graphc.profiler.recording import Event


def _time(microseconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{microseconds / size:.3f}{unit}"
    return f"{microseconds:.3f}us"


@dataclass
class Average:
    """All calls of one name (and shapes); times in microseconds."""

    key: str
    input_shapes: tuple[tuple[int, ...], ...] = ()
    count: int = 0
    cpu_time_total: float = 0.0
    self_cpu_time_total: float = 0.0
    device_time_total: float = 0.0
    self_device_time_total: float = 0.0

    @property
    def name(self) -> str:
        return self.key

    @property
    def cpu_time(self) -> float:
        """The mean."""
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def device_time(self) -> float:
        """The mean on a GPU: nothing."""
        return 0.0

    def add(self, event: Event) -> None:
        """One more call; what is called by its own name is not counted twice in the total."""
        self.count += 1
        self.self_cpu_time_total += event.self_cpu_time_total
        above = event.parent
        while above is not None and above.name != event.name:
            above = above.parent
        if above is None:
            self.cpu_time_total += event.cpu_time_total


_COLUMNS = ("Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg", "# of Calls")
# PyTorch's older names of what can be sorted by.
_SORTED_BY = {"cuda_time": "device_time", "cuda_time_total": "device_time_total",
              "self_cuda_time_total": "self_device_time_total"}  # fmt: skip


class EventList(list[Any]):
    """Averages, or single calls; prints as a table."""

    def key_averages(self, group_by_input_shape: bool = False) -> "EventList":
        """The calls of each name together, or of each name and shapes."""
        found: dict[Any, Average] = {}
        for event in self:
            key = (event.name, event.shapes if group_by_input_shape else ())
            found.setdefault(key, Average(*key)).add(event)
        return EventList(found.values())

    def total_average(self) -> Average:
        """Everything together."""
        total = Average("Total")
        for each in self:
            total.count += getattr(each, "count", 1)
            total.self_cpu_time_total += each.self_cpu_time_total
        total.cpu_time_total = total.self_cpu_time_total
        return total

    @property
    def self_cpu_time_total(self) -> float:
        return float(sum(each.self_cpu_time_total for each in self))

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
        time_unit: str | None = None,
    ) -> str:
        """The averages as text, largest first by ``sort_by`` (``cpu_time_total`` and the like)."""
        del max_src_column_width, top_level_events_only, time_unit
        rows: Iterable[Any] = self if all(isinstance(x, Average) for x in self) else (
            self.key_averages()
        )  # fmt: skip
        if sort_by is not None:
            key = _SORTED_BY.get(sort_by, sort_by)
            rows = sorted(rows, key=lambda row: getattr(row, key), reverse=True)
        rows = list(rows)
        whole = sum(row.self_cpu_time_total for row in rows)
        columns = ["Name", *_COLUMNS]
        shaped = any(row.input_shapes for row in rows)
        lines = [
            [
                _cut(row.key, max_name_column_width),
                _percent(row.self_cpu_time_total, whole),
                _time(row.self_cpu_time_total),
                _percent(row.cpu_time_total, whole),
                _time(row.cpu_time_total),
                _time(row.cpu_time),
                str(row.count),
                *([_cut(str([list(s) for s in row.input_shapes]), max_shapes_column_width)]
                  if shaped else []),
            ]
            for row in (rows[:row_limit] if row_limit >= 0 else rows)
        ]  # fmt: skip
        return _text([*columns, *(["Input Shapes"] if shaped else [])], lines, whole, header)

    def __str__(self) -> str:
        return self.table()


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f}%" if whole else "NaN"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _text(columns: list[str], lines: list[list[str]], whole: float, header: str | None) -> str:
    widths = [max(len(x) for x in column) for column in zip(columns, *lines, strict=True)]
    rule = "  ".join("-" * width for width in widths)

    def row(cells: list[str]) -> str:
        return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))

    above = [header] if header is not None else []
    below = [rule, f"Self CPU time total: {_time(whole)}", ""]
    return "\n".join([*above, rule, row(columns), rule, *map(row, lines), *below])
