"""What a compilation tells of itself: receipts, printed stages, dumped folders."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graphc import config
from graphc.ir import Graph

if TYPE_CHECKING:  # the back wing (jinja2, cffi) is loaded by the first compilation
    from graphc.compiler.executable import Executable

    Programs = Mapping[str, Executable]  # by part: the segments before the last, FORWARD, BACKWARD

FORWARD, BACKWARD = "forward", "backward"


@dataclass(frozen=True)
class Receipt:
    """What one compilation was for and what it cost.

    ``arena_bytes`` is the memory planned for intermediates, ``live_bytes`` the largest sum of
    intermediates that exist at once, ``scratch_bytes`` what kernels use for themselves (packed
    operands of matrix products). A function with a backward counts both programs.
    """

    function: str
    reason: str
    seconds: dict[str, float]
    kernels: tuple[str, ...]
    arena_bytes: int
    live_bytes: int
    scratch_bytes: int
    cached: bool

    def __str__(self) -> str:
        times = ", ".join(f"{name} {s * 1e3:.0f} ms" for name, s in self.seconds.items())
        source = "objects from the cache" if self.cached else "objects built"
        count = f"{len(self.kernels)} kernel{'s' * (len(self.kernels) != 1)}"
        return (
            f"{self.function}: {self.reason}; {times}; {count}, "
            f"{self.arena_bytes} bytes of arena, {source}"
        )


class Stage(dict[str, str]):
    """Texts by name; prints them all, a text that is the one before it by its name only."""

    def __str__(self) -> str:
        parts: list[str] = []
        before = None
        for name, text in self.items():
            parts.append(f"---- {name}: no change" if text == before else f"---- {name}\n{text}")
            before = text
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return f"<stages {', '.join(self)}>"


def receipt(function: str, reason: str, seconds: dict[str, float], programs: "Programs") -> Receipt:
    """The receipt of a compilation into these programs; ``seconds`` is what came before them."""
    executables = programs.values()
    total = dict(seconds)
    for e in executables:
        for name, value in e.stages.seconds.items():
            total[name] = total.get(name, 0.0) + value
    blueprints = [e.blueprint for e in executables]
    arena = sum(b.explanation.arena_bytes for b in blueprints)
    return Receipt(
        function,
        reason,
        total,
        tuple(name for b in blueprints for name in b.kernels),
        arena,
        sum(b.explanation.arena_live for b in blueprints),
        sum(e.arena_bytes for e in executables) - arena,
        all(e.stages.cached for e in executables),
    )


def report(made: Receipt, graph: Graph, programs: "Programs", number: int) -> None:
    """Writes a compilation to ``GRAPHC_DUMP`` and prints what ``GRAPHC_DEBUG`` asks for."""
    folder = config.DUMP.value
    if folder is not None:
        write_stages(folder / f"{made.function}_{number}", made, graph, programs)
    level = config.DEBUG.value
    if level >= 1:
        print(made)
    if level >= 2:
        for executable in programs.values():
            print(executable.explanation())
    if level >= 3:
        print(all_stages(graph, programs))
    if level >= 4:
        print(all_sources(programs))


def all_stages(trace: Graph, programs: "Programs") -> Stage:
    """The graph of every stage, as text: the trace, each pass, each pass of the backward."""
    texts = {"trace": str(trace)}
    for part, executable in programs.items():
        prefix = "" if part == FORWARD else f"{part}_"
        texts |= {f"{prefix}{name}": str(g) for name, g in executable.stages.graphs.items()}
    return Stage(texts)


def all_sources(programs: "Programs") -> Stage:
    """The generated sources by file name."""
    texts: dict[str, str] = {}
    for part, executable in programs.items():
        prefix = "" if part == FORWARD else f"{part}/"
        texts |= {f"{prefix}{name}": text for name, text in executable.stages.sources.items()}
    return Stage(texts)


def explanations(programs: "Programs") -> str:
    """What was fused into which kernel, program by program."""
    return "\n\n".join(
        ("" if part == FORWARD else f"{part}\n") + e.explanation() for part, e in programs.items()
    )


def write_stages(folder: Path, made: Receipt, graph: Graph, programs: "Programs") -> None:
    """Every stage of one compilation as files: the trace, each pass, kernels, C, the receipt."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "receipt.txt").write_text(f"{made}\n")
    (folder / "00_trace.ir").write_text(f"{graph}\n")
    for part, executable in programs.items():
        executable.stages.dump(folder / part if len(programs) > 1 else folder)
