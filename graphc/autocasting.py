"""The precision in which operations compute inside ``graphc.autocast``.

One table says which public functions compute in the region's low precision, which in float32, and
which in the widest precision of their arguments; all others take what they are given. The table is
PyTorch's for CPUs. A function that is in the table casts its arguments first and then runs as if
outside of the region, so that functions made of others are cast once.

``MODES.autocast`` is the region that a thread is in, or None: outside of regions that is all that
a call looks at.
"""

import contextlib
import enum
import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.modes import MODES
from graphc.tensor import Tensor


class Policy(enum.Enum):
    """What a function's floating-point arguments (except float64) are cast to."""

    LOW = "the dtype of the region"
    FULL = "float32"
    WIDEST = "float32 where any of them is, else the dtype of the region"
    AS_IS = "nothing, nor inside the function"


_LOW = """
    addbmm addmm baddbmm bmm conv1d conv2d conv3d conv_transpose1d conv_transpose2d
    conv_transpose3d linear matmul mm multi_dot chain_matmul prelu scaled_dot_product_attention
    tensordot vecdot cov corrcoef
"""
_FULL = """
    adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d binary_cross_entropy
    binary_cross_entropy_with_logits cdist cholesky cholesky_inverse cholesky_solve
    cosine_embedding_loss cross_entropy ctc_loss fractional_max_pool2d fractional_max_pool3d geqrf
    grid_sample hinge_embedding_loss huber_loss inverse kl_div l1_loss linalg_cholesky
    linalg_cholesky_ex linalg_cond linalg_eigh linalg_eigvalsh linalg_householder_product
    linalg_inv linalg_inv_ex linalg_lstsq linalg_matrix_rank linalg_pinv linalg_qr linalg_solve
    linalg_svd linalg_svdvals linalg_tensorinv linalg_tensorsolve lu_solve margin_ranking_loss
    max_pool3d max_unpool2d max_unpool3d mse_loss multi_margin_loss multilabel_margin_loss
    nanquantile nll_loss orgqr ormqr pinverse poisson_nll_loss prod qr quantile smooth_l1_loss
    soft_margin_loss svd trace triangular_solve triplet_margin_loss
"""
_WIDEST = "cat index_copy stack"
_AS_IS = "addmv addmv_ addmm_ addbmm_ baddbmm_ dot mv vdot"  # made of matrix products here


def _of_padding(input: Any, pad: Any, mode: str = "constant", value: Any = None) -> Policy | None:
    """Copies of inner elements are made in float32, where PyTorch has a kernel of their own."""
    del value
    own = mode == "replicate" or (mode == "reflect" and len(pad) < 6)
    return Policy.FULL if own and isinstance(input, Tensor) else None


Choice = Policy | Callable[..., Policy | None]  # one that depends on the arguments

POLICIES: dict[str, Choice] = {
    name: policy
    for policy, names in (
        (Policy.LOW, _LOW),
        (Policy.FULL, _FULL),
        (Policy.WIDEST, _WIDEST),
        (Policy.AS_IS, _AS_IS),
    )
    for name in names.split()
}
POLICIES["pad"] = _of_padding


# --------------------------------------------------------------------------------------- the region


class Region(NamedTuple):
    """An enabled region on the CPU; equal ones are one object, which compiled code looks for."""

    dtype: DType
    caches: bool


@functools.cache
def region(dtype: DType, caches: bool) -> Region:
    return Region(dtype, caches)


class _State(threading.local):
    """PyTorch's settings, by type of device; ``MODES.autocast`` follows from those of the CPU."""

    def __init__(self) -> None:
        self.enabled = {"cpu": False, "cuda": False}
        self.dtype = {"cpu": dtypes.bfloat16, "cuda": dtypes.float16}
        self.caches = True
        self.nesting = 0
        self.casts: Casts = {}  # outside of traces, which keep their own


# A parameter's cast by the parameter's id and whether gradients were recorded; the parameter, which
# keeps the id its own, and its version at that time.
Casts = dict[tuple[int, bool], tuple[Tensor, int, Tensor]]

STATE = _State()


def settle() -> None:
    """Makes ``MODES.autocast`` follow the settings of the thread."""
    on = STATE.enabled["cpu"]
    MODES.autocast = region(STATE.dtype["cpu"], STATE.caches) if on else None


@contextlib.contextmanager
def within(wanted: Region | None) -> Iterator[None]:
    """Computes as in a region that was left, whose casts are not there any more."""
    before = MODES.autocast
    MODES.autocast = None if wanted is None else region(wanted.dtype, caches=False)
    try:
        yield
    finally:
        MODES.autocast = before


def forget_casts() -> None:
    """Drops the casts of parameters that are kept until the outermost region ends."""
    kept = _casts()
    if kept is not None:
        kept.clear()


def _casts() -> Casts | None:
    """Where casts are kept: a trace has its own; inside of ``vmap`` none are."""
    trace = MODES.trace
    return STATE.casts if trace is None else getattr(trace, "casts", None)


# ---------------------------------------------------------------------------------------- the casts


def eligible(value: Any) -> bool:
    """Whether a region casts this: tensors of floating point, but for float64."""
    if not isinstance(value, Tensor) or value.device.type != "cpu":
        return False
    return value.dtype.is_floating_point and value.dtype is not dtypes.float64


def _cast(tensor: Tensor, dtype: DType, caches: bool) -> Tensor:
    if tensor.dtype is dtype:
        return tensor
    leaf = caches and tensor.dtype is dtypes.float32 and tensor.requires_grad and tensor.is_leaf
    kept = _casts() if leaf and dtype is not dtypes.float32 and tensor._base is None else None
    if kept is None:
        return tensor.to(dtype)  # type: ignore[no-any-return]
    key = (id(tensor), MODES.grad)
    known = kept.get(key)
    if known is not None and known[1] == tensor._version:
        return known[2]
    made: Tensor = tensor.to(dtype)
    kept[key] = (tensor, tensor._version, made)
    return made


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    found = []
    for value in values:
        if eligible(value):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += _tensors(value)
    return found


def _widest(values: Iterable[Any], low: DType) -> DType:
    """float32 where one of the tensors has it. Raises RuntimeError for the other half precision."""
    found = {t.dtype for t in _tensors(values)}
    if not found <= {low, dtypes.float32}:
        other = next(iter(found - {low, dtypes.float32}))
        raise RuntimeError(f"Unexpected floating type {other} under autocast to {low}")
    return dtypes.float32 if dtypes.float32 in found else low


def _all_cast(value: Any, dtype: DType, caches: bool) -> Any:
    if isinstance(value, Tensor):
        return _cast(value, dtype, caches) if eligible(value) else value
    if isinstance(value, (list, tuple)):
        parts = [_all_cast(x, dtype, caches) for x in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def called(
    choice: Choice, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """``function(*args, **kwargs)`` with its tensors cast as the table wants; not with ``out=``."""
    now = MODES.autocast
    assert now is not None
    policy = choice if isinstance(choice, Policy) else choice(*args, **kwargs)
    if policy in (None, Policy.AS_IS) or kwargs.get("out") is not None:
        dtype = None
    elif policy is Policy.LOW:
        dtype = now.dtype
    elif policy is Policy.FULL:
        dtype = dtypes.float32
    else:
        dtype = _widest((*args, *kwargs.values()), now.dtype)
    if dtype is not None:
        args = tuple(_all_cast(x, dtype, now.caches) for x in args)
        kwargs = {name: _all_cast(x, dtype, now.caches) for name, x in kwargs.items()}
    MODES.autocast = None
    try:
        return function(*args, **kwargs)
    finally:
        MODES.autocast = now


def lowered(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Operands of a product, in the precision of the region when the thread is in one."""
    now = MODES.autocast
    if now is None:
        return tensors
    return tuple(_all_cast(x, now.dtype, now.caches) for x in tensors)


def casting(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it is outside of regions; inside, with the casts that the table wants."""
    policy = POLICIES[function.__name__]

    @functools.wraps(function)
    def with_casts(*args: Any, **kwargs: Any) -> Any:
        if MODES.autocast is None:
            return function(*args, **kwargs)
        return called(policy, function, args, kwargs)

    with_casts.autocasts = True  # type: ignore[attr-defined]
    return with_casts


def cast_in_modules(modules: Iterable[Any]) -> None:
    """Puts the functions of modules that the table names under :func:`casting`, where bound."""
    spaces = [vars(module) for module in modules]
    made: dict[int, Callable[..., Any]] = {}
    for space in spaces:
        for name, value in list(space.items()):
            own = callable(value) and getattr(value, "__name__", None) == name
            if own and name in POLICIES and not hasattr(value, "autocasts"):
                space[name] = made.setdefault(id(value), casting(value))
