"""Trains a network on handwritten digits, is killed midway, and goes on as if nothing had happened.

After every epoch the training saves a checkpoint: model, optimizer, schedule, the generator that
shuffles the data and the one that dropout draws from. Three processes train the same network:

1. one that nobody interrupts;
2. one that is killed in the middle of an epoch;
3. one that goes on from the last checkpoint of the second.

The losses and the final weights of the first and the third are the same, bit for bit. Run it with
``python examples/resume.py``; ``--compile step`` does the same with the whole step compiled.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import graphc
import graphc.nn.functional as F
from graphc import nn, optim
from graphc.utils.data import DataLoader, TensorDataset

BATCH = 64


class Net(nn.Module):
    """8x8 images to ten classes, with everything in it that has state or draws numbers."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.fc1 = nn.Linear(6 * 4 * 4, 64)
        self.norm = nn.BatchNorm1d(64)
        self.dropout = nn.Dropout(0.25)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv(x)), 2)
        x = F.relu(self.norm(self.fc1(graphc.flatten(x, 1))))
        return self.fc2(self.dropout(x))


def load_data(device):
    """Training and test sets, split 80/20 by a fixed seed."""
    digits = load_digits()
    images = (digits.images / 16 - 0.3).astype(np.float32)[:, None]
    order = np.random.RandomState(0).permutation(len(images))
    cut = int(0.8 * len(images))
    return [
        TensorDataset(
            graphc.from_numpy(images[part].copy()).to(device),
            graphc.from_numpy(digits.target[part].copy()).to(device),
        )
        for part in (order[:cut], order[cut:])
    ]


def train(path, epochs, how, device, killed_at):
    """Trains to the last epoch, from the checkpoint if there is one."""
    graphc.manual_seed(0)
    train_set, test_set = load_data(device)
    model = Net().to(device)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    generator = graphc.Generator().manual_seed(1)
    loader = DataLoader(train_set, batch_size=BATCH, shuffle=True, generator=generator)
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=epochs * len(loader))
    first, losses = 0, []

    if path.exists():
        checkpoint = graphc.load(path, map_location=device)
        model.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        scheduler.load_state_dict(checkpoint["scheduler"])
        generator.set_state(checkpoint["generator"])
        graphc.set_rng_state(checkpoint["rng"])
        first, losses = checkpoint["epoch"], checkpoint["losses"]

    network = graphc.compile(model) if how == "model" else model

    def step(images, labels):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    run = graphc.compile(step) if how == "step" else step
    for epoch in range(first, epochs):
        for number, (images, labels) in enumerate(loader):
            if epoch * len(loader) + number == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)
            losses.append(run(images, labels).item())
            scheduler.step()
        checkpoint = {
            "epoch": epoch + 1,
            "losses": losses,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "generator": generator.get_state(),
            "rng": graphc.get_rng_state(),
        }
        graphc.save(checkpoint, path)  # the old file stays until the new one is complete

    model.eval()
    with graphc.no_grad():
        images, labels = test_set.tensors
        right = (model(images).argmax(1) == labels).sum().item() / len(labels)
    began = f"from epoch {first}" if first else "from the start"
    print(f"  trained {began} to epoch {epochs}, {right:.1%} of the test digits right", flush=True)


def process(path, options, killed_at=-1):
    """Trains in a process of its own; gives its exit status and how long it took."""
    command = [sys.executable, __file__, "--train", str(path), "--epochs", str(options.epochs)]
    command += ["--compile", options.compile, "--device", options.device]
    start = time.perf_counter()
    status = subprocess.run([*command, "--killed-at", str(killed_at)]).returncode
    return status, time.perf_counter() - start


def differing(one, other, path=""):
    """The places where two nests of tensors and numbers are not the same bit for bit."""
    if isinstance(one, dict):
        if list(one) != list(other):
            return [path]
        return [d for key in one for d in differing(one[key], other[key], f"{path}/{key}")]
    if isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return [path]
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (a, b) in pairs for d in differing(a, b, f"{path}/{i}")]
    if isinstance(one, graphc.Tensor):
        same = one.dtype is other.dtype and one.numpy().tobytes() == other.numpy().tobytes()
    else:
        same = one == other
    return [] if same else [path]


def compare(options, folder):
    """Runs the three processes and compares what they leave."""
    straight, stopped = folder / "uninterrupted.pt", folder / "resumed.pt"
    steps = -(-int(0.8 * 1797) // BATCH)
    killed_at = steps * (options.epochs // 2) + steps // 2
    print("1. without an interruption")
    status, seconds = process(straight, options)
    print(f"  {seconds:.1f} s")
    if status:
        sys.exit(f"the training failed with status {status}")
    print(f"2. killed at step {killed_at}, in the middle of epoch {options.epochs // 2 + 1}")
    status, seconds = process(stopped, options, killed_at)
    print(f"  ended by signal {-status} after {seconds:.1f} s")
    if status != -signal.SIGKILL:
        sys.exit(f"the training was not killed: status {status}")
    print(f"3. resumed from {stopped.name}")
    status, seconds = process(stopped, options)
    print(f"  {seconds:.1f} s")
    if status:
        sys.exit(f"the training failed with status {status}")

    one, other = graphc.load(straight), graphc.load(stopped)
    print(f"\n{'epoch':>5}  {'uninterrupted':>22}  {'resumed':>22}   (last loss, exactly)")
    for epoch in range(options.epochs):
        last = (epoch + 1) * steps - 1
        a, b = one["losses"][last].hex(), other["losses"][last].hex()
        print(f"{epoch + 1:5}  {a:>22}  {b:>22}   {'same' if a == b else 'DIFFERENT'}")
    places = differing(one, other)
    tensors = len(one["model"]) + sum(len(s) for s in one["optimizer"]["state"].values())
    if places:
        sys.exit(f"\nnot the same: {', '.join(places[:5])} ({len(places)} places)")
    print(
        f"\nthe same bit for bit: {len(one['losses'])} losses, {tensors} tensors of model and "
        "optimizer, schedule and generators"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--compile", choices=("none", "model", "step"), default="none")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="folder for the checkpoints; else none is kept")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--killed-at", type=int, default=-1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train is not None:
        train(options.train, options.epochs, options.compile, options.device, options.killed_at)
    elif options.output is None:
        with tempfile.TemporaryDirectory() as folder:
            compare(options, Path(folder))
    else:
        options.output.mkdir(parents=True, exist_ok=True)
        for old in ("uninterrupted.pt", "resumed.pt"):
            (options.output / old).unlink(missing_ok=True)
        compare(options, options.output)


if __name__ == "__main__":
    main()
