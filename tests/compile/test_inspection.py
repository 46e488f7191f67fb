"""What can be read of a compiled function: stages, sources, explanations, receipts, dumps."""

from pathlib import Path
from typing import Any

import pytest

import graphc as torch
from graphc import nn
from graphc.compiler.receipts import Receipt
from graphc.ir_text import parse_graph
from tests.compile.programs import loss_of, normalised, scaled, update


def test_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    f = torch.compile(scaled)
    with pytest.raises(RuntimeError, match="has not been called yet"):
        f.ir  # noqa: B018
    f(torch.ones(3, 4), torch.ones(4))
    assert list(f.ir) == ["trace", "simplify", "decompose", "fold"]
    for text in f.ir.values():
        assert str(parse_graph(text)) == text
    assert "z: f32[3, 4] = tanh(add)" in f.ir["trace"]
    assert "compile/programs.py:11" in f.ir["trace"]
    printed = str(f.ir)
    assert printed.index("---- trace") < printed.index("---- decompose: no change")
    assert len(f.stages) == 1


def test_names_stay_until_decomposed() -> None:
    f = torch.compile(lambda x: nn.functional.softmax(x, -1))
    f(torch.ones(2, 3))
    assert "softmax(x" in f.ir["trace"]
    assert "softmax(" not in f.ir["decompose"]


def test_source() -> None:
    f = torch.compile(scaled)
    f(torch.ones(3, 4), torch.ones(4))
    assert "program.c" in f.source
    text = str(f.source)
    assert "gc_tanh_f32" in text and "/* f32[3, 4] */" in text


def test_backward_is_shown_too() -> None:
    f = torch.compile(scaled)
    f(torch.ones(3, 4).requires_grad_(), torch.ones(4))
    assert "backward_fold" in f.ir
    assert "backward/program.c" in f.source
    assert "\nbackward\n" in f.explain()


def test_explain() -> None:
    f = torch.compile(scaled)
    f(torch.ones(3, 4), torch.ones(4))
    text = f.explain()
    assert "kernel" in text and "reads" in text and "writes" in text


def test_receipt() -> None:
    f = torch.compile(scaled)
    f(torch.ones(3, 4), torch.ones(4))
    (receipt,) = f.receipts
    assert isinstance(receipt, Receipt)
    assert receipt.function == "scaled" and receipt.reason == "first call"
    assert {"trace", "passes", "lower", "render", "build"} <= set(receipt.seconds)
    assert all(s >= 0 for s in receipt.seconds.values())
    assert receipt.arena_bytes >= receipt.live_bytes >= 0
    text = str(receipt)
    assert text.startswith("scaled: first call; trace ")
    assert f"{len(receipt.kernels)} kernel" in text and "bytes of arena" in text


def test_dump(tmp_path: Path) -> None:
    f = torch.compile(scaled)
    f(torch.ones(3, 4), torch.ones(4))
    f(torch.ones(2, 4).requires_grad_(), torch.ones(4))
    f.dump(tmp_path)
    first, second = tmp_path / "scaled_0", tmp_path / "scaled_1"
    assert (first / "00_trace.ir").read_text() == f.ir["trace"].replace("2, 4", "3, 4") + "\n"
    assert (first / "receipt.txt").read_text() == f"{f.receipts[0]}\n"
    assert (first / "program.c").exists() and (first / "03_fold.ir").exists()
    assert (second / "backward" / "program.c").exists()
    assert (second / "forward" / "program.c").exists()


def test_dump_by_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_DUMP", str(tmp_path / "dumps"))
    f = torch.compile(scaled)
    f(torch.ones(3, 4), torch.ones(4))
    f(torch.ones(2, 4), torch.ones(4))
    assert sorted(p.name for p in (tmp_path / "dumps").iterdir()) == ["scaled_0", "scaled_1"]
    text = (tmp_path / "dumps" / "scaled_1" / "receipt.txt").read_text()
    assert "x was f32[3, 4], is f32[2, 4]" in text


@pytest.mark.parametrize("level", [0, 1, 2, 3, 4])
def test_debug_levels(
    level: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRAPHC_DEBUG", str(level))
    torch.compile(scaled)(torch.ones(3, 4), torch.ones(4))
    shown = capsys.readouterr().out
    marks = ["scaled: first call", "reads", "---- trace", "---- program.c"]
    assert [mark in shown for mark in marks] == [level > i for i in range(4)]


# ---------------------------------------------------------------------------------------- goldens


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (scaled, lambda: (torch.ones(3, 4), torch.ones(4))),
        (normalised, lambda: (torch.ones(3, 4),)),
        (update, lambda: (torch.ones(5), torch.ones(5), torch.ones(5), 0.1)),
        (
            loss_of,
            lambda: (
                torch.ones(3, 4),
                torch.ones(4, 2).requires_grad_(),
                torch.tensor([0, 1, 1]),
            ),
        ),
    ],
    ids=["scaled", "normalised", "update", "loss_of"],
)
def test_golden(
    function: Any, arguments: Any, golden: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])  # files are named from the working folder
    compiled = torch.compile(function)
    compiled(*arguments())
    golden(f"compile/{function.__name__}.txt", str(compiled.ir))


def test_the_time_of_every_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_PROFILE", "1")

    def program(x: Any, rows: Any) -> Any:
        return torch.scan(lambda c, row: (c * 0.5 + row, c), x, rows)[1].softmax(-1)

    f = torch.compile(program)
    rows = torch.rand(5, 300)
    for _ in range(3):
        y = f(torch.ones(300), rows)
    torch.testing.assert_close(y, program(torch.ones(300), rows))
    text = f.explain()
    assert text.count("of the time: ") == len(f.receipts[0].kernels)
    assert "    15 runs of " in text  # the kernel inside the loop
    assert "    3 runs of " in text
    monkeypatch.delenv("GRAPHC_PROFILE")
    plain = torch.compile(program)
    plain(torch.ones(300), rows)
    assert "of the time" not in plain.explain()
    assert "gc_tick" not in plain.source["program.c"]
