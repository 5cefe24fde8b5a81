"""Alg^(2) with ``lambda 2^-k`` in step k: mirror descent with geometrically growing step sizes."""

from __future__ import annotations

from bomrl_theory.adapt import kl_posterior
from bomrl_theory.adapt.step import Algorithm, Step
from bomrl_theory.exact.evaluate import Evaluation


def solve_kth(policies: Evaluation, lam: float, k: int) -> Step:
    """Step k; halving a double is exact."""
    return kl_posterior.solve(policies, lam * 0.5**k)


ALGORITHM = Algorithm(
    name="kl-posterior-halving",
    label="Alg⁽²⁾, halving",
    summary="KL(pi || phi), lambda halved after every step",
    solve=kl_posterior.solve,
    solve_kth=solve_kth,
)
