"""Errors carry the operation, its operands, the user's line and a hint."""

import copy
import inspect
import pickle
import textwrap
from types import SimpleNamespace

import pytest

from graphc import dtypes, errors
from graphc.errors import Location, located, unknown_name, user_location

MATRIX = SimpleNamespace(dtype=dtypes.float32, shape=(2, 3))
VECTOR = SimpleNamespace(dtype=dtypes.int64, shape=(4,))


def test_the_message_names_operation_operands_line_and_hint():
    error = errors.ShapeError("sizes 3 and 4 do not match", hint="transpose one of them")
    here = located(error, "add", MATRIX, VECTOR)
    line = inspect.currentframe().f_lineno - 1
    assert here is error
    assert str(error) == (
        "sizes 3 and 4 do not match\n"
        f"  in add of f32[2, 3] and i64[4], at {error.location}"
        " in test_the_message_names_operation_operands_line_and_hint\n"
        "  hint: transpose one of them"
    )
    assert error.location.line == line
    assert error.location.file == __file__


def test_an_error_is_located_once():
    error = located(located(RuntimeError("no"), "inner"), "outer")
    assert "in inner" in str(error) and "outer" not in str(error)


@pytest.mark.parametrize(
    ("ours", "pytorchs"),
    [
        (errors.ShapeError, RuntimeError),
        (errors.DtypeError, RuntimeError),
        (errors.DimensionError, IndexError),
        (errors.GraphError, RuntimeError),
        (errors.TraceError, RuntimeError),
    ],
)
def test_each_class_is_what_pytorch_raises(ours, pytorchs):
    with pytest.raises(pytorchs, match="what"):
        raise ours("what", hint="do this")
    error = located(ours("what"), "add")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.location) == (ours, str(error), error.location)


def test_built_in_errors_keep_their_type():
    error = located(IndexError("index 7 is out of range"), "take", VECTOR, 7)
    assert type(error) is IndexError
    assert str(error).startswith("index 7 is out of range\n  in take of i64[4] and 7, at ")


def test_arguments_that_are_no_message_are_kept():
    error = located(KeyError("name"), "lookup")
    assert error.args == ("name",)
    assert error.location.file == __file__
    missing = located(OSError(2, "No such file"), "load")
    assert (missing.errno, missing.args) == (2, (2, "No such file"))


def test_long_operands_are_shortened():
    assert errors.describe("x" * 100) == "'" + "x" * 56 + "..."


def inside_graphc(function):
    """Calls ``function`` from code that claims to lie in the package."""
    source = "def call(function):\n    return function()\n"
    namespace = {}
    exec(compile(source, errors.__file__.replace("errors.py", "imagined.py"), "exec"), namespace)
    return namespace["call"](function)


def test_the_line_is_the_innermost_outside_of_the_package():
    where = inside_graphc(user_location)
    assert (where.file, where.function) == (__file__, inside_graphc.__name__)


def test_frames_of_the_standard_library_are_passed_over():
    """copy.deepcopy is called here and calls into the package: the line is here, not in copy.py."""
    namespace = {"user_location": user_location}
    source = "def __deepcopy__(self, memo):\n    return user_location()\n"
    exec(compile(source, errors.__file__, "exec"), namespace)
    copied = type("Copied", (), {"__deepcopy__": namespace["__deepcopy__"]})
    where = copy.deepcopy(copied())
    assert where.file == __file__
    assert where.function == "test_frames_of_the_standard_library_are_passed_over"


def test_installed_packages_are_users_too():
    """Only graphc and the standard library are passed over."""
    namespace = {"user_location": user_location}
    library = errors._LIBRARY + "site-packages/somebody/model.py"
    exec(compile("def f():\n    return user_location()\n", library, "exec"), namespace)
    assert namespace["f"]().file == library


def test_a_user_program_below_the_working_folder_has_a_short_name(tmp_path, monkeypatch):
    script = tmp_path / "examples" / "train.py"
    script.parent.mkdir()
    script.write_text(
        textwrap.dedent(
            """
            from graphc.errors import user_location

            def step():
                return user_location()
            """
        )
    )
    namespace = {}
    exec(compile(script.read_text(), str(script), "exec"), namespace)
    where = namespace["step"]()
    monkeypatch.chdir(tmp_path)
    assert str(where) == "examples/train.py:5"
    assert where.text == "return user_location()"
    monkeypatch.chdir("/")
    assert str(where).endswith("train.py:5")


def test_a_location_without_a_file_has_no_text():
    assert Location("<stdin>", 1, "<module>").text == ""


def test_an_unknown_name_suggests_the_nearest():
    error = unknown_name("module 'graphc'", "softmaxx", ["softmax", "softmin", "_softmaxx"])
    assert isinstance(error, AttributeError)
    assert str(error) == "module 'graphc' has no attribute 'softmaxx'; did you mean 'softmax'?"
    assert error.name == "softmaxx"
    assert str(unknown_name("module 'graphc'", "zzz", ["softmax"])).endswith("'zzz'")
