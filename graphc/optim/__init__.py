"""Optimizers and learning-rate schedules."""

from graphc.errors import unknown_name
from graphc.optim import lr_scheduler
from graphc.optim.adam import Adam, AdamW
from graphc.optim.adaptive import Adadelta, Adagrad, Adamax, RMSprop
from graphc.optim.optimizer import Optimizer
from graphc.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Optimizer",
    "RMSprop",
    "lr_scheduler",
]


def __getattr__(name: str) -> object:
    raise unknown_name("module 'graphc.optim'", name, __all__)
