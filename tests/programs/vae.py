"""A variational autoencoder; its noise is an input, so that it can be the same twice."""

import torch
from torch import nn, optim
from torch.nn import functional as F


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 32)
        self.fc21 = nn.Linear(32, 4)
        self.fc22 = nn.Linear(32, 4)
        self.fc3 = nn.Linear(4, 32)
        self.fc4 = nn.Linear(32, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar, eps):
        std = torch.exp(0.5 * logvar)
        return mu + eps * std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x, eps):
        mu, logvar = self.encode(x.view(-1, 64))
        z = self.reparameterize(mu, logvar, eps)
        return self.decode(z), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


def build():
    model = VAE()
    return {"model": model}, {"optimizer": optim.Adam(model.parameters(), lr=1e-3)}


def data(random):
    return {"x": random.uniform(size=(6, 1, 8, 8)), "eps": random.normal(size=(6, 4))}


def step(models, optimizers, x, eps):
    optimizers["optimizer"].zero_grad()
    recon_batch, mu, logvar = models["model"](x, eps)
    loss = loss_function(recon_batch, x, mu, logvar)
    loss.backward()
    optimizers["optimizer"].step()
    return loss / len(x)
