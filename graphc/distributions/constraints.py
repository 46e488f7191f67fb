"""Sets of values: what parameters may be, and what distributions give (their support).

``check`` tells for each event whether it lies in the set; ``event_dim`` dimensions from the right
make one event. :data:`dependent` stands for a set that depends on other parameters.
"""

from collections.abc import Callable, Sequence
from typing import Any

from graphc import dtypes
from graphc.functions.closeness import isclose
from graphc.functions.creation import full
from graphc.functions.joining import cat as joined
from graphc.functions.joining import stack as stacked
from graphc.functions.norms import norm
from graphc.linalg import cholesky_ex, eigvalsh
from graphc.tensor import Tensor


class Constraint:
    """A set of values."""

    is_discrete: Any = False
    event_dim: Any = 0

    def check(self, value: Any) -> Any:
        """Whether each event lies in the set: bool, of the shape without the event dimensions."""
        raise NotImplementedError

    def _bounds(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in vars(self).items())

    def __repr__(self) -> str:
        return f"{type(self).__name__.lstrip('_')}({self._bounds()})"


# ------------------------------------------------------------------------------- known only later


class _Dependent(Constraint):
    """A set that depends on other parameters; attributes that are not given are unknown."""

    def __init__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented):
        self._known = {"is_discrete": is_discrete, "event_dim": event_dim}

    def _get(self, name: str) -> Any:
        if self._known[name] is NotImplemented:
            raise NotImplementedError(f".{name} cannot be determined statically")
        return self._known[name]

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return bool(self._get("is_discrete"))

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return int(self._get("event_dim"))

    def __call__(self, **known: Any) -> "_Dependent":
        return _Dependent(**{**self._known, **known})

    def check(self, value: Any) -> Any:
        del value
        raise ValueError("Cannot determine validity of dependent constraint")


class _DependentProperty(property, _Dependent):
    """A property that gives a set; on the class itself it is a dependent set."""

    def __init__(
        self,
        function: Callable[..., Any] | None = None,
        *,
        is_discrete: Any = NotImplemented,
        event_dim: Any = NotImplemented,
    ) -> None:
        property.__init__(self, function)
        _Dependent.__init__(self, is_discrete=is_discrete, event_dim=event_dim)

    def __call__(self, function: Callable[..., Any]) -> Any:  # type: ignore[override]
        return _DependentProperty(function, **self._known)


def is_dependent(constraint: Any) -> bool:
    """Whether a set depends on other parameters."""
    return isinstance(constraint, _Dependent)


# ----------------------------------------------------------------------------------- made of others


def _all_of(result: Tensor, dims: int) -> Tensor:
    return result.reshape(*result.shape[: result.ndim - dims], -1).all(-1) if dims else result


class _IndependentConstraint(Constraint):
    """Events whose parts all lie in a set; some more dimensions make one event."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int) -> None:
        self.base_constraint = base_constraint
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    @property
    def is_discrete(self) -> Any:  # type: ignore[override]
        return self.base_constraint.is_discrete

    @property
    def event_dim(self) -> Any:  # type: ignore[override]
        return self.base_constraint.event_dim + self.reinterpreted_batch_ndims

    def check(self, value: Any) -> Any:
        result = self.base_constraint.check(value)
        if result.ndim < self.reinterpreted_batch_ndims:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.ndim}")
        return _all_of(result, self.reinterpreted_batch_ndims)

    def _bounds(self) -> str:
        return f"{self.base_constraint!r}, {self.reinterpreted_batch_ndims}"


class MixtureSameFamilyConstraint(Constraint):
    """Events that lie in the sets of all components."""

    def __init__(self, base_constraint: Constraint) -> None:
        self.base_constraint = base_constraint

    @property
    def is_discrete(self) -> Any:  # type: ignore[override]
        return self.base_constraint.is_discrete

    @property
    def event_dim(self) -> Any:  # type: ignore[override]
        return self.base_constraint.event_dim

    def check(self, value: Any) -> Any:
        if value.ndim < self.event_dim:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.ndim}")
        result = self.base_constraint.check(value.unsqueeze(-1 - self.event_dim))
        return _all_of(result, result.ndim - (value.ndim - self.event_dim))

    def _bounds(self) -> str:
        return repr(self.base_constraint)


class _Parts(Constraint):
    """Parts along a dimension, each with its own set."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0) -> None:
        self.cseq = list(cseq)
        self.dim = dim

    @property
    def is_discrete(self) -> Any:  # type: ignore[override]
        return any(c.is_discrete for c in self.cseq)


class _Cat(_Parts):
    """Parts of several lengths."""

    def __init__(
        self, cseq: Sequence[Constraint], dim: int = 0, lengths: Sequence[int] | None = None
    ) -> None:
        super().__init__(cseq, dim)
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.cseq):
            raise AssertionError(
                f"lengths ({len(self.lengths)}) must match cseq ({len(self.cseq)})"
            )

    @property
    def event_dim(self) -> Any:  # type: ignore[override]
        return max(c.event_dim for c in self.cseq)

    def check(self, value: Any) -> Any:
        checks, start = [], 0
        for constraint, length in zip(self.cseq, self.lengths, strict=True):
            checks.append(constraint.check(value.narrow(self.dim, start, length)))
            start += length
        return joined(checks, self.dim)


class _Stack(_Parts):
    """Slices."""

    @property
    def event_dim(self) -> Any:  # type: ignore[override]
        inner = max(c.event_dim for c in self.cseq)
        return inner + 1 if self.dim + inner < 0 else inner

    def check(self, value: Any) -> Any:
        slices = [value.select(self.dim, i) for i in range(value.shape[self.dim])]
        checks = [c.check(part) for part, c in zip(slices, self.cseq, strict=True)]
        return stacked(checks, self.dim)


# ------------------------------------------------------------------------------------------ numbers


class _Boolean(Constraint):
    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value == 0) | (value == 1)


class _Real(Constraint):
    def check(self, value: Any) -> Any:
        return value == value


class _Bounded(Constraint):
    """Numbers between bounds, where there are any."""

    lower_is_in = upper_is_in = True

    def __init__(self, **bounds: Any) -> None:
        vars(self).update(bounds)

    def check(self, value: Any) -> Any:
        given = vars(self)
        checks = []
        if "lower_bound" in given:
            low = given["lower_bound"]
            checks.append(value >= low if self.lower_is_in else value > low)
        if "upper_bound" in given:
            high = given["upper_bound"]
            checks.append(value <= high if self.upper_is_in else value < high)
        if self.is_discrete:
            checks.append(value % 1 == 0)
        result = checks[0]
        for check in checks[1:]:
            result = result & check
        return result


class _IntegerInterval(_Bounded):
    is_discrete = True


class _IntegerGreaterThan(_Bounded):
    is_discrete = True


class _GreaterThan(_Bounded):
    lower_is_in = False


class _GreaterThanEq(_Bounded):
    pass


class _LessThan(_Bounded):
    upper_is_in = False


class _Interval(_Bounded):
    pass


class _HalfOpenInterval(_Bounded):
    upper_is_in = False


# ------------------------------------------------------------------------------------------ vectors


class _OneHot(Constraint):
    is_discrete = True
    event_dim = 1

    def check(self, value: Any) -> Any:
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


class _Simplex(Constraint):
    event_dim = 1

    def check(self, value: Any) -> Any:
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class _Multinomial(Constraint):
    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Any) -> Any:
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)

    def _bounds(self) -> str:
        return ""


# ----------------------------------------------------------------------------------------- matrices


class _LowerTriangular(Constraint):
    event_dim = 2

    def check(self, value: Any) -> Any:
        return _all_of(value.tril() == value, 2)


class _LowerCholesky(_LowerTriangular):
    def check(self, value: Any) -> Any:
        positive = (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)
        return super().check(value) & positive


class _CorrCholesky(_LowerCholesky):
    def check(self, value: Any) -> Any:
        tolerance = dtypes.finfo(value.dtype).eps * value.shape[-1] * 10
        lengths = norm(value.detach(), dim=-1)
        return super().check(value) & ((lengths - 1).abs() <= tolerance).all(-1)


class _Square(Constraint):
    event_dim = 2

    def check(self, value: Any) -> Any:
        square = value.shape[-2] == value.shape[-1]
        return full(value.shape[:-2], square, dtype=dtypes.bool_)


class _Symmetric(_Square):
    def check(self, value: Any) -> Any:
        if value.shape[-2] != value.shape[-1]:
            return super().check(value)
        return _all_of(isclose(value, value.mT, atol=1e-6), 2)


class _PositiveSemidefinite(_Symmetric):
    def check(self, value: Any) -> Any:
        symmetric = super().check(value)
        if value.shape[-2] != value.shape[-1]:
            return symmetric
        return symmetric & (eigvalsh(value) >= 0).all(-1)


class _PositiveDefinite(_Symmetric):
    def check(self, value: Any) -> Any:
        symmetric = super().check(value)
        if value.shape[-2] != value.shape[-1]:
            return symmetric
        return symmetric & (cholesky_ex(value).info == 0)


def greater_than(lower_bound: Any) -> Constraint:
    """Numbers above a bound."""
    return _GreaterThan(lower_bound=lower_bound)


def greater_than_eq(lower_bound: Any) -> Constraint:
    """Numbers from a bound on."""
    return _GreaterThanEq(lower_bound=lower_bound)


def less_than(upper_bound: Any) -> Constraint:
    """Numbers below a bound."""
    return _LessThan(upper_bound=upper_bound)


def interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Numbers between two bounds, both included."""
    return _Interval(lower_bound=lower_bound, upper_bound=upper_bound)


def half_open_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Numbers between two bounds, the upper one excluded."""
    return _HalfOpenInterval(lower_bound=lower_bound, upper_bound=upper_bound)


def integer_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Integers between two bounds, both included."""
    return _IntegerInterval(lower_bound=lower_bound, upper_bound=upper_bound)


dependent = _Dependent()
dependent_property = _DependentProperty
independent = _IndependentConstraint
boolean = _Boolean()
one_hot = _OneHot()
nonnegative_integer = _IntegerGreaterThan(lower_bound=0)
positive_integer = _IntegerGreaterThan(lower_bound=1)
real = _Real()
real_vector = independent(real, 1)
positive = greater_than(0.0)
nonnegative = greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
simplex = _Simplex()
multinomial = _Multinomial
lower_triangular = _LowerTriangular()
lower_cholesky = _LowerCholesky()
corr_cholesky = _CorrCholesky()
square = _Square()
symmetric = _Symmetric()
positive_semidefinite = _PositiveSemidefinite()
positive_definite = _PositiveDefinite()
cat = _Cat
stack = _Stack
