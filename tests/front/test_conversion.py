"""Attributes, and the way to Python, NumPy, other dtypes and copies."""

import copy
import math
import multiprocessing
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import graphc
from tests.front.expressions import check, lines

pytestmark = pytest.mark.differential

TO = lines("""
    t.ones(2).to(t.float64)
    t.ones(2).to("cpu", t.int32)
    t.ones(2).to(device="cpu", dtype=t.int32, copy=True)
    t.ones(2).to(t.ones(1, dtype=t.int8))
    t.ones(2).to(other=t.ones(1, dtype=t.int8))
    t.ones(2).to(t.int8, True, True)
    t.ones(2).to("cpu", t.int8, True, True)
    t.ones(2).to(float)
    t.ones(2).to()
    t.ones(2).to(None)
    t.ones(2).to(t.device("cpu"), non_blocking=True)
    (lambda x: (x.to("cpu") is x, x.to(t.float32) is x, x.to(t.float32, copy=True) is x))(t.ones(2))
    (lambda x: (x.float() is x, x.cpu() is x, x.type(t.float32) is x, x.double() is x))(t.ones(2))
    t.ones(2, requires_grad=True).to(t.float64)
    t.ones(2, requires_grad=True).to(t.int64)
    t.tensor([1.9, -1.9]).to(t.int32)
    t.tensor([0.0, -0.0, nan, 0.5]).to(t.bool)
    t.tensor([True, False]).to(t.float16)
    t.tensor([1e6, 1e-9, -inf]).half()
    t.tensor([1.00390625, 3e38]).bfloat16()
    t.tensor([255, 256, -1]).to(t.uint8)
    t.ones(2, 3).t().to(t.float64)
    t.ones(2, 3).t().double(memory_format=t.contiguous_format)
    t.ones(2, 3, 4, 5).to(memory_format=t.channels_last).stride()
    t.ones(2, 3, 4, 5).to(t.float64, memory_format=t.channels_last).stride()
    t.ones(2, 3, 4, 5).to(t.float64, memory_format=t.preserve_format).stride()
    t.ones(2).to("float32")
    t.ones(2).to(foo=1)
    t.ones(2).to(dtype=t.int8, other=t.ones(2))
    t.ones(2).to(t.int8, dtype=t.int8)
    t.ones(2).to("cpu", t.int8, False, False, 3)
    t.ones(2, 3).to(memory_format=t.channels_last)
    t.ones(2).type_as(t.ones(1, dtype=t.int8))
    t.ones(2).double().half().bfloat16().int().long().short().char().byte().bool()
""")

PYTHON = lines("""
    float(t.tensor([1.5]))
    int(t.tensor(1.9))
    int(t.tensor(-1.9))
    complex(t.tensor(2.5))
    bool(t.tensor([[1]]))
    bool(t.tensor(nan))
    bool(t.tensor(-0.0))
    [1, 2, 3][t.tensor(1)]
    [1, 2, 3][t.tensor([1])]
    [1, 2, 3][t.tensor(True)]
    list(range(t.tensor(3)))
    hex(t.tensor(255))
    operator.index(t.tensor(7, dtype=t.uint8))
    float(t.tensor([1.5, 2]))
    int(t.tensor([1, 2]))
    complex(t.ones(2))
    int(t.tensor(nan))
    int(t.tensor(inf))
    bool(t.tensor([]))
    bool(t.tensor([1, 2]))
    [1, 2, 3][t.tensor(1.0)]
    [1, 2, 3][t.tensor([1, 2])]
    t.tensor([1.0]).item()
    t.tensor(True).item()
    t.tensor(2.5, dtype=t.bfloat16).item()
    t.tensor(1e40, dtype=t.float64).item()
    t.tensor([[7]], dtype=t.uint8).item()
    t.tensor([1.0, 2]).item()
    t.tensor([]).item()
    t.is_nonzero(t.tensor([0.0]))
    t.is_nonzero(t.tensor([1, 2]))
    t.tensor([[1.5, nan], [-0.0, inf]]).tolist()
    t.ones(2, dtype=t.bfloat16).tolist()
    t.tensor(3).tolist()
    t.zeros(0, 2).tolist()
    t.zeros(2, 0).tolist()
    len(t.ones(3, 2))
    len(t.tensor(1))
    list(t.tensor(1))
    [x.tolist() for x in t.ones(2, 2)]
    1 in t.ones(2)
    t.tensor(1.0) in t.zeros(2)
    nan in t.tensor([nan])
    "a" in t.ones(2)
    [1, 2] in t.ones(2)
    None in t.ones(2)
    f"{t.tensor(1.5):.3f}"
    f"{t.tensor(3):5d}"
    f"{t.tensor(1.5)}"
    f"{t.tensor([1.5, 2])}"
    f"{t.tensor([1.5]):.3f}"
    f"{t.tensor(True)}"
    format(t.tensor(1.5, dtype=t.float16), "g")
    "%.2f %d" % (t.tensor(1.5), t.tensor(3))
    (lambda x: hash(x) == id(x))(t.ones(2))
    t.tensor(1.0) == None
    t.tensor(1.0) != "a"
    t.tensor([1.0, 2]) < "a"
    t.tensor(1.0) + None
    t.tensor(1.0) + [1]
    [1] + t.tensor(1.0)
    divmod(t.tensor(7), 2)
    round(t.tensor(1.5))
""")

NUMPY = lines("""
    t.arange(6.0).reshape(2, 3).t().numpy()
    t.ones(2, requires_grad=True).numpy()
    t.ones(2, requires_grad=True).numpy(force=True)
    np.asarray(t.ones(2))
    np.asarray(t.ones(2), dtype=np.float64)
    np.asarray(t.ones(2, requires_grad=True))
    np.array(t.ones(2), dtype=np.int32)
    np.array([t.tensor(1.0), t.tensor(2.0)])
    np.array([t.ones(2), t.ones(2)])
    t.ones(2).__array__(np.int32)
    t.ones(2).__array_priority__
    t.ones(2).__array_wrap__(np.ones(2))
    t.ones(2).__array_wrap__(np.ones(2) > 0)
    t.ones(2).__array_wrap__(np.array(3))
    np.add(np.ones(2), t.ones(2))
    np.add(t.ones(2), t.ones(2))
    np.add(t.ones(2, requires_grad=True), np.ones(2))
    np.sin(t.ones(2))
    np.isnan(t.ones(2))
    np.matmul(t.ones(2, 2), t.ones(2, 2))
    np.concatenate([t.ones(2), t.ones(2)])
    np.transpose(t.ones(2, 3)).shape
    np.clip(t.ones(2), 0, 0.5)
    np.linalg.norm(t.ones(4))
    t.ones(2) + np.ones(2)
    t.ones(2) * np.array(2.0)
    t.ones(2) * np.float64(2)
    t.ones(2) + np.float32(2)
    t.ones(2, dtype=t.int64) + np.float32(2)
    t.ones(2, dtype=t.int64) * np.int8(2)
    np.float64(2) * t.ones(2)
    np.int64(2) - t.ones(2)
    t.where(t.ones(2) > 0, np.float64(2), 1)
    t.add(t.ones(2), np.float64(1))
    np.ones(2) + t.ones(2)
    t.add(t.ones(2), np.ones(2))
    t.ones(2) < np.ones(2)
    t.tensor([1.0, 2]) == np.array([1, 3])
    np.array([1, 3]) == t.tensor([1.0, 2])
""")

ATTRIBUTES = lines("""
    (t.ones(2).nbytes, t.ones(2, dtype=t.int16).itemsize, t.ones(2).element_size())
    (t.ones(2).layout, t.ones(2).is_sparse, t.ones(2).is_cuda, t.ones(2).is_cpu, t.ones(2).is_meta)
    (t.ones(2).is_quantized, t.ones(2).is_mkldnn, t.ones(2).output_nr, t.ones(2).get_device())
    (t.ones(2).is_inference(), t.is_inference(t.ones(2)), t.ones(2).is_pinned())
    (t.is_complex(t.ones(2)), t.is_conj(t.ones(2)), t.is_neg(t.ones(2)))
    (t.ones(2).is_signed(), t.is_signed(t.ones(2, dtype=t.uint8)), t.ones(2).is_floating_point())
    (t.ones(2).is_same_size(t.ones(2)), t.is_same_size(t.ones(2), t.ones(3)))
    (t.is_tensor(t.ones(2)), t.is_tensor(3), t.is_storage(t.ones(2).untyped_storage()))
    (lambda x: (t.resolve_conj(x) is x, x.resolve_neg() is x))(t.ones(2))
    (t.numel(t.ones(2, 3)), t.ones(0, 3).numel(), t.ones(2, 3).nelement(), t.ones(2).ndimension())
    t.angle(t.tensor([1.0, -2, -0.0, nan, inf, -inf]))
    t.angle(t.tensor([1, -1]))
    t.angle(t.tensor([True, False]))
    (lambda x: (t.real(x) is x, t.conj(x) is x, x.conj_physical() is x))(t.ones(2))
    t.imag(t.ones(2))
    [x.item() for x in reversed(t.arange(3))]
    (lambda x: (x.is_set_to(x.detach()), x.is_set_to(x[1:]), x.is_set_to(x.clone())))(t.ones(2))
    t.numel([1])
    t.is_floating_point(3)
    t.ones(2, 3).size(5)
    (t.ones(2, 3).size(-1), t.ones(2, 3).size())
    t.ones(2, 3).stride(2)
    (t.zeros(0, 3).stride(), t.zeros(2, 0).stride())
    (t.tensor(1).stride(), t.zeros(2, 3, 0).stride())
    (t.ones(2, 3).is_contiguous(), t.ones(2, 3).t().is_contiguous())
    t.ones(1, 3).t().is_contiguous()
    t.ones(2, 3, 4, 5).is_contiguous(memory_format=t.channels_last)
    t.ones(2, 1, 4, 5).is_contiguous(memory_format=t.channels_last)
    t.ones(2, 3).is_contiguous(memory_format=t.channels_last)
    t.ones(2, 3).is_contiguous(memory_format=3)
    (t.ones(2, 3, 4).dim_order(), t.ones(2, 3, 4).permute(2, 0, 1).dim_order())
    t.ones(2, 3, 4, 5).to(memory_format=t.channels_last).dim_order()
    (t.zeros(0).data_ptr(), t.zeros(2, 0).data_ptr())
    t.equal(t.ones(2), t.ones(2, dtype=t.float64))
    t.equal(t.ones(2), t.ones(3))
    t.equal(t.tensor([nan]), t.tensor([nan]))
    t.equal(t.tensor([0.0]), t.tensor([-0.0]))
    t.isclose(t.tensor([inf, 1, -inf, nan]), t.tensor([inf, inf, inf, nan]))
    t.isclose(t.tensor([nan, 1.0]), t.tensor([nan, nan]), equal_nan=True)
    t.isclose(t.tensor([1.0, 2.0]), t.tensor([1.1, 2.0]), rtol=0.2)
    t.isclose(t.tensor([1.0, 2.0]), t.tensor([1.1, 2.0]), rtol=0, atol=0)
    t.isclose(t.tensor([1, 2]), t.tensor([1, 3]))
    t.isclose(t.tensor([True]), t.tensor([True]))
    t.isclose(t.ones(2), t.ones(2, dtype=t.float64))
    t.isclose(t.ones(2), t.ones(2), rtol=-1)
    t.allclose(t.ones(2), t.ones(2) + 1e-9)
    t.allclose(t.ones(2), t.ones(2) + 1e-3)
    t.ones(2).apply_(lambda x: x + 1)
    t.ones(2).map_(t.ones(2) * 3, lambda a, b: a + b)
    t.ones(2, requires_grad=True).apply_(lambda x: x + 1)
    t.ones(2).copy_(1)
    t.ones(2).copy_([1, 2])
    t.ones(2).copy_(t.ones(3))
    t.ones(2, 3).copy_(t.arange(3))
    t.ones(2, dtype=t.int32).copy_(t.tensor(2.5))
    t.ones(2).resize_(3, 3).shape
    t.arange(6).resize_(2, 2)
    t.arange(6.0).resize_((2, 3))
    t.ones(2).resize_as_(t.ones(3)).shape
    t.ones(2, requires_grad=True).resize_(3)
    t.ones(2).set_(t.ones(3))
    t.ones(2).set_()
    t.ones(2).set_(t.arange(6.0).untyped_storage(), 1, (2, 2), (2, 1))
    t.ones(2).set_(t.ones(3, dtype=t.int64))
    t.detach(t.ones(2, requires_grad=True))
    t.ones(2).untyped_storage().tolist()
    t.ones(2).untyped_storage().nbytes()
    t.ones(6)[2:].untyped_storage().nbytes()
    t.ones(2, 3).t().untyped_storage().size()
    len(t.ones(2).untyped_storage())
    (t.get_default_device(), t.set_default_device("cpu"), t.set_default_device(None))
    (t.are_deterministic_algorithms_enabled(), t.get_deterministic_debug_mode())
    t.use_deterministic_algorithms(1)
    t.set_deterministic_debug_mode("loud")
    t.get_float32_matmul_precision()
    t.set_float32_matmul_precision("foo")
""")

COPIES = lines("""
    copy.deepcopy(t.ones(2, requires_grad=True))
    copy.deepcopy(t.ones(2, requires_grad=True) * 2)
    copy.copy(t.ones(2, requires_grad=True) * 2)
    copy.deepcopy(t.tensor([1.5], dtype=t.bfloat16))
    pickle.loads(pickle.dumps(t.tensor([1.5, nan], dtype=t.bfloat16)))
    pickle.loads(pickle.dumps(t.ones(2, requires_grad=True) * 2))
    pickle.loads(pickle.dumps(t.ones(2, 3).t())).stride()
    pickle.loads(pickle.dumps(t.ones(3, 1).expand(3, 4))).stride()
    copy.deepcopy(t.ones(3, 1).expand(3, 4)).stride()
    copy.deepcopy(t.zeros(0, 3)).shape
    copy.deepcopy(t.tensor(True))
    pickle.loads(pickle.dumps(t.nn.Parameter(t.ones(2))))
    pickle.loads(pickle.dumps(t.nn.Parameter(t.ones(2), requires_grad=False)))
    type(copy.deepcopy(t.nn.Parameter(t.ones(2)))).__name__
    (lambda b: (lambda d: (d[0].fill_(9), d[1]))(copy.deepcopy([b, b[2:4]])))(t.arange(6.0))
    (lambda b: (lambda d: (d[1].fill_(9), d[0]))(copy.deepcopy([b, b[2:4]])))(t.arange(6.0))
    (lambda b: (lambda d: d[0] is d[1])(copy.deepcopy([b, b])))(t.arange(6.0))
""")


@pytest.mark.parametrize("line", [*TO, *PYTHON, *NUMPY, *ATTRIBUTES, *COPIES])
def test_as_in_pytorch(line: str) -> None:
    check(line)


def test_pickles_of_views_share_and_attributes_travel() -> None:
    """More than PyTorch, whose pickles copy the memory of each view."""
    base = graphc.arange(6.0)
    base.note = "a base"
    kept, part, alias = pickle.loads(pickle.dumps((base, base[1:3], base.t().detach())))
    part.fill_(7)
    assert kept.tolist() == alias.tolist() == [0, 7, 7, 3, 4, 5]
    assert kept.note == "a base"
    assert base.tolist() == [0, 1, 2, 3, 4, 5]
    again = copy.deepcopy(base)
    assert again.note == "a base"
    assert again.data_ptr() != base.data_ptr()


def test_parameters_and_what_is_taken_from_them() -> None:
    weight = graphc.nn.Parameter(graphc.ones(3))
    (weight * 2).sum().backward()
    copied = copy.deepcopy(weight)
    assert isinstance(copied, graphc.nn.Parameter)
    assert copied.grad is None  # as PyTorch's
    copied.data.fill_(4)
    assert copied.tolist() == [4, 4, 4]
    assert weight.tolist() == [1, 1, 1]
    for one in (pickle.loads(pickle.dumps(weight)), copy.copy(weight)):
        assert isinstance(one, graphc.nn.Parameter)
        assert one.is_leaf
        assert one.requires_grad
    assert copy.copy(weight).data_ptr() == weight.data_ptr()
    layer = copy.deepcopy(graphc.nn.Linear(2, 2))
    assert pickle.loads(pickle.dumps(layer)).weight.tolist() == layer.weight.tolist()


def test_copies_of_what_is_on_the_tape() -> None:
    x = graphc.ones(3, requires_grad=True)
    y = x * 2
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(y)
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(y[1:])
    assert copy.deepcopy(y.detach()[1:]).tolist() == [2, 2]
    same = copy.copy(y)
    assert same.is_leaf
    assert same.requires_grad


def test_shapes_of_arrays_and_of_their_tensors_are_apart() -> None:
    array = np.arange(6.0)
    x = graphc.from_numpy(array)
    array.shape = (2, 3)
    assert x.numpy().shape == (6,)
    x.numpy().shape = (3, 2)
    x.numpy().flags.writeable = False
    x[0] = 7
    assert x.tolist() == [7, 1, 2, 3, 4, 5] and array[0, 0] == 7


def test_numpy_shares_memory_both_ways() -> None:
    x = graphc.arange(6.0).reshape(2, 3)
    array = x.t().numpy()
    array[0, 1] = 40
    assert x[1, 0].item() == 40
    x.mul_(2)
    assert array[0, 1] == 80
    assert np.asarray(x).base is not None or np.shares_memory(np.asarray(x), array)
    assert not np.shares_memory(np.array(x), array)
    assert np.shares_memory(np.array(x, copy=False), array)
    with pytest.raises(ValueError, match="avoid copy"):
        np.array(x, dtype=np.int32, copy=False)


@pytest.mark.parametrize("dtype", graphc.dtypes.ALL, ids=repr)
def test_every_dtype_goes_through_pickle_numpy_and_lists(dtype: Any) -> None:
    x = graphc.tensor([0, 1, 1, 0]).to(dtype).reshape(2, 2)
    for made in (
        pickle.loads(pickle.dumps(x)),
        copy.deepcopy(x),
        graphc.from_numpy(x.numpy()),
        graphc.tensor(x.tolist(), dtype=dtype),
        graphc.tensor(x.numpy()),
    ):
        assert made.dtype is dtype
        assert graphc.equal(made, x)


def test_arrays_that_cannot_be_written_to() -> None:
    array = np.arange(3.0)
    array.flags.writeable = False
    with pytest.warns(UserWarning, match="not writable"):
        x = graphc.from_numpy(array)
    assert (x + 1).tolist() == [1, 2, 3]
    with pytest.raises((RuntimeError, ValueError)):
        x.add_(1)
    assert array.tolist() == [0, 1, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copied = graphc.tensor(array)
    copied.add_(1)
    assert array.tolist() == [0, 1, 2]


def test_arrays_that_differ_are_told_elementwise() -> None:
    """As ``==`` does in both libraries; PyTorch's ``!=`` asks whether the objects are two."""
    assert (graphc.tensor([1.0, 2]) != np.array([1, 3])).tolist() == [False, True]
    assert (np.array([1, 3]) != graphc.tensor([1.0, 2])).tolist() == [False, True]


class Marked(np.ndarray):
    """A subclass, whose operators would surprise the rows."""

    def __mul__(self, other: Any) -> Any:
        raise AssertionError("the operator of the subclass")


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4)[:, ::2],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(3.5),
        np.zeros((0, 4)),
        np.array([5e-324, -0.0, np.nan, np.inf]),
        np.arange(4.0).view(Marked),
        np.lib.stride_tricks.as_strided(np.arange(4.0), (3, 2), (8, 8)),
    ],
    ids=["strided", "columns", "zero-dim", "empty", "special", "subclass", "overlapping"],
)
def test_arrays_of_all_layouts(array: Any) -> None:
    x = graphc.from_numpy(array)
    assert x.shape == array.shape
    assert x.stride() == tuple(s // 8 for s in array.strides) or 0 in array.shape
    np.testing.assert_array_equal((x * 2).numpy(), np.asarray(array) * 2)
    np.testing.assert_array_equal(graphc.compile(lambda a: a * 2)(x).numpy(), np.asarray(array) * 2)
    assert math.copysign(1, graphc.tensor([-0.0])[0].item()) == -1


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.arange(3.0)[::-1], ValueError),
        (np.arange(6, dtype=">i4"), ValueError),
        (np.array(["a"]), TypeError),
        (np.zeros(3, dtype=[("a", np.int32), ("b", np.int8)])["a"], ValueError),
        (np.zeros(2, np.complex64), TypeError),
        (np.zeros(2, "datetime64[s]"), TypeError),
        ([1, 2], TypeError),
        (np.float32(3), TypeError),
    ],
)
def test_arrays_that_are_refused(array: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        graphc.from_numpy(array)


def test_values_in_compiled_functions() -> None:
    """What needs a value splits the program, or is a constant of it."""

    def f(x: Any) -> Any:
        scale = x.sum().item()
        if x[0] > 0 and 2.0 in x:
            return x * scale, x.stride(), x.tolist()
        return x - scale, x.numel(), x.type()

    compiled = graphc.compile(f)
    for data in ([1.0, 2.0], [-1.0, 2.0], [1.0, 2.0]):
        x = graphc.tensor(data)
        ours, expected = compiled(x), f(x)
        assert ours[0].tolist() == expected[0].tolist()
        assert ours[1:] == expected[1:]


# ---------------------------------------------------------------------------------------- storages


def test_storages_are_the_memory_itself() -> None:
    x = graphc.arange(6, dtype=graphc.int32)
    raw = x[2:].untyped_storage()
    assert (raw.data_ptr(), raw.nbytes(), len(raw)) == (x.data_ptr(), 24, 24)
    raw[0] = 9
    assert x[0].item() == 9
    with pytest.warns(UserWarning, match="deprecated"):
        typed = x.storage()
    assert typed.tolist() == [9, 1, 2, 3, 4, 5]
    assert (typed.dtype, typed.size(), typed[1:3].tolist()) == (graphc.int32, 6, [1, 2])
    typed.fill_(3)
    assert x.tolist() == [3] * 6
    copied = typed.clone()
    copied[0] = 1
    assert x.tolist() == [3] * 6
    typed.copy_(copied)
    assert x.tolist() == [1, 3, 3, 3, 3, 3]
    assert graphc.is_storage(raw)
    assert not graphc.is_storage(x)
    assert graphc.UntypedStorage(4).tolist() == [0, 0, 0, 0]
    assert graphc.TypedStorage([1, 2], dtype=graphc.float64).untyped().nbytes() == 16
    with pytest.raises(RuntimeError, match="size mismatch"):
        typed.copy_(graphc.TypedStorage(2))
    with pytest.raises(RuntimeError, match="need 36 bytes, the storage has 24"):
        x.set_(raw, 1, (4, 2), (2, 1))  # PyTorch would give the storage more memory


def test_a_write_through_a_storage_is_seen_by_backward() -> None:
    x = graphc.ones(3, requires_grad=True)
    y = x.exp()
    y.untyped_storage()[0] = 1
    with pytest.raises(RuntimeError, match="inplace|in-place"):
        y.sum().backward()


def _double(x: Any) -> None:
    x.mul_(2)


def test_shared_memory_is_seen_by_forked_processes() -> None:
    x = graphc.arange(4.0)
    assert not x.is_shared()
    assert x.share_memory_() is x
    assert x.is_shared()
    assert x.untyped_storage().is_shared()
    child = multiprocessing.get_context("fork").Process(target=_double, args=(x,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert x.tolist() == [0, 2, 4, 6]
    assert graphc.compile(lambda a: a + 1)(x).tolist() == [1, 3, 5, 7]
    y = graphc.ones(3)
    view = y[1:]
    with pytest.raises(RuntimeError, match="before taking views"):
        y.share_memory_()
    assert view.tolist() == [1, 1]


def test_settings_remember() -> None:
    graphc.set_deterministic_debug_mode("warn")
    assert graphc.get_deterministic_debug_mode() == 1
    assert graphc.is_deterministic_algorithms_warn_only_enabled()
    graphc.use_deterministic_algorithms(False)
    assert graphc.get_deterministic_debug_mode() == 0
    graphc.set_float32_matmul_precision("high")
    assert graphc.get_float32_matmul_precision() == "high"
    graphc.set_float32_matmul_precision("highest")
    assert graphc.set_flush_denormal(False)
    assert not graphc.set_flush_denormal(True)
    with pytest.raises(RuntimeError, match="cuda"):
        graphc.set_default_device("cuda")
    graphc.set_default_tensor_type(graphc.DoubleTensor)
    try:
        assert graphc.tensor(1.0).dtype is graphc.float64
    finally:
        graphc.set_default_tensor_type("graphc.FloatTensor")
    graphc.set_warn_always(True)
    assert graphc.is_warn_always_enabled()
    graphc.set_warn_always(False)
    graphc.set_num_interop_threads(2)
    assert graphc.get_num_interop_threads() == 2
    graphc.set_num_interop_threads(1)
    with pytest.raises(RuntimeError, match="positive"):
        graphc.set_num_interop_threads(0)
