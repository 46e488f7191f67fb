"""Hooks that run around ``forward``, of one module or of all; and those on registration."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from graphc.nn.structure import Hooks, RemovableHandle, add_hook

if TYPE_CHECKING:
    from graphc.nn.module import Module

Hook = Callable[..., Any]

BUFFER_REGISTRATION = Hooks()
MODULE_REGISTRATION = Hooks()
PARAMETER_REGISTRATION = Hooks()


class _OfAll:
    """The hooks that all modules have, named as a module names its own."""

    def __init__(self) -> None:
        self._forward_pre_hooks = Hooks()
        self._forward_hooks = Hooks()
        self._forward_hooks_with_kwargs = Hooks()
        self._forward_hooks_always_called = Hooks()
        self._backward_pre_hooks = Hooks()
        self._backward_hooks = Hooks()
        self._is_full_backward_hook: bool | None = None


OF_ALL = _OfAll()
_RUNNING = tuple(
    getattr(OF_ALL, f"_{kind}_hooks")
    for kind in ("forward_pre", "forward", "backward_pre", "backward")
)


def any_for_all() -> bool:
    """Whether there are hooks that run with every module."""
    return any(_RUNNING)


# ----------------------------------------------------------------------------- hooks of all modules


def register_module_buffer_registration_hook(hook: Hook) -> RemovableHandle:
    """``hook(module, name, buffer)`` whenever one is registered; it may return another."""
    return add_hook(BUFFER_REGISTRATION, hook)


def register_module_module_registration_hook(hook: Hook) -> RemovableHandle:
    """``hook(module, name, submodule)`` whenever one is registered; it may return another."""
    return add_hook(MODULE_REGISTRATION, hook)


def register_module_parameter_registration_hook(hook: Hook) -> RemovableHandle:
    """``hook(module, name, parameter)`` whenever one is registered; it may return another."""
    return add_hook(PARAMETER_REGISTRATION, hook)


def register_module_forward_pre_hook(hook: Hook) -> RemovableHandle:
    """``hook(module, args)`` before the forward of every module; it may return other arguments."""
    return add_hook(OF_ALL._forward_pre_hooks, hook)


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """``hook(module, args, output)`` after the forward of every module; it may return another."""
    return add_hook(
        OF_ALL._forward_hooks,
        hook,
        False,
        (OF_ALL._forward_hooks_with_kwargs, with_kwargs),
        (OF_ALL._forward_hooks_always_called, always_call),
    )


def register_module_full_backward_pre_hook(hook: Hook) -> RemovableHandle:
    """``hook(module, grad_output)`` before the gradients of every module are computed."""
    return add_hook(OF_ALL._backward_pre_hooks, hook)


def register_module_full_backward_hook(hook: Hook) -> RemovableHandle:
    """``hook(module, grad_input, grad_output)`` when the gradients of a module's inputs are known.

    Raises RuntimeError next to hooks of the older kind.
    """
    choose_kind(OF_ALL, True, "as a global Module hook")
    return add_hook(OF_ALL._backward_hooks, hook)


def register_module_backward_hook(hook: Hook) -> RemovableHandle:
    """The older kind of backward hook: it sees the gradients at a module's last operation.

    Raises RuntimeError next to full backward hooks.
    """
    choose_kind(OF_ALL, False, "as a global Module hook")
    return add_hook(OF_ALL._backward_hooks, hook)


def choose_kind(holder: Any, full: bool, where: str) -> None:
    """Decides that the backward hooks are full ones, or not. Raises RuntimeError for both."""
    if holder._is_full_backward_hook is (not full):
        raise RuntimeError(
            "Cannot use both regular backward hooks and full backward hooks "
            f"{where}. Please use only one of them."
        )
    holder._is_full_backward_hook = full


# ------------------------------------------------------------------------------------- calling them


def call_with_hooks(module: "Module", args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``module.forward`` with all hooks around it."""
    call = _Call(module, args, kwargs)
    try:
        return call.run()
    except Exception:
        call.after_failure()
        raise


class _Call:
    """One call of a module with hooks."""

    def __init__(self, module: "Module", args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.module, self.args, self.kwargs = module, args, kwargs
        self.result: Any = None
        self._called: set[int] = set()  # of the hooks to be called always

    def run(self) -> Any:
        module = self.module
        self._before()
        full, older = _backward_hooks(module)
        before = [*OF_ALL._backward_pre_hooks.values(), *module._backward_pre_hooks.values()]
        if full or before:
            from graphc.nn.backward_hooks import Watch

            watch = Watch(module, full, before)
            self.args = watch.inputs(self.args)
            self.result = module.forward(*self.args, **self.kwargs)
            self._after()
            self.result = watch.outputs(self.result)
        else:
            self.result = module.forward(*self.args, **self.kwargs)
            self._after()
        if older:
            from graphc.nn.backward_hooks import watch_last_operation

            watch_last_operation(module, older, self.result)
        return self.result

    def _before(self) -> None:
        module = self.module
        hooks = (*OF_ALL._forward_pre_hooks.items(), *module._forward_pre_hooks.items())
        for number, hook in hooks:
            if number in module._forward_pre_hooks_with_kwargs:
                changed = hook(module, self.args, self.kwargs)
                if changed is None:
                    continue
                if not isinstance(changed, tuple) or len(changed) != 2:
                    raise RuntimeError(
                        "forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
                        f"but got {changed}."
                    )
                self.args, self.kwargs = changed
            else:
                changed = hook(module, self.args)
                if changed is not None:
                    self.args = changed if isinstance(changed, tuple) else (changed,)

    def _after(self) -> None:
        module = self.module
        for holder in (OF_ALL, module):
            for number, hook in list(holder._forward_hooks.items()):
                if number in holder._forward_hooks_always_called:
                    self._called.add(number)
                self._run(holder, number, hook)

    def _run(self, holder: Any, number: int, hook: Hook) -> None:
        if number in holder._forward_hooks_with_kwargs:
            changed = hook(self.module, self.args, self.kwargs, self.result)
        else:
            changed = hook(self.module, self.args, self.result)
        if changed is not None:
            self.result = changed

    def after_failure(self) -> None:
        """Runs those hooks that are called always and were not yet."""
        for holder, kind in ((OF_ALL, "global module"), (self.module, "module")):
            for number, hook in list(holder._forward_hooks.items()):
                if number not in holder._forward_hooks_always_called or number in self._called:
                    continue
                try:
                    self._run(holder, number, hook)
                except Exception as error:
                    warnings.warn(
                        f"{kind} forward hook with ``always_call=True`` raised an exception that "
                        f"was silenced as another error was raised in forward: {error}",
                        stacklevel=5,
                    )


def _backward_hooks(module: "Module") -> tuple[list[Hook], list[Hook]]:
    """Full backward hooks, and those of the older kind."""
    full: list[Hook] = []
    older: list[Hook] = []
    for holder in (OF_ALL, module):
        found = full if holder._is_full_backward_hook else older
        found += holder._backward_hooks.values()
    return full, older
