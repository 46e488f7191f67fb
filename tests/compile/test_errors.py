"""What goes wrong: messages that name the user's line, and everything usable afterwards."""

import signal
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

import graphc as torch
from graphc import nn
from graphc.modes import MODES
from tests.compile.comparing import assert_same


def line_of(marker: str) -> str:
    """``file:line`` of the line of this file with a comment."""
    lines = Path(__file__).read_text().splitlines()
    number = next(i for i, text in enumerate(lines, 1) if text.endswith(f"# {marker}"))
    return f"{Path(__file__).name}:{number}"


# --------------------------------------------------------------------------------- values needed


@pytest.mark.parametrize(
    "use",
    [
        lambda y: bool(y > 0),
        lambda y: float(y),
        lambda y: int(y),
        lambda y: y.tolist(),
        lambda y: y.numpy(),
        lambda y: "yes" if y > 0 else "no",
        lambda y: [1, 2][y.to(torch.int64)],
    ],
    ids=["bool", "float", "int", "tolist", "numpy", "if", "index"],
)
def test_value_needed(use: Any) -> None:
    @torch.compile(fullgraph=True)
    def f(x: Any) -> Any:
        y = x.sum()
        return use(y)

    with pytest.raises(RuntimeError, match="only its shape and dtype are known") as caught:
        f(torch.ones(3))
    assert Path(__file__).name in str(caught.value)
    assert "graphc.where" in str(caught.value)
    assert MODES.trace is None and MODES.grad is True


def test_value_needed_names_the_line() -> None:
    @torch.compile(fullgraph=True)
    def f(x: Any) -> Any:
        if x.sum() > 0:  # the line
            return x
        return -x

    with pytest.raises(RuntimeError) as caught:
        f(torch.ones(3))
    assert line_of("the line") in str(caught.value)


def test_traced_tensor_that_escapes() -> None:
    kept: dict[str, Any] = {}

    class Box:
        __slots__ = ("content",)

    box = Box()

    @torch.compile
    def f(x: Any) -> Any:
        box.content = x * 2  # the escape
        return x

    f(torch.ones(3))
    kept["y"] = box.content
    with pytest.raises(RuntimeError, match="left it other than by return") as caught:
        kept["y"] + 1
    assert line_of("the escape") in str(caught.value)


def test_object_with_tensors_as_result() -> None:
    class Box:
        def __init__(self, content: Any) -> None:
            self.content = content

    f = torch.compile(lambda x: Box(x * 2))
    with pytest.raises(RuntimeError, match="returns a Box that holds tensors"):
        f(torch.ones(3))


def test_arguments_that_are_changed() -> None:
    f = torch.compile(lambda xs, table: xs.append(table["x"]))
    with pytest.raises(RuntimeError, match="changes a list or dict among its arguments"):
        f([torch.ones(2)], {"x": torch.ones(2)})


# ------------------------------------------------------------------------------------- bad shapes


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda x, y: x + y, [(2, 3), (2, 4)]),
        (lambda x, y: x @ y, [(2, 3), (2, 4)]),
        (lambda x, y: x.view(7), [(2, 3), (1,)]),
        (lambda x, y: torch.cat([x, y]), [(2, 3), (2, 4)]),
        (lambda x, y: x[5], [(2, 3), (1,)]),
        (lambda x, y: x.sum(4), [(2, 3), (1,)]),
        (lambda x, y: x.add_(y), [(2, 3), (5, 2, 3)]),
        (lambda x, y: nn.functional.linear(x, y), [(2, 3), (4, 5)]),
    ],
)
def test_shape_errors_are_those_of_eager(function: Any, shapes: Any) -> None:
    raised = []
    for life in (function, torch.compile(function)):
        with pytest.raises((RuntimeError, IndexError, ValueError)) as caught:
            life(*(torch.ones(*shape) for shape in shapes))
        raised.append(caught.value)
    eager, compiled = raised
    assert type(eager) is type(compiled)
    assert str(eager) == str(compiled)
    assert Path(__file__).name in str(compiled)


def test_index_out_of_range() -> None:
    def f(x: Any, i: Any) -> Any:
        return x[i] * 2  # the index

    compiled = torch.compile(f)
    x = torch.arange(5.0)
    for _ in range(2):
        assert_same(compiled(x, torch.tensor([4, -5])), f(x, torch.tensor([4, -5])))
        for bad in (5, -6):
            for life in (f, compiled):
                with pytest.raises(IndexError, match=f"index {bad} is out of bounds") as caught:
                    life(x, torch.tensor([0, bad]))
                assert line_of("the index") in str(caught.value)
    assert len(compiled.receipts) == 1


# ------------------------------------------------------------------------------------- exceptions


def test_exceptions_of_the_function() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.h = torch.zeros(2)
            self.calls = 0

        def forward(self, x: Any, fail: bool) -> Any:
            self.h = self.h + x
            self.calls += 1
            if fail:
                raise KeyError("mine")
            return self.h

    net = Odd()
    compiled = torch.compile(net)
    with torch.no_grad(), pytest.raises(KeyError, match="mine"):
        compiled(torch.ones(2), True)
    assert MODES.trace is None
    assert_same(net.h, torch.zeros(2))
    assert_same(compiled(torch.ones(2), False), torch.ones(2))
    assert_same(net.h, torch.ones(2))
    assert net.calls == 1


def test_warnings_and_prints_happen_while_tracing(capsys: pytest.CaptureFixture[str]) -> None:
    @torch.compile
    def f(x: Any) -> Any:
        print("tracing", tuple(x.shape))
        return x

    f(torch.ones(2))
    f(torch.ones(2))
    assert capsys.readouterr().out == "tracing (2,)\n"


# -------------------------------------------------------------------------------------- interrupts


def interrupt_after(seconds: float) -> threading.Thread:
    def run() -> None:
        time.sleep(seconds)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


# An interrupt may also land in a callback of the test tools, which can only report it.
@pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")
def test_interrupt_while_compiling() -> None:
    def f(x: Any) -> Any:
        y = x
        for _ in range(5):
            y = (y @ x).softmax(-1).tanh()
        return y

    compiled = torch.compile(f)
    x = torch.ones(6, 6)
    interrupted = 0
    for delay in (0.005, 0.02, 0.05, 0.1, 0.15):
        other = torch.compile(f)
        thread = interrupt_after(delay)
        try:
            try:
                other(x + delay)
            finally:
                thread.join()
                time.sleep(0.01)
        except KeyboardInterrupt:
            interrupted += 1
        assert MODES.trace is None
        assert_same(other(x), f(x))
    assert interrupted >= 1
    assert_same(compiled(x), f(x))


@pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")
def test_interrupt_while_running() -> None:
    f = torch.compile(lambda x, y: (x @ y).tanh())
    x = torch.rand(300, 300)
    expected = f(x, x)
    interrupted = 0
    for _ in range(3):
        thread = interrupt_after(0.05)
        try:
            end = time.monotonic() + 1
            while time.monotonic() < end:
                f(x, x)
        except KeyboardInterrupt:
            interrupted += 1
        thread.join()
        assert_same(f(x, x), expected)
    assert interrupted == 3
    assert len(f.receipts) == 1


# -------------------------------------------------------------------------------------- compilers


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphc.backends.c import compiler

    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("GRAPHC_CC", raising=False)
    monkeypatch.setitem(sys.modules, "ziglang", None)
    for name in dir(compiler):
        clear = getattr(getattr(compiler, name), "cache_clear", None)
        if clear is not None:
            clear()
    yield
    for name in dir(compiler):
        clear = getattr(getattr(compiler, name), "cache_clear", None)
        if clear is not None:
            clear()


@pytest.mark.usefixtures("no_compiler")
def test_no_compiler_means_eager_with_one_warning() -> None:
    f = torch.compile(lambda x: x * 2)
    with pytest.warns(UserWarning, match="ziglang|graphc\\[cc\\]") as caught:
        assert_same(f(torch.ones(3)), torch.full((3,), 2.0))
    assert "runs eagerly" in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(f(torch.ones(4)), torch.full((4,), 2.0))
    assert f.receipts == []


def test_compiler_error_keeps_the_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from graphc.backends.c import CompileError, find_compiler, open_cache

    command = " ".join(find_compiler(open_cache()).command)
    broken = tmp_path / "cc"
    broken.write_text(
        "#!/bin/sh\n"
        'case " $* " in *" -c "*) echo "x.c:1:2: error: out of ideas" >&2; exit 1;; esac\n'
        f'exec {command} "$@"\n'
    )
    broken.chmod(0o755)
    monkeypatch.setenv("GRAPHC_CC", str(broken))
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(tmp_path / "cache"))
    f = torch.compile(lambda x: x * 2.25)
    with pytest.raises(CompileError, match="out of ideas") as caught:
        f(torch.ones(3))
    kept = [word for word in str(caught.value).split() if word.endswith(".c") and "/" in word]
    assert kept and Path(kept[-1]).exists()
    monkeypatch.delenv("GRAPHC_CC")
    assert_same(f(torch.ones(3)), torch.full((3,), 2.25))


def test_unwritable_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("not a folder")
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(place))
    f = torch.compile(lambda x: x * 3)
    with pytest.warns(RuntimeWarning, match="temporary folder"):
        assert_same(f(torch.ones(3)), torch.full((3,), 3.0))
