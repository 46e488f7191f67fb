"""One line of a program, run by PyTorch and by graphc: equal results or the same exception."""

import warnings

import graphc
from tests.opinfo.compare import same


def outcome(t, text):
    """The value of a program, or the kind of exception that it raises.

    In the program ``t`` is the library and ``T`` its ``tensor``.
    """
    names = {"t": t, "T": t.tensor, "nan": float("nan"), "inf": float("inf")}
    try:
        return eval(text, names)
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        kinds = (NotImplementedError, RuntimeError, IndexError, TypeError, ValueError)
        return next(kind for kind in kinds if isinstance(error, kind))


def same_outcome(torch, text):
    """Raises Difference unless both libraries make the same of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = outcome(torch, text)
    same(outcome(graphc, text), theirs)
