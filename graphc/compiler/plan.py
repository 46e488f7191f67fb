"""The plan of a specialisation's calls: what it assumes, does, and gives.

:mod:`graphc.compiler.specialise` makes one from a trace, :mod:`graphc.compiler.dispatch` turns it
into a function.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graphc.compiler.guards import Guard
from graphc.ir import TensorType
from graphc.tensor import Tensor, View
from graphc.trees import Tree

if TYPE_CHECKING:
    from graphc.compiler.executable import Executable
    from graphc.compiler.pullbacks import CompiledBackward
    from graphc.compiler.segments import Course


@dataclass(frozen=True)
class Argument:
    """Leaf ``number`` of the arguments."""

    number: int


@dataclass(frozen=True, eq=False)
class Captured:
    """A tensor that the guard finds at the same place again."""

    tensor: Tensor


@dataclass(frozen=True)
class Slot:
    """What a dict or a closure cell holds: the function puts another tensor there at every run."""

    container: Any
    key: Any

    def __hash__(self) -> int:
        return hash((id(self.container), self.key))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Slot):
            return False
        return other.container is self.container and bool(other.key == self.key)


@dataclass(frozen=True)
class GradOf:
    """The ``.grad`` of another input."""

    owner: "Source"


@dataclass(frozen=True)
class BaseOf:
    """The tensor that an input is a view of."""

    view: "Source"


Source = Argument | Captured | Slot | GradOf | BaseOf


@dataclass
class TensorPlan:
    """One tensor among the graph's inputs."""

    source: Source
    others: tuple[Source, ...]  # further ways to the same tensor
    kind: type
    type: TensorType
    requires_grad: bool
    leaf: bool
    strides: tuple[int, ...] | None  # None: C-contiguous and aligned; () means any other layout
    written: bool
    hooks: tuple[int, ...] | None  # what hooks it has, where that matters
    text: str
    attributes: dict[str, Any]  # what the user's program keeps on it


@dataclass
class NumberPlan:
    """One float among the graph's inputs: an argument, or ``container[key]``."""

    leaf: int | None
    container: Any = None
    key: Any = None
    text: str = ""


@dataclass(frozen=True, eq=False)
class Fixed:
    """A Python value that is the same at every run."""

    value: Any


@dataclass(frozen=True)
class Output:
    """Output ``number`` of the graph; ``item`` as a Python number."""

    number: int
    item: bool = False


@dataclass(frozen=True)
class Input:
    """Input ``number`` of the graph itself: a tensor, or the float that was passed."""

    number: int


@dataclass(frozen=True, eq=False)
class ViewOf:
    """A view of another result, taken anew; recorded on the tape or not."""

    of: "Result"
    view: View
    recorded: bool


@dataclass(frozen=True, eq=False)
class Nest:
    """A container of results."""

    tree: Tree
    parts: "tuple[Result, ...]"


Result = Fixed | Output | Input | ViewOf | Nest


@dataclass
class Plan:
    """Everything that a run assumes, does and gives."""

    tree: Tree
    leaves: list[Any]  # None where a tensor or a run-time float stands
    leaf_names: list[str]
    inputs: list[TensorPlan | NumberPlan]
    same: list[tuple[int, int]]  # leaves that are one object
    views: list[tuple[int, View, int]]  # leaf, its view chain, the input that is its base
    grads: list[tuple[int, bool]]  # input, whether its .grad was None
    grad_mode: bool
    autocast: Any  # the region of graphc.autocasting, or None
    guard: Guard
    executable: "Executable"
    visible: int  # outputs of the graph that the caller gets; the rest is saved for backward
    backward: "CompiledBackward | None"
    leaves_made: dict[int, bool]  # outputs that are leaves requiring gradients
    ending: dict[int, RuntimeError | None]  # tracked outputs from which no gradient goes on
    flags: list[tuple[int, bool]] = field(default_factory=list)  # requires_grad set in the run
    detached: list[int] = field(default_factory=list)
    tape_writes: list[tuple[int, int]] = field(default_factory=list)  # input, output: its new node
    grad_writes: list[tuple[int, Result]] = field(default_factory=list)
    effects: list[tuple[Any, Any, Result | None]] = field(default_factory=list)
    grad_mode_after: bool | None = None
    result: Result = field(default_factory=lambda: Fixed(None))
    course: "Course | None" = None  # what runs before the executable, and decides whether it may
    random: bool = False  # draws from a generator, whose state threads take turns to advance


class Hole:
    """Stands among the leaves for a tensor, or for a float that is read at every call."""

    def __init__(self, number: bool) -> None:
        self.number = number


TENSOR_LEAF = Hole(False)
NUMBER_LEAF = Hole(True)


def result_tree(tree: Tree, leaves: Iterable[Result]) -> Result:
    """A nest of results, from the tree and its leaves in order."""
    items = iter(leaves)

    def build(part: Tree) -> Result:
        if part.kind is None:
            return next(items)
        return Nest(part, tuple(build(child) for child in part.children))

    return build(tree)
