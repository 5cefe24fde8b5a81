"""Smoothness of MAML's meta-objective (Fallah et al. 2020)."""

import sympy as sp

from bomrl_theory.meta.derivatives import maml_hypergradient, policy_gradient
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, lam, per_task
from bomrl_theory.theory.maml import ALPHA, HESSIAN, SMALL_STEP, SMALL_STEPS, alpha
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.smoothness import SMOOTHNESS, difference, distance, n, square
from bomrl_theory.theory.theorem import Derivation, Source, Theorem

change = per_task(
    "dM2",
    "|grad F(pi+) - grad F(phi)|^2 of one task, F(theta) = J(theta + alpha grad J(theta))",
    "return^2",
    lambda m: square(m, difference(m, maml_hypergradient(m.plus, alpha(m))[1], maml_hypergradient(m.phi, alpha(m))[1])),
    nonnegative=True,
)
least = per_task(
    "g_least",
    "min of |grad J(phi)| and |grad J(pi+)|",
    "return",
    lambda m: -m.numbers.maximum(*(-m.numbers.sqrt(square(m, policy_gradient(e))) for e in (m.phi, m.plus))),
    nonnegative=True,
)

_y = sp.Symbol("y", real=True)
_sigmoid = 1 / (1 + sp.exp(-_y))

THEOREM = Theorem(
    id="maml_smoothness-v1",
    title="Smoothness of MAML's meta-objective",
    topic="meta-training",
    statement=(
        r"\| \nabla F(\theta') - \nabla F(\theta) \| \le \min(L(\theta), L(\theta')) \| \theta' - \theta \|,\quad"
        r" L(\theta) = 4 L_V + 2 \rho \alpha \| \nabla J(\theta) \|,\quad \alpha \le 1/L_V"
    ),
    source=Source(
        "Fallah, Mokhtari and Ozdaglar 2020, On the convergence theory of gradient-based model-agnostic meta-learning"
        " algorithms",
        "Lemma 4.2",
        "from memory",
    ),
    status="proved",
    algorithms=("policy-gradient",),
    left=change.symbol,
    bound=(4 * SMOOTHNESS + 2 * HESSIAN * ALPHA * least.symbol) ** 2 * distance.symbol,
    constants=(change, least, distance, R, gamma, n, lam),
    assumptions=(SMALL_STEP(lambda: Case.new(two_arms(0), [[1, 1]], "policy-gradient", sp.Rational(1, 64))),),
    witness=lambda: Case.new(two_arms(0), [[15, 4]], "policy-gradient", 2**20),
    tightness=0.037,
    proof="proofs/maml_smoothness.md",
    notes=(
        "Published for a distribution of losses; here one task's return at a time, with L_V of return_smoothness, rho "
        "the Lipschitz constant of the Hessian, and alpha = (1-gamma)/(2 lambda). Verdicts take phi and pi+."
    ),
    steps=None,
    derivations=(
        Derivation(
            r"\sigma^{(3)} = \sigma (X^3 - 3 X \mathrm{Var} - m_3) \text{ for a sigmoid}",
            lambda: (
                sp.diff(_sigmoid, _y, 3)
                - _sigmoid
                * (1 - _sigmoid)
                * ((1 - _sigmoid) ** 2 - 3 * _sigmoid * (1 - _sigmoid) - _sigmoid * (1 - 2 * _sigmoid))
            ),
        ),
    ),
    draws=(SMALL_STEPS,),
)
