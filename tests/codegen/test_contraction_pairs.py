"""Contractions of bfloat16 where the CPU multiplies pairs of it: sums are those of float32."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.backends.c.cache import open_cache
from graphc.backends.c.compiler import find_compiler
from graphc.codegen import C, render_kernel
from graphc.dtypes import bfloat16, float16, float32
from graphc.expressions import rounding
from graphc.kernel import Call, Const, Kernel, Let, Ref
from graphc.sizes import symbol
from tests.codegen import execution
from tests.codegen.against_numpy import arrays_for, check
from tests.codegen.contractions import call, convolution, matmul
from tests.codegen.execution import built, run_kernel

PAIRS = replace(C, bf16_pairs=True)
TURNED = [(False, False), (False, True), (True, False), (True, True)]


@pytest.fixture(scope="module", autouse=True)
def pairs() -> Iterator[None]:
    if not find_compiler(open_cache()).bf16_pairs:
        pytest.skip("this CPU does not multiply bfloat16")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "C", PAIRS)
        built.cache_clear()
        yield
    built.cache_clear()


def product(*size, **options) -> Kernel:
    """A product of bfloat16 that leaves its sums in float32: rounding them hides nothing."""
    return matmul(*size, kind=bfloat16, result=float32, **options)


def in_pairs(kernel: Kernel) -> bool:
    return "gc_add_bf16x32" in render_kernel(kernel, PAIRS).text


@pytest.mark.parametrize("turned", TURNED)
@pytest.mark.parametrize(
    "size",
    [
        (1, 17, 5),
        (17, 1, 5),
        (5, 7, 2),
        (5, 7, 3),
        (16, 16, 16),
        (64, 120, 400),
        (33, 65, 129),
        (6, 200, 31),
        (200, 6, 31),
        (130, 50, 1401),
        (250, 190, 1030),
        (1, 1, 5001),
        (3, 2, 9000),
        (500, 1, 301),
        (1, 500, 300),
        (64, 64, 4097),
    ],
)
def test_matmul(size, turned):
    kernel = product(*size, left_turned=turned[0], right_turned=turned[1], relu=True)
    assert in_pairs(kernel)
    check(kernel)


@pytest.mark.parametrize("turned", TURNED)
@pytest.mark.parametrize("size", [(40, 70, 20), (7, 130, 301), (130, 7, 600)])
def test_matmul_stored_transposed(size, turned):
    check(product(*size, left_turned=turned[0], right_turned=turned[1], out_turned=True))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("size", [(8, 64, 64, 32), (3, 5, 7, 11), (20, 33, 17, 601), (2, 1, 1, 3)])
def test_batched_matmul(size, shared):
    batch, *rest = size
    check(product(*rest, batch=batch, shared_right=shared))
    check(product(*rest, batch=batch, shared_right=shared, right_turned=True))


def test_one_step_is_no_pair():
    assert not in_pairs(product(40, 50, 1))
    check(product(40, 50, 1))


def test_other_types_are_no_pairs():
    assert not in_pairs(matmul(40, 50, 60))
    assert not in_pairs(matmul(40, 50, 60, kind=float16))
    assert not in_pairs(matmul(40, 50, 60, stored=bfloat16)), "products of float32 were asked for"


def test_only_where_the_target_has_them():
    """For other CPUs, packing converts to float."""
    text = render_kernel(product(64, 120, 400, right_turned=True), C).text
    assert "gc_pack_across_f32x16_from_bf16" in text
    assert "bf16x32" not in text


@pytest.mark.parametrize("turned", TURNED)
@pytest.mark.parametrize("size", [(33, 65, 129), (20, 50, 600)])
def test_rounded_floats(size, turned):
    """What autocasting makes of parameters: packing rounds them."""
    kernel = product(*size, left_turned=turned[0], right_turned=turned[1])
    (nest,) = kernel.nests
    rhs = Call(rounding(bfloat16), (replace(nest.rhs, dtype=float32),), bfloat16)
    params = tuple(replace(p, dtype=float32) if p.name == "y" else p for p in kernel.params)
    kernel = replace(kernel, params=params, nests=(replace(nest, rhs=rhs),))
    assert in_pairs(kernel)
    assert "from_f32" in render_kernel(kernel, PAIRS).text
    check(kernel)


@pytest.mark.parametrize("depth", [128, 129])
def test_prologue_with_statements(depth):
    """Elements that are computed are computed for both halves of a pair."""
    kernel = product(40, 70, depth, left_turned=True)
    (nest,) = kernel.nests
    text = rounding(bfloat16)
    body = (Let("doubled", call("({0} * {1})", nest.lhs, Const(2.0, bfloat16), kind=bfloat16)),)
    larger = call("gc_max_f32({0}, {1})", Ref("doubled", bfloat16), Const(0.5, bfloat16))
    lhs = Call(text, (larger,), bfloat16)
    kernel = replace(kernel, nests=(replace(nest, lhs=lhs, lhs_body=body),))
    assert in_pairs(kernel)
    check(kernel)


@pytest.mark.parametrize("fixed", [(), ("rows",), ("cols", "depth")])
def test_sizes_known_when_it_runs(fixed):
    every = ("rows", "cols", "depth")
    names = tuple(name for name in every if name not in fixed)
    kernel = product(*(96 if name in fixed else symbol(name) for name in every), sizes=names)
    for sizes in ((5, 7, 3), (1, 1, 1), (150, 200, 301), (30, 40, 0), (0, 5, 3), (6, 0, 2)):
        check(kernel, {s: size for s, size in zip(every, sizes, strict=True) if s in names})


@pytest.mark.parametrize(
    "shape",
    [
        dict(batch=4, channels=1, size=(32, 32), filters=6, window=(5, 5)),
        dict(batch=4, channels=6, size=(14, 14), filters=16, window=(5, 5)),
        dict(batch=2, channels=16, size=(20, 20), filters=16, window=(3, 3), padding=1),
        dict(batch=2, channels=5, size=(21, 21), filters=16, window=(3, 3), padding=1, stride=2),
        dict(batch=2, channels=6, size=(9, 12), filters=6, window=(3, 3), padding=1, groups=6),
        dict(batch=2, channels=3, size=(9, 12), filters=8, window=(2, 3), padding=2, dilation=2),
    ],
    ids=str,
)
def test_convolution(shape):
    kernel = convolution(**shape, kind=bfloat16, result=float32)
    assert in_pairs(kernel)
    check(kernel)
    for stored in (bfloat16, float16):  # without pairs
        other = convolution(**shape, kind=stored, result=float32)
        assert "bf16x32" not in render_kernel(other, C).text


def test_not_a_number_stays_in_its_row_and_column():
    kernel = product(20, 30, 41)
    arrays = arrays_for(kernel)
    arrays["x"][0, 3, 40] = np.nan  # alone in its pair
    arrays["y"][0, 7, 11] = np.inf
    run_kernel(kernel, arrays)
    bad = ~np.isfinite(arrays["out"][0])
    expected = np.zeros((20, 30), bool)
    expected[3, :] = True
    expected[:, 11] = True
    np.testing.assert_array_equal(bad, expected)


def test_subnormal_numbers_count_as_zero():
    kernel = product(4, 16, 6)
    arrays = arrays_for(kernel)
    arrays["x"][:] = 1e-39
    arrays["y"][:] = 3e38
    arrays["bias"][:] = 0
    run_kernel(kernel, arrays)
    np.testing.assert_array_equal(arrays["out"], 0)


@settings(max_examples=25)
@given(
    st.tuples(*[st.integers(1, 70)] * 3),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.integers(1, 4),
)
def test_any_matmul(size, turned, batch):
    left, right, out = turned
    check(product(*size, batch=batch, left_turned=left, right_turned=right, out_turned=out))


GOLDENS = {
    "pairs": product(64, 120, 401, right_turned=True, relu=True),
    "pairs_dot": product(2, 3, 5001, right_turned=True),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_golden_text(name, update_golden):
    text = render_kernel(GOLDENS[name], PAIRS).text
    path = Path(__file__).parent / "goldens" / f"contraction_{name}.c"
    if update_golden:
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs"
