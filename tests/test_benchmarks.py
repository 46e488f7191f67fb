"""The benchmarks: their workloads give the same results everywhere, and the runner runs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc

FOLDER = Path(__file__).parent.parent / "examples" / "benchmarks"
sys.path.insert(0, str(FOLDER))
import contest  # noqa: E402
import pytorch_runs  # noqa: E402
import report  # noqa: E402
import start  # noqa: E402
from workloads import WORKLOADS, Training  # noqa: E402

sys.path.remove(str(FOLDER))

# Rows that make the same program of their tiny sizes are tried once.
TRIED = {
    (row.make, *map(str, (row.sizes | row.tiny).items())): row.name for row in WORKLOADS.values()
}
NAMES = list(TRIED.values())


def results(xp: Any, name: str, how: str, calls: int) -> list[np.ndarray]:
    program = WORKLOADS[name].program(tiny=True)
    begun = start.begin(program)
    with xp.set_grad_enabled(isinstance(program, Training)):
        run = pytorch_runs.prepare(xp, program, how, begun)
        found = [pytorch_runs.arrays(xp, run()) for _ in range(calls)]
    return [np.stack(parts) for parts in zip(*found, strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_a_workload_runs(name: str) -> None:
    for array in results(graphc, name, "eager", 1):
        assert np.isfinite(array).all()


@pytest.mark.differential
@pytest.mark.parametrize("name", NAMES)
def test_a_workload_gives_what_pytorch_gives(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = (results(xp, name, "eager", 2) for xp in (graphc, torch))
    for result, expected in zip(ours, theirs, strict=True):
        assert contest.distance(result, expected) <= WORKLOADS[name].tolerance


@pytest.mark.parametrize("name", ["conv_pair", "lenet_forward", "column_sums_8192x1024"])
def test_a_workload_compiles(name: str) -> None:
    ours, expected = (results(graphc, name, how, 2) for how in ("whole", "eager"))
    for result, array in zip(ours, expected, strict=True):
        assert contest.distance(result, array) <= WORKLOADS[name].tolerance


def test_a_start_is_what_was_saved(tmp_path: Path) -> None:
    begun = start.begin(WORKLOADS["cnn_step"].program(tiny=True))
    begun.save(tmp_path / "numbers.npz")
    loaded = start.Start.load(tmp_path / "numbers.npz")
    assert loaded.parameters == begun.parameters
    assert list(loaded.state) == list(begun.state)
    assert len(loaded.state) > len(loaded.parameters)  # running means and variances
    pairs = [*zip(loaded.batch, begun.batch, strict=True)]
    pairs += [(loaded.state[name], array) for name, array in begun.state.items()]
    for found, expected in pairs:
        np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize(
    ("result", "wrong"), [([1, 2], False), ([1, 2.1], True), ([1, np.nan], True), ([1], True)]
)
def test_results_are_compared(tmp_path: Path, result: list[float], wrong: bool) -> None:
    paths = {"graphc compiled": tmp_path / "0.npz", "PyTorch eager": tmp_path / "1.npz"}
    np.savez(paths["graphc compiled"], np.array(result, float))
    np.savez(paths["PyTorch eager"], np.array([1.0, 2.0]))
    found: dict[str, Any] = {name: {} for name in paths}
    contest.compare(WORKLOADS["mlp_step"], paths, found)
    assert ("wrong" in found["graphc compiled"]) == wrong
    assert "wrong" not in found["PyTorch eager"]


def test_the_tables_say_what_failed_and_what_differs() -> None:
    timed = {"seconds": 2e-3, "rounds": [1e-3, 3e-3], "memory": 5_000_000, "apart": 1e-7}
    timed |= {"first_calls_cold": 1.0, "first_calls_warm": 0.5, "plain_call": 1e-7}
    rows = {
        "graphc compiled": timed,
        "PyTorch eager": timed | {"seconds": 4e-3},
        "torch.compile": {"failed": "no answer within 9 s"},
        "JAX jit": timed | {"seconds": 1e-3, "apart": 0.5, "wrong": "results are 5e-01 off"},
    }
    measured = {
        **{
            "table": "main",
            "cpu": "a CPU",
            "threads": 2,
            "date": "2026-01-01",
            "tiny": False,
            "clock": "wall",
        },
        **{"versions": {"graphc": "1"}, "titles": {"mlp_step": "MLP"}},
        "results": {"mlp_step": rows},
    }
    (_, line) = report.short(measured)
    # The fastest is no measure: its results are wrong.
    assert line == ("mlp_step", "2 ms", "4 ms", "failed", "1 ms (wrong)", "2.00")
    page = report.page(measured)
    assert "mlp_step: torch.compile: no answer within 9 s" in page
    assert "mlp_step: JAX jit: results are 5e-01 off" in page
    assert "| mlp_step | graphc compiled | 2 ms | 1 ms to 3 ms | 1.00 s | 0.50 s | 5.0 MB |" in page
    text = f"before\n{report.START}\nold\n{report.END}\nafter"
    assert report.replaced(text, "new") == text.replace("old", "new")
    with pytest.raises(ValueError, match="lacks"):
        report.replaced("no marks", "new")


def test_the_readme_has_a_place_for_the_table() -> None:
    text = report.README.read_text(encoding="utf-8")
    assert text.count(report.START) == text.count(report.END) == 1


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    short = ("--rounds", "2", "--seconds", "0.01", "--output", str(folder))
    return subprocess.run(
        [sys.executable, str(FOLDER / "run.py"), *short, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("table", "workload"), [("main", "lenet_step"), ("main", "tiny_call")])
def test_graphc_against_itself(tmp_path: Path, table: str, workload: str) -> None:
    done = run(tmp_path, "--contender", "graphc", "--table", table, "--only", workload)
    assert done.returncode == 0, done.stdout + done.stderr
    measured = json.loads((tmp_path / f"{table}.json").read_text())
    rows = measured["results"][workload]
    assert list(rows) == ["graphc eager", "graphc compiled"]
    for name, row in rows.items():
        assert len(row["rounds"]) == 2
        assert min(row["rounds"]) <= row["seconds"] <= max(row["rounds"])
        assert row["apart"] <= 1e-4
        assert row["first_calls_warm"] > 0
        assert ("first_calls_cold" in row) == (name != "graphc eager")  # that one compiles nothing
    assert "graphc" in measured["versions"]
    assert f"| {workload} | graphc eager |" in (tmp_path / f"{table}.md").read_text()


@pytest.mark.slow
def test_sizes_and_threads(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    short = ("--tiny", "--rounds", "1")
    sizes = (
        "--contender",
        "graphc compiled",
        "--contender",
        "floor",
        "--only",
        "sum_1024",
        "gemm_16",
    )
    done = run(tmp_path, *sizes, "--table", "scaling", *short)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "scaling.json").read_text())["results"]
    assert list(rows) == ["sum_1024", "gemm_16"]
    assert all(row["floor"]["seconds"] > 0 for row in rows.values())
    done = run(
        *(tmp_path, "--contender", "graphc", "--table", "threads", "--only", "tiny_call", *short)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "threads.json").read_text())["results"]["tiny_call"]
    assert list(rows) == ["graphc compiled, 1 thread", "graphc compiled, 2 threads"]
    assert (tmp_path / "scaling.svg").exists()
    assert (tmp_path / "threads.svg").exists()


@pytest.mark.slow
def test_a_contender_that_fails_is_reported(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch today')")
    program = f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n'
    interpreter = tmp_path / "python"
    interpreter.write_text(program)
    interpreter.chmod(0o755)
    without_torch = ("--contender", "PyTorch", "--torch-python", str(interpreter))
    done = run(tmp_path / "results", *without_torch, "--only", "tiny_call")
    assert done.returncode == 1
    assert "tiny_call: PyTorch eager: ended with status 1" in done.stdout
    assert "no torch today" in done.stdout


@pytest.mark.slow
def test_a_contender_that_takes_too_long_is_reported(tmp_path: Path) -> None:
    arguments = ("--contender", "graphc eager", "--only", "tiny_call", "--limit", "0.001")
    done = run(tmp_path, *arguments)
    assert done.returncode == 1
    assert "tiny_call: graphc eager: no answer within 0.001 s" in done.stdout


def test_an_unknown_contender_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "--contender", "MATLAB")
    assert done.returncode == 2
    assert "no contender begins with MATLAB" in done.stderr


@pytest.mark.slow
def test_products_in_gflops() -> None:
    """Its results are compared with NumPy's; here it matters that it runs to the end."""
    short = ("--rounds", "1", "--seconds", "0.01", "linear", "LeNet")
    done = subprocess.run(
        [sys.executable, str(FOLDER / "gemm.py"), *short],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("graphc") == 5
