"""No meta-policy is nearer to all optima than their barycentre (THEORY section 7)."""

import numpy as np
import sympy as sp

from bomrl_theory.numbers import Numeric
from bomrl_theory.theorems.task_variance import Occupancy
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import scalar
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import opposite_arms
from bomrl_theory.theory.theorem import Source, Theorem


def excess(m: Measured) -> Numeric:
    """``E_tau E_{nu*} log(barycentre(a*|s) / phi(a*|s))``: the divergences' difference, task by task."""
    optima = Occupancy.of(m)
    one = m.numbers.constant(1)
    visited = optima.used.any(axis=-1, keepdims=True)
    share = optima.mass / np.where(visited, optima.total, one)
    at_star = m.at_star(np.broadcast_to(share, m.phi.pi.shape))
    ratio = np.where(m.star.visited, at_star, one) / np.where(m.star.visited, m.at_star(m.phi.pi), one)
    return (m.model.w[:, None] * m.numbers.multiply(m.star.nu, m.numbers.log(ratio))).sum()


X = scalar(
    "X",
    "E_tau E_{nu*} [KL(pi*||phi) - KL(pi*||barycentre)]: what phi has more than the barycentre",
    "nats",
    excess,
)

THEOREM = Theorem(
    id="barycentre_optimal-v1",
    title="The barycentre is the best meta-policy in divergence from the optima",
    topic="task distribution",
    statement=(
        r"\mathrm{Var} = \mathbb{E}_\tau \mathbb{E}_{\nu^*} \mathrm{KL}(\pi^* \| \bar\phi)"
        r" \le \mathbb{E}_\tau \mathbb{E}_{\nu^*} \mathrm{KL}(\pi^* \| \phi)"
    ),
    source=Source("bomrl_theory", "theory section 7", "derived here"),
    status="proved",
    algorithms=("none",),
    left=sp.exp(-X.symbol),
    bound=sp.Integer(1),
    constants=(X,),
    witness=lambda: Case.new(opposite_arms(), [[1, 1]], "none"),
    tightness=1.0,
    proof="proofs/barycentre_optimal.md",
    notes=(
        "Judged as exp(-X) <= 1 with X the difference of both sides, whose logarithms are taken of one quotient each: "
        "so the tie at the barycentre itself is exact. Whatever phi is, Var is a lower bound."
    ),
    steps=None,
)
