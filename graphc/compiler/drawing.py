"""How a blueprint is made: passes, lowering, rendering."""

import numpy as np

from graphc import config
from graphc.backends.c import expect_pool
from graphc.codegen.dialect import Dialect
from graphc.codegen.program import may_divide, pointer_slots, render_program
from graphc.compiler.blueprint import Blueprint, Stages
from graphc.ir import CONSTANT, Graph
from graphc.kernel import HostStep
from graphc.lowering import lower
from graphc.passes import run_pipeline


def drawn(dialect: Dialect, stages: Stages) -> Blueprint:
    """The blueprint of the traced graph. Raises GraphError for what cannot be compiled."""
    graphs: dict[str, Graph] = {}
    with stages.timed("passes"):
        final = run_pipeline(stages.traced, dump=graphs.__setitem__, verify=config.VERIFY.value)
    stages.graphs = graphs
    with stages.timed("lower"):
        lowered = lower(final, threads=config.get_num_threads())
    program = lowered.program
    if config.get_num_threads() > 1 and may_divide(program):
        expect_pool()
    with stages.timed("render"):
        source = render_program(
            program,
            dialect,
            line_directives=config.LINE_DIRECTIVES.value,
            clocks=config.PROFILE.value,
        )
    steps = [[x for x in stage if isinstance(x, HostStep)] for stage in program.stages]
    hosts = tuple(tuple(each) for each in steps if each)
    named = {name for each in hosts for step in each for name in (*step.inputs, *step.outputs)}
    written = {target for target, _ in final.writes}
    return Blueprint(
        source,
        lowered.explanation,
        tuple(kernel.name for kernel in program.kernels),
        program.sites,
        hosts,
        {b.name: b for b in program.buffers if b.name in named},
        pointer_slots(program) if hosts else {},
        len(final.inputs),
        tuple(i for i, n in enumerate(final.inputs) if n in written),
        tuple(n.type for n in final.outputs),
        # In graph order, as the lowering numbers the buffers of constants.
        tuple(
            np.ascontiguousarray(n.attrs["value"].array) for n in final.nodes if n.op is CONSTANT
        ),
    )
