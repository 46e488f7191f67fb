"""Modules as functions of their parameters: ``functional_call`` and ``stack_module_state``."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from graphc.functions.joining import stack
from graphc.nn.module import Module
from graphc.tensor import Tensor

State = Mapping[str, Tensor]


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: "dict[str, Tensor] | Sequence[dict[str, Tensor]]",
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """The module's result with other tensors in the place of its parameters and buffers.

    Names that the dicts lack keep the module's own tensors, unless ``strict``. Tensors that the
    module has under several names are replaced everywhere (``tie_weights``). What the module
    assigns to its buffers ends up in the dicts. Raises ValueError for contradicting values of tied
    tensors or repeated names, RuntimeError in ``strict`` mode for names that do not match.
    """
    dicts = (
        [parameter_and_buffer_dicts]
        if isinstance(parameter_and_buffer_dicts, dict)
        else list(parameter_and_buffer_dicts)
    )
    values: dict[str, Tensor] = {}
    for each in dicts:
        if not isinstance(each, Mapping):
            raise ValueError(
                "Expected all elements of parameter_and_buffer_dicts to be dictionaries, got "
                f"{type(each)}"
            )
        repeated = values.keys() & each.keys()
        if repeated:
            raise ValueError(f"{sorted(repeated)[0]} appears in multiple dictionaries")
        values.update(each)
    if not isinstance(module, Module):
        raise TypeError(f"functional_call takes a Module, not {type(module).__name__}")
    given = () if args is None else args if isinstance(args, tuple) else (args,)
    with _replaced(module, values, tie_weights, strict) as places:
        result = module(*given, **(kwargs or {}))
        now = {name: where.get(key) for name, (where, key) in places.items()}
    for each in dicts:
        for name in each:
            changed = now.get(name)
            if changed is not None and changed is not each[name]:
                each[name] = changed
    return result


_MISSING: Any = object()
Place = tuple[dict[str, Any], str]


def _places(module: Module) -> dict[str, Place]:
    """Where each parameter and buffer is kept: a table and a key."""
    found: dict[str, Place] = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for table in (part._parameters, part._buffers):
            for key, value in table.items():
                if value is not None:
                    found[f"{prefix}.{key}" if prefix else key] = (table, key)
    return found


@contextmanager
def _replaced(
    module: Module, values: State, tie_weights: bool, strict: bool
) -> Iterator[dict[str, Place]]:
    places = _places(module)
    unexpected = [name for name in values if name not in places]
    if strict:
        missing = [name for name in places if name not in values]
        problems = [
            f"{kind} key(s): {', '.join(map(repr, names))}."
            for kind, names in (("Unexpected", unexpected), ("Missing", missing))
            if names
        ]
        if problems:
            raise RuntimeError(
                f"Error(s) in reparametrizing for {type(module).__name__}:\n\t"
                + "\n\t".join(problems)
            )
    for name in unexpected:
        prefix, _, key = name.rpartition(".")
        places[name] = (module.get_submodule(prefix).__dict__, key)
    wanted = _tied(places, values) if tie_weights else dict(values)
    before = [(places[name], places[name][0].get(places[name][1], _MISSING)) for name in wanted]
    try:
        for name, value in wanted.items():
            where, key = places[name]
            where[key] = value
        yield places
    finally:
        for (where, key), value in before:
            if value is _MISSING:
                where.pop(key, None)
            else:
                where[key] = value


def _tied(places: dict[str, Place], values: State) -> dict[str, Tensor]:
    """The values, also under the other names of the same tensors."""
    names: dict[int, list[str]] = {}
    for name, (where, key) in places.items():
        if key in where:
            names.setdefault(id(where[key]), []).append(name)
    wanted = dict(values)
    for together in names.values():
        given = [n for n in together if n in values]
        if not given:
            continue
        if any(values[n] is not values[given[0]] for n in given):
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(given)}, which are tied. "
                "Consider using tie_weights=False"
            )
        wanted.update(dict.fromkeys(together, values[given[0]]))
    return wanted


def stack_module_state(
    models: Sequence[Module],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """``(parameters, buffers)`` of several modules alike, each stacked along a new first dim.

    The parameters are leaves that require gradients where those of the modules do. Raises
    RuntimeError when there is no module, or the modules differ in class or mode.
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not (all(m.training for m in models) or all(not m.training for m in models)):
        raise RuntimeError(
            "stack_module_state: Expected all models to have the same training/eval mode."
        )
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    return (
        {name: _stacked([p[name] for p in parameters], name) for name in parameters[0]},
        {name: _stacked([b[name] for b in buffers], name) for name in buffers[0]},
    )


def _stacked(tensors: list[Tensor], name: str) -> Tensor:
    needs = {t.requires_grad for t in tensors}
    if len(needs) > 1:
        raise RuntimeError(
            f"Expected {name} from each model to have the same .requires_grad. A stack of them "
            "would require gradients for all or none"
        )
    made: Tensor = stack(tensors, 0).detach()
    return made.requires_grad_() if needs == {True} else made
