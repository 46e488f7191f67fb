"""Runs a program with PyTorch, with graphc eagerly and compiled, and tells the first difference."""

import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

import graphc
from tests.fuzz.programs import Program, make


@dataclass(frozen=True)
class Outcome:
    """What a run gave and left: results, arguments afterwards, or the error."""

    values: list[Any]
    error: Exception | None = None


def tried(seed: int) -> tuple[int, str]:
    """The smallest program that shows a difference, with the difference; or nothing."""
    program = make(random.Random(seed).randrange)
    if not difference(program):
        return seed, ""
    small = shrunk(program)
    return seed, f"{difference(small)}\n{small}"


def outcome(program: Program, library: Any, wrap: Callable[[Any], Any] = lambda f: f) -> Outcome:
    """The results, then the arguments as they are after the run."""
    arguments = [given.tensor(library) for given in program.given]
    function = wrap(program.function(library))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = function(*arguments)
    except (RuntimeError, IndexError, TypeError, ValueError, AttributeError) as error:
        return Outcome([], error)
    return Outcome([*results, *arguments])


def difference(program: Program) -> str:
    """What is wrong, or nothing."""
    expected = outcome(program, torch)
    if expected.error is not None:
        return ""  # a line that was taken out had made this one possible
    largest = max([1.0, *(_largest(v) for v in expected.values)])
    for life, wrap in (("eager", lambda f: f), ("compiled", graphc.compile)):
        found = outcome(program, graphc, wrap)
        if found.error is not None:
            return f"{life}: {type(found.error).__name__}: {found.error}"
        last = [f"x{i}" for i in range(len(program.given))]
        others = len(expected.values) - len(program.results) - len(last)
        names = [*program.results, *(f"gradient {i}" for i in range(others)), *last]
        for name, a, b in zip(names, expected.values, found.values, strict=True):
            wrong = _compare(a, b, program.limit(name) * largest)
            if wrong:
                return f"{life}: {name}: {wrong}"
    return ""


def _largest(value: Any) -> float:
    if value is None or value.numel() == 0:
        return 0.0
    return float(value.detach().double().abs().max())


def _array(value: Any) -> np.ndarray[Any, Any]:
    value = value.detach()
    return np.asarray(value.double().numpy() if value.is_floating_point() else value.numpy())


def _compare(a: Any, b: Any, limit: float) -> str:
    if a is None or b is None:
        # Where all was overwritten PyTorch may hand on zeros, and graphc no gradient.
        nothing = a is b or (b is None and not a.count_nonzero())
        return "" if nothing else f"{b} instead of {a}"
    if str(a.dtype).split(".")[-1] != str(b.dtype).split(".")[-1]:
        return f"{b.dtype} instead of {a.dtype}"
    if tuple(a.shape) != tuple(b.shape):
        return f"shape {tuple(b.shape)} instead of {tuple(a.shape)}"
    if a.requires_grad != b.requires_grad and a.numel() and a.is_floating_point():
        return f"requires_grad is {b.requires_grad} instead of {a.requires_grad}"
    x, y = _array(a), _array(b)
    if x.dtype.kind != "f":
        return "" if (x == y).all() else f"{y.tolist()} instead of {x.tolist()}"
    if np.allclose(x, y, rtol=max(limit, 1e-12), atol=limit, equal_nan=True):
        return ""
    return f"{y.tolist()} instead of {x.tolist()}"


def shrunk(program: Program) -> Program:
    """The program without the lines that the difference does not need."""

    def fails(candidate: Program) -> bool:
        try:
            return bool(difference(candidate))
        except NameError:
            return False

    if program.gradient and fails(replace(program, gradient="")):
        program = replace(program, gradient="")
    number = len(program.lines) - 1
    while number >= 0:
        fewer = program.without(number)
        if fails(fewer):
            program = fewer
        number -= 1
    return program
