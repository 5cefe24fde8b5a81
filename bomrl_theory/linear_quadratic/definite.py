"""Exact answers about symmetric matrices of doubles: is it positive (semi)definite, and what makes it so."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from flint import fmpq
from jaxtyping import Float64

from bomrl_theory.numbers import Array, rational


def is_semidefinite(matrix: Float64[Array, "n n"]) -> bool:
    """Whether ``x'Mx >= 0`` for every x: decided in exact rationals, no tolerance."""
    return _eliminated(_exact(matrix)) is not None


def is_definite(matrix: Float64[Array, "n n"]) -> bool:
    """Whether ``x'Mx > 0`` for every x but 0: decided in exact rationals, no tolerance."""
    pivots = _eliminated(_exact(matrix))
    return pivots is not None and all(pivot > 0 for pivot in pivots)


def least_corner(matrix: Float64[Array, "n n"], row: Float64[Array, " n"]) -> Fraction | None:
    """The smallest q with ``[[matrix, row], [row', q]]`` semidefinite; None where there is none."""
    size = len(row)
    corner = fmpq(0)
    rows = [[*line, rational(float(x))] for line, x in zip(_exact(matrix), row, strict=True)]
    rows.append([*(line[size] for line in rows), corner])
    pivots = _eliminated(rows, size)
    return None if pivots is None else Fraction(-int(rows[size][size].p), int(rows[size][size].q))


def _exact(matrix: Float64[Array, "n n"]) -> list[list[fmpq]]:
    return [[rational(float(x)) for x in row] for row in matrix]


def _eliminated(rows: list[list[fmpq]], count: int | None = None) -> Sequence[fmpq] | None:
    """The first pivots of symmetric elimination, done in place; None where one is negative, or zero in a row that is
    not."""
    pivots = []
    for k in range(len(rows) if count is None else count):
        pivot = rows[k][k]
        if pivot < 0 or (pivot == 0 and any(x != 0 for x in rows[k][k:])):
            return None
        pivots.append(pivot)
        if pivot != 0:
            for i in range(k + 1, len(rows)):
                factor = rows[i][k] / pivot
                for j in range(k, len(rows)):
                    rows[i][j] = rows[i][j] - factor * rows[k][j]
    return pivots
