"""A specialisation's run, as lines of its function: memory in, the native call, results out."""

import struct
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np

from graphc.compiler.checks import Checks
from graphc.compiler.plan import Fixed, Input, NumberPlan, Output, Result, TensorPlan, ViewOf
from graphc.compiler.segments import Course
from graphc.compiler.sharing import address_reader, bytes_of
from graphc.generator import _LOCK as RANDOM_LOCK
from graphc.memory import LARGE, reused
from graphc.modes import MODES
from graphc.nn.module import STRUCTURE
from graphc.tape import ending_node
from graphc.tensor import Tensor, View


class Run:
    """Writes what happens once all checks have passed."""

    def __init__(self, checks: Checks) -> None:
        self.plan = checks.plan
        self.code = checks.code
        self.names = checks.names
        self.leaf = checks.leaf
        self.results: dict[int, str] = {}

    def write(self) -> None:
        plan, code = self.plan, self.code
        executable = plan.executable
        for i, p in enumerate(plan.inputs):
            if not isinstance(p, TensorPlan):
                continue
            if p.strides is not None:
                code.scope["contiguous"] = _contiguous
                code.line(f"b{i} = contiguous(a{i})")
                code.line(f"p{i} = address_of(b{i})")
                code.scope["address_of"] = address_reader()
        if plan.course is None:
            self._versions()
            self._native()
        else:
            self._follow(plan.course)
            self._versions()
            self._in_turns()
        for i in executable.written:
            p = plan.inputs[i]
            assert isinstance(p, TensorPlan)
            if p.strides is not None:
                code.line(f"a{i}[...] = b{i}")
        for i, flag in plan.flags:
            code.line(f"{self._input(i)}.requires_grad_({flag})")
        for i in plan.detached:
            code.line(f"{self._input(i)}.detach_()")
        code.scope["make"] = Tensor._make
        for k in range(plan.visible):
            type_ = code.bind(executable.output_types[k], "type")
            code.line(f"r{k} = make(o{k}, {type_})")
        self._tape()
        for i, result in plan.grad_writes:
            code.line(f"{self._input(i)}._grad = {self.value(result)}")
        self._effects()
        if plan.grad_mode_after is not None:
            code.line(f"modes.grad = {plan.grad_mode_after}")
        code.line(f"return {self.value(plan.result)}")

    def _versions(self) -> None:
        for p in self.plan.inputs:
            if isinstance(p, TensorPlan) and p.written:
                name = self.names[p.source]
                self.code.line(f"s = {name}._storage")
                self.code.line(f"s.version = {name}._seen = s.version + 1")

    def _follow(self, course: Course) -> None:
        """Runs the segments before the last; gives MISS where they lead elsewhere."""
        code = self.code
        code.scope["follow"] = course.follow
        code.line(f"late = follow({self._tuple(self._arrays())})")
        code.line("if late is None: return MISS")

    @staticmethod
    def _tuple(parts: Iterable[str]) -> str:
        return f"({''.join(f'{part}, ' for part in parts)})"

    def _arrays(self) -> list[str]:
        """The memory of every input as the program takes it."""
        arrays = []
        for i, p in enumerate(self.plan.inputs):
            if isinstance(p, NumberPlan):
                self.code.scope["array"] = np.array
                arrays.append(f"array({self._number(i, p)})")
            else:
                arrays.append(f"a{i}" if p.strides is None else f"b{i}")
        return arrays

    def _program_arrays(self) -> list[str]:
        """What the (last) program takes: the inputs, then late values."""
        return [*self._arrays(), *(["*late"] if self.plan.course is not None else [])]

    def _in_turns(self) -> None:
        """Runs a program that returns to Python in between."""
        plan, code = self.plan, self.code
        code.scope["run"] = plan.executable.run
        code.scope["turn"] = RANDOM_LOCK if plan.random else nullcontext()
        names = "".join(f"o{k}, " for k in range(len(plan.executable.outputs)))
        code.line("with turn:")
        code.line(f"    {names or '_'} = run({self._tuple(self._program_arrays())})")

    def _native(self) -> None:
        """Fills a frame, makes the one foreign call, gives the frame back."""
        plan, code = self.plan, self.code
        executable = plan.executable
        if not executable.is_one_call:
            self._in_turns()
            return
        program = executable.program
        code.scope.update(
            {
                "free": program.free,
                "frame_of": program.frame,
                "entry": program.entry,
                "fail": executable.fail,
                "empty": np.empty,
                "reused": reused,
            }
        )
        places: list[str] = []
        numbers: list[str] = []
        for i, p in enumerate(plan.inputs):
            if isinstance(p, NumberPlan):
                places.append(f"w[{len(numbers)}]")
                numbers.append(self._number(i, p))
            else:
                places.append(f"p{i}")
        for k, (shape, dtype) in enumerate(executable.outputs):
            size = shape[0] if len(shape) == 1 else shape
            made = f"{code.bind(size, 'shape')}, {code.bind(dtype, 'dtype')}"
            taken = bytes_of(executable.output_types[k])
            large = taken >= LARGE
            code.line(f"o{k} = reused({made}, {taken})" if large else f"o{k} = empty({made})")
            places.append(f"address_of(o{k})")
            code.scope["address_of"] = address_reader()
        code.line("try:")
        code.line("    frame = free.pop()")
        code.line("except IndexError:")
        code.line("    frame = frame_of()")
        if numbers:
            code.line("w, f = frame.places, frame.numbers")
            for i, value in enumerate(numbers):
                code.line(f"f[{i}] = {value}")
        if places:
            code.scope["pack"] = struct.Struct(f"={len(places)}Q").pack_into
            code.line(f"pack(frame.table, 0, {', '.join(places)})")
        code.scope["turn"] = RANDOM_LOCK if plan.random else nullcontext()
        indent = ""
        if plan.random:
            code.line("with turn:")
            indent = "    "
        code.line(f"{indent}failed = entry(frame.call)")
        code.line("free.append(frame)" if not executable.can_fail else "if failed: fail(frame)")
        if executable.can_fail:
            code.line("free.append(frame)")

    def _number(self, i: int, p: NumberPlan) -> str:
        return f"n{i}" if p.leaf is None else self.leaf[p.leaf]

    def _input(self, i: int) -> str:
        p = self.plan.inputs[i]
        assert isinstance(p, TensorPlan)
        return self.names[p.source]

    def _tape(self) -> None:
        plan, code = self.plan, self.code
        backward = plan.backward
        if backward is not None:
            code.scope["attach"] = backward.attach
            arrays = self._program_arrays()
            inputs = [
                "None" if isinstance(p, NumberPlan) else self._input(i)
                for i, p in enumerate(plan.inputs)
            ]
            if plan.course is not None:
                inputs += ["None"] * len(plan.course.order)
            values = [f"o{k}" for k in range(len(plan.executable.outputs))]
            outputs = [f"r{k}" for k in range(plan.visible)]
            parts = ", ".join(map(self._tuple, (inputs, arrays, values, outputs)))
            code.line(f"attach({parts})")
        for k, flag in plan.leaves_made.items():
            code.line(f"r{k}._requires_grad = {flag}")
        for k, error in plan.ending.items():
            code.scope["ending"] = ending_node
            code.line(f"r{k}._node = ending(r{k}._type, {code.bind(error, 'error')})")
        for i, k in plan.tape_writes:
            code.line(f"{self._input(i)}._node = r{k}._node")

    def _effects(self) -> None:
        code = self.code
        for container, key, result in self.plan.effects:
            where = code.bind(container, "place")
            if isinstance(container, list):
                assert result is not None
                code.line(f"{where}[:] = {self.value(result)}")
            elif not isinstance(container, dict):
                assert result is not None
                code.line(f"{where}.cell_contents = {self.value(result)}")
            elif result is None:
                code.line(f"{where}.pop({code.bind(key, 'key')}, None)")
            else:
                code.line(f"{where}[{code.bind(key, 'key')}] = {self.value(result)}")
        if self.plan.effects:
            code.scope["structure"] = STRUCTURE
            code.line("structure.version += 1")

    def value(self, result: Result) -> str:
        """The expression of a result; what several places share is made once."""
        code = self.code
        if isinstance(result, Fixed):
            value = result.value
            plain = value is None or type(value) in (bool, int)
            return repr(value) if plain else code.bind(value, "fixed")
        if isinstance(result, Output):
            return f"o{result.number}.item()" if result.item else f"r{result.number}"
        if isinstance(result, Input):
            p = self.plan.inputs[result.number]
            if isinstance(p, NumberPlan):
                return self._number(result.number, p)
            return self._input(result.number)
        if isinstance(result, ViewOf):
            known = self.results.get(id(result))
            if known is None:
                known = self.results[id(result)] = f"v{len(self.results)}"
                code.scope["replay"] = _replay
                chain = code.bind(result.view, "view")
                of = self.value(result.of)
                code.line(f"{known} = replay({of}, {chain}, {result.recorded})")
            return known
        tree = result.tree
        parts = [self.value(part) for part in result.parts]
        kind = tree.kind
        assert kind is not None
        if kind is list:
            return f"[{', '.join(parts)}]"
        if kind is tuple:
            return f"({', '.join(parts)}{',' * (len(parts) == 1)})"
        if issubclass(kind, dict):
            keys = [code.bind(key, "key") for key in tree.keys]
            items = ", ".join(f"{k}: {v}" for k, v in zip(keys, parts, strict=True))
            return f"{{{items}}}" if kind is dict else f"{code.bind(kind, 'kind')}({{{items}}})"
        return f"{code.bind(kind, 'kind')}({', '.join(parts)})"


def _replay(tensor: Tensor, view: View, recorded: bool) -> Tensor:
    before = MODES.grad
    MODES.grad = recorded
    try:
        for op, attrs in view:
            tensor = op(tensor, **attrs)
    finally:
        MODES.grad = before
    return tensor


def _contiguous(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    return np.array(array, order="C", copy=True)
