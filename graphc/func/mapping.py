"""``vmap``: a function of one example becomes a function of a batch."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphc.func.batch_rules import Operand, full_batch
from graphc.func.batching import Batching
from graphc.generator import default_generator
from graphc.ir import OPS
from graphc.tensor import Tensor, apply
from graphc.tracing import suspended
from graphc.trees import flatten, unflatten

InDims = int | None | Sequence[Any] | Mapping[str, Any]


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that maps ``func`` over a dimension of its positional arguments.

    ``in_dims`` says which dimension of each argument that is (None: all examples share it), as one
    number or nested like the arguments; ``out_dims`` says where the batch stands in the results.
    ``randomness`` is "different" or "same" for all examples, or "error". With ``chunk_size`` at
    most so many examples are computed at once. Levels nest, gradients go through and may be taken
    inside, and all of it works within ``graphc.compile``.

    The function sees one example; operations are carried out on the whole batch. An operation
    without a rule for batches is applied to one example after the other. Raises ValueError when
    dims and arguments do not fit, and RuntimeError where Python asks for a value.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(
            "Only allowed values for randomness are 'error', 'different', or 'same'. Got "
            f"{randomness}"
        )
    if chunk_size is not None and not (chunk_size == int(chunk_size) and chunk_size > 0):
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    name = getattr(func, "__name__", type(func).__name__)

    @functools.wraps(func, updated=())
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = flatten(args)
        dims = _input_dims(name, in_dims, args, leaves)
        size = _batch_size(leaves, dims)
        arrays = [_in_front(x, d) for x, d in zip(leaves, dims, strict=True)]
        step = size if chunk_size is None else int(chunk_size)
        if step >= size:
            results, made = _run(func, arrays, dims, tree, kwargs, size, randomness)
        else:
            results, made = _chunks(
                func, name, arrays, dims, tree, kwargs, (size, step), randomness
            )
        places = _output_dims(name, out_dims, made, results)
        finished = [_placed(name, x, d, size) for x, d in zip(results, places, strict=True)]
        return unflatten(made, finished)

    return wrapped


# -------------------------------------------------------------------------------------- arguments


def _input_dims(name: str, in_dims: Any, args: tuple[Any, ...], leaves: list[Any]) -> list[Any]:
    """The batch dimension of each leaf, counted from the front, or None."""
    if not (in_dims is None or isinstance(in_dims, (int, tuple, list))):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a "
            f"(potentially nested) tuple matching the structure of inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are "
            "trying to vmap over a function with no inputs. The latter is unsupported."
        )
    dims: list[Any] = []
    given = list(in_dims) if isinstance(in_dims, (tuple, list)) else in_dims
    if not _prefix(given, list(args), dims):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the "
            "structure of `inputs`. in_dims has to be one number, or nested like the inputs."
        )
    return [_input_dim(name, in_dims, x, d) for x, d in zip(leaves, dims, strict=True)]


def _prefix(dims: Any, value: Any, found: list[Any]) -> bool:
    """Spreads dims over the leaves of a nest; an entry counts for everything below it."""
    if dims is None or isinstance(dims, int) or not _nested(value):
        found.extend([dims] * len(flatten(value)[0]))
        return dims is None or isinstance(dims, int) or not _nested(dims)
    if isinstance(value, Mapping):
        return (
            isinstance(dims, Mapping)
            and set(dims) == set(value)
            and all(_prefix(dims[k], value[k], found) for k in value)
        )
    fits = isinstance(dims, (tuple, list)) and len(dims) == len(value)
    return fits and all(_prefix(d, v, found) for d, v in zip(dims, value, strict=True))


def _nested(value: Any) -> bool:
    return isinstance(value, (tuple, list, Mapping))


def _input_dim(name: str, in_dims: Any, x: Any, dim: Any) -> int | None:
    if dim is None:
        return None
    call = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(dim, int):
        raise ValueError(
            f"{call}: Got in_dim={dim} for an input but in_dim must be either an integer dimension "
            "or None."
        )
    if not isinstance(x, Tensor):
        raise ValueError(
            f"{call}: Got in_dim={dim} for an input but the input is of type {type(x)}. We cannot "
            "vmap over non-Tensor arguments, please use None as the respective in_dim"
        )
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(
            f"{call}: Got in_dim={dim} for some input, but that input is a Tensor of "
            f"dimensionality {x.ndim} so expected in_dim to satisfy -{x.ndim} <= in_dim < {x.ndim}."
        )
    return dim % x.ndim


def _batch_size(leaves: list[Any], dims: list[int | None]) -> int:
    sizes = [int(x.shape[d]) for x, d in zip(leaves, dims, strict=True) if d is not None]
    if not sizes:
        raise ValueError(
            "vmap: Expected at least one Tensor to vmap over: every in_dim is None, so there is no "
            "batch"
        )
    if len(set(sizes)) > 1:
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    return sizes[0]


def _in_front(x: Any, dim: int | None) -> Any:
    if dim is None or dim == 0:
        return x
    order = (dim, *(d for d in range(x.ndim) if d != dim))
    return apply(OPS["permute"], (x,), {"dims": order})


# ---------------------------------------------------------------------------------------- running


def _run(
    func: Callable[..., Any],
    arrays: list[Any],
    dims: list[int | None],
    tree: Any,
    kwargs: dict[str, Any],
    size: int,
    randomness: str,
) -> tuple[list[Any], Any]:
    """The results of one level, as operands, and how they are nested."""
    level = Batching(size, randomness)
    if level.outer is not None:
        arrays = [level.outer.twin(x) if isinstance(x, Tensor) else x for x in arrays]
    entered = [level.enter(x) if d is not None else x for x, d in zip(arrays, dims, strict=True)]
    with suspended(level):
        results, made = flatten(func(*unflatten(tree, entered), **kwargs))
        left = [level.leave(x) if isinstance(x, Tensor) else x for x in results]
    return left, made


def _chunks(
    func: Callable[..., Any],
    name: str,
    arrays: list[Any],
    dims: list[int | None],
    tree: Any,
    kwargs: dict[str, Any],
    sizes: tuple[int, int],
    randomness: str,
) -> tuple[list[Any], Any]:
    """The same in several goes, and their results one after the other."""
    size, step = sizes
    parts: list[list[Tensor]] = []
    made = None
    state = default_generator.get_state() if randomness == "same" else None
    for start in range(0, size, step):
        if state is not None:
            default_generator.set_state(state)
        stop = min(start + step, size)
        part = [
            x if d is None else _part(x, start, stop) for x, d in zip(arrays, dims, strict=True)
        ]
        results, made = _run(func, part, dims, tree, kwargs, stop - start, randomness)
        parts.append([_full(name, x, stop - start) for x in results])
    joined = [apply(OPS["cat"], same, {"dim": 0}) for same in zip(*parts, strict=True)]
    return [Operand(x, True) for x in joined], made


def _part(x: Tensor, start: int, stop: int) -> Tensor:
    shape = tuple(x.shape)
    attrs = {
        "starts": (start, *(0,) * (len(shape) - 1)),
        "stops": (stop, *shape[1:]),
        "steps": (1,) * len(shape),
    }
    return apply(OPS["slice"], (x,), attrs)


# ---------------------------------------------------------------------------------------- results


def _full(name: str, result: Any, size: int) -> Tensor:
    if not isinstance(result, Operand):
        raise ValueError(
            f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(result)}. Did "
            "you mean to set out_dims= to None for output?"
        )
    return full_batch(result, size)


def _output_dims(name: str, out_dims: Any, tree: Any, results: list[Any]) -> list[Any]:
    dims: list[Any] = []
    nest = unflatten(tree, results)
    fits = _spread_output(out_dims, nest, dims)
    if not fits or not all(d is None or isinstance(d, int) for d in dims):
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with "
            "the structure of `outputs`. out_dims has to be one number, or nested like the outputs."
        )
    return dims


def _spread_output(dims: Any, value: Any, found: list[Any]) -> bool:
    """Like :func:`_prefix`, for results, whose leaves are pairs."""
    if isinstance(dims, (tuple, list)) and len(dims) == 1 and _is_leaf(value):
        dims = dims[0]  # one result, and a tuple of one dim
    if dims is None or isinstance(dims, int) or _is_leaf(value):
        found.extend([dims] * _count(value))
        return dims is None or isinstance(dims, int)
    if isinstance(value, Mapping):
        return (
            isinstance(dims, Mapping)
            and set(dims) == set(value)
            and all(_spread_output(dims[k], value[k], found) for k in value)
        )
    fits = isinstance(dims, (tuple, list)) and len(dims) == len(value)
    return fits and all(_spread_output(d, v, found) for d, v in zip(dims, value, strict=True))


def _is_leaf(value: Any) -> bool:
    return isinstance(value, Operand) or not _nested(value)


def _count(value: Any) -> int:
    if _is_leaf(value):
        return 1
    return sum(map(_count, value.values() if isinstance(value, Mapping) else value))


def _placed(name: str, result: Any, dim: int | None, size: int) -> Any:
    if dim is None:
        if isinstance(result, Operand):
            if result.batched:
                raise ValueError(
                    f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is "
                    "None"
                )
            return result.tensor
        return result
    tensor = _full(name, result, size)
    if not -tensor.ndim <= dim < tensor.ndim:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [-{tensor.ndim}, "
            f"{tensor.ndim - 1}], but got {dim}): out_dims of vmap({name})"
        )
    if dim % tensor.ndim == 0:
        return tensor
    rest = list(range(1, tensor.ndim))
    rest.insert(dim % tensor.ndim, 0)
    return apply(OPS["permute"], (tensor,), {"dims": tuple(rest)})
