"""The base of all optimizers: groups of parameters, state for each, and saving both.

A ``step`` is a plain sequence of in-place tensor operations, so it runs eagerly and inside a
compiled function alike. Two things keep it compilable. Hyperparameters named in
``runtime_numbers`` are read with :meth:`Optimizer.number`, which inside a trace gives an input of
the program; they may be computed with, but never tested. State is created with
:meth:`Optimizer.create`, outside of the trace, since it outlives the step.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from graphc.functions.creation import full, zeros_like
from graphc.modes import MODES
from graphc.nn.module import clear_grad
from graphc.tensor import Tensor
from graphc.tracing import runtime_number, suspended

Closure = Callable[[], Any]


class _Required:
    """The default of a hyperparameter that has none."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class HookHandle:
    """Takes a hook of an optimizer away again with ``remove()``."""

    _next = 0

    def __init__(self, hooks: "OrderedDict[int, Any]", hook: Callable[..., Any]) -> None:
        HookHandle._next += 1
        self.id = HookHandle._next
        self._hooks = hooks
        hooks[self.id] = hook

    def remove(self) -> None:
        self._hooks.pop(self.id, None)


class Optimizer:
    """Holds parameter groups and state; subclasses write :meth:`update`.

    ``params`` are tensors, pairs of name and tensor, or dicts with "params" and hyperparameters of
    their own. Raises TypeError and ValueError for what cannot be optimized.
    """

    runtime_numbers: frozenset[str] = frozenset()
    param_groups: list[dict[str, Any]]
    state: dict[Any, dict[str, Any]]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups = []
        self.state = defaultdict(dict)
        self._step_pre_hooks: OrderedDict[int, Any] = OrderedDict()
        self._step_post_hooks: OrderedDict[int, Any] = OrderedDict()
        self.steps = 0  # how often step ran eagerly or was traced; schedulers look at it
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                "but got graphc.Tensor"
            )
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # -------------------------------------------------------------------------------------- groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters with their own hyperparameters; what is missing is the default."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        given = param_group["params"]
        if isinstance(given, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        params = [given] if isinstance(given, Tensor) else list(given)
        names = [p[0] for p in params if isinstance(p, tuple)]
        params = [p[1] if isinstance(p, tuple) else p for p in params]
        group = {**param_group, "params": params}
        if names:
            if len(names) != len(params):
                raise ValueError("all optimizer params should be with/without names")
            group["param_names"] = names
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is "
                                f"{type(p).__name__}")  # fmt: skip
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(
                    f"parameter group didn't specify a value of required optimization parameter "
                    f"{name}"
                )
            group.setdefault(name, default)
        if len({id(p) for p in params}) != len(params):
            raise ValueError("some parameters appear twice in one parameter group")
        known = {id(p) for g in self.param_groups for p in g["params"]}
        if not known.isdisjoint(id(p) for p in params):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets all gradients, or fills them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                clear_grad(p, set_to_none)

    # ---------------------------------------------------------------------------------------- step

    def step(self, closure: Closure | None = None) -> Any:
        """One update from the gradients; ``closure`` recomputes the loss, which is returned."""
        for hook in list(self._step_pre_hooks.values()):
            changed = hook(self, (closure,), {})
            if changed is not None:
                (closure,), _ = changed
        loss = None
        recorded = MODES.grad
        try:
            if closure is not None:
                MODES.grad = True
                loss = closure()
            MODES.grad = False
            for group in self.param_groups:
                self.update(group)
        finally:
            MODES.grad = recorded
        self.steps += 1
        for hook in list(self._step_post_hooks.values()):
            hook(self, (closure,), {})
        return loss

    def update(self, group: dict[str, Any]) -> None:  # noqa: ARG002
        """Updates the parameters of one group in place; gradients are not being recorded."""
        raise TypeError(f"{type(self).__name__} is missing the required 'update' function")

    def with_gradients(self, group: dict[str, Any]) -> Iterable[tuple[Any, Any]]:
        """The parameters of a group that have a gradient, each with it."""
        for p in group["params"]:
            grad = p.grad
            if grad is not None:
                yield p, grad

    def number(self, group: dict[str, Any], name: str) -> Any:
        """A hyperparameter: a float, or inside a trace an input that is read at every call."""
        return runtime_number(group, name, name)

    def create(self, p: Tensor, **entries: Any) -> dict[str, Any]:
        """The state of a parameter; what is missing is made: a float a float32 number, None zeros.

        Names that begin with an underscore stay out of :meth:`state_dict`.
        State lives longer than a trace, so it is made outside of the active one.
        """
        state = self.state[p]
        for name, value in entries.items():
            if name in state:
                continue
            with suspended():
                made = zeros_like(p) if value is None else value
                if isinstance(made, float):
                    made = full((), made)
            state[name] = made
            if MODES.trace is not None:
                stem = MODES.trace.names.get(id(p), "parameter")
                MODES.trace.names[id(made)] = f"{stem}.{name}"
        return state

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """``hook(optimizer, args, kwargs)`` before each step."""
        return HookHandle(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """``hook(optimizer, args, kwargs)`` after each step."""
        return HookHandle(self._step_post_hooks, hook)

    # ---------------------------------------------------------------------------------------- save

    def state_dict(self) -> dict[str, Any]:
        """State and groups in PyTorch's format: parameters are numbered in order."""
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {
            numbers[id(p)] if isinstance(p, Tensor) else p: {
                name: value for name, value in values.items() if not name.startswith("_")
            }
            for p, values in self.state.items()
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over copies of a :meth:`state_dict`; floating state in the parameters' dtype."""
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        for old, new in zip(self.param_groups, saved, strict=True):
            if len(old["params"]) != len(new["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    "optimizer's group"
                )
        numbers = [n for group in saved for n in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        by_number = dict(zip(numbers, params, strict=True))
        self.state = defaultdict(dict)
        for number, values in state_dict["state"].items():
            p = by_number.get(number)
            if p is None:
                self.state[number] = deepcopy(values)
            else:
                self.state[p] = {k: _fitted(k, deepcopy(v), p) for k, v in values.items()}
        self.param_groups = [
            {**deepcopy(new), "params": old["params"]}
            for old, new in zip(self.param_groups, saved, strict=True)
        ]

    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults, "state": self.state, "param_groups": self.param_groups
        }  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._step_pre_hooks = OrderedDict()
        self._step_post_hooks = OrderedDict()
        self.steps = 0

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            for key in sorted(group):
                if key != "params":
                    text += f"    {key}: {group[key]}\n"
        return text + ")"


def _fitted(name: str, value: Any, p: Tensor) -> Any:
    """Loaded state in the parameter's dtype, except for counts of steps."""
    if isinstance(value, Tensor) and name != "step" and value.dtype.is_floating_point:
        return value.to(p.dtype)  # type: ignore[attr-defined]
    return value


def check(condition: bool, what: str, value: Any) -> None:
    """Raises ValueError for a hyperparameter outside its range."""
    if not condition:
        raise ValueError(f"Invalid {what}: {value}")
