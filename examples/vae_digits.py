"""Trains a variational autoencoder on handwritten digits and draws digits that nobody wrote.

The encoder gives the mean and the deviation of a normal distribution over two hidden numbers, the
decoder draws a digit from a sample of it. Trained compiled, the random numbers are drawn inside
the program, the same ones as eagerly.

Run it with ``python examples/vae_digits.py``; it leaves a map of the hidden plane.
"""

import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from tqdm import tqdm

import graphc
import graphc.nn.functional as F
from graphc import nn, optim
from graphc.distributions import Normal, kl_divergence
from graphc.utils.data import DataLoader, TensorDataset

PIXELS = 64
HIDDEN = 2


class VAE(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(PIXELS, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.mean = nn.Linear(width, HIDDEN)
        self.log_variance = nn.Linear(width, HIDDEN)
        self.decoder = nn.Sequential(
            nn.Linear(HIDDEN, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, PIXELS),
        )

    def forward(self, x):
        """Logits of the pixels, and how far the hidden distribution is from a standard normal."""
        features = self.encoder(x)
        hidden = Normal(self.mean(features), (0.5 * self.log_variance(features)).exp())
        standard = Normal(
            graphc.zeros(HIDDEN, device=x.device), graphc.ones(HIDDEN, device=x.device)
        )
        return self.decoder(hidden.rsample()), kl_divergence(hidden, standard).sum(-1)


def train(model, images, epochs, how):
    """The mean loss of each epoch, and the median milliseconds of a step."""
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    network = graphc.compile(model) if how == "model" else model

    def step(x):
        optimizer.zero_grad()
        logits, divergence = network(x)
        likelihood = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        loss = (likelihood + divergence).mean()
        loss.backward()
        optimizer.step()
        return loss

    run = graphc.compile(step) if how == "step" else step
    generator = graphc.Generator()
    generator.manual_seed(1)
    loader = DataLoader(
        TensorDataset(images), batch_size=64, shuffle=True, drop_last=True, generator=generator
    )
    means, times = [], []
    progress = tqdm(range(epochs), desc="training", unit="epoch")
    for _ in progress:
        losses = []
        for (x,) in loader:
            start = time.perf_counter()
            loss = run(x)
            times.append(time.perf_counter() - start)
            losses.append(loss.item())
        means.append(float(np.mean(losses)))
        progress.set_postfix(loss=f"{means[-1]:.2f}")
    return means, 1e3 * float(np.median(times))


def drawn(model, device, count=12):
    """Digits over the hidden plane, evenly by probability: an image of ``8 count`` squared."""
    even = (graphc.arange(count, device=device) + 0.5) / count
    places = Normal(0.0, 1.0).icdf(even)
    rows, columns = graphc.meshgrid(places, places, indexing="ij")
    with graphc.no_grad():
        digits = model.decoder(graphc.stack([columns, -rows], -1)).sigmoid()
    return digits.view(count, count, 8, 8).permute(0, 2, 1, 3).reshape(8 * count, 8 * count).numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--compile", choices=("none", "model", "step"), default="step")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=Path("vae_digits_output"))
    options = parser.parse_args()
    graphc.manual_seed(0)
    images = graphc.from_numpy((load_digits().data / 16).astype(np.float32)).to(options.device)
    model = VAE().to(options.device)
    print(model)
    losses, milliseconds = train(model, images, options.epochs, options.compile)
    options.output.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(6, 6))
    axes.imshow(drawn(model, options.device), cmap="gray_r")
    axes.set(xticks=[], yticks=[], title="What the decoder draws over the hidden plane")
    figure.tight_layout()
    figure.savefig(options.output / "plane.png", dpi=110)
    print(f"loss {losses[0]:.2f} -> {losses[-1]:.2f} nats a digit, {milliseconds:.2f} ms a step")
    print(f"picture: {options.output / 'plane.png'}")


if __name__ == "__main__":
    main()
