"""Pruning: parts of a parameter held at zero by a mask.

The parameter moves to ``name_orig``, a mask of zeros and ones is the buffer ``name_mask``, and a
hook sets ``module.name`` to their product before each forward. A method of pruning says which
elements or channels the mask drops; one applied to a pruned tensor chooses among what is left.
"""

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from graphc.functions.registry import FUNCTIONS
from graphc.nn.module import Module
from graphc.nn.utils.convert_parameters import parameters_to_vector
from graphc.tensor import Tensor

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]


def _ones_like(t: Any) -> Any:
    return FUNCTIONS["ones_like"](t.detach())


def _same_shape(scores: Any, of: Any, what: str) -> None:
    if scores.shape != of.shape:
        raise AssertionError(
            f"importance_scores should have the same shape as {what}, got {scores.shape} vs "
            f"{of.shape}"
        )


class BasePruningMethod(ABC):
    """A way of pruning; subclasses write :meth:`compute_mask` and name their ``PRUNING_TYPE``.

    That is ``unstructured`` (elements that are left are given as a vector), ``structured`` (of
    channels along ``self.dim``, those that are left) or ``global`` (everything as it is).
    """

    PRUNING_TYPE: str
    _tensor_name: str

    def __call__(self, module: Module, inputs: Any) -> None:
        """The hook: sets the tensor from the original and the mask."""
        del inputs
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """Zeros and ones of ``t``'s shape: what to keep, out of what ``default_mask`` kept."""

    def apply_mask(self, module: Module) -> Any:
        """The original times the mask. Raises AssertionError for a module that is not pruned."""
        if getattr(self, "_tensor_name", None) is None:
            raise AssertionError(f"Module {module} has to be pruned")
        mask = getattr(module, f"{self._tensor_name}_mask")
        original = getattr(module, f"{self._tensor_name}_orig")
        return mask.to(dtype=original.dtype) * original

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any
    ) -> "BasePruningMethod":
        """Prunes a parameter, after what has pruned it before; gives the hook.

        ``importance_scores``, of the parameter's shape, are looked at in its place.
        """
        method = cls._with_earlier(module, name, cls(*args, **kwargs))
        tensor = getattr(module, name)
        if importance_scores is None:
            importance_scores = tensor
        else:
            _same_shape(importance_scores, tensor, f"parameter {name} of {module}")
        first = not isinstance(method, PruningContainer)
        if first:
            module.register_parameter(f"{name}_orig", tensor)
            del module._parameters[name]
            mask = _ones_like(tensor)
        else:
            mask = getattr(module, f"{name}_mask").detach().clone()
        try:
            made = method.compute_mask(importance_scores.detach(), default_mask=mask)
        except Exception:
            if first:
                module.register_parameter(name, module._parameters[f"{name}_orig"])
                del module._parameters[f"{name}_orig"]
            raise
        module.register_buffer(f"{name}_mask", made)
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    @staticmethod
    def _with_earlier(module: Module, name: str, method: Any) -> Any:
        """The method, in a container with those that pruned the tensor before."""
        method._tensor_name = name
        earlier = _hooks_of(module, name)
        if len(earlier) > 1:
            raise AssertionError(
                f"Avoid adding multiple pruning hooks to the same tensor {name} of module "
                f"{module}. Use a PruningContainer."
            )
        for number, known in earlier:
            del module._forward_pre_hooks[number]
            container = known if isinstance(known, PruningContainer) else PruningContainer(known)
            container.add_pruning_method(method)
            return container
        return method

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """A tensor times the mask that this method makes for it."""
        if importance_scores is None:
            importance_scores = t
        else:
            _same_shape(importance_scores, t, "tensor t")
        mask = _ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(importance_scores, default_mask=mask)

    def remove(self, module: Module) -> None:
        """Makes the pruned tensor the parameter again; what was pruned stays zero."""
        name = self._tensor_name
        if name is None:
            raise AssertionError(f"Module {module} has to be pruned before pruning can be removed")
        weight = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original: Any = module._parameters[f"{name}_orig"]
        original.data = weight.detach()
        del module._parameters[f"{name}_orig"]
        del module._buffers[f"{name}_mask"]
        setattr(module, name, original)


def _hooks_of(module: Module, name: str) -> list[tuple[int, BasePruningMethod]]:
    return [
        (number, hook)
        for number, hook in module._forward_pre_hooks.items()
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name
    ]


class PruningContainer(BasePruningMethod):
    """Methods that pruned one tensor one after the other."""

    def __init__(self, *args: Any) -> None:
        self._pruning_methods: tuple[Any, ...] = ()
        if len(args) == 1 and not isinstance(args[0], Iterable):
            self._tensor_name = args[0]._tensor_name
        for method in args[0] if len(args) == 1 and isinstance(args[0], Iterable) else args:
            if not hasattr(self, "_tensor_name"):
                self._tensor_name = method._tensor_name
            self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        """Adds one. Raises TypeError for anything else, ValueError for one of another tensor."""
        if not isinstance(method, BasePruningMethod) and method is not None:
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError(
                "Can only add pruning methods acting on the parameter named "
                f"'{self._tensor_name}' to PruningContainer {self}. Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: int) -> Any:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask with what the latest method drops of what it kept."""
        method = self._pruning_methods[-1]
        mask = default_mask.to(dtype=t.dtype).clone()
        part = _left(method, t, default_mask)
        kept = method.compute_mask(t[part], default_mask=default_mask[part])
        mask[part] = kept.to(dtype=mask.dtype)
        return mask


def _left(method: Any, t: Any, mask: Any) -> Any:
    """The index of what a method chooses from."""
    if method.PRUNING_TYPE == "unstructured":
        return mask == 1
    if method.PRUNING_TYPE == "global":
        return (slice(None),) * t.ndim
    if method.PRUNING_TYPE != "structured":
        raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
    if not hasattr(method, "dim"):
        raise AttributeError(
            'Pruning methods of PRUNING_TYPE "structured" need to have the attribute `dim` defined.'
        )
    dim = method.dim + t.ndim if method.dim < 0 else method.dim
    if dim < 0:
        raise IndexError(f"Index is out of bounds for tensor with dimensions {t.ndim}")
    channels = mask.sum(dim=[d for d in range(t.ndim) if d != dim]) != 0
    return tuple(channels if d == dim else slice(None) for d in range(t.ndim))


# ------------------------------------------------------------------------------------ the methods


def _checked_amount(amount: Any) -> Any:
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    whole = isinstance(amount, numbers.Integral)
    if amount < 0 or (not whole and float(amount) > 1.0):
        raise ValueError(
            f"amount={amount} should either be a float in the range [0, 1] or a non-negative "
            "integer"
        )
    return amount


def _count(amount: Any, size: int) -> int:
    """How many of ``size`` to drop: a number, or a part of them."""
    count = int(amount) if isinstance(amount, numbers.Integral) else round(amount * size)
    if count > size:
        raise ValueError(
            f"amount={count} should be smaller than the number of parameters to prune={size}"
        )
    return count


class Identity(BasePruningMethod):
    """Drops nothing: the mask is there, and all ones."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        del t
        return default_mask


class _Unstructured(BasePruningMethod):
    """Drops the elements with the lowest scores."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: Any) -> None:
        self.amount = _checked_amount(amount)

    def scores(self, t: Any) -> Any:
        raise NotImplementedError

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        count = _count(self.amount, t.numel())
        mask = default_mask.clone()
        if count:
            lowest = self.scores(t).reshape(-1).topk(count, largest=False).indices
            mask.view(-1)[lowest] = 0
        return mask


class RandomUnstructured(_Unstructured):
    """Drops elements at random: ``amount`` of them, or that part (a float)."""

    def scores(self, t: Any) -> Any:
        return -FUNCTIONS["rand_like"](t)


class L1Unstructured(_Unstructured):
    """Drops the elements closest to zero: ``amount`` of them, or that part (a float)."""

    def scores(self, t: Any) -> Any:
        return t.abs()


class _Structured(BasePruningMethod):
    """Drops whole channels along ``dim``."""

    PRUNING_TYPE = "structured"
    amount: Any
    dim: int

    def kept(self, t: Any, size: int, count: int) -> Any:
        """An index of the channels to keep."""
        raise NotImplementedError

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        if t.ndim <= 1:
            raise ValueError(
                "Structured pruning can only be applied to multidimensional tensors. Found tensor "
                f"of shape {t.shape} with {t.ndim} dims"
            )
        if self.dim >= t.ndim:
            raise IndexError(f"Invalid index {self.dim} for tensor of size {t.shape}")
        size = int(t.shape[self.dim])
        count = _count(self.amount, size)
        if not count:
            return default_mask
        mask = FUNCTIONS["zeros_like"](t)
        mask.transpose(0, self.dim)[self.kept(t, size, count)] = 1
        return mask * default_mask.to(dtype=mask.dtype)


class RandomStructured(_Structured):
    """Drops channels at random."""

    def __init__(self, amount: Any, dim: int = -1) -> None:
        self.amount = _checked_amount(amount)
        self.dim = dim

    def kept(self, t: Any, size: int, count: int) -> Any:
        del t
        drawn = FUNCTIONS["rand"](size)
        return drawn > drawn.kthvalue(count).values


class LnStructured(_Structured):
    """Drops the channels with the smallest norm of order ``n``."""

    def __init__(self, amount: Any, n: Any, dim: int = -1) -> None:
        self.amount = _checked_amount(amount)
        self.n = n
        self.dim = dim

    def kept(self, t: Any, size: int, count: int) -> Any:
        others = [d for d in range(t.ndim) if d != self.dim % t.ndim]
        return t.norm(p=self.n, dim=others).topk(size - count, largest=True).indices


class CustomFromMask(BasePruningMethod):
    """Drops what a given mask drops."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        del t
        if default_mask.shape != self.mask.shape:
            raise AssertionError(
                f"default_mask shape {default_mask.shape} must match self.mask shape "
                f"{self.mask.shape}"
            )
        return default_mask * self.mask.to(dtype=default_mask.dtype)


# ---------------------------------------------------------------------------------- as functions


def identity(module: Module, name: str) -> Module:
    """Prepares a parameter for pruning without dropping anything."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: Any) -> Module:
    """Drops elements of a parameter at random."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: Module, name: str, amount: Any, importance_scores: Any = None
) -> Module:
    """Drops the elements of a parameter closest to zero (or with the smallest scores)."""
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: Any, dim: int) -> Module:
    """Drops channels of a parameter at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module, name: str, amount: Any, n: Any, dim: int, importance_scores: Any = None
) -> Module:
    """Drops the channels of a parameter with the smallest norms."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Drops the elements of a parameter where a mask is zero."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Any, pruning_method: Any, importance_scores: Any = None, **kwargs: Any
) -> None:
    """Prunes several parameters as if they were one vector.

    ``parameters`` are pairs of module and name; ``importance_scores`` may have a tensor for each.
    Raises TypeError for methods that are not unstructured.
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    scores = importance_scores if importance_scores is not None else {}
    if not isinstance(scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    places = list(parameters)
    tensors = [getattr(module, name) for module, name in places]
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {method.PRUNING_TYPE}"
        )
    looked_at = [scores.get(p, t).detach() for p, t in zip(places, tensors, strict=True)]
    before = [
        getattr(module, f"{name}_mask", _ones_like(t))
        for (module, name), t in zip(places, tensors, strict=True)
    ]
    method._tensor_name = "all"
    together = PruningContainer(method)
    mask: Any = together.compute_mask(parameters_to_vector(looked_at), parameters_to_vector(before))
    start = 0
    for (module, name), tensor in zip(places, tensors, strict=True):
        stop = start + tensor.numel()
        custom_from_mask(module, name, mask[start:stop].view_as(tensor))
        start = stop


def remove(module: Module, name: str) -> Module:
    """Makes a pruned tensor an ordinary parameter, zeros included.

    Raises ValueError where it is not pruned.
    """
    for number, hook in _hooks_of(module, name):
        hook.remove(module)
        del module._forward_pre_hooks[number]
        return module
    raise ValueError(
        f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed"
    )


def is_pruned(module: Module) -> bool:
    """Whether the module or one below it is pruned."""
    return any(
        isinstance(hook, BasePruningMethod)
        for each in module.modules()
        for hook in each._forward_pre_hooks.values()
    )
