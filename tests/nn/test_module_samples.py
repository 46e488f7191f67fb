"""Every layer that PyTorch has samples for: attributes, text, state, results, gradients, errors.

PyTorch keeps a list of its layers with arguments for their construction and their call. Each layer
of graphc with one of those names is made with the same arguments, gets the same weights, and is
compared: eagerly in double precision, in training and evaluation; and compiled, where one program
runs and differentiates several of the samples.
"""

import warnings

import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.module_samples import (  # noqa: E402
    INFOS,
    arrays,
    build,
    copy_weights,
    difference,
    in_graphc,
    refusals,
    run,
    samples,
    unlike,
)

pytestmark = [
    pytest.mark.differential,
    pytest.mark.filterwarnings("ignore"),  # of both: deprecations, lazy modules, nested tensors
]

# Layers that graphc does not have, and why.
ABSENT: dict[str, str] = {}

# Layers whose results are drawn at random: only what does not depend on that is compared.
RANDOM = {"FractionalMaxPool2d", "FractionalMaxPool3d"}

PRESENT = [name for name in INFOS if hasattr(graphc.nn, name)]


def test_every_layer_is_here_or_said_to_be_absent():
    assert sorted(set(INFOS) - set(PRESENT)) == sorted(ABSENT)


def described(number, sample, training):
    mode = "training" if training else "evaluation"
    return f"sample {number} ({sample.desc}; {sample.made.args} {sample.made.kwargs}) in {mode}"


def one_sample(info, sample, training):
    """What is wrong with one sample, in words; empty if nothing is."""
    mine, theirs = build(info, sample.made)
    if repr(mine) != repr(theirs):
        return f"prints {mine!r}, in PyTorch {theirs!r}"
    args, kwargs = in_graphc(sample.args), in_graphc(sample.kwargs)
    mine.double().train(training)
    theirs.double().train(training)
    if info.is_lazy:
        theirs(*sample.args, **sample.kwargs)
        mine(*args, **kwargs)
        if repr(mine) != repr(theirs):
            return f"prints {mine!r} after a call, in PyTorch {theirs!r}"
    copy_weights(mine, theirs)
    names = [list(m.state_dict()) for m in (mine, theirs)]
    if names[0] != names[1]:
        return f"has state {names[0]}, in PyTorch {names[1]}"
    wrong = "; ".join(unlike(mine, theirs))
    if wrong or info.module_cls.__name__ in RANDOM:
        return wrong
    results = run(graphc, mine, args, kwargs), run(torch, theirs, sample.args, sample.kwargs)
    return difference(*map(arrays, results), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", PRESENT)
def test_eager(name):
    info, wrong = INFOS[name], []
    for training in (True, False):
        for number, sample in enumerate(samples(info, torch.float64, training, 40)):
            try:
                problem = one_sample(info, sample, training)
            except Exception as error:
                raise AssertionError(described(number, sample, training)) from error
            if problem:
                wrong.append(f"{described(number, sample, training)}: {problem}")
    assert not wrong, f"{len(wrong)} samples differ:\n" + "\n".join(wrong[:5])


@pytest.mark.parametrize("name", [name for name in PRESENT if name not in RANDOM])
def test_compiled(name, full):
    info = INFOS[name]
    prepared = []
    for training in (True, False) if info.train_and_eval_differ else (True,):
        # A transformer is a large program, and has tests of its own.
        most = 1 if "Transformer" in name else 4 if full else 2
        for sample in samples(info, torch.float32, training, most):
            mine, theirs = build(info, sample.made)
            args, kwargs = in_graphc(sample.args), in_graphc(sample.kwargs)
            if info.is_lazy:
                theirs(*sample.args, **sample.kwargs)
                mine(*args, **kwargs)
            mine.train(training)
            theirs.train(training)
            copy_weights(mine, theirs)
            expected = arrays(run(torch, theirs, sample.args, sample.kwargs))
            prepared.append((mine, args, kwargs, expected, described(0, sample, training)))
    modules = [p[0] for p in prepared]
    given = [(args, kwargs) for _, args, kwargs, _, _ in prepared]

    @graphc.compile
    def all_of_them(given):
        return [
            run(graphc, module, args, kwargs)
            for module, (args, kwargs) in zip(modules, given, strict=True)
        ]

    for result, (_, _, _, expected, text) in zip(all_of_them(given), prepared, strict=True):
        problem = difference(arrays(result), expected, rtol=1e-4, atol=1e-5)
        assert not problem, f"{text}: {problem}"


@pytest.mark.parametrize("name", [name for name in PRESENT if refusals(INFOS[name])])
def test_errors(name):
    for sample, while_called, error in refusals(INFOS[name]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cls = getattr(graphc.nn, name)
            made, called = sample.constructor_input, sample.forward_input
            args, kwargs = in_graphc(list(made.args)), in_graphc(dict(made.kwargs))
            if not while_called:
                with pytest.raises(error):
                    cls(*args, **kwargs)
                continue
            module = cls(*args, **kwargs)
            with pytest.raises(error):
                module(*in_graphc(list(called.args)), **in_graphc(dict(called.kwargs)))
