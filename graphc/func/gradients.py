"""Gradients as functions: ``grad``, ``vjp``, ``jvp``, ``linearize`` and what is made of them.

Each takes a function and gives tensors that are as differentiable as what went in. So they nest,
work inside ``vmap`` and ``graphc.compile``, and take no notice of ``.grad`` or ``requires_grad``.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

from graphc.autograd.backward import grad as tape_grad
from graphc.ir import OPS, topological
from graphc.modes import MODES, enable_grad
from graphc.tape import OUTER, TapeNode
from graphc.tensor import Tensor, apply
from graphc.trees import flatten, unflatten

ArgNums = int | tuple[int, ...]
Function = Callable[..., Any]


# ------------------------------------------------------------------- entering and leaving a level


def entered(tensor: Tensor) -> Tensor:
    """The tensor as a variable to differentiate by: tracked, and joined to the tape outside."""
    if not tensor.dtype.is_floating_point:
        raise RuntimeError(
            f"a gradient needs floating point inputs, but got a tensor of dtype {tensor.dtype}"
        )
    if MODES.grad and tensor.requires_grad:
        return apply(OPS["reshape"], (tensor,), {"shape": tuple(tensor.shape)})
    return tensor.detach().requires_grad_()


def _enter(value: Any) -> tuple[Any, list[Tensor]]:
    """A nest with its tensors entered, and those."""
    leaves, tree = flatten(value)
    made = [entered(x) if isinstance(x, Tensor) else x for x in leaves]
    return unflatten(tree, made), [x for x in made if isinstance(x, Tensor)]


def followed_outside(tensors: Iterable[Tensor], own: Iterable[Tensor]) -> bool:
    """Whether somebody outside of this level may ask for gradients of these tensors.

    That is so when their tape ends not only at the level's ``own`` variables.
    """
    ends = {t._here()._tape_node() for t in own}
    starts = [t._here()._tape_node() for t in tensors if t.requires_grad]
    for node in topological(starts):
        if not isinstance(node, TapeNode) or node in ends or not node.requires:
            continue
        if node.tensor is not None or (node.op is OUTER and not node.inputs):
            return True
    return False


def _left(value: Any, own: list[Tensor], recorded: bool) -> Any:
    """Results of a level without the tape that only the level has."""
    leaves, tree = flatten(value)
    return unflatten(
        tree,
        [
            x.detach()
            if isinstance(x, Tensor)
            and x.requires_grad
            and not (recorded and followed_outside([x], own))
            else x
            for x in leaves
        ],
    )


# ----------------------------------------------------------------------------- grad and its value


def chosen_arguments(argnums: ArgNums, args: tuple[Any, ...], what: str) -> tuple[int, ...]:
    """The numbers of the arguments to differentiate by, from the front."""
    given = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for n in given:
        if not isinstance(n, int):
            raise RuntimeError(f"argnums must be int or tuple of ints, got {type(n)}")
        if not -len(args) <= n < len(args):
            raise RuntimeError(f"Got argnum={n}, but only {len(args)} positional inputs ({what})")
    numbers = tuple(n % len(args) for n in given)
    if len(set(numbers)) != len(numbers):
        raise RuntimeError(f"argnums elements must be unique, got {given}")
    return numbers


def grad_and_value(func: Function, argnums: ArgNums = 0, has_aux: bool = False) -> Function:
    """A function that gives ``(gradient, value)`` of ``func``, whose result is a scalar.

    ``argnums`` chooses the arguments, which may be nests of tensors; with ``has_aux`` the function
    returns ``(value, aux)`` and so does the second part here. Raises RuntimeError when the result
    is no scalar tensor.
    """

    @functools.wraps(func, updated=())
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        recorded = MODES.grad
        numbers = chosen_arguments(argnums, args, "grad")
        inputs, variables, nests = _variables(args, numbers)
        with enable_grad():
            result = func(*inputs, **kwargs)
            output, aux = _split(result, has_aux, "grad_and_value(f)(*args)")
            _require_scalar(output)
            outside = recorded and followed_outside([output], variables)
            found: list[Any] = [None] * len(variables)
            if output.requires_grad and variables:
                found = list(tape_grad(output, variables, create_graph=outside, allow_unused=True))
        grads = [g if g is not None else x.detach()._zeros() for g, x in _pairs(found, variables)]
        parts = _by_argument(grads, nests)
        gradient = parts[0] if isinstance(argnums, int) else tuple(parts)
        gradient, output, aux = _left((gradient, output, aux), variables, recorded)
        return gradient, (output, aux) if has_aux else output

    return wrapped


def grad(func: Function, argnums: ArgNums = 0, has_aux: bool = False) -> Function:
    """A function that gives the gradient of ``func``, whose result is a scalar.

    With ``has_aux`` the function returns ``(value, aux)``, and the new one ``(gradient, aux)``.
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func, updated=())
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


def _pairs(found: list[Any], variables: list[Tensor]) -> Iterable[tuple[Any, Tensor]]:
    return zip(found, variables, strict=True)


def _variables(
    args: tuple[Any, ...], numbers: tuple[int, ...]
) -> tuple[list[Any], list[Tensor], list[tuple[Any, Any]]]:
    """Arguments with the chosen ones entered, the variables, and how they were nested."""
    inputs = list(args)
    variables: list[Tensor] = []
    nests = []
    for n in numbers:
        leaves, tree = flatten(args[n])
        for x in leaves:
            if not isinstance(x, Tensor):
                raise ValueError(
                    f"expected the arguments to differentiate by to be tensors, got {type(x)} in "
                    f"argument {n}"
                )
        inputs[n], made = _enter(args[n])
        variables += made
        nests.append((tree, len(made)))
    return inputs, variables, nests


def _by_argument(grads: list[Any], nests: list[tuple[Any, Any]]) -> list[Any]:
    parts, start = [], 0
    for tree, count in nests:
        parts.append(unflatten(tree, grads[start : start + count]))
        start += count
    return parts


def _split(result: Any, has_aux: bool, what: str) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(
            f"{what}: output of function f should be a tuple: (output, aux) if has_aux is True"
        )
    return result


def _require_scalar(output: Any) -> None:
    if not isinstance(output, Tensor):
        raise RuntimeError(
            "Expected f(*args) to return a tensor, got type "
            f"{type(output)} (grad takes functions that return one scalar)"
        )
    if output.ndim != 0:
        raise RuntimeError(
            "grad_and_value(f)(*args): Expected f(*args) to return a scalar tensor, got tensor "
            f"with {output.ndim} dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
        )


# ----------------------------------------------------------------------------------- vjp and jvp


def tensors_of(value: Any, what: str) -> tuple[list[Tensor], Any]:
    leaves, tree = flatten(value)
    for x in leaves:
        if not isinstance(x, Tensor):
            raise RuntimeError(f"{what}, got {type(x)}")
    if not leaves:
        raise RuntimeError(f"{what}, but there is none")
    return leaves, tree


def vjp(func: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """``(func(*primals), pull)``; ``pull(cotangents)`` gives a cotangent for every primal.

    ``pull`` gives a tuple, one entry for each primal; it can be called again.
    With ``has_aux`` the function returns ``(result, aux)`` and there is a third part, aux.
    """
    recorded = MODES.grad
    if not primals:
        raise RuntimeError("vjp(f, *primals): Expected at least one primal")
    inputs, variables, nests = _variables(primals, tuple(range(len(primals))))
    with enable_grad():
        result, aux = _split(func(*inputs), has_aux, "vjp(f, *primals)")
    outputs, tree = tensors_of(result, "vjp(f, *primals): Expected f to return tensors")

    def pull(*cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        del retain_graph  # as long as the function is kept, so is what it needs
        given = cotangents[0] if len(cotangents) == 1 else tuple(cotangents)
        leaves, its_tree = flatten(given)
        if its_tree != tree:
            raise RuntimeError(
                f"Expected pytree structure of cotangents to be the same as pytree structure of "
                f"outputs to the function. cotangents: {len(leaves)} tensors, primal output: "
                f"{len(outputs)} tensors"
            )
        with_grad = MODES.grad if create_graph is None else create_graph
        tracked = [(y, g) for y, g in zip(outputs, leaves, strict=True) if y.requires_grad]
        outside = with_grad and (
            any(g.requires_grad for g in leaves) or followed_outside(outputs, variables)
        )
        found: list[Any] = [None] * len(variables)
        if tracked:
            with enable_grad():
                found = list(
                    tape_grad(
                        [y for y, _ in tracked],
                        variables,
                        [g for _, g in tracked],
                        retain_graph=True,
                        create_graph=outside,
                        allow_unused=True,
                    )
                )
        grads = [
            x.detach()._zeros() if g is None else _left(g, variables, with_grad)
            for g, x in _pairs(found, variables)
        ]
        return tuple(_by_argument(grads, nests))

    result, aux = _left((result, aux), variables, recorded)
    return (result, pull, aux) if has_aux else (result, pull)


def jvp(
    func: Function, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> tuple[Any, ...]:
    """``(func(*primals), how it changes along tangents)``, by the gradient of a gradient.

    The pullback is linear in its cotangents; the gradient of that is the push forward. With
    ``strict`` a result that no primal reaches raises RuntimeError, else it changes by zeros.
    """
    if not isinstance(primals, tuple) or not primals:
        raise RuntimeError(
            f"jvp(f, primals, tangents): Expected primals to be a tuple, got {type(primals)}"
        )
    recorded = MODES.grad
    moved, its_tree = tensors_of(tangents, "jvp: Expected tangents to hold tensors")
    given, tree = tensors_of(primals, "jvp: Expected primals to hold tensors")
    if its_tree != tree:
        raise RuntimeError(
            "jvp(f, primals, tangents): Expected primals and tangents to have the same python "
            "structure"
        )
    for x, v in zip(given, moved, strict=True):
        if tuple(x.shape) != tuple(v.shape):
            raise RuntimeError(
                f"jvp(f, primals, tangents): a primal of shape {list(x.shape)} has a tangent of "
                f"shape {list(v.shape)}"
            )
    inputs, variables, _ = _variables(primals, tuple(range(len(primals))))
    with enable_grad():
        result, aux = _split(func(*inputs), has_aux, "jvp(f, primals, tangents)")
        outputs, nest = tensors_of(result, "jvp: Expected f to return tensors")
        changes, dummies = pushed_forward(outputs, variables, moved)
    if strict and any(c is None for c in changes):
        raise RuntimeError("jvp(f, primals, tangents, strict=True): an output is independent of f")
    own = [*variables, *dummies]
    filled = [
        y.detach()._zeros() if c is None else c for y, c in zip(outputs, changes, strict=True)
    ]
    made = _left((result, unflatten(nest, filled)), own, recorded)
    return (*made, _left(aux, own, recorded)) if has_aux else tuple(made)


def pushed_forward(
    outputs: list[Tensor], variables: list[Tensor], tangents: list[Tensor]
) -> tuple[list[Tensor | None], list[Tensor]]:
    """The change of each output along the tangents of the variables; None where there is none.

    Also the variables that this level made. Runs with recording on.
    """
    tracked = [i for i, y in enumerate(outputs) if y.requires_grad]
    changes: list[Tensor | None] = [None] * len(outputs)
    dummies = [outputs[i].detach()._zeros().requires_grad_() for i in tracked]
    if not tracked:
        return changes, []
    pulled = tape_grad(
        [outputs[i] for i in tracked], variables, dummies, create_graph=True, allow_unused=True
    )
    reached = [(g, v) for g, v in zip(pulled, tangents, strict=True) if g is not None]
    linear = [(g, v) for g, v in reached if g.requires_grad]
    if linear:
        found = tape_grad(
            [g for g, _ in linear],
            dummies,
            [v for _, v in linear],
            create_graph=True,
            allow_unused=True,
        )
        for i, change in zip(tracked, found, strict=True):
            changes[i] = change
    return changes, dummies


def linearize(func: Function, *primals: Any) -> tuple[Any, Function]:
    """``(func(*primals), push)``; ``push(*tangents)`` says how the result changes along them."""
    inputs, variables, _ = _variables(primals, tuple(range(len(primals))))
    recorded = MODES.grad
    with enable_grad():
        result = func(*inputs)
        outputs, nest = tensors_of(result, "linearize: Expected f to return tensors")

    def push(*tangents: Any) -> Any:
        moved, _ = tensors_of(tangents, "linearize: Expected tangents to hold tensors")
        with enable_grad():
            changes, dummies = pushed_forward(outputs, variables, moved)
        filled = [
            y.detach()._zeros() if c is None else c for y, c in zip(outputs, changes, strict=True)
        ]
        return _left(unflatten(nest, filled), [*variables, *dummies], recorded)

    return _left(result, variables, recorded), push
