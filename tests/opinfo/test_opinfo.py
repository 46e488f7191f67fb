"""Every name of the tensor language against PyTorch, one test a name and mode.

By default a few samples of a few dtypes; ``--full`` takes all of them (``make test-all``).
"""

import os

import pytest

pytest.importorskip("torch")

from tests.opinfo.modes import MODES
from tests.opinfo.names import NAMES
from tests.opinfo.operations import is_missing, is_tested, run_mode
from tests.opinfo.outcomes import Settings

pytestmark = pytest.mark.differential

SUBSET = Settings(("float32", "int64", "bfloat16"), limit=3)
# The C compiler takes nearly all of the time of these two.
FEWER = {
    "compiled": Settings(("float32", "int64", "bfloat16"), limit=2),
    "compiled_gradient": Settings(("float32",), limit=3),
    "second": Settings(("float64",), limit=3),
}


@pytest.fixture(autouse=True)
def _kept_objects(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled objects outlive the run: a second one builds nothing that has not changed."""
    folder = request.config.cache.mkdir("graphc-objects")
    os.chmod(folder, 0o700)
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(folder))


@pytest.mark.parametrize("name", [n.name for n in NAMES])
@pytest.mark.parametrize("mode", list(MODES))
def test_agrees_with_pytorch(name: str, mode: str, full: bool) -> None:
    assert not is_missing(name), f"graphc has no {name}"
    report = run_mode(name, mode, Settings() if full else FEWER.get(mode, SUBSET))
    shown = [f"{o.dtype} {o.sample[:300]}\n    {o.failure}\n{o.trace}" for o in report.failures]
    assert not shown, "\n".join(shown[:5])


def test_every_name_is_tested() -> None:
    assert [n.name for n in NAMES if not is_tested(n.name)] == []


def test_no_name_twice() -> None:
    names = [n.name for n in NAMES]
    assert len(set(names)) == len(names)
