"""Linear regression three ways: the closed form, gradient descent, and L-BFGS.

The data are scikit-learn's 442 diabetes patients: ten measurements, and how far the disease has
gone a year later. Least squares has a solution on paper, so one sees how near the optimizers come:

1. the normal equations, solved by ``graphc.linalg.solve``;
2. SGD with momentum on batches, whose learning rate falls along a cosine;
3. L-BFGS with a line search, which calls a closure as often as it likes.

Run it with ``python examples/linear_regression.py``. ``--compile model`` compiles the model,
``--compile step`` SGD's whole step and L-BFGS's closure; ``--picture fit.png`` draws the fits.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes
from tqdm import tqdm

import graphc
import graphc.nn.functional as F
from graphc import nn, optim
from graphc.utils.data import DataLoader, TensorDataset

BATCH = 64


def load_data(device):
    """Training and test sets, split 80/20 by a fixed seed, every column with deviation 1."""
    x, y = load_diabetes(return_X_y=True)
    x, y = x / x.std(0), (y - y.mean()) / y.std()
    order = np.random.RandomState(0).permutation(len(x))
    cut = int(0.8 * len(x))
    return [
        TensorDataset(
            graphc.tensor(x[part], dtype=graphc.float32, device=device),
            graphc.tensor(y[part], dtype=graphc.float32, device=device)[:, None],
        )
        for part in (order[:cut], order[cut:])
    ]


def closed_form(train_set):
    """Weights and bias of least squares, from the normal equations in float64."""
    x, y = (t.double() for t in train_set.tensors)
    x = graphc.cat([x, graphc.ones_like(x[:, :1])], 1)
    solution = graphc.linalg.solve(x.T @ x, x.T @ y)[:, 0]
    return solution[:-1], solution[-1]


def fitted_model(weight, bias):
    model = nn.Linear(len(weight), 1)
    with graphc.no_grad():
        model.weight.copy_(weight)
        model.bias.fill_(bias.item())
    return model


def descend(train_set, epochs, how, device):
    """Stochastic gradient descent with momentum; gives the model and the losses of its steps."""
    graphc.manual_seed(0)
    model = nn.Linear(train_set.tensors[0].shape[1], 1).to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    network = graphc.compile(model) if how == "model" else model

    def step(x, y):
        optimizer.zero_grad()
        loss = F.mse_loss(network(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = graphc.compile(step) if how == "step" else step
    generator = graphc.Generator().manual_seed(1)
    loader = DataLoader(
        train_set, batch_size=BATCH, shuffle=True, drop_last=True, generator=generator
    )
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    losses = []
    for _ in tqdm(range(epochs), desc="SGD", unit="epoch"):
        losses += [run(x, y).item() for x, y in loader]
        schedule.step()
    return model, losses


def minimise(train_set, how, device):
    """L-BFGS on all of the data; gives the model and the losses of its closure's calls."""
    graphc.manual_seed(0)
    model = nn.Linear(train_set.tensors[0].shape[1], 1).to(device)
    optimizer = optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe", tolerance_grad=1e-6)
    network = graphc.compile(model) if how == "model" else model
    x, y = train_set.tensors
    losses = []

    def backward():
        optimizer.zero_grad()
        loss = F.mse_loss(network(x), y)
        loss.backward()
        return loss

    run = graphc.compile(backward) if how == "step" else backward

    def closure():
        loss = run()
        losses.append(loss.item())
        return loss

    for _ in range(3):
        optimizer.step(closure)
    return model, losses


def explained(model, data):
    """The part of the variance that the model explains."""
    x, y = data.tensors
    with graphc.no_grad():
        return 1 - (F.mse_loss(model(x), y) / y.var(correction=0)).item()


def draw(path, models, curves, best, test_set):
    """How the losses fall to the least one, and predictions against what came true."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5))
    for name, losses in curves.items():
        left.plot(np.arange(1, len(losses) + 1), losses, label=name)
    left.axhline(best, color="black", linestyle=":", label="closed form")
    left.set(xlabel="step or call of the closure", ylabel="loss", xscale="log", yscale="log")
    left.legend()
    x, y = test_set.tensors
    for (name, model), marker in zip(models.items(), "o+x", strict=True):
        right.scatter(y.numpy(), model(x).detach().numpy(), marker=marker, label=name, alpha=0.6)
    ends = [y.min().item(), y.max().item()]
    right.plot(ends, ends, color="black", linewidth=0.8)
    right.set(xlabel="true", ylabel="predicted", title="Patients of the test set")
    right.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=200, help="of SGD")
    parser.add_argument("--compile", choices=("none", "model", "step"), default="none")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--picture", type=Path, help="draw the fits into this file")
    options = parser.parse_args()

    train_set, test_set = load_data(options.device)
    start = time.perf_counter()
    exact = fitted_model(*closed_form(train_set)).to(options.device)
    times = [time.perf_counter() - start]
    descended, sgd_losses = descend(train_set, options.epochs, options.compile, options.device)
    times.append(time.perf_counter() - start - sum(times))
    minimised, lbfgs_losses = minimise(train_set, options.compile, options.device)
    times.append(time.perf_counter() - start - sum(times))

    models = {"closed form": exact, "SGD": descended, "L-BFGS": minimised}
    print(f"\n{'':>12} {'seconds':>8} {'R² train':>9} {'R² test':>8} {'farthest weight':>16}")
    for (name, model), seconds in zip(models.items(), times, strict=True):
        apart = (model.weight - exact.weight).abs().max().item()
        fits = explained(model, train_set), explained(model, test_set)
        print(f"{name:>12} {seconds:8.3f} {fits[0]:9.4f} {fits[1]:8.4f} {apart:16.1e}")
    print(
        f"\nL-BFGS called its closure {len(lbfgs_losses)} times, SGD made {len(sgd_losses)} steps"
    )
    if options.picture is not None:
        x, y = train_set.tensors
        best = F.mse_loss(exact(x), y).item()
        curves = {"SGD": sgd_losses, "L-BFGS": lbfgs_losses}
        draw(options.picture, models, curves, best, test_set)
        print(f"picture: {options.picture}")


if __name__ == "__main__":
    main()
