"""The profiler: what it counts, how times add up, schedules, tables and traces."""

import json
import sys
import threading

import pytest

import graphc
from graphc.profiler import ProfilerAction, profile, record_function, schedule


def program(x):
    with record_function("forward"):
        y = graphc.nn.functional.linear(x, x)
        with record_function("inner"):
            y = y.relu()
    return y.exp()


def counted(recorded):
    return {row.key: row.count for row in recorded.key_averages()}


def test_operations_are_counted_under_their_names():
    x = graphc.ones(3, 3)
    program(x)
    with profile() as p:
        program(x)
        program(x)
    counts = counted(p)
    assert {k: counts[k] for k in ("linear", "relu", "exp", "forward", "inner")} == dict.fromkeys(
        ("linear", "relu", "exp", "forward", "inner"), 2
    )
    program(x)
    assert counted(p) == counts
    assert sys.getprofile() is None


def test_times_add_up():
    with profile() as p:
        program(graphc.ones(50, 50))
    events = p.events()
    for event in events:
        inside = [e for e in events if e.parent is event]
        assert 0 <= event.self_cpu_time_total <= event.cpu_time_total
        assert event.children == pytest.approx(sum(e.cpu_time_total for e in inside))
        assert all(event.start <= e.start <= e.end <= event.end for e in inside)
    outermost = sum(e.cpu_time_total for e in events if e.parent is None)
    assert p.self_cpu_time_total == pytest.approx(outermost)
    rows = {row.key: row for row in p.key_averages()}
    assert rows["forward"].cpu_time_total > rows["linear"].cpu_time_total
    assert p.total_average().count == len(events)


def test_gradients_and_exceptions():
    x = graphc.ones(3, 3, requires_grad=True)
    with profile() as p:
        program(x).sum().backward()
        with pytest.raises(RuntimeError):
            x @ graphc.ones(2, 2)
    assert counted(p)["exp"] == 1
    assert all(event.end >= event.start for event in p.events())
    assert sys.getprofile() is None


def test_compiled_functions_are_one_call():
    compiled = graphc.compile(program)
    x = graphc.ones(4, 4)
    with profile() as p:
        compiled(x)
    assert counted(p) == {"compiled program": 1}  # nothing of what tracing does
    with profile() as p:
        compiled(x)
        compiled(x).exp()
    assert counted(p) == {"compiled program": 2, "exp": 1}


def test_the_table():
    with profile(record_shapes=True) as p:
        program(graphc.ones(3, 3))
    table = p.key_averages(group_by_input_shape=True).table(sort_by="self_cpu_time_total")
    lines = table.splitlines()
    assert lines[1].split() == ["Name", "Self", "CPU", "%", "Self", "CPU", "CPU", "total", "%",
                                "CPU", "total", "CPU", "time", "avg", "#", "of", "Calls",
                                "Input", "Shapes"]  # fmt: skip
    assert len({len(line) for line in lines[:-1]}) == 1
    assert lines[-1].startswith("Self CPU time total: ")
    assert "[[3, 3], [3, 3]]" in table
    rows = p.key_averages()
    times = [r.self_cpu_time_total for r in rows]
    first = rows.table(sort_by="self_cpu_time_total", row_limit=1, header="mine").splitlines()
    assert first[0] == "mine" and len(first) == 4 + 1 + 2
    assert first[4].split()[0] == rows[times.index(max(times))].key
    assert rows.table(sort_by="cuda_time_total")  # zero for all
    assert str(rows) == rows.table()


def test_decorated_functions_and_other_threads():
    @record_function("named")
    def work(x):
        return x + 1

    def elsewhere():
        work(graphc.ones(1)).exp()

    assert work(graphc.ones(1)).item() == 2
    with profile() as p:
        work(graphc.ones(1))
        thread = threading.Thread(target=lambda: graphc.ones(1).exp())
        thread.start()
        thread.join()
    assert counted(p)["named"] == 1
    assert "exp" not in counted(p)
    elsewhere()


def test_schedules():
    plan = schedule(wait=1, warmup=1, active=2, repeat=2, skip_first=1)
    names = [plan(step).name for step in range(11)]
    cycle = ["NONE", "WARMUP", "RECORD", "RECORD_AND_SAVE"]
    assert names == ["NONE", *cycle, *cycle, "NONE", "NONE"]
    ready = []
    plan = schedule(wait=1, warmup=0, active=2)
    with profile(
        schedule=plan, on_trace_ready=lambda p: ready.append((p.step_num, counted(p)))
    ) as p:
        for step in range(6):
            (graphc.ones(1).exp() if step % 3 else graphc.ones(1).sin())
            p.step()
    assert [number for number, _ in ready] == [3, 6]
    assert all(found["exp"] == 2 and "sin" not in found for _, found in ready)
    with pytest.raises(AssertionError, match="Invalid profiler schedule"):
        schedule(wait=0, warmup=0, active=0)
    assert schedule(wait=0, warmup=0, active=1)(5) is ProfilerAction.RECORD_AND_SAVE


def test_traces_are_written(tmp_path):
    handler = graphc.profiler.tensorboard_trace_handler(str(tmp_path / "log"), "worker")
    with profile(on_trace_ready=handler, record_shapes=True):
        program(graphc.ones(3, 3))
    (path,) = (tmp_path / "log").glob("worker.*.pt.trace.json")
    events = json.loads(path.read_text())["traceEvents"]
    (linear,) = [e for e in events if e["name"] == "linear"]
    assert linear["args"]["Input Dims"] == [[3, 3], [3, 3]] and linear["dur"] > 0


def test_profilers_do_not_nest_and_the_older_place_has_its_arguments():
    with profile(), pytest.raises(RuntimeError, match="do not nest"):
        profile().start()
    with graphc.autograd.profiler.profile(use_cuda=False, enabled=False) as p:
        program(graphc.ones(2, 2))
    assert not p.events()
    named = graphc.autograd.profiler.record_function("mine")
    with graphc.autograd.profiler.profile(use_cuda=False) as p, named:
        program(graphc.ones(2, 2))
    assert "mine" in str(p)
