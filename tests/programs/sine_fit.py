"""A regression fitted with LBFGS and a closure, after some steps with SGD."""

import torch
import torch.nn as nn


def build():
    model = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1)).double()
    optimizers = {
        "first": torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.5, nesterov=True),
        "second": torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=4, history_size=5),
    }
    return {"model": model}, optimizers


def data(random):
    x = random.uniform(-3, 3, size=(40, 1))
    return {"x": x, "y": 0.5 * x + 0.1 * x**2}


def step(models, optimizers, x, y):
    criterion = nn.MSELoss()
    x, y = x.double(), y.double()
    model, optimizer = models["model"], optimizers["first"]
    optimizer.zero_grad()
    criterion(model(x), y).backward()
    optimizer.step()

    def closure():
        optimizers["second"].zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        return loss

    return optimizers["second"].step(closure)
