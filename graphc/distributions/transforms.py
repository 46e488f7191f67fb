"""Invertible functions of random values, with the logarithms of their volumes' changes."""

import functools
import math
import operator
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from graphc import dtypes
from graphc.distributions import constraints
from graphc.distributions.constraints import Constraint
from graphc.distributions.distribution import Distribution
from graphc.distributions.parameters import (
    broadcast_all,
    filled,
    is_tensor,
    sum_rightmost,
    tril_matrix_to_vec,
    vec_to_tril_matrix,
)
from graphc.functions.creation import arange, eye, zeros
from graphc.functions.joining import broadcast_shapes, cat, stack
from graphc.linalg import cholesky
from graphc.nn.functional import logsigmoid, pad, softplus
from graphc.tensor import Size, Tensor


class Transform:
    """A function from ``domain`` to ``codomain``.

    ``inv`` is its inverse; ``log_abs_det_jacobian(x, y)`` the logarithm of the factor by which it
    enlarges volumes at ``x``, where ``y`` is its value there. With ``cache_size=1`` the latest pair
    of values is kept, so that inverting what was just computed is exact and free.
    """

    bijective: Any = False
    domain: Any
    codomain: Any
    _watched_whole: ClassVar[bool] = True  # by compiled functions, which do not read its code

    @property
    def sign(self) -> Any:
        """1 where it rises, -1 where it falls."""
        raise NotImplementedError(f"{type(self).__name__} neither rises nor falls everywhere")

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ValueError("cache_size must be 0 or 1")
        self._cache_size = cache_size
        self._cached: tuple[Any, Any] = (None, None)
        self._inverse_of: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_inverse_of": None}

    @property
    def event_dim(self) -> int:
        if self.domain.event_dim != self.codomain.event_dim:
            raise ValueError("Please use either .domain.event_dim or .codomain.event_dim")
        return int(self.domain.event_dim)

    @property
    def inv(self) -> "Transform":
        """The inverse."""
        found = None if self._inverse_of is None else self._inverse_of()
        if found is None:
            found = _InverseTransform(self)
            self._inverse_of = weakref.ref(found)
        return found

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same transform with another cache size."""
        if self._cache_size == cache_size:
            return self
        if type(self).__init__ is Transform.__init__:
            return type(self)(cache_size=cache_size)
        raise NotImplementedError(f"{type(self)}.with_cache is not implemented")

    def __call__(self, x: Tensor) -> Tensor:
        if self._cache_size and x is self._cached[0]:
            return self._cached[1]
        y = self._call(x)
        if self._cache_size:
            self._cached = x, y
        return y

    def _inv_call(self, y: Tensor) -> Tensor:
        if self._cache_size and y is self._cached[1]:
            return self._cached[0]
        x = self._inverse(y)
        if self._cache_size:
            self._cached = x, y
        return x

    def _call(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The logarithm of the factor by which volumes grow."""
        raise NotImplementedError

    def forward_shape(self, shape: Any) -> Any:
        """The shape of the value for an argument of this shape."""
        return shape

    def inverse_shape(self, shape: Any) -> Any:
        """The shape of the argument for a value of this shape."""
        return shape

    def _parameters(self) -> tuple[Any, ...] | None:
        """What makes two transforms of one type equal; None where only the same one is."""
        return None

    def __eq__(self, other: object) -> bool:
        own = self._parameters()
        if own is None or type(other) is not type(self):
            return self is other
        pairs = zip(own, other._parameters() or (), strict=True)  # type: ignore[attr-defined]
        return all(_same(a, b) for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _same(a: Any, b: Any) -> bool:
    found = a == b
    return bool(found.all()) if isinstance(found, Tensor) else bool(found)


class _InverseTransform(Transform):
    def __init__(self, transform: Transform) -> None:
        super().__init__(transform._cache_size)
        self._forward = transform

    domain = property(lambda self: self._forward.codomain)
    codomain = property(lambda self: self._forward.domain)
    bijective = property(lambda self: self._forward.bijective)
    sign = property(lambda self: self._forward.sign)
    inv = property(lambda self: self._forward)  # type: ignore[assignment]

    def with_cache(self, cache_size: int = 1) -> Any:
        return self._forward.with_cache(cache_size).inv

    def _parameters(self) -> tuple[Any, ...]:
        return (self._forward,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._forward!r})"

    def __call__(self, x: Tensor) -> Tensor:
        return self._forward._inv_call(x)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -self._forward.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Any) -> Any:
        return self._forward.inverse_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self._forward.forward_shape(shape)


# ----------------------------------------------------------------------------------- made of others


def _widened(constraint: Constraint, event_dim: int) -> Constraint:
    missing = event_dim - constraint.event_dim
    return constraints.independent(constraint, missing) if missing > 0 else constraint


class ComposeTransform(Transform):
    """Transforms one after the other."""

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = [part.with_cache(cache_size) for part in parts] if cache_size else list(parts)
        self._of: ComposeTransform | None = None

    def _parameters(self) -> tuple[Any, ...]:
        return (self.parts,)

    @property
    def domain(self) -> Any:  # type: ignore[override]
        if not self.parts:
            return constraints.real
        dims = self.parts[-1].codomain.event_dim
        for part in reversed(self.parts):
            dims += part.domain.event_dim - part.codomain.event_dim
            dims = max(dims, part.domain.event_dim)
        return _widened(self.parts[0].domain, dims)

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        if not self.parts:
            return constraints.real
        dims = self.parts[0].domain.event_dim
        for part in self.parts:
            dims += part.codomain.event_dim - part.domain.event_dim
            dims = max(dims, part.codomain.event_dim)
        return _widened(self.parts[-1].codomain, dims)

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        return all(part.bijective for part in self.parts)

    @property
    def sign(self) -> Any:  # type: ignore[override]
        return functools.reduce(operator.mul, (part.sign for part in self.parts), 1)

    @property
    def inv(self) -> Transform:
        if self._of is not None:
            return self._of
        inverse = ComposeTransform([part.inv for part in reversed(self.parts)])
        inverse._of = self
        return inverse

    def with_cache(self, cache_size: int = 1) -> Any:
        return self if cache_size == self._cache_size else ComposeTransform(self.parts, cache_size)

    def __call__(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        if not self.parts:
            return filled(x, 0.0)
        values = [x]
        for part in self.parts[:-1]:
            values.append(part(values[-1]))
        values.append(y)
        dims = self.domain.event_dim
        terms = []
        for part, before, after in zip(self.parts, values[:-1], values[1:], strict=True):
            term = part.log_abs_det_jacobian(before, after)
            terms.append(sum_rightmost(term, dims - part.domain.event_dim))
            dims += part.codomain.event_dim - part.domain.event_dim
        return functools.reduce(operator.add, terms)

    def forward_shape(self, shape: Any) -> Any:
        return functools.reduce(lambda s, part: part.forward_shape(s), self.parts, shape)

    def inverse_shape(self, shape: Any) -> Any:
        return functools.reduce(lambda s, part: part.inverse_shape(s), self.parts[::-1], shape)

    def __repr__(self) -> str:
        parts = ",\n    ".join(repr(part) for part in self.parts)
        return f"ComposeTransform(\n    {parts}\n)"


identity_transform = ComposeTransform([])


class IndependentTransform(Transform):
    """A transform some of whose batch dimensions belong to one event."""

    def __init__(
        self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0
    ) -> None:
        super().__init__(cache_size)
        self.base_transform = base_transform.with_cache(cache_size)
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    def with_cache(self, cache_size: int = 1) -> Any:
        if cache_size == self._cache_size:
            return self
        return IndependentTransform(self.base_transform, self.reinterpreted_batch_ndims, cache_size)

    @property
    def domain(self) -> Any:  # type: ignore[override]
        return constraints.independent(self.base_transform.domain, self.reinterpreted_batch_ndims)

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        return constraints.independent(self.base_transform.codomain, self.reinterpreted_batch_ndims)

    bijective = property(lambda self: self.base_transform.bijective)
    sign = property(lambda self: self.base_transform.sign)

    def _call(self, x: Tensor) -> Tensor:
        if x.ndim < self.domain.event_dim:
            raise ValueError("Too few dimensions on input")
        return self.base_transform(x)

    def _inverse(self, y: Tensor) -> Tensor:
        if y.ndim < self.codomain.event_dim:
            raise ValueError("Too few dimensions on input")
        return self.base_transform.inv(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        term = self.base_transform.log_abs_det_jacobian(x, y)
        return sum_rightmost(term, self.reinterpreted_batch_ndims)

    def forward_shape(self, shape: Any) -> Any:
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self.base_transform.inverse_shape(shape)

    def __repr__(self) -> str:
        return f"IndependentTransform({self.base_transform!r}, {self.reinterpreted_batch_ndims})"


class ReshapeTransform(Transform):
    """Events in another shape."""

    bijective = True

    def __init__(self, in_shape: Any, out_shape: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.in_shape, self.out_shape = Size(in_shape), Size(out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            raise ValueError("in_shape, out_shape have different numbers of elements")

    domain = property(lambda self: constraints.independent(constraints.real, len(self.in_shape)))
    codomain = property(lambda self: constraints.independent(constraints.real, len(self.out_shape)))

    def with_cache(self, cache_size: int = 1) -> Any:
        if cache_size == self._cache_size:
            return self
        return ReshapeTransform(self.in_shape, self.out_shape, cache_size)

    def _call(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[: x.ndim - len(self.in_shape)], *self.out_shape)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.reshape(*y.shape[: y.ndim - len(self.out_shape)], *self.in_shape)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        del y
        return zeros(x.shape[: x.ndim - len(self.in_shape)], dtype=x.dtype)

    def forward_shape(self, shape: Any) -> Any:
        return _replaced(shape, self.in_shape, self.out_shape)

    def inverse_shape(self, shape: Any) -> Any:
        return _replaced(shape, self.out_shape, self.in_shape)


def _replaced(shape: Any, old: Size, new: Size) -> Size:
    if len(shape) < len(old):
        raise ValueError("Too few dimensions on input")
    cut = len(shape) - len(old)
    if tuple(shape[cut:]) != tuple(old):
        raise ValueError(f"Shape mismatch: expected {Size(shape[cut:])} but got {old}")
    return Size((*shape[:cut], *new))


class _Several(Transform):
    """Transforms of parts of a value along a dimension."""

    def __init__(
        self, tseq: Sequence[Transform], dim: int, lengths: Sequence[int] | None, cache_size: int
    ) -> None:
        super().__init__(cache_size)
        if not all(isinstance(t, Transform) for t in tseq):
            raise AssertionError("All elements of tseq must be Transform instances")
        self.transforms = [t.with_cache(cache_size) for t in tseq] if cache_size else list(tseq)
        self.dim = dim
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.transforms):
            raise AssertionError(
                f"lengths ({len(self.lengths)}) must match transforms ({len(self.transforms)})"
            )

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        return all(t.bijective for t in self.transforms)

    def _split(self, value: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def _call(self, x: Tensor) -> Tensor:
        return self._join(
            [t(part) for t, part in zip(self.transforms, self._split(x), strict=True)]
        )

    def _inverse(self, y: Tensor) -> Tensor:
        parts = zip(self.transforms, self._split(y), strict=True)
        return self._join([t.inv(part) for t, part in parts])

    def _join(self, parts: list[Tensor]) -> Tensor:
        raise NotImplementedError


class CatTransform(_Several):
    """Transforms of consecutive parts, of given lengths."""

    def __init__(
        self,
        tseq: Sequence[Transform],
        dim: int = 0,
        lengths: Sequence[int] | None = None,
        cache_size: int = 0,
    ) -> None:
        super().__init__(tseq, dim, lengths, cache_size)

    @property
    def event_dim(self) -> int:
        return max(t.event_dim for t in self.transforms)

    @property
    def length(self) -> int:
        """How long values are along the dimension."""
        return sum(self.lengths)

    @property
    def domain(self) -> Any:  # type: ignore[override]
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)

    def with_cache(self, cache_size: int = 1) -> Any:
        if cache_size == self._cache_size:
            return self
        return CatTransform(self.transforms, self.dim, self.lengths, cache_size)

    def _split(self, value: Tensor) -> list[Tensor]:
        return list(value.split(self.lengths, self.dim))

    def _join(self, parts: list[Tensor]) -> Tensor:
        return cat(parts, self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        terms = []
        for t, before, after in zip(self.transforms, self._split(x), self._split(y), strict=True):
            term = t.log_abs_det_jacobian(before, after)
            terms.append(sum_rightmost(term, self.event_dim - t.event_dim))
        dim = self.dim - x.ndim if self.dim >= 0 else self.dim
        dim += self.event_dim
        return cat(terms, dim) if dim < 0 else functools.reduce(operator.add, terms)


class StackTransform(_Several):
    """Transforms of slices."""

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(tseq, dim, None, cache_size)

    @property
    def domain(self) -> Any:  # type: ignore[override]
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        return constraints.stack([t.codomain for t in self.transforms], self.dim)

    def with_cache(self, cache_size: int = 1) -> Any:
        if cache_size == self._cache_size:
            return self
        return StackTransform(self.transforms, self.dim, cache_size)

    def _split(self, value: Tensor) -> list[Tensor]:
        return [value.select(self.dim, i) for i in range(value.shape[self.dim])]

    def _join(self, parts: list[Tensor]) -> Tensor:
        return stack(parts, self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        triples = zip(self.transforms, self._split(x), self._split(y), strict=True)
        return self._join([t.log_abs_det_jacobian(a, b) for t, a, b in triples])


# -------------------------------------------------------------------------------- of single numbers


def _clipped_sigmoid(x: Tensor) -> Tensor:
    limits = dtypes.finfo(x.dtype)
    return x.sigmoid().clamp(min=limits.tiny, max=1.0 - limits.eps)


def _logit(y: Tensor) -> Tensor:
    limits = dtypes.finfo(y.dtype)
    y = y.clamp(min=limits.tiny, max=1.0 - limits.eps)
    return y.log() - (-y).log1p()


Function = Callable[[Tensor], Tensor]


def _of_numbers(
    name: str,
    text: str,
    codomain: Constraint,
    call: Function,
    inverse: Function,
    volume: "Callable[[Tensor, Tensor], Tensor] | None",
    domain: Constraint = constraints.real,
    sign: int | None = 1,
) -> type[Transform]:
    """A transform without parameters: its formulas."""
    body: dict[str, Any] = {
        "__doc__": text,
        "__module__": __name__,
        "domain": domain,
        "codomain": codomain,
        "bijective": volume is not None,
        "_call": lambda _, x: call(x),
        "_inverse": lambda _, y: inverse(y),
        "_parameters": lambda _: (),
    }
    if volume is not None:
        body["log_abs_det_jacobian"] = lambda _, x, y: volume(x, y)
    if sign is not None:
        body["sign"] = sign
    return type(name, (Transform,), body)


ExpTransform = _of_numbers(
    "ExpTransform",
    "``exp(x)``.",
    constraints.positive,
    lambda x: x.exp(),
    lambda y: y.log(),
    lambda x, _: x,
)
SigmoidTransform = _of_numbers(
    "SigmoidTransform",
    "``1 / (1 + exp(-x))``, and its inverse the log odds.",
    constraints.unit_interval,
    _clipped_sigmoid,
    _logit,
    lambda x, _: -softplus(-x) - softplus(x),
)
SoftplusTransform = _of_numbers(
    "SoftplusTransform",
    "``log(1 + exp(x))``.",
    constraints.positive,
    softplus,
    lambda y: (-(-y).expm1()).log() + y,
    lambda x, _: -softplus(-x),
)
TanhTransform = _of_numbers(
    "TanhTransform",
    "The hyperbolic tangent. Near 1 its inverse is not exact: keep it with ``cache_size=1``.",
    constraints.interval(-1.0, 1.0),
    lambda x: x.tanh(),
    lambda y: y.atanh(),
    # log(1 - tanh(x)**2) = 2 (log 2 - x - log(1 + exp(-2 x)))
    lambda x, _: 2.0 * (math.log(2.0) - x - softplus(-2.0 * x)),
)
AbsTransform = _of_numbers(
    "AbsTransform",
    "``abs(x)``, which has no inverse: of its two, the positive one is taken.",
    constraints.positive,
    lambda x: x.abs(),
    lambda y: y,
    None,
    sign=None,
)
SoftmaxTransform = _of_numbers(
    "SoftmaxTransform",
    "``exp(x)`` divided by its sum; ``log`` inverts it up to a constant.",
    constraints.simplex,
    lambda x: x.softmax(-1),
    lambda y: y.log(),
    None,
    domain=constraints.real_vector,
    sign=None,
)


def _exp_of_diagonal(x: Tensor) -> Tensor:
    return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()


def _log_of_diagonal(y: Tensor) -> Tensor:
    return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


def _squared(x: Tensor) -> Tensor:
    factor = _exp_of_diagonal(x)
    return factor @ factor.mT


_MATRICES = constraints.independent(constraints.real, 2)
LowerCholeskyTransform = _of_numbers(
    "LowerCholeskyTransform",
    "The lower triangle, with the exponential of the diagonal.",
    constraints.lower_cholesky,
    _exp_of_diagonal,
    _log_of_diagonal,
    None,
    domain=_MATRICES,
    sign=None,
)
PositiveDefiniteTransform = _of_numbers(
    "PositiveDefiniteTransform",
    "The product of a Cholesky factor with its transpose.",
    constraints.positive_definite,
    _squared,
    lambda y: _log_of_diagonal(cholesky(y)),
    None,
    domain=_MATRICES,
    sign=None,
)


class PowerTransform(Transform):
    """``x ** exponent`` of positive numbers."""

    domain = constraints.positive
    codomain = constraints.positive
    bijective = True

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        (self.exponent,) = broadcast_all(exponent)

    def with_cache(self, cache_size: int = 1) -> Any:
        return self if cache_size == self._cache_size else PowerTransform(self.exponent, cache_size)

    sign = property(lambda self: self.exponent.sign())

    def _parameters(self) -> tuple[Any, ...]:
        return (self.exponent,)

    def _call(self, x: Tensor) -> Tensor:
        return x.pow(self.exponent)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.pow(1 / self.exponent)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.exponent * y / x).abs().log()

    def forward_shape(self, shape: Any) -> Any:
        return broadcast_shapes(tuple(shape), tuple(self.exponent.shape))

    inverse_shape = forward_shape


class AffineTransform(Transform):
    """``loc + scale * x``; the last ``event_dim`` dimensions make one event."""

    bijective = True

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc = loc
        self.scale = scale
        self._event_dim = event_dim

    event_dim = property(lambda self: self._event_dim)
    domain = property(lambda self: _widened(constraints.real, self._event_dim))
    codomain = property(lambda self: _widened(constraints.real, self._event_dim))

    def with_cache(self, cache_size: int = 1) -> Any:
        if cache_size == self._cache_size:
            return self
        return AffineTransform(self.loc, self.scale, self._event_dim, cache_size)

    def _parameters(self) -> tuple[Any, ...]:
        return self.loc, self.scale

    @property
    def sign(self) -> Any:  # type: ignore[override]
        if isinstance(self.scale, Tensor):
            return self.scale.sign()
        return (self.scale > 0) - (self.scale < 0)

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        del y
        if not is_tensor(self.scale) and not isinstance(self.scale, Tensor):
            result = filled(x, math.log(abs(self.scale)))
        else:
            result = self.scale.abs().log().expand(*x.shape)
        return sum_rightmost(result, self._event_dim)

    def forward_shape(self, shape: Any) -> Any:
        for parameter in (self.loc, self.scale):
            shape = broadcast_shapes(tuple(shape), tuple(getattr(parameter, "shape", ())))
        return shape

    inverse_shape = forward_shape


class CumulativeDistributionTransform(Transform):
    """The cumulative distribution function of a distribution of single numbers."""

    bijective = True
    codomain = constraints.unit_interval
    sign = 1

    def __init__(self, distribution: Distribution, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.distribution = distribution

    domain = property(lambda self: self.distribution.support)

    def with_cache(self, cache_size: int = 1) -> Any:
        if cache_size == self._cache_size:
            return self
        return CumulativeDistributionTransform(self.distribution, cache_size)

    def _call(self, x: Tensor) -> Tensor:
        return self.distribution.cdf(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        del y
        return self.distribution.log_prob(x)


# --------------------------------------------------------------------------------- of whole vectors


def _sticks(n: int, like: Tensor) -> Tensor:
    """How many parts there are still to be broken off: ``n, n - 1, ..., 1``."""
    return arange(n, 0, -1, dtype=like.dtype)


class StickBreakingTransform(Transform):
    """``n`` numbers as ``n + 1`` parts of a stick of length 1, broken off one after the other."""

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    def _parameters(self) -> tuple[Any, ...]:
        return ()

    def _call(self, x: Tensor) -> Tensor:
        share = _clipped_sigmoid(x - _sticks(x.shape[-1], x).log())
        left = (1 - share).cumprod(-1)
        return pad(share, (0, 1), value=1.0) * pad(left, (1, 0), value=1.0)

    def _inverse(self, y: Tensor) -> Tensor:
        parts = y[..., :-1]
        left = (1 - parts.cumsum(-1)).clamp(min=dtypes.finfo(y.dtype).tiny)
        return parts.log() - left.log() + _sticks(parts.shape[-1], y).log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        shifted = x - _sticks(x.shape[-1], x).log()
        return (-shifted + logsigmoid(shifted) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        return _with_last(shape, 1)

    def inverse_shape(self, shape: Any) -> Any:
        return _with_last(shape, -1)


def _with_last(shape: Any, more: int) -> Size:
    if len(shape) < 1:
        raise ValueError("Too few dimensions on input")
    return Size((*shape[:-1], shape[-1] + more))


class CorrCholeskyTransform(Transform):
    """``n (n - 1) / 2`` numbers as the Cholesky factor of a correlation matrix of ``n`` rows.

    Their hyperbolic tangents are partial correlations, which break sticks of length 1 row by row
    (Lewandowski, Kurowicka, Joe, "Generating random correlation matrices based on vines and
    extended onion method", 2009).
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        eps = dtypes.finfo(x.dtype).eps
        partial = vec_to_tril_matrix(x.tanh().clamp(min=-1 + eps, max=1 - eps), diag=-1)
        left = (1 - partial**2).sqrt().cumprod(-1)
        rows = partial + eye(partial.shape[-1], dtype=x.dtype)
        return rows * pad(left[..., :-1], (1, 0), value=1.0)

    def _inverse(self, y: Tensor) -> Tensor:
        left = pad((1 - (y * y).cumsum(-1))[..., :-1], (1, 0), value=1.0)
        partial = tril_matrix_to_vec(y, diag=-1) / tril_matrix_to_vec(left, diag=-1).sqrt()
        return (partial.log1p() - (-partial).log1p()) / 2

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        left = tril_matrix_to_vec(1 - (y * y).cumsum(-1), diag=-2)
        sticks = 0.5 * left.log().sum(-1)
        return sticks - 2 * (x + softplus(-2 * x) - math.log(2.0)).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        if len(shape) < 1:
            raise ValueError("Too few dimensions on input")
        n = round((0.25 + 2 * shape[-1]) ** 0.5 + 0.5)
        if n * (n - 1) // 2 != shape[-1]:
            raise ValueError("Input is not a flattened lower-diagonal number")
        return Size((*shape[:-1], n, n))

    def inverse_shape(self, shape: Any) -> Any:
        if len(shape) < 2:
            raise ValueError("Too few dimensions on input")
        if shape[-2] != shape[-1]:
            raise ValueError("Input is not square")
        return Size((*shape[:-2], shape[-1] * (shape[-1] - 1) // 2))
