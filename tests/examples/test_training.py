"""The examples that train: each runs, compiled and not, and learns."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")

ROOT = Path(__file__).parents[2]


def run(name: str, output: Path, *options: str) -> str:
    """What an example prints."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py"), *options, "--output", str(output)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def numbers(pattern: str, text: str) -> list[float]:
    found = re.search(pattern, text)
    assert found, text
    return [float(x) for x in found.groups()]


def only_in_full(*values: str) -> list[Any]:
    """Ways to run what another way, which is always taken, runs too."""
    return [pytest.param(*value.split(), marks=pytest.mark.full) for value in values]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("char_gpt", "step"),
        ("char_lstm", "model"),
        *only_in_full("char_gpt none", "char_gpt model", "char_lstm none", "char_lstm step"),
    ],
)
def test_language_models(name: str, how: str, tmp_path: Path) -> None:
    """The loss falls, and nothing is compiled after the second batch."""
    text = run(name, tmp_path, "--steps", "40", "--batch", "4", "--length", "20", "--compile", how)
    before, after, unseen = numbers(r"loss (\S+) -> (\S+), on text it has not seen (\S+)", text)
    assert before > 4.4
    assert after < 3.5
    assert unseen < 3.5
    if how != "none":
        times, early = numbers(r"compiled (\d+) times; after two batches (\d+)", text)
        assert times == early
    assert (tmp_path / "loss.png").stat().st_size > 10_000
    assert (tmp_path / "written.txt").read_text().startswith("def ")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["step", *only_in_full("none", "model")])
def test_autoencoder(how: str, tmp_path: Path) -> None:
    text = run("vae_digits", tmp_path, "--epochs", "2", "--compile", how)
    before, after = numbers(r"loss (\S+) -> (\S+) nats", text)
    assert after < 0.95 * before < 40
    assert (tmp_path / "plane.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("how", ["step", *only_in_full("none")])
def test_two_networks(how: str, tmp_path: Path) -> None:
    text = run("gan_digits", tmp_path, "--epochs", "1", "--compile", how)
    judge, maker = numbers(r"judge (\S+), maker (\S+)", text)
    assert 0.1 < judge < 2
    assert 0.1 < maker < 5
    assert (tmp_path / "digits.png").stat().st_size > 10_000


WATCHED = """
import gc
import sys
from pathlib import Path

sys.path.insert(0, {folder!r})
import {name} as example
from source_text import Text

import graphc


class Steps:
    def __init__(self, steps, **_):
        self.steps, self.memory = steps, []

    def __iter__(self):
        for number in self.steps:
            if number in (200, 1200):
                gc.collect()
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                print("resident", pages * 4096)
            yield number

    def set_postfix(self, **_):
        pass


example.tqdm = Steps
graphc.manual_seed(0)
text = Text()
model = {model}
losses, _, compiled, early = example.train(model, text, 1201, 2, {how!r}{more})
print("compiled", len(compiled.receipts), early)
"""
MODELS = {
    "char_gpt": ("example.GPT(len(text.characters), 16, 2, 1)", ""),
    "char_lstm": ("example.Model(len(text.characters), 16, 1)", ", 'cpu'"),
}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="tells its memory in another way")
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("char_gpt", "model"),
        ("char_lstm", "step"),
        *only_in_full("char_gpt step", "char_lstm model"),
    ],
)
def test_memory_is_flat(name: str, how: str) -> None:
    """A thousand steps take no more memory than the first ones did, and compile nothing.

    Around a compiled model the optimizer runs eagerly, with another learning rate at each step: the
    bounded caches of types and gradient rules, which know numbers too, fill up at first.
    """
    model, more = MODELS[name]
    code = WATCHED.format(folder=str(ROOT / "examples"), name=name, model=model, how=how, more=more)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert done.returncode == 0, done.stderr
    before, after = (int(x) for x in re.findall(r"resident (\d+)", done.stdout))
    assert after - before < (1 if how == "step" else 5) * 10**6
    times, early = numbers(r"compiled (\d+) (\d+)", done.stdout)
    assert times == early
