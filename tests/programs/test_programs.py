"""Everyday programs, written for PyTorch, run with both libraries from the same weights.

The programs beside this file say ``import torch``; the very same text runs with graphc in its
place. Ten steps of training give the same losses: eager, with the models compiled, and with the
whole step compiled.
"""

import builtins
import copy
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.differential

HERE = Path(__file__).parent
PROGRAMS = sorted(p.stem for p in HERE.glob("*.py") if not p.stem.startswith("test_"))
STEPS = 10
# A compiled step is the same models compiled, and more. Of compiled models by themselves these are
# the kinds: one model, two of them, some that draw random numbers, and one whose optimizer (LBFGS)
# keeps the step from being compiled.
MODELS_TOO = ("gpt", "dcgan", "vae", "reinforce", "sine_fit")


def loaded(name: str, library: Any) -> ModuleType:
    """The program with ``torch`` standing for a library."""
    path = HERE / f"{name}.py"
    program = ModuleType(f"{name}_with_{library.__name__}")

    def imported(wanted: str, *rest: Any) -> Any:
        stem, dot, below = wanted.partition(".")
        if stem != "torch" or library is torch:
            return builtins.__import__(wanted, *rest)
        found = importlib.import_module(f"graphc{dot}{below}")
        return found if len(rest) > 2 and rest[2] else graphc  # import torch.nn gives torch

    program.__dict__["__builtins__"] = {**vars(builtins), "__import__": imported}
    program.__dict__["__file__"] = str(path)
    exec(compile(path.read_text(), str(path), "exec"), program.__dict__)
    return program


def tensor(library: Any, array: Any) -> Any:
    kind = np.float32 if array.dtype.kind == "f" else np.int64
    return library.from_numpy(np.ascontiguousarray(array.astype(kind)))


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    """What PyTorch gives, by program: the first weights, the batches, and the losses."""
    return {}


def reference(name: str, known: dict[str, Any]) -> Any:
    if name not in known:
        torch.manual_seed(0)
        program = loaded(name, torch)
        models, optimizers = program.build()
        first = {key: copy.deepcopy(model.state_dict()) for key, model in models.items()}
        random = np.random.default_rng(0)
        batch = program.data(random)
        given = {key: tensor(torch, value) for key, value in batch.items()}
        losses = [program.step(models, optimizers, **given).item() for _ in range(STEPS)]
        last = {key: model.state_dict() for key, model in models.items()}
        known[name] = first, batch, losses, last
    return known[name]


def cases() -> Iterator[Any]:
    for name in PROGRAMS:
        for how in ("eager", "models", "step"):
            again = how == "models" and name not in MODELS_TOO
            yield pytest.param(name, how, id=f"{name}-{how}", marks=[pytest.mark.full] * again)


@pytest.mark.parametrize(("name", "how"), list(cases()))
def test_ten_steps(name: str, how: str, expected: dict[str, Any]) -> None:
    first, batch, losses, last = reference(name, expected)
    assert losses[-1] < losses[0]
    program = loaded(name, graphc)
    models, optimizers = program.build()
    for key, model in models.items():
        state = {k: graphc.from_numpy(v.numpy().copy()) for k, v in first[key].items()}
        assert list(state) == list(model.state_dict())
        model.load_state_dict(state)
    given = {key: tensor(graphc, value) for key, value in batch.items()}
    called = {k: graphc.compile(m) for k, m in models.items()} if how == "models" else models
    step = graphc.compile(program.step) if how == "step" else program.step
    found = [step(called, optimizers, **given).item() for _ in range(STEPS)]
    np.testing.assert_allclose(found, losses, rtol=1e-4)
    for key, model in models.items():
        for label, value in model.named_buffers():
            np.testing.assert_allclose(
                value.numpy(), last[key][label].numpy(), rtol=1e-3, atol=1e-4, err_msg=label
            )
    compiled = [step] if how == "step" else list(called.values()) if how == "models" else []
    for each in compiled:
        receipts = len(each.receipts)
        step(called, optimizers, **given)
        assert len(each.receipts) == receipts <= 3, [str(r) for r in each.receipts]


def test_there_are_ten() -> None:
    assert len(PROGRAMS) >= 10
