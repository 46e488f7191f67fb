"""From a graph to a loaded program: passes, lowering, rendering, building, running on arrays."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from graphc import config
from graphc.backends.c import (
    DivisionReport,
    IndexReport,
    Program,
    SourceFile,
    address_of,
    array_at,
    build_program,
    target_dialect,
)
from graphc.backends.c.program import Frame, report
from graphc.codegen.program import pointer_slots, render_program
from graphc.errors import PositionError
from graphc.ir import CONSTANT, OPS, Graph
from graphc.kernel import Buffer, HostStep, Role
from graphc.lowering import Lowered, lower
from graphc.passes import run_pipeline

Array = np.ndarray[Any, Any]


@dataclass
class Stages:
    """Every stage of a compilation, kept for reading: IR texts by name, then the sources."""

    graphs: dict[str, Graph] = field(default_factory=dict)
    lowered: Lowered | None = None
    sources: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    cached: bool = False

    def dump(self, folder: Path) -> None:
        """Writes every stage as a file, numbered in order."""
        folder.mkdir(parents=True, exist_ok=True)
        for i, (name, graph) in enumerate(self.graphs.items()):
            (folder / f"{i + 1:02d}_{name}.ir").write_text(f"{graph}\n")
        if self.lowered is not None:
            text = str(self.lowered.explanation)
            (folder / f"{len(self.graphs) + 1:02d}_kernels.txt").write_text(f"{text}\n")
        for name, source in self.sources.items():
            (folder / name).write_text(source)


class Executable:
    """A graph compiled to C: ``run(arrays)`` gives the arrays of its outputs.

    Inputs that the graph writes are written in place. Arrays have the graph's shapes and dtypes
    and are C-contiguous; the caller checks.
    """

    def __init__(self, graph: Graph, progress: Callable[..., None] | None = None) -> None:
        self.stages = Stages()
        with _timed(self.stages, "passes"):
            final = run_pipeline(graph, dump=self._keep, verify=config.VERIFY.value)
        self.graph = final
        with _timed(self.stages, "lower"):
            self.lowered = lower(final, threads=config.get_num_threads())
        self.stages.lowered = self.lowered
        program = self.lowered.program
        with _timed(self.stages, "render"):
            rendered = render_program(
                program, target_dialect(), line_directives=config.LINE_DIRECTIVES.value
            )
        self.stages.sources = {unit.filename: unit.text for unit in rendered.units}
        with _timed(self.stages, "build"):
            built = build_program(
                [SourceFile(unit.filename, unit.text) for unit in rendered.units],
                entry=rendered.entries[0],
                progress=progress,
            )
        self.stages.cached = built.misses == 0
        self._sites = program.sites
        self.can_fail = bool(program.sites)
        self.output_types = [n.type for n in final.outputs]
        self.outputs = [(t.shape, t.dtype.numpy) for t in self.output_types]
        # In graph order, as the lowering numbers the buffers of constants.
        self._constants = [
            np.ascontiguousarray(n.attrs["value"].array) for n in final.nodes if n.op is CONSTANT
        ]
        written = {target for target, _ in final.writes}
        self.written = tuple(i for i, n in enumerate(final.inputs) if n in written)
        threads = config.get_num_threads()
        self.arena_bytes = rendered.arena_bytes(threads)
        self.program: Program = built.program(
            buffers=len(final.inputs) + len(self.outputs) + len(self._constants),
            arena_bytes=self.arena_bytes,
            threads=threads,
            constants=[address_of(a) for a in self._constants],
            numbers=len(final.inputs),
            entries=rendered.entries,
        )
        # What Python does after each entry but the last (LAPACK).
        self.hosts: list[list[HostStep]] = []
        for stage in program.stages:
            steps = [step for step in stage if isinstance(step, HostStep)]
            if steps:
                self.hosts.append(steps)
        self._buffers = {b.name: b for b in program.buffers}
        self._slots = pointer_slots(program)

    @property
    def is_one_call(self) -> bool:
        """Whether a run is one native call, with nothing for Python to do in between."""
        return not self.hosts

    def _keep(self, name: str, graph: Graph) -> None:
        self.stages.graphs[name] = graph

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Runs the program once. Raises IndexError for an index out of range, RuntimeError for an
        integer divided by zero.
        """
        outputs: list[Array] = [np.empty(shape, dtype) for shape, dtype in self.outputs]
        addresses = [*map(address_of, arrays), *map(address_of, outputs)]
        try:
            if self.hosts:
                self._run_in_turns(addresses)
            else:
                self.program.run(addresses)
        except (IndexReport, DivisionReport) as error:
            raise self._explained(error) from None
        return outputs

    def _run_in_turns(self, addresses: list[int]) -> None:
        """Native entries with the host steps between them."""
        frame = self.program.begin(addresses)
        try:
            for number, steps in enumerate(self.hosts):
                self.program.enter(frame, number)
                for step in steps:
                    self._host(step, frame)
            self.program.enter(frame, len(self.hosts))
        finally:
            self.program.end(frame)

    def _host(self, step: HostStep, frame: Frame) -> None:
        """Evaluates one row on the program's memory, by its own NumPy function."""
        operands = [self._memory(self._buffers[name], frame) for name in step.inputs]
        value = OPS[step.call].evaluate(*operands, **dict(step.attrs))
        for name in step.outputs:
            self._memory(self._buffers[name], frame)[...] = value

    def _memory(self, buffer: Buffer, frame: Frame) -> Array:
        """A buffer of a call in flight as an array."""
        if buffer.role is Role.INTERMEDIATE:
            address = frame.arena.address + buffer.offset
        else:
            address = int(frame.buffers[self._slots[buffer.name]])
        return array_at(address, buffer.shape, buffer.dtype.numpy)

    def fail(self, frame: Frame) -> None:
        """Raises what went wrong in the call that used this frame."""
        error = report(frame)
        self.program.free.append(frame)
        raise self._explained(error)

    def _explained(self, error: IndexReport | DivisionReport) -> Exception:
        site = self._sites[error.site]
        where = f" at {site.location}" if site.location else ""
        if isinstance(error, DivisionReport):
            return RuntimeError(f"ZeroDivisionError: {site.operation} of integers by zero{where}")
        return PositionError(
            f"index {error.value} is out of bounds for dimension with size {error.limit} "
            f"in {site.operation}{where}"
        )


class _timed:  # noqa: N801 - a context manager
    def __init__(self, stages: Stages, name: str) -> None:
        self._stages = stages
        self._name = name

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_exc: object) -> None:
        self._stages.seconds[self._name] = time.perf_counter() - self._start
