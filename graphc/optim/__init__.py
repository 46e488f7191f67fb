"""Optimizers and learning-rate schedules."""

from graphc.optim.optimizer import Optimizer
from graphc.optim.sgd import SGD

__all__ = ["SGD", "Optimizer"]
