"""``SummaryWriter``: PyTorch's, for graphc's tensors."""

import os
import socket
import time
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.tensor import Tensor
from graphc.utils.tensorboard.events import EventFile

_DATA_TYPES = {
    dtypes.float32: "DT_FLOAT",
    dtypes.float64: "DT_DOUBLE",
    dtypes.float16: "DT_HALF",
    dtypes.uint8: "DT_UINT8",
    dtypes.int8: "DT_INT8",
    dtypes.int16: "DT_INT16",
    dtypes.int32: "DT_INT32",
    dtypes.int64: "DT_INT64",
    dtypes.bool_: "DT_BOOL",
}


def _library() -> Any:
    try:
        import tensorboardX
    except ImportError:
        raise ModuleNotFoundError(
            "TensorBoard's files are written by the library tensorboardX: "
            "pip install 'graphc[tensorboard]'",
            name="tensorboardX",
        ) from None
    return tensorboardX


def _writer_into(file: EventFile) -> Any:
    """tensorboardX's writer, which makes summaries of all kinds, writing to a file of ours."""
    library = _library()

    class Writer(library.SummaryWriter):  # type: ignore[misc, name-defined]
        def _get_file_writer(self) -> EventFile:
            return file

    return Writer(logdir=file.get_logdir())


def _plain(value: Any) -> Any:
    """Tensors as arrays, also in lists and dicts; all else as it is."""
    if isinstance(value, Tensor):
        array = value.detach()._array()
        return array.astype(np.float32) if value.dtype is dtypes.bfloat16 else array
    if isinstance(value, dict):
        return {key: _plain(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)) and any(isinstance(x, (Tensor, list)) for x in value):
        return [_plain(x) for x in value]
    return value


def _number(value: Any) -> Any:
    """One element as a Python number."""
    return value.item() if isinstance(value, Tensor) else value


def _step(value: Any) -> int | None:
    return None if value is None else int(value)


class SummaryWriter:
    """Writes scalars, images, histograms, ... to a folder that TensorBoard shows.

    Without ``log_dir`` the folder is ``runs/<date>_<host><comment>``. What was written before is
    hidden from ``purge_step`` on. Entries go to disk every ``flush_secs`` seconds, or when
    ``max_queue`` of them wait. Values may be tensors, arrays or numbers; ``global_step`` and
    ``walltime`` say when. Raises ModuleNotFoundError where tensorboardX is not installed.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        if not log_dir:
            now = time.strftime("%b%d_%H-%M-%S")
            log_dir = os.path.join("runs", f"{now}_{socket.gethostname()}{comment}")
        self.log_dir = str(log_dir)
        self._options = (max_queue, flush_secs, filename_suffix)
        self.file_writer = EventFile(self.log_dir, *self._options)
        self.all_writers = {self.log_dir: self.file_writer}
        self._writer = _writer_into(self.file_writer)
        os.makedirs(self.log_dir, exist_ok=True)
        if purge_step is not None:
            from tensorboardX.proto.event_pb2 import Event, SessionLog

            self.file_writer.add_event(Event(file_version="brain.Event:2"), purge_step)
            start = SessionLog(status=SessionLog.START)
            self.file_writer.add_event(Event(session_log=start), purge_step)

    def get_logdir(self) -> str:
        """The folder that is written to."""
        return self.log_dir

    def flush(self) -> None:
        """Brings everything to disk."""
        for writer in self.all_writers.values():
            writer.flush()

    def close(self) -> None:
        """Brings everything to disk and closes the files; writing again opens new ones."""
        for writer in self.all_writers.values():
            writer.close()

    def __enter__(self) -> "SummaryWriter":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------- numbers

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: Any = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """A number: float32 in the file, with ``new_style`` and ``double_precision`` float64."""
        number = float(_number(scalar_value))
        if not new_style:
            self.file_writer.add_summary(_scalar(tag, number), _step(global_step), walltime)
            return
        from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboardX.proto.tensor_pb2 import TensorProto

        kind = "DT_DOUBLE" if double_precision else "DT_FLOAT"
        values = {"double_val" if double_precision else "float_val": [number]}
        plugin = SummaryMetadata.PluginData(plugin_name="scalars")
        value = Summary.Value(
            tag=tag,
            tensor=TensorProto(dtype=kind, **values),
            metadata=SummaryMetadata(plugin_data=plugin),
        )
        self.file_writer.add_summary(Summary(value=[value]), _step(global_step), walltime)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: dict[str, Any],
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Several numbers in one diagram: each is a run of its own below the folder."""
        when = time.time() if walltime is None else walltime
        for tag, value in tag_scalar_dict.items():
            folder = f"{self.log_dir}/{main_tag.replace('/', '_')}_{tag}"
            if folder not in self.all_writers:
                self.all_writers[folder] = EventFile(folder, *self._options)
            summary = _scalar(main_tag, float(_number(value)))
            self.all_writers[folder].add_summary(summary, _step(global_step), when)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: Any = None,
        bins: str = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """How the elements are distributed."""
        given = _plain(values)
        self._writer.add_histogram(tag, given, _step(global_step), bins, walltime, max_bins)

    def add_histogram_raw(
        self,
        tag: str,
        min: Any,
        max: Any,
        num: Any,
        sum: Any,
        sum_squares: Any,
        bucket_limits: Any,
        bucket_counts: Any,
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """A distribution that is counted already: upper ends of the bins, and how many are in each.

        Raises ValueError where there are more of one than of the other.
        """
        if len(bucket_limits) != len(bucket_counts):
            raise ValueError(
                "len(bucket_limits) != len(bucket_counts), see the document of add_histogram_raw."
            )
        numbers = [_number(x) for x in (min, max, num, sum, sum_squares)]
        counts = (_plain(bucket_limits), _plain(bucket_counts))
        self._writer.add_histogram_raw(tag, *numbers, *counts, _step(global_step), walltime)

    def add_pr_curve(
        self,
        tag: str,
        labels: Any,
        predictions: Any,
        global_step: Any = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Precision and recall at many thresholds, from true labels and probabilities."""
        given = (_plain(labels), _plain(predictions))
        step = _step(global_step)
        self._writer.add_pr_curve(tag, *given, step, num_thresholds, _plain(weights), walltime)

    def add_pr_curve_raw(
        self,
        tag: str,
        true_positive_counts: Any,
        false_positive_counts: Any,
        true_negative_counts: Any,
        false_negative_counts: Any,
        precision: Any,
        recall: Any,
        global_step: Any = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Precision and recall that are computed already, for each threshold."""
        counts = (
            true_positive_counts, false_positive_counts, true_negative_counts,
            false_negative_counts, precision, recall,
        )  # fmt: skip
        given = [_plain(x) for x in counts]
        step = _step(global_step)
        self._writer.add_pr_curve_raw(tag, *given, step, num_thresholds, _plain(weights), walltime)

    def add_tensor(
        self, tag: str, tensor: Any, global_step: Any = None, walltime: float | None = None
    ) -> None:
        """All elements as they are. Raises ValueError for bfloat16."""
        from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboardX.proto.tensor_pb2 import TensorProto
        from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto

        if tensor.dtype not in _DATA_TYPES:
            raise ValueError(f"{tag} has unsupported tensor dtype {tensor.dtype}")
        sizes = TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in tensor.shape])
        contents = np.ascontiguousarray(_plain(tensor)).tobytes()
        value = Summary.Value(
            tag=tag,
            tensor=TensorProto(
                dtype=_DATA_TYPES[tensor.dtype], tensor_shape=sizes, tensor_content=contents
            ),
            metadata=SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="tensor")),
        )
        self.file_writer.add_summary(Summary(value=[value]), _step(global_step), walltime)

    def add_hparams(
        self,
        hparam_dict: dict[str, Any],
        metric_dict: dict[str, Any],
        hparam_domain_discrete: dict[str, list[Any]] | None = None,
        run_name: str | None = None,
        global_step: Any = None,
    ) -> None:
        """Hyperparameters and what they achieved, as a run of its own below the folder.

        ``hparam_domain_discrete`` lists the values that a hyperparameter may have. Raises TypeError
        for what is no dict, or lists values of another type.
        """
        if type(hparam_dict) is not dict or type(metric_dict) is not dict:
            raise TypeError("hparam_dict and metric_dict should be dictionary.")
        chosen = {name: _number(value) for name, value in hparam_dict.items()}
        domains = hparam_domain_discrete or {}
        for name, values in domains.items():
            known = isinstance(values, list) and name in chosen
            if not known or not all(isinstance(v, type(chosen[name])) for v in values):
                raise TypeError(
                    f"parameter: hparam_domain_discrete[{name}] should be a list of same type as "
                    f"hparam_dict[{name}]."
                )
        from tensorboardX.summary import hparams

        metrics = {name: float(_number(value)) for name, value in metric_dict.items()}
        experiment, *session = hparams(chosen, metrics)
        if domains:
            _add_domains(experiment, domains)
        folder = os.path.join(self.get_logdir(), run_name or str(time.time()))
        with SummaryWriter(folder) as run:
            for summary in (experiment, *session):
                run.file_writer.add_summary(summary, _step(global_step))
            for name, value in metrics.items():
                run.add_scalar(name, value, global_step)

    # ------------------------------------------------------------------------- images, text, points

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """A picture: floats from 0 to 1, or uint8."""
        image = _plain(img_tensor)
        self._writer.add_image(tag, image, _step(global_step), walltime, dataformats)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Several pictures side by side."""
        images = _plain(img_tensor)
        self._writer.add_images(tag, images, _step(global_step), walltime, dataformats)

    def add_image_with_boxes(
        self,
        tag: str,
        img_tensor: Any,
        box_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        rescale: float = 1,
        dataformats: str = "CHW",
        labels: Any = None,
    ) -> None:
        """A picture with rectangles ``(left, top, right, bottom)``, and a label for each."""
        given = (_plain(img_tensor), _plain(box_tensor), _step(global_step), walltime, dataformats)
        names = [labels] * len(box_tensor) if isinstance(labels, str) else labels
        self._writer.add_image_with_boxes(tag, *given, names, rescale=rescale)

    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: Any = None,
        close: bool = True,
        walltime: float | None = None,
    ) -> None:
        """A figure of matplotlib's, or a list of them."""
        self._writer.add_figure(tag, figure, _step(global_step), close, walltime)

    def add_video(
        self,
        tag: str,
        vid_tensor: Any,
        global_step: Any = None,
        fps: float = 4,
        walltime: float | None = None,
    ) -> None:
        """Films, ``(N, T, C, H, W)``; needs moviepy."""
        self._writer.add_video(tag, _plain(vid_tensor), _step(global_step), fps, walltime)

    def add_audio(
        self,
        tag: str,
        snd_tensor: Any,
        global_step: Any = None,
        sample_rate: int = 44100,
        walltime: float | None = None,
    ) -> None:
        """A sound, ``(1, L)`` from -1 to 1."""
        sound = _plain(snd_tensor)
        self._writer.add_audio(tag, sound, _step(global_step), sample_rate, walltime)

    def add_text(
        self,
        tag: str,
        text_string: str,
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Text, in Markdown."""
        self._writer.add_text(tag, text_string, _step(global_step), walltime)

    def add_embedding(
        self,
        mat: Any,
        metadata: Any = None,
        label_img: Any = None,
        global_step: Any = None,
        tag: str = "default",
        metadata_header: Any = None,
    ) -> None:
        """Points ``(N, D)`` for the projector, each with a label and a picture if there are any."""
        given = (_plain(mat), metadata, _plain(label_img), _step(global_step))
        self._writer.add_embedding(*given, tag, metadata_header)

    def add_mesh(
        self,
        tag: str,
        vertices: Any,
        colors: Any = None,
        faces: Any = None,
        config_dict: Any = None,
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Points or triangles in space: vertices and colours ``(B, N, 3)``, faces ``(B, M, 3)``."""
        given = (_plain(vertices), _plain(colors), _plain(faces), config_dict)
        self._writer.add_mesh(tag, *given, _step(global_step), walltime)

    def add_custom_scalars(self, layout: dict[str, Any]) -> None:
        """How scalars are put together in diagrams: ``{category: {title: [kind, tags]}}``."""
        self._writer.add_custom_scalars(layout)

    def add_custom_scalars_multilinechart(
        self, tags: list[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """Scalars in one diagram."""
        self._writer.add_custom_scalars_multilinechart(tags, category, title)

    def add_custom_scalars_marginchart(
        self, tags: list[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """A scalar in a band between two others: three tags."""
        self._writer.add_custom_scalars_marginchart(tags, category, title)

    # --------------------------------------------------------------------------------------- graphs

    def add_graph(
        self,
        model: Any,
        input_to_model: Any = None,
        verbose: bool = False,
        use_strict_trace: bool = True,
    ) -> None:
        """The graph of a module, its operations in boxes named after the modules they are part of.

        ``input_to_model`` is a tensor, or a tuple or list of arguments. Raises TraceError for a
        module whose course depends on values.
        """
        del use_strict_trace
        from graphc.utils.tensorboard.model_graph import described

        graph = described(model, input_to_model)
        if verbose:
            print(graph)
        from tensorboardX.proto.event_pb2 import Event

        self.file_writer.add_event(Event(graph_def=graph.SerializeToString()))


def _scalar(tag: str, value: float) -> Any:
    from tensorboardX.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=tag, simple_value=value)])


def _add_domains(experiment: Any, domains: dict[str, list[Any]]) -> None:
    """Adds the values that hyperparameters may have to the description of the experiment."""
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    plugin = experiment.value[0].metadata.plugin_data
    data = HParamsPluginData.FromString(plugin.content)
    for info in data.experiment.hparam_infos:
        info.domain_discrete.extend(domains.get(info.name, []))
    plugin.content = data.SerializeToString()
