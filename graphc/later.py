"""Names of a package whose modules are loaded when a name is first asked for."""

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

from graphc.errors import unknown_name


def loading(
    package: str, modules: Iterable[str], names: Mapping[str, str], known: Iterable[str]
) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package.

    ``modules`` are those of its own that stand for themselves, ``names`` come from the module of
    the package that they are mapped to. Any other name is an AttributeError, with the nearest of
    the ``known`` ones.

    A name must not be that of a module that somebody may import first: importing it would put the
    module in the name's place.
    """
    own = frozenset(modules)

    def load(name: str) -> Any:
        if name in own:
            return import_module(f"{package}.{name}")
        if name in names:
            found = getattr(import_module(f"{package}.{names[name]}"), name)
            vars(sys.modules[package])[name] = found
            return found
        raise unknown_name(f"module {package!r}", name, known)

    return load
