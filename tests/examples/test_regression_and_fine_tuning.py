"""The examples that fit a line and that fine-tune, run as programs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("tqdm")

ROOT = Path(__file__).parents[2]


def run(name: str, *options: str) -> str:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *options],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("how", ["none", pytest.param("model", marks=pytest.mark.full), "step"])
def test_linear_regression(tmp_path: Path, how: str) -> None:
    options = ["--compile", how, "--epochs", "100"]
    if how == "none":
        pytest.importorskip("matplotlib")
        options += ["--picture", str(tmp_path / "fit.png")]
    text = run("linear_regression.py", *options)
    rows = re.findall(r"^ *(closed form|SGD|L-BFGS) +\S+ +(\S+) +(\S+) +(\S+)$", text, re.M)
    found = {name: [float(x) for x in numbers] for name, *numbers in rows}
    best = found["closed form"]
    assert 0.48 < best[0] < 0.50
    assert best[1] > 0.55
    for name, farthest in (("SGD", 0.5), ("L-BFGS", 1e-3)):
        assert abs(found[name][0] - best[0]) < 0.005
        assert found[name][2] < farthest
    assert (tmp_path / "fit.png").exists() is (how == "none")


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [*(pytest.param(how, marks=pytest.mark.full) for how in ("none", "model")), "step"]
)
def test_fine_tuning(how: str) -> None:
    text = run("fine_tune.py", "--compile", how, "--updates", "30")
    clean, unchanged, head, tuned, alone = (float(x) for x in re.findall(r"([\d.]+)%", text))
    assert clean > 93
    assert unchanged > 40
    assert head > alone + 10
    assert tuned > alone + 10
