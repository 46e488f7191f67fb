"""The base of all optimizers: groups of parameters, state for each, hooks, and saving it all."""

import functools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from itertools import chain
from typing import Any

from graphc import dtypes
from graphc.functions.typed import typename
from graphc.modes import MODES
from graphc.nn.module import clear_grad
from graphc.nn.structure import Hooks, RemovableHandle, add_hook
from graphc.optim.group import ParamGroup
from graphc.tensor import Tensor

Closure = Callable[[], Any]
_PRE_HOOKS = Hooks()
_POST_HOOKS = Hooks()
_HOOKS = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)


class _RequiredParameter:
    """The default of a hyperparameter that has none."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _RequiredParameter()


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """``hook(optimizer, args, kwargs)`` before each step of every optimizer."""
    return add_hook(_PRE_HOOKS, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """``hook(optimizer, args, kwargs)`` after each step of every optimizer."""
    return add_hook(_POST_HOOKS, hook)


class Optimizer:
    """Holds parameter groups and their state; subclasses write :meth:`step`.

    ``params`` are tensors, pairs of name and tensor, or dicts with "params" and hyperparameters of
    their own; ``defaults`` are the hyperparameters of groups that have none. ``state[p]`` is a dict
    for whatever a subclass remembers about a parameter. Raises TypeError and ValueError for what
    cannot be optimized.
    """

    param_groups: list[dict[str, Any]]
    state: "defaultdict[Any, Any]"
    _stepping = False  # a step called within one (by super) has its hooks run already
    _opt_called = False  # since the first schedule was made: it looks whether it comes too early
    _traced = False  # a compiled step does not come by here again

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        for name in _HOOKS:
            setattr(self, name, Hooks())
        self._patch_step_function()
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or "
                "dicts, but got " + typename(params)
            )
        self.state = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # -------------------------------------------------------------------------------------- groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters with their own hyperparameters; what is missing is the default.

        Raises TypeError and ValueError for what cannot be optimized, names that only some
        parameters have, and parameters that are in another group already.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        given = param_group["params"]
        if isinstance(given, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        entries = [given] if isinstance(given, Tensor) else list(given)
        names = [entry[0] for entry in entries if isinstance(entry, tuple)]
        params = [entry[1] if isinstance(entry, tuple) else entry for entry in entries]
        param_group["params"] = params
        if names:
            if len(names) != len(params):
                raise ValueError(
                    "all optimizer params should be with/without names. Some param names are "
                    "missing"
                )
            param_group["param_names"] = names
        self._check_params(params)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter "
                    f"{name}"
                )
            param_group.setdefault(name, default)
        self._check_groups(param_group)
        self.param_groups.append(ParamGroup(param_group))

    def _check_params(self, params: list[Any]) -> None:
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    "optimizer can only optimize Tensors, but one of the params is " + typename(p)
                )
            if not self.defaults.get("differentiable") and not (p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        if len({id(p) for p in params}) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this "
                "will cause an error",
                stacklevel=4,
            )

    def _check_groups(self, param_group: dict[str, Any]) -> None:
        named = "param_names" in param_group
        known: set[int] = set()
        for group in self.param_groups:
            known.update(map(id, group["params"]))
            if named is not ("param_names" in group):
                raise ValueError(
                    "all optimizer param groups should be with/without names. cannot add param "
                    f"group {'with' if named else 'without'} names to the optimizer"
                )
        if not known.isdisjoint(map(id, param_group["params"])):
            raise ValueError("some parameters appear in more than one parameter group")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets all gradients, or fills them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                clear_grad(p, set_to_none)

    # ---------------------------------------------------------------------------------------- step

    def step(self, closure: Closure | None = None) -> Any:
        """One update from the gradients; ``closure`` recomputes the loss, which is returned."""
        raise NotImplementedError

    def _patch_step_function(self) -> None:
        cls = type(self)
        if not getattr(cls.step, "hooked", False):
            cls.step = self.profile_hook_step(cls.step)  # type: ignore[method-assign]

    @staticmethod
    def profile_hook_step(function: Callable[..., Any]) -> Callable[..., Any]:
        """A ``step`` that runs the hooks of its optimizer before and after."""

        @functools.wraps(function)
        def step(*args: Any, **kwargs: Any) -> Any:
            return args[0]._step_with_hooks(function, args, kwargs)

        step.hooked = True  # type: ignore[attr-defined]
        return step

    def _step_with_hooks(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        self._opt_called = True
        self._traced = self._traced or MODES.trace is not None
        if self._stepping:
            return function(*args, **kwargs)
        self._stepping = True
        try:
            for hook in _hooks(_PRE_HOOKS, self._optimizer_step_pre_hooks):
                changed = hook(self, args, kwargs)
                if isinstance(changed, tuple) and len(changed) == 2:
                    args, kwargs = changed
                elif changed is not None:
                    raise RuntimeError(
                        f"{function} must return None or a tuple of (new_args, new_kwargs), but "
                        f"got {changed}."
                    )
            result = function(*args, **kwargs)
            for hook in _hooks(self._optimizer_step_post_hooks, _POST_HOOKS):
                hook(self, args, kwargs)
            return result
        finally:
            self._stepping = False

    # --------------------------------------------------------------------------------------- hooks

    _optimizer_step_pre_hooks: Hooks
    _optimizer_step_post_hooks: Hooks
    _optimizer_state_dict_pre_hooks: Hooks
    _optimizer_state_dict_post_hooks: Hooks
    _optimizer_load_state_dict_pre_hooks: Hooks
    _optimizer_load_state_dict_post_hooks: Hooks

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(optimizer, args, kwargs)`` before each step; may return new (args, kwargs)."""
        return add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(optimizer, args, kwargs)`` after each step."""
        return add_hook(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(optimizer)`` before :meth:`state_dict`."""
        return add_hook(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(optimizer, state_dict)`` after :meth:`state_dict`; may return another."""
        return add_hook(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(optimizer, state_dict)`` before loading; may return another state_dict."""
        return add_hook(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """``hook(optimizer)`` after loading."""
        return add_hook(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    # ---------------------------------------------------------------------------------------- save

    def state_dict(self) -> dict[str, Any]:
        """State and groups in PyTorch's format: parameters are numbered in order."""
        for hook in _hooks(self._optimizer_state_dict_pre_hooks):
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        start = 0
        for group in self.param_groups:
            for i, p in enumerate(group["params"], start):
                numbers.setdefault(id(p), i)
            start += len(group["params"])
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {
            numbers[id(p)] if isinstance(p, Tensor) else p: _shown(values)
            for p, values in self.state.items()
        }
        result: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in _hooks(self._optimizer_state_dict_post_hooks):
            changed = hook(self, result)
            result = result if changed is None else changed
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over a :meth:`state_dict`: tensors in the dtypes of their parameters.

        Tensors that fit already are taken themselves, as PyTorch does; pass a deep copy to keep
        them. Raises ValueError when there are other groups, or groups of another size.
        """
        state_dict = state_dict.copy()
        for hook in _hooks(self._optimizer_load_state_dict_pre_hooks):
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        saved = deepcopy(state_dict["param_groups"])
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        for old, new in zip(self.param_groups, saved, strict=True):
            if len(old["params"]) != len(new["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    "optimizer's group"
                )
        numbers = chain.from_iterable(group["params"] for group in saved)
        params = chain.from_iterable(group["params"] for group in self.param_groups)
        by_number = dict(zip(numbers, params, strict=True))
        in_float32 = {
            number
            for group in saved
            if group.get("capturable") or group.get("fused")
            for number in group["params"]
        }
        state: defaultdict[Any, Any] = defaultdict(dict)
        for number, values in state_dict["state"].items():
            p = by_number.get(number)
            if p is None:
                state[number] = values
            else:
                state[p] = _fitted(values, p, number in in_float32)
        for old, new in zip(self.param_groups, saved, strict=True):
            new["params"] = old["params"]
            if "param_names" in old:
                new.setdefault("param_names", old["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in _hooks(self._optimizer_load_state_dict_post_hooks):
            hook(self)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults, "state": self.state, "param_groups": self.param_groups
        }  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name in _HOOKS:
            self.__dict__.setdefault(name, Hooks())
        self.param_groups = [
            group if isinstance(group, ParamGroup) else ParamGroup(group)
            for group in self.param_groups
        ]
        self._patch_step_function()
        self.defaults.setdefault("differentiable", False)

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            for key in sorted(group):
                if key != "params":
                    text += f"    {key}: {group[key]}\n"
        return text + ")"


def _hooks(*tables: Hooks) -> Iterator[Callable[..., Any]]:
    """The hooks as they are now: one may take itself away."""
    return chain.from_iterable(list(table.values()) for table in tables)


def _shown(values: Any) -> Any:
    """State without the entries that only graphc keeps."""
    if isinstance(values, dict) and any(str(name).startswith("_") for name in values):
        return {name: v for name, v in values.items() if not str(name).startswith("_")}
    return values


def _fitted(value: Any, p: Tensor, in_float32: bool, name: Any = None) -> Any:
    """Loaded state in the dtype of its parameter, except for counts of steps."""
    if isinstance(value, Tensor):
        if name == "step":
            return value.to(dtypes.float32) if in_float32 else value  # type: ignore[attr-defined]
        return value.to(p.dtype) if p.is_floating_point() else value  # type: ignore[attr-defined]
    if isinstance(value, dict):
        return {k: _fitted(v, p, in_float32, k) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return type(value)(_fitted(v, p, in_float32) for v in value)  # type: ignore[call-arg]
    return value
