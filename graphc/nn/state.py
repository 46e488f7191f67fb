"""A module's parameters and buffers by name: collected, and copied back in."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from graphc.nn.parameter import Parameter
from graphc.tensor import Tensor

if TYPE_CHECKING:
    from graphc.nn.module import Module

EXTRA = "_extra_state"  # the name of what get_extra_state returns


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class IncompatibleKeys(_Keys):
    """What ``load_state_dict(strict=False)`` did not find, and what it found no place for."""

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


def own_tensors(module: "Module") -> dict[str, Tensor]:
    """Parameters and persistent buffers of the module itself."""
    kept = {name: p for name, p in module._parameters.items() if p is not None}
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers_set:
            kept[name] = buffer  # type: ignore[assignment]
    return kept  # type: ignore[return-value]


def save(module: "Module", destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
    """Puts the module's own tensors into ``destination``."""
    for name, tensor in own_tensors(module).items():
        destination[prefix + name] = tensor if keep_vars else tensor.detach()
    extra = module.get_extra_state()
    if extra is not None:
        destination[prefix + EXTRA] = extra


def load(
    module: "Module",
    state: Mapping[str, Any],
    prefix: str,
    assign: bool,
    missing: list[str],
    unexpected: list[str],
    problems: list[str],
) -> None:
    """Copies the module's own tensors from ``state`` and notes what does not fit."""
    own = own_tensors(module)
    for name, target in own.items():
        key = prefix + name
        if key not in state:
            missing.append(key)
            continue
        value = state[key]
        if not isinstance(value, Tensor):
            problems.append(
                f'While copying the parameter named "{key}", expected graphc.Tensor or '
                f"Tensor-like object from checkpoint but received {type(value)}"
            )
        elif tuple(value.shape) != tuple(target.shape):
            problems.append(
                f"size mismatch for {key}: copying a param with shape {value.shape} from "
                f"checkpoint, the shape in current model is {target.shape}."
            )
        elif assign:
            _assign(module, name, target, value)
        else:
            target.detach().copy_(value)  # type: ignore[attr-defined]
    if prefix + EXTRA in state:
        module.set_extra_state(state[prefix + EXTRA])
    elif module.get_extra_state() is not None:
        missing.append(prefix + EXTRA)
    for key in state:
        if key.startswith(prefix) and key != prefix + EXTRA:
            first, dot, _ = key[len(prefix) :].partition(".")
            if first not in (module._modules if dot else own):
                unexpected.append(key)


def _assign(module: "Module", name: str, target: Tensor, value: Tensor) -> None:
    if isinstance(target, Parameter):
        known = isinstance(value, Parameter)
        made = value if known else Parameter(value, requires_grad=target.requires_grad)
        module.register_parameter(name, made)  # type: ignore[arg-type]
    else:
        module.register_buffer(name, value)


def load_tree(
    module: "Module", state_dict: Mapping[str, Any], strict: bool, assign: bool
) -> IncompatibleKeys:
    """Loads a module and all below it; raises RuntimeError naming every key that does not fit."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    state = OrderedDict(state_dict)  # hooks may rename keys in it
    found = IncompatibleKeys([], [])
    problems: list[str] = []

    def visit(part: "Module", prefix: str) -> None:
        metadata = {"assign_to_params_buffers": assign}
        for hook in part._load_state_dict_pre_hooks.values():
            hook(part, state, prefix, metadata, strict, *found, problems)
        part._load_from_state_dict(state, prefix, metadata, strict, *found, problems)
        for name, child in part._modules.items():
            if child is not None:
                visit(child, f"{prefix}{name}.")
        for hook in part._load_state_dict_post_hooks.values():
            hook(part, found)

    visit(module, "")
    if strict:
        for kind, keys in (("Missing", found.missing_keys), ("Unexpected", found.unexpected_keys)):
            if keys:
                names = ", ".join(f'"{key}"' for key in keys)
                problems.insert(0, f"{kind} key(s) in state_dict: {names}. ")
    if problems:
        text = "\n\t".join(problems)
        raise RuntimeError(f"Error(s) in loading state_dict for {type(module).__name__}:\n\t{text}")
    return found
