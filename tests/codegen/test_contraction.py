"""Contractions against NumPy in float64, on one thread and on two."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.codegen import C, render_kernel
from graphc.dtypes import bfloat16, float16, float32, float64, int32, int64
from graphc.kernel import (
    Axis,
    Combine,
    Const,
    Contraction,
    Kernel,
    Let,
    Load,
    Param,
    Phase,
    Ref,
    Store,
)
from graphc.sizes import symbol
from tests.codegen import execution
from tests.codegen.against_numpy import arrays_for, check
from tests.codegen.contractions import (
    call,
    convolution,
    input_gradient,
    matmul,
    weight_gradient,
)
from tests.codegen.execution import built, program_of, run_kernel

SIZES = [
    (1, 1, 1),
    (1, 17, 5),
    (17, 1, 5),
    (5, 7, 1),
    (3, 5, 7),
    (16, 16, 16),
    (64, 10, 84),
    (64, 120, 400),
    (33, 65, 129),
    (97, 101, 103),
    (6, 200, 31),
    (200, 6, 31),
    (130, 50, 700),
    (250, 190, 1030),
    (1, 1, 5000),
    (3, 2, 9000),
    (500, 1, 300),
    (1, 500, 300),
]
TURNED = [(False, False), (False, True), (True, False), (True, True)]


@pytest.mark.parametrize("turned", TURNED)
@pytest.mark.parametrize("size", SIZES)
def test_matmul(size, turned):
    check(matmul(*size, left_turned=turned[0], right_turned=turned[1], relu=True))


@pytest.mark.parametrize("turned", TURNED)
@pytest.mark.parametrize("size", [(40, 70, 20), (7, 130, 300), (130, 7, 600)])
def test_matmul_stored_transposed(size, turned):
    check(matmul(*size, left_turned=turned[0], right_turned=turned[1], out_turned=True))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("size", [(8, 64, 64, 32), (3, 5, 7, 11), (20, 33, 17, 600), (2, 1, 1, 3)])
def test_batched_matmul(size, shared):
    batch, *rest = size
    check(matmul(*rest, batch=batch, shared_right=shared))
    check(matmul(*rest, batch=batch, shared_right=shared, right_turned=True))


@pytest.mark.parametrize("size", [(0, 5, 3), (5, 0, 3), (5, 3, 0), (0, 0, 0)])
def test_nothing_to_do(size):
    check(matmul(*size))


@pytest.mark.parametrize("kind", [float64, int32, int64])
@pytest.mark.parametrize("size", [(5, 7, 3), (33, 65, 129), (250, 90, 700), (2, 3, 5000)])
def test_other_types(size, kind):
    tolerance = 1e-12 if kind is float64 else 0
    check(matmul(*size, kind=kind), rtol=tolerance)
    check(matmul(*size, kind=kind, left_turned=True, right_turned=True), rtol=tolerance)


@pytest.mark.parametrize("stored", [bfloat16, float16])
def test_half_types_are_computed_in_float(stored):
    for size in ((5, 7, 3), (33, 65, 129), (40, 50, 600)):
        check(matmul(*size, stored=stored, right_turned=True), rtol=1e-2)


@pytest.mark.parametrize("size", [(5, 7, 3), (64, 120, 400), (250, 90, 700)])
def test_prologue(size):
    check(matmul(*size, prologue=True))
    check(matmul(*size, prologue=True, right_turned=True))


def test_prologue_with_statements():
    kernel = matmul(40, 30, 50)
    (nest,) = kernel.nests
    body = (Let("doubled", call("({0} * {1})", nest.lhs, Const(2.0, float32))),)
    exp = call("gc_exp_f32({0})", Ref("doubled", float32))
    check(replace(kernel, nests=(replace(nest, lhs=exp, lhs_body=body),)))


@pytest.mark.parametrize("fixed", [(), ("rows",), ("cols", "depth")])
def test_sizes_known_when_it_runs(fixed):
    every = ("rows", "cols", "depth")
    names = tuple(name for name in every if name not in fixed)
    kernel = matmul(*(96 if name in fixed else symbol(name) for name in every), sizes=names)
    for sizes in ((5, 7, 3), (1, 1, 1), (150, 200, 300), (30, 40, 0), (0, 5, 3), (6, 0, 2)):
        check(kernel, {s: size for s, size in zip(every, sizes, strict=True) if s in names})


def test_batch_known_when_it_runs():
    check(matmul(20, 30, 40, batch=symbol("b"), sizes=("b",)), {"b": 5})
    kernel = convolution(symbol("count"), 3, (12, 12), 8, (3, 3), sizes=("count",))
    for count in (1, 5, 0):
        check(kernel, {"count": count})


CONVOLUTIONS = [
    dict(batch=4, channels=1, size=(32, 32), filters=6, window=(5, 5)),
    dict(batch=4, channels=6, size=(14, 14), filters=16, window=(5, 5)),
    dict(batch=2, channels=16, size=(20, 20), filters=16, window=(3, 3), padding=1),
    dict(batch=2, channels=16, size=(28, 28), filters=32, window=(3, 3), padding=1),
    dict(batch=2, channels=16, size=(21, 21), filters=16, window=(3, 3), padding=1, stride=2),
    dict(batch=2, channels=16, size=(14, 14), filters=32, window=(1, 1)),
    dict(batch=2, channels=16, size=(14, 14), filters=32, window=(1, 1), stride=2),
    dict(batch=2, channels=5, size=(17, 19), filters=7, window=(3, 4), dilation=2, padding=2),
    dict(batch=3, channels=8, size=(12, 12), filters=12, window=(3, 3), groups=4, padding=1),
    dict(batch=3, channels=8, size=(12, 12), filters=8, window=(3, 3), groups=8, padding=1),
    dict(batch=1, channels=3, size=(40, 40), filters=20, window=(7, 7), stride=2, padding=3),
    dict(batch=2, channels=64, size=(7, 7), filters=64, window=(3, 3), padding=1),
    dict(batch=1, channels=1, size=(5, 5), filters=1, window=(5, 5)),
    dict(batch=1, channels=2, size=(3, 3), filters=2, window=(3, 3), padding=3),
]


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_convolution(shape):
    check(convolution(**shape))


def test_convolution_in_double():
    for shape in CONVOLUTIONS[2:8]:
        check(convolution(**shape, kind=float64), rtol=1e-12)


GRADIENTS = [
    (4, 6, (14, 14), 16, 5),
    (3, 1, (32, 32), 6, 5),
    (2, 16, (12, 12), 16, 3),
    (2, 3, (9, 7), 5, 2),
    (16, 20, (8, 8), 20, 3),
]


@pytest.mark.parametrize("shape", GRADIENTS, ids=str)
def test_input_gradient(shape):
    check(input_gradient(*shape))
    check(input_gradient(*shape, padding=1))


@pytest.mark.parametrize("stride", [2, 3])
def test_strided_input_gradient(stride):
    check(input_gradient(2, 6, (15, 15), 8, 3, stride=stride))
    check(input_gradient(2, 6, (15, 15), 8, 3, stride=stride, padding=1))


@pytest.mark.parametrize("shape", [*GRADIENTS, (64, 1, (12, 12), 4, 5)], ids=str)
def test_weight_gradient(shape):
    check(weight_gradient(*shape), rtol=1e-4)
    check(weight_gradient(*shape, padding=1), rtol=1e-4)


def test_weight_gradient_in_double():
    check(weight_gradient(*GRADIENTS[1], kind=float64), rtol=1e-11)


def test_epilogue_with_residual_and_two_outputs():
    kernel = matmul(70, 50, 90)
    (nest,) = kernel.nests
    at = nest.epilogue.stores[0].index
    m, n = nest.rows[0], nest.cols[0]
    total = call("({0} + {1})", Ref("acc", float32), Load("residual", at, float32))
    epilogue = Phase(
        body=(Let("total", total),),
        stores=(
            Store("out", at, Ref("total", float32)),
            Store("turned_out", n.index * 70 + m.index, Ref("acc", float32)),
            Store("sums", at, Ref("total", float32), Combine.SUM),
        ),
    )
    extra = (
        Param("residual", float32, (1, 70, 50)),
        Param("turned_out", float32, (50, 70), written=True),
        Param("sums", float32, (1, 70, 50), written=True),
    )
    nest = replace(nest, epilogue=epilogue)
    check(replace(kernel, nests=(nest,), params=(*kernel.params, *extra)))


def test_names_that_the_templates_use():
    m, n, k = Axis("strip", 30), Axis("panel", 40), Axis("step", 50)
    nest = Contraction(
        (),
        (m,),
        (n,),
        (k,),
        Load("lines", m.index * 50 + k.index, float32),
        Load("sums", k.index * 40 + n.index, float32),
        "tile",
        float32,
        Phase(stores=(Store("row", m.index * 40 + n.index, Ref("tile", float32)),)),
    )
    check(
        Kernel(
            "names",
            (
                Param("lines", float32, (30, 50)),
                Param("sums", float32, (50, 40)),
                Param("row", float32, (30, 40), written=True),
            ),
            (nest,),
        )
    )


def test_not_a_number_stays_in_its_row_and_column():
    kernel = matmul(50, 60, 70)
    arrays = arrays_for(kernel)
    arrays["x"][0, 3, 5] = np.nan
    arrays["y"][0, 7, 11] = np.inf
    run_kernel(kernel, arrays)
    bad = ~np.isfinite(arrays["out"][0])
    expected = np.zeros((50, 60), bool)
    expected[3, :] = True
    expected[:, 11] = True
    np.testing.assert_array_equal(bad, expected)


def test_epilogue_without_loops():
    kernel = matmul(5, 6, 7)
    (nest,) = kernel.nests
    wrong = replace(nest, epilogue=replace(nest.epilogue, axes=(Axis("q", 3),)))
    with pytest.raises(ValueError, match="epilogue"):
        render_kernel(replace(kernel, nests=(wrong,)), C)


@pytest.mark.parametrize(("size", "registers"), [(32, 16), (16, 16)])
def test_narrower_vectors(size, registers, monkeypatch):
    narrow = replace(C, vector_bytes=size, vector_registers=registers)
    monkeypatch.setattr(execution, "C", narrow)
    built.cache_clear()
    for kernel in (
        matmul(64, 120, 400, right_turned=True),
        matmul(33, 65, 129, left_turned=True),
        matmul(2, 3, 5000, right_turned=True),
        matmul(33, 65, 129, kind=float64, right_turned=True),
        convolution(**CONVOLUTIONS[0]),
        convolution(**CONVOLUTIONS[2]),
        input_gradient(*GRADIENTS[0]),
        weight_gradient(*GRADIENTS[1]),
    ):
        check(kernel, rtol=1e-4)
    built.cache_clear()


@settings(max_examples=25)
@given(
    st.tuples(*[st.integers(1, 70)] * 3),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.integers(1, 4),
)
def test_any_matmul(size, turned, batch):
    left, right, out = turned
    check(matmul(*size, batch=batch, left_turned=left, right_turned=right, out_turned=out))


@settings(max_examples=25)
@given(st.data())
def test_any_convolution(data):
    window = (data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4)))
    dilation = data.draw(st.integers(1, 2))
    padding = data.draw(st.integers(0, 2))
    least = max(window) * dilation
    groups = data.draw(st.sampled_from([1, 1, 2]))
    check(
        convolution(
            batch=data.draw(st.integers(1, 4)),
            channels=groups * data.draw(st.integers(1, 6)),
            size=(data.draw(st.integers(least, 20)), data.draw(st.integers(least, 20))),
            filters=groups * data.draw(st.integers(1, 20)),
            window=window,
            stride=data.draw(st.integers(1, 2)),
            padding=padding,
            dilation=dilation,
            groups=groups,
        )
    )


def test_one_plan_for_any_number_of_threads():
    kernel = weight_gradient(8, 1, (32, 32), 6, 5)
    first = render_kernel(kernel, C).text
    assert first == render_kernel(kernel, C).text
    assert "joined in order" in first
    assert program_of(kernel).kernels == (kernel,)


GOLDENS = {
    "linear": matmul(64, 120, 400, right_turned=True, relu=True),
    "product_in_blocks": matmul(300, 500, 1024),
    "convolution": convolution(64, 6, (14, 14), 16, (5, 5)),
    "convolution_padded": convolution(8, 64, (56, 56), 64, (3, 3), padding=1),
    "convolution_by_channel": convolution(1, 32, (7, 7), 32, (3, 3), padding=1, groups=32),
    "input_gradient": input_gradient(64, 6, (14, 14), 16, 5),
    "weight_gradient": weight_gradient(64, 1, (32, 32), 6, 5),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_golden_text(name, update_golden):
    """Schedules are choices: a change of one shows here. Update as in test_goldens.py."""
    text = render_kernel(GOLDENS[name], C).text
    path = Path(__file__).parent / "goldens" / f"contraction_{name}.c"
    if update_golden:
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs"
