"""Random programs in PyTorch's words, made so that every correct implementation agrees on them.

A program is made line by line while PyTorch runs it: a line that PyTorch refuses is left out, and
what is known of each value (is it exact, how precise) decides which lines may use it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from tests.fuzz.lines import LINES, Line

SHAPES = [(3, 4), (4,), (1, 4), (3, 1), (), (2, 3, 4), (3, 3), (0, 4), (5,), (2, 1, 3)]
DTYPES = ["float32", "float32", "float64", "float32", "int64", "int32", "bool", "uint8"]
LAYOUTS = ["contiguous", "contiguous", "transposed", "sliced"]
LARGEST = 1e4  # values beyond are not kept: rounding differences would grow with them
MOST_ELEMENTS = 400

# How far apart two correct results may be, relative to the largest value of the program.
EXACT, DOUBLE, SINGLE, HALF = 0.0, 1e-9, 3e-5, 3e-2

Choose = Callable[[int], int]


@dataclass(frozen=True)
class Given:
    """One argument of a program."""

    shape: tuple[int, ...]
    dtype: str
    layout: str
    requires_grad: bool
    salt: int

    def array(self) -> np.ndarray[Any, Any]:
        """Multiples of 1/8 between -2 and 2, small integers, or truth values."""
        shape = self.shape
        if self.layout == "transposed":
            shape = shape[::-1]
        elif self.layout == "sliced":
            shape = tuple(2 * n for n in shape)
        count = int(np.prod(shape))
        numbers = (np.arange(count) * 7919 + self.salt * 104729 + 17) % 1009
        if self.dtype == "bool":
            data = numbers % 3 == 0
        elif self.dtype.startswith("float"):
            data = (numbers % 33 - 16) / 8
        else:
            data = numbers % 9 - (0 if self.dtype == "uint8" else 4)
        array = np.asarray(data).astype(self.dtype).reshape(shape)
        if self.layout == "transposed":
            return array.transpose()
        if self.layout == "sliced":
            return np.asarray(array[tuple(slice(None, None, 2) for _ in shape)])
        return array

    def tensor(self, library: Any) -> Any:
        made = library.from_numpy(self.array())
        return made.requires_grad_() if self.requires_grad else made


@dataclass(frozen=True)
class Program:
    """A function of its arguments, as text."""

    given: tuple[Given, ...]
    lines: tuple[str, ...]
    gradient: str = ""  # the line that computes gradients, inside the program
    precision: Mapping[str, float] = field(default_factory=dict)  # of each value by name

    def limit(self, name: str) -> float:
        """How far apart two correct results of that name may be; of a gradient, the worst."""
        known = self.precision.get(name)
        return max([SINGLE, *self.precision.values()]) if known is None else known

    def without(self, number: int) -> "Program":
        return replace(self, lines=self.lines[:number] + self.lines[number + 1 :])

    @property
    def results(self) -> list[str]:
        made = [line.split(" = ")[0] for line in self.lines if line.startswith("v")]
        return [name for name in made if name.isidentifier()]

    def __str__(self) -> str:
        names = [f"x{i}" for i in range(len(self.given))]
        body = [*self.lines, *([self.gradient] if self.gradient else [])]
        last = [*self.results, *(["*gradients"] if self.gradient else [])]
        text = "".join(f"    {line}\n" for line in body)
        comments = "".join(f"# x{i}: {g}\n" for i, g in enumerate(self.given))
        return f"{comments}def program({', '.join(names)}):\n{text}    return [{', '.join(last)}]\n"

    def function(self, library: Any) -> Callable[..., list[Any]]:
        scope: dict[str, Any] = {"torch": library}
        exec(compile(str(self), "<program>", "exec"), scope)
        return scope["program"]


@dataclass
class _Maker:
    choose: Choose
    values: dict[str, Any] = field(default_factory=dict)
    precision: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    detached: list[str] = field(default_factory=list)

    def given(self) -> tuple[Given, ...]:
        made = []
        for i in range(2 + self.choose(3)):
            dtype = DTYPES[self.choose(len(DTYPES))] if i else "float32"
            grad = dtype.startswith("float") and self.choose(2) == 0
            shape = SHAPES[self.choose(len(SHAPES))]
            given = Given(shape, dtype, LAYOUTS[self.choose(len(LAYOUTS))], grad, i)
            self.values[f"x{i}"] = given.tensor(torch)
            self.precision[f"x{i}"] = EXACT
            made.append(given)
        return tuple(made)

    def add(self) -> None:
        """One more line, unless nothing fits or PyTorch refuses it."""
        line = LINES[self.choose(len(LINES))]
        names = [self._operand(kind) for kind in line.kinds]
        if None in names:
            return
        first = self.values[names[0]]
        dim = self.choose(max(first.ndim, 1))
        size = first.shape[dim] if first.ndim else 1
        text = line.text.format(
            **dict(zip("abc", names, strict=False)),
            d=dim,
            i=self.choose(max(size, 1)),
            k=self.choose(4),
            n=(self.choose(9) - 4) / 4,
            s=tuple(SHAPES[self.choose(len(SHAPES))]),
        )
        if line.writes:
            self._write(line, text, names)
        else:
            self._compute(line, text, names)

    def _operand(self, kind: str) -> str | None:
        fits = [name for name in self.values if self._fits(kind, name)]
        # The most recent values are the most likely ones: programs get deep.
        return fits[max(self.choose(len(fits)), self.choose(len(fits)))] if fits else None

    def _fits(self, kind: str, name: str) -> bool:
        dtype = self.values[name].dtype
        if kind.isupper() and self.precision[name] != EXACT:
            return False
        letter = kind.lower()
        if dtype == torch.bool:
            return letter in "bx"
        if dtype.is_floating_point:
            return letter in "fnx"
        return letter in "inx"

    def _compute(self, line: Line, text: str, names: list[str]) -> None:
        name = f"v{len(self.lines)}"
        try:
            value = eval(text, {"torch": torch, **self.values})
        except (RuntimeError, IndexError, ValueError, TypeError):
            return
        if value.numel() > MOST_ELEMENTS or not _moderate(value):
            return
        self.values[name] = value
        self.precision[name] = self._reached(line, names, value)
        if ".detach()" in text:
            self.detached.append(name)
        self.lines.append(f"{name} = {text}")

    def _write(self, line: Line, text: str, names: list[str]) -> None:
        target = self.values[names[0]]
        if any(step == 0 and n > 1 for step, n in zip(target.stride(), target.shape, strict=True)):
            return  # which of the elements that share a place is written last?
        place = target.untyped_storage().data_ptr()
        others = (self.values[name] for name in names[1:])
        if any(value.untyped_storage().data_ptr() == place for value in others):
            return  # PyTorch does not say what becomes of memory that is read while it is written
        detached = any(self.values[n].untyped_storage().data_ptr() == place for n in self.detached)
        if detached and any(self.values[name].requires_grad for name in names):
            return  # graphc follows such a write to the tensor that is written, not to its views
        try:
            exec(text, {"torch": torch}, dict(self.values))
        except (RuntimeError, IndexError, ValueError, TypeError):
            return
        self.lines.append(text)
        reached = self._reached(line, names, target)
        for name, value in self.values.items():
            if value.untyped_storage().data_ptr() == place:
                self.precision[name] = max(self.precision[name], reached)

    def _reached(self, line: Line, names: list[str], value: Any) -> float:
        before = max(self.precision[name] for name in names)
        if line.keeps and (before == EXACT or value.dtype != torch.bfloat16):
            return before
        own = {torch.float64: DOUBLE, torch.float32: SINGLE, torch.bfloat16: HALF}
        kinds = [own.get(x.dtype, EXACT) for x in (value, *(self.values[n] for n in names))]
        return max(before, *kinds)

    def gradient(self, given: tuple[Given, ...]) -> str:
        """A line that differentiates what can be, or nothing."""
        tracked = [
            n for n, v in self.values.items()
            if v.requires_grad and n.startswith("v") and v.dtype.is_floating_point
        ]  # fmt: skip
        inputs = [f"x{i}" for i, g in enumerate(given) if g.requires_grad]
        if not tracked or not inputs:
            return ""
        loss = " + ".join(f"({n} * 0.5).sum()" for n in tracked[-4:])
        line = f"torch.autograd.grad({loss}, [{', '.join(inputs)}], allow_unused=True)"
        try:
            found = eval(line, {"torch": torch, **self.values})
        except RuntimeError:
            return ""  # a value was overwritten that the gradient needs
        if not all(g is None or _moderate(g) for g in found):
            return ""
        return f"gradients = {line}"


def _moderate(value: Any) -> bool:
    if value.dtype == torch.bool or value.numel() == 0:
        return True
    wide = value.detach().double()
    return bool(wide.isfinite().all() and wide.abs().max() < LARGEST)


def make(choose: Choose, shortest: int = 20, longest: int = 60) -> Program:
    """A program that PyTorch runs; ``choose(n)`` picks a number below ``n``."""
    maker = _Maker(choose)
    given = maker.given()
    count = shortest + choose(longest - shortest + 1)
    for _ in range(6 * count):
        if len(maker.lines) >= count:
            break
        maker.add()
    gradient = maker.gradient(given) if choose(3) else ""
    return Program(given, tuple(maker.lines), gradient, maker.precision)
