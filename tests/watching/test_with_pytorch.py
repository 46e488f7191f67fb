"""The writer's methods are called as PyTorch's are."""

import inspect

import pytest

pytest.importorskip("torch")
theirs = pytest.importorskip("torch.utils.tensorboard").SummaryWriter
pytest.importorskip("tensorboardX")

from graphc.utils.tensorboard import SummaryWriter  # noqa: E402

pytestmark = pytest.mark.differential

METHODS = [
    name
    for name, value in vars(theirs).items()
    if inspect.isfunction(value) and (name == "__init__" or not name.startswith("_"))
]
MISSING = {"add_onnx_graph"}


@pytest.mark.parametrize("name", sorted(set(METHODS) - MISSING))
def test_arguments_and_defaults(name):
    def signature(owner):
        parameters = inspect.signature(vars(owner)[name]).parameters
        return [(p.name, p.default, p.kind) for p in parameters.values()]

    assert signature(SummaryWriter) == signature(theirs)
