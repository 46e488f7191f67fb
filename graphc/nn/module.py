"""``Module``: a tree of parameters, buffers and children, as in PyTorch."""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from graphc.dtypes import dtype as DType
from graphc.modes import MODES
from graphc.nn import state
from graphc.nn.parameter import Buffer, Parameter
from graphc.tensor import Tensor

M = TypeVar("M", bound="Module")


class _Structure:
    """Counts changes to any module, so that compiled functions know when to look again."""

    version = 0


STRUCTURE = _Structure()


class RemovableHandle:
    """Takes a hook away again with ``remove()``."""

    _ids = itertools.count()

    def __init__(self, hooks: "OrderedDict[int, Any]", hook: Any, prepend: bool = False) -> None:
        self.id = next(self._ids)
        self._hooks = hooks
        hooks[self.id] = hook
        if prepend:
            hooks.move_to_end(self.id, last=False)
        STRUCTURE.version += 1

    def remove(self) -> None:
        self._hooks.pop(self.id, None)
        STRUCTURE.version += 1

    def __enter__(self) -> "RemovableHandle":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.remove()


class Module:
    """Base class of all networks: parameters and modules are attributes; write ``forward``."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: "dict[str, Module | None]"

    def __init__(self) -> None:
        set_ = super().__setattr__
        set_("training", True)
        set_("_parameters", {})
        set_("_buffers", {})
        set_("_non_persistent_buffers_set", set())
        set_("_modules", {})
        set_("_forward_hooks", OrderedDict())
        set_("_forward_pre_hooks", OrderedDict())
        set_("_backward_pre_hooks", OrderedDict())
        set_("_backward_hooks", OrderedDict())
        set_("_state_dict_hooks", OrderedDict())
        set_("_load_state_dict_pre_hooks", OrderedDict())
        set_("_load_state_dict_post_hooks", OrderedDict())
        STRUCTURE.version += 1

    def forward(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        raise TypeError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        own = self.__dict__
        if not (
            own["_forward_hooks"]
            or own["_forward_pre_hooks"]
            or own["_backward_hooks"]
            or own["_backward_pre_hooks"]
        ):
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(args, kwargs)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook, with_kwargs in list(self._forward_pre_hooks.values()):
            changed = hook(self, args, kwargs) if with_kwargs else hook(self, args)
            if changed is not None:
                if with_kwargs:
                    args, kwargs = changed
                else:
                    args = changed if isinstance(changed, tuple) else (changed,)
        if self._backward_hooks or self._backward_pre_hooks:
            from graphc.nn.hooks import watch_backward

            result = watch_backward(self, args, kwargs)
        else:
            result = self.forward(*args, **kwargs)
        for hook, with_kwargs in list(self._forward_hooks.values()):
            changed = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
            if changed is not None:
                result = changed
        return result

    # ------------------------------------------------------------------------------- registration

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if "_parameters" not in own:
            if isinstance(value, (Parameter, Module, Buffer)):
                raise AttributeError(
                    f"cannot assign {type(value).__name__} before Module.__init__() call"
                )
            object.__setattr__(self, name, value)
            return
        if isinstance(value, Parameter):
            self._forget(name, self._parameters)
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name, self._modules)
            self.register_module(name, value)
        elif isinstance(value, Buffer):
            self._forget(name, self._buffers)
            self.register_buffer(name, value, value.persistent)
        elif name in self._parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as parameter '{name}' "
                    "(graphc.nn.Parameter or None expected)"
                )
            self.register_parameter(name, None)
        elif name in self._modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as child module '{name}' "
                    "(graphc.nn.Module or None expected)"
                )
            self._modules[name] = None
            STRUCTURE.version += 1
        elif name in self._buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' object to buffer '{name}' "
                    "(graphc.Tensor or None expected)"
                )
            self._set_tensor(self._buffers, name, value)
        else:
            self._set_tensor(own, name, value)

    def _set_tensor(self, where: dict[str, Any], name: str, value: Any) -> None:
        if where.get(name, STRUCTURE) is value:
            return
        if MODES.trace is not None and isinstance(value, Tensor) and value._traced:
            MODES.trace.set_attribute(where, name, value)
            return
        if where is self.__dict__:
            object.__setattr__(self, name, value)
        else:
            where[name] = value
        STRUCTURE.version += 1

    def _forget(self, name: str, new: dict[str, Any]) -> None:
        """The name is about to belong to ``new``, where it keeps its place if it has one."""
        self.__dict__.pop(name, None)
        for table in (self._parameters, self._buffers, self._modules):
            if table is not new:
                table.pop(name, None)
        self._non_persistent_buffers_set.discard(name)  # type: ignore[has-type]

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
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def _check_name(self, name: str, kind: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter under a name without a dot."""
        self._check_name(name, "parameter")
        if hasattr(self, name) and name not in self._parameters:
            raise KeyError(f"attribute '{name}' already exists")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                "(graphc.nn.Parameter or None required)"
            )
        self._parameters[name] = param
        STRUCTURE.version += 1

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds state that is no parameter; ``persistent=False`` keeps it out of state_dict."""
        self._check_name(name, "buffer")
        if hasattr(self, name) and name not in self._buffers:
            raise KeyError(f"attribute '{name}' already exists")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' "
                "(graphc.Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)
        STRUCTURE.version += 1

    def register_module(self, name: str, module: "Module | None") -> None:
        """Adds a child; the same as :meth:`add_module`."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name(name, "module")
        if hasattr(self, name) and name not in self._modules:
            raise KeyError(f"attribute '{name}' already exists")
        self._modules[name] = module
        STRUCTURE.version += 1

    add_module = register_module

    # ---------------------------------------------------------------------------------- traversal

    def _named_members(
        self,
        members: "Callable[[Module], Mapping[str, Any]]",
        prefix: str,
        recurse: bool,
        remove_duplicate: bool,
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in modules:
            for name, value in members(module).items():
                if value is None or (remove_duplicate and id(value) in seen):
                    continue
                seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        return self._named_members(lambda m: m._parameters, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        for _, value in self.named_parameters(recurse=recurse):
            yield value

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        return self._named_members(lambda m: m._buffers, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        for _, value in self.named_buffers(recurse=recurse):
            yield value

    def named_children(self) -> "Iterator[tuple[str, Module]]":
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> "Iterator[Module]":
        for _, module in self.named_children():
            yield module

    def named_modules(
        self,
        memo: "set[Module] | None" = None,
        prefix: str = "",
        remove_duplicate: bool = True,
    ) -> "Iterator[tuple[str, Module]]":
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)

    def modules(self) -> "Iterator[Module]":
        for _, module in self.named_modules():
            yield module

    def get_submodule(self, target: str) -> "Module":
        module = self
        for name in target.split(".") if target else ():
            found = getattr(module, name, None)
            if not isinstance(found, Module):
                raise AttributeError(f"{type(module).__name__} has no submodule `{name}`")
            module = found
        return module

    def get_parameter(self, target: str) -> Parameter:
        path, _, name = target.rpartition(".")
        found = getattr(self.get_submodule(path), name)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        found = module._buffers[name]
        assert found is not None
        return found

    # --------------------------------------------------------------------------------------- modes

    def train(self: M, mode: bool = True) -> M:
        """Sets training mode here and below (dropout, batch norm)."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: M) -> M:
        """``train(False)``."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the gradients of all parameters."""
        for parameter in self.parameters():
            clear_grad(parameter, set_to_none)

    def apply(self: M, fn: "Callable[[Module], Any]") -> M:
        """Calls ``fn`` on every module, children first."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self: M, fn: Callable[[Tensor], Tensor]) -> M:
        for module in self.children():
            module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is not None:
                parameter.data = fn(parameter.data)  # type: ignore[attr-defined]
                if parameter.grad is not None:
                    parameter.grad = fn(parameter.grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        STRUCTURE.version += 1
        return self

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """Moves parameters and buffers to a device and floating ones to a dtype, in place."""

        def moved(t: Tensor) -> Tensor:
            target = t.to(*args, **kwargs)  # type: ignore[attr-defined]
            if target.dtype is t.dtype or t.dtype.is_floating_point:
                return target  # type: ignore[no-any-return]
            return t.to(device=target.device)  # type: ignore[attr-defined, no-any-return]

        return self._apply(moved)

    def type(self: M, dst_type: DType) -> M:
        return self._apply(lambda t: t.to(dst_type))  # type: ignore[attr-defined]

    def _floating(self: M, name: str) -> M:
        return self._apply(lambda t: getattr(t, name)() if t.dtype.is_floating_point else t)

    def float(self: M) -> M:
        return self._floating("float")

    def double(self: M) -> M:
        return self._floating("double")

    def half(self: M) -> M:
        return self._floating("half")

    def bfloat16(self: M) -> M:
        return self._floating("bfloat16")

    def cpu(self: M) -> M:
        return self._apply(lambda t: t.cpu())  # type: ignore[attr-defined]

    def cuda(self: M, device: Any = None) -> M:
        return self._apply(lambda t: t.cuda(device))  # type: ignore[attr-defined]

    # --------------------------------------------------------------------------------------- state

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> "OrderedDict[str, Any]":
        """Parameters and persistent buffers by name; detached unless ``keep_vars``."""
        found: OrderedDict[str, Any] = OrderedDict() if destination is None else destination
        self._save_to_state_dict(found, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=found, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            changed = hook(self, found, prefix, {})
            if changed is not None:
                found = changed
        return found

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        """What this module itself adds to a state dict; a subclass may add more."""
        state.save(self, destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.IncompatibleKeys:
        """Copies values in by name (``assign`` takes the tensors themselves).

        Raises RuntimeError naming every key that does not fit; without ``strict``, missing and
        unexpected keys are returned instead.
        """
        return state.load_tree(self, state_dict, strict, assign)

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,  # noqa: ARG002
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """What this module itself takes from a state dict; a subclass may take more."""
        assign = bool(local_metadata.get("assign_to_params_buffers"))
        state.load(self, state_dict, prefix, assign, missing_keys, unexpected_keys, error_msgs)

    def get_extra_state(self) -> Any:
        """Anything else to be kept in the state dict; None for nothing."""
        return None

    def set_extra_state(self, state: Any) -> None:  # noqa: ARG002
        """Takes back what :meth:`get_extra_state` gave."""
        raise RuntimeError(f"{type(self).__name__} has extra state to load but no set_extra_state")

    # --------------------------------------------------------------------------------------- hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """``hook(module, args)`` before forward; it may replace the arguments."""
        return RemovableHandle(self._forward_pre_hooks, (hook, with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """``hook(module, args, output)`` after forward; it may replace the output."""
        return RemovableHandle(self._forward_hooks, (hook, with_kwargs), prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(module, grad_output)`` before the gradients of the module are computed."""
        return RemovableHandle(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(module, grad_input, grad_output)`` when the gradients of the inputs are known."""
        return RemovableHandle(self._backward_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        return RemovableHandle(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        return RemovableHandle(self._load_state_dict_pre_hooks, hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(module, incompatible_keys)`` after :meth:`load_state_dict` has copied."""
        return RemovableHandle(self._load_state_dict_post_hooks, hook)

    # ------------------------------------------------------------------------------------ printing

    def extra_repr(self) -> str:
        """What a subclass adds between the parentheses of its printed form."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        children = [
            f"({name}): " + repr(module).replace("\n", "\n  ")
            for name, module in self._modules.items()
        ]
        lines = extra.split("\n") if extra else []
        if not children and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        inner = "\n  ".join([*lines, *children])
        return f"{self._get_name()}(\n  {inner}\n)"

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        STRUCTURE.version += 1


def clear_grad(parameter: Tensor, set_to_none: bool) -> None:
    """Forgets a gradient, or fills it with zeros."""
    if set_to_none:
        parameter.grad = None
    elif parameter.grad is not None:
        g = parameter.grad
        g.detach_()
        g.zero_()  # type: ignore[attr-defined]
