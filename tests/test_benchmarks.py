"""The benchmarks run: graphc's side of them, for a moment."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent.parent / "examples" / "benchmarks" / "run.py"
pytestmark = pytest.mark.slow


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    short = ("--rounds", "2", "--seconds", "0.01", "--output", str(folder))
    return subprocess.run(
        [sys.executable, str(RUN), *short, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("workload", ["lenet_step", "tiny_call"])
def test_graphc_against_itself(tmp_path, workload):
    done = run(tmp_path, "--contender", "graphc", "--workload", workload)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("*.json")
    report = json.loads(path.read_text())
    rows = report["results"][workload]
    expected = ["graphc eager", "graphc compiled model", "graphc compiled"]
    if workload == "tiny_call":  # there is no model in it
        expected.remove("graphc compiled model")
    assert list(rows) == expected
    for name, row in rows.items():
        assert len(row["rounds"]) == 2
        assert min(row["rounds"]) <= row["seconds"] <= max(row["rounds"])
        assert row["apart"] <= 1e-4
        assert row["first_calls_warm"] > 0
        assert ("first_calls_cold" in row) == (name != "graphc eager")  # that one compiles nothing
    assert "graphc" in report["versions"]
    text = path.with_suffix(".md").read_text()
    assert f"|  | {' | '.join(expected)} |" in text
    assert f"| {workload} | graphc eager |" in text


def test_a_contender_that_fails_is_reported(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('no torch today')")
    program = f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n'
    interpreter = tmp_path / "python"
    interpreter.write_text(program)
    interpreter.chmod(0o755)
    without_torch = ("--contender", "PyTorch", "--torch-python", str(interpreter))
    done = run(tmp_path / "results", *without_torch, "--workload", "tiny_call")
    assert done.returncode == 1
    assert "tiny_call: PyTorch eager failed" in done.stdout
    assert "no torch today" in done.stdout


def test_an_unknown_contender_is_refused(tmp_path):
    done = run(tmp_path, "--contender", "MATLAB")
    assert done.returncode == 2
    assert "no contender begins with MATLAB" in done.stderr


def test_products_in_gflops():
    """Its results are compared with NumPy's; here it matters that it runs to the end."""
    gemm = RUN.parent / "gemm.py"
    short = ("--rounds", "1", "--seconds", "0.01", "linear", "LeNet")
    done = subprocess.run(
        [sys.executable, str(gemm), *short], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("graphc") == 5
