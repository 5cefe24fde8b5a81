"""Natural policy gradient: improvement of one step."""

from fractions import Fraction

from bomrl_theory.theorems.coverage import zeta
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, improvement, per_state, rho
from bomrl_theory.theory.expression import largest_over_states, over_states
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Source, Theorem

soft_gain = per_state(
    "soft_gain",
    "lambda log sum_a phi(a|s) exp(A^phi(s,a)/lambda)",
    "return",
    lambda m: m.soft_value - m.phi.V,
    nonnegative=True,
)

THEOREM = Theorem(
    id="npg_improvement-v1",
    title="Natural policy gradient: improvement of one step",
    topic="policy optimisation",
    statement=(
        r"J(\pi_{t+1}) - J(\pi_t) \ge \frac{1-\gamma}{\eta} \mathbb{E}_{s \sim \rho} \log Z_t(s) \ge 0, \quad"
        r" Z_t(s) = \sum_a \pi_t(a|s) e^{\eta A^{\pi_t}(s,a)/(1-\gamma)}, \quad \eta = \frac{1-\gamma}{\lambda}"
    ),
    source=Source(
        "Agarwal, Kakade, Lee and Mahajan 2021, On the theory of policy gradient methods: optimality, "
        "approximation, and distribution shift",
        "Lemma 17 (Lemma 5.2 of the preprint)",
        "from memory",
    ),
    status="proved",
    algorithms=("kl-posterior",),
    left=over_states(rho.symbol * soft_gain.symbol),
    bound=improvement.symbol
    + over_states(rho.symbol * zeta.symbol)
    + gamma.symbol / (1 - gamma.symbol) * largest_over_states(zeta.symbol),
    constants=(rho, soft_gain, improvement, zeta, gamma),
    witness=lambda: Case.new(two_arms(0), [[1, 1]], "kl-posterior", Fraction(1, 2**24)),
    tightness=0.999999,
    notes=(
        "The natural gradient step pi exp(eta A/(1-gamma))/Z is Alg^(2) with lambda = (1-gamma)/eta. The terms in "
        "zeta pay for floating-point adaptation. Re-derived: <pi+, A> = lambda log Z + lambda KL(pi+||phi) >= "
        "lambda log Z >= 0 in every state."
    ),
)
