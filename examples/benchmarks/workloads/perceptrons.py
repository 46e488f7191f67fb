"""Layers of matrix products: multi-layer perceptrons, and one on averaged word vectors."""

import itertools

from .rows import MAIN, ODD, Row, Training, adam, classification, labelled


def mlp(batch, widths, dtype="float32"):
    def model(xp):
        nn = xp.nn
        layers = [nn.Linear(widths[0], widths[1])]
        for inner, outer in itertools.pairwise(widths[1:]):
            layers += [nn.ReLU(), nn.Linear(inner, outer)]
        return nn.Sequential(*layers)

    def network(jx, p, x):
        last = 2 * (len(widths) - 2)
        for i in range(0, last, 2):
            x = jx.relu(jx.linear(p.at(i), x))
        return jx.linear(p.at(last), x)

    data = labelled((batch, widths[0]), widths[-1])
    return Training(model, data, classification(network), adam(1e-3), dtype)


def word_averages(words, vocabulary, width, batch, classes=4):
    """The mean of a text's word vectors, then two layers: most of the step is the embedding's."""

    def model(xp):
        nn = xp.nn

        class WordAverages(nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding = nn.Embedding(vocabulary, width)
                self.hidden = nn.Linear(width, 64)
                self.output = nn.Linear(64, classes)

            def forward(self, texts):
                x = self.embedding(texts).mean(1)
                return self.output(xp.relu(self.hidden(x)))

        return WordAverages()

    def network(jx, p, texts):
        x = p["embedding.weight"][texts].mean(1)
        return jx.linear(p.at("output"), jx.relu(jx.linear(p.at("hidden"), x)))

    def data(random):
        return [random.randint(0, vocabulary, (batch, words)), random.randint(0, classes, batch)]

    return Training(model, data, classification(network), adam(1e-3))


SMALL = {"batch": 5, "widths": (7, 11, 6, 3)}
ROWS = [
    Row(
        *("mlp_step", MAIN, "MLP 64-256-256-10, batch 128, Adam: step", mlp),
        *({"batch": 128, "widths": (64, 256, 256, 10)}, SMALL),
    ),
    Row(
        *("mlp_odd_step", ODD, "MLP 61-251-131-10, batch 37, Adam: step", mlp),
        *({"batch": 37, "widths": (61, 251, 131, 10)}, SMALL),
    ),
    Row(
        *("mlp_float64_step", ODD, "MLP 64-256-256-10, float64, batch 128, Adam: step", mlp),
        *({"batch": 128, "widths": (64, 256, 256, 10), "dtype": "float64"}, SMALL),
    ),
    Row(
        *("mlp_bfloat16_step", ODD, "MLP 64-256-256-10, bfloat16, batch 128, Adam: step", mlp),
        *({"batch": 128, "widths": (64, 256, 256, 10), "dtype": "bfloat16"}, SMALL),
        tolerance=3e-2,
    ),
    Row(
        *("embedding_step", ODD, "mean of 64 of 20,000 word vectors, batch 64, Adam: step"),
        *(word_averages, {"words": 64, "vocabulary": 20_000, "width": 128, "batch": 64}),
        {"words": 5, "vocabulary": 30, "width": 8, "batch": 4},
    ),
]
