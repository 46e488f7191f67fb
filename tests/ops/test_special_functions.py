"""Special functions over their whole range, against SciPy and against identities."""

import math

import numpy as np
import pytest

from graphc.ops import special_functions as ours

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # rows silence NumPy themselves

GRID = np.concatenate([np.linspace(-8, 28, 40001), np.geomspace(1e-300, 1, 500)])
POSITIVE = np.concatenate([np.linspace(0.01, 40, 5001), np.geomspace(1e-6, 1e6, 500)])


@pytest.mark.parametrize(
    ("name", "tolerance", "in_float32"),
    [("erf", 1e-15, 4 * 2**-24), ("erfc", 2e-14, 1.3e-7)],  # erf: 4 ulp just below 1
)
def test_error_functions_agree_with_math(name: str, tolerance: float, in_float32: float) -> None:
    expected = np.array([getattr(math, name)(x) for x in GRID.tolist()])
    normal = np.abs(expected) > 1e-300
    found = getattr(ours, name)(GRID)
    np.testing.assert_allclose(found[normal], expected[normal], rtol=tolerance)
    single = getattr(ours, name)(GRID.astype(np.float32))
    assert single.dtype == np.float32
    rounded = np.array([getattr(math, name)(float(x)) for x in GRID.astype(np.float32)])
    large = np.abs(rounded) > 1e-37
    np.testing.assert_allclose(single[large], rounded[large], rtol=in_float32)


def test_error_functions_at_the_ends() -> None:
    ends = np.array([0.0, -0.0, np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(ours.erf(ends), [0, 0, 1, -1, np.nan])
    assert np.signbit(ours.erf(ends))[1]
    np.testing.assert_array_equal(ours.erfc(ends), [1, 1, 0, 2, np.nan])
    with np.errstate(all="ignore"):
        inverse = ours.erfinv(np.array([1.0, -1.0, 1.5, np.nan, 0.0]))
    np.testing.assert_array_equal(inverse, [np.inf, -np.inf, np.nan, np.nan, 0])


def test_erfinv_inverts() -> None:
    y = np.concatenate([np.linspace(-0.999, 0.999, 4001), np.geomspace(1e-200, 0.5, 200)])
    np.testing.assert_allclose(ours.erf(ours.erfinv(y)), y, rtol=2e-15, atol=1e-300)
    tail = np.geomspace(1e-15, 0.5, 400)
    kept = 1 - (1 - tail)  # what remains of it beside 1
    np.testing.assert_allclose(ours.erfc(ours.erfinv(1 - tail)), kept, rtol=1e-12)


def test_gamma_functions_satisfy_their_recurrences() -> None:
    x = POSITIVE[POSITIVE > 0.1]  # below, the sum cancels
    np.testing.assert_allclose(ours.digamma(x + 1), ours.digamma(x) + 1 / x, rtol=2e-13, atol=1e-13)
    np.testing.assert_allclose(
        ours.lgamma(x + 1), ours.lgamma(x) + np.log(x), rtol=1e-13, atol=1e-13
    )
    for n in (1, 2, 3):
        step = (-1) ** n * math.factorial(n) / x ** (n + 1)
        left, right = ours.polygamma(x + 1, n=n), ours.polygamma(x, n=n) + step
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9)


def test_digamma_where_it_has_poles_and_below() -> None:
    with np.errstate(all="ignore"):
        found = ours.digamma(np.array([0.0, -0.0, -1.0, -2.0]))
    np.testing.assert_array_equal(found, [-np.inf, np.inf, np.nan, np.nan])
    x = np.array([-0.5, -1.25, -7.75])
    expected = ours.digamma(1 - x) - math.pi / np.tan(math.pi * x)
    np.testing.assert_allclose(ours.digamma(x), expected, rtol=1e-13)


@pytest.mark.differential
@pytest.mark.parametrize("name", ["erf", "erfc", "erfinv", "digamma"])
def test_scipy_agrees(name: str) -> None:
    special = pytest.importorskip("scipy.special")
    function = special.psi if name == "digamma" else getattr(special, name)
    x = np.linspace(-0.99, 0.99, 2001) if name == "erfinv" else GRID
    with np.errstate(all="ignore"):
        expected, found = function(x), getattr(ours, name)(x)
    usable = np.isfinite(expected) & (np.abs(expected) > 1e-300)
    if name == "digamma":
        usable &= np.abs(expected) > 1e-3  # its zeros are ill-conditioned
    np.testing.assert_allclose(found[usable], expected[usable], rtol=2e-12)


@pytest.mark.differential
@pytest.mark.parametrize("n", [1, 2, 5])
def test_scipy_agrees_on_polygamma(n: int) -> None:
    special = pytest.importorskip("scipy.special")
    found = ours.polygamma(POSITIVE, n=n)
    np.testing.assert_allclose(found, special.polygamma(n, POSITIVE), rtol=1e-12)
