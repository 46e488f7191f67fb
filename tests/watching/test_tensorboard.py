"""What ``SummaryWriter`` writes, read back from the event files."""

import io
import math
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest

import graphc
import graphc.nn.functional as F
from graphc import nn

pytest.importorskip("tensorboardX")

from graphc.utils.tensorboard import SummaryWriter


def records(path):
    """The records of an event file: length, its checksum, contents, their checksum."""
    from tensorboardX.crc32c import crc32c

    def masked(data):
        crc = crc32c(data)
        return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF

    data, place = path.read_bytes(), 0
    while place < len(data):
        head = data[place : place + 8]
        (length,) = struct.unpack("<Q", head)
        body = data[place + 12 : place + 12 + length]
        checks = struct.unpack("<I", data[place + 8 : place + 12])
        checks += struct.unpack("<I", data[place + 12 + length : place + 16 + length])
        assert checks == (masked(head), masked(body))
        yield body
        place += length + 16


def events(folder):
    """All events in a folder and below it."""
    from tensorboardX.proto.event_pb2 import Event

    files = sorted(folder.rglob("events.out.tfevents.*"))
    return [Event.FromString(record) for path in files for record in records(path)]


def values(folder):
    """Tag, step and value of every summary."""
    return [(v.tag, e.step, v) for e in events(folder) for v in e.summary.value]


def write(folder, function):
    with SummaryWriter(folder) as writer:
        function(writer)
    return values(folder)


def test_scalars(tmp_path):
    def function(w):
        w.add_scalar("loss", 0.5, 3, walltime=123.0)
        w.add_scalar("loss", graphc.tensor(0.25, requires_grad=True), graphc.tensor(4))
        w.add_scalar("half", graphc.tensor(1.5, dtype=graphc.bfloat16))
        w.add_scalar("numpy", np.float32(2))
        w.add_scalar("exact", math.pi, 1, new_style=True, double_precision=True)
        w.add_scalar("new", graphc.ones(1), 1, new_style=True)

    found = write(tmp_path, function)
    plain = [(tag, step, v.simple_value) for tag, step, v in found[:4]]
    assert plain == [("loss", 3, 0.5), ("loss", 4, 0.25), ("half", 0, 1.5), ("numpy", 0, 2)]
    assert found[4][2].tensor.double_val == [math.pi] and found[5][2].tensor.float_val == [1]
    assert found[4][2].metadata.plugin_data.plugin_name == "scalars"
    assert [e.wall_time for e in events(tmp_path) if e.step == 3] == [123.0]
    with pytest.raises((RuntimeError, ValueError)):
        write(tmp_path, lambda w: w.add_scalar("x", graphc.ones(2)))


def test_several_scalars(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalars("both", {"a": graphc.tensor(1.0), "b": 2}, 7)
    for name, value in (("a", 1), ("b", 2)):
        (found,) = values(tmp_path / f"both_{name}")
        assert (found[0], found[1], found[2].simple_value) == ("both", 7, value)


def test_histograms(tmp_path):
    x = graphc.arange(100.0).reshape(10, 10)

    def function(w):
        w.add_histogram("x", x, 1)
        w.add_histogram("parameter", nn.Parameter(x), 1, bins="auto")
        w.add_histogram("half", x.to(graphc.bfloat16), 1, max_bins=5)
        w.add_histogram_raw("raw", 0, 3, 4, graphc.tensor(6), 14, [1, 2, 3], [2, 1, 1], 2)

    found = {tag: v.histo for tag, _, v in write(tmp_path, function)}
    for tag in ("x", "parameter", "half"):
        assert (found[tag].min, found[tag].max, found[tag].num) == (0, 99, 100)
        assert found[tag].sum == 4950 and sum(found[tag].bucket) == 100
    assert list(found["raw"].bucket) == [2, 1, 1] and found["raw"].sum == 6
    with pytest.raises(ValueError, match="bucket_limits"):
        write(tmp_path, lambda w: w.add_histogram_raw("x", 0, 1, 1, 1, 1, [1], [1, 2]))


def picture(value):
    image = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(io.BytesIO(value.image.encoded_image_string)))


def test_images(tmp_path):
    x = graphc.zeros(3, 4, 6)
    x[0] = 1

    def function(w):
        w.add_image("chw", x, 1)
        w.add_image("hwc", x.permute(1, 2, 0), 1, dataformats="HWC")
        w.add_image("grey", (x[0] * 255).to(graphc.uint8), 1, dataformats="HW")
        w.add_images("many", x.expand(2, 3, 4, 6), 1)
        w.add_image_with_boxes("boxes", x, graphc.tensor([[1.0, 1, 3, 3]]), 1, labels="cat")

    found = {tag: v for tag, _, v in write(tmp_path, function)}
    for tag in ("chw", "hwc"):
        shown = picture(found[tag])
        assert shown.shape == (4, 6, 3) and shown[0, 0].tolist() == [255, 0, 0]
    assert picture(found["grey"])[0, 0].tolist() in (255, [255, 255, 255])
    assert (found["many"].image.height, found["many"].image.width) == (4, 12)
    assert found["boxes"].image.width == 6


def test_figures(tmp_path):
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(2, 1), dpi=50)
    axes.plot([1, 2])
    (found,) = write(tmp_path, lambda w: w.add_figure("curve", figure, 2))
    assert found[:2] == ("curve", 2)
    assert (found[2].image.height, found[2].image.width) == (50, 100)
    assert not plt.get_fignums()


def test_text_curves_and_meshes(tmp_path):
    labels = graphc.tensor([0, 1, 1, 0])

    def function(w):
        w.add_text("note", "some *text*", 1)
        w.add_pr_curve("curve", labels, graphc.tensor([0.1, 0.9, 0.8, 0.4]), 1, num_thresholds=5)
        w.add_mesh("mesh", graphc.rand(1, 4, 3), faces=graphc.zeros(1, 2, 3, dtype=graphc.int32))
        w.add_custom_scalars({"losses": {"both": ["Multiline", ["a", "b"]]}})

    found = {tag: v for tag, _, v in write(tmp_path, function)}
    assert found["note/text_summary"].tensor.string_val == [b"some *text*"]
    curve = graphc.tensor(list(found["curve"].tensor.float_val)).reshape(6, 5)
    assert curve[4].tolist()[1] == 2 / 3 or curve[4, 1].item() == pytest.approx(2 / 3)
    assert any("mesh" in tag for tag in found)
    assert "custom_scalars__config__" in found


def test_whole_tensors_and_curves_that_are_computed(tmp_path):
    x = graphc.arange(6).reshape(2, 3)
    counts = [graphc.tensor([2.0, 1, 0]) for _ in range(6)]

    def function(w):
        w.add_tensor("x", x, 2)
        w.add_tensor("half", x.to(graphc.float16).t(), 2)
        w.add_pr_curve_raw("curve", *counts, num_thresholds=3)
        w.add_custom_scalars_multilinechart(["a", "b"], "losses", "both")
        w.add_custom_scalars_marginchart(["a", "low", "high"], "losses", "band")
        with pytest.raises(ValueError, match="unsupported tensor dtype"):
            w.add_tensor("x", x.to(graphc.bfloat16))

    found = {tag: v for tag, _, v in write(tmp_path, function)}
    assert np.frombuffer(found["x"].tensor.tensor_content, "i8").tolist() == list(range(6))
    half = np.frombuffer(found["half"].tensor.tensor_content, "f2")
    assert half.tolist() == [0, 3, 1, 4, 2, 5]
    assert [d.size for d in found["half"].tensor.tensor_shape.dim] == [3, 2]
    assert list(found["curve"].tensor.float_val) == [2, 1, 0] * 6
    assert "custom_scalars__config__" in found


def test_embeddings(tmp_path):
    def function(w):
        w.add_embedding(
            graphc.arange(6.0).reshape(3, 2), ["a", "b", "c"], graphc.rand(3, 3, 4, 4), 5, "points"
        )

    write(tmp_path, function)
    folder = tmp_path / "00005" / "points"
    assert (folder / "tensors.tsv").read_text().split() == [
        "0.0",
        "1.0",
        "2.0",
        "3.0",
        "4.0",
        "5.0",
    ]
    assert (folder / "metadata.tsv").read_text().split() == ["a", "b", "c"]
    assert (folder / "sprite.png").exists()
    assert "00005/points" in (tmp_path / "projector_config.pbtxt").read_text()


def test_hyperparameters(tmp_path):
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    chosen = {"lr": 0.1, "batch": 64, "name": "adam", "amsgrad": True, "decay": graphc.tensor(0.5)}
    with SummaryWriter(tmp_path) as writer:
        writer.add_hparams(chosen, {"accuracy": graphc.tensor(0.75)}, {"lr": [0.1, 0.2]}, "one", 3)
        for wrong in ({"lr": 0.1}, {"lr": ["text"]}, {"other": [1.0]}):
            with pytest.raises(TypeError, match="hparam_domain_discrete"):
                writer.add_hparams(chosen, {}, wrong)
        with pytest.raises(TypeError, match="should be dictionary"):
            writer.add_hparams([], {})
    found = {tag: (step, v) for tag, step, v in values(tmp_path / "one")}
    assert found["accuracy"][0] == 3 and found["accuracy"][1].simple_value == 0.75

    def plugin(tag):
        return HParamsPluginData.FromString(found[tag][1].metadata.plugin_data.content)

    infos = {i.name: i for i in plugin("_hparams_/experiment").experiment.hparam_infos}
    assert [v.number_value for v in infos["lr"].domain_discrete.values] == [0.1, 0.2]
    start = plugin("_hparams_/session_start_info").session_start_info.hparams
    assert (start["lr"].number_value, start["name"].string_value) == (0.1, "adam")
    assert start["amsgrad"].bool_value and start["decay"].number_value == 0.5


# ------------------------------------------------------------------------------------------- graphs


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, x, scale=None):
        x = self.body(x)
        return F.log_softmax(self.head(x) * (1 if scale is None else scale), -1)


def graph(folder):
    from tensorboardX.proto.graph_pb2 import GraphDef

    (event,) = [e for e in events(folder) if e.graph_def]
    return {node.name: node for node in GraphDef.FromString(event.graph_def).node}


def test_graphs(tmp_path):
    model = Net()
    model.body[2].eval()
    before = {name: x.clone() for name, x in model.state_dict().items()}
    write(tmp_path, lambda w: w.add_graph(model, graphc.rand(2, 4)))
    nodes = graph(tmp_path)
    for name in (
        "input/input.1",
        "Net/Sequential[body]/Linear[0]/weight",
        "Net/Sequential[body]/BatchNorm1d[1]/running_mean",
        "Net/Linear[head]/bias",
        "output/output.1",
    ):
        assert name in nodes, sorted(nodes)
    assert all(source in nodes for node in nodes.values() for source in node.input)
    boxes = {name.rpartition("/")[0] for name in nodes}
    assert {"Net/Sequential[body]/ReLU[3]", "Net/Linear[head]", "Net"} <= boxes
    (result,) = nodes["output/output.1"].input
    assert nodes[result].op == "log_softmax" and result.startswith("Net/log_softmax")
    shape = nodes[result].attr["_output_shapes"].list.shape[0]
    assert [d.size for d in shape.dim] == [2, 3]
    # Nothing of the model has changed, its modes and hooks included.
    assert model.training and not model.body[2].training and model.body[0].training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    for name, x in model.state_dict().items():
        assert bool((x == before[name]).all())


def test_graphs_of_other_calls(tmp_path, capsys):
    model = Net()
    with SummaryWriter(tmp_path) as writer:
        writer.add_graph(model, (graphc.rand(2, 4), graphc.tensor(2.0)), verbose=True)
        assert "Linear[head]" in capsys.readouterr().out
        with pytest.raises(TypeError, match="draws a module"):
            writer.add_graph(len, graphc.rand(2))
        with pytest.raises(TypeError, match="input_to_model"):
            writer.add_graph(model)
        with pytest.raises(RuntimeError, match="must|match|shape|size"):
            writer.add_graph(model, graphc.rand(2, 5))
    assert "input/input.2" in graph(tmp_path)
    assert model.training and not any(m._forward_hooks for m in model.modules())
    assert model(graphc.rand(2, 4)).shape == (2, 3)  # tracing is over


def test_graphs_of_compiled_modules(tmp_path):
    model = graphc.compile(Net())
    write(tmp_path, lambda w: w.add_graph(model, graphc.rand(2, 4)))
    assert "Net/Linear[head]/weight" in graph(tmp_path)


class Asks(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_graphs_need_a_course_that_does_not_depend_on_values(tmp_path):
    with pytest.raises(RuntimeError, match="value of a tensor"):
        write(tmp_path, lambda w: w.add_graph(Asks(), graphc.rand(2)))


# -------------------------------------------------------------------------------------------- files


def test_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with SummaryWriter(comment="_note") as writer:
        assert writer.get_logdir().startswith("runs/") and writer.get_logdir().endswith("_note")
        assert writer.log_dir == writer.get_logdir()
        writer.add_scalar("x", 1)
        writer.flush()
        assert [tag for tag, _, _ in values(tmp_path / "runs")] == ["x"]
    writer = SummaryWriter(str(tmp_path / "mine"), filename_suffix=".mine", purge_step=5)
    writer.add_scalar("x", 1)
    writer.close()
    writer.close()
    (path,) = (tmp_path / "mine").iterdir()
    assert path.name.endswith(".mine")
    assert [e.session_log.status for e in events(tmp_path / "mine") if e.step == 5] == [0, 1]
    writer.add_scalar("x", 2)  # a new file
    writer.close()
    assert len(list((tmp_path / "mine").iterdir())) == 2
    assert [v.simple_value for _, _, v in values(tmp_path / "mine")] == [1, 2]


def test_events_go_to_disk_when_enough_of_them_wait(tmp_path):
    with SummaryWriter(tmp_path, max_queue=3) as writer:
        for step in range(4):
            assert values(tmp_path) == []
            writer.add_scalar("x", step)
        assert len(values(tmp_path)) == 4


def test_threads_may_write_at_once(tmp_path):
    with SummaryWriter(tmp_path) as writer:

        def work(tag):
            for step in range(50):
                writer.add_scalar(tag, step, step)

        threads = [threading.Thread(target=work, args=(str(n),)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted((tag, step) for tag, step, _ in values(tmp_path)) == sorted(
        (str(n), step) for n in range(4) for step in range(50)
    )


def test_without_the_library_the_message_says_what_to_install():
    code = (
        "import sys; sys.modules['tensorboardX'] = None\n"
        "from graphc.utils.tensorboard import SummaryWriter\n"
        "try: SummaryWriter('unused')\n"
        "except ModuleNotFoundError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'graphc[tensorboard]'" in run.stdout
