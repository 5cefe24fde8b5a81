"""Safe policy iteration: improvement bound with the span of the policy's advantage."""

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma
from bomrl_theory.theory.expression import largest_over_states
from bomrl_theory.theory.small import fork
from bomrl_theory.theory.theorem import Source, Theorem
from bomrl_theory.theory.two_policies import ANY_POLICY, TV, WRONG_TASK, g_span, missing

THEOREM = Theorem(
    id="safe_policy_iteration-v1",
    title="Safe policy iteration: lower bound on the improvement",
    topic="policy optimisation",
    statement=(
        r"J(\pi) - J(\phi) \ge \frac{1}{1-\gamma} \mathbb{E}_{\nu^{\phi}} \langle \pi, A^{\phi} \rangle"
        r" - \frac{\gamma}{(1-\gamma)^2} \| \pi - \phi \|_{\infty} "
        r" \frac{\mathrm{span}_s \langle \pi, A^{\phi} \rangle}{2},"
        r" \quad \| \pi - \phi \|_{\infty} = \max_s \sum_a |\pi(a|s) - \phi(a|s)|"
    ),
    source=Source(
        "Pirotta, Restelli, Pecorino and Calandriello 2013, Safe policy iteration", "Theorem 3.5", "from memory"
    ),
    status="proved",
    algorithms=ANY_POLICY,
    left=missing.symbol,
    bound=gamma.symbol / (1 - gamma.symbol) ** 2 * 2 * largest_over_states(TV.symbol) * g_span.symbol / 2,
    constants=(missing, gamma, TV, g_span),
    witness=lambda: Case.new(fork(), [[1, 1]] * 3, "wrong-task", 4),
    tightness=0.99999,
    notes=(
        "For any policy pi+. The visitations have equal mass, so only the span of <pi, A> counts. The number of the "
        "theorem is from memory. Sharper than the trust region bound, whose witness it shares."
    ),
    steps=None,
    draws=(WRONG_TASK,),
)
