"""The safetensors format, by the library of that name."""

import subprocess
import sys

import pytest

import graphc
from graphc import nn

pytest.importorskip("safetensors")

from graphc.utils import safetensors

DTYPES = "float32 float64 float16 bfloat16 uint8 int8 int16 int32 int64 bool".split()


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype(name):
    x = (graphc.arange(6).reshape(2, 3) - 2).to(getattr(graphc, name))
    found = safetensors.load(safetensors.save({"x": x, "scalar": x[0, 0].clone()}))
    assert found["x"].dtype is x.dtype and found["x"].tolist() == x.tolist()
    assert found["scalar"].shape == ()
    found["x"].zero_()  # its memory is its own


def test_files(tmp_path):
    path = tmp_path / "x.safetensors"
    safetensors.save_file({"x": graphc.arange(3)}, path, {"format": "pt"})
    assert safetensors.load_file(path)["x"].tolist() == [0, 1, 2]
    assert graphc.load(path)["x"].tolist() == [0, 1, 2]
    assert graphc.load(path, map_location="cpu")["x"].tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match="map_location"):
        graphc.load(path, map_location={"cpu": "cpu"})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RuntimeError, match="safetensors file"):
        safetensors.load_file(path)


def test_what_is_refused(tmp_path):
    x = graphc.arange(6.0)
    with pytest.raises(RuntimeError, match=r"share memory.*\['a', 'b'\]"):
        safetensors.save({"a": x, "b": x[2:4], "c": graphc.ones(2)})
    assert safetensors.load(safetensors.save({"a": x[:3], "b": x[3:]}))["b"].tolist() == [3, 4, 5]
    with pytest.raises(ValueError, match="non contiguous tensor: `t`"):
        safetensors.save({"t": graphc.ones(2, 3).t()})
    with pytest.raises(ValueError, match="Expected a dict"):
        safetensors.save([x])
    with pytest.raises(ValueError, match="Key `a` is invalid"):
        safetensors.save({"a": 1})


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5)
        self.head.weight = self.embedding.weight


def test_models(tmp_path):
    path = tmp_path / "model.safetensors"
    model, other = Tied(), Tied()
    with pytest.raises(RuntimeError, match="save_model"):
        safetensors.save_file(dict(model.state_dict()), path)
    safetensors.save_model(model, path)
    assert sorted(safetensors.load_file(path)) == ["embedding.weight", "head.bias"]
    assert safetensors.load_model(other, path) == (set(), [])
    assert other.head.weight.tolist() == model.embedding.weight.tolist()
    assert other.head.weight is other.embedding.weight

    class More(Tied):
        def __init__(self):
            super().__init__()
            self.extra = nn.Linear(1, 1)

    with pytest.raises(RuntimeError, match='Missing key.*"extra.bias", "extra.weight"'):
        safetensors.load_model(More(), path)
    missing, unexpected = safetensors.load_model(nn.Linear(3, 5), path, strict=False)
    assert missing == {"weight", "bias"} and len(unexpected) == 2


def test_without_the_library_the_message_says_what_to_install():
    code = (
        "import sys; sys.modules['safetensors'] = None\n"
        "import graphc\nfrom graphc.utils import safetensors\n"
        "try: safetensors.save({'x': graphc.ones(2)})\n"
        "except ModuleNotFoundError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'graphc[safetensors]'" in run.stdout
