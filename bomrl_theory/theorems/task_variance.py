"""Task variance bounds the expected optimality gap (THEORY section 7)."""

import numpy as np
import sympy as sp

from bomrl_theory.numbers import Array
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import INNER, eta
from bomrl_theory.theory.constants import Delta, gamma, gap, lam, rho, scalar, w
from bomrl_theory.theory.expression import largest_over_tasks, over_tasks
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import keep_or_lose
from bomrl_theory.theory.theorem import Source, Theorem


def occupancy(m: Measured) -> Array:
    """``E_tau[nu*(s) pi*(a|s)]`` [S, A], exactly zero where no optimum goes."""
    mass = (m.model.w[:, None, None] * m.star.nu[..., None]) * m.star.pi
    used = (m.star.visited[..., None] & (m.star.weights > 0)).any(axis=0)
    return np.where(used, mass.sum(axis=0), m.model.zero)


def task_variance(m: Measured) -> Array:
    """``Var = E_tau E_{nu*} KL(pi* || barycentre)``: the task-action mutual information given the state."""
    mass = occupancy(m)
    total = mass.sum(axis=-1, keepdims=True)
    return _entropy_sum(m, mass, total, mass)


def mismatch(m: Measured) -> Array:
    """``E_{nu*} KL(barycentre || phi)``: zero exactly at the barycentre."""
    mass = occupancy(m)
    total = mass.sum(axis=-1, keepdims=True)
    return _entropy_sum(m, mass, mass, total * m.phi.pi[0])


def _entropy_sum(m: Measured, weight: Array, above: Array, below: Array) -> Array:
    """``sum weight log(above/below)`` with ``0 log 0 = 0``."""
    used = weight != 0
    one = m.numbers.constant(1)
    ratio = np.where(used, above, one) / np.where(used, np.broadcast_to(below, used.shape), one)
    return (weight * m.numbers.log(ratio)).sum()


Var = scalar("Var", "task variance: E_tau E_{nu*} KL(pi* || barycentre)", "nats", task_variance, nonnegative=True)
M = scalar(
    "M",
    "mismatch of the meta-policy: E_tau E_{nu*} KL(barycentre || phi)",
    "nats",
    mismatch,
    nonnegative=True,
)

THEOREM = Theorem(
    id="task_variance-v1",
    title="Task variance bounds the expected optimality gap",
    statement=(
        r"\mathbb{E}_\tau [J^* - J(\pi^+)] \le \frac{\max(\max_\tau \Delta_\tau, \lambda)}{1-\gamma}"
        r" \left( \mathrm{Var} + \mathbb{E}_\tau \mathbb{E}_{\nu^*} \mathrm{KL}(\bar\phi \| \phi) \right)"
    ),
    source=Source("bomrl_theory", "theory section 7, for every meta-policy", "derived here"),
    status="proved",
    algorithms=("kl-posterior",),
    left=over_tasks(w.symbol * gap.symbol),
    bound=sp.Max(largest_over_tasks(Delta.symbol), lam.symbol) / (1 - gamma.symbol) * (Var.symbol + M.symbol)
    + over_tasks(w.symbol * INNER),
    constants=(w, gap, Delta, lam, gamma, Var, M, rho, eta),
    witness=lambda: Case.new(keep_or_lose(), [[99, 1], [1, 1]], "kl-posterior", 64),
    tightness=0.9946,
    proof="proofs/task_variance.md",
    notes="At the barycentre the mismatch M is 0 and the bound is max(Delta, lambda)/(1-gamma) Var.",
)
