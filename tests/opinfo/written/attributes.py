"""What a tensor tells of itself, and its ways to Python, NumPy and other dtypes."""

import copy
import io
import pickle

import numpy as np

from tests.opinfo.written.case import Case, Cases, Program, eager, failing, ints, seq

KINDS = "float32 float64 float16 bfloat16 uint8 int8 int16 int32 int64 bool".split()


def through_pickle(t):
    x = seq(t, 2, 3)
    y = pickle.loads(pickle.dumps(x))
    z = pickle.loads(pickle.dumps(seq(t, 2).requires_grad_()))
    return y, z.detach(), z.requires_grad, pickle.loads(pickle.dumps(ints(t, 3).bfloat16()))


def deep_copies(t):
    x = seq(t, 3).requires_grad_()
    (x * 2).sum().backward()
    a, b = copy.deepcopy([x, x])
    a.data[0] = 9
    return a is b, x.detach(), a.detach(), a.grad, a.requires_grad


def sized(t):
    x = t.zeros(2, 3, 4)
    return (
        x.shape, x.size(), x.size(1), x.size(-1), list(x.shape), x.shape[1:], x.shape.numel(),
        tuple(x.shape) == (2, 3, 4), len(x.shape), x.size(dim=0),
    )  # fmt: skip


def grads(t):
    x = seq(t, 3).requires_grad_()
    before = x.grad
    (x * x).sum().backward()
    first = x.grad.clone()
    (x * x).sum().backward()
    second = x.grad.clone()
    x.grad = None
    return before, first, second, x.grad


def through_data(t):
    x = seq(t, 3).requires_grad_()
    x.data[0] = 4
    x.data = t.ones(2)
    return x.detach(), x.shape, x.requires_grad, x.data.requires_grad


def requires(t):
    x = seq(t, 3)
    a = x.requires_grad
    x.requires_grad = True
    y = x * 2
    return a, x.requires_grad, y.requires_grad, x.is_leaf, y.is_leaf, ints(t, 2).requires_grad


def before(y):
    """What stands before a result on the tape."""
    return y.grad_fn.next_functions[0][0].name().split("::")[-1]


def printed(*programs: Program) -> list[Case | Program]:
    """Each value's repr, with PyTorch's name in it."""

    def text(program):
        return eager(lambda t: repr(program(t)).replace("graphc.", "torch."))

    return [text(p) for p in programs]


def options(t):
    t.set_printoptions(precision=2)
    narrow = repr(seq(t, 5) / 3)
    t.set_printoptions(precision=4, threshold=5, edgeitems=2)
    short = repr(seq(t, 12))
    t.set_printoptions(sci_mode=True)
    science = repr(seq(t, 2))
    t.set_printoptions(profile="default")
    t.set_printoptions(sci_mode=None)
    return narrow, short, science, repr(seq(t, 12))


def informed(t):
    found = []
    for kind in KINDS[:4]:
        i = t.finfo(getattr(t, kind))
        found.append((i.bits, i.eps, i.max, i.min, i.tiny, i.smallest_normal, i.resolution))
    return found


def ranges(t):
    return [(i.bits, i.max, i.min) for i in (t.iinfo(getattr(t, k)) for k in KINDS[4:9])]


def promoted(t):
    return [t.promote_types(getattr(t, a), getattr(t, b)) for a in KINDS for b in KINDS]


def castable(t):
    return [t.can_cast(getattr(t, a), getattr(t, b)) for a in KINDS for b in KINDS]


def results(t):
    return [
        t.result_type(a, b)
        for a in (seq(t, 2), ints(t, 2), seq(t, 2).half(), t.tensor(2), t.tensor(1.5), 3, 2.5)
        for b in (ints(t, 2).bool(), ints(t, 2, dtype="uint8"), t.tensor(1.0).double(), 1, 1.5)
        if isinstance(a, t.Tensor) or isinstance(b, t.Tensor)
    ]


def defaults(t):
    found = [t.get_default_dtype()]
    t.set_default_dtype(t.float64)
    try:
        found += [
            t.get_default_dtype(),
            t.tensor(1.5).dtype,
            t.zeros(2).dtype,
            (ints(t, 2) / 2).dtype,
            (ints(t, 2) * 1.5).dtype,
            t.arange(1.0, 2.0).dtype,
        ]
    finally:
        t.set_default_dtype(t.float32)
    return [*found, t.tensor(1.5).dtype]


def moved(t):
    x = seq(t, 2, 3)
    return (
        x.to(t.float64), x.to("cpu") is x, x.to(x.dtype) is x, x.to(ints(t, 2)),
        x.to(t.device("cpu")) is x,
        x.to("cpu", t.int32), x.to(dtype=t.float16), x.to(x.dtype, copy=True) is x,
        x.to(device="cpu", dtype=t.uint8, non_blocking=True).dtype,
    )  # fmt: skip


def exchanged(t):
    array = np.from_dlpack(seq(t, 2, 3))
    back = t.from_dlpack(np.arange(6.0).reshape(2, 3))
    same = ints(t, 4)
    again = t.from_dlpack(same)
    again[0] = 40
    return array.tolist(), back, same, tuple(map(int, same.__dlpack_device__()))


def written(t):
    x = seq(t, 2)
    buffer = io.StringIO()
    print(x, file=buffer)
    return buffer.getvalue()


CASES: Cases = {
    "Tensor.shape": [sized],
    "Tensor.size": [sized, failing(lambda t: t.zeros(2).size(1))],
    "Tensor.dtype": [lambda t: [t.zeros(1, dtype=getattr(t, k)).dtype for k in KINDS]],
    "Tensor.device": [lambda t: (t.zeros(1).device.type, t.zeros(1).device == t.device("cpu"))],
    "Tensor.ndim": [lambda t: (t.zeros(2, 3).ndim, t.tensor(1).ndim)],
    "Tensor.dim": [lambda t: (t.zeros(2, 3).dim(), t.tensor(1).dim(), t.zeros(0).ndimension())],
    "numel": [lambda t: (t.numel(t.zeros(2, 3)), t.zeros(0, 3).numel(), t.tensor(1).nelement())],
    "Tensor.stride": [
        lambda t: (t.zeros(2, 3).stride(), t.zeros(2, 3).t().stride(), t.zeros(2, 3).stride(0)),
        lambda t: (t.zeros(4, 6)[::2, 1::3].stride(), t.zeros(3, 1).expand(3, 4).stride()),
        lambda t: (t.zeros(0, 3).stride(), t.tensor(1).stride(), t.zeros(2, 3, 0).stride()),
        failing(lambda t: t.zeros(2).stride(3)),
    ],
    "Tensor.storage_offset": [
        lambda t: (t.zeros(4, 6)[1:, 2:].storage_offset(), t.zeros(3).storage_offset()),
    ],
    "Tensor.is_contiguous": [
        lambda t: (t.zeros(2, 3).is_contiguous(), t.zeros(2, 3).t().is_contiguous(),
                   t.zeros(2, 3)[:, :1].is_contiguous(), t.zeros(1, 3).t().is_contiguous()),
    ],
    "Tensor.data": [eager(through_data)],
    "Tensor.grad": [grads, failing(lambda t: setattr(seq(t, 2), "grad", seq(t, 3)))],
    "Tensor.grad_fn": [
        eager(lambda t: (seq(t, 2).grad_fn, seq(t, 2).requires_grad_().grad_fn,
                         (seq(t, 2).requires_grad_() * 2).grad_fn.name(),
                         before(seq(t, 2).requires_grad_().exp()))),
    ],
    "Tensor.is_leaf": [lambda t: (seq(t, 2).is_leaf, (seq(t, 2).requires_grad_() * 2).is_leaf)],
    "Tensor.requires_grad": [requires],
    "Tensor.requires_grad_": [
        lambda t: (seq(t, 2).requires_grad_().requires_grad,
                   seq(t, 2).requires_grad_().requires_grad_(False).requires_grad),
        failing(lambda t: ints(t, 2).requires_grad_()),
        failing(lambda t: (seq(t, 2).requires_grad_() * 2).requires_grad_(False)),
    ],
    "Tensor.numpy": [
        eager(lambda t: (seq(t, 2, 3).numpy().tolist(), str(ints(t, 2).numpy().dtype),
                         seq(t, 2, 3).t().numpy().strides, type(seq(t, 1).numpy()).__name__)),
        eager(lambda t: seq(t, 2).requires_grad_().numpy(force=True).tolist()),
        failing(lambda t: seq(t, 2).requires_grad_().numpy()),
    ],
    "Tensor.tolist": [
        eager(lambda t: (seq(t, 2, 3).tolist(), ints(t, 3).tolist(), t.tensor(2.5).tolist(),
                         ints(t, 3).bool().tolist(), seq(t, 2).bfloat16().tolist(),
                         t.zeros(0, 2).tolist(), t.zeros(2, 0).tolist())),
    ],
    "Tensor.type": [
        eager(lambda t: [t.zeros(1, dtype=getattr(t, k)).type().replace("graphc", "torch")
                         for k in KINDS]),
        lambda t: (seq(t, 2).type(t.int64), seq(t, 2).type(t.float64)),
    ],
    "Tensor.type_as": [lambda t: seq(t, 3).type_as(ints(t, 1))],
    "Tensor.element_size": [lambda t: [t.zeros(1, dtype=getattr(t, k)).element_size()
                                       for k in KINDS]],
    "to": [
        eager(moved), lambda t: seq(t, 3).to(t.float64),
        failing(lambda t: seq(t, 3).to("nowhere")),
    ],
    "Tensor.cpu": [eager(lambda t: (lambda x: x.cpu() is x)(seq(t, 2))), lambda t: seq(t, 2).cpu()],
    "Tensor.cuda": [eager(lambda t: t.cuda.is_available() or "no GPU")],
    "Tensor.pin_memory": [eager(lambda t: seq(t, 2).is_pinned())],
    "Tensor.__array__": [
        eager(lambda t: (np.asarray(seq(t, 2, 3)).tolist(), np.array(ints(t, 2)).dtype.name,
                         np.asarray(seq(t, 2), dtype=np.float64).dtype.name,
                         np.add(ints(t, 2).numpy(), 1).tolist())),
    ],
    "Tensor.__dlpack__": [eager(exchanged)],
    "from_dlpack": [eager(exchanged)],
    "Tensor.__len__": [lambda t: (len(t.zeros(3, 2)), len(t.zeros(0))),
                       failing(lambda t: len(t.tensor(1)))],
    "Tensor.__iter__": [lambda t: list(seq(t, 3, 2)), lambda t: [x * 2 for x in seq(t, 3)],
                        failing(lambda t: list(t.tensor(1)))],
    "Tensor.__bool__": [
        eager(lambda t: (bool(t.tensor(0)), bool(t.tensor([2.5])), not t.tensor([[0]]))),
        failing(lambda t: bool(t.zeros(2))), failing(lambda t: bool(t.zeros(0))),
    ],
    "Tensor.__int__": [eager(lambda t: (int(t.tensor(2.7)), int(t.tensor([-3])))),
                       failing(lambda t: int(t.zeros(2)))],
    "Tensor.__float__": [eager(lambda t: (float(t.tensor(2)), float(t.tensor([[1.5]])))),
                         failing(lambda t: float(t.zeros(2)))],
    "Tensor.__index__": [eager(lambda t: ([5, 6, 7][t.tensor(1)], list(range(t.tensor(3))))),
                         failing(lambda t: [5, 6][t.tensor(1.0)])],
    "Tensor.__repr__": [
        *printed(
            lambda t: seq(t, 2, 3), lambda t: ints(t, 2, 3), lambda t: t.tensor(1.5),
            lambda t: seq(t, 2) > 0, lambda t: seq(t, 2).double(), lambda t: seq(t, 3).half(),
            lambda t: seq(t, 2).requires_grad_(), lambda t: seq(t, 2).requires_grad_() * 2,
            lambda t: t.zeros(0), lambda t: t.zeros(2, 0, dtype=t.int32), lambda t: t.arange(2000),
            lambda t: t.tensor([1e-8, 1.0, 1e8]),
            lambda t: t.tensor([float("nan"), 1, -float("inf")]),
            lambda t: t.arange(60.0).reshape(3, 4, 5), lambda t: seq(t, 30, 40) * 100,
            lambda t: t.tensor([1.0, 2.0, 3.0]), lambda t: t.tensor([1e10, 1.0]),
            lambda t: t.tensor(3), lambda t: t.tensor(True), lambda t: seq(t, 2).bfloat16(),
            lambda t: t.tensor([[[1]]]), lambda t: t.zeros(2, 3).shape, lambda t: t.float32,
            lambda t: t.device("cpu"),
        ),
        eager(written),
    ],
    "Tensor.__format__": [
        eager(lambda t: (f"{t.tensor(2.5):.2f}", f"{t.tensor(3):>5d}", f"{seq(t, 2)}")),
        failing(lambda t: f"{seq(t, 2):.2f}"),
    ],
    "set_printoptions": [eager(options)],
    "Tensor.__reduce_ex__": [eager(through_pickle)],
    "Tensor.__deepcopy__": [
        eager(deep_copies), failing(lambda t: copy.deepcopy(seq(t, 2).requires_grad_() * 2)),
        eager(lambda t: copy.copy(seq(t, 2))),
    ],
    "finfo": [eager(informed), failing(lambda t: t.finfo(t.int64)),
              eager(lambda t: (t.finfo().bits, str(t.finfo(t.float64).dtype)))],
    "iinfo": [eager(ranges), failing(lambda t: t.iinfo(t.float32))],
    "promote_types": [promoted],
    "result_type": [results],
    "can_cast": [castable],
    "set_default_dtype": [eager(defaults), failing(lambda t: t.set_default_dtype(t.int64))],
    "get_default_dtype": [lambda t: t.get_default_dtype()],
    "is_tensor": [lambda t: (t.is_tensor(seq(t, 1)), t.is_tensor([1]), t.is_tensor(np.zeros(1)))],
    "is_floating_point": [
        lambda t: (t.is_floating_point(seq(t, 1)), ints(t, 1).is_floating_point(),
                   seq(t, 1).half().is_floating_point(), [getattr(t, k).is_floating_point
                                                          for k in KINDS]),
    ],
}  # fmt: skip
