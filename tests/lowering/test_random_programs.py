"""Random graphs: whatever is fused, stored or updated, the values are those of the graph."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from graphc import dtypes
from graphc.ir import Node
from tests.lowering.lowered_programs import check, full, graph_of, row

SIZES = (1, 2, 3, 4)
UNARY = ("neg", "relu", "tanh", "abs", "sigmoid", "square")
BINARY = ("add", "sub", "mul", "maximum")


class Grower:
    """Grows a graph from decisions drawn by hypothesis."""

    def __init__(self, draw: Any, nodes: list[Node]) -> None:
        self.draw = draw
        self.nodes = nodes

    def pick(self, options: Any) -> Any:
        return self.draw(st.sampled_from(list(options)))

    def step(self) -> None:
        x = self.pick(self.nodes)
        kind = self.pick(
            (
                "unary",
                "binary",
                "binary",
                "reduce",
                "reduce",
                "view",
                "view",
                "contract",
                "soft",
                "window",
                "pad",
                "cat",
                "put",
            )
        )
        made = getattr(self, kind)(x)
        if made is not None and 0 < made.ndim <= 5:
            self.nodes.append(made)

    def unary(self, x: Node) -> Node:
        return getattr(row, self.pick(UNARY))(x)

    def binary(self, x: Node) -> Node | None:
        fitting = [y for y in self.nodes if _broadcasts(x.shape, y.shape)]
        y = self.pick(fitting)
        return getattr(row, self.pick(BINARY))(x, y) * 0.5

    def reduce(self, x: Node) -> Node:
        dims = tuple(d for d in range(x.ndim) if self.draw(st.booleans())) or (x.ndim - 1,)
        keep = self.draw(st.booleans()) or len(dims) == x.ndim
        name = self.pick(("sum", "amax", "amin", "sum"))
        y = getattr(row, name)(x, dims=dims, keepdim=keep)
        return y * 0.25 if name == "sum" else y

    def soft(self, x: Node) -> Node:
        return row.softmax(x, dim=self.pick(range(x.ndim)))

    def view(self, x: Node) -> Node:
        kind = self.pick(("reshape", "permute", "slice", "flip", "expand"))
        if kind == "reshape":
            total = 1
            for size in x.shape:
                total *= size
            return row.reshape(x, shape=self.pick(_shapes_of(total)))
        if kind == "permute":
            return row.permute(x, dims=tuple(self.draw(st.permutations(range(x.ndim)))))
        if kind == "flip":
            return row.flip(x, dims=(self.pick(range(x.ndim)),))
        if kind == "expand":
            shape = tuple(3 if n == 1 else n for n in x.shape)
            return row.expand(x, shape=shape) if shape != x.shape else x
        starts = tuple(self.draw(st.integers(0, n - 1)) for n in x.shape)
        steps = tuple(self.draw(st.integers(1, 2)) for _ in x.shape)
        return row.slice(x, starts=starts, stops=tuple(x.shape), steps=steps)

    def window(self, x: Node) -> Node | None:
        d = self.pick(range(x.ndim))
        if x.shape[d] < 2 or x.ndim > 3:
            return None
        attrs = {"dims": (d,), "sizes": (2,), "strides": (self.pick((1, 2)),), "dilations": (1,)}
        y = row.window(x, **attrs)
        if self.draw(st.booleans()):
            return row.fold(row.tanh(y), shape=tuple(x.shape), **attrs)
        return row.amax(y, dims=(y.ndim - 1,), keepdim=False)

    def pad(self, x: Node) -> Node:
        d = self.pick(range(x.ndim))
        before = tuple(int(i == d) for i in range(x.ndim))
        return row.pad(x, before=before, after=before[::-1], value=0.5)

    def cat(self, x: Node) -> Node:
        return row.cat(row.neg(x), x, dim=self.pick(range(x.ndim)))

    def put(self, x: Node) -> Node:
        at = row.expand(
            row.reshape(row.argmax(x, dims=(0,), keepdim=True), shape=(1, *x.shape[1:])),
            shape=(self.pick((1, 2)), *x.shape[1:]),
        )
        values = row.expand(
            row.reshape(row.amax(x, dims=(0,), keepdim=True), shape=(1, *x.shape[1:])),
            shape=tuple(at.shape),
        )
        made = row.scatter(x, at, values, dim=0, add=self.draw(st.booleans()))
        return made * full(made, 0.5)

    def contract(self, x: Node) -> Node | None:
        fitting = [
            y for y in self.nodes if y.ndim == 2 and x.ndim == 2 and y.shape[0] == x.shape[1]
        ]
        if not fitting:
            return None
        return row.contract(x, self.pick(fitting), spec="mk,kn->mn") * 0.3


def _broadcasts(a: Any, b: Any) -> bool:
    return all(m == n or m == 1 or n == 1 for m, n in zip(a[::-1], b[::-1], strict=False))


def _shapes_of(total: int) -> list[tuple[int, ...]]:
    found = [(total,), (1, total)]
    found += [(k, total // k) for k in (2, 3, 4, 6) if total % k == 0]
    found += [(2, k, total // k // 2) for k in (2, 3) if total % (2 * k) == 0]
    return found


@settings(max_examples=150)
@given(st.data())
def test_random_programs(data: st.DataObject) -> None:
    shapes = [
        tuple(data.draw(st.lists(st.sampled_from(SIZES), min_size=1, max_size=3)))
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    shapes.append((4, 4))

    def build(*inputs: Node) -> Any:
        grower = Grower(data.draw, list(inputs))
        for _ in range(data.draw(st.integers(1, 14))):
            grower.step()
        made = grower.nodes[len(inputs) :]
        outputs = [n for n in made if data.draw(st.booleans())] or grower.nodes[-1:]
        writes = []
        for target in inputs:
            fitting = [n for n in grower.nodes if n.shape == target.shape and n is not target]
            if fitting and data.draw(st.booleans()):
                writes.append((target, data.draw(st.sampled_from(fitting))))
        return tuple(outputs), writes

    lowered = check(graph_of(build, *shapes), tolerance=2e-3)
    assert lowered.program.arena_bytes <= 1.3 * max(lowered.explanation.arena_live, 1)


def test_dtypes_meet_in_one_kernel() -> None:
    def build(x: Node, i: Node) -> Any:
        wide = row.cast(i, dtype=dtypes.float32) + x
        return wide, row.cast(wide, dtype=dtypes.int32), row.gt(wide, full(wide, 0.5))

    check(graph_of(build, (4, 5), (5,), kinds=(dtypes.float32, dtypes.int64)))
