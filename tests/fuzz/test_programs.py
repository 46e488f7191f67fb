"""Random programs: PyTorch, graphc eager and compiled agree. ``make fuzz`` runs many more."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from tests.fuzz.programs import Program, make
from tests.fuzz.running import difference, shrunk

pytestmark = pytest.mark.differential


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.randoms(use_true_random=False))
def test_random_programs(random: object) -> None:
    program = make(random.randrange)  # type: ignore[attr-defined]
    wrong = difference(program)
    if wrong:
        small = shrunk(program)
        pytest.fail(f"{difference(small)}\n{small}", pytrace=False)


def test_a_difference_is_found_and_shrinks(monkeypatch: pytest.MonkeyPatch) -> None:
    import random

    import numpy as np

    from graphc import dispatch
    from graphc.ops import OPS

    program = make(random.Random(3).randrange)
    assert difference(program) == ""
    line = "v900 = torch.tanh(x0)"
    program = Program(
        program.given,
        (*program.lines, line),
        precision={**program.precision, "v900": 1e-4},
    )
    assert difference(program) == ""
    monkeypatch.setattr(type(OPS["tanh"]), "__setattr__", object.__setattr__)
    monkeypatch.setattr(OPS["tanh"], "evaluate", lambda x: np.tanh(x) + 1)
    for plans in ("_PLANS", "_OLDER"):  # which know the NumPy function of before
        monkeypatch.setattr(dispatch, plans, {})
    assert difference(program).startswith("eager: ")
    small = shrunk(program)
    assert len(small.lines) == 1 and "tanh" in small.lines[0]
