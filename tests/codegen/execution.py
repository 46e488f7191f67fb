"""Runs hand-written kernels as one-launch programs."""

from collections.abc import Mapping
from functools import cache

import numpy as np

from graphc import config
from graphc.backends.c import BuiltProgram, SourceFile, address_of, build_program
from graphc.codegen import C, ProgramSource, pointer_slots, render_program
from graphc.kernel import Buffer, Kernel, Launch, Program, Role
from graphc.sizes import symbol


def program_of(*kernels: Kernel) -> Program:
    """A program that launches the kernels in turn; buffers are shared by name."""
    buffers: dict[str, Buffer] = {}
    for kernel in kernels:
        for param in kernel.params:
            role = Role.OUTPUT if param.written else Role.INPUT
            buffers.setdefault(
                param.name,
                Buffer(param.name, param.dtype, param.shape, role, len(buffers)),
            )
    stages = tuple(
        (Launch(k, tuple(p.name for p in k.params), tuple(symbol(n) for n in k.sizes)),)
        for k in kernels
    )
    sizes = tuple(dict.fromkeys(n for k in kernels for n in k.sizes))
    return Program("entry", tuple(buffers.values()), stages, sizes=sizes)


@cache
def built(program: Program) -> tuple[ProgramSource, BuiltProgram]:
    source = render_program(program, C)
    units = [SourceFile(unit.filename, unit.text) for unit in source.units]
    return source, build_program(units, entry=source.entries[0], together=True)


def run_program(
    program: Program,
    arrays: Mapping[str, np.ndarray],
    sizes: Mapping[str, int] | None = None,
    threads: int = 1,
) -> None:
    """Runs it in place on contiguous arrays, one for each input and output."""
    source, compiled = built(program)
    slots = pointer_slots(program)
    assert set(slots) == set(arrays)
    addresses = [0] * len(slots)
    for name, slot in slots.items():
        assert arrays[name].flags.c_contiguous
        addresses[slot] = address_of(arrays[name])
    values = [(sizes or {})[name] for name in program.sizes]
    before = config.get_num_threads()
    config.set_num_threads(threads)
    try:
        call = compiled.program(
            buffers=len(slots), sizes=len(values), arena_bytes=source.arena_bytes(threads)
        )
        call.run(addresses, values)
    finally:
        config.set_num_threads(before)


def run_kernel(
    kernel: Kernel,
    arrays: Mapping[str, np.ndarray],
    sizes: Mapping[str, int] | None = None,
    threads: int = 1,
) -> None:
    run_program(program_of(kernel), arrays, sizes, threads)
