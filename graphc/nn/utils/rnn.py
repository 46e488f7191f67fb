"""Batches of sequences of different lengths: padded to one length, or packed without padding.

A packed batch holds the first elements of all sequences, then the second ones of those that have
two, and so on; the sequences are in order of decreasing length. Lengths are values of the program:
where they come from a tensor, a compiled function is compiled once for each set of lengths.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from graphc import dtypes
from graphc.functions.creation import as_tensor, full
from graphc.functions.gathering import index_select
from graphc.functions.joining import cat
from graphc.functions.literals import literal
from graphc.functions.pointwise import where
from graphc.tensor import Tensor


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """A packed batch; made by :func:`pack_padded_sequence` and :func:`pack_sequence`.

    ``data`` is ``[sum of lengths, *]``; ``batch_sizes`` (int64, on the CPU) tells how many
    sequences reach each step; ``sorted_indices`` (int64, ``[batch]``) is the order in which the
    sequences were taken, and ``unsorted_indices`` its inverse: None when they came in order.
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> "PackedSequence":
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not isinstance(data, (list, tuple)) or len(data) != 2:
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError(
                "batch_sizes should always be on CPU. Make packed sequences with pack_sequence "
                "and pack_padded_sequence"
            )
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)  # type: ignore[type-var]

    def to(self, *args: Any, **kwargs: Any) -> "PackedSequence":
        """The data in another dtype or on another device, the indices on the same device."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        indices = (self.sorted_indices, self.unsorted_indices)
        moved = (None if t is None else t.to(data.device) for t in indices)
        return type(self)(data, self.batch_sizes, *moved)

    def cuda(self, *args: Any, **kwargs: Any) -> "PackedSequence":
        return self.to(*args, **{"device": "cuda", **kwargs})

    def cpu(self, *args: Any, **kwargs: Any) -> "PackedSequence":
        return self.to(*args, **{"device": "cpu", **kwargs})

    def pin_memory(self) -> "PackedSequence":
        indices = (self.sorted_indices, self.unsorted_indices)
        pinned = (None if t is None else t.pin_memory() for t in indices)
        return type(self)(self.data.pin_memory(), self.batch_sizes, *pinned)

    def double(self) -> "PackedSequence":
        return self.to(dtype=dtypes.float64)

    def float(self) -> "PackedSequence":
        return self.to(dtype=dtypes.float32)

    def half(self) -> "PackedSequence":
        return self.to(dtype=dtypes.float16)

    def long(self) -> "PackedSequence":
        return self.to(dtype=dtypes.int64)

    def int(self) -> "PackedSequence":
        return self.to(dtype=dtypes.int32)

    def short(self) -> "PackedSequence":
        return self.to(dtype=dtypes.int16)

    def char(self) -> "PackedSequence":
        return self.to(dtype=dtypes.int8)

    def byte(self) -> "PackedSequence":
        return self.to(dtype=dtypes.uint8)

    @property
    def is_cuda(self) -> bool:
        return self.data.is_cuda  # type: ignore[no-any-return]

    def is_pinned(self) -> bool:
        return self.data.is_pinned()  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        # The named tuple's own form would name the class below.
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__name__}({fields})"


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes one, ``[n]`` in int64; None for None."""
    if permutation is None:
        return None
    return permutation.argsort()


# ------------------------------------------------------------------------------------------ layout


def _batch_sizes(lengths: "np.ndarray[Any, Any]", steps: int) -> "np.ndarray[Any, Any]":
    """How many sequences reach each step."""
    reached = lengths[None, :] > np.arange(steps)[:, None]
    return reached.sum(axis=1).astype(np.int64)


def _spread(flat: Tensor, places: Any, inside: Any, padding_value: float) -> Tensor:
    """``flat[places]`` where ``inside``, else the padding; two tables of ``[rows, columns]``."""
    if not inside.any():
        shape = (*places.shape, *flat.shape[1:])
        return full(shape, padding_value, dtype=flat.dtype, device=flat.device)
    rows = index_select(flat, 0, literal(np.where(inside, places, 0).ravel()))
    found = rows.reshape(*places.shape, *flat.shape[1:])
    if inside.all():
        return found
    mask = literal(inside.reshape(*inside.shape, *[1] * (flat.ndim - 1)).copy())
    padding = full((), padding_value, dtype=flat.dtype, device=flat.device)
    return where(mask, found, padding)


# ----------------------------------------------------------------------------------------- packing


def pack_padded_sequence(
    input: Tensor,
    lengths: Any,
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """Packs a padded batch ``[steps, batch, *]``, or ``[batch, steps, *]`` with ``batch_first``.

    ``lengths`` is a list or a tensor ``[batch]``. Unless ``enforce_sorted`` the sequences are
    taken in order of decreasing length. Raises RuntimeError for lengths that do not fit the batch,
    are not positive, longer than the padded sequences, or (where enforced) not sorted.
    """
    given = lengths if isinstance(lengths, Tensor) else as_tensor(lengths, dtype=dtypes.int64)
    if given.ndim != 1:
        raise RuntimeError(
            f"'lengths' argument should be a 1D CPU int64 tensor, but got {given.ndim}D "
            f"{given.device.type} tensor of {given.dtype}"
        )
    counts = np.array(given.tolist(), dtype=np.int64)
    if input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    if input.ndim < 2:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [-1, 0], but got 1): a padded "
            f"batch has at least two dimensions, this one has the shape {list(input.shape)}"
        )
    steps, batch = input.shape[1::-1] if batch_first else input.shape[:2]
    if len(counts) != batch:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(counts)} "
            f"(batch_size={batch})"
        )
    order = None if enforce_sorted else np.argsort(-counts, kind="stable")
    counts = counts if order is None else counts[order]
    if counts.min() <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            "that is <= 0"
        )
    if np.any(np.diff(counts) > 0):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You "
            "can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to "
            "sidestep this requirement if you do not need ONNX exportability."
        )
    if counts[0] > steps:
        raise RuntimeError(
            f"the longest of `lengths` is {counts[0]}, but the padded sequences have {steps} steps"
        )
    sizes = _batch_sizes(counts, int(counts[0]))
    step, column = np.nonzero(np.arange(batch)[None, :] < sizes[:, None])
    column = column if order is None else order[column]
    places = column * steps + step if batch_first else step * batch + column
    flat = input.reshape(steps * batch, *input.shape[2:])
    data = index_select(flat, 0, literal(places))
    indices = None if order is None else literal(order)
    inverse = None if order is None else literal(np.argsort(order))
    return PackedSequence(data, literal(sizes), indices, inverse)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The inverse: ``(padded batch, lengths)`` in the order from before packing.

    The batch is ``[steps, batch, *]``, or ``[batch, steps, *]`` with ``batch_first``; the lengths
    are int64. Raises ValueError for a ``total_length`` below the longest sequence.
    """
    sizes = np.array(sequence.batch_sizes.tolist(), dtype=np.int64)
    steps = len(sizes)
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in "
                f"input, but got total_length={total_length} and max sequence length being {steps}"
            )
        sizes = np.append(sizes, np.zeros(total_length - steps, np.int64))
    columns = np.arange(sizes[0])
    inside = columns[None, :] < sizes[:, None]
    places = (np.cumsum(sizes) - sizes)[:, None] + columns[None, :]
    lengths = inside.sum(0)
    unsorted = sequence.unsorted_indices
    if unsorted is not None:
        order = np.array(unsorted.tolist(), dtype=np.int64)
        inside, places, lengths = inside[:, order], places[:, order], lengths[order]
    if batch_first:
        inside, places = inside.T, places.T
    padded = _spread(sequence.data, places, inside, padding_value)
    return padded, literal(lengths)


def pack_sequence(sequences: "Sequence[Tensor]", enforce_sorted: bool = True) -> PackedSequence:
    """Packs tensors ``[length, *]``; see :func:`pack_padded_sequence` for ``enforce_sorted``."""
    lengths = [len(sequence) for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The tensors ``[length, *]`` that a packed batch was made of."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


# ----------------------------------------------------------------------------------------- padding


def pad_sequence(
    sequences: "Tensor | Iterable[Tensor]",
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Tensors ``[length, *]`` in one: ``[steps, batch, *]``, or ``[batch, steps, *]``.

    Its dtype is that of the first. Raises RuntimeError for what is no iterable, for none at all,
    and for another side than ``left`` and ``right``.
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            "pad_sequence: Expected iterable for input sequences, but got arg of type: "
            f"{type(sequences)}"
        )
    given = list(sequences)
    if not given:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(
            f"Expected padding_side to be one of left or right, but got {padding_side}."
        )
    first = given[0]
    if any(x.ndim == 0 for x in given):
        raise RuntimeError("pad_sequence expects tensors of at least one dimension, got a 0-d one")
    rest = first.shape[1:]
    parts = [x.to(first.dtype).expand(x.shape[0], *rest) for x in given]
    counts = np.array([x.shape[0] for x in given], dtype=np.int64)
    steps = np.arange(counts.max())[None, :]
    if padding_side == "left":
        steps = steps - (counts.max() - counts)[:, None]
    inside = (steps >= 0) & (steps < counts[:, None])
    places = (np.cumsum(counts) - counts)[:, None] + steps
    if not batch_first:
        inside, places = inside.T, places.T
    return _spread(cat(parts), places, inside, padding_value)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The tensors ``[length, *]`` of a padded batch, without their padding.

    The padded batch keeps its shape (PyTorch swaps its first two dimensions in place unless
    ``batch_first``). Raises ValueError when there are more or fewer lengths than sequences.
    """
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    counts = lengths.tolist()
    return [row[: max(n, 0)].clone() for row, n in zip(rows, counts, strict=True)]
