"""Fine-tuning: a network that reads clean digits learns another scanner's from 100 examples.

The other scanner's digits are pale and noisy.

1. A small convolutional network is trained on the clean digits.
2. Its body is frozen and its head replaced; the new head learns from 100 images of the scanner.
3. The body is unfrozen and goes on with a lower learning rate than the head.
4. For comparison, the same network learns from the 100 images alone.

On the way it shows parameter groups with learning rates of their own, a warm-up followed by a
cosine, gradients accumulated over small batches, and clipping. Run it with
``python examples/fine_tune.py``; ``--compile step`` compiles what happens to a small batch, and the
update, ``--compile model`` the forward with its backward.
"""

import argparse
import copy

import numpy as np
from sklearn.datasets import load_digits
from tqdm import tqdm

import graphc
import graphc.nn.functional as F
from graphc import nn, optim
from graphc.utils.data import DataLoader, Subset, TensorDataset

BATCH = 20  # one update
PART = 10  # what is computed at once: the gradients of two parts add up to those of a batch
EXAMPLES = 10  # of each digit, to fine-tune with


class Net(nn.Module):
    """8x8 images to ten classes."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(16 * 2 * 2, 64), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.body(x))


def load_data(device):
    """Training and test sets, split 80/20 by a fixed seed."""
    digits = load_digits()
    images = (digits.images / 8 - 1).astype(np.float32)[:, None]
    order = np.random.RandomState(0).permutation(len(images))
    cut = int(0.8 * len(images))
    return [
        TensorDataset(
            graphc.from_numpy(images[part]).to(device),
            graphc.from_numpy(digits.target[part]).to(device),
        )
        for part in (order[:cut], order[cut:])
    ]


def scanned(dataset, seed):
    """The images as the other scanner sees them."""
    images, labels = dataset.tensors
    noise = np.random.RandomState(seed).randn(*images.shape).astype(np.float32)
    return TensorDataset(images * 0.6 + 0.4 * graphc.from_numpy(noise).to(images.device), labels)


def few(dataset, count):
    """The first ``count`` examples of each digit."""
    labels = dataset.tensors[1].numpy()
    places = [np.flatnonzero(labels == digit)[:count] for digit in range(10)]
    return Subset(dataset, np.concatenate(places).tolist())


def train(name, model, groups, dataset, updates, how):
    """Trains the parameters of ``groups`` in place; gives the losses of all updates."""
    optimizer = optim.AdamW(groups, weight_decay=0.01)
    warm_up = max(1, updates // 10)
    schedule = optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=warm_up),
            optim.lr_scheduler.CosineAnnealingLR(optimizer, updates - warm_up),
        ],
        [warm_up],
    )
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    network = graphc.compile(model) if how == "model" else model

    def accumulate(images, labels):
        loss = F.cross_entropy(network(images), labels) * (PART / BATCH)
        loss.backward()
        return loss

    def update():
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    if how == "step":
        accumulate, update = graphc.compile(accumulate), graphc.compile(update)
    generator = graphc.Generator().manual_seed(1)
    loader = DataLoader(dataset, PART, shuffle=True, drop_last=True, generator=generator)
    losses, total, parts = [], 0.0, 0
    progress = tqdm(total=updates, desc=f"{name:>16}", unit="update")
    while len(losses) < updates:
        for images, labels in loader:
            total += accumulate(images, labels).item()
            parts += 1
            if parts == BATCH // PART:
                update()
                schedule.step()
                losses.append(total)
                total, parts = 0.0, 0
                progress.update()
                if len(losses) == updates:
                    break
    progress.set_postfix(loss=f"{losses[-1]:.4f}")
    progress.close()
    return losses


def accuracy(model, dataset):
    """The share of right answers."""
    images, labels = dataset.tensors
    model.eval()
    with graphc.no_grad():
        right = (model(images).argmax(1) == labels).float().mean().item()
    model.train()
    return right


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=60, help="of each fine-tuning")
    parser.add_argument("--compile", choices=("none", "model", "step"), default="none")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    how, updates = options.compile, options.updates

    graphc.manual_seed(0)
    digits, test = load_data(options.device)
    model = Net().to(options.device)
    groups = [{"params": model.parameters(), "lr": 3e-3}]
    train("clean digits", model, groups, digits, 10 * updates, how)
    first = accuracy(model, test)

    shots, test = few(scanned(digits, 1), EXAMPLES), scanned(test, 2)
    unchanged = accuracy(model, test)
    for p in model.body.parameters():
        p.requires_grad_(False)
    model.head = nn.Linear(64, 10).to(options.device)
    frozen = copy.deepcopy(model.body.state_dict())
    train("new head", model, [{"params": model.head.parameters(), "lr": 1e-2}], shots, updates, how)
    with_head = accuracy(model, test)
    assert all((p == frozen[name]).all() for name, p in model.body.state_dict().items())

    for p in model.body.parameters():
        p.requires_grad_(True)
    groups = [
        {"params": model.body.parameters(), "lr": 2e-3},
        {"params": model.head.parameters(), "lr": 5e-3},
    ]
    train("fine-tuned", model, groups, shots, updates, how)
    tuned = accuracy(model, test)

    fresh = Net().to(options.device)
    train("from scratch", fresh, [{"params": fresh.parameters(), "lr": 3e-3}], shots, updates, how)
    alone = accuracy(fresh, test)

    print(f"\nclean digits, {len(digits)} examples: {first:.1%} of the test set right")
    print(f"the other scanner's: {unchanged:.1%} as it is, and after {len(shots)} examples of them")
    for name, right in (
        ("new head on the frozen body", with_head),
        ("fine-tuned body and head", tuned),
        ("the same network from scratch", alone),
    ):
        print(f"  {name:<30} {right:6.1%}")


if __name__ == "__main__":
    main()
