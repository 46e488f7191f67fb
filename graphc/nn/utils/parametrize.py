"""Parameters that are computed from others: ``module.weight`` is a function of what is trained.

``register_parametrization(module, "weight", f)`` moves the parameter to
``module.parametrizations.weight.original`` and makes ``module.weight`` a property that gives
``f(original)``. Assigning to it goes through ``f.right_inverse``, where there is one.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from graphc.modes import MODES, no_grad
from graphc.nn.module import Module
from graphc.nn.modules.container import ModuleDict, ModuleList
from graphc.nn.parameter import Parameter
from graphc.tensor import Tensor

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]


class _Cache:
    """Values of parametrized tensors while a :func:`cached` is open."""

    depth = 0
    # By module, name and trace; the trace is kept, so that its id stays its own.
    values: dict[tuple[int, str, int], tuple[Any, Tensor]] = {}  # noqa: RUF012 - of the process


@contextmanager
def cached() -> Iterator[None]:
    """Inside, each parametrized tensor is computed once, however often it is read."""
    _Cache.depth += 1
    try:
        yield
    finally:
        _Cache.depth -= 1
        if not _Cache.depth:
            _Cache.values = {}


def _keep(module: Module, name: str, tensor: Any) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _kind(tensor: Tensor) -> dict[str, Any]:
    return {"dtype": tensor.dtype, "shape": tensor.shape}


def _same_kind(made: Tensor, before: dict[str, Any], rule: str, names: tuple[str, str]) -> None:
    """Raises ValueError where a dtype or shape changed; ``rule`` says of what."""
    now = _kind(made)
    for what, old in before.items():
        new = now[what]
        if old != new:
            raise ValueError(
                f"{rule.format(what=what)}\n{names[0]}{what}: {old}\n{names[1]}{what}: {new}"
            )


_REGISTERING = (
    "Registering a parametrization may not change the {what} of the tensor, unless `unsafe` flag "
    "is enabled."
)


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(value).__name__}.")
    return value


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor in order, and what the first one computes from.

    That is ``original``, or ``original0``, ``original1``, ... where its ``right_inverse`` gives
    several tensors. Made by :func:`register_parametrization`.
    """

    def __init__(self, modules: Sequence[Module], original: Any, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        before = _kind(original)
        new = self._inverted(original)
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            if new.dtype is not original.dtype:
                raise ValueError(
                    "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                    f"original.dtype: {original.dtype}\nright_inverse(original).dtype: {new.dtype}"
                )
            if new is not original:
                original.data = new
            _keep(self, "original", original)
        else:
            self._keep_several(new, original)
        if not unsafe:
            made = _tensor(self())
            names = ("unparametrized ", "parametrized ")
            _same_kind(made, before, _REGISTERING, names)

    def _inverted(self, original: Tensor) -> Any:
        """What the parametrizations would have made the tensor from."""
        new: Any = original
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    try:
                        new = module.right_inverse(new)
                    except NotImplementedError:  # it has none in this case
                        continue
        if not isinstance(new, (Tensor, Sequence)):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(new).__name__}"
            )
        return new

    def _keep_several(self, tensors: Sequence[Any], original: Tensor) -> None:
        for i, tensor in enumerate(tensors):
            if not isinstance(tensor, Tensor):
                raise ValueError(
                    "'right_inverse' must return a Tensor or a Sequence of tensors (list, "
                    f"tuple...). Got element {i} of the sequence with type "
                    f"{type(tensor).__name__}."
                )
            kept = tensor
            if isinstance(original, Parameter):
                kept = Parameter(tensor, original.requires_grad)
            kept.requires_grad_(original.requires_grad)
            _keep(self, f"original{i}", kept)

    @no_grad()
    def right_inverse(self, value: Any) -> None:
        """Sets the originals so that the parametrized tensor becomes ``value``.

        Raises RuntimeError where a parametrization has no ``right_inverse``, ValueError where its
        result does not fit the originals.
        """
        for module in reversed(list(self)):
            if not hasattr(module, "right_inverse"):
                raise RuntimeError(
                    f"parametrization {type(module).__name__} does not implement right_inverse."
                )
            value = module.right_inverse(value)
        if self.is_tensor:
            if not isinstance(value, Tensor):
                raise ValueError(
                    f"`right_inverse` should return a tensor. Got {type(value).__name__}"
                )
            self._replace(
                "original", value, "The tensor returned by `right_inverse` has dtype {} while "
                "`original` has dtype {}",
            )  # fmt: skip
            return
        if not isinstance(value, Sequence):
            raise ValueError(
                f"'right_inverse' must return a sequence of tensors. Got {type(value).__name__}."
            )
        if len(value) != self.ntensors:
            raise ValueError(
                f"'right_inverse' must return a sequence of tensors of length {self.ntensors}. "
                f"Got a sequence of length {len(value)}."
            )
        for i, tensor in enumerate(value):
            if not isinstance(tensor, Tensor):
                raise ValueError(
                    f"'right_inverse' must return a sequence of tensors. Got element {i} of type "
                    f"{type(tensor).__name__}"
                )
            self._replace(
                f"original{i}", tensor, f"Tensor {i} returned by `right_inverse` has dtype {{}} "
                f"while `original{i}` has dtype {{}}",
            )  # fmt: skip

    def _replace(self, name: str, value: Tensor, problem: str) -> None:
        original = getattr(self, name)
        if value.dtype is not original.dtype:
            raise ValueError(problem.format(value.dtype, original.dtype))
        if value is not original:
            original.data = value

    def forward(self) -> Any:
        originals = (
            ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]
        )
        first, *others = self
        value = first(*(getattr(self, name) for name in originals))
        for module in others:
            value = module(value)
        return value


# ------------------------------------------------------------------------- the class of the module


def _copied(self: Module, memo: dict[int, Any]) -> Any:
    """A deep copy; made here since pickling, which copying is built on, is refused."""
    made = memo[id(self)] = type(self).__new__(type(self))
    made.__dict__.update({k: copy.deepcopy(v, memo) for k, v in self.__dict__.items()})
    return made


def _not_pickled(self: Module) -> Any:  # noqa: ARG001
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict()."
    )


def _give_own_class(module: Module) -> None:
    """Properties are of classes, so the module gets a class for itself."""
    kind = type(module)
    members = {"__getstate__": _not_pickled, "__module__": kind.__module__}
    if not hasattr(kind, "__deepcopy__"):
        members["__deepcopy__"] = _copied
    module.__class__ = type(f"Parametrized{kind.__name__}", (kind,), members)


def _add_property(module: Module, name: str) -> None:
    def read(self: Module) -> Any:
        parametrizations = self.parametrizations[name]
        if not _Cache.depth:
            return parametrizations()
        key = (id(self), name, id(MODES.trace))
        if key not in _Cache.values:
            _Cache.values[key] = (MODES.trace, parametrizations())
        return _Cache.values[key][1]

    def write(self: Module, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(read, write))


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Makes a parameter or buffer a function of what is kept, and returns the module.

    A second parametrization is applied to the result of the first. ``unsafe`` skips the checks
    that dtype and shape stay the same. Raises ValueError where they do not, and where the module
    has no such tensor.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_further(module, tensor_name, parametrization)
        known = module.parametrizations[tensor_name]
        known.append(parametrization)
        known.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        made = ParametrizationList([parametrization], original, unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _give_own_class(module)
            module.parametrizations = ModuleDict()
        _add_property(module, tensor_name)
        module.parametrizations[tensor_name] = made
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            f"with name '{tensor_name}'"
        )
    return module


def _check_further(module: Module, name: str, parametrization: Any) -> None:
    """What a parametrization of a parametrized tensor has to keep."""
    before = getattr(module, name)
    after = _tensor(parametrization(before))
    names = (f"module.{name}.", f"parametrization(module.{name}).")
    _same_kind(after, _kind(before), _REGISTERING, names)
    if not hasattr(parametrization, "right_inverse"):
        return
    try:
        inverse = parametrization.right_inverse(after)
    except NotImplementedError:
        return
    if not isinstance(inverse, Tensor):
        raise ValueError(
            f"parametrization.right_inverse must return a tensor. Got: {type(inverse).__name__}"
        )
    rule = (
        "The tensor returned by parametrization.right_inverse must have the same {what} "
        f"as module.{name}, unless the `unsafe` flag is enabled."
    )
    _same_kind(inverse, _kind(before), rule, (f"module.{name}.", "returned "))


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a tensor of the module, or any, is parametrized."""
    found = getattr(module, "parametrizations", None)
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Makes the tensor an ordinary one again: as it is computed now, or as what it was made from.

    Raises ValueError where it is not parametrized, and for ``leave_parametrized=False`` where it
    is made from several tensors.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    kept = module.parametrizations[tensor_name]
    if kept.is_tensor:
        original = kept.original
        if leave_parametrized:
            with no_grad():
                original.data = getattr(module, tensor_name)
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        original = Parameter(value.detach()) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _keep(module, tensor_name, original)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that the module had before its first parametrization."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Parametrizes another module in the same way; both then compute from the same originals.

    One tensor, or all. Parameters that the other module lacks are made.
    """
    if not is_parametrized(from_module):
        return to_module
    for name in [tensor_name] if tensor_name is not None else list(from_module.parametrizations):
        parametrizations = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            value = getattr(from_module, name).detach().clone()
            _keep(to_module, name, Parameter(value))
        for each in parametrizations:
            register_parametrization(to_module, name, each, unsafe=parametrizations.unsafe)
        made = to_module.parametrizations[name]
        for key, value in parametrizations._parameters.items():
            setattr(made, key, value)
    return to_module
