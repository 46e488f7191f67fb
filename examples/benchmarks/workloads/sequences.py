"""Recurrent networks and transformers."""

import numpy as np

from .rows import MAIN, ODD, Loss, Row, Training, adam, adamw, classification, labelled


def recurrent(kind, batch, steps, width, hidden, layers, classes=10):
    """``nn.LSTM`` or ``nn.GRU`` over a sequence, and a linear classifier of its last output."""

    def model(xp):
        nn = xp.nn

        class Recurrent(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = getattr(nn, kind)(width, hidden, layers, batch_first=True)
                self.classifier = nn.Linear(hidden, classes)

            def forward(self, x):
                outputs, _ = self.layers(x)
                return self.classifier(outputs[:, -1])

        return Recurrent()

    def network(jx, p, x):
        for layer in range(layers):
            x = jx.RECURRENT[kind](p.at("layers"), f"l{layer}", x)
        return jx.linear(p.at("classifier"), x[:, -1])

    data = labelled((batch, steps, width), classes)
    return Training(model, data, classification(network), adam(1e-3))


def gpt(batch, length, width, heads, blocks, vocabulary):
    """A decoder with learned positions, norms before the layers, and its own output weights."""

    def model(xp):
        nn, functional = xp.nn, xp.nn.functional

        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.norm1 = nn.LayerNorm(width)
                self.qkv = nn.Linear(width, 3 * width)
                self.projection = nn.Linear(width, width)
                self.norm2 = nn.LayerNorm(width)
                self.up = nn.Linear(width, 4 * width)
                self.down = nn.Linear(4 * width, width)

            def attention(self, x):
                parts = self.qkv(x).split(width, dim=-1)
                q, k, v = (
                    part.view(*x.shape[:2], heads, width // heads).transpose(1, 2) for part in parts
                )
                y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
                return self.projection(y.transpose(1, 2).reshape(x.shape))

            def forward(self, x):
                x = x + self.attention(self.norm1(x))
                return x + self.down(functional.gelu(self.up(self.norm2(x))))

        class GPT(nn.Module):
            def __init__(self):
                super().__init__()
                self.tokens = nn.Embedding(vocabulary, width)
                self.positions = nn.Embedding(length, width)
                self.blocks = nn.ModuleList([Block() for _ in range(blocks)])
                self.norm = nn.LayerNorm(width)
                self.output = nn.Linear(width, vocabulary, bias=False)

            def forward(self, tokens):
                x = self.tokens(tokens) + self.positions(xp.arange(length))
                for block in self.blocks:
                    x = block(x)
                return self.output(self.norm(x)).flatten(0, 1)

        return GPT()

    def network(jx, p, tokens):
        x = p["tokens.weight"][tokens] + p["positions.weight"]
        for i in range(blocks):
            block = p.at("blocks", i)
            parts = jx.np.split(
                jx.linear(block.at("qkv"), jx.layer_norm(block.at("norm1"), x)), 3, -1
            )
            y = jx.attention(*parts, heads, causal=True)
            x = x + jx.linear(block.at("projection"), y)
            y = jx.gelu(jx.linear(block.at("up"), jx.layer_norm(block.at("norm2"), x)))
            x = x + jx.linear(block.at("down"), y)
        x = jx.linear(p.at("output"), jx.layer_norm(p.at("norm"), x))
        return x.reshape(-1, vocabulary)

    def data(random):
        text = random.randint(0, vocabulary, (batch, length + 1))
        return [text[:, :-1].copy(), text[:, 1:].flatten()]

    return Training(model, data, classification(network), adamw(3e-4, weight_decay=0.1))


def encoder(batch, length, width, heads, layers):
    """``nn.TransformerEncoderLayer`` as it comes, without dropout, trained to give a target."""

    def model(xp):
        nn = xp.nn

        def layer():
            return nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout=0.0, batch_first=True
            )

        return nn.Sequential(*(layer() for _ in range(layers)))

    def loss(xp, model, x, target):
        return xp.nn.functional.mse_loss(model(x), target)

    def jax_loss(jx, p, x, target):
        for i in range(layers):
            layer = p.at(i)
            weight, bias = layer["self_attn.in_proj_weight"], layer["self_attn.in_proj_bias"]
            y = jx.attention(*jx.np.split(x @ weight.T + bias, 3, -1), heads, causal=False)
            x = jx.layer_norm(layer.at("norm1"), x + jx.linear(layer.at("self_attn.out_proj"), y))
            y = jx.linear(layer.at("linear2"), jx.relu(jx.linear(layer.at("linear1"), x)))
            x = jx.layer_norm(layer.at("norm2"), x + y)
        return jx.np.square(x - target).mean()

    def data(random):
        return [random.standard_normal((batch, length, width)).astype(np.float32) for _ in range(2)]

    return Training(model, data, (Loss(loss, jax_loss),), adam(1e-4))


SMALL = {"batch": 3, "steps": 4, "width": 5, "hidden": 6}
ROWS = [
    Row(
        *("gpt_step", MAIN, "GPT of 4 blocks, width 128, 8 x 64 tokens, AdamW: step", gpt),
        {"batch": 8, "length": 64, "width": 128, "heads": 4, "blocks": 4, "vocabulary": 65},
        {"batch": 2, "length": 5, "width": 8, "heads": 2, "blocks": 1, "vocabulary": 7},
    ),
    Row(
        *("lstm_step", MAIN, "LSTM 28-64, 28 steps, batch 64, Adam: step", recurrent),
        {"kind": "LSTM", "batch": 64, "steps": 28, "width": 28, "hidden": 64, "layers": 1},
        SMALL,
    ),
    *(
        Row(
            *(f"{kind.lower()}_stack_step", ODD),
            *(f"2 layers of {kind} 64-128, 32 steps, batch 32, Adam: step", recurrent),
            {"kind": kind, "batch": 32, "steps": 32, "width": 64, "hidden": 128, "layers": 2},
            SMALL,
        )
        for kind in ("LSTM", "GRU")
    ),
    Row(
        *("encoder_2048_step", ODD),
        *("transformer encoder, 2 layers, width 128, length 2048, Adam: step", encoder),
        {"batch": 1, "length": 2048, "width": 128, "heads": 4, "layers": 2},
        {"length": 6, "width": 8, "heads": 2, "layers": 1},
    ),
]
