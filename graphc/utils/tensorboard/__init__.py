"""Watching a training with TensorBoard (the extra ``tensorboard``: tensorboardX writes the files).

``tensorboard --logdir runs`` shows what a :class:`SummaryWriter` wrote.
"""

from graphc.utils.tensorboard.writer import SummaryWriter

__all__ = ["SummaryWriter"]
