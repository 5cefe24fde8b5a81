"""Natural policy gradient from the uniform policy: dimension-free rate."""

import sympy as sp

from bomrl_theory.theorems.npg_improvement import THEOREM as IMPROVEMENT
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import actions
from bomrl_theory.theory.constants import R, gamma, gap, lam, scalar
from bomrl_theory.theory.mirror_descent import FROM_UNIFORM, K, drift
from bomrl_theory.theory.small import one_good_arm, two_arms
from bomrl_theory.theory.theorem import Assumption, Source, Theorem

nonuniform = scalar(
    "nonuniform",
    "number of probabilities of phi that differ from that of action 0 in their state",
    "1",
    lambda m: m.numbers.constant(int((m.case.phi != m.case.phi[:, :1]).sum())),
    shared=True,
    nonnegative=True,
)

THEOREM = Theorem(
    id="npg_rate-v1",
    title="Natural policy gradient: rate from the uniform policy",
    topic="policy optimisation",
    statement=(
        r"J^* - J(\pi_K) \le \frac{\log A}{\eta K} + \frac{R}{(1-\gamma)^2 K} \quad\text{from the uniform policy,}\quad"
        r" \eta = \frac{1-\gamma}{\lambda}"
    ),
    source=Source(IMPROVEMENT.source.work, "Theorem 16 (Theorem 5.3 of the preprint)", "from memory"),
    status="proved",
    algorithms=("kl-posterior",),
    left=gap.symbol,
    bound=(
        lam.symbol * sp.log(actions.symbol) / (1 - gamma.symbol)
        + R.symbol / (1 - gamma.symbol) ** 2
        + drift.symbol / (1 - gamma.symbol)
    )
    / K.symbol,
    constants=(gap, lam, actions, gamma, R, drift, K, nonuniform),
    assumptions=(
        Assumption(
            "uniform start",
            r"$\phi(a|s) = 1/A$",
            -nonuniform.symbol,
            broken=lambda: Case.new(two_arms(), [[1, 2**40]], "kl-posterior", 10, steps=20),
        ),
    ),
    witness=lambda: Case.new(one_good_arm(128), [[1] * 128], "kl-posterior", 8, steps=32),
    tightness=0.56,
    notes=(
        "Published for rewards in [0, 1]; the range R takes the place of 1, since adding a constant to all rewards "
        "changes nothing and scaling them by R scales lambda with them. The step pi exp(eta A/(1-gamma))/Z is "
        "Alg^(2) with lambda = (1-gamma)/eta. The algorithm is run; drift pays for floating point. Weaker than "
        "mirror_descent_sublinear, which has K+1 for K. The ratio tends to 1 with many arms and many steps."
    ),
    steps=None,
    draws=(FROM_UNIFORM,),
)
