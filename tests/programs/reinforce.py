"""A policy gradient: log-probabilities of actions, weighted by normalised returns."""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.distributions import Categorical


class Policy(nn.Module):
    def __init__(self):
        super(Policy, self).__init__()
        self.affine1 = nn.Linear(4, 32)
        self.dropout = nn.Dropout(p=0.0)
        self.affine2 = nn.Linear(32, 2)
        self.value = nn.Linear(32, 1)

    def forward(self, x):
        x = F.relu(self.dropout(self.affine1(x)))
        return F.softmax(self.affine2(x), dim=1), self.value(x)


def build():
    policy = Policy()
    return {"policy": policy}, {"optimizer": optim.Adam(policy.parameters(), lr=1e-2)}


def data(random):
    return {
        "states": random.normal(size=(9, 4)),
        "actions": random.integers(0, 2, 9),
        "rewards": random.uniform(size=9),
    }


def step(models, optimizers, states, actions, rewards):
    R = torch.zeros(())
    returns = []
    for r in rewards.flip(0):
        R = r + 0.99 * R
        returns.insert(0, R)
    returns = torch.stack(returns)
    returns = (returns - returns.mean()) / (returns.std() + 1e-6)
    probabilities, values = models["policy"](states)
    m = Categorical(probabilities)
    advantage = returns - values.squeeze(-1).detach()
    policy_loss = (-m.log_prob(actions) * advantage).sum()
    value_loss = F.smooth_l1_loss(values.squeeze(-1), returns)
    loss = policy_loss + value_loss - 0.01 * m.entropy().mean()
    optimizers["optimizer"].zero_grad()
    loss.backward()
    optimizers["optimizer"].step()
    return loss
