"""Training that stops and goes on from a file is the training that did not stop, bit for bit."""

import io

import pytest

import graphc
import graphc.nn.functional as F
from graphc import nn, optim
from graphc.utils.data import DataLoader, TensorDataset

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, 0.01, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, 0.01),
    "RMSprop": lambda p: optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
    "Adagrad": lambda p: optim.Adagrad(p, 0.05),
}
SCHEDULERS = {
    "StepLR": lambda o: optim.lr_scheduler.StepLR(o, 2, 0.5),
    "CosineAnnealingLR": lambda o: optim.lr_scheduler.CosineAnnealingLR(o, 7),
    "OneCycleLR": lambda o: optim.lr_scheduler.OneCycleLR(o, 0.05, total_steps=60),
}


class Run:
    """A small training with everything that has state."""

    def __init__(self, optimizer, scheduler, how):
        graphc.manual_seed(3)
        self.model = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 3)
        )
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        self.scheduler = SCHEDULERS[scheduler](self.optimizer)
        self.generator = graphc.Generator().manual_seed(5)
        x = graphc.randn(20, 4, generator=graphc.Generator().manual_seed(1))
        data = TensorDataset(x, graphc.arange(20) % 3)
        self.loader = DataLoader(data, batch_size=5, shuffle=True, generator=self.generator)

        def step(x, y):
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            return loss

        self.step = graphc.compile(step) if how == "compiled" else step

    def epochs(self, count):
        losses = []
        for _ in range(count):
            for x, y in self.loader:
                losses.append(self.step(x, y).item())
                self.scheduler.step()
        return losses

    def state(self):
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "generator": self.generator.get_state(),
            "rng": graphc.get_rng_state(),
        }

    def restore(self, state):
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.generator.set_state(state["generator"])
        graphc.set_rng_state(state["rng"])


def whole(state):
    """Everything in a state as bytes and numbers."""
    if isinstance(state, graphc.Tensor):
        return state._array().tobytes(), str(state.dtype), tuple(state.shape)
    if isinstance(state, dict):
        return {key: whole(value) for key, value in state.items()}
    return [whole(v) for v in state] if isinstance(state, (list, tuple)) else state


CASES = [
    *[(o, "StepLR", "eager") for o in OPTIMIZERS],
    ("SGD", "CosineAnnealingLR", "eager"),
    ("Adam", "OneCycleLR", "eager"),
    ("SGD", "StepLR", "compiled"),
    ("Adam", "CosineAnnealingLR", "compiled"),
]


@pytest.mark.parametrize(("optimizer", "scheduler", "how"), CASES)
def test_resumed_training_is_the_same_bit_for_bit(optimizer, scheduler, how):
    straight = Run(optimizer, scheduler, how)
    expected = straight.epochs(4)

    first = Run(optimizer, scheduler, how)
    losses = first.epochs(2)
    file = io.BytesIO()
    graphc.save(first.state(), file)

    graphc.manual_seed(99)  # nothing of the first run is left
    second = Run(optimizer, scheduler, how)
    second.epochs(1)
    file.seek(0)
    second.restore(graphc.load(file))
    losses += second.epochs(2)
    assert losses == expected
    assert whole(second.state()) == whole(straight.state())


def test_states_of_generators_are_bytes():
    state = graphc.get_rng_state()
    assert state.dtype is graphc.uint8
    file = io.BytesIO()
    graphc.save(state, file)
    drawn = graphc.rand(5)
    file.seek(0)
    graphc.set_rng_state(graphc.load(file))
    assert graphc.rand(5).tolist() == drawn.tolist()
