"""Every rule of the tables fires on a program of its own, and keeps every bit of the result."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc import dtypes
from graphc.errors import GraphError
from graphc.ir import CONSTANT, Graph, Literal, TensorType
from graphc.passes import decompose as decomposition
from graphc.passes import fold, simplify
from graphc.passes.decompose import composites, decompose
from graphc.rewrite import Rule, Table, rewrite
from tests.passes.programs import arguments, assert_same_values, full, op, program

F = dtypes.float32
I = dtypes.int32  # noqa: E741
B = dtypes.bool_
REGION = {"starts": (1, 0), "stops": (3, 4), "steps": (1, 1)}
WHOLE = {"starts": (0, 0), "stops": (3, 4), "steps": (1, 1)}


def constant(like: Any, values: Any) -> Any:
    array = np.asarray(values, np.float32)
    attrs = {"value": Literal(array), "type": TensorType(array.shape, F)}
    return like.__apply__(CONSTANT, (), attrs)


# rule: (function, shapes of its inputs, operations that are gone or, after "+", there afterwards)
FIRES: dict[str, list[tuple[Callable[..., Any], tuple[Any, ...], str]]] = {
    "constant-right": [(lambda x: 2 + x, ((3, 4),), "+add")],
    "add-zero": [(lambda x: x + 0, ((I, 3, 4),), "add")],
    "add-minus-zero": [
        (lambda x: x + -0.0, ((3, 4),), "add"),
        (lambda x: x + full(x, -0.0, (2, 1, 4)), ((3, 4),), "add"),
    ],
    "sub-zero": [(lambda x: x - 0, ((3, 4),), "sub"), (lambda x: x - 0, ((I, 4),), "sub")],
    "mul-one": [
        (lambda x: x * 1, ((3, 4),), "mul"),
        (lambda x: 1 * x, ((I, 3),), "mul"),
        (lambda x: x * full(x, 1.0, (2, 3, 1)), ((3, 4),), "mul"),
    ],
    "div-one": [(lambda x: x / 1, ((3, 4),), "div")],
    "mul-zero": [(lambda x: x * 0, ((I, 3, 4),), "mul")],
    "mul-minus-one": [(lambda x: x * -1, ((3, 4),), "+neg"), (lambda x: x * -1, ((I, 4),), "mul")],
    "add-neg": [(lambda x, y: x + -y, ((3, 4), (4,)), "+sub")],
    "sub-neg": [(lambda x, y: x - -y, ((3, 4), (4,)), "+add")],
    "signs-cancel": [
        (lambda x, y: -x * -y, ((3, 4), (4,)), "neg"),
        (lambda x, y: -x / -y, ((3, 4), (4,)), "neg"),
    ],
    "sub-self": [(lambda x: x - x, ((I, 4),), "sub")],
    "div-power-of-two": [
        (lambda x: x / 4, ((3, 4),), "div"),
        (lambda x: x / -0.5, ((3, 4),), "div"),
    ],
    "small-power": [
        (lambda x, p=p: op("pow", x, p), ((3, 4),), "pow") for p in (0, 1, 2, 3, -1, -2, 0.5, -0.5)
    ]
    + [(lambda x, p=p: op("pow", x, p), ((I, 12),), "pow") for p in (0, 1, 2, 3)],
    "even": [
        (lambda x: op("abs", -x), ((3, 4),), "neg"),
        (lambda x: op("square", op("abs", x)), ((3, 4),), "abs"),
    ],
    "idempotent": [
        (lambda x, f=f: op(f, op(f, x)), ((3, 4),), "")
        for f in ("abs", "relu", "floor", "ceil", "round", "trunc", "sign")
    ],
    "involution": [
        (lambda x: op("neg", -x), ((3, 4),), "neg"),
        (lambda x: op("bitwise_not", op("bitwise_not", x)), ((I, 4),), "bitwise_not"),
        (lambda x: op("logical_not", op("logical_not", x)), ((B, 4),), "logical_not"),
    ],
    "same-operands": [(lambda x: op("maximum", x, x), ((3, 4),), "maximum")],
    "where-constant": [
        (lambda x, y: op("where", full(x, True, (4,), B), x, y), ((4,), (3, 4)), "where"),
        (lambda x, y: op("where", full(x, False, (), B), x, y), ((4,), (3, 1)), "where"),
    ],
    "where-same": [(lambda c, x: op("where", c, x, x), ((B, 2, 1), (3,)), "where")],
    "where-not": [
        (
            lambda c, x, y: op("where", op("logical_not", c), x, y),
            ((B, 4), (4,), (4,)),
            "logical_not",
        )
    ],
    "where-where": [
        (
            lambda c, x, y, z: op("where", c, op("where", c, x, y), z),
            ((B, 4), (4,), (4,), (4,)),
            "",
        ),
        (
            lambda c, x, y, z: op("where", c, x, op("where", c, y, z)),
            ((B, 4), (4,), (4,), (4,)),
            "",
        ),
    ],
    "not-comparison": [
        (lambda x, y: op("logical_not", op("eq", x, y)), ((4,), (4,)), "+ne"),
        (lambda x, y: op("logical_not", op("lt", x, y)), ((I, 4), (I, 4)), "+ge"),
    ],
    "logic-constant": [
        (lambda c: op("logical_and", c, True), ((B, 4),), "logical_and"),
        (lambda c: op("logical_and", c, False), ((B, 4),), "logical_and"),
        (lambda c: op("logical_or", c, True), ((B, 4),), "logical_or"),
        (lambda c: op("logical_or", False, c), ((B, 4),), "logical_or"),
        (lambda x: op("logical_or", x, 3.0), ((4,),), "logical_or"),
    ],
    "stop-gradient": [(lambda x: op("stop_gradient", x) * 2, ((4,),), "stop_gradient")],
    "clone": [(lambda x: op("clone", x) * 2, ((4,),), "clone")],
    "cast-same": [(lambda x: op("cast", x, dtype=F), ((4,),), "cast")],
    "cast-cast": [
        (
            lambda x: op("cast", op("cast", x, dtype=dtypes.float64), dtype=I),
            ((dtypes.int16, 4),),
            "",
        ),
        (
            lambda x: op("cast", op("cast", x, dtype=F), dtype=dtypes.bfloat16),
            ((dtypes.bfloat16, 4),),
            "cast",
        ),
    ],
    "reshape-same": [
        (lambda x: op("reshape", x, shape=(3, 4)), ((3, 4),), "reshape"),
        (lambda x: op("expand", x, shape=(3, 4)), ((3, 4),), "expand"),
    ],
    "reshape-reshape": [
        (lambda x: op("reshape", op("reshape", x, shape=(12,)), shape=(4, 3)), ((3, 4),), "")
    ],
    "permute-same": [(lambda x: op("permute", x, dims=(0, 1)), ((3, 4),), "permute")],
    "permute-permute": [
        (lambda x: op("permute", op("permute", x, dims=(1, 0)), dims=(1, 0)), ((3, 4),), "permute"),
        (
            lambda x: op("permute", op("permute", x, dims=(1, 2, 0)), dims=(0, 2, 1)),
            ((2, 3, 4),),
            "",
        ),
    ],
    "expand-expand": [
        (lambda x: op("expand", op("expand", x, shape=(1, 4)), shape=(3, 4)), ((1, 1),), "")
    ],
    "view-of-full": [
        (lambda x: x * op("permute", full(x, 2.5, (4, 3)), dims=(1, 0)), ((3, 4),), "permute"),
        (lambda x: x * op("slice", full(x, 2.5, (5, 4)), **REGION), ((2, 4),), "slice"),
    ],
    "slice-all": [(lambda x: op("slice", x, **WHOLE), ((3, 4),), "slice")],
    "slice-slice": [
        (
            lambda x: op(
                "slice",
                op("slice", x, starts=(1,), stops=(12,), steps=(2,)),
                starts=(1,),
                stops=(6,),
                steps=(2,),
            ),
            ((12,),),
            "",
        )
    ],
    "slice-of-put": [
        (
            lambda x, v: op("slice", op("put_slice", x, v, **REGION), **REGION),
            ((3, 4), (2, 4)),
            "slice",
        )
    ],
    "put-back": [
        (lambda x: op("put_slice", x, op("slice", x, **REGION), **REGION), ((3, 4),), "put_slice")
    ],
    "put-all": [(lambda x, v: op("put_slice", x, v, **WHOLE), ((3, 4), (3, 4)), "put_slice")],
    "flip": [
        (lambda x: op("flip", op("flip", x, dims=(0, 1)), dims=(0, 1)), ((3, 4),), "flip"),
        (lambda x: op("flip", x, dims=(0, 1)), ((1, 4),), ""),
    ],
    "pad-nothing": [(lambda x: op("pad", x, before=(0,), after=(0,), value=1.0), ((4,),), "pad")],
    "pad-full": [
        (
            lambda x: x + op("pad", full(x, 2.0, (3,)), before=(1,), after=(0,), value=2.0),
            ((4,),),
            "pad",
        )
    ],
    "dilate-nothing": [
        (lambda x: op("dilate", x, steps=(1, 1)), ((3, 4),), "dilate"),
        (lambda x: op("dilate", x, steps=(3, 1)), ((1, 4),), "dilate"),
    ],
    "cat-one": [
        (lambda x: op("cat", x, dim=0), ((4,),), "cat"),
        (lambda x, y: op("cat", x, y, dim=0), ((4,), (0,)), "cat"),
    ],
    "drop-expand": [(lambda x, y: op("expand", x, shape=(3, 4)) + y, ((1, 4), (3, 4)), "expand")],
    "reduce-nothing": [
        (lambda x: op("prod", x, dims=(0,), keepdim=False), ((1, 4),), "prod"),
        (lambda x: op("amax", x, dims=(0,), keepdim=True), ((1, 4),), "amax"),
        (lambda x: op("sum", x, dims=(0, 1), keepdim=False), ((1, 1, 4),), "sum"),
        (lambda x: op("sum", x, dims=(), keepdim=False), ((I, 3, 4),), "sum"),
    ],
    "of-nothing": [
        (lambda x: op("sum", x, dims=(0,), keepdim=False), ((0, 4),), "sum"),
        (lambda x: op("prod", x, dims=(1,), keepdim=True), ((3, 0),), "prod"),
    ],
    "sum-of-expand": [
        (
            lambda x: op("sum", op("expand", x, shape=(8, 4)), dims=(0,), keepdim=False),
            ((1, 4),),
            "expand",
        ),
        (
            lambda x: op("sum", op("expand", x, shape=(7, 3)), dims=(0, 1), keepdim=True),
            ((I, 1, 3),),
            "expand",
        ),
    ],
    "sum-of-full": [
        (lambda x: x * op("sum", full(x, 1, (9,)), dims=(0,), keepdim=False), ((4,),), "sum"),
        (
            lambda x: x * op("sum", full(x, 100, (9,)), dims=(0,), keepdim=False),
            ((dtypes.int8, 4),),
            "sum",
        ),
    ],
    "extreme-of-expand": [
        (
            lambda x: op("amax", op("expand", x, shape=(5, 3, 4)), dims=(0, 2), keepdim=False),
            ((1, 3, 1),),
            "",
        ),
    ],
    "decompose": [
        (lambda x: op("softmax", x, dim=1), ((3, 4),), "softmax"),
        (lambda x: op("mish", x), ((3, 4),), "softplus"),
    ],
    "fold": [
        (lambda x: x * op("exp", full(x, 1.5, (4,))), ((4,),), "exp"),
        (lambda x: x * (constant(x, [1, 2, 3, 4]) + 1), ((4,),), "add"),
        (lambda x: x / (constant(x, [0.0, -0.0, 0.0, 0.0]) * 2), ((4,),), "mul"),
    ],
    "uniform": [(lambda x: x + constant(x, [2, 2, 2, 2]), ((4,),), "constant")],
}

TABLES = {"simplify": simplify.TABLE, "fold": fold.TABLE, "decompose": decomposition.TABLE}
RULES = {rule.name: table for table in TABLES.values() for rule in table.rules}
CASES = [(name, *case) for name, cases in FIRES.items() for case in cases]


def test_every_rule_has_a_case() -> None:
    assert set(FIRES) == set(RULES)


@pytest.mark.parametrize(
    ("name", "function", "shapes", "change"),
    CASES,
    ids=[f"{case[0]}-{i}" for i, case in enumerate(CASES)],
)
def test_rule_fires_and_keeps_the_value(
    name: str, function: Callable[..., Any], shapes: tuple[Any, ...], change: str
) -> None:
    before = program(function, *shapes)
    fired: list[str] = []
    after = rewrite(before, RULES[name], fired)
    assert name in fired, f"{before}\nonly {fired} fired"
    present = {node.op.name for node in after.nodes}
    if change.startswith("+"):
        assert change[1:] in present, str(after)
    else:
        assert change not in present, str(after)
    assert_same_values(before, after, exact=name not in ("decompose",))


# Programs that look like the left side of a rule and are not.
STAYS: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = [
    ("x + 0.0 makes zeros positive", lambda x: x + 0.0, ((4,),)),
    ("x - -0.0 makes zeros positive", lambda x: x - (-0.0), ((4,),)),
    ("inf - inf is NaN", lambda x: x - x, ((4,),)),
    ("inf * 0 is NaN", lambda x: x * 0, ((4,),)),
    ("a third is no power of two", lambda x: x / 3, ((4,),)),
    ("2^-120 and its reciprocal are not both normal", lambda x: x / 2.0**120, ((4,),)),
    ("not (NaN < y) is true", lambda x, y: op("logical_not", op("lt", x, y)), ((4,), (4,))),
    (
        "float16 does not hold float32",
        lambda x: op("cast", op("cast", x, dtype=dtypes.float16), dtype=F),
        ((4,),),
    ),
    (
        "float32 does not hold int32",
        lambda x: op("cast", op("cast", x, dtype=F), dtype=dtypes.int64),
        ((I, 4),),
    ),
    (
        "logical_not(logical_not(float)) is boolean",
        lambda x: op("logical_not", op("logical_not", x)),
        ((4,),),
    ),
    (
        "another region",
        lambda x, v: op(
            "slice",
            op("put_slice", x, v, **REGION),
            starts=(0, 0),
            stops=(2, 4),
            steps=(1, 1),
        ),
        ((3, 4), (2, 4)),
    ),
    (
        "seven equal floats are not added without rounding",
        lambda x: op("sum", op("expand", x, shape=(7, 4)), dims=(0,), keepdim=False),
        ((1, 4),),
    ),
    ("only y has the size", lambda x, y: op("expand", x, shape=(3, 4)) + y, ((1, 4), (4,))),
]


@pytest.mark.parametrize(("why", "function", "shapes"), STAYS, ids=[case[0] for case in STAYS])
def test_inexact_rewrites_do_not_happen(
    why: str, function: Callable[..., Any], shapes: tuple[Any, ...]
) -> None:
    before = program(function, *shapes)
    fired: list[str] = []
    rewrite(before, simplify.TABLE, fired)
    assert fired == [], why


def test_a_table_that_does_not_come_to_rest_names_its_rules() -> None:
    swap = Rule("swap", ("add",), lambda n: op("sub", *n.inputs), "a + b -> a - b")
    back = Rule("swap-back", ("sub",), lambda n: op("add", *n.inputs), "a - b -> a + b")
    with pytest.raises(GraphError, match=r"come to rest(.|\n)*swap: a \+ b(.|\n)*swap-back"):
        rewrite(program(lambda x, y: x + y, (4,), (4,)), Table([swap, back]))


def test_growing_forever_is_noticed_too() -> None:
    grow = Rule("grow", ("neg",), lambda n: op("abs", -(n.inputs[0] * 2)), "-x -> |-(2 x)|")
    with pytest.raises(GraphError, match="grow"):
        rewrite(program(lambda x: -x, (4,)), Table([grow]))


def test_a_rule_that_changes_the_type_is_refused() -> None:
    wrong = Rule("wrong", ("neg",), lambda n: op("cast", n.inputs[0], dtype=I), "-x -> int(x)")
    with pytest.raises(GraphError, match="rule wrong"):
        rewrite(program(lambda x: -x, (4,)), Table([wrong]))


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="mul-one"):
        simplify.TABLE + Table([r for r in simplify.TABLE.rules if r.name == "mul-one"])


def test_division_of_constants_by_zero_is_left_to_the_run() -> None:
    graph = program(lambda x: x + op("floor_divide", full(x, 1), full(x, 0)), (I, 4))
    fired: list[str] = []
    after = rewrite(graph, fold.TABLE, fired)
    assert "floor_divide" in {n.op.name for n in after.nodes}


def test_zeros_of_both_signs_are_not_one_number() -> None:
    graph = program(lambda x: x / constant(x, [0.0, -0.0, 0.0, 0.0]), (4,))
    fired: list[str] = []
    assert_same_values(graph, rewrite(graph, fold.TABLE, fired))
    assert fired == []


def test_large_constants_are_not_folded() -> None:
    graph = program(lambda x: x * op("exp", full(x, 1.0, (1000, 1000))), (1000, 1000))
    assert "exp" in {n.op.name for n in rewrite(graph, fold.TABLE).nodes}


def test_decomposition_leaves_only_primitives() -> None:
    graph = program(
        lambda x, w, b: op(
            "layer_norm", op("gelu", x, approximate="none"), w, b, dims=(1,), eps=1e-5
        ),
        (3, 4),
        (4,),
        (4,),
    )
    assert {n.op.name for n in composites(graph)} == {"layer_norm", "gelu"}
    assert not composites(decompose(graph))


def test_the_user_s_names_stay() -> None:
    graph = program(lambda x: op("softmax", x, dim=0) * 1, (4,))
    named = Graph(graph.name, graph.inputs, graph.outputs, (), {graph.outputs[0]: "probabilities"})
    after = rewrite(decompose(named), simplify.TABLE)
    assert after.names[after.outputs[0]] == "probabilities"
    assert arguments(after)
