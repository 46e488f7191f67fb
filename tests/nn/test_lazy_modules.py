"""Modules without sizes compared with PyTorch: before, at and after their first call."""

import copy
import pickle
from collections import OrderedDict

import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.module_programs import in_graphc_words, outcome, same  # noqa: E402
from tests.nn.same_program import assert_same, values  # noqa: E402

pytestmark = pytest.mark.differential


LAZY = {
    "linear": ("LazyLinear(3)", (2, 4)),
    "linear without bias": ("LazyLinear(3, bias=False)", (2, 4)),
    "conv1d": ("LazyConv1d(4, 3, groups=2)", (2, 2, 5)),
    "conv2d": ("LazyConv2d(3, (2, 3), padding=1, bias=False)", (2, 2, 4, 5)),
    "conv3d, one example": ("LazyConv3d(3, 2)", (2, 3, 3, 3)),
    "transposed 1d": ("LazyConvTranspose1d(3, 2, 2)", (2, 2, 3)),
    "transposed 2d": ("LazyConvTranspose2d(2, 2, groups=2, bias=False)", (2, 2, 3, 3)),
    "transposed 3d": ("LazyConvTranspose3d(2, 2, output_padding=1, stride=2)", (1, 2, 2, 2, 2)),
    "batch norm 1d": ("LazyBatchNorm1d()", (4, 3)),
    "batch norm 2d": ("LazyBatchNorm2d(affine=False)", (4, 3, 2, 2)),
    "batch norm 3d": ("LazyBatchNorm3d(track_running_stats=False)", (2, 3, 2, 2, 2)),
    "instance norm 1d": ("LazyInstanceNorm1d()", (4, 3, 2)),
    "instance norm 2d": ("LazyInstanceNorm2d(affine=True)", (4, 3, 2, 2)),
    "instance norm 3d": ("LazyInstanceNorm3d(affine=True, track_running_stats=True)",
                         (2, 3, 2, 2, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAZY)
def test_lazy(name):
    text, shape = LAZY[name]

    def program(t):
        m = eval(f"nn.{text}", {"nn": t.nn})
        before = [repr(m), list(m.state_dict()), m.has_uninitialized_params(),
                  [type(p).__name__ for p in m.parameters()]]  # fmt: skip
        other, loaded = (eval(f"nn.{text}", {"nn": t.nn}) for _ in range(2))
        y = m(values(t, *shape))
        state = OrderedDict((k, t.zeros_like(v)) for k, v in m.state_dict().items())
        loaded.load_state_dict(state)
        return [
            before, y.shape == other(values(t, *shape)).shape, repr(m), type(m).__name__,
            [tuple(v.shape) for v in m.state_dict().values()], len(m._forward_pre_hooks),
            [tuple(v.shape) for v in loaded.state_dict().values()],
            loaded(values(t, *shape)), repr(loaded),
        ]  # fmt: skip

    same(program)


LAZY_ERRORS = {
    "shape": lambda t: t.nn.LazyLinear(2).weight.shape,
    "share": lambda t: t.nn.LazyLinear(2).share_memory(),
    "loaded into a module": lambda t: t.nn.Linear(2, 2).load_state_dict(
        t.nn.LazyLinear(2).state_dict()
    ),
    "groups": lambda t: t.nn.LazyConv1d(4, 1, groups=2)(t.ones(1, 3, 2)),
    "rank": lambda t: t.nn.LazyConv2d(4, 1)(t.ones(1, 3)),
    "text": lambda t: repr(t.nn.UninitializedParameter()),
    "dtype": lambda t: str(t.nn.LazyLinear(2).double()(t.ones(1, 2, dtype=t.float64)).dtype),
}


@pytest.mark.parametrize("name", LAZY_ERRORS)
def test_lazy_error(name):
    mine, theirs = (in_graphc_words(outcome(t, LAZY_ERRORS[name])[0]) for t in (graphc, torch))
    assert mine == theirs


def test_lazy_parameters_cannot_be_used():
    waiting = graphc.nn.UninitializedParameter()
    for use in (lambda: waiting + 1, waiting.clone, lambda: graphc.ones(2) * waiting):
        with pytest.raises((RuntimeError, ValueError), match="uninitialized parameter"):
            use()


def test_lazy_modules_are_copied_and_pickled():
    module = graphc.nn.LazyBatchNorm1d()
    x = values(graphc, 4, 3)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert_same(other(x), module(x))
        assert type(other) is graphc.nn.BatchNorm1d
        module = graphc.nn.LazyBatchNorm1d()
