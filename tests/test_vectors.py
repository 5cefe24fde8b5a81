"""Row operations as vector instructions: right for every length and place, and no fused rounding."""

from __future__ import annotations

import numpy as np
import pytest

numba = pytest.importorskip("numba")

from bomrl_theory.exact import vectors  # noqa: E402  (needs numba)


@numba.njit
def sums(x, i, y, j, n):
    return vectors.dot(x, i, y, j, n), vectors.total(x, i, x, i, n), vectors.nonzeros(x, i, x, i, n)


@numba.njit
def subtract(x, i, factor, y, j, n):
    vectors.subtract(x, i, factor, y, j, n)


def test_every_length_and_place() -> None:
    """Whole numbers are summed without rounding, so every order gives the same."""
    rng = np.random.default_rng(0)
    for n in range(35):
        for i, j in ((0, 0), (1, 3), (7, 2)):
            x, y = rng.integers(-3, 4, n + 9).astype(float), rng.integers(-9, 10, n + 9).astype(float)
            here, there = x[i : i + n], y[j : j + n]
            assert sums(x, i, y, j, n) == (here @ there, here.sum(), np.count_nonzero(here))
            expected = x.copy()
            expected[i : i + n] -= 3.0 * there
            subtract(x, i, 3.0, y, j, n)
            assert np.array_equal(x, expected)


def test_products_are_rounded_before_they_are_added() -> None:
    """A fused multiply-add would keep the product's rounding error."""
    one = 1 + 2.0**-30
    product = one * one
    for n in (1, 8):
        x, y = np.full(n, one), np.full(n, product)
        subtract(y, 0, one, x, 0, n)
        assert np.array_equal(y, np.zeros(n))


def test_a_nan_is_not_lost() -> None:
    x = np.zeros(11)
    x[9] = np.nan
    dot, total, count = sums(x, 0, np.ones(11), 0, 11)
    assert np.isnan(dot)
    assert np.isnan(total)
    assert count == 1
