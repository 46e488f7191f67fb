"""The command line, as a user runs it: ``python -m graphc ...`` in a process of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import graphc

ROOT = Path(__file__).parent.parent


def run(*arguments: str, **environment: object) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("GRAPHC_CC", "GRAPHC_VERIFY")}
    return subprocess.run(
        [sys.executable, "-m", "graphc", *arguments],
        cwd=ROOT,
        env={**kept, **{name: str(value) for name, value in environment.items()}},
        capture_output=True,
        text=True,
        check=False,
    )


def line(report: str, name: str) -> str:
    """What the doctor says under a name."""
    (found,) = [x for x in report.splitlines() if x.startswith(f"  {name} ")]
    return found[len(name) + 2 :].strip()


def compilers(folder: Path, script: str) -> Path:
    """A gcc that runs a shell script instead."""
    fake = folder / "gcc"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    return fake


def test_doctor_says_that_compiled_mode_works():
    done = run("doctor")
    report = done.stdout
    assert done.returncode == 0, report + done.stderr
    assert report.startswith(f"graphc {graphc.version.graphc} in ")
    assert report.endswith("compiled mode works\n")
    assert "PROBLEM" not in report
    assert sys.executable in line(report, "Python")
    assert line(report, "cache").startswith(os.environ["GRAPHC_CACHE_DIR"])
    assert line(report, "sources") == f"templates in {ROOT / 'templates'}"
    assert "right" in line(report, "check")
    assert line(report, "variables").startswith("GRAPHC_CACHE_DIR=")


def test_doctor_without_a_compiler_says_what_to_install(tmp_path):
    # An interpreter that finds neither gcc nor clang nor, with this stand-in, ziglang.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'ziglang' else find(name, *rest)\n"
    )
    done = run("doctor", PATH=tmp_path, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "PROBLEM: graphc found no C compiler. Install" in line(done.stdout, "compiler")
    assert "PROBLEM: graphc found no C compiler. Install" in line(done.stdout, "check")
    assert done.stdout.endswith("compiled mode does not work here\n")


def test_doctor_names_a_wrong_compiler():
    done = run("doctor", GRAPHC_CC="no-such-cc")
    assert done.returncode == 1
    assert "GRAPHC_CC='no-such-cc' names no program" in line(done.stdout, "compiler")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the stand-in hands on to gcc")
def test_doctor_sees_a_compiler_that_has_broken(tmp_path):
    # It still says what it is, and its objects of better days are in the cache.
    cache = tmp_path / "cache"
    fake = compilers(tmp_path, f'exec {shutil.which("gcc")} "$@"')
    assert run("doctor", GRAPHC_CC=fake, GRAPHC_CACHE_DIR=cache).returncode == 0
    broken = 'case "$*" in *" -c "*) echo "x.c: error: cc1 is gone"; exit 1;; esac\n'
    compilers(tmp_path, broken + f'exec {shutil.which("gcc")} "$@"')
    done = run("doctor", GRAPHC_CC=fake, GRAPHC_CACHE_DIR=cache)
    assert done.returncode == 1, done.stdout
    assert line(done.stdout, "compiler").startswith("gcc")
    assert "x.c: error: cc1 is gone" in line(done.stdout, "check")


def test_doctor_tells_of_a_refused_cache_and_goes_on(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    done = run("doctor", GRAPHC_CACHE_DIR=tmp_path / "link")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is a symbolic link; a temporary folder is used" in line(done.stdout, "cache")


def test_doctor_checks_the_variables():
    done = run("doctor", GRAPHC_DEBUGG=1)
    assert done.returncode == 0
    assert "GRAPHC_DEBUGG is set, but graphc has no such variable" in done.stdout
    done = run("doctor", GRAPHC_DEBUG="loud")
    assert done.returncode == 1
    assert "GRAPHC_DEBUG='loud': expected a whole number from 0 to 4" in done.stdout


def test_doctor_leaves_nothing_behind(tmp_path):
    def programs() -> list[Path]:
        return [path for path in (tmp_path / "cache").rglob("*") if path.suffix in (".so", ".o")]

    assert run("doctor", GRAPHC_CACHE_DIR=tmp_path / "cache").returncode == 0
    assert programs() == []
    assert list((tmp_path / "cache" / "tmp").iterdir()) == []


def test_cache_is_shown_and_cleared(tmp_path):
    cache = tmp_path / "cache"
    program = "import graphc; graphc.compile(lambda x: x * 2)(graphc.tensor([1.0]))"
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "GRAPHC_CACHE_DIR": str(cache)},
        check=True,
    )
    assert any((cache / "entries").rglob("*.so"))
    shown = run("cache", GRAPHC_CACHE_DIR=cache, GRAPHC_CACHE_SIZE=77)
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"{cache}: ")
    assert not shown.stdout.startswith(f"{cache}: 0 files")
    assert shown.stdout.endswith("at most 77 MB\n")

    cleared = run("cache", "--clear", GRAPHC_CACHE_DIR=cache)
    assert cleared.returncode == 0
    assert [p for p in (cache / "entries").rglob("*") if p.is_file()] == []


def test_a_refused_cache_is_not_cleared(tmp_path):
    (tmp_path / "real" / "entries" / "00").mkdir(parents=True)
    kept = tmp_path / "real" / "entries" / "00" / "kept"
    kept.touch()
    (tmp_path / "link").symlink_to("real")
    done = run("cache", "--clear", GRAPHC_CACHE_DIR=tmp_path / "link")
    assert done.returncode == 1
    assert "is a symbolic link" in done.stderr
    assert kept.exists()


def test_usage():
    assert run("--version").stdout == f"graphc {graphc.version.graphc}\n"
    wrong = run()
    assert wrong.returncode == 2
    assert "usage: python -m graphc" in wrong.stderr
