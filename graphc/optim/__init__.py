"""Optimizers and learning-rate schedules."""

from graphc.errors import unknown_name
from graphc.optim import lr_scheduler, swa_utils
from graphc.optim._adafactor import Adafactor
from graphc.optim._muon import Muon
from graphc.optim.adadelta import Adadelta
from graphc.optim.adagrad import Adagrad
from graphc.optim.adam import Adam
from graphc.optim.adamax import Adamax
from graphc.optim.adamw import AdamW
from graphc.optim.asgd import ASGD
from graphc.optim.lbfgs import LBFGS
from graphc.optim.nadam import NAdam
from graphc.optim.optimizer import Optimizer
from graphc.optim.radam import RAdam
from graphc.optim.rmsprop import RMSprop
from graphc.optim.rprop import Rprop
from graphc.optim.sgd import SGD
from graphc.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
    "swa_utils",
]


def __getattr__(name: str) -> object:
    raise unknown_name("module 'graphc.optim'", name, __all__)
