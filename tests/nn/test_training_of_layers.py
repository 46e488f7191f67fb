"""Every layer that PyTorch has samples for is trained for 20 steps, and stays with PyTorch's.

Both begin with the same weights and the same arguments. What trains is what there is: the layer's
parameters, and its floating-point arguments, so that layers without parameters train as well. The
losses of all steps, and in the end the parameters, the arguments and the buffers, agree in double
precision: eagerly, and where the whole step is compiled.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.module_samples import (  # noqa: E402
    INFOS,
    Sample,
    arrays,
    build,
    copy_weights,
    difference,
    in_graphc,
    samples,
    tensors,
)

pytestmark = [
    pytest.mark.differential,
    pytest.mark.filterwarnings("ignore"),  # of both: deprecations, lazy modules
]

STEPS = 20
SIZES = range(8, 4000)  # elements of the arguments: neither a number nor much work
TOGETHER = 8  # layers that one compiled program trains: compiling one by one takes far longer
PROBABILITIES = {"BCELoss"}  # refuses others, so its first argument is the sigmoid of what trains

# Stacks of layers that are trained here, and large programs. tests/nn/test_attention_layers.py
# trains a compiled Transformer.
EAGER_ONLY = {"Transformer", "TransformerEncoder"}


class Layer(NamedTuple):
    """A layer in training and the arguments of its call."""

    module: Any
    args: list[Any]
    kwargs: dict[str, Any]

    def __call__(self) -> list[Any]:
        """Its outputs."""
        args = self.args
        if type(self.module).__name__ in PROBABILITIES:
            args = [args[0].sigmoid(), *args[1:]]
        return tensors(self.module(*args, **self.kwargs))

    def leaves(self) -> list[Any]:
        """What trains: parameters and arguments."""
        given = tensors([self.args, self.kwargs])
        return [*self.module.parameters(), *(x for x in given if x.requires_grad)]

    def state(self) -> list[Any]:
        return [*self.leaves(), *self.module.buffers()]


def richness(info: Any, sample: Sample) -> tuple[int, int]:
    """How much a sample has to compare: parameters and buffers, then options."""
    module = info.module_cls(*sample.made.args, **sample.made.kwargs)
    state = len([*module.parameters(), *module.buffers()])
    return state, len(sample.made.args) + len(sample.made.kwargs)


def representative(name: str) -> Sample:
    """The richest of the samples in training that are neither tiny nor large."""
    info = INFOS[name]
    given = [
        s
        for s in samples(info, torch.float64, True, 60)
        if sum(x.numel() for x in tensors([s.args, s.kwargs])) in SIZES
        and s.made.kwargs.get("reduction", "mean") == "mean"
    ]
    return max(given, key=lambda s: richness(info, s))


def pair(name: str) -> tuple[Layer, Layer]:
    """Graphc's layer and PyTorch's, with the same weights and arguments."""
    info, sample = INFOS[name], representative(name)
    mine, theirs = build(info, sample.made)
    mine.double()
    theirs.double()
    args, kwargs = in_graphc(sample.args), in_graphc(sample.kwargs)
    if info.is_lazy:
        theirs(*sample.args, **sample.kwargs)
        mine(*args, **kwargs)
    copy_weights(mine, theirs)
    return Layer(mine, args, kwargs), Layer(theirs, sample.args, sample.kwargs)


def distance(t: Any, outputs: list[Any]) -> Any:
    """The mean squared distance of the outputs from numbers that are all different."""
    total = t.zeros((), dtype=t.float64)
    for output in outputs:
        if output.requires_grad:
            count = output.numel()
            wanted = t.arange(1, count + 1).to(t.float64) * 0.7548776662466927 % 1
            total = total + (output - wanted.reshape(output.shape)).square().mean()
    return total


def steps(t: Any, layers: list[Layer]) -> Any:
    """A function that trains the layers by one step, each on its own, and gives their losses."""
    optimizers = [t.optim.SGD(each.leaves(), lr=0.02, momentum=0.9) for each in layers]

    def step() -> list[Any]:
        losses = []
        for layer, optimizer in zip(layers, optimizers, strict=True):
            optimizer.zero_grad()
            loss = distance(t, layer())
            loss.backward()
            optimizer.step()
            losses.append(loss)
        return losses

    return step


def trained(step: Any) -> list[list[Any]]:
    """The losses of each layer, step by step."""
    return list(zip(*(arrays(step()) for _ in range(STEPS)), strict=True))


@cache
def of_pytorch(name: str) -> tuple[list[Any], list[Any]]:
    """The losses and the state that training ends with."""
    layer = pair(name)[1]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for so little work, more threads take longer
    try:
        (losses,) = trained(steps(torch, [layer]))
    finally:
        torch.set_num_threads(threads)
    assert losses[0] != losses[-1], f"{name} does not train"
    return losses, arrays(layer.state())


def compare(names: list[str], compiled: bool) -> Iterator[str]:
    """What differs from PyTorch after training, in words."""
    layers = [pair(name)[0] for name in names]
    step = steps(graphc, layers)
    found = trained(graphc.compile(step, fullgraph=True) if compiled else step)
    for name, losses, layer in zip(names, found, layers, strict=True):
        for what, a, b in zip(
            ("losses", "state"), (losses, arrays(layer.state())), of_pytorch(name), strict=True
        ):
            problem = difference(a, b, rtol=1e-8, atol=1e-9)
            if problem:
                yield f"{name}: {what} differ: {problem}"


@pytest.mark.parametrize("name", INFOS)
def test_eager(name):
    assert not list(compare([name], compiled=False))


NAMES = [name for name in INFOS if name not in EAGER_ONLY]
GROUPS = [NAMES[i : i + TOGETHER] for i in range(0, len(NAMES), TOGETHER)]


@pytest.mark.parametrize("names", GROUPS, ids="-".join)
def test_compiled(names):
    assert not list(compare(names, compiled=True))
