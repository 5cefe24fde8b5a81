"""Policy mirror descent with growing step sizes: linear rate."""

from fractions import Fraction

from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, gap, gap_phi, lam, nu_star, p, per_task
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.mirror_descent import HALVING, KL_STAR, covered, drift_sum, theta, uncovered
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Assumption, Source, Theorem


def remaining(m: Measured, power: int) -> Numeric:
    """``(1 - 1/vartheta)^power`` [T]."""
    base = 1 - 1 / theta.measure(m)
    result = m.numbers.full(base.shape, m.numbers.constant(1))
    for _ in range(power):
        result = result * base
    return result


rate_K = per_task("rate_K", "(1 - 1/vartheta)^K", "1", lambda m: remaining(m, m.case.steps), nonnegative=True)
rate_before = per_task(
    "rate_before", "(1 - 1/vartheta)^(K-1)", "1", lambda m: remaining(m, m.case.steps - 1), nonnegative=True
)

THEOREM = Theorem(
    id="mirror_descent_linear-v1",
    title="Policy mirror descent, growing step sizes: linear rate",
    topic="policy optimisation",
    statement=(
        r"J^* - J(\pi_K) \le \left(1 - \frac{1}{\vartheta}\right)^K \left( J^* - J(\phi)"
        r" + \frac{\lambda_0}{(1-\gamma) (\vartheta-1)} \mathbb{E}_{\nu^*} \mathrm{KL}(\pi^* \| \phi) \right)"
        r" \quad\text{if}\quad \lambda_{k+1} \le \left(1 - \frac{1}{\vartheta}\right) \lambda_k, \quad"
        r" \vartheta = \frac{1}{1-\gamma} \max_s \frac{\nu^*(s)}{\rho(s)}"
    ),
    source=Source(
        "Xiao 2022, On the convergence rates of policy gradient methods",
        "Theorem 10, Kullback-Leibler case",
        "from memory",
    ),
    status="proved",
    algorithms=("kl-posterior-halving",),
    left=gap.symbol,
    bound=rate_K.symbol * gap_phi.symbol
    + rate_before.symbol * lam.symbol / (theta.symbol * (1 - gamma.symbol)) * KL_STAR
    + drift_sum.symbol / (1 - gamma.symbol),
    constants=(gap, rate_K, rate_before, gap_phi, lam, theta, gamma, nu_star, p, drift_sum, uncovered),
    assumptions=(
        covered("kl-posterior-halving"),
        Assumption(
            "growth",
            r"$\vartheta \ge 2$, so that halving $\lambda$ is growth enough",
            theta.symbol - 2,
            broken=lambda: Case.new(two_arms(0), [[1, 1]], "kl-posterior-halving", 1, steps=3),
        ),
    ),
    witness=lambda: Case.new(two_arms(), [[1, 2.0**900]], "kl-posterior-halving", Fraction(1, 614)),
    tightness=0.99,
    notes=(
        "The algorithm is run with lambda_k = lambda 2^-k, step sizes 1/lambda_k. From memory the source asks for "
        "growth by 1/gamma and has D/(eta_0 gamma) in the bracket, which is no smaller, since (1-gamma)(vartheta-1) "
        ">= gamma. Entered with the first factor multiplied out, which also makes sense for vartheta = 1. drift "
        "pays for floating point."
    ),
    steps=None,
    draws=(HALVING,),
)
