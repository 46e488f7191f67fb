"""What a workload is: a row of a table, and the program that the row makes.

A program says everything twice: for PyTorch and graphc, whose names are the same (``xp`` stands for
either), and for JAX (``jx`` stands for ``jax_layers``). ``pytorch_runs`` and ``jax_runs`` make
calls of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAIN, ODD, SIZES = "main", "odd", "scaling"
THREADS = "threads"  # the workloads of MAIN, by numbers of threads
TABLES = (MAIN, ODD, SIZES, THREADS)
FLOAT32 = "float32"


@dataclass(frozen=True)
class Optimizer:
    """A name in ``xp.optim`` and in ``jax_runs.OPTIMIZERS``, and its settings."""

    name: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Loss:
    """One backward pass and update of a step.

    ``loss(xp, model, *batch)`` and ``jax_loss(jx, p, *batch)`` are the same function; ``p`` holds
    the model's parameters and buffers by their names. ``of`` names the part of the model that this
    loss trains, "" being all of it.
    """

    loss: Callable[..., Any]
    jax_loss: Callable[..., Any]
    of: str = ""


@dataclass(frozen=True)
class Training:
    """Steps on one batch: zero_grad, forward, loss, backward, update.

    Its results are the losses of all steps. Without an optimizer nothing is updated, and the
    gradient of the batch's first array is a result too.
    """

    model: Callable[[Any], Any]  # of xp
    data: Callable[[np.random.RandomState], list[np.ndarray]]
    losses: tuple[Loss, ...]
    optimizer: Optimizer | None
    dtype: str = FLOAT32


@dataclass(frozen=True)
class Call:
    """A function of arrays, or the forward pass of a model in eval mode, without gradients.

    ``function(xp, *arrays)`` and ``jax_function(jx, *arrays)``; with a model, that follows ``xp``,
    and what holds its parameters follows ``jx``.
    """

    data: Callable[[np.random.RandomState], list[np.ndarray]]
    function: Callable[..., Any]
    jax_function: Callable[..., Any]
    model: Callable[[Any], Any] | None = None
    dtype: str = FLOAT32


@dataclass(frozen=True)
class Work:
    """What a call cannot do without: the floor under its time."""

    flops: int = 0  # multiplications and additions that fused multiply-adds can do
    read: int = 0  # bytes
    written: int = 0


@dataclass(frozen=True)
class Row:
    """``make(**sizes)`` gives the program; ``tiny`` replaces sizes where only the results matter.

    ``tolerance`` bounds the norm of the difference from the reference's results, relative to
    their norm.
    """

    name: str
    table: str
    title: str
    make: Callable[..., Training | Call]
    sizes: dict[str, Any] = field(default_factory=dict)
    tiny: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-4
    work: Work | None = None

    def program(self, tiny: bool = False) -> Training | Call:
        return self.make(**(self.sizes | (self.tiny if tiny else {})))


def normal(*shapes, scale=1.0):
    """``data`` of float32 arrays, normally distributed."""

    def data(random):
        return [(scale * random.standard_normal(shape)).astype(np.float32) for shape in shapes]

    return data


def labelled(shape, classes, targets=None):
    """``data`` of a normally distributed array and of labels: one for each row, or ``targets``."""

    def data(random):
        labels = random.randint(0, classes, targets or shape[:1])
        return [random.standard_normal(shape).astype(np.float32), labels.astype(np.int64)]

    return data


def classification(network):
    """The loss of a classifier: ``network(jx, p, x)`` is the model in JAX."""

    def loss(xp, model, x, labels):
        return xp.nn.functional.cross_entropy(model(x), labels)

    def jax_loss(jx, p, x, labels):
        return jx.cross_entropy(network(jx, p, x), labels)

    return (Loss(loss, jax_loss),)


def forward(network):
    """Keywords for a ``Call`` that is a model's forward pass: ``network(jx, p, x)`` in JAX."""

    def function(_xp, model, x):
        return model(x)

    return {"function": function, "jax_function": network}


def sgd(lr, momentum=0.0):
    return Optimizer("SGD", {"lr": lr, "momentum": momentum})


def adam(lr):
    return Optimizer("Adam", {"lr": lr})


def adamw(lr, weight_decay):
    return Optimizer("AdamW", {"lr": lr, "weight_decay": weight_decay})
