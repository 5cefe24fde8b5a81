"""Meta-training by gradient ascent with step 1/L_F, run exactly (THEORY section 8)."""

import numpy as np

from bomrl_theory.meta.derivatives import soft_hypergradient, tilted
from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, lam, per_task, scalar, values, w
from bomrl_theory.theory.expression import evaluate, over_tasks
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.smoothness import META_SMOOTHNESS, n, soft
from bomrl_theory.theory.theorem import Source, Theorem

STEPS = 3
"""Meta-steps that are run."""
L_F = over_tasks(w.symbol * META_SMOOTHNESS)


def squares(m: Measured) -> Numeric:
    """``sum_t |grad F(theta_t)|^2`` along STEPS steps ``theta + grad F / L_F``."""
    smoothness = evaluate(L_F, values((w, R, gamma, n, lam), m), m.numbers, m.phi.V.shape)
    constant = not np.any(np.asarray(smoothness > 0, dtype=bool))  # without rewards to choose from F is constant
    at, total = m.phi, m.numbers.full((), m.model.zero)
    for _ in range(1 if constant else STEPS):
        gradients = soft_hypergradient(at, m.lam)[1]
        gradient = (m.model.w[:, None, None] * gradients).sum(axis=0)
        total = total + (gradient * gradient).reshape(-1).sum(axis=-1)
        if not constant:
            at = tilted(at, np.broadcast_to((gradient / smoothness)[None], at.pi.shape))
    return total


def missed(m: Measured) -> Numeric:
    """``J* - J(Alg^(2)(phi))`` by the performance difference lemma: no digits are lost where it is tiny."""
    plus = soft(m)
    return m.numbers.dot(plus.nu, plus.average(-m.star.advantage)) / (1 - m.model.gamma)


squared = scalar(
    "G2",
    "sum of |grad F(theta_t)|^2 over 3 steps of exact ascent with step 1/L_F",
    "return^2",
    squares,
    nonnegative=True,
)
soft_gap = per_task(
    "gap_soft",
    "J* - J(Alg^(2)(phi)), Alg^(2) solved exactly",
    "return",
    missed,
    nonnegative=True,
)

THEOREM = Theorem(
    id="meta_stationarity-v1",
    title="Stationarity of meta-training with step 1/L_F, Alg^(2)",
    topic="meta-training",
    statement=(
        r"T \min_{t<T} \| \nabla F(\theta_t) \|^2 \le \sum_{t<T} \| \nabla F(\theta_t) \|^2 \le 2 L_F"
        r" \mathbb{E}_\tau [J^* - J(\mathrm{Alg}(\phi_0))],\quad \theta_{t+1} = \theta_t + \nabla F(\theta_t)/L_F"
    ),
    source=Source("bomrl_theory", "theory section 8, with the L_F of meta_smoothness", "derived here"),
    status="proved",
    algorithms=("kl-posterior",),
    left=squared.symbol,
    bound=2 * L_F * over_tasks(w.symbol * soft_gap.symbol),
    constants=(squared, soft_gap, w, R, gamma, n, lam),
    witness=lambda: Case.new(two_arms(0), [[2, 1]], "kl-posterior", 64),
    tightness=0.67,
    proof="proofs/meta_stationarity.md",
    notes="The ascent is run for three steps on the average over tasks, exactly, from the case's meta-policy.",
    steps=None,
)
