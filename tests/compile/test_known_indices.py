"""Tables of indices that are constants: those known to fit are read without a check."""

import pytest

import graphc


def program(index):
    @graphc.compile
    def read(x):
        return x[index] * 2

    return read


def test_an_index_that_fits_is_not_checked():
    read = program([2, 0, 2])
    assert read(graphc.arange(3.0)).tolist() == [4.0, 0.0, 4.0]
    assert "gc_index" not in str(read.source)


def test_an_index_from_the_end_is_wrapped():
    read = program([2, -1, -3])
    assert read(graphc.arange(3.0)).tolist() == [4.0, 4.0, 0.0]


def test_an_index_that_does_not_fit_is_refused():
    read = program([2, 3])
    with pytest.raises(IndexError, match="index 3 is out of bounds"):
        read(graphc.arange(3.0))
