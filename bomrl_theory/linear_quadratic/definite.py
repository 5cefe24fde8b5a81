"""Exact answers about symmetric matrices of doubles: is it positive (semi)definite, and what makes it so."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from flint import fmpq
from jaxtyping import Float64

from bomrl_theory.numbers import Array, rational


def is_semidefinite(matrix: Float64[Array, "n n"]) -> bool:
    """Whether ``x'Mx >= 0`` for every x: decided in exact rationals, no tolerance."""
    return _eliminated(_exact(matrix)) is not None


def is_definite(matrix: Float64[Array, "n n"]) -> bool:
    """Whether ``x'Mx > 0`` for every x but 0: decided in exact rationals, no tolerance."""
    return pivots(_exact(matrix)) is not None


def least_corner(matrix: Float64[Array, "n n"], row: Float64[Array, " n"]) -> Fraction | None:
    """The smallest q with ``[[matrix, row], [row', q]]`` semidefinite; None where there is none."""
    size = len(row)
    rows = [[*line, rational(float(x))] for line, x in zip(_exact(matrix), row, strict=True)]
    rows.append([*(line[size] for line in rows), fmpq(0)])
    return None if _eliminated(rows, size) is None else Fraction(-int(rows[size][size].p), int(rows[size][size].q))


def _exact(matrix: Float64[Array, "n n"]) -> list[list[fmpq]]:
    return [[rational(float(x)) for x in row] for row in matrix]


def _eliminated(rows: list[list[fmpq]], count: int | None = None) -> list[fmpq] | None:
    """The first pivots of symmetric elimination, done in place; None where one is negative, or zero in a row that is
    not."""
    found = []
    for k in range(len(rows) if count is None else count):
        pivot = rows[k][k]
        if pivot < 0 or (pivot == 0 and any(x != 0 for x in rows[k][k:])):
            return None
        found.append(pivot)
        if pivot != 0:
            _eliminate(rows, k)
    return found


def pivots(rows: list[list[Any]]) -> list[Any] | None:
    """The pivots of a symmetric matrix of rationals or balls, eliminated in place; None unless all are certainly
    positive."""
    for k in range(len(rows)):
        if not rows[k][k] > 0:
            return None
        _eliminate(rows, k)
    return [rows[k][k] for k in range(len(rows))]


def _eliminate(rows: list[list[Any]], k: int) -> None:
    for i in range(k + 1, len(rows)):
        factor = rows[i][k] / rows[k][k]
        for j in range(k, len(rows)):
            rows[i][j] = rows[i][j] - factor * rows[k][j]
