"""The floors: which module may import which, and where third parties may be used.

Every import counts: at the top of a file, inside a function, under ``if TYPE_CHECKING``, and by
``importlib.import_module`` or ``__import__`` with a literal name.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "graphc"

# A floor's members (a name stands for the module or everything in the package of that name), and
# the floors below it that they may import. Members of one floor may import each other.
FLOORS: dict[str, tuple[str, str]] = {
    "ground": ("config dtypes device errors later resources", ""),
    "ir": (
        "sizes explanation expressions kernel ir ir_text interpret rewrite fingerprint",
        "ground",
    ),
    "ops": ("ops", "ground ir"),
    "transforms": ("autodiff passes", "ground ir ops"),
    # The front wing: what users touch. Whatever is not named elsewhere in this table is here.
    "front": ("", "ground ir ops transforms"),
    # The back wing, a pipeline. Rendering sees the loop IR only, building sees sources only.
    "lowering": ("lowering", "ground ir ops transforms"),
    "codegen": ("codegen", "ground ir"),
    "backends": ("backends", "ground ir codegen"),
    # Where the wings meet.
    "top": (
        "compiler inspect jit __main__ __init__",
        "ground ir ops transforms front lowering codegen backends",
    ),
}

# Where each third party may be imported: floors, or single modules.
THIRD_PARTIES: dict[str, str] = {
    "numpy": "dtypes ir ops transforms front lowering backends top",
    "ml_dtypes": "dtypes",
    "jinja2": "codegen",
    "cffi": "backends",
    "_cffi_backend": "backends",
    "pycuda": "backends.cuda",
    "safetensors": "utils.safetensors",
    "scipy": "ops",
    "tensorboardX": "utils.tensorboard",
}

# Floors whose modules form no circle among themselves.
WITHOUT_CIRCLES = "ground ir ops transforms lowering codegen backends".split()


def module_name(path: Path, package: Path = PACKAGE) -> str:
    """``graphc/ops/reduce.py`` is ``ops.reduce``; the package's own ``__init__`` keeps its name."""
    parts = path.relative_to(package).with_suffix("").parts
    if parts[-1] == "__init__" and len(parts) > 1:
        parts = parts[:-1]
    return ".".join(parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(source: str, module: str, is_package: bool) -> Iterator[str]:
    """Full names of what a module imports; ``from a import b`` gives ``a.b``."""
    inside = "graphc" if module == "__init__" else f"graphc.{module}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                above = inside.split(".")
                kept = len(above) - node.level + bool(is_package)
                origin = ".".join([*above[:kept], *([origin] if origin else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            name = node.args[0]
            if called in ("import_module", "__import__") and isinstance(name, ast.Constant):
                yield str(name.value)


def own_module(name: str, known: "dict[str, Path] | set[str]") -> str:
    """The module that importing ``graphc.a.b`` reaches: ``a.b``, or ``a``, or the top."""
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in known:
        parts.pop()
    return ".".join(parts) or "__init__"


def within(module: str, names: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names.split())


def floor_of(module: str) -> str:
    for floor, (members, _) in FLOORS.items():
        if within(module, members):
            return floor
    return "front"


def imports_of(module: str) -> list[str]:
    path = SOURCES[module]
    source = path.read_text(encoding="utf-8")
    return list(imported(source, module, path.name == "__init__.py"))


def is_own(name: str) -> bool:
    return name.partition(".")[0] == "graphc"


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_imports_only_from_floors_below(module):
    floor = floor_of(module)
    allowed = {floor, *FLOORS[floor][1].split()}
    for name in filter(is_own, imports_of(module)):
        target = own_module(name, SOURCES)
        assert floor_of(target) in allowed, (
            f"graphc.{module} (floor {floor}) imports graphc.{target} (floor {floor_of(target)})"
        )


@pytest.mark.parametrize("module", SOURCES)
def test_third_parties_keep_to_their_places(module):
    for name in imports_of(module):
        party = name.partition(".")[0]
        if is_own(name) or party in sys.stdlib_module_names:
            continue
        assert party in THIRD_PARTIES, f"graphc.{module} imports {party}: see THIRD_PARTIES"
        places = THIRD_PARTIES[party]
        assert floor_of(module) in places.split() or within(module, places), (
            f"graphc.{module} imports {party}, which is for: {places}"
        )


@pytest.mark.parametrize("floor", WITHOUT_CIRCLES)
def test_no_circles(floor):
    members = {m for m in SOURCES if floor_of(m) == floor}
    edges = {
        m: {own_module(name, SOURCES) for name in imports_of(m) if is_own(name)} & members - {m}
        for m in members
    }
    # A package's __init__ gathers its modules and none of them needs it back.
    while free := [m for m, targets in edges.items() if not targets]:
        for m in free:
            del edges[m]
        for targets in edges.values():
            targets.difference_update(free)
    assert not edges, f"these import each other in a circle: {sorted(edges)}"


def test_every_member_of_the_table_exists():
    expected = {name for members, _ in FLOORS.values() for name in members.split()}
    assert sorted(expected - SOURCES.keys()) == []


def test_importing_graphc_leaves_the_heavy_modules_alone():
    code = "import sys, graphc; print(*sorted(m for m in sys.modules if '.' not in m))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split())
    assert "graphc" in loaded
    heavy = {"scipy", "matplotlib", "sklearn", "torch", "pycuda", "jinja2", "tqdm"}
    heavy |= {"safetensors", "tensorboardX"}
    assert not loaded & heavy


# ---------------------------------------------------------------------- that the test sees at all


SEEN = """
import os.path
import graphc.ir as ir
from graphc import config
from . import reduce
from .rules import spread
from ..sizes import Int
def f():
    from graphc.tensor import Tensor
    importlib.import_module("torch.nn")
if TYPE_CHECKING:
    from graphc.compiler.function import compile
"""


def test_every_form_of_import_is_seen():
    assert sorted(imported(SEEN, "ops.shape", is_package=False)) == [
        "graphc.compiler.function.compile",
        "graphc.config",
        "graphc.ir",
        "graphc.ops.reduce",
        "graphc.ops.rules.spread",
        "graphc.sizes.Int",
        "graphc.tensor.Tensor",
        "os.path",
        "torch.nn",
    ]
    assert list(imported("from .rules import x", "ops", is_package=True)) == ["graphc.ops.rules.x"]
    assert list(imported("from .ops import x", "__init__", True)) == ["graphc.ops.x"]


def test_names_are_resolved_to_modules():
    known = {"ops", "ops.rules", "ir", "__init__"}
    assert own_module("graphc.ops.rules.spread", known) == "ops.rules"
    assert own_module("graphc.ops.relu", known) == "ops"
    assert own_module("graphc.Tensor", known) == "__init__"


def test_floors_of_modules():
    assert floor_of("ops.reduce") == "ops"
    assert floor_of("operations") == "front"
    assert floor_of("backends.cuda.driver") == "backends"
    assert floor_of("nn.functional") == "front"
