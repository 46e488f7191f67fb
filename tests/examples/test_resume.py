"""The example that is killed and resumed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import graphc

pytest.importorskip("sklearn")

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["none", pytest.param("model", marks=pytest.mark.full), "step"])
def test_resumed_training_is_the_same(tmp_path, how):
    command = [sys.executable, str(ROOT / "examples" / "resume.py"), "--epochs", "2"]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    run = subprocess.run(
        [*command, "--compile", how, "--output", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "ended by signal 9" in run.stdout and "resumed from resumed.pt" in run.stdout
    assert "trained from epoch 1 to epoch 2" in run.stdout
    assert "the same bit for bit: 46 losses" in run.stdout and "DIFFERENT" not in run.stdout
    one, other = (graphc.load(tmp_path / f"{name}.pt") for name in ("uninterrupted", "resumed"))
    for key, value in one["model"].items():
        assert value.numpy().tobytes() == other["model"][key].numpy().tobytes(), key


def test_what_differs_is_found():
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        from resume import differing
    finally:
        sys.path.pop(0)
    x = graphc.arange(3.0)
    one = {"a": [x, 1.5], "b": {"c": True}}
    assert differing(one, {"a": [x.clone(), 1.5], "b": {"c": True}}) == []
    assert differing(one, {"a": [x + 1e-7, 1.5], "b": {"c": True}}) == ["/a/0"]
    assert differing(one, {"a": [x.clone(), 1.25], "b": {"c": False}}) == ["/a/1", "/b/c"]
    assert differing(one, {"a": [x], "b": {}}) == ["/a", "/b"]
