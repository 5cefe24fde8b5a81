"""Conservative policy iteration: improvement of a mixture."""

from fractions import Fraction

from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, lam, per_task
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.mixture import mixture, policy_advantage
from bomrl_theory.theory.small import fork
from bomrl_theory.theory.theorem import Source, Theorem
from bomrl_theory.theory.two_policies import ANY_POLICY, WRONG_TASK, g_max

alpha = 1 / (1 + lam.symbol)


def shortfall(m: Measured) -> Numeric:
    """``J(phi) + alpha/(1-gamma) E_{nu^phi} <pi+, A^phi> - J(mixture)`` [T]."""
    weight = 1 / (1 + m.lam)
    promised = weight / (1 - m.model.gamma) * policy_advantage(m)
    return m.phi.J + promised - mixture(m, weight).J


mixture_missing = per_task(
    "mixture_missing",
    "J(phi) + alpha/(1-gamma) E_{nu^phi} <pi+, A^phi> - J((1-alpha) phi + alpha pi+), alpha = 1/(1+lambda)",
    "return",
    shortfall,
)

THEOREM = Theorem(
    id="conservative_improvement-v1",
    title="Conservative policy iteration: improvement of a mixture policy",
    topic="policy optimisation",
    statement=(
        r"J((1-\alpha) \phi + \alpha \pi) - J(\phi) \ge \frac{\alpha}{1-\gamma} \left( \mathbb{E}_{\nu^{\phi}} "
        r" \langle \pi, A^{\phi} \rangle - \frac{2 \alpha \gamma \epsilon}{1-\gamma(1-\alpha)} \right),"
        r" \quad \epsilon = \max_s |\langle \pi, A^{\phi} \rangle(s)|"
    ),
    source=Source(
        "Kakade and Langford 2002, Approximately optimal approximate reinforcement learning",
        "Theorem 4.1",
        "from memory",
    ),
    status="proved",
    algorithms=ANY_POLICY,
    left=mixture_missing.symbol,
    bound=2 * alpha**2 * gamma.symbol * g_max.symbol / ((1 - gamma.symbol) * (1 - gamma.symbol * (1 - alpha))),
    constants=(mixture_missing, lam, gamma, g_max),
    witness=lambda: Case.new(
        fork(Fraction(1, 2), stake=0.25), [[1, 2**30], [1, 1], [1, 1]], "wrong-task", Fraction(1, 2**12)
    ),
    tightness=0.999,
    notes=(
        "For any policies phi and pi+ and any alpha in [0, 1]; alpha = 1/(1+lambda) is merely how cases choose it. "
        "The source normalises values by 1-gamma: multiply both sides by it. Re-derived: the mixture chooses pi+ "
        "with probability alpha at every step, so the visitations part at step t with probability at most "
        "1-(1-alpha)^t. Tight for alpha near 1, where phi and pi+ visit different states."
    ),
    steps=None,
    draws=(WRONG_TASK,),
)
