"""The golden fixture and the isolation that every other test relies on."""

import os
from pathlib import Path

import pytest

pytest_plugins = "pytester"

CONFTEST = Path(__file__).with_name("conftest.py")


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makepyfile("def test_text(golden):\n    golden('stage.ir', 'a = 1  \\nb = 2')\n")
    return pytester


def test_a_golden_is_written_only_on_request(suite):
    missing = suite.runpytest_inprocess()
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(["*+a = 1", "If this is meant: pytest --update-golden *test_text"])
    path = suite.path / "goldens" / "stage.ir"
    assert not path.exists()
    suite.runpytest_inprocess("--update-golden").assert_outcomes(passed=1)
    assert path.read_text() == "a = 1\nb = 2\n"
    suite.runpytest_inprocess().assert_outcomes(passed=1)


def test_a_changed_golden_shows_the_difference(suite):
    (suite.path / "goldens").mkdir()
    (suite.path / "goldens" / "stage.ir").write_text("a = 1\nb = 3\n")
    changed = suite.runpytest_inprocess()
    changed.assert_outcomes(failed=1)
    changed.stdout.fnmatch_lines(["*-b = 3", "*+b = 2"])


def test_passes_are_verified_and_the_cache_is_this_runs(cache_dir):
    assert os.environ["GRAPHC_VERIFY"] == "1"
    assert os.environ["GRAPHC_CACHE_DIR"] == str(cache_dir)
    assert cache_dir.stat().st_mode & 0o777 == 0o700
