"""The tree that a module is: members by name, what may become one, and the ways through it."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from graphc.functions.typed import typename
from graphc.modes import MODES
from graphc.nn.hooks import BUFFER_REGISTRATION, MODULE_REGISTRATION, PARAMETER_REGISTRATION
from graphc.nn.parameter import Buffer, Parameter
from graphc.nn.structure import STRUCTURE, Hooks, Names, Table
from graphc.tensor import Tensor

if TYPE_CHECKING:
    from graphc.nn.module import Module

_NOTHING: Any = object()


class Members:
    """Parameters, buffers and children of a module, which are its attributes too."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: "dict[str, Module | None]"
    _non_persistent_buffers_set: set[str]

    def _make_tables(self) -> None:
        own = self.__dict__
        own["_parameters"] = Table()
        own["_buffers"] = Table()
        own["_non_persistent_buffers_set"] = Names()
        own["_modules"] = Table()

    # ------------------------------------------------------------------------------- registration

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter, or with None the place for one.

        Raises KeyError for a name that is taken, empty or has a dot, TypeError for anything but a
        Parameter, ValueError for a tensor that was computed from others.
        """
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        _check_name(name, "parameter")
        self._check_free(name, self._parameters)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{typename(param)}' object to parameter '{name}' "
                    "(graphc.nn.Parameter or None required)"
                )
            if param.grad_fn is not None:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must "
                    f"be created explicitly. To express '{name}' as a function of another Tensor, "
                    "compute the value in the forward() method."
                )
            param = self._announced(PARAMETER_REGISTRATION, name, param)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds state that is no parameter; ``persistent=False`` keeps it out of state_dict.

        Raises KeyError for a name that is taken, empty or has a dot, TypeError for anything but a
        tensor or None.
        """
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        _check_name(name, "buffer")
        self._check_free(name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{typename(tensor)}' object to buffer '{name}' "
                "(graphc Tensor or None required)"
            )
        self._buffers[name] = self._announced(BUFFER_REGISTRATION, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: "Module | None") -> None:
        """Adds a child.

        Raises KeyError for a name that is taken, empty or has a dot, TypeError for anything but a
        module or None.
        """
        if module is not None and not isinstance(module, Members):
            raise TypeError(f"{typename(module)} is not a Module subclass")
        if isinstance(name, str):
            self._check_free(name, self._modules)
        _check_name(name, "module", f", got: {name}")
        self._modules[name] = self._announced(MODULE_REGISTRATION, name, module)

    def register_module(self, name: str, module: "Module | None") -> None:
        """The same as :meth:`add_module`."""
        self.add_module(name, module)

    def _check_free(self, name: str, own: Mapping[str, Any]) -> None:
        if hasattr(self, name) and name not in own:
            raise KeyError(f"attribute '{name}' already exists")

    def _announced(self, hooks: Hooks, name: str, value: Any) -> Any:
        """What the global hooks on registration make of a value."""
        for hook in hooks.values():
            changed = hook(self, name, value)
            if changed is not None:
                value = changed
        return value

    # --------------------------------------------------------------------------------- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if "_parameters" not in own:
            kind = _kind(value)
            if kind:
                raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
            object.__setattr__(self, name, value)
        elif isinstance(value, Parameter):
            self._forget(name, self._parameters)
            self.register_parameter(name, value)
        elif name in self._parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as parameter '{name}' "
                    "(graphc.nn.Parameter or None expected)"
                )
            self.register_parameter(name, None)
        elif isinstance(value, Members):
            self._forget(name, self._modules)
            self._modules[name] = self._announced(MODULE_REGISTRATION, name, value)
        elif name in self._modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as child module '{name}' "
                    "(graphc.nn.Module or None expected)"
                )
            self._modules[name] = self._announced(MODULE_REGISTRATION, name, None)
        elif name in self._buffers or isinstance(value, Buffer):
            self._set_buffer(name, value)
        else:
            self._set_tensor(own, name, value)

    def _set_buffer(self, name: str, value: Any) -> None:
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"cannot assign '{typename(value)}' as buffer '{name}' "
                "(graphc.nn.Buffer, graphc.Tensor or None expected)"
            )
        if MODES.trace is not None and value is not None and value._traced:
            MODES.trace.set_attribute(self._buffers, name, value)
            return
        if self._buffers.get(name, _NOTHING) is value:
            return
        persistent = name not in self._non_persistent_buffers_set
        if isinstance(value, Buffer):
            persistent = value.persistent
        known = type(self).register_buffer is Members.register_buffer
        if known or "persistent" in inspect.signature(self.register_buffer).parameters:
            self.register_buffer(name, value, persistent)
        elif persistent:
            self.register_buffer(name, value)
        else:
            raise RuntimeError(
                "Registering a non-persistent buffer on a Module subclass that implements "
                "register_buffer() without the persistent argument is not allowed."
            )

    def _set_tensor(self, where: dict[str, Any], name: str, value: Any) -> None:
        if where.get(name, _NOTHING) is value:
            return
        if MODES.trace is not None and isinstance(value, Tensor) and value._traced:
            MODES.trace.set_attribute(where, name, value)
            return
        object.__setattr__(self, name, value)
        STRUCTURE.version += 1

    def _forget(self, name: str, new: Mapping[str, Any]) -> None:
        """The name is about to belong to ``new``, where it keeps its place if it has one."""
        self.__dict__.pop(name, None)
        for table in (self._parameters, self._buffers, self._modules):
            if table is not new:
                table.pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        for table in ("_parameters", "_buffers", "_modules"):
            if table in own and name in own[table]:
                return own[table][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        STRUCTURE.version += 1
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                if table is self._buffers:
                    self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = [*dir(type(self)), *self.__dict__]
        for table in (self._parameters, self._modules, self._buffers):
            names += table
        return sorted(name for name in names if not name[0].isdigit())

    # ------------------------------------------------------------------------------------- lookup

    def _get_name(self) -> str:
        return type(self).__name__

    def get_submodule(self, target: str) -> "Module":
        """The module at a path like ``"encoder.layers.0"``; of an empty one the module itself.

        Raises AttributeError where nothing, or no module, has that name.
        """
        module: Any = self
        for name in target.split(".") if target else ():
            module = _found(module, name)
            if not isinstance(module, Members):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module  # type: ignore[no-any-return]

    def set_submodule(self, target: str, module: "Module", strict: bool = False) -> None:
        """Puts a module at a path; with ``strict`` only where there is one already.

        Raises ValueError for an empty path or what is no module, AttributeError where the path
        does not lead to modules.
        """
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Members):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if (strict or hasattr(parent, name)) and not isinstance(_found(parent, name), Members):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path. Raises AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        found = _found(self.get_submodule(path), name)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path. Raises AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found = _found(module, name)
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return found  # type: ignore[no-any-return]

    # ---------------------------------------------------------------------------------- traversal

    def _named_members(
        self,
        get_members_fn: "Callable[[Any], Any]",
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules: Any = [(prefix, self)]
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in modules:
            for name, value in get_members_fn(module):
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of the module, and of those below it, each once."""
        for _, value in self.named_parameters(recurse=recurse):
            yield value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """``(path, parameter)`` in the order of registration, own ones first."""
        yield from self._named_members(
            lambda m: m._parameters.items(), prefix, recurse, remove_duplicate
        )

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers of the module, and of those below it, each once."""
        for _, value in self.named_buffers(recurse=recurse):
            yield value

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """``(path, buffer)`` in the order of registration, own ones first."""
        yield from self._named_members(
            lambda m: m._buffers.items(), prefix, recurse, remove_duplicate
        )

    def children(self) -> "Iterator[Module]":
        """The modules right below this one, each once."""
        for _, module in self.named_children():
            yield module

    def named_children(self) -> "Iterator[tuple[str, Module]]":
        """``(name, module)`` right below this one, each module once."""
        seen: set[Any] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def modules(self, remove_duplicate: bool = True) -> "Iterator[Module]":
        """This module and all below it."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_modules(
        self, memo: "set[Any] | None" = None, prefix: str = "", remove_duplicate: bool = True
    ) -> "Iterator[tuple[str, Module]]":
        """``(path, module)`` from this one downwards; those in ``memo`` are left out."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self  # type: ignore[misc]
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)


def _kind(value: Any) -> str:
    """What a value becomes when it is assigned to a module; empty for an ordinary attribute."""
    if isinstance(value, Parameter):
        return "parameters"
    if isinstance(value, Members):
        return "module"
    return "buffer" if isinstance(value, Buffer) else ""


def _check_name(name: Any, kind: str, got: str = "") -> None:
    if not isinstance(name, str):
        raise TypeError(f"{kind} name should be a string. Got {typename(name)}")
    if "." in name:
        raise KeyError(f'{kind} name can\'t contain "."{got}')
    if name == "":
        raise KeyError(f'{kind} name can\'t be empty string ""')


def _found(module: Any, name: str) -> Any:
    if not hasattr(module, name):
        raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
    return getattr(module, name)
