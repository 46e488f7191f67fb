"""What a graph becomes before the C compiler sees it, and the cache that saves making it again.

Passes, lowering and rendering depend on the graph, the target and graphc's own files. A key holds
all of that, so that a program compiled by an earlier process is read back instead of made. The
entries lie beside the objects, in the folder that only the user can write (see
:mod:`graphc.backends.c.cache`), and have their checksums.
"""

import os
import pickle
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from graphc import config
from graphc.backends.c import target_dialect
from graphc.backends.c.cache import FORMAT, digest, open_cache
from graphc.codegen.dialect import Dialect
from graphc.codegen.source import ProgramSource
from graphc.explanation import Explanation
from graphc.fingerprint import Unknown, fingerprint
from graphc.ir import Graph, TensorType
from graphc.kernel import Buffer, HostStep, Site
from graphc.passes import run_pipeline
from graphc.resources import resources

_SUFFIX = ".plan"


@dataclass(frozen=True)
class Blueprint:
    """A program as sources, and what a run has to know of it.

    ``hosts`` is what Python does after each entry but the last (LAPACK), on these ``buffers``,
    found at these ``slots``. ``written`` numbers the inputs that the program writes.
    """

    source: ProgramSource
    explanation: Explanation
    kernels: tuple[str, ...]
    sites: tuple[Site, ...]
    hosts: tuple[tuple[HostStep, ...], ...]
    buffers: Mapping[str, Buffer]
    slots: Mapping[str, int]
    inputs: int
    written: tuple[int, ...]
    output_types: tuple[TensorType, ...]
    constants: tuple["np.ndarray[Any, Any]", ...]


@dataclass
class Stages:
    """Every stage of a compilation, for reading: graphs by pass, then the sources."""

    traced: Graph
    blueprint: Blueprint = field(init=False, repr=False)
    seconds: dict[str, float] = field(default_factory=dict)
    cached: bool = False

    @cached_property
    def graphs(self) -> dict[str, Graph]:
        """The graph after each pass that had something to do; made again if it was read back."""
        found: dict[str, Graph] = {}
        run_pipeline(self.traced, dump=found.__setitem__)
        return found

    @property
    def sources(self) -> dict[str, str]:
        """The text of each file that the C compiler reads."""
        return {unit.filename: unit.text for unit in self.blueprint.source.units}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds the time inside to ``seconds``."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def dump(self, folder: Path) -> None:
        """Writes every stage as a file, numbered in order."""
        folder.mkdir(parents=True, exist_ok=True)
        for i, (name, graph) in enumerate(self.graphs.items()):
            (folder / f"{i + 1:02d}_{name}.ir").write_text(f"{graph}\n")
        number = len(self.graphs) + 1
        (folder / f"{number:02d}_kernels.txt").write_text(f"{self.blueprint.explanation}\n")
        for name, source in self.sources.items():
            (folder / name).write_text(source)


def blueprint(stages: Stages) -> Blueprint:
    """What the traced graph becomes: read back if some process made it before.

    Raises GraphError for what cannot be compiled, CompilerNotFound.
    """
    dialect = target_dialect()
    with stages.timed("look up"):
        key = _key(stages.traced, dialect)
        found = None if key is None else _recalled(key)
    if found is None:
        from graphc.compiler.drawing import drawn  # here: most of graphc, for a program that is new

        found = drawn(dialect, stages)
        if key is not None:
            _keep(key, found)
    stages.blueprint = found
    return found


# --------------------------------------------------------------------------------------- the cache


def _key(graph: Graph, dialect: Dialect) -> str | None:
    """What a blueprint depends on; None where that cannot be told or everything must be checked."""
    own = _own_files()
    if own is None or config.VERIFY.value:
        return None
    try:
        content = fingerprint(graph)
    except Unknown:
        return None
    target = [f"{f.name}={_sorted(getattr(dialect, f.name))}" for f in fields(dialect)]
    settings = (config.LINE_DIRECTIVES.value, config.PROFILE.value, config.get_num_threads())
    return digest(FORMAT, "blueprint", own, content, *target, str(settings))


def _sorted(value: Any) -> Any:
    """Sets of text have another order in every process."""
    return sorted(value) if isinstance(value, frozenset) else value


@cache
def _own_files() -> str | None:
    """Which graphc this is, by its files; None where they changed after this process began."""
    parts = [sys.version, np.__version__]
    for folder in (Path(__file__).resolve().parent.parent, resources("templates")):
        for base, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                if name.endswith((".py", ".j2")):
                    status = os.stat(os.path.join(base, name))
                    if status.st_mtime > config.STARTED:
                        return None
                    parts.append(f"{base} {name} {status.st_size} {status.st_mtime_ns}")
    return digest(*parts)


def _recalled(key: str) -> Blueprint | None:
    content = open_cache().read(key, _SUFFIX)
    return None if content is None else pickle.loads(content)


def _keep(key: str, made: Blueprint) -> None:
    with suppress(OSError):  # a full disk: building the objects finds another place, or says so
        open_cache().write(key, _SUFFIX, pickle.dumps(made, pickle.HIGHEST_PROTOCOL))
