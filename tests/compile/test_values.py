"""Functions whose course depends on values: segments, and one specialisation for each course."""

import warnings
from typing import Any

import pytest

import graphc as torch
from tests.compile.comparing import assert_same, compare


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_a_branch_compiles_each_side_once() -> None:
    @torch.compile
    def f(x: Any) -> Any:
        y = x.tanh()
        if y.sum() > 0:
            return y * 2
        return y - 1

    up, down = torch.ones(4), -torch.ones(4)
    for x in (up, down, up * 2, down * 3, up):
        assert_same(f._function(x), f(x))
    assert len(f.receipts) == 2
    assert "the value of a tensor of type b1[] at" in f.receipts[1].reason
    assert "test_values.py" in f.receipts[1].reason


def test_a_loop_until_it_converges() -> None:
    def root(a: Any) -> Any:
        x = a.clone()
        steps = 0
        while (x * x - a).abs().max() > 1e-4:
            x = 0.5 * (x + a / x)
            steps += 1
        return x, steps

    compare(root, torch.tensor([2.0, 3.0, 10.0]))


def test_later_parts_do_not_compute_the_first_again() -> None:
    @torch.compile
    def f(x: Any, w: Any) -> Any:
        y = (x @ w).relu()
        if y.sum() > 0:
            return y @ w
        return y

    x, w = torch.rand(8, 8), torch.rand(8, 8)
    assert_same(f._function(x, w), f(x, w), rtol=1e-4)
    forward = f._latest().programs["forward"].stages.graphs["fold"]
    assert [n.op.name for n in forward.nodes].count("contract") == 1
    assert "part1_fold" in f.ir or any(name.startswith("part1_") for name in f.ir)


def test_gradients_go_through_parts() -> None:
    def f(x: Any, w: Any) -> Any:
        h = (x @ w).tanh()
        if h.sum() > 0:
            h = h * 3
        y = h @ w
        if y.mean() < 100:
            y = y.exp()
        return y.sum()

    x = torch.randn(5, 5, requires_grad=True)
    w = torch.randn(5, 5, requires_grad=True)
    expected = torch.autograd.grad(f(x, w), (x, w))
    compiled = torch.compile(f)
    found = torch.autograd.grad(compiled(x, w), (x, w))
    assert_same(expected, found, rtol=1e-4)
    again = torch.autograd.grad(compiled(x, w), (x, w), create_graph=True)
    reference = torch.autograd.grad(f(x, w), (x, w), create_graph=True)
    second = [
        torch.autograd.grad(sum(p.square().sum() for p in g), w)[0] for g in (again, reference)
    ]
    assert_same(second[1], second[0], rtol=1e-3, atol=1e-3)


def test_a_whole_step_that_asks_for_its_loss() -> None:
    def make() -> Any:
        torch.manual_seed(1)
        model = torch.nn.Linear(4, 1)
        return model, torch.optim.SGD(model.parameters(), lr=0.1)

    def step_of(model: Any, optimizer: Any) -> Any:
        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = (model(x) - y).square().mean()
            loss.backward()
            if loss > 0.05:
                optimizer.step()
            return loss.item()

        return step

    x, y = torch.randn(16, 4), torch.randn(16, 1) * 0.1
    eager, compiled = make(), make()
    plain, fast = step_of(*eager), torch.compile(step_of(*compiled))
    losses = [(plain(x, y), fast(x, y)) for _ in range(30)]
    for a, b in losses:
        assert isinstance(b, float) and a == pytest.approx(b, rel=1e-4)
    assert_same(list(eager[0].parameters()), list(compiled[0].parameters()), rtol=1e-4)
    assert len(fast.receipts) <= 4  # with and without gradients before, with and without a step


def test_a_float_that_is_only_passed_on_needs_no_value() -> None:
    @torch.compile
    def f(x: Any) -> Any:
        mean = x.mean().item()
        return x - mean, mean

    for k in range(5):
        x = torch.rand(6) + k
        y, mean = f(x)
        assert isinstance(mean, float) and mean == pytest.approx(float(x.mean()))
        assert_same(x - x.mean().item(), y)
    assert len(f.receipts) == 1


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x.nonzero(),
        lambda x: torch.nonzero(x > 0, as_tuple=True),
        lambda x: x[x > 0] * 2,
        lambda x: torch.masked_select(x, x > 0.5).sum(),
        lambda x: x.nonzero().shape[0],
        lambda x: x[(x > 0).nonzero()[:, 0]],
        lambda x: x.sum().nonzero(),
        lambda x: x.tolist(),
        lambda x: [float(v) for v in x],
        lambda x: x[: int((x > 0).sum())],
        lambda x: torch.zeros(int(x.argmax()) + 1),
        lambda x: float(x.sum()),
        lambda x: x * 2 if bool((x > 0).all()) else x * 3,
    ],
)
def test_shapes_and_values_that_depend_on_values(use: Any) -> None:
    x = torch.tensor([0.0, 1.5, -2.0, 0.25, 3.0])
    compare(use, x)
    compiled = torch.compile(use)
    for data in ([1.0, 1.0, 0.0, 0.0, 0.0], [0.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0]):
        assert_same(use(torch.tensor(data)), compiled(torch.tensor(data)))


def test_a_place_that_varies() -> None:
    @torch.compile
    def read(x: Any, i: Any) -> Any:
        return x[i] * 2, x[:, i]

    @torch.compile
    def write(x: Any, i: Any) -> Any:
        x[i].add_(1)
        part = x[1:, i]
        part.mul_(2)
        return part

    @torch.compile
    def reread(x: Any, i: Any) -> Any:
        part = x[i]
        x.mul_(2)
        return part + 1

    for k in (0, 2, 1):
        x, i = torch.arange(9.0).reshape(3, 3), torch.tensor(k)
        assert_same(reread._function(x.clone(), i), reread(x.clone(), i))
        assert_same(read._function(x, i), read(x, i))
        wanted, found = x.clone(), x.clone()
        assert_same(write._function(wanted, i), write(found, i))
        assert_same(wanted, found)
    assert len(read.receipts) == 1
    assert len(write.receipts) == 1
    assert len(reread.receipts) == 3  # for each place a course


def test_nothing_of_nothing() -> None:
    def f(x: Any) -> Any:
        chosen = x[x > 0]
        return chosen.norm(), chosen.sum() + 1, torch.linalg.vector_norm(chosen + 9)

    compare(f, torch.zeros(0, 4))
    compare(f, torch.zeros(3))


def test_masked_gradient() -> None:
    def f(x: Any) -> Any:
        return (x[x > 0] ** 3).sum()

    x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    compiled = torch.compile(f)
    (g,) = torch.autograd.grad(compiled(x), x)
    assert g.tolist() == [3.0, 0.0, 27.0]
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (g,) = torch.autograd.grad(compiled(x), x)
    assert g.tolist() == [3.0, 12.0, 27.0]


def test_nothing_is_written_on_another_course() -> None:
    @torch.compile
    def f(x: Any, buffer: Any) -> Any:
        buffer.add_(1)
        if buffer.sum() > 10:
            buffer.mul_(10)
        return x + buffer

    x, buffer = torch.zeros(2), torch.zeros(2)
    wanted = buffer.clone()
    for _ in range(7):
        assert_same(f._function(x, wanted), f(x, buffer))
        assert buffer.tolist() == wanted.tolist()
    assert buffer._version == 7


def test_many_courses_end_in_eager_with_a_warning() -> None:
    @torch.compile
    def f(x: Any) -> Any:
        return x * float(x.sum())

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for k in range(40):
            x = torch.full((3,), float(k))
            assert f(x).tolist() == [3.0 * k * k] * 3
    assert len(f.receipts) < 20
    (warning,) = caught
    assert "runs eagerly from here on" in str(warning.message)
    assert "the value of a tensor of type f32[]" in str(warning.message)


def test_a_value_of_what_was_written_in_the_trace() -> None:
    def f(x: Any) -> Any:
        y = torch.zeros(3)
        y[0] = x.sum()
        return y if y[0] > 1 else -y

    compare(f, torch.ones(3))


def test_constants_need_no_question() -> None:
    @torch.compile(fullgraph=True)
    def f(x: Any) -> Any:
        weights = torch.tensor([1.0, 2.0])
        return x * float(weights.sum())

    assert f(torch.ones(2)).tolist() == [3.0, 3.0]


def test_random_numbers_after_a_question() -> None:
    def f(x: Any) -> Any:
        if torch.rand(()) < 2:
            x = x + torch.rand(3)
        return x + torch.rand(3)

    compiled = torch.compile(f)
    torch.manual_seed(3)
    expected = [f(torch.zeros(3)) for _ in range(3)]
    torch.manual_seed(3)
    found = [compiled(torch.zeros(3)) for _ in range(3)]
    assert_same(expected, found)
