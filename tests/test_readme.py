"""What the README shows runs, and prints what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def output(program: str, folder: Path) -> str:
    path = folder / "normalised.py"
    path.write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, path.name],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "GRAPHC_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no warnings
    return done.stdout


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_programs_run(program, tmp_path):
    assert output(program, tmp_path)


def test_the_graph_and_the_code_shown_are_those_printed(tmp_path, request):
    (program,) = [p for p in PROGRAMS if 'ir["trace"]' in p]
    # The path of the file is the test's.
    printed = output(program, tmp_path).replace(f"{tmp_path}{os.sep}", "")
    graph = printed[: printed.index("\n}\n") + 3]
    code = printed.split("\n---- program.c")[0]
    code = re.sub(r".*#include .*?\n\n", "", code, flags=re.DOTALL).rstrip() + "\n"
    now = README
    for mark, text in ((r"^```\ngraph ", graph), (r"^```c\n", code)):
        opening = "```c\n" if text is code else "```\n"
        (shown,) = re.findall(rf"{mark}.*?^```", README, flags=re.MULTILINE | re.DOTALL)
        now = now.replace(shown, f"{opening}{text}```")
    if request.config.getoption("--update-golden"):
        (ROOT / "README.md").write_text(now, encoding="utf-8")
    else:
        assert now == README, "if this is meant: pytest --update-golden tests/test_readme.py"


def test_every_target_and_file_named_exists():
    targets = re.findall(r"`make (\w+)`", README)
    known = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert targets
    assert set(targets) <= set(known)
    for name in re.findall(r"`((?:tests|examples|templates|runtime|graphc)/[\w/.-]*)`", README):
        assert (ROOT / name).exists(), name


def test_every_module_of_the_architecture_exists():
    section = README.split("## Architecture")[1].split("\n## ")[0]
    rows = re.findall(r"^\| [a-z ]+ \| (.*?) \|", section, flags=re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`(\w+)/?`", row)]
    assert len(names) > 20
    for name in names:
        module = ROOT / "graphc" / name
        assert module.is_dir() or module.with_suffix(".py").exists(), name
