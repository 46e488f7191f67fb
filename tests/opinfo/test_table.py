"""The README's table is what the recorded run says."""

from tests.opinfo.results import load
from tests.opinfo.table import README, replaced


def test_readme_has_the_table_of_the_recorded_run() -> None:
    text = README.read_text(encoding="utf-8")
    assert replaced(text, load()) == text, "python -m tests.opinfo.table --write"
