"""Trains an LSTM language model, character by character, on the source of Python's library.

The text is read in long pieces, 64 characters at a time; the state after one piece is where the
next one begins, so the model remembers further back than gradients flow. Compiled, the 64 steps of
each layer stay one loop of the program. Afterwards the model writes some text of its own.
In 1,000 steps, about a minute on two cores, the loss falls from 4.6 to 1.6 nats a character.

Run it with ``python examples/char_lstm.py``. By default the whole training step is one compiled
program; ``--compile none`` runs the same code eagerly, ``--compile model`` compiles the network
alone.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from source_text import Text, draw
from tqdm import tqdm

import graphc
import graphc.nn.functional as F
from graphc import nn, optim

PIECE = 64


class Model(nn.Module):
    def __init__(self, characters, width=128, layers=2):
        super().__init__()
        self.layers, self.width = layers, width
        self.tokens = nn.Embedding(characters, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, dropout=0.1)
        self.head = nn.Linear(width, characters)

    def forward(self, characters, state):
        x, state = self.lstm(self.tokens(characters), state)
        return self.head(x), state

    def beginning(self, batch, device):
        shape = (self.layers, batch, self.width)
        return graphc.zeros(shape, device=device), graphc.zeros(shape, device=device)


def train(model, text, steps, batch, how, device):
    """The losses, the median milliseconds of a step, what was compiled, and how often at first."""
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=1e-4)
    network = graphc.compile(model) if how == "model" else model

    def step(x, y, state):
        optimizer.zero_grad()
        logits, state = network(x, state)
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss, [s.detach() for s in state]

    run = graphc.compile(step) if how == "step" else step
    compiled = run if how == "step" else network if how == "model" else None
    early = 0
    losses, times = [], []
    pieces = text.streams(batch, PIECE)
    state = model.beginning(batch, device)
    progress = tqdm(range(steps), desc="training", unit="step")
    for number in progress:
        x, y = next(pieces)
        start = time.perf_counter()
        loss, state = run(x, y, state)
        times.append(time.perf_counter() - start)
        schedule.step()
        losses.append(loss.item())
        if number < 2 and compiled is not None:
            early = len(compiled.receipts)
        if number % 50 == 49:
            progress.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}")
    return losses, 1e3 * float(np.median(times)), compiled, early


def continued(model, text, start, length, temperature=0.7):
    """Goes on writing after ``start``: the state is all that the model remembers."""
    predict = graphc.compile(model)
    written = list(start)
    with graphc.no_grad():
        state = model.beginning(1, text.device)
        for number in range(len(start) + length - 1):
            logits, state = predict(text.encoded(written[number])[None], state)
            if number + 1 < len(start):
                continue
            chances = (logits[0, -1] / temperature).softmax(0)
            written.append(text.characters[graphc.multinomial(chances, 1).item()])
    return "".join(written)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--compile", choices=("none", "model", "step"), default="step")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--length", type=int, default=400, help="characters to write at the end")
    parser.add_argument("--output", type=Path, default=Path("char_lstm_output"))
    options = parser.parse_args()
    graphc.manual_seed(0)
    text = Text(options.device)
    model = Model(len(text.characters)).to(options.device)
    count = sum(p.numel() for p in model.parameters())
    print(f"{len(text)} characters, {len(text.characters)} different; {count} parameters")
    losses, milliseconds, compiled, early = train(
        model, text, options.steps, options.batch, options.compile, options.device
    )
    model.eval()
    with graphc.no_grad():
        x, y = text.batch(64, PIECE, held_out=True)
        logits, _ = model(x, model.beginning(64, options.device))
        unseen = F.cross_entropy(logits.flatten(0, 1), y.flatten()).item()
    written = continued(model, text, "def ", options.length)
    print(f"\n{written}\n")
    options.output.mkdir(parents=True, exist_ok=True)
    draw(options.output / "loss.png", losses, "An LSTM on the source of Python's library")
    (options.output / "written.txt").write_text(written)
    last = float(np.mean(losses[-50:]))
    print(f"loss {losses[0]:.3f} -> {last:.3f}, on text it has not seen {unseen:.3f}")
    print(f"{milliseconds:.2f} ms a step")
    if compiled is not None:
        print(f"compiled {len(compiled.receipts)} times; after two batches {early}")
    print(f"picture: {options.output / 'loss.png'}")


if __name__ == "__main__":
    main()
