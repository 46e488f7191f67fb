"""From unconstrained numbers to a set of values: ``biject_to`` and ``transform_to``."""

from collections.abc import Callable
from typing import Any

from graphc.distributions import constraints, transforms
from graphc.distributions.constraints import Constraint
from graphc.distributions.transforms import Transform

Factory = Callable[[Any], Transform]


class ConstraintRegistry:
    """Finds the transform whose values are the set of a constraint.

    ``register(constraint_type, factory)``, also as a decorator, adds a rule. Calling it for a
    constraint without a rule raises NotImplementedError.
    """

    def __init__(self) -> None:
        self._rules: dict[type[Constraint], Factory] = {}

    def register(self, constraint: Any, factory: Factory | None = None) -> Any:
        """The transform of a type of constraints (or of the type of one) is ``factory(it)``."""
        if factory is None:
            return lambda given: self.register(constraint, given)
        kind = type(constraint) if isinstance(constraint, Constraint) else constraint
        if not (isinstance(kind, type) and issubclass(kind, Constraint)):
            raise TypeError(
                "Expected constraint to be either a Constraint subclass or instance, but got "
                f"{kind}"
            )
        self._rules[kind] = factory
        return factory

    def __call__(self, constraint: Constraint) -> Transform:
        rule = self._rules.get(type(constraint))
        if rule is None:
            raise NotImplementedError(f"Cannot transform {type(constraint).__name__} constraints")
        return rule(constraint)


biject_to = ConstraintRegistry()
"""Transforms that are bijective, for densities."""
transform_to = ConstraintRegistry()
"""Transforms that need not be, for optimisation."""


def _above(constraint: Any) -> Transform:
    loc = constraint.lower_bound
    return transforms.ComposeTransform(
        [transforms.ExpTransform(), transforms.AffineTransform(loc, 1)]
    )


def _positive(_: Any) -> Transform:
    return transforms.ExpTransform()


def _below(constraint: Any) -> Transform:
    return transforms.ComposeTransform(
        [transforms.ExpTransform(), transforms.AffineTransform(constraint.upper_bound, -1)]
    )


def _between(constraint: Any) -> Transform:
    low, high = constraint.lower_bound, constraint.upper_bound
    if isinstance(low, (int, float)) and (low, high) == (0, 1):
        return transforms.SigmoidTransform()
    return transforms.ComposeTransform(
        [transforms.SigmoidTransform(), transforms.AffineTransform(low, high - low)]
    )


def _lower(constraint: Any) -> Transform:
    zero = isinstance(constraint.lower_bound, (int, float)) and constraint.lower_bound == 0
    return _positive(constraint) if zero else _above(constraint)


def _fill(registry: ConstraintRegistry) -> None:
    """The rules that both registries have; sets made of others ask for the rules of these."""

    def independent(constraint: Any) -> Transform:
        base = registry(constraint.base_constraint)
        return transforms.IndependentTransform(base, constraint.reinterpreted_batch_ndims)

    def cat(constraint: Any) -> Transform:
        parts = [registry(c) for c in constraint.cseq]
        return transforms.CatTransform(parts, constraint.dim, constraint.lengths)

    def stack(constraint: Any) -> Transform:
        return transforms.StackTransform([registry(c) for c in constraint.cseq], constraint.dim)

    rules: list[tuple[Any, Factory]] = [
        (constraints.real, lambda _: transforms.identity_transform),
        (constraints.independent, independent),
        (constraints.positive, _lower),
        (constraints.nonnegative, _lower),
        (constraints.less_than(0), _below),
        (constraints.unit_interval, _between),
        (constraints.half_open_interval(0, 1), _between),
        (constraints.corr_cholesky, lambda _: transforms.CorrCholeskyTransform()),
        (constraints.cat, cat),
        (constraints.stack, stack),
    ]
    for constraint, factory in rules:
        registry.register(constraint, factory)


_fill(biject_to)
_fill(transform_to)
biject_to.register(constraints.simplex, lambda _: transforms.StickBreakingTransform())
transform_to.register(constraints.simplex, lambda _: transforms.SoftmaxTransform())
transform_to.register(constraints.lower_cholesky, lambda _: transforms.LowerCholeskyTransform())
for _definite in (constraints.positive_definite, constraints.positive_semidefinite):
    transform_to.register(_definite, lambda _: transforms.PositiveDefiniteTransform())
