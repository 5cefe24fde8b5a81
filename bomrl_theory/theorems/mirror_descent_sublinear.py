"""Policy mirror descent with a constant step size: sublinear rate."""

from fractions import Fraction

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, gap, lam, nu_star, p
from bomrl_theory.theory.draws import SEVERAL_STEPS
from bomrl_theory.theory.mirror_descent import FROM_UNIFORM, KL_STAR, K, drift
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Source, Theorem

THEOREM = Theorem(
    id="mirror_descent_sublinear-v1",
    title="Policy mirror descent, constant step size: sublinear rate",
    topic="policy optimisation",
    statement=(
        r"J^* - J(\pi_K) \le \frac{1}{K+1} \left( \frac{\lambda}{1-\gamma} \mathbb{E}_{\nu^*}"
        r" \mathrm{KL}(\pi^* \| \phi) + \frac{R}{(1-\gamma)^2} \right)"
    ),
    source=Source(
        "Xiao 2022, On the convergence rates of policy gradient methods",
        "Theorem 8, Kullback-Leibler case",
        "from memory",
    ),
    status="proved",
    algorithms=("kl-posterior",),
    left=gap.symbol,
    bound=(
        lam.symbol / (1 - gamma.symbol) * KL_STAR
        + R.symbol / (1 - gamma.symbol) ** 2
        + drift.symbol / (1 - gamma.symbol)
    )
    / (K.symbol + 1),
    constants=(gap, lam, gamma, nu_star, p, R, drift, K),
    witness=lambda: Case.new(two_arms(0), [[1, 2.0**900]], "kl-posterior", Fraction(1, 614)),
    tightness=0.99,
    notes=(
        "The step size eta of the source is 1/lambda; published for costs in [0, 1], and the range R takes the "
        "place of 1. The algorithm is run; drift pays for floating point. Re-derived: sum the K+1 gaps from phi to "
        "pi_K, of which the last is the smallest; the step after the last one is only thought of. The ratio tends "
        "to 1 as phi(a*) and lambda tend to 0."
    ),
    steps=None,
    draws=(SEVERAL_STEPS, FROM_UNIFORM),
)
