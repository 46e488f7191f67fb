"""``import torch`` that means graphc, for programs that are to run as they are.

Nothing happens until :func:`install_as_torch` is called (or ``python -m graphc run program.py``).
Then a finder answers every import of ``torch`` and ``torch.x.y`` with the very modules ``graphc``
and ``graphc.x.y``, so that ``torch.nn is graphc.nn``, classes are one and the same, and pickles
that name ``torch.nn.modules.linear.Linear`` find it.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_TORCH, _GRAPHC = "torch", "graphc"


class _Alias(Loader):
    """Gives a module that exists already, as it is, where importlib expects a new one."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:  # noqa: ARG002
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # importlib has put that of the alias in its place


class _Finder(MetaPathFinder):
    """Maps ``torch.x`` to ``graphc.x``; stands first among the finders of the process."""

    def __init__(self) -> None:
        self.hidden: dict[str, ModuleType] = {}  # modules of the real PyTorch, loaded before

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if not _is_torch(fullname):
            return None
        own = _GRAPHC + fullname[len(_TORCH) :]
        try:
            module = importlib.import_module(own)
        except ModuleNotFoundError as error:
            if error.name != own:
                raise  # something that the module itself needs
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: graphc stands in for torch here, and has no {own}",
                name=fullname,
            ) from None
        return ModuleSpec(fullname, _Alias(module), is_package=hasattr(module, "__path__"))


class _Installed:
    """What :func:`install_as_torch` returns: ``with`` takes the names away at its end."""

    def __enter__(self) -> "_Installed":
        return self

    def __exit__(self, *_exc: object) -> None:
        uninstall_as_torch()


def _is_torch(name: str) -> bool:
    return name == _TORCH or name.startswith(f"{_TORCH}.")


def _installed() -> _Finder | None:
    return next((finder for finder in sys.meta_path if isinstance(finder, _Finder)), None)


def install_as_torch(force: bool = False) -> _Installed:
    """Lets ``import torch``, ``from torch import nn`` and so on mean graphc in this process.

    Undone by :func:`uninstall_as_torch`, or at the end of ``with install_as_torch():``. A second
    call changes nothing. Submodules that graphc lacks raise ModuleNotFoundError. Raises
    RuntimeError when PyTorch itself has been imported; ``force=True`` hides it until the names are
    taken away again (modules that have imported it before keep what they have).
    """
    if _installed() is not None:
        return _Installed()
    loaded = {name: module for name, module in sys.modules.items() if _is_torch(name)}
    if loaded and not force:
        raise RuntimeError(
            "PyTorch itself has been imported in this process (torch is in sys.modules), so "
            "'import torch' cannot mean graphc any more. Call graphc.install_as_torch() before "
            "anything imports torch, or with force=True to hide it"
        )
    finder = _Finder()
    finder.hidden = loaded
    for name in loaded:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    return _Installed()


def uninstall_as_torch() -> None:
    """Takes the names ``torch`` and ``torch.x`` away again; what was bound to them stays bound."""
    finder = _installed()
    if finder is None:
        return
    sys.meta_path.remove(finder)
    for name in [name for name in sys.modules if _is_torch(name)]:
        del sys.modules[name]
    sys.modules.update(finder.hidden)
