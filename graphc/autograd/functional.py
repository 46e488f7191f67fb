"""``autograd.functional``: Jacobians, Hessians and their products with vectors.

Functions take a tensor or a tuple of tensors and give the same. Results are detached unless
``create_graph``. With ``strict`` a result that does not depend on an input raises RuntimeError,
otherwise its derivative is zeros.
"""

from collections.abc import Callable
from typing import Any

from graphc.autograd.backward import grad
from graphc.functions.joining import stack
from graphc.ir import OPS
from graphc.modes import enable_grad
from graphc.tensor import Tensor, apply

Tensors = Tensor | tuple[Tensor, ...]
Function = Callable[..., Any]


# --------------------------------------------------------------------------- arguments and results


def _tuple_of(value: Any, what: str, name: str) -> tuple[bool, tuple[Tensor, ...]]:
    """Whether it was a tuple, and the tuple."""
    if isinstance(value, Tensor):
        return False, (value,)
    if not isinstance(value, tuple):
        raise TypeError(
            f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the "
            f"given {what} has type {type(value)}."
        )
    for i, x in enumerate(value):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the "
                f"value at index {i} of the {what} has type {type(x)}."
            )
    return True, value


def _returned(value: Any, name: str) -> tuple[bool, tuple[Tensor, ...]]:
    try:
        return _tuple_of(value, "outputs", name)
    except TypeError:
        raise TypeError(
            f"The outputs of the user-provided function given to {name} must be either a Tensor or "
            f"a tuple of Tensors but the given outputs of the user-provided function has type "
            f"{type(value)}."
        ) from None


def _entered(inputs: tuple[Tensor, ...], create_graph: bool) -> tuple[Tensor, ...]:
    """Variables to differentiate by; with ``create_graph`` joined to the tape outside."""
    return tuple(
        apply(OPS["reshape"], (x,), {"shape": tuple(x.shape)})
        if create_graph and x.requires_grad
        else x.detach().requires_grad_()
        for x in inputs
    )


def _finished(values: Any, create_graph: bool) -> Any:
    if isinstance(values, tuple):
        return tuple(_finished(v, create_graph) for v in values)
    return values if create_graph else values.detach()


def _unwrapped(values: tuple[Any, ...], is_tuple: bool) -> Any:
    return values if is_tuple else values[0]


def _require_dependence(outputs: tuple[Tensor, ...], strict: bool) -> None:
    for i, y in enumerate(outputs):
        if strict and not y.requires_grad:
            raise RuntimeError(
                f"Output {i} of the user-provided function does not require gradient. The outputs "
                "must be computed in a differentiable manner from the input when running in strict "
                "mode."
            )


def _pulled(
    outputs: tuple[Tensor, ...],
    inputs: tuple[Tensor, ...],
    cotangents: tuple[Tensor | None, ...],
    create_graph: bool,
) -> list[Tensor | None]:
    """The gradients of outputs that may depend on nothing."""
    tracked = [(y, g) for y, g in zip(outputs, cotangents, strict=True) if y.requires_grad]
    if not tracked:
        return [None] * len(inputs)
    return list(
        grad(
            [y for y, _ in tracked],
            inputs,
            [g for _, g in tracked],
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
        )
    )


def _filled(
    found: list[Tensor | None], like: tuple[Tensor, ...], strict: bool, words: str
) -> tuple[Tensor, ...]:
    """Zeros where nothing was found, or an error whose words name the number."""
    for i, g in enumerate(found):
        if g is None and strict:
            raise RuntimeError(words.format(i))
    return tuple(x.detach()._zeros() if g is None else g for g, x in zip(found, like, strict=True))


def _require_graph(values: tuple[Tensor, ...], words: str) -> None:
    for i, g in enumerate(values):
        if not g.requires_grad:
            raise RuntimeError(words.format(i))


def _vector(v: Any, like: tuple[Tensor, ...], is_tuple: bool, name: str) -> tuple[Tensor, ...]:
    """The given vector, of the shapes of ``like``."""
    _, given = _tuple_of(v, "v", name)
    if len(given) != len(like):
        if is_tuple:
            raise RuntimeError(
                f"v is a tuple of invalid length: should be {len(like)} but got {len(given)}."
            )
        raise RuntimeError("The given v should contain a single Tensor.")
    for i, (x, each) in enumerate(zip(like, given, strict=True)):
        if tuple(x.shape) != tuple(each.shape):
            entry = f"Entry {i} in " if is_tuple else ""
            raise RuntimeError(
                f"{entry}v has invalid size: should be {x.shape} but got {each.shape}."
            )
    return given


# -------------------------------------------------------------------------------- vector products


def vjp(
    func: Function,
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """``(func(*inputs), v^T J)``; ``v`` may be left out for a single-element output."""
    with enable_grad():
        nested, given = _tuple_of(inputs, "inputs", "vjp")
        variables = _entered(given, create_graph)
        several, outputs = _returned(func(*variables), "vjp")
        _require_dependence(outputs, strict)
        cotangents = _cotangents(v, outputs, several, "vjp")
        found = _pulled(outputs, variables, cotangents, create_graph)
        made = _filled(
            found, given, strict,
            "Output of the user-provided function is independent of input {}. This is not allowed "
            "in strict mode.",
        )  # fmt: skip
    result = _finished(outputs, create_graph), _finished(made, create_graph)
    return _unwrapped(result[0], several), _unwrapped(result[1], nested)


def _cotangents(
    v: Any, outputs: tuple[Tensor, ...], several: bool, name: str
) -> tuple[Tensor | None, ...]:
    if v is not None:
        return _vector(v, outputs, several, name)
    if len(outputs) != 1 or outputs[0].numel() != 1:
        raise RuntimeError(
            "The vector v can only be None if the user-provided function returns a single Tensor "
            "with a single element."
        )
    return (None,)


def jvp(
    func: Function,
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """``(func(*inputs), J v)``: the pullback is linear in its cotangents, its gradient is J v."""
    with enable_grad():
        nested, given = _tuple_of(inputs, "inputs", "jvp")
        variables = _entered(given, create_graph)
        if v is not None:
            vector: tuple[Tensor | None, ...] = _vector(v, given, nested, "jvp")
        elif len(given) != 1 or given[0].numel() != 1:
            raise RuntimeError(
                "The vector v can only be None if the input to the user-provided function is a "
                "single Tensor with a single element."
            )
        else:
            vector = (given[0].detach()._ones(),)
        several, outputs = _returned(func(*variables), "jvp")
        _require_dependence(outputs, strict)
        dummies = tuple(y.detach()._zeros().requires_grad_() for y in outputs)
        pulled = _pulled(outputs, variables, dummies, True)
        linear = _filled(
            pulled, given, strict,
            "The user-provided function is independent of input {}. This is not allowed in strict "
            "mode.",
        )  # fmt: skip
        found = _pulled(linear, dummies, vector, create_graph)
        made = _filled(
            found, outputs, strict,
            "Output {} of the user-provided function does not depend on the inputs. This is not "
            "allowed in strict mode.",
        )  # fmt: skip
    result = _finished(outputs, create_graph), _finished(made, create_graph)
    return _unwrapped(result[0], several), _unwrapped(result[1], several)


def _gradient_at(
    func: Function, given: tuple[Tensor, ...], create_graph: bool, strict: bool, name: str
) -> tuple[tuple[Tensor, ...], Tensor, tuple[Tensor, ...]]:
    """Variables, the single-element output, and its gradient, which can be differentiated."""
    variables = _entered(given, create_graph)
    several, outputs = _returned(func(*variables), name)
    if several or outputs[0].numel() != 1:
        raise RuntimeError(
            f"The Tensor returned by the function given to {name} should contain a single element"
            if not several
            else f"The function given to {name} should return a single Tensor"
        )
    _require_dependence(outputs, strict)
    found = _pulled(outputs, variables, (None,), True)
    words = "The output of the user-provided function is independent of input {}. This is not "
    first = _filled(found, given, strict, words + "allowed in strict mode.")
    if strict:
        _require_graph(
            first,
            "The gradient of the user-provided function is independent of input {}. This is not "
            "allowed in strict mode.",
        )
    return variables, outputs[0], first


def vhp(
    func: Function,
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Tensor, Any]:
    """``(func(*inputs), v^T H)`` for a function with a single-element result."""
    with enable_grad():
        nested, given = _tuple_of(inputs, "inputs", "vhp")
        vector = _input_vector(v, given, nested, "vhp")
        variables, output, first = _gradient_at(func, given, create_graph, strict, "vhp")
        found = _pulled(first, variables, vector, create_graph)
        made = _filled(
            found, given, strict,
            "The output of the user-provided function's gradient is independent of input {}. This "
            "is not allowed in strict mode.",
        )  # fmt: skip
    return _finished(output, create_graph), _unwrapped(_finished(made, create_graph), nested)


def _input_vector(
    v: Any, given: tuple[Tensor, ...], nested: bool, name: str
) -> tuple[Tensor | None, ...]:
    if v is not None:
        return _vector(v, given, nested, name)
    if len(given) != 1 or given[0].numel() != 1:
        raise RuntimeError(
            "The vector v can only be None if the input to the user-provided function is a single "
            "Tensor with a single element."
        )
    return (None,)


def hvp(
    func: Function,
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Tensor, Any]:
    """``(func(*inputs), H v)`` for a function with a single-element result.

    The Hessian of a twice continuously differentiable function is symmetric, but here its columns
    are taken, by the gradient of the gradient's pullback.
    """
    with enable_grad():
        nested, given = _tuple_of(inputs, "inputs", "hvp")
        vector = _input_vector(v, given, nested, "hvp")
        variables, output, first = _gradient_at(func, given, create_graph, strict, "hvp")
        dummies = tuple(g.detach()._zeros().requires_grad_() for g in first)
        pulled = _pulled(first, variables, dummies, True)
        linear = tuple(
            x.detach()._zeros() if g is None else g for g, x in zip(pulled, given, strict=True)
        )
        found = _pulled(linear, dummies, vector, create_graph)
        made = _filled(
            found, given, strict,
            "The output of the user-provided function's gradient is independent of input {}. This "
            "is not allowed in strict mode.",
        )  # fmt: skip
    return _finished(output, create_graph), _unwrapped(_finished(made, create_graph), nested)


# -------------------------------------------------------------------------- Jacobians and Hessians


def jacobian(
    func: Function,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The derivatives of all outputs by all inputs.

    A tensor of shape output + input; a tuple over the inputs where those are a tuple, in a tuple
    over the outputs where those are. ``vectorize`` computes all rows at once (with
    ``strategy="forward-mode"`` all columns). Raises RuntimeError or NotImplementedError for modes
    that do not go together.
    """
    _check_strategy(strategy, strict, vectorize)
    nested, given = _tuple_of(inputs, "inputs", "jacobian")
    if strategy == "forward-mode":
        return _by_columns(func, given, nested, create_graph)
    with enable_grad():
        variables = _entered(given, create_graph)
        several, outputs = _returned(func(*variables), "jacobian")
        _require_dependence(outputs, strict)
        if vectorize:
            rows = [_all_rows(y, variables, create_graph) for y in outputs]
        else:
            rows = [
                _row_by_row(i, y, variables, create_graph, strict) for i, y in enumerate(outputs)
            ]
    made = tuple(_unwrapped(_finished(row, create_graph), nested) for row in rows)
    return _unwrapped(made, several)


def _check_strategy(strategy: str, strict: bool, vectorize: bool) -> None:
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your '
            'function has more outputs than inputs, "forward-mode" tends to be more performant. '
            'Otherwise, prefer to use "reverse-mode".'
        )
    if strategy == "forward-mode" and not vectorize:
        raise NotImplementedError(
            'torch.autograd.functional.jacobian: `strategy="forward-mode"` needs vectorize=True'
        )
    if strict and vectorize:
        raise RuntimeError("strict=True is not supported together with vectorize=True")


def _row_by_row(
    number: int, y: Tensor, variables: tuple[Tensor, ...], create_graph: bool, strict: bool
) -> tuple[Tensor, ...]:
    flat = apply(OPS["reshape"], (y,), {"shape": (y.numel(),)})
    rows: list[tuple[Tensor, ...]] = []
    for k in range(y.numel()):
        attrs = {"starts": (k,), "stops": (k + 1,), "steps": (1,)}
        entry = apply(OPS["slice"], (flat,), attrs)
        found = _pulled((entry,), variables, (None,), create_graph)
        row = _filled(
            found, variables, strict,
            f"Output {number} of the user-provided function is independent of input {{}}. This is "
            "not allowed in strict mode.",
        )  # fmt: skip
        if strict and create_graph:
            _require_graph(
                row,
                "The jacobian of the user-provided function is independent of input {}. This is "
                "not allowed in strict mode when create_graph=True.",
            )
        rows.append(row)
    return tuple(
        stack([row[i] for row in rows]).reshape((*y.shape, *x.shape)) if rows else _empty(y, x)
        for i, x in enumerate(variables)
    )


def _empty(y: Tensor, x: Tensor) -> Tensor:
    shape = (*tuple(y.shape), *tuple(x.shape))
    return apply(
        OPS["full"], (), {"value": 0, "shape": shape, "dtype": x.dtype, "device": x.device}
    )


def _all_rows(y: Tensor, variables: tuple[Tensor, ...], create_graph: bool) -> tuple[Tensor, ...]:
    from graphc.func.jacobians import unit_vectors
    from graphc.func.mapping import vmap

    if not y.requires_grad or not y.numel():
        return tuple(_empty(y, x) for x in variables)

    def one(cotangent: Tensor) -> tuple[Tensor, ...]:
        found = _pulled((y,), variables, (cotangent,), create_graph)
        return tuple(x._zeros() if g is None else g for g, x in zip(found, variables, strict=True))

    (basis,) = unit_vectors([y])
    return tuple(
        rows.reshape((*y.shape, *x.shape))
        for rows, x in zip(vmap(one)(basis), variables, strict=True)
    )


def _by_columns(func: Function, given: tuple[Tensor, ...], nested: bool, create_graph: bool) -> Any:
    from graphc.func.jacobians import jacfwd

    numbers = tuple(range(len(given))) if nested else 0
    inputs = given if create_graph else tuple(x.detach() for x in given)
    return _finished(jacfwd(func, numbers)(*inputs), create_graph)


def hessian(
    func: Function,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a function with a single-element result.

    A tensor of shape input + input, or a tuple of tuples of them where the inputs are a tuple.
    """
    nested, given = _tuple_of(inputs, "inputs", "hessian")

    def single(*values: Tensor) -> Tensor:
        several, outputs = _returned(func(*values), "hessian")
        if several or outputs[0].numel() != 1:
            raise RuntimeError(
                "The Tensor returned by the function given to hessian should contain a single "
                "element"
                if not several
                else "The function given to hessian should return a single Tensor"
            )
        return apply(OPS["reshape"], (outputs[0],), {"shape": ()})

    def gradient(*values: Tensor) -> Any:
        rows = jacobian(single, values, create_graph=True, strict=strict)
        if strict:
            _require_graph(
                rows,
                "The hessian of the user-provided function is independent of input {}. This is not "
                "allowed in strict mode.",
            )
        return rows

    found = jacobian(
        gradient, given, create_graph=create_graph, strict=strict, vectorize=vectorize,
        strategy=outer_jacobian_strategy,
    )  # fmt: skip
    return found if nested else found[0][0]
