"""Attention layers and transformers compared with PyTorch: eager, compiled, and trained."""

import copy
import warnings

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.module_samples import (  # noqa: E402
    arrays,
    difference,
    in_graphc,
    leaves,
    tensors,
    weighted,
)
from tests.nn.same_program import assert_same, plain, same_error, values  # noqa: E402

pytestmark = pytest.mark.differential

LAYERS = {
    "plain": "MultiheadAttention(8, 2)",
    "batch first": "MultiheadAttention(8, 4, batch_first=True)",
    "no bias": "MultiheadAttention(8, 2, bias=False)",
    "other widths": "MultiheadAttention(8, 2, kdim=5, vdim=6)",
    "other widths, no bias": "MultiheadAttention(8, 2, kdim=5, bias=False, batch_first=True)",
    "bias of keys": "MultiheadAttention(8, 2, add_bias_kv=True)",
    "zero attention": "MultiheadAttention(8, 2, add_zero_attn=True)",
    "all keys more": "MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True)",
}

# Arguments by name; a number is the shape of the mask's leading dim, see ``mask``.
CALLS = {
    "self": {"same": True},
    "cross": {},
    "key is value": {"same": "key"},
    "no weights": {"need_weights": False},
    "each head": {"average_attn_weights": False},
    "boolean mask": {"attn_mask": ("bool", 1)},
    "mask of heads": {"attn_mask": ("float", 6), "need_weights": False},
    "padding": {"key_padding_mask": "bool"},
    "padding of numbers and mask": {
        "key_padding_mask": "float", "attn_mask": ("float", 1), "need_weights": False,
    },
    "causal": {"attn_mask": "causal", "is_causal": True, "need_weights": False, "same": True},
    "causal with weights": {"attn_mask": "causal", "is_causal": True, "same": True},
    "no batch": {"batch": False},
    "no batch, masks": {
        "batch": False, "attn_mask": ("bool", 1), "key_padding_mask": "bool",
        "need_weights": False,
    },
}  # fmt: skip

LENGTH, KEYS, BATCH = 4, 5, 3


def make(t, text, seed=0):
    """A module with weights without pattern."""
    with warnings.catch_warnings():  # PyTorch tells that it will not use nested tensors
        warnings.simplefilter("ignore")
        module = eval(
            text, {name: getattr(t.nn, name) for name in MODULES} | {"F": t.nn.functional}
        )
    with t.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(values(t, *p.shape, salt=seed + i) / 4)
    return module


MODULES = (
    "MultiheadAttention", "Transformer", "TransformerEncoder", "TransformerEncoderLayer",
    "TransformerDecoder", "TransformerDecoderLayer", "LayerNorm", "GELU", "SiLU",
)  # fmt: skip


def padding(t, kind, keys):
    hidden = [[k >= keys - n for k in range(keys)] for n in (0, 1, 2)]
    mask = t.tensor(hidden)
    return mask if kind == "bool" else values(t, BATCH, keys) * mask


def arguments(t, module, call):
    """What a call of ``MultiheadAttention`` gets: three tensors and named arguments."""
    named = dict(call)
    same, batch = named.pop("same", False), named.pop("batch", True)
    keys = LENGTH if same is True else KEYS
    query = values(t, LENGTH, BATCH, 8, salt=1)
    key = values(t, keys, BATCH, module.kdim, salt=2)
    value = values(t, keys, BATCH, module.vdim, salt=3)
    tensors = [x if batch else x[:, 0] for x in (query, key, value)]
    if module.batch_first and batch:
        tensors = [x.transpose(0, 1) for x in tensors]
    tensors = [x.clone().requires_grad_() for x in tensors]
    if same is True:
        tensors = tensors[:1] * 3
    elif same == "key":
        tensors[2] = tensors[1]
    mask = named.get("attn_mask")
    if mask == "causal":
        named["attn_mask"] = t.nn.Transformer.generate_square_subsequent_mask(LENGTH)
    elif mask is not None:
        kind, lead = mask
        lead *= module.num_heads // 2 if lead > 1 else 1
        made = values(t, lead, LENGTH, keys, salt=7)
        made = made > 0.5 if kind == "bool" else made
        named["attn_mask"] = made[0] if lead == 1 else made
    if "key_padding_mask" in named:
        made = padding(t, named["key_padding_mask"], keys)
        named["key_padding_mask"] = made if batch else made[1]
    return tensors, named


def fits(layer, call):
    if CALLS[call].get("same") and "kdim" in LAYERS[layer]:
        return False
    # PyTorch refuses the hint when there are more keys than the mask knows.
    return not (CALLS[call].get("is_causal") and "add_" in LAYERS[layer])


def run(t, module, call, training, compiled):
    """Results and all gradients."""
    module.train(training)
    tensors, named = arguments(t, module, call)
    function = graphc.compile(module) if compiled else module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # masks of two dtypes
        output, weights = function(*tensors, **named)
    loss = (output * values(t, *output.shape, salt=5)).sum()
    if weights is not None:
        loss = loss + (weights * values(t, *weights.shape, salt=6)).sum()
    module.zero_grad()
    loss.backward()
    leaves = {id(x): x for x in tensors}.values()
    return [output, weights, [x.grad for x in leaves], [p.grad for p in module.parameters()]]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("layer", LAYERS)
def test_attention(layer, call):
    if not fits(layer, call):
        pytest.skip("no such call of this layer in PyTorch")
    mine, theirs = make(graphc, LAYERS[layer]), make(torch, LAYERS[layer])
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert repr(mine) == repr(theirs)
    for training in (True, False):
        expected = run(torch, theirs, CALLS[call], training, False)
        assert_same(run(graphc, mine, CALLS[call], training, False), expected, atol=1e-5)


COMPILED = [
    *(("plain", call) for call in CALLS),
    *((layer, "padding of numbers and mask") for layer in LAYERS if layer != "plain"),
]


# Of each kind of mask, weights and layer one; the rest only with --full.
SOME = (
    *(("plain", call) for call in ("self", "each head", "mask of heads", "causal")),
    ("plain", "no batch, masks"),
    *((layer, "padding of numbers and mask") for layer in ("other widths", "all keys more")),
)


@pytest.mark.parametrize(
    ("layer", "call"),
    [pytest.param(*case, marks=[pytest.mark.full] * (case not in SOME)) for case in COMPILED],
)
def test_compiled_attention(layer, call):
    mine, theirs = make(graphc, LAYERS[layer]), make(torch, LAYERS[layer])
    expected = run(torch, theirs, CALLS[call], True, False)
    assert_same(run(graphc, mine, CALLS[call], True, True), expected, atol=1e-5)


TRANSFORMERS = {
    "encoder layer": ("TransformerEncoderLayer(8, 2, 12, 0.0)", 1),
    "encoder layer, norm first": (
        "TransformerEncoderLayer(8, 2, 12, 0.0, 'gelu', norm_first=True, batch_first=True)", 1,
    ),
    "encoder layer, own activation": (
        "TransformerEncoderLayer(8, 2, 12, 0.0, SiLU(), layer_norm_eps=1e-3, bias=False)", 1,
    ),
    "encoder layer, function": (
        "TransformerEncoderLayer(8, 2, 12, 0.0, activation=F.gelu, batch_first=True)", 1,
    ),
    "encoder": (
        "TransformerEncoder(TransformerEncoderLayer(8, 2, 12, 0.0, batch_first=True), 2, "
        "LayerNorm(8))", 1,
    ),
    "encoder without norm": (
        "TransformerEncoder(TransformerEncoderLayer(8, 2, 12, 0.0), 2, None, False)", 1,
    ),
    "decoder layer": ("TransformerDecoderLayer(8, 2, 12, 0.0)", 2),
    "decoder layer, norm first": (
        "TransformerDecoderLayer(8, 2, 12, 0.0, GELU(), norm_first=True, batch_first=True)", 2,
    ),
    "decoder": (
        "TransformerDecoder(TransformerDecoderLayer(8, 2, 12, 0.0, bias=False), 2, LayerNorm(8))",
        2,
    ),
    "both": ("Transformer(8, 2, 1, 2, 12, 0.0)", 2),
    "both, batch first": (
        "Transformer(8, 2, 1, 1, 12, 0.0, 'gelu', batch_first=True, norm_first=True)", 2,
    ),
}  # fmt: skip


def sequences(t, module, count, grad=True):
    batch_first = getattr(module, "batch_first", None)
    if batch_first is None:
        batch_first = next(m for m in module.modules() if hasattr(m, "batch_first")).batch_first
    made = [values(t, n, BATCH, 8, salt=n) for n in (LENGTH, KEYS)[:count]]
    made = [x.transpose(0, 1) if batch_first else x for x in made]
    return [x.clone().requires_grad_(grad) for x in made]


def masks(t, text):
    """Masks by the names that the class has for them."""
    causal = t.nn.Transformer.generate_square_subsequent_mask(LENGTH)
    hidden = padding(t, "bool", LENGTH)
    if text.startswith("TransformerEncoder("):
        masked = {"mask": causal}
        return [{}, masked, {**masked, "is_causal": True}, {"src_key_padding_mask": hidden}]
    if text.startswith("TransformerEncoderLayer"):
        masked = {"src_mask": causal}
        numbers = padding(t, "float", LENGTH)
        return [{}, {**masked, "is_causal": True}, {**masked, "src_key_padding_mask": numbers}]
    memory = padding(t, "bool", KEYS)
    if text.startswith("TransformerDecoder"):
        return [{}, {"tgt_mask": causal, "tgt_is_causal": True, "memory_key_padding_mask": memory}]
    other = t.nn.Transformer.generate_square_subsequent_mask(KEYS)
    return [
        {},
        {"src_mask": causal, "tgt_mask": other, "src_key_padding_mask": padding(t, "float", LENGTH),
         "memory_key_padding_mask": hidden},
    ]  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformer(name, full):
    """With each choice of masks; compiled, unless all is wanted, with the last, the most."""
    text, count = TRANSFORMERS[name]
    mine, theirs = make(graphc, text), make(torch, text)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert repr(mine) == repr(theirs)
    compiled = graphc.compile(mine)
    choices = len(masks(torch, text))
    for number in range(choices):
        lives = [(torch, theirs, theirs), (graphc, mine, mine)]
        if full or number == choices - 1:
            lives.append((graphc, mine, compiled))
        results = []
        for t, module, function in lives:
            inputs = sequences(t, module, count)
            module.zero_grad()
            output = function(*inputs, **masks(t, text)[number])
            (output * values(t, *output.shape, salt=5)).sum().backward()
            grads = [x.grad for x in (*inputs, *module.parameters())]
            results.append([output, grads])
        for result in results[1:]:
            assert_same(result, results[0], rtol=5e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["encoder", "encoder without norm", "both, batch first"])
def test_evaluation_without_gradients(name):
    """Padded places, too: where PyTorch leaves them out of the computation they are zero."""
    text, count = TRANSFORMERS[name]
    mine, theirs = make(graphc, text).eval(), make(torch, text).eval()
    compiled = graphc.compile(mine)
    for number, named in enumerate(masks(torch, text)):
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nested tensors are a prototype
            expected = theirs(*sequences(torch, theirs, count, False), **named)
        with graphc.no_grad():
            for function in (mine, compiled):
                named = masks(graphc, text)[number]
                result = function(*sequences(graphc, mine, count, False), **named)
                assert_same(result, expected, rtol=5e-5, atol=1e-5)


@pytest.mark.parametrize("text", ["MultiheadAttention(8, 2, 0.5)", "Transformer(8, 2, 1, 1, 12)"])
def test_initial_values(text):
    """Distributions as PyTorch's: the same bounds and deviations."""
    mine, theirs = (eval(f"t.nn.{text.replace('8', '64')}", {"t": t}) for t in (graphc, torch))
    for (name, p), q in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        a, b = plain(p), plain(q)
        assert a.shape == b.shape, name
        near = 0.01 if a.size > 1000 else 0.1  # chance evens out over many numbers
        assert abs(a.mean() - b.mean()) < near, name
        assert abs(a.std() - b.std()) < near, name
        assert abs(a.min() - b.min()) < 2 * near, name


def train(t, compiled):
    model = make(t, "Transformer(8, 2, 1, 1, 12, 0.0)")
    # Not Adam: the bias of keys has no influence, and it divides noise by noise.
    optimizer = t.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    mask = t.nn.Transformer.generate_square_subsequent_mask(KEYS)

    def step(src, tgt, wanted):
        optimizer.zero_grad()
        loss = t.nn.functional.mse_loss(model(src, tgt, tgt_mask=mask, tgt_is_causal=True), wanted)
        loss.backward()
        optimizer.step()
        return loss

    run = graphc.compile(step) if compiled else step
    losses = []
    for i in range(20):
        src = values(t, LENGTH, BATCH, 8, salt=i)
        tgt, wanted = (values(t, KEYS, BATCH, 8, salt=i + n) for n in (30, 60))
        losses.append(run(src, tgt, wanted).item())
    return losses, list(model.parameters())


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_twenty_steps_of_training(compiled):
    mine, theirs = train(graphc, compiled), train(torch, False)
    np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-4)
    assert_same(mine[1], theirs[1], rtol=5e-4, atol=1e-4)


def test_dropout_is_only_in_training():
    attention = graphc.nn.MultiheadAttention(8, 2, dropout=0.5)
    x = values(graphc, LENGTH, BATCH, 8)
    once, again = (attention(x, x, x)[1] for _ in range(2))
    assert plain(once).tolist() != plain(again).tolist()
    attention.eval()
    once, again = (attention(x, x, x, need_weights=False)[0] for _ in range(2))
    assert plain(once).tolist() == plain(again).tolist()


def test_copies_share_nothing():
    layer = graphc.nn.TransformerEncoderLayer(8, 2, 12)
    encoder = graphc.nn.TransformerEncoder(layer, 2)
    assert len({id(p) for p in encoder.parameters()}) == 2 * len(list(layer.parameters()))
    copied = copy.deepcopy(encoder)
    assert_same(copied.state_dict(), encoder.state_dict())


ERRORS = {
    "heads": lambda t: t.nn.MultiheadAttention(8, 3),
    "nothing": lambda t: t.nn.MultiheadAttention(0, 3),
    "rank": lambda t: attend(t, t.zeros(8)),
    "other rank": lambda t: attend(t, t.zeros(2, 8), t.zeros(2, 1, 8)),
    "width": lambda t: attend(t, t.zeros(2, 1, 6)),
    "lengths": lambda t: attend(t, t.zeros(2, 1, 8), t.zeros(3, 1, 8), t.zeros(2, 1, 8)),
    "mask": lambda t: attend(t, t.zeros(2, 1, 8), attn_mask=t.zeros(3, 2)),
    "mask of heads": lambda t: attend(t, t.zeros(2, 1, 8), attn_mask=t.zeros(3, 2, 2)),
    "mask of integers": lambda t: attend(t, t.zeros(2, 1, 8), attn_mask=t.zeros(2, 2).long()),
    "rank of padding": lambda t: attend(t, t.zeros(2, 1, 8), key_padding_mask=t.zeros(2)),
    "size of padding": lambda t: attend(t, t.zeros(2, 1, 8), key_padding_mask=t.zeros(1, 3)),
    "causal without mask": lambda t: attend(t, t.zeros(2, 1, 8), is_causal=True),
    "activation": lambda t: t.nn.TransformerEncoderLayer(8, 2, activation="tanh"),
    "batches": lambda t: t.nn.Transformer(8, 2, 1, 1, 8)(t.zeros(2, 1, 8), t.zeros(2, 3, 8)),
    "features": lambda t: t.nn.Transformer(8, 2, 1, 1, 8)(t.zeros(2, 1, 6), t.zeros(2, 1, 8)),
}


def attend(t, query, key=None, value=None, **named):
    key = query if key is None else key
    return t.nn.MultiheadAttention(8, 2)(query, key, key if value is None else value, **named)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    assert same_error(ERRORS[name]) == message(name)


def message(name):
    with pytest.raises(Exception) as theirs:
        ERRORS[name](torch)
    return str(theirs.value).replace("torch.", "graphc.")


def test_every_sample_of_the_function():
    """PyTorch's samples without dropout, with the gradients of all tensors, masks too."""
    database = pytest.importorskip("torch.testing._internal.common_methods_invocations").op_db
    name = "nn.functional.multi_head_attention_forward"
    op = next(op for op in database if op.name == name)
    torch.manual_seed(0)
    given = op.sample_inputs("cpu", torch.float64, requires_grad=False)
    for number, sample in enumerate(given):
        args = leaves([sample.input, *sample.args])
        kwargs = leaves(dict(sample.kwargs))
        args[10] = 0.0  # dropout_p
        for x in tensors([args, kwargs]):
            x.requires_grad_(x.is_floating_point())
        results = []
        for t, a, k in ((graphc, in_graphc(args), in_graphc(kwargs)), (torch, args, kwargs)):
            outputs = tensors(t.nn.functional.multi_head_attention_forward(*a, **k))
            weighted(t, outputs).backward()
            grads = [x.grad for x in tensors([a, k]) if x.requires_grad]
            results.append(arrays([*outputs, *grads]))
        problem = difference(*results, rtol=1e-6, atol=1e-7)
        assert not problem, f"sample {number}: {problem}"
    assert number > 100
