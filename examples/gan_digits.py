"""Two networks against each other: one draws digits, the other tells them from real ones.

A small DCGAN on scikit-learn's digits: transposed convolutions make an image of noise, strided
convolutions judge it. Each has its own optimizer; compiled, both updates are one program.

Run it with ``python examples/gan_digits.py``; it leaves a sheet of digits and the curves.
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
from graphc.utils.data import DataLoader, TensorDataset

NOISE = 32


class Generator(nn.Sequential):
    def __init__(self, width=32):
        super().__init__(
            nn.ConvTranspose2d(NOISE, 2 * width, 4, 1, 0, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 1, 3, 1, 1),
            nn.Tanh(),
        )


class Discriminator(nn.Sequential):
    def __init__(self, width=32):
        super().__init__(
            nn.Conv2d(1, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(2 * width * 4, 1),
        )


def start(module):
    """The initial weights of the DCGAN paper."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def train(maker, judge, images, epochs, how):
    """The losses of both in each step, and the median milliseconds of a step."""
    make_optimizer = optim.Adam(maker.parameters(), lr=1e-3, betas=(0.5, 0.999))
    judge_optimizer = optim.Adam(judge.parameters(), lr=5e-4, betas=(0.5, 0.999))
    make = graphc.compile(maker) if how == "model" else maker
    tell = graphc.compile(judge) if how == "model" else judge

    def verdict(images, real):
        logits = tell(images)
        return F.binary_cross_entropy_with_logits(logits, graphc.full_like(logits, float(real)))

    def step(images):
        noise = graphc.randn(images.shape[0], NOISE, 1, 1, device=images.device)
        drawn = make(noise)
        judge_optimizer.zero_grad()
        judged = verdict(images, 0.9) + verdict(drawn.detach(), 0.0)
        judged.backward()
        judge_optimizer.step()
        make_optimizer.zero_grad()
        fooled = verdict(drawn, 1.0)
        fooled.backward()
        make_optimizer.step()
        return judged, fooled

    run = graphc.compile(step) if how == "step" else step
    generator = graphc.Generator()
    generator.manual_seed(1)
    loader = DataLoader(
        TensorDataset(images), batch_size=64, shuffle=True, drop_last=True, generator=generator
    )
    losses, times = [], []
    progress = tqdm(range(epochs), desc="training", unit="epoch")
    for _ in progress:
        for (x,) in loader:
            begin = time.perf_counter()
            judged, fooled = run(x)
            times.append(time.perf_counter() - begin)
            losses.append((judged.item(), fooled.item()))
        progress.set_postfix(judge=f"{losses[-1][0]:.2f}", maker=f"{losses[-1][1]:.2f}")
    return np.array(losses), 1e3 * float(np.median(times))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--compile", choices=("none", "model", "step"), default="step")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=Path("gan_digits_output"))
    options = parser.parse_args()
    graphc.manual_seed(0)
    digits = (load_digits().images / 8 - 1).astype(np.float32)[:, None]
    images = graphc.from_numpy(digits).to(options.device)
    maker = Generator().apply(start).to(options.device)
    judge = Discriminator().apply(start).to(options.device)
    losses, milliseconds = train(maker, judge, images, options.epochs, options.compile)
    maker.eval()
    with graphc.no_grad():
        noise = graphc.randn(80, NOISE, 1, 1, device=options.device)
        sheet = maker(noise).view(8, 10, 8, 8).permute(0, 2, 1, 3).reshape(64, 80).numpy()
    options.output.mkdir(parents=True, exist_ok=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5))
    left.plot(losses, linewidth=0.7)
    left.legend(["judge", "maker"])
    left.set(xlabel="step", ylabel="loss", title="Against each other")
    right.imshow(sheet, cmap="gray_r")
    right.set(xticks=[], yticks=[], title="Drawn from noise")
    figure.tight_layout()
    figure.savefig(options.output / "digits.png", dpi=110)
    judged, fooled = losses[-20:].mean(axis=0)
    print(f"losses at the end: judge {judged:.3f}, maker {fooled:.3f}")
    print(f"spread of pixels: drawn {sheet.std():.2f}, real {digits.std():.2f}")
    print(f"{milliseconds:.2f} ms a step\npicture: {options.output / 'digits.png'}")


if __name__ == "__main__":
    main()
