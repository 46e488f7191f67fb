"""``Module``: a tree of parameters, buffers and children, as in PyTorch."""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from graphc import tracing
from graphc.nn.conversion import Convertible
from graphc.nn.hooks import any_for_all, call_with_hooks, choose_kind
from graphc.nn.state import IncompatibleKeys, Stateful
from graphc.nn.structure import STRUCTURE, Hooks, Names, RemovableHandle, Table, add_hook
from graphc.tensor import Tensor

__all__ = ["STRUCTURE", "IncompatibleKeys", "Module", "RemovableHandle", "clear_grad"]

M = TypeVar("M", bound="Module")

_TABLES = ("_parameters", "_buffers", "_modules")
_HOOKS = (
    "_backward_pre_hooks",
    "_backward_hooks",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


class Module(Stateful, Convertible):
    """Base class of all networks: parameters and modules are attributes; write ``forward``."""

    call_super_init: ClassVar[bool] = False
    _compiled_call_impl: Callable[..., Any] | None = None
    _is_full_backward_hook: bool | None
    _forward_hooks: Hooks
    _forward_hooks_with_kwargs: Hooks
    _forward_hooks_always_called: Hooks
    _forward_pre_hooks: Hooks
    _forward_pre_hooks_with_kwargs: Hooks
    _backward_pre_hooks: Hooks
    _backward_hooks: Hooks

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init and (args or kwargs):
            name = f"{type(self).__name__}.__init__()"
            if kwargs:
                raise TypeError(f"{name} got an unexpected keyword argument '{next(iter(kwargs))}'")
            raise TypeError(f"{name} takes 1 positional argument but {len(args) + 1} were given")
        own = self.__dict__
        own["training"] = True
        self._make_tables()
        own["_is_full_backward_hook"] = None
        for name in _HOOKS:
            own[name] = Hooks()
        STRUCTURE.version += 1
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    # ------------------------------------------------------------------------------------- calling

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        compiled = self._compiled_call_impl
        if compiled is not None:
            return compiled(*args, **kwargs)
        return self._call_impl(*args, **kwargs)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Makes its calls run compiled from now on; takes what ``graphc.compile`` takes."""
        self._compiled_call_impl = tracing.compile_function(self._call_impl, *args, **kwargs)

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        own = self.__dict__
        if not (
            own["_forward_hooks"]
            or own["_forward_pre_hooks"]
            or own["_backward_hooks"]
            or own["_backward_pre_hooks"]
            or any_for_all()
        ):
            return self.forward(*args, **kwargs)
        return call_with_hooks(self, args, kwargs)

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
        """Turns the recording of all parameters on or off."""
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

    # --------------------------------------------------------------------------------------- hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """``hook(module, args)`` before forward; it may return other arguments.

        With ``with_kwargs`` it is ``hook(module, args, kwargs)`` and may return both.
        """
        noted = (self._forward_pre_hooks_with_kwargs, with_kwargs)
        return add_hook(self._forward_pre_hooks, hook, prepend, noted)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """``hook(module, args, output)`` after forward; it may return another output.

        With ``with_kwargs`` it is ``hook(module, args, kwargs, output)``; with ``always_call`` it
        runs also when forward raised an error.
        """
        return add_hook(
            self._forward_hooks,
            hook,
            prepend,
            (self._forward_hooks_with_kwargs, with_kwargs),
            (self._forward_hooks_always_called, always_call),
        )

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(module, grad_output)`` before the gradients of the module are computed."""
        return add_hook(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(module, grad_input, grad_output)`` when the gradients of the inputs are known.

        It may return other gradients of the inputs. Raises RuntimeError next to hooks of
        :meth:`register_backward_hook`.
        """
        choose_kind(self, True, "on a single Module")
        return add_hook(self._backward_hooks, hook, prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """The older kind of backward hook: it sees the gradients at the last operation only.

        Raises RuntimeError next to full backward hooks.
        """
        choose_kind(self, False, "on a single Module")
        return add_hook(self._backward_hooks, hook)

    # ------------------------------------------------------------------------------------ printing

    def extra_repr(self) -> str:
        """What a subclass adds between the parentheses of its printed form."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [
            f"({name}): {_addindent(repr(module), 2)}" for name, module in self._modules.items()
        ]
        if not children and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        inner = "\n  ".join([*lines, *children])
        return f"{self._get_name()}(\n  {inner}\n)"

    # -------------------------------------------------------------------------------------- copies

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_compiled_call_impl", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        own = self.__dict__
        own.update(state)
        for name in _TABLES:
            if type(own.get(name)) is not Table:
                own[name] = Table(own.get(name, {}))
        for name in _HOOKS:
            if type(own.get(name)) is not Hooks:
                own[name] = Hooks(own.get(name, {}))
        own["_non_persistent_buffers_set"] = Names(own.get("_non_persistent_buffers_set", ()))
        own.setdefault("_is_full_backward_hook", None)
        STRUCTURE.version += 1


def _addindent(text: str, count: int) -> str:
    """The text with all lines but the first indented; empty lines stay empty."""
    first, *rest = text.split("\n")
    return "\n".join([first, *(" " * count + line if line.strip() else "" for line in rest)])


def clear_grad(parameter: Tensor, set_to_none: bool) -> None:
    """Forgets a gradient, or fills it with zeros."""
    if set_to_none:
        parameter.grad = None
    elif parameter.grad is not None:
        g = parameter.grad
        g.detach_()
        g.zero_()  # type: ignore[attr-defined]
