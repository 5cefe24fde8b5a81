"""Mirror descent after K steps: the rate 1/K for every lambda (THEORY section 3)."""

from fractions import Fraction

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, gap, lam, nu_star, p
from bomrl_theory.theory.draws import SEVERAL_STEPS
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.steps import G_K, K, chi, omega
from bomrl_theory.theory.theorem import Assumption, Source, Theorem

SUM = over_states(nu_star.symbol * (-lam.symbol * sp.log(p.symbol) + G_K.symbol + omega.symbol)) + chi.symbol

THEOREM = Theorem(
    id="npg_steps-v1",
    title="Mirror descent, K steps: rate 1/K",
    topic="policy optimisation",
    statement=(
        r"J^* - J(\pi_K) \le \frac{\lambda \sum_s \nu^*(s) \mathrm{KL}(\pi^* \| \phi)(s)"
        r" + \sum_s \nu^*(s) (V^{\pi_K} - V^{\phi})(s)}{K (1-\gamma)}"
    ),
    source=Source(
        "bomrl_theory, after Agarwal et al. 2019, On the theory of policy gradient methods",
        "theory section 3, K steps",
        "derived here",
    ),
    status="proved",
    algorithms=("kl-posterior",),
    left=gap.symbol,
    bound=SUM / (sp.Max(K.symbol, 1) * (1 - gamma.symbol)),
    constants=(gap, nu_star, lam, p, G_K, omega, chi, K, gamma),
    assumptions=(
        Assumption(
            "at least one step",
            r"$K \ge 1$",
            K.symbol - 1,
            broken=lambda: Case.new(two_arms(), [[1, 1]], "kl-posterior", Fraction(1, 2), steps=0),
        ),
    ),
    witness=lambda: Case.new(two_arms(0), [[1, 2**1000]], "kl-posterior", Fraction(1, 343), steps=2),
    tightness=0.98,
    proof="proofs/npg_steps.md",
    notes=(
        "omega and chi pay for steps that are not the argmax. With a fixed lambda this is the classical rate. The "
        "witness's ratio tends to 1 with KL(pi*||phi), for every K."
    ),
    steps=None,
    draws=(SEVERAL_STEPS,),
)
