"""What the last full run found: ``results.json``, written by ``check --all --record``."""

import json
from pathlib import Path

PLACE = Path(__file__).with_name("results.json")

Counts = dict[str, dict[str, list[int]]]  # name -> mode -> [agreeing samples, all samples]


def load() -> Counts:
    """The recorded counts; a name that graphc lacks is recorded without modes."""
    return json.loads(PLACE.read_text(encoding="utf-8")) if PLACE.exists() else {}  # type: ignore[no-any-return]


def save(counts: Counts) -> None:
    """Writes them, one line a name."""
    lines = [f"  {json.dumps(name)}: {json.dumps(counts[name])}" for name in counts]
    PLACE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
