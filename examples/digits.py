"""Trains a small convolutional network on handwritten digits: eager, and compiled twice.

The network is the image classifier of PyTorch's 60-minute introduction, the data scikit-learn's
1,797 real digits (8x8, resampled to 32x32). It is trained three times from the same weights:

1. eager: every operation runs at once on NumPy;
2. ``graphc.compile(model)`` with the eager optimizer;
3. the whole step compiled: zero_grad, forward, loss, backward and step are one native call.

Run it with ``python examples/digits.py``; it leaves a picture and every compiler stage in
``digits_output/``.
"""

import argparse
import copy
import shutil
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

CLASSES = 10
BATCH = 64


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = graphc.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


def resample(images, size):
    """Bilinear interpolation of (n, h, w) images to (n, size, size)."""
    height = images.shape[1]
    place = (np.arange(size) + 0.5) * height / size - 0.5
    low = np.clip(np.floor(place).astype(int), 0, height - 1)
    high = np.clip(low + 1, 0, height - 1)
    part = np.clip(place - low, 0, 1)
    rows = images[:, low] * (1 - part)[:, None] + images[:, high] * part[:, None]
    return rows[:, :, low] * (1 - part) + rows[:, :, high] * part


def load_data(device):
    """Training and test sets, split 80/20 by a fixed seed, with mean 0 and deviation 1."""
    digits = load_digits()
    images = resample(digits.images.astype(np.float64), 32).astype(np.float32)
    images = ((images - images.mean()) / images.std())[:, None]
    order = np.random.RandomState(0).permutation(len(images))
    cut = int(0.8 * len(images))
    return [
        TensorDataset(
            graphc.from_numpy(images[part].copy()).to(device),
            graphc.from_numpy(digits.target[part].copy()).to(device),
        )
        for part in (order[:cut], order[cut:])
    ]


def train(name, model, train_set, epochs, how):
    """Trains in place; gives the losses, milliseconds per step, and seconds of the first calls."""
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    network = graphc.compile(model) if how == "model" else model

    def step(images, labels):
        optimizer.zero_grad()
        outputs = network(images)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        return loss

    run = graphc.compile(step) if how == "step" else step
    generator = graphc.Generator()
    generator.manual_seed(1)
    loader = DataLoader(train_set, batch_size=BATCH, shuffle=True, generator=generator)
    losses, times = [], []
    progress = tqdm(total=epochs * len(loader), desc=f"{name:>8}", unit="step")
    for _ in range(epochs):
        for images, labels in loader:
            start = time.perf_counter()
            loss = run(images, labels)
            times.append(time.perf_counter() - start)
            losses.append(loss.item())
            progress.update()
        progress.set_postfix(loss=f"{np.mean(losses[-len(loader) :]):.4f}")
    progress.close()
    compiled = run if how == "step" else network if how == "model" else None
    return np.array(losses), np.array(times), compiled


def predict(model, test_set):
    """Predicted and true classes of the test set."""
    model.eval()
    with graphc.no_grad():
        images, labels = test_set.tensors
        predicted = model(images).argmax(1)
    model.train()
    return predicted.cpu().numpy(), labels.cpu().numpy()


def draw(path, curves, confusion, accuracy):
    """Loss curves of all runs, and the confusion matrix of the last."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5))
    for (name, losses), style in zip(curves.items(), ("-", "--", ":"), strict=False):
        smooth = np.convolve(losses, np.ones(10) / 10, mode="valid")
        left.plot(smooth, style, label=name, linewidth=2)
    left.set(xlabel="step", ylabel="loss (mean of 10 steps)", yscale="log", title="Training")
    left.legend()
    shown = right.imshow(confusion, cmap="Blues")
    for i in range(CLASSES):
        for j in range(CLASSES):
            if confusion[i, j]:
                color = "white" if confusion[i, j] > confusion.max() / 2 else "black"
                right.text(j, i, confusion[i, j], ha="center", va="center", color=color)
    right.set(
        xlabel="predicted",
        ylabel="true",
        xticks=range(CLASSES),
        yticks=range(CLASSES),
        title=f"Test digits, {accuracy:.1%} right",
    )
    figure.colorbar(shown, ax=right, shrink=0.8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--compile", choices=("none", "model", "step", "all"), default="all")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=Path("digits_output"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    train_set, test_set = load_data(options.device)
    graphc.manual_seed(0)
    first = Net().to(options.device)
    print(first)
    runs = {"none": "eager", "model": "model", "step": "step"}
    chosen = runs if options.compile == "all" else {options.compile: runs[options.compile]}
    rows, curves = [], {}
    for how, name in chosen.items():
        model = copy.deepcopy(first)
        losses, times, compiled = train(name, model, train_set, options.epochs, how)
        predicted, labels = predict(model, test_set)
        accuracy = float((predicted == labels).mean())
        curves[name] = losses
        seconds = sum(sum(r.seconds.values()) for r in compiled.receipts) if compiled else 0.0
        apart = np.abs(losses - next(iter(curves.values())))
        rows.append(
            (name, 1e3 * np.median(times), seconds, accuracy, apart[:20].max(), apart.max())
        )
        if compiled is not None:
            folder = options.output / f"{how}_stages"
            shutil.rmtree(folder, ignore_errors=True)
            compiled.dump(folder)
    confusion = np.zeros((CLASSES, CLASSES), int)
    np.add.at(confusion, (labels, predicted), 1)
    picture = options.output / "digits.png"
    draw(picture, curves, confusion, rows[-1][3])

    # Rounding differs between the runs. Once it decides which of two nearly equal elements a
    # max-pool picks, the curves part by more than rounding, as they do between any two libraries.
    print(f"\n{'':>8} {'':>9} {'':>10} {'':>9} {'largest |loss - eager|':>25}")
    print(f"{'':>8} {'ms/step':>9} {'compile s':>10} {'accuracy':>9} {'20 steps':>12} {'all':>12}")
    for name, ms, seconds, accuracy, early, apart in rows:
        print(f"{name:>8} {ms:9.3f} {seconds:10.2f} {accuracy:9.2%} {early:12.1e} {apart:12.1e}")
    print(f"\npicture: {picture}\nIR and generated C: {options.output}/*_stages/")


if __name__ == "__main__":
    main()
