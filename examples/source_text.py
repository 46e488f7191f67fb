"""Text to learn from: the source of a few modules of Python's standard library."""

import importlib.util
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import graphc

MODULES = (
    "argparse ast bdb calendar cgitb configparser csv datetime decimal difflib dis doctest "
    "fractions functools gettext heapq inspect locale mailbox optparse pathlib pdb pickle "
    "pickletools platform plistlib pprint pydoc random shutil smtplib statistics string "
    "subprocess tarfile textwrap threading traceback turtle typing unittest.case unittest.mock "
    "urllib.request uuid zipfile"
).split()


def source(name):
    """The text of a module; empty where this Python has it no more, or not as a file."""
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return ""
    if found is None or not found.origin or not found.origin.endswith(".py"):
        return ""
    return Path(found.origin).read_text(encoding="utf-8", errors="ignore")


class Text:
    """Characters as numbers; the last tenth is held out."""

    def __init__(self, device="cpu", seed=1):
        text = "".join(source(name) for name in MODULES)
        text = "".join(c for c in text if c == "\n" or " " <= c <= "~")
        self.characters = sorted(set(text))
        self.numbers = {c: i for i, c in enumerate(self.characters)}
        self.device = device
        self.data = np.array([self.numbers[c] for c in text])
        self.cut = len(self.data) * 9 // 10
        self.random = np.random.RandomState(seed)

    def __len__(self):
        return len(self.data)

    def batch(self, size, length, held_out=False):
        """Pieces of the text, and the same pieces one character later."""
        low, high = (self.cut, len(self.data)) if held_out else (0, self.cut)
        starts = self.random.randint(low, high - length - 1, size)
        pieces = np.stack([self.data[s : s + length + 1] for s in starts])
        pieces = graphc.from_numpy(pieces).to(self.device)
        return pieces[:, :-1].contiguous(), pieces[:, 1:].contiguous()

    def streams(self, size, length):
        """Batches of which each goes on where the one before it ended, in ``size`` places."""
        starts = np.linspace(0, self.cut - 1, size, endpoint=False).astype(int)
        while True:
            places = (starts[:, None] + np.arange(length + 1)) % self.cut
            pieces = graphc.from_numpy(self.data[places]).to(self.device)
            yield pieces[:, :-1].contiguous(), pieces[:, 1:].contiguous()
            starts = (starts + length) % self.cut

    def encoded(self, text):
        return graphc.tensor([self.numbers[c] for c in text], device=self.device)

    def decoded(self, numbers):
        return "".join(self.characters[i] for i in numbers)


def draw(path, losses, title):
    """The losses of all steps, and their running mean."""
    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot(losses, linewidth=0.6, alpha=0.5)
    smooth = np.convolve(losses, np.ones(25) / 25, mode="valid")
    axes.plot(np.arange(len(smooth)) + 12, smooth, linewidth=2)
    axes.set(xlabel="step", ylabel="loss (nats a character)", title=title)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
