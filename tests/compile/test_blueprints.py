"""Programs that an earlier compilation worked out are read back, and mean the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import config
from graphc.compiler import blueprint as blueprints
from graphc.compiler import drawing
from graphc.fingerprint import Unknown, fingerprint
from graphc.ir import OPS as ROWS
from graphc.ir import Builder, Graph, TensorType

TABLE = graphc.arange(12.0).reshape(3, 4)


def network(x: Any) -> Any:
    return (graphc.tanh(x @ TABLE) + TABLE[0]).softmax(-1).sum(0)


def factors(x: Any) -> Any:
    q, r = graphc.linalg.qr(x)
    return graphc.linalg.solve(r + graphc.eye(3), q.t() @ x) * 2


def written(x: Any) -> Any:
    x[:, 0] = 1
    return x.cumsum(0)


def trained(x: Any) -> Any:
    w = TABLE.clone().requires_grad_()
    (x @ w).pow(2).mean().backward()
    return w.grad


def looped(x: Any) -> Any:
    return graphc.scan(lambda c, row: (c * 0.5 + row, c), graphc.zeros(3), x)[1]


PROGRAMS = (network, factors, written, trained, looped)


@pytest.fixture
def storing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Compilations keep and read blueprints, in a folder of this test."""
    monkeypatch.setenv("GRAPHC_VERIFY", "0")
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the graphs that were worked out."""
    names: list[str] = []
    original = drawing.drawn

    def counted(graph: Graph, *rest: Any) -> Any:
        names.append(graph.name)
        return original(graph, *rest)

    monkeypatch.setattr(drawing, "drawn", counted)
    return names


def outcome(program: Callable[..., Any], values: Any) -> tuple[Any, Any, Any]:
    """The result and the argument after a call of the program compiled anew, and the function."""
    function = graphc.compile(program)
    x = graphc.from_numpy(values.copy())
    result = function(x)
    return result.numpy(), x.numpy(), function


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_was_read_back(
    program: Callable[..., Any], storing: Path, drawn: list[str]
) -> None:
    values = np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32)
    first = outcome(program, values)
    count = len(drawn)
    assert count >= 1
    second = outcome(program, values)
    assert len(drawn) == count
    for a, b in zip(first[:2], second[:2], strict=True):
        np.testing.assert_array_equal(a, b)
    assert "look up" in second[2].receipts[0].seconds
    assert "lower" not in second[2].receipts[0].seconds
    assert first[2].receipts[0].kernels == second[2].receipts[0].kernels
    assert first[2].explain() == second[2].explain()
    assert str(first[2].ir) == str(second[2].ir)
    assert str(first[2].source) == str(second[2].source)


def test_an_error_names_the_line_all_the_same(storing: Path, drawn: list[str]) -> None:
    def picked(x: Any, i: Any) -> Any:
        return x[i]

    for _ in range(2):
        function = graphc.compile(picked)
        with pytest.raises(IndexError, match=r"index 7 is out of bounds.*test_blueprints\.py"):
            function(graphc.zeros(3, 3), graphc.tensor([7]))
    assert len(drawn) == 1


def test_a_damaged_entry_is_made_anew(storing: Path, drawn: list[str]) -> None:
    values = np.ones((3, 3), np.float32)
    outcome(network, values)
    (entry,) = storing.rglob("*.plan")
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 1
    entry.write_bytes(content)
    outcome(network, values)
    assert len(drawn) == 2


def test_files_of_graphc_that_changed_since_it_was_loaded(
    storing: Path, drawn: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process may run either text of them, so it neither reads nor keeps."""
    monkeypatch.setattr(config, "STARTED", 0.0)
    blueprints._own_files.cache_clear()
    try:
        outcome(network, np.ones((3, 3), np.float32))
    finally:
        blueprints._own_files.cache_clear()
    assert not list(storing.rglob("*.plan"))
    assert len(drawn) == 1


def test_settings_that_change_the_source_are_told_apart(
    storing: Path, drawn: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.ones((3, 3), np.float32)
    outcome(network, values)
    monkeypatch.setenv("GRAPHC_LINE_DIRECTIVES", "1")
    outcome(network, values)
    assert len(drawn) == 2


# ------------------------------------------------------------------------------------ fingerprints


def graph(number: Any = 1.0, name: str = "x", constant: Any = 2.0, shape: Any = (2, 3)) -> Graph:
    builder = Builder()
    type_ = TensorType(shape, graphc.float32)
    x = builder.input(name, type_)
    array = np.full(shape, constant, np.float32)
    value = builder.apply(ROWS["add"], [x, builder.constant(array, type_)], {})
    total = builder.apply(ROWS["mul"], [value, builder.number(number, graphc.float32)], {})
    return Graph("g", (x,), (total,))


def test_equal_graphs_have_equal_fingerprints() -> None:
    assert fingerprint(graph()) == fingerprint(graph())


@pytest.mark.parametrize(
    "change",
    [{"number": 1.5}, {"number": -0.0}, {"name": "y"}, {"constant": 3.0}, {"shape": (3, 2)}],
    ids=lambda change: next(iter(change)),
)
def test_what_a_fingerprint_tells_apart(change: dict[str, Any]) -> None:
    assert fingerprint(graph(**change)) != fingerprint(graph())


def test_names_lines_and_writes_count() -> None:
    one = graph()
    (x,) = one.inputs
    (y,) = one.outputs
    where = graphc.errors.Location("program.py", 3, "f")
    others = [
        Graph("h", one.inputs, one.outputs),
        Graph("g", one.inputs, one.outputs, names={y: "y"}),
        Graph("g", one.inputs, one.outputs, locations={y: where}),
        Graph("g", one.inputs, one.outputs, locations={y: where._replace(line=4)}),
        Graph("g", one.inputs, one.outputs, origins={y: "linear"}),
        Graph("g", one.inputs, one.outputs, writes=((x, y),)),
        Graph("g", one.inputs, (), writes=((x, y),)),
    ]
    assert len({fingerprint(g) for g in [one, *others]}) == 1 + len(others)


def test_what_has_no_content_to_tell_is_refused() -> None:
    builder = Builder()
    x = builder.input("x", TensorType((2,), graphc.float32))
    odd = builder.apply(ROWS["mul"], [x, x], {})
    odd.attrs = {"key": object()}
    with pytest.raises(Unknown, match="object"):
        fingerprint(Graph("g", (x,), (odd,)))
