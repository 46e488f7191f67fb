"""A module's parameters and buffers by name: ``state_dict`` and ``load_state_dict``."""

import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from graphc.modes import no_grad
from graphc.nn.members import Members
from graphc.nn.parameter import Parameter, is_lazy
from graphc.nn.structure import Hooks, RemovableHandle, add_hook
from graphc.tensor import Tensor

if TYPE_CHECKING:
    from graphc.nn.module import Module

EXTRA = "_extra_state"  # the name of what get_extra_state returns


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


_Keys.__name__ = "IncompatibleKeys"  # as it is printed


class IncompatibleKeys(_Keys):
    """What ``load_state_dict(strict=False)`` did not find, and what it found no place for."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


IncompatibleKeys.__name__ = "_IncompatibleKeys"


class Stateful(Members):
    """State in and out by name, and the hooks around that."""

    _version = 1  # of what the module keeps in a state dict
    _state_dict_hooks: Hooks
    _state_dict_pre_hooks: Hooks
    _load_state_dict_pre_hooks: Hooks
    _load_state_dict_post_hooks: Hooks

    # ----------------------------------------------------------------------------------------- out

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """Parameters and persistent buffers by path; detached unless ``keep_vars``."""
        if args:
            warnings.warn(
                "Positional args are being deprecated, use kwargs instead.",
                FutureWarning,
                stacklevel=2,
            )
            destination = args[0] if destination is None else destination
            prefix = args[1] if len(args) > 1 and prefix == "" else prefix
            keep_vars = args[2] if len(args) > 2 and keep_vars is False else keep_vars
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook in self._state_dict_hooks.values():
            changed = hook(self, destination, prefix, metadata)
            if changed is not None:
                if getattr(hook, "_from_public_api", False):
                    raise RuntimeError("state_dict post-hook must return None")
                destination = changed
        return destination

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        """What this module itself adds to a state dict; a subclass may add more."""
        for name, tensor in self._own_state().items():
            kept = keep_vars or is_lazy(tensor)
            destination[prefix + name] = tensor if kept else tensor.detach()
        if type(self).get_extra_state is not Stateful.get_extra_state:
            destination[prefix + EXTRA] = self.get_extra_state()

    def _own_state(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers of the module itself."""
        kept: dict[str, Tensor | None] = {**self._parameters}
        for name, buffer in self._buffers.items():
            if name not in self._non_persistent_buffers_set:
                kept[name] = buffer
        return {name: tensor for name, tensor in kept.items() if tensor is not None}

    def get_extra_state(self) -> Any:
        """Anything else to be kept in the state dict, where a subclass defines it."""
        raise RuntimeError(f"{type(self).__name__} has no extra state")

    def set_extra_state(self, state: Any) -> None:  # noqa: ARG002
        """Takes back what :meth:`get_extra_state` gave, where a subclass defines it."""
        raise RuntimeError(f"{type(self).__name__} has no extra state")

    # ------------------------------------------------------------------------------------------ in

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copies values in by path (``assign`` takes the tensors themselves).

        Raises RuntimeError naming every key that does not fit; without ``strict``, missing and
        unexpected keys are returned instead. Tensors of other shapes are an error either way.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        loading = _Loading(state_dict, assign)
        loading.into(self, loading.state, "")
        found, problems = loading.found, loading.problems
        if strict:
            kinds = (("Unexpected", found.unexpected_keys), ("Missing", found.missing_keys))
            for kind, keys in kinds:
                if keys:
                    names = ", ".join(f'"{key}"' for key in keys)
                    problems.insert(0, f"{kind} key(s) in state_dict: {names}. ")
        if problems:
            text = "\n\t".join(problems)
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{text}"
            )
        return found

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """What this module itself takes from a state dict; a subclass may take more."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(
                state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                error_msgs,
            )  # fmt: skip
        assign = bool(local_metadata.get("assign_to_params_buffers"))
        own = self._own_state()
        for name, target in own.items():
            key = prefix + name
            if key in state_dict:
                problem = self._take(name, target, state_dict[key], key, assign)
                if problem:
                    error_msgs.append(problem)
            elif strict:
                missing_keys.append(key)
        if type(self).set_extra_state is not Stateful.set_extra_state:
            if prefix + EXTRA in state_dict:
                self.set_extra_state(state_dict[prefix + EXTRA])
            elif strict:
                missing_keys.append(prefix + EXTRA)
        elif strict and prefix + EXTRA in state_dict:
            unexpected_keys.append(prefix + EXTRA)
        if not strict:
            return
        for key in state_dict:
            if key.startswith(prefix) and key != prefix + EXTRA:
                first, dot, _ = key[len(prefix) :].partition(".")
                if first not in (self._modules if dot else own):
                    unexpected_keys.append(key)

    def _take(self, name: str, target: Tensor, value: Any, key: str, assign: bool) -> str:
        """Copies, or takes over, one tensor; tells what is wrong with it."""
        if not isinstance(value, Tensor):
            return (
                f'While copying the parameter named "{key}", expected graphc.Tensor or Tensor-like '
                f"object from checkpoint but received {type(value)}"
            )
        if not is_lazy(target):
            if target.shape == () and value.shape == (1,):
                value = value[0]  # scalars of early versions
            if value.shape != target.shape:
                return (
                    f"size mismatch for {key}: copying a param with shape {value.shape} from "
                    f"checkpoint, the shape in current model is {target.shape}."
                )
        try:
            with no_grad():
                if assign:
                    setattr(self, name, _in_place_of(target, value))
                else:
                    target.copy_(value)
        except Exception as error:
            return (
                f'While copying the parameter named "{key}", whose dimensions in the model are '
                f"{target.size()} and whose dimensions in the checkpoint are {value.size()}, an "
                f"exception occurred : {error.args}."
            )
        return ""

    # --------------------------------------------------------------------------------------- hooks

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(module, prefix, keep_vars)`` before :meth:`state_dict` collects."""
        return add_hook(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(module, state_dict, prefix, metadata)`` after; it may change the dict in place."""
        hook._from_public_api = True  # type: ignore[attr-defined]
        return add_hook(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """The same for a hook that may return another dict."""
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError(
                "Cannot register the same function as the state dict post hook that was previously "
                "registered via register_state_dict_post_hook"
            )
        return add_hook(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(module, state_dict, prefix, metadata, strict, missing, unexpected, errors)``
        before the module takes its part."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        bound = functools.partial(hook, self) if with_module else hook
        return add_hook(self._load_state_dict_pre_hooks, bound)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(module, incompatible_keys)`` after the module and those below it are loaded; it
        may change the lists in place."""
        return add_hook(self._load_state_dict_post_hooks, hook)


class _Loading:
    """One call of ``load_state_dict``: what is left to say about it."""

    def __init__(self, state_dict: Mapping[str, Any], assign: bool) -> None:
        self.state = OrderedDict(state_dict)  # hooks may rename keys in it
        self._metadata = getattr(state_dict, "_metadata", None)
        if self._metadata is not None:
            self.state._metadata = self._metadata  # type: ignore[attr-defined]
        self._assign = assign
        self.found = IncompatibleKeys([], [])
        self.problems: list[str] = []

    def into(self, module: "Module | Stateful", state: dict[str, Any], prefix: str) -> None:
        metadata = dict((self._metadata or {}).get(prefix[:-1], {}))
        if self._assign:
            metadata["assign_to_params_buffers"] = True
        module._load_from_state_dict(state, prefix, metadata, True, *self.found, self.problems)
        for name, child in module._modules.items():
            if child is not None:
                inside = f"{prefix}{name}."
                part = {key: value for key, value in state.items() if key.startswith(inside)}
                self.into(child, part, inside)
        for hook in module._load_state_dict_post_hooks.values():
            if hook(module, self.found) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected "
                    "to return new values, if incompatible_keys need to be modified, it should be "
                    "done inplace."
                )


def _in_place_of(target: Tensor, value: Tensor) -> Tensor:
    """What ``assign`` puts where ``target`` was: a Parameter for one."""
    if not isinstance(target, Parameter):
        return value
    if isinstance(value, Parameter):
        return value.requires_grad_(target.requires_grad)
    return Parameter(value, requires_grad=target.requires_grad)  # type: ignore[no-any-return]
