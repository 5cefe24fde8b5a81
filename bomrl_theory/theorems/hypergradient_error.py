"""An inexact hypergradient of Alg^(2): inner solution and adjoint both approximate (THEORY section 8)."""

from bomrl_theory.meta.derivatives import action_value_pullback, policy_gradient, soft_hypergradient
from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, lam, per_task
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.smoothness import CHAIN, CURVATURE, dual_norm, n
from bomrl_theory.theory.theorem import ADAPTING, Source, Theorem

TERMS = 4
"""Steps of the fixed-point iteration that solves the adjoint's linear system, from zero."""


def inexact(m: Measured) -> Numeric:
    """The hypergradient formula with pi+ in place of the exact solution and TERMS steps for the adjoint."""
    g = policy_gradient(m.plus)
    return g + action_value_pullback(m.phi, g, terms=TERMS) / m.lam


def misplacement(m: Measured) -> Numeric:
    """``max_s`` range over actions of ``log pi+ - log phi - Q^phi/lambda``."""
    off = m.numbers.log(m.plus.pi / m.phi.pi) - m.phi.Q / m.lam
    return m.numbers.largest(m.span(off), -1)


error = per_task(
    "error",
    "sum |h - grad F| / 2 with the inexact hypergradient h",
    "return",
    lambda m: dual_norm(m, inexact(m) - soft_hypergradient(m.phi, m.lam)[1]),
    nonnegative=True,
)
off = per_task(
    "off", "max_s range of log pi+ - log phi - Q^phi/lambda over actions", "1", misplacement, nonnegative=True
)
size = per_task(
    "g1_pi", "sum |grad J(pi+)| / 2", "return", lambda m: dual_norm(m, policy_gradient(m.plus)), nonnegative=True
)

THEOREM = Theorem(
    id="hypergradient_error-v1",
    title="Inexact hypergradient, Alg^(2): inner solution and adjoint approximate",
    topic="meta-training",
    statement=(
        r"\frac12 \| h - \nabla F \|_1 \le (1+\kappa)\, 2L\, D(\hat\theta - \theta^+) + \kappa \gamma^k \cdot \frac12"
        r" \| \nabla J(\hat\theta) \|_1,\quad k = 4"
    ),
    source=Source(
        "bomrl_theory, in the manner of Pedregosa 2016 and Grazzi et al. 2020", "theory section 8", "derived here"
    ),
    status="proved",
    algorithms=ADAPTING,
    left=error.symbol,
    bound=(1 + CHAIN) * 2 * CURVATURE * off.symbol + CHAIN * gamma.symbol**TERMS * size.symbol,
    constants=(error, off, size, R, gamma, n, lam),
    witness=lambda: Case.new(two_arms(0), [[4, 15]], "policy-gradient", 2**11),
    tightness=0.384,
    proof="proofs/hypergradient_error.md",
    notes=(
        "Any policy may stand in for Alg^(2)'s solution: verdicts take the pi+ of every algorithm. L and kappa as in "
        "meta_smoothness; D is the largest range of a state's logits. k steps solve the adjoint's system."
    ),
    steps=None,
)
