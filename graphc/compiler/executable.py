"""From a graph to a loaded program, and running it on arrays."""

from collections.abc import Callable, Sequence
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
)
from graphc.backends.c.program import Frame, report
from graphc.compiler.blueprint import Stages, blueprint
from graphc.errors import PositionError
from graphc.ir import OPS, Graph
from graphc.kernel import Buffer, HostStep, Role
from graphc.memory import empty

Array = np.ndarray[Any, Any]


class Executable:
    """A graph compiled to C: ``run(arrays)`` gives the arrays of its outputs.

    Inputs that the graph writes are written in place. Arrays have the graph's shapes and dtypes
    and are C-contiguous; the caller checks.
    """

    def __init__(self, graph: Graph, progress: Callable[..., None] | None = None) -> None:
        self.stages = Stages(graph)
        self.blueprint = made = blueprint(self.stages)
        source = made.source
        with self.stages.timed("build"):
            built = build_program(
                [SourceFile(unit.filename, unit.text) for unit in source.units],
                entry=source.entries[0],
                progress=progress,
                pool=source.threads > 1 and config.get_num_threads() > 1,
                together=True,
            )
        self.stages.cached = built.misses == 0
        self.can_fail = bool(made.sites)
        self.output_types = made.output_types
        self.outputs = [(t.shape, t.dtype.numpy) for t in made.output_types]
        self.written = made.written
        threads = config.get_num_threads()
        self.arena_bytes = source.arena_bytes(threads)
        self.program: Program = built.program(
            buffers=made.inputs + len(self.outputs) + len(made.constants),
            arena_bytes=self.arena_bytes,
            threads=threads,
            constants=[address_of(a) for a in made.constants],
            numbers=made.inputs,
            entries=source.entries,
            clocks=len(source.clocks),
        )
        # What Python does after each entry but the last (LAPACK).
        self.hosts = made.hosts

    @property
    def is_one_call(self) -> bool:
        """Whether a run is one native call, with nothing for Python to do in between."""
        return not self.hosts

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Runs the program once. Raises IndexError for an index out of range, RuntimeError for an
        integer divided by zero.
        """
        outputs: list[Array] = [empty(shape, dtype) for shape, dtype in self.outputs]
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
        operands = [self._memory(self.blueprint.buffers[name], frame) for name in step.inputs]
        value = OPS[step.call].evaluate(*operands, **dict(step.attrs))
        for name in step.outputs:
            self._memory(self.blueprint.buffers[name], frame)[...] = value

    def _memory(self, buffer: Buffer, frame: Frame) -> Array:
        """A buffer of a call in flight as an array."""
        if buffer.role is Role.INTERMEDIATE:
            address = frame.arena.address + buffer.offset
        else:
            address = int(frame.buffers[self.blueprint.slots[buffer.name]])
        return array_at(address, buffer.shape, buffer.dtype.numpy)

    def explanation(self) -> str:
        """The kernels, with the time each took so far where that is taken."""
        names = self.blueprint.source.clocks
        return self.blueprint.explanation.text(dict(zip(names, self.program.clocks(), strict=True)))

    def fail(self, frame: Frame) -> None:
        """Raises what went wrong in the call that used this frame."""
        error = report(frame)
        self.program.free.append(frame)
        raise self._explained(error)

    def _explained(self, error: IndexReport | DivisionReport) -> Exception:
        site = self.blueprint.sites[error.site]
        where = f" at {site.location}" if site.location else ""
        if isinstance(error, DivisionReport):
            return RuntimeError(f"ZeroDivisionError: {site.operation} of integers by zero{where}")
        return PositionError(
            f"index {error.value} is out of bounds for dimension with size {error.limit} "
            f"in {site.operation}{where}"
        )
