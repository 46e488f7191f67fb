"""The driver: entries, barriers, scratch, names, kernels rendered once."""

import re
from dataclasses import replace

import numpy as np
import pytest

from graphc.codegen import CUDA, C, pointer_slots, render_kernel, render_program
from graphc.codegen.canonical import canonical
from graphc.codegen.components import separated
from graphc.dtypes import float32
from graphc.kernel import (
    Axis,
    Buffer,
    Call,
    Combine,
    Const,
    HostStep,
    Kernel,
    Launch,
    Let,
    Load,
    Nest,
    Param,
    Phase,
    Program,
    Reduction,
    Ref,
    Role,
    Schedule,
    Skeleton,
    Store,
)
from graphc.sizes import symbol
from tests.codegen.execution import built, program_of, run_kernel, run_program
from tests.codegen.kernels import LITTLE, call, pointwise, reduced, softmax, updates


def buffer(name, *shape, role=Role.INTERMEDIATE, **places):
    return Buffer(name, float32, shape, role, **places)


def chain(*kernels, name="entry"):
    """Kernels from x to y, each fed by the one before."""
    shape = kernels[0].params[0].shape
    names = ["x", *(f"h{k}" for k in range(len(kernels) - 1)), "y"]
    size = 4 * int(np.prod(shape))
    buffers = [buffer("x", *shape, role=Role.INPUT), buffer("y", *shape, role=Role.OUTPUT)]
    buffers += [buffer(h, *shape, offset=k * size) for k, h in enumerate(names[1:-1])]
    stages = tuple((Launch(k, (names[n], names[n + 1])),) for n, k in enumerate(kernels))
    return Program(name, tuple(buffers), stages, arena_bytes=size * (len(kernels) - 1))


def driver(program):
    return render_program(program, C).units[-1].text


def test_identical_kernels_are_rendered_once():
    other = replace(pointwise(1000), name="again", comments=("somewhere else",))
    source = render_program(chain(pointwise(1000), other), C)
    assert [unit.filename for unit in source.units] == ["double_tanh.c", "program.c"]
    assert source.kernels == {"double_tanh": "double_tanh", "again": "double_tanh"}
    assert source.units[-1].text.count("double_tanh(t, ") == 2


def scaled(factor, source="x", local="h", axis="i", label=""):
    """y = factor * x, with names to choose."""
    at = symbol(axis, 1000)
    value = Let(local, Load(source, at, float32), label)
    doubled = Call("({0} * {1})", (Ref(local, float32), Const(factor, float32)), float32)
    phase = Phase(body=(value,), stores=(Store("y", at, doubled),))
    params = (Param(source, float32, (1000,)), Param("y", float32, (1000,), written=True))
    return Kernel("scaled", params, (Nest((Axis(axis, 1000),), (phase,)),))


def test_names_do_not_tell_kernels_apart():
    assert canonical(scaled(2.0)) == canonical(scaled(2.0, "y0", "value", "j", "net.py:3"))


@pytest.mark.parametrize(("one", "other"), [(0.0, -0.0), (1.0, 1), (1, True), (2.0, 3.0)])
def test_values_tell_kernels_apart(one, other):
    assert canonical(scaled(one)) != canonical(scaled(other))


def test_which_buffer_is_read_tells_kernels_apart():
    def difference(left, right):
        kernel = scaled(1.0)
        at = symbol("i", 1000)
        value = Call("({0} - {1})", (Load(left, at, float32), Load(right, at, float32)), float32)
        phase = Phase(stores=(Store("y", at, value),))
        params = (Param("a", float32, (1000,)), Param("b", float32, (1000,)), kernel.params[1])
        return replace(kernel, params=params, nests=(Nest((Axis("i", 1000),), (phase,)),))

    assert canonical(difference("a", "b")) != canonical(difference("b", "a"))


def test_unlike_kernels_of_one_name_are_told_apart():
    """Program.kernels goes by name, so lowering must name them; files must not collide either."""
    clash = replace(pointwise(1000), name="entry")
    source = render_program(chain(clash, replace(pointwise(500, 3), name="program")), C)
    names = [unit.filename for unit in source.units]
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"(entry|program)_[0-9a-f]{8}\.c", name) for name in names[:2])
    x, y = np.ones(1000, np.float32), np.zeros(1000, np.float32)
    run_program(chain(clash), {"x": x, "y": y})
    np.testing.assert_allclose(y, 2 * np.tanh(x), rtol=1e-6)


@pytest.mark.parametrize("name", ["exp", "double", "main"])
def test_kernels_named_like_something_else(name):
    program = chain(replace(pointwise(1000), name=name))
    x, y = np.ones(1000, np.float32), np.zeros(1000, np.float32)
    run_program(program, {"x": x, "y": y})
    np.testing.assert_allclose(y, 2 * np.tanh(x), rtol=1e-6)


@pytest.mark.parametrize("name", ["exp", "double", "main", "relu"])
def test_programs_named_like_something_else(name):
    program = chain(pointwise(1000), name=name)
    assert render_program(program, C).entries[0].startswith(name)
    x, y = np.ones(1000, np.float32), np.zeros(1000, np.float32)
    run_program(program, {"x": x, "y": y})
    np.testing.assert_allclose(y, 2 * np.tanh(x), rtol=1e-6)


def test_kernel_text_does_not_depend_on_the_program():
    alone = render_program(chain(pointwise(1000)), C).units[0].text
    beside = render_program(chain(softmax(10, 100), pointwise(1000), name="other"), C)
    assert beside.units[1].text == alone == render_kernel(pointwise(1000), C).text


def test_little_work_is_one_thread_without_barriers():
    source = render_program(chain(pointwise(1000, work=LITTLE), pointwise(500, 3, work=LITTLE)), C)
    assert source.threads == 1
    assert "gc_barrier" not in source.units[-1].text
    assert "gc_run(call, entry_body, 1)" in source.units[-1].text


def test_a_short_program_wakes_no_thread(monkeypatch):
    program = chain(pointwise(1000), pointwise(1000))
    assert render_program(program, C).threads > 1
    monkeypatch.setattr("graphc.codegen.program.WORTH_WAKING", 25_000)
    source = render_program(program, C)
    assert source.threads == 1
    assert "gc_barrier" not in source.units[-1].text
    assert render_program(chain(pointwise(1000, 1000), pointwise(1000, 1000)), C).threads > 1


def test_barriers_only_where_threads_depend_on_each_other():
    little = replace(pointwise(1000, work=LITTLE), name="little")
    less = replace(pointwise(500, 3, work=LITTLE), name="less")
    much = pointwise(1000)
    text = driver(chain(much, little, less, much))
    calls = re.findall(r"(\w+)\(t[,)]", text[text.index("_body(") :])
    assert calls == ["double_tanh", "gc_barrier", "little", "less", "gc_barrier", "double_tanh"]


@pytest.mark.parametrize("threads", [1, 2])
def test_intermediates_lie_in_the_arena(threads):
    program = chain(pointwise(30000), pointwise(30000), pointwise(30000))
    x, y = np.linspace(-1, 1, 30000, dtype=np.float32), np.zeros(30000, np.float32)
    run_program(program, {"x": x, "y": y}, threads=threads)
    expected = x
    for _ in range(3):
        expected = 2 * np.tanh(expected)
    np.testing.assert_allclose(y, expected, rtol=3e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_launches_of_a_stage_have_scratch_of_their_own(threads):
    total = reduced(Combine.SUM, (100000,), (), Skeleton.TOTAL)
    names = "abcd"
    buffers = [buffer(n, 100000, role=Role.INPUT, position=k) for k, n in enumerate(names)]
    buffers += [buffer(f"{n}_sum", role=Role.OUTPUT, position=k) for k, n in enumerate(names)]
    stage = tuple(Launch(total, (n, f"{n}_sum")) for n in names)
    program = Program("entry", tuple(buffers), (stage,))
    source = render_program(program, C)
    assert source.shared_bytes == 4 * 64 * 8
    assert source.arena_bytes(2) == source.shared_bytes
    rng = np.random.default_rng(0)
    arrays = {n: rng.random(100000, np.float32) for n in names}
    arrays |= {f"{n}_sum": np.zeros((), np.float32) for n in names}
    run_program(program, arrays, threads=threads)
    for n in names:
        assert arrays[f"{n}_sum"] == pytest.approx(arrays[n].sum(dtype=np.float64), rel=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_nests_of_a_kernel_have_scratch_of_their_own(threads):
    """Two totals side by side in one kernel."""
    one = reduced(Combine.SUM, (100000,), (), Skeleton.TOTAL)
    two = reduced(Combine.MAX, (5, 20000), (), Skeleton.TOTAL)
    (second,) = two.nests
    (phase,) = second.phases
    store = replace(phase.final_stores[0], buffer="top")
    second = replace(second, phases=(replace(phase, final_stores=(store,)),))
    params = (*one.params, Param("top", float32, (), written=True))
    kernel = Kernel("both", params, (*one.nests, second))
    arrays = {
        "x": np.random.default_rng(0).random(100000, np.float32),
        "y": np.zeros((), np.float32),
        "top": np.zeros((), np.float32),
    }
    run_program(program_of(kernel), arrays, threads=threads)
    assert arrays["y"] == pytest.approx(arrays["x"].sum(dtype=np.float64), rel=1e-6)
    assert arrays["top"] == arrays["x"].max()


def test_host_steps_split_the_program():
    program = chain(pointwise(1000), pointwise(1000), pointwise(1000))
    step = HostStep("svd", ("h0",), ("h0",))
    program = replace(
        program, stages=(program.stages[0], (step,), program.stages[1], program.stages[2])
    )
    source = render_program(program, C)
    assert source.entries == ("entry_0", "entry_1")
    first, second = source.units[-1].text.split("GC_EXPORT int64_t entry_0")
    assert first.count("double_tanh(t, ") == 1
    assert second.count("double_tanh(t, ") == 2
    _, library = built(program)
    assert library.library.function("entry_1", "gc_entry *")


def test_pointer_table():
    buffers = (
        buffer("c", role=Role.CONSTANT),
        buffer("o1", role=Role.OUTPUT, position=1),
        buffer("i1", role=Role.INPUT, position=1),
        buffer("h"),
        buffer("o0", role=Role.OUTPUT),
        buffer("i0", role=Role.INPUT),
    )
    slots = pointer_slots(Program("entry", buffers, ()))
    assert slots == {"i0": 0, "i1": 1, "o0": 2, "o1": 3, "c": 4}


def test_empty_program():
    run_program(Program("entry", (), ()), {})


def test_sizes_reach_the_kernels():
    n = symbol("n")
    kernel = softmax(symbol("rows"), 10, sizes=("rows",))
    buffers = (buffer("x", n * 2, 10, role=Role.INPUT), buffer("y", n * 2, 10, role=Role.OUTPUT))
    stage = (Launch(kernel, ("x", "y"), (n * 2,)),)
    program = Program("entry", buffers, (stage,), sizes=("n",))
    for size in (3, 50):
        x, y = np.ones((size * 2, 10), np.float32), np.zeros((size * 2, 10), np.float32)
        run_program(program, {"x": x, "y": y}, {"n": size})
        np.testing.assert_allclose(y, 0.1, rtol=1e-6)


def test_comments_cannot_break_out():
    kernel = replace(pointwise(1000), comments=('x = "*/ int evil; /*"\n#define float int',))
    text = render_kernel(kernel, C).text
    inside = re.search(r"/\* x = .*\*/", text)
    assert inside is not None and inside[0].count("*/") == 1
    assert "\n#define" not in text


def test_line_directives():
    text = render_kernel(pointwise(1000), C, line_directives=True).text
    assert '\n#line 7 "net.py"\n' in text
    assert "#line" not in render_kernel(pointwise(1000), C).text


@pytest.mark.parametrize("threads", [1, 3])
def test_nests_that_are_alike_are_one_function(threads):
    counts = (48000, 120, 10080, 1, 77, 1)
    kernel = updates(*counts)
    text = render_kernel(kernel, C).text
    # Many shared by the threads, few for one thread, single numbers: each is computed once.
    assert text.count("* 0.9f") == text.count("noinline") == 3
    assert text.count("updates__each") == 3 + len(counts)
    random = np.random.default_rng(0)
    arrays = {p.name: np.asarray(random.normal(size=p.shape), np.float32) for p in kernel.params}
    found = {name: array.copy() for name, array in arrays.items()}
    run_kernel(kernel, found, threads=threads)
    for k in range(len(counts)):
        velocity = arrays[f"v{k}"] * np.float32(0.9) + arrays[f"g{k}"]
        np.testing.assert_allclose(found[f"v{k}"], velocity, rtol=1e-5, atol=1e-6)
        expected = arrays[f"w{k}"] - arrays["lr"] * velocity
        np.testing.assert_allclose(found[f"w{k}"], expected, rtol=1e-5, atol=1e-6)


def column_sums(rows: int, columns: int, pairs: int) -> Kernel:
    """Sums of columns of several matrices, and of products with another matrix, in one nest."""
    i, j = Axis("i", columns), Axis("j", rows)
    params, reductions, stores = [], [], []
    for k in range(pairs):
        x, y = (Load(f"{name}{k}", j.index * columns + i.index, float32) for name in "xy")
        product = call("({0} * {1})", x, y)
        reductions += [
            Reduction(f"sum{k}", Combine.SUM, x, float32),
            Reduction(f"product{k}", Combine.SUM, product, float32),
        ]
        stores += [
            Store(f"s{k}", i.index, Ref(f"sum{k}", float32)),
            Store(f"p{k}", i.index, Ref(f"product{k}", float32)),
        ]
        params += [Param(f"{name}{k}", float32, (rows, columns)) for name in "xy"]
        params += [Param(f"{name}{k}", float32, (columns,), written=True) for name in "sp"]
    phase = Phase((j,), reductions=tuple(reductions), final_stores=tuple(stores))
    schedule = Schedule(Skeleton.COLUMNS, 4 * pairs * rows * columns)
    return Kernel("column_sums", tuple(params), (Nest((i,), (phase,), schedule),))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("rows", "columns"), [(200, 96), (10, 7)])
def test_sums_with_nothing_in_common_are_nests_of_their_own(rows, columns, threads):
    kernel = column_sums(rows, columns, 5)
    text = render_kernel(kernel, C).text
    assert text.count("column_sums__each(") == 1 + 5
    random = np.random.default_rng(0)
    arrays = {p.name: np.asarray(random.normal(size=p.shape), np.float32) for p in kernel.params}
    run_kernel(kernel, arrays, threads=threads)
    for k in range(5):
        x, y = arrays[f"x{k}"].astype(np.float64), arrays[f"y{k}"]
        np.testing.assert_allclose(arrays[f"s{k}"], x.sum(0), rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(arrays[f"p{k}"], (x * y).sum(0), rtol=1e-5, atol=1e-4)


def test_sums_that_meet_stay_together():
    (nest,) = column_sums(200, 96, 5).nests
    assert len(separated(nest)) == 5
    (phase,) = nest.phases
    # Of the same matrix, or stored as one value.
    same = tuple(
        replace(r, expr=Load("x0", r.expr.index, float32)) if isinstance(r.expr, Load) else r
        for r in phase.reductions
    )
    found = separated(replace(nest, phases=(replace(phase, reductions=same),)))
    assert sorted(len(n.phases[0].reductions) for n in found) == [1, 1, 1, 1, 6]
    total = call("({0} + {1})", Ref("sum0", float32), Ref("product3", float32))
    stores = (*phase.final_stores[1:], replace(phase.final_stores[0], expr=total))
    assert len(separated(replace(nest, phases=(replace(phase, final_stores=stores),)))) == 4
    few = replace(phase, reductions=phase.reductions[:4], final_stores=phase.final_stores[:4])
    assert separated(replace(nest, phases=(few,))) == (replace(nest, phases=(few,)),)


def test_nests_with_other_constants_are_functions_of_their_own():
    kernel = updates(48000, 10080)
    first, second = kernel.nests
    (phase,) = second.phases
    (let,) = phase.body
    half = replace(let, expr=call("({0} * {1})", let.expr, Const(0.5, float32)))
    other = replace(second, phases=(replace(phase, body=(half,)),))
    assert "noinline" not in render_kernel(replace(kernel, nests=(first, other)), C).text


def test_small_nests_are_spread_over_threads():
    text = render_kernel(updates(100000, 100, 200, 300), C).text
    assert re.findall(r"t->tid == (\d) % t->nthreads", text) == ["0", "1", "2"]
    assert "return;" in render_kernel(updates(100, 200), C).text


def test_cuda_program_is_its_kernels():
    source = render_program(chain(pointwise(1000), softmax(10, 100)), CUDA)
    assert [unit.filename for unit in source.units] == ["double_tanh.cu", "softmax.cu"]
    assert source.entries == ()
