"""Integer divisors are checked where they matter, and only there."""

import numpy as np
import pytest

from graphc import dtypes
from graphc.ir import OPS, Node
from graphc.lowering import Lowered, lower
from tests.lowering.c_text import ZeroDivisorError
from tests.lowering.loop_machine import run_program
from tests.lowering.lowered_programs import check, full, graph_of, row

I64 = (dtypes.int64, dtypes.int64)
NUMBERS = np.arange(1, 5)
DIVIDING = ("floor_divide", "trunc_divide", "remainder", "fmod")


def text_of(lowered: Lowered) -> str:
    return str(lowered.program.kernels)


@pytest.mark.parametrize("name", DIVIDING)
def test_a_zero_among_integer_divisors_is_reported(name: str) -> None:
    graph = graph_of(lambda x, y: OPS[name](x, y), (4,), (4,), kinds=I64)
    lowered = check(graph, [NUMBERS, NUMBERS])
    assert [site.operation for site in lowered.program.sites] == [name]
    with pytest.raises(ZeroDivisorError):
        run_program(lowered.program, [NUMBERS, NUMBERS - 2])


@pytest.mark.parametrize("name", DIVIDING)
def test_float_divisors_and_constants_are_not_checked(name: str) -> None:
    floats = graph_of(lambda x, y: OPS[name](x, y), (4,), (4,))
    assert "gc_divisor" not in text_of(check(floats))
    constant = graph_of(lambda x: OPS[name](x, full(x, 3)), (4,), kinds=I64)
    lowered = check(constant, [NUMBERS])
    assert "gc_divisor" not in text_of(lowered)
    assert lowered.program.sites == ()


def test_a_quotient_that_is_not_selected_is_checked_too() -> None:
    def build(x: Node, y: Node) -> Node:
        return row.where(row.eq(y, 0), x, row.floor_divide(x, y))

    graph = graph_of(build, (4,), (4,), kinds=I64)
    with pytest.raises(ZeroDivisorError):
        run_program(lower(graph, threads=2).program, [NUMBERS, NUMBERS - 2])


def test_divisors_outside_of_what_is_padded_do_not_matter() -> None:
    def build(x: Node, y: Node) -> Node:
        quotient = row.floor_divide(x, y)
        return row.pad(quotient, before=(2,), after=(3,), value=0) + 1

    check(graph_of(build, (4,), (4,), kinds=I64), [NUMBERS, NUMBERS])
