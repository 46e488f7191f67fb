"""What every test gets: its own cache, verified passes, fixed seeds, golden files.

A normal run takes a part of what there is to try, always the same: a few samples of each operation,
and at least one compiled variant of each operation, layer and optimizer. ``--full`` (``make
test-all``) takes everything: tests ask the fixture ``full`` how many samples to take, and variants
that only test again what others test too are marked ``full``.
"""

import difflib
import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

GOLDENS = Path(__file__).parent / "goldens"

# Derandomised: a failure in CI is the failure at home. The cores of CI are slow and shared.
settings.register_profile(
    "graphc",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("graphc")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what the tests produce into tests/goldens instead of comparing",
    )
    parser.addoption(
        "--full",
        action="store_true",
        help="take every sample, and run the tests marked full, which are left out otherwise",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Before any test module is imported, since some compile while they are collected.
    os.environ["GRAPHC_VERIFY"] = "1"
    from graphc.codegen import program

    program.WORTH_WAKING = 0  # small shapes take the ways of large ones


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--full"):
        return
    left_out = [item for item in items if item.get_closest_marker("full") is not None]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.get_closest_marker("full") is None]


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether every sample is wanted."""
    return bool(pytestconfig.getoption("--full"))


@pytest.fixture(scope="session", autouse=True)
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of compiled objects for this run only, shared by its workers."""
    base = tmp_path_factory.getbasetemp()
    # A worker's folder lies inside the folder of the whole run.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "graphc-cache"
    folder.mkdir(mode=0o700, exist_ok=True)
    before = os.environ.get("GRAPHC_CACHE_DIR")
    os.environ["GRAPHC_CACHE_DIR"] = str(folder)
    yield folder
    if before is None:
        del os.environ["GRAPHC_CACHE_DIR"]
    else:
        os.environ["GRAPHC_CACHE_DIR"] = before


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(0)
    np.random.seed(0)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """``golden(name, text)`` compares with ``tests/goldens/<name>``.

    With ``--update-golden`` it writes the file instead. Without, a missing file is a failure.
    """
    update = bool(request.config.getoption("--update-golden"))

    def compare(name: str, text: str) -> None:
        path = GOLDENS / name
        text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).rstrip("\n") + "\n"
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        known = path.read_text(encoding="utf-8") if path.exists() else ""
        if known != text:
            difference = "".join(
                difflib.unified_diff(
                    known.splitlines(keepends=True),
                    text.splitlines(keepends=True),
                    f"tests/goldens/{name}",
                    "now",
                )
            )
            pytest.fail(
                f"{difference}\nIf this is meant: pytest --update-golden {request.node.nodeid}",
                pytrace=False,
            )

    return compare
