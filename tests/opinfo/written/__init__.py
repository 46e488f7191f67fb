"""Cases for names that OpInfo does not have, one family a file."""

from tests.opinfo.written import attributes, autograd, creation, indexing, products, random
from tests.opinfo.written.case import Case

_FILES = (attributes, autograd, creation, indexing, products, random)

CASES: dict[str, list[Case]] = {}
for _file in _FILES:
    for _name, _cases in _file.CASES.items():
        CASES.setdefault(_name, []).extend(
            case if isinstance(case, Case) else Case(case) for case in _cases
        )
