"""``gradcheck`` and ``gradgradcheck``: right gradients pass, wrong ones do not."""

from typing import Any

import pytest

import graphc
from graphc.autograd import Function, gradcheck, gradgradcheck
from graphc.autograd.gradcheck import GradcheckError
from tests.autograd.both import leaf, numbers, same, same_error

pytestmark = pytest.mark.differential


class Wrong(Function):
    """A square whose gradient, or whose second gradient, is wrong."""

    @staticmethod
    def forward(ctx: Any, x: Any, first: float, second: float) -> Any:
        ctx.save_for_backward(x)
        ctx.factors = first, second
        return x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        first, second = ctx.factors
        return g * 2 * (x * second + (x * (1 - second)).detach()) * first, None, None


def right(x: Any, y: Any) -> Any:
    return (x @ y).exp(), x.sin().sum(), (x > 0)


ALL = {
    "check_forward_ad": True,
    "check_batched_grad": True,
    "check_batched_forward_grad": True,
    "check_grad_dtypes": True,
}


@pytest.mark.parametrize("fast_mode", [False, True])
def test_right_gradients_pass(fast_mode: bool) -> None:
    x, y = leaf(graphc, 2, 3), leaf(graphc, 3, 2, salt=1)
    assert gradcheck(right, (x, y), fast_mode=fast_mode, **ALL)
    assert gradcheck(right, (x, y.detach()), fast_mode=fast_mode)
    assert gradcheck(lambda v: v.exp(), x, fast_mode=fast_mode)
    assert gradgradcheck(right, (x, y), fast_mode=fast_mode)
    assert gradgradcheck(right, (x, y), fast_mode=fast_mode, check_fwd_over_rev=True)
    assert gradgradcheck(
        lambda a: a.exp(), (x,), (numbers(graphc, 2, 3).requires_grad_(),), fast_mode=fast_mode
    )


@pytest.mark.parametrize("fast_mode", [False, True])
def test_wrong_gradients_do_not(fast_mode: bool) -> None:
    x = leaf(graphc, 3)
    options: Any = {"fast_mode": fast_mode}
    assert gradcheck(lambda v: Wrong.apply(v, 1.0, 1.0), x, **options)
    assert gradgradcheck(lambda v: Wrong.apply(v, 1.0, 1.0), x, **options)
    with pytest.raises(GradcheckError, match="Jacobian mismatch for output 0 with respect to"):
        gradcheck(lambda v: Wrong.apply(v, 1.1, 1.0), x, **options)
    assert not gradcheck(lambda v: Wrong.apply(v, 1.1, 1.0), x, raise_exception=False, **options)
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        gradgradcheck(lambda v: Wrong.apply(v, 1.0, 0.5), x, **options)
    assert gradcheck(lambda v: Wrong.apply(v, 1.1, 1.0), x, atol=10.0, **options)


def test_gradients_that_change_from_run_to_run() -> None:
    calls: list[int] = []

    class Restless(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:  # noqa: ARG004
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:  # noqa: ARG004
            calls.append(1)
            return g * (2 + 1e-7 * len(calls))

    with pytest.raises(GradcheckError, match="not reentrant"):
        gradcheck(Restless.apply, leaf(graphc, 3))
    assert gradcheck(Restless.apply, leaf(graphc, 3), nondet_tol=1e-4)


def test_gradients_of_zero_have_to_be_zero() -> None:
    class Offset(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:  # noqa: ARG004
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:  # noqa: ARG004
            return graphc.where(g == 0, 1.0, g * 2) if bool((g == 0).all()) else g * 2

    with pytest.raises(GradcheckError, match="undefined or zero"):
        gradcheck(Offset.apply, leaf(graphc, 3))
    assert gradcheck(Offset.apply, leaf(graphc, 3), check_undefined_grad=False)


def test_what_cannot_be_checked() -> None:
    same_error(lambda t: t.autograd.gradcheck(lambda x: x, numbers(t, 3)))
    same_error(
        lambda t: t.autograd.gradcheck(
            lambda x: x, leaf(t, 3), check_forward_ad=False, check_backward_ad=False
        )
    )
    expanded = graphc.zeros(1, dtype=graphc.float64).expand(3).requires_grad_()
    with pytest.raises(RuntimeError, match="stride 0"):
        gradcheck(lambda x: x * 2, expanded)
    with pytest.raises(GradcheckError, match="expected to be zero"):
        gradcheck(lambda x: x.detach() * 2, leaf(graphc, 3))
    assert gradcheck(lambda x: x.detach() * 0 + 1, leaf(graphc, 3))


def test_the_same_verdict_as_pytorch() -> None:
    def program(t: Any) -> Any:
        x = numbers(t, 3, dtype="float32").requires_grad_()
        return (
            t.autograd.gradcheck(lambda v: v.exp(), x, raise_exception=False, eps=1e-8),
            t.autograd.gradcheck(lambda v: v.exp(), x, eps=1e-2, atol=1e-2, rtol=1e-2),
            t.autograd.gradcheck(lambda v: v.detach().exp() * v, leaf(t, 3), raise_exception=False),
            t.autograd.gradgradcheck(lambda v: (v**3).sum(), leaf(t, 3)),
        )

    with pytest.warns(UserWarning):  # PyTorch's, about float32
        same(program)


def test_compiled_functions_are_checked_too() -> None:
    compiled = graphc.compile(lambda x, y: ((x @ y).tanh(), x.exp().sum()))
    x, y = leaf(graphc, 2, 3), leaf(graphc, 3, 2, salt=1)
    assert gradcheck(compiled, (x, y))
    assert gradgradcheck(compiled, (x, y))
