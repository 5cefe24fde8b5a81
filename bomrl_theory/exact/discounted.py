"""Large sparse systems ``(I - gamma P) x = b`` and their transposes in float64: guesses, which others certify.

How a system is solved is told by its own behaviour, counted in products with P and never in seconds, so the same
input gives the same bits everywhere: a Neumann series while it contracts fast enough; otherwise BiCGSTAB; and where
that fails and the graph has narrow separators, a sparse LU factorisation. SciPy is imported where it is used: every
command loads this module, few have sparse tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float64

from bomrl_theory.numbers import Array

if TYPE_CHECKING:  # see above
    from scipy.sparse import csr_array

Method = Literal["series", "bicgstab", "lu"]
PROBE = 20
"""Terms of the series after which its rate is known."""
PATIENCE = 100
"""A series that needs more terms than this for one refinement is slower than BiCGSTAB, at two products an iteration."""
REDUCTION = 1e-8
"""What one refinement is asked to leave of the residual; a few of them reach rounding."""
KRYLOV_ITERATIONS = 3000
ROUNDS = 12
LARGEST_ENVELOPE = 100_000_000
"""Entries between the diagonal and the outermost entry of every row, in the order of Cuthill and McKee. A graph with
more has no narrow separators: its factors would fill the memory."""


@dataclass
class DiscountedSystem:
    """``I - gamma P`` of one row-stochastic P.

    Attributes:
        P: [S, S]; a row may hold a column several times.
        gamma: discount.
        used: the methods that solves have used so far, in order.
    """

    P: csr_array
    gamma: float
    used: list[Method] = field(default_factory=list)
    _factors: Any = field(default=None, repr=False)

    def solve(
        self, b: Float64[Array, " S"], *, transposed: bool = False, start: Float64[Array, " S"] | None = None
    ) -> Float64[Array, " S"]:
        """x down to rounding, as far as the methods get; the residual is the caller's to judge.

        Args:
            start: a first guess.
        """
        operator: Any = self.P.T if transposed else self.P
        x = np.zeros_like(b) if start is None else start.copy()
        if transposed and start is None and b.sum() != 0:
            # With the right mass every residual sums to zero, and the series has no slow constant part.
            x = b / (1 - self.gamma)
        previous, best, least = math.inf, x, math.inf
        for _ in range(ROUNDS):
            residual = b - (x - self.gamma * (operator @ x))
            size = float(np.abs(residual).sum() if transposed else np.ptp(residual) + abs(_middle(residual)))
            if size < least:
                best, least = x, size
            if not 0 < size < previous / 2:
                break
            previous = size
            x = x + self._correction(operator, residual, transposed)
        return best

    def _correction(self, operator: Any, residual: Array, transposed: bool) -> Array:
        if "bicgstab" not in self.used and "lu" not in self.used:
            found = self._series(operator, residual, centred=not transposed)
            if found is not None:
                self._use("series")
                return found
        if self._factors is None:
            step, failed = self._bicgstab(operator, residual)
            if not failed:
                self._use("bicgstab")
                return step
            if envelope(self.P) > LARGEST_ENVELOPE:
                return step  # nothing better is affordable
            from scipy.sparse import csc_array, eye_array
            from scipy.sparse.linalg import splu

            matrix = csc_array(eye_array(len(residual)) - self.gamma * self.P)
            # Diagonally dominant rows need no pivoting, and pivoting would spoil the order.
            options = {"SymmetricMode": True}
            self._factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
            self._use("lu")
        return self._factors.solve(residual, trans="T" if transposed else "N")

    def _series(self, operator: Any, residual: Array, *, centred: bool) -> Array | None:
        """``sum_k (gamma P)^k residual``; None where it contracts too slowly.

        For the untransposed system the constant part, on which P is the identity, is summed in closed form.
        """
        x, term, shift = np.zeros_like(residual), residual, 0.0
        first = size = 0.0
        for k in range(PATIENCE + 1):
            if centred:
                constant = _middle(term)
                term, shift = term - constant, shift + constant / (1 - self.gamma)
            size = float(np.abs(term).max() if centred else np.abs(term).sum())
            if k == 0:
                first = size
            if size <= REDUCTION * first:
                return x + term + shift
            if k == PROBE:
                needed = k * math.log(REDUCTION) / min(math.log(size / first), -1e-12)
                if needed > PATIENCE:
                    return None
            x = x + term
            term = self.gamma * (operator @ term)
        return None

    def _bicgstab(self, operator: Any, residual: Array) -> tuple[Array, bool]:
        from scipy.sparse.linalg import LinearOperator, bicgstab

        shape: Any = self.P.shape
        product: Callable[[Array], Array] = lambda v: v - self.gamma * (operator @ v)  # noqa: E731
        scale = float(np.abs(residual).max())  # BiCGSTAB gives up on tiny numbers
        system = LinearOperator(shape, matvec=product, dtype=np.float64)  # pyright: ignore[reportCallIssue]
        with np.errstate(all="ignore"):
            step, information = bicgstab(system, residual / scale, rtol=REDUCTION, atol=0, maxiter=KRYLOV_ITERATIONS)
        step = scale * step
        return (step, information != 0) if np.all(np.isfinite(step)) else (np.zeros_like(residual), True)

    def _use(self, method: Method) -> None:
        if method not in self.used:
            self.used.append(method)


def envelope(P: csr_array) -> int:
    """Entries between the diagonal and the outermost entry of every row after reordering: what LU could fill."""
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    order = reverse_cuthill_mckee(P, symmetric_mode=False)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    full = np.diff(P.indptr) > 0
    starts = P.indptr[:-1][full]
    columns = place[P.indices]
    lowest, highest = np.minimum.reduceat(columns, starts), np.maximum.reduceat(columns, starts)
    own = place[full]
    return int(np.maximum(own - lowest, 0).sum() + np.maximum(highest - own, 0).sum())


def _middle(x: Array) -> float:
    return float(x.min() / 2 + x.max() / 2)
