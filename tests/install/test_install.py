"""graphc works installed from a wheel, from a source distribution, and editable."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent

# Where the package and its templates and runtime sources are; then they are used.
PROGRAM = """
import warnings
import graphc
from graphc.resources import resources

print(graphc.__file__)
print(resources("templates"))
print(resources("runtime"))
warnings.simplefilter("error")
double_plus_one = graphc.compile(lambda x: x * 2 + 1)
print(double_plus_one(graphc.tensor([1.0, 2.0])))
"""


def run(*command: object, cwd: Path, cache: Path | None = None) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    if cache is not None:
        environment["GRAPHC_CACHE_DIR"] = str(cache)
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(target: str, source: Path, folder: Path) -> Path:
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder, cwd=source)
    (made,) = folder.iterdir()
    return made


def environment(folder: Path) -> Path:
    """The Python of a new environment that sees what is installed here, but not graphc."""
    venv.create(folder, with_pip=True, symlinks=True)
    packages = next(folder.glob("lib*/python*/site-packages"))
    here = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    # A folder named in a .pth file is searched, but .pth files inside of it (such as that of an
    # editable graphc) are not read.
    (packages / "dependencies.pth").write_text("\n".join(here) + "\n")
    return folder / "bin" / "python"


def install(python: Path, *what: object, cwd: Path) -> None:
    run(
        *(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"),
        *what,
        cwd=cwd,
    )


def check(python: Path, folder: Path) -> tuple[Path, Path, Path]:
    """Runs the program away from the checkout; the places it found."""
    away = folder / "away"
    away.mkdir()
    (away / "program.py").write_text(PROGRAM)
    *places, result = run(python, "program.py", cwd=away, cache=folder / "cache").splitlines()
    assert result == "tensor([3., 5.])"
    package, templates, runtime = map(Path, places)
    return package.parent, templates, runtime


def files_below(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_package_templates_and_runtime(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("graphc/")}
    expected = {f"graphc/{name}" for name in files_below(ROOT / "graphc")}
    for kind in ("templates", "runtime"):
        expected |= {f"graphc/_{kind}/{name}" for name in files_below(ROOT / kind)}
    assert packed == expected


def test_a_wheel_works_by_itself(wheel, tmp_path):
    python = environment(tmp_path / "env")
    install(python, wheel, cwd=tmp_path)
    package, templates, runtime = check(python, tmp_path)
    assert (tmp_path / "env") in package.parents
    assert (templates, runtime) == (package / "_templates", package / "_runtime")


def test_an_editable_install_uses_the_checkout(tmp_path):
    python = environment(tmp_path / "env")
    install(python, "-e", ROOT, cwd=tmp_path)
    package, templates, runtime = check(python, tmp_path)
    assert (package, templates, runtime) == (ROOT / "graphc", ROOT / "templates", ROOT / "runtime")


def test_a_source_distribution_builds_the_same_wheel(wheel, tmp_path):
    source = build("sdist", ROOT, tmp_path / "sdist")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    again = build("wheel", unpacked, tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert sorted(second.namelist()) == sorted(first.namelist())
        # The list of files, with their checksums, is the only one whose order may differ.
        for name in first.namelist():
            if not name.endswith("/RECORD"):
                assert second.read(name) == first.read(name), name
