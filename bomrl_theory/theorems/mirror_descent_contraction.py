"""Policy mirror descent: contraction of one step, from which the linear rate follows."""

from bomrl_theory.theorems.coverage import k, zeta
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, gap, gap_phi, lam, nu_plus, nu_star
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.mirror_descent import covered, theta, uncovered
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Source, Theorem

THEOREM = Theorem(
    id="mirror_descent_contraction-v1",
    title="Policy mirror descent: contraction of one step",
    topic="policy optimisation",
    statement=(
        r"J^* - J(\pi^+) \le \left(1 - \frac{1}{\vartheta}\right) (J^* - J(\phi))"
        r" + \frac{\lambda}{\vartheta (1-\gamma)} \mathbb{E}_{\nu^*} \left[ \mathrm{KL}(\pi^* \| \phi)"
        r" - \mathrm{KL}(\pi^* \| \pi^+) \right], \quad \vartheta = \frac{1}{1-\gamma} \max_s \frac{\nu^*(s)}{\rho(s)}"
    ),
    source=Source(
        "Xiao 2022, On the convergence rates of policy gradient methods",
        "the step in the proof of Theorem 10, Kullback-Leibler case",
        "from memory",
    ),
    status="proved",
    algorithms=("kl-posterior",),
    left=gap.symbol,
    bound=(1 - 1 / theta.symbol) * gap_phi.symbol
    + lam.symbol / (theta.symbol * (1 - gamma.symbol)) * over_states(nu_star.symbol * k.symbol)
    + over_states((nu_plus.symbol - nu_star.symbol / theta.symbol) * zeta.symbol) / (1 - gamma.symbol),
    constants=(gap, theta, gap_phi, lam, gamma, nu_star, nu_plus, k, zeta, uncovered),
    assumptions=(covered("kl-posterior"),),
    witness=lambda: Case.new(two_arms(), [[1, 1]], "kl-posterior", 2**20),
    tightness=0.999999,
    notes=(
        "A priori, where coverage is a posteriori: vartheta is at least max nu*/nu+. The bracket is measured "
        "through the three-point identity, as there, and so keeps -KL(pi+||phi), which the source drops; zeta pays "
        "for floating point. The factors 1/(1-gamma) belong to normalised visitations."
    ),
)
