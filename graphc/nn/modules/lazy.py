"""Modules that take their sizes from what they are first called with."""

import itertools
from typing import Any, ClassVar

from graphc.modes import no_grad
from graphc.nn.module import Module
from graphc.nn.parameter import is_lazy
from graphc.nn.structure import RemovableHandle


class LazyModuleMixin(Module):
    """Stands before the class of a module whose sizes are not all known.

    A subclass makes parameters that are uninitialized and gives them their shapes in
    ``initialize_parameters``, which gets the arguments of the first call. After that call the
    module is an ordinary one, of the class ``cls_to_become``.
    """

    cls_to_become: ClassVar[type[Module] | None] = None
    _load_hook: RemovableHandle
    _initialize_hook: RemovableHandle

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)
        self._initialize_hook = self.register_forward_pre_hook(
            self._infer_parameters, with_kwargs=True
        )

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Gives the parameters their shapes. Raises NotImplementedError unless written."""
        raise NotImplementedError(
            f"initialize_parameters is not implemented for {type(self).__name__}"
        )

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of the module itself has no shape yet."""
        return any(map(is_lazy, itertools.chain(self._parameters.values(), self._buffers.values())))

    def _lazy_load_hook(self, state_dict: Any, prefix: str, *_notes: Any) -> None:
        """What is loaded gives shapes, too."""
        for name, tensor in itertools.chain(self._parameters.items(), self._buffers.items()):
            loaded = state_dict.get(prefix + name)
            if is_lazy(tensor) and loaded is not None and not is_lazy(loaded):
                with no_grad():
                    tensor.materialize(loaded.shape)  # type: ignore[union-attr]

    def _infer_parameters(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> None:
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {self._get_name()} has not been fully initialized")
        module._initialize_hook.remove()
        module._load_hook.remove()
        del module._initialize_hook
        del module._load_hook
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become

    def _replicate_for_data_parallel(self) -> Any:
        raise RuntimeError(
            "Modules with uninitialized parameters can't be used with `DataParallel`. Run a dummy "
            "forward pass to correctly initialize the modules"
        )
