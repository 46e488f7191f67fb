"""Named tuples of results: PyTorch's fields, printing, pickles, ways through ``compile``."""

import pickle

import pytest

import graphc

torch = pytest.importorskip("torch")
NAMES = [name for name, kind in vars(graphc.return_types).items() if isinstance(kind, type)]


@pytest.mark.differential
@pytest.mark.parametrize("name", NAMES)
def test_fields_are_pytorchs(name):
    theirs = getattr(torch.return_types, name, None)
    if theirs is None:
        pytest.skip("PyTorch keeps this type to itself")
    assert getattr(graphc.return_types, name)._fields == theirs.__match_args__


@pytest.mark.differential
def test_printed_as_pytorch_prints_them():
    def text(t):
        return repr(t.tensor([[2.0, 1.0], [0.0, 3.0]]).sort(0))

    assert text(graphc) == text(torch).replace("torch.", "graphc.")


def test_unpacked_named_pickled_and_compiled():
    x = graphc.tensor([3.0, 1.0, 2.0])
    result = graphc.compile(lambda x: x.topk(2))(x)
    assert type(result) is graphc.return_types.topk
    values, indices = result
    assert values.tolist() == [3.0, 2.0]
    assert result.indices is indices
    again = pickle.loads(pickle.dumps(result))
    assert type(again) is graphc.return_types.topk
    assert again.indices.tolist() == [0, 2]


def test_out_gives_the_same_type():
    targets = graphc.empty(0), graphc.empty(0, dtype=graphc.int64)
    result = graphc.sort(graphc.tensor([3.0, 1.0]), out=targets)
    assert type(result) is graphc.return_types.sort
    assert result.values is targets[0]
    assert targets[1].tolist() == [1, 0]
