"""What the closed forms ask of an array package, for object arrays of Arb balls: every result encloses the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flint
import numpy as np
from flint import arb, arb_mat
from jaxtyping import Shaped

from bomrl_theory.linear_quadratic.definite import pivots
from bomrl_theory.numbers import Array, SingularSystem

DOUBLINGS = 60


class Linalg:
    """The part of ``numpy.linalg`` that the closed forms use, over the last two axes."""

    @staticmethod
    def inv(x: Shaped[Array, "*T n n"]) -> Shaped[Array, "*T n n"]:
        """Inverses.

        Raises:
            SingularSystem: some matrix is not certainly invertible.
        """
        return _each(lambda matrix: _guarded(matrix.inv), x)

    @staticmethod
    def solve(x: Shaped[Array, "*T n n"], y: Shaped[Array, "*T n k"]) -> Shaped[Array, "*T n k"]:
        """Solutions z of ``x z = y``.

        Raises:
            SingularSystem: some matrix is not certainly invertible.
        """
        return _each(lambda matrix, right: _guarded(lambda: matrix.solve(right, algorithm="lu")), x, y)

    @staticmethod
    def slogdet(x: Shaped[Array, "*T n n"]) -> tuple[int, Shaped[Array, "*T"]]:
        """Sign and logarithm of positive determinants.

        Raises:
            SingularSystem: some determinant is not certainly positive.
        """
        logs = np.empty(x.shape[:-2], dtype=object)
        for place in np.ndindex(logs.shape):
            determinant = _matrix(x[place]).det()
            if not determinant > 0:
                raise SingularSystem("a determinant is not certainly positive")
            logs[place] = determinant.log()
        return 1, logs


linalg = Linalg()


def lyapunov(F: Shaped[Array, "T n n"], M: Shaped[Array, "*T n n"], gamma: Any) -> Shaped[Array, "T n n"]:
    """P with ``P = M + gamma F'P F``, and with it a proof that ``sqrt(gamma) rho(F) < 1``.

    With ``G = sqrt(gamma) F`` and N a power of 2, ``P = P_N + (G^N)'P G^N`` where P_N is the sum of the first N terms.
    Once ``g = |G^N|_F^2 < 1`` the powers tend to zero, and no entry of the rest exceeds ``g |P_N|_F / (1-g)``.

    Raises:
        SingularSystem: no power was certainly that small.
    """
    root = arb(gamma).sqrt()
    M = np.broadcast_to(M, F.shape)
    return np.stack([_lyapunov(root * _matrix(f), _matrix(m), F.shape[-1]) for f, m in zip(F, M, strict=True)])


def _lyapunov(G: arb_mat, P: arb_mat, n: int) -> Array:
    negligible = arb(2) ** -flint.ctx.prec
    for _ in range(DOUBLINGS):
        square, size = _size(G) ** 2, _size(P)
        if square < 1:
            rest = square * size / (1 - square)
            if rest <= negligible * size:
                whole = _array(P, n, n) + arb(0, rest.upper())
                return (whole + whole.T) / 2
        P, G = P + G.transpose() * P * G, G * G
        if not square.is_finite():
            break
    raise SingularSystem("a closed loop is not certainly stable within this precision")


def _size(x: arb_mat) -> arb:
    """At least the Frobenius norm."""
    return sum((entry * entry for entry in x.entries()), arb(0)).upper().sqrt().upper()


def certainly_definite(x: Shaped[Array, "T n n"]) -> bool:
    """Whether every symmetric matrix is positive definite, beyond doubt."""
    return all(pivots([list(row) for row in matrix]) is not None for matrix in x)


def middle(x: Array) -> Array:
    """The mid-points, exact."""
    return np.asarray(np.frompyfunc(arb.mid, 1, 1)(x), dtype=object)


def _each(function: Callable[..., arb_mat], *arrays: Array) -> Array:
    lead = np.broadcast_shapes(*(x.shape[:-2] for x in arrays))
    arrays = tuple(np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in arrays)
    shape = (arrays[0].shape[-2], arrays[-1].shape[-1])
    result = np.empty((*lead, *shape), dtype=object)
    for place in np.ndindex(lead):
        result[place] = _array(function(*(_matrix(x[place]) for x in arrays)), *shape)
    return result


def _guarded(function: Callable[[], arb_mat]) -> arb_mat:
    try:
        return function()
    except ZeroDivisionError as error:
        raise SingularSystem(f"not invertible within {flint.ctx.prec} bits") from error


def _matrix(x: Shaped[Array, "n k"]) -> arb_mat:
    rows, columns = x.shape
    return arb_mat(rows, columns, [arb(entry) for entry in x.flat])


def _array(x: arb_mat, rows: int, columns: int) -> Array:
    return np.array(x.entries(), dtype=object).reshape(rows, columns)
