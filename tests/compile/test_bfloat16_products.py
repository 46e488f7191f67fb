"""Compiled products of bfloat16 against eager products in float32 of the same numbers."""

import platform

import pytest

import graphc
import graphc.nn.functional as F
from graphc import nn
from graphc.backends.c import find_compiler, open_cache

UNIT = 2.0**-7  # between neighbouring bfloat16 numbers, relative, at most


def close(actual, expected, terms):
    """Within a rounding of the result, and of float32 sums of so many terms."""
    assert actual.dtype is graphc.bfloat16
    expected = expected.float()
    scale = expected.abs().max().item()
    apart = (actual.float() - expected).abs()
    allowed = UNIT / 2 * expected.abs() + terms * 2.0**-24 * scale
    assert (apart <= allowed * 1.01).all(), (apart - allowed).max()


def numbers(*shape):
    return graphc.randn(*shape).to(graphc.bfloat16)


def run(function, *operands, terms):
    graphc.manual_seed(0)
    compiled = graphc.compile(function)
    actual = compiled(*operands)
    close(actual, function(*(x.float() for x in operands)), terms)
    return compiled


PRODUCTS = {
    "odd": (lambda a, b: a @ b, (100, 77), (77, 33)),
    "one step": (lambda a, b: a @ b, (30, 1), (1, 20)),
    "transposed": (lambda a, b: a.mT @ b.mT, (41, 50), (30, 41)),
    "a row of every other": (lambda a, b: a[:, ::2] @ b[1::3], (20, 80), (120, 30)),
    "part of longer rows": (lambda a, b: a[:, 3:36] @ b[:33, 5:], (20, 40), (40, 30)),
    "expanded": (lambda a, b: a.expand(9, 20, 31) @ b, (1, 20, 31), (9, 31, 17)),
    "one value for all": (lambda a, b: a.expand(20, 65) @ b, (1, 1), (65, 17)),
    "batches": (lambda a, b: graphc.bmm(a, b.mT), (5, 20, 31), (5, 17, 31)),
    "batches of two": (lambda a, b: a @ b, (3, 1, 20, 31), (2, 31, 17)),
    "a vector": (lambda a, b: a @ b, (300, 257), (257,)),
    "two vectors": (lambda a, b: graphc.dot(a, b), (3001,), (3001,)),
    "several letters": (
        lambda a, b: graphc.einsum("bqhd,bkhd->bhqk", a, b),
        (2, 9, 3, 16),
        (2, 11, 3, 16),
    ),
    "two letters summed": (
        lambda a, b: graphc.einsum("xij,yij->xy", a, b),
        (20, 5, 7),
        (30, 5, 7),
    ),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name):
    function, left, right = PRODUCTS[name]
    graphc.manual_seed(0)
    run(function, numbers(*left), numbers(*right), terms=3001)


@pytest.mark.parametrize("shape", [(64, 120, 40), (33, 65, 129)])
def test_linear_with_relu(shape):
    """The sum takes the bias in float32 and is rounded once; the factors stay bfloat16."""
    rows, out, depth = shape
    graphc.manual_seed(0)
    x, weight, bias = numbers(rows, depth), numbers(out, depth), numbers(out)
    compiled = run(lambda x, w, b: F.relu(F.linear(x, w, b)), x, weight, bias, terms=depth)
    assert ("gc_add_bf16x32" in str(compiled.source)) == find_compiler(open_cache()).bf16_pairs


def test_gradients():
    graphc.manual_seed(0)
    x, weight, grad = numbers(37, 51), numbers(51, 29), numbers(37, 29)

    @graphc.compile
    def gradients(x, weight, grad):
        x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
        return graphc.autograd.grad(x @ weight, (x, weight), grad)

    of_x, of_weight = gradients(x, weight, grad)
    close(of_x, grad.float() @ weight.float().mT, 29)
    close(of_weight, x.float().mT @ grad.float(), 37)


def test_autocast_rounds_parameters_while_packing():
    graphc.manual_seed(0)
    layer = nn.Linear(51, 40, bias=False)
    x = graphc.randn(30, 51)

    @graphc.compile
    def forward(x):
        with graphc.autocast("cpu", dtype=graphc.bfloat16):
            return layer(x)

    rounded = [v.to(graphc.bfloat16).float() for v in (x, layer.weight.detach())]
    close(forward(x).detach(), rounded[0] @ rounded[1].mT, 51)


def test_the_instruction_is_used_where_there_is_one(monkeypatch):
    def source():
        operands = numbers(64, 70), numbers(70, 60)
        return str(run(lambda a, b: a @ b, *operands, terms=70).source)

    compiler = find_compiler(open_cache())
    assert ("gc_add_bf16x32" in source()) == compiler.bf16_pairs
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("the option is for x86")
    command = " ".join(compiler.command)
    monkeypatch.setenv("GRAPHC_CC", f"{command} -mno-avx512bf16")
    if find_compiler(open_cache()).bf16_pairs:
        pytest.skip(f"{compiler.title} does not take the option")
    assert "gc_add_bf16x32" not in source()
