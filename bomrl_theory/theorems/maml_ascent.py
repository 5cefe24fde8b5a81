"""One exact ascent step on MAML's meta-objective (Fallah et al. 2020)."""

import numpy as np

from bomrl_theory.meta.derivatives import maml_hypergradient, maml_step, policy_gradient, tilted
from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, lam, per_task
from bomrl_theory.theory.maml import ALPHA, HESSIAN, SMALL_STEP, SMALL_STEPS, alpha
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.smoothness import SMOOTHNESS, measure, n, square
from bomrl_theory.theory.theorem import Source, Theorem

length = per_task(
    "g",
    "|grad J(phi)|",
    "return",
    lambda m: m.numbers.sqrt(square(m, policy_gradient(m.phi))),
    nonnegative=True,
)
LOCAL = 4 * SMOOTHNESS + 2 * HESSIAN * ALPHA * length.symbol
"""L(theta), the smoothness of F as seen from theta."""


def gain(m: Measured) -> Numeric:
    """``F(theta + grad F(theta)/L(theta)) - F(theta)``; without a reward to choose F is constant: no step."""
    smoothness = measure(m, LOCAL, (R, gamma, n, lam, length))
    step = np.where(smoothness > 0, smoothness, m.numbers.constant(1))[..., None]
    here, gradient = maml_hypergradient(m.phi, alpha(m))
    return maml_step(tilted(m.phi, gradient / step), alpha(m)).J - here.J


size = per_task(
    "M2",
    "|grad F(phi)|^2 of one task, F(theta) = J(theta + alpha grad J(theta))",
    "return^2",
    lambda m: square(m, maml_hypergradient(m.phi, alpha(m))[1]),
    nonnegative=True,
)
gained = per_task("gain", "F(theta + grad F(theta)/L(theta)) - F(theta)", "return", gain)

THEOREM = Theorem(
    id="maml_ascent-v1",
    title="Exact ascent on MAML's meta-objective",
    topic="meta-training",
    statement=(
        r"\| \nabla F(\theta) \|^2 \le 2 L(\theta) \left[ F(\theta + \nabla F(\theta)/L(\theta)) - F(\theta)"
        r" \right],\quad"
        r" L(\theta) = 4 L_V + 2 \rho \alpha \| \nabla J(\theta) \|,\quad \alpha \le 1/L_V"
    ),
    source=Source(
        "Fallah, Mokhtari and Ozdaglar 2020, On the convergence theory of gradient-based model-agnostic meta-learning"
        " algorithms",
        "the deterministic case of the step behind its stationarity theorem for MAML",
        "reconstructed",
    ),
    status="proved",
    algorithms=("policy-gradient",),
    left=size.symbol,
    bound=2 * LOCAL * gained.symbol,
    constants=(size, gained, length, R, gamma, n, lam),
    assumptions=(SMALL_STEP(lambda: Case.new(two_arms(0), [[1, 1]], "policy-gradient", "1/64")),),
    witness=lambda: Case.new(two_arms(0), [[10, 3]], "policy-gradient", 2**20),
    tightness=0.553,
    proof="proofs/maml_ascent.md",
    notes=(
        "The published theorem is about sampled gradients, with larger constants; summed over steps this is its exact "
        "case: a step 1/L(theta) gains |grad F|^2/(2 L). Constants as in maml_smoothness."
    ),
    steps=None,
    draws=(SMALL_STEPS,),
)
