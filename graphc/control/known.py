"""Steps of loops that graphc itself writes: traced once, also for tensors outside of traces."""

from dataclasses import dataclass
from typing import Any

from graphc.control.step import NotOneGraphError, Run, Step, Tensors
from graphc.modes import MODES
from graphc.sizes import product
from graphc.tracing import Trace, suspended


def traced_step(
    run: Run, carries: Tensors, sequences: Tensors, reverse: bool, name: str
) -> Step | None:
    """The step as a graph of the trace that is active, if it is one graph."""
    try:
        step = Step(run, carries, sequences, reverse, name)
    except NotOneGraphError:
        return None
    return step if all(product(n.shape) != 0 for n in step.graph.outputs) else None


@dataclass
class Known:
    """A step that is the same each time, but for the tensors that it is given.

    about    tells it from other steps in the same store
    outside  all tensors that it reads beside its carries and slices
    """

    store: dict[Any, "tuple[Step, list[int]] | None"]
    about: Any
    outside: Tensors

    def step(
        self, run: Run, carries: Tensors, sequences: Tensors, reverse: bool, name: str
    ) -> "tuple[Step, Tensors] | None":
        """The step, traced for tensors of these types, and its constants."""
        given = (*carries, *sequences, *self.outside)
        facts = tuple((t._type, t._tracked(), t._weak) for t in given)
        key = (self.about, len(carries), len(sequences), reverse, MODES.grad, MODES.autocast, facts)
        if key not in self.store:
            if len(self.store) >= _MOST:
                self.store.clear()
            self.store[key] = self._new(run, carries, sequences, reverse, name)
        found = self.store[key]
        return None if found is None else (found[0], [self.outside[i] for i in found[1]])

    def _new(
        self, run: Run, carries: Tensors, sequences: Tensors, reverse: bool, name: str
    ) -> "tuple[Step, list[int]] | None":
        with suspended(Trace(), MODES.grad):
            here, sliced = ([t._here() for t in each] for each in (carries, sequences))
            step = traced_step(run, here, sliced, reverse, name)
        if step is None:
            return None
        places = {id(t): i for i, t in enumerate(self.outside)}
        numbers = [places.get(id(t._origin)) for t in step.constants]
        step.constants = []  # they belong to this call
        return (step, numbers) if None not in numbers else None  # type: ignore[return-value]


_MOST = 64  # traced steps in a store; loops over ever new types start over
