"""Monotonic improvement of trust region policy optimisation, Kullback-Leibler form."""

from bomrl_theory.adapt.step import kl
from bomrl_theory.theorems.trpo_improvement import THEOREM as TOTAL_VARIATION
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import A_max, gamma, per_task
from bomrl_theory.theory.small import fork
from bomrl_theory.theory.theorem import Source, Theorem
from bomrl_theory.theory.two_policies import ANY_POLICY, WRONG_TASK, missing

max_KL = per_task(
    "max_KL",
    "max_s KL(phi || pi+)",
    "nats",
    lambda m: m.numbers.largest(kl(m.phi, m.plus), -1),
    nonnegative=True,
)

THEOREM = Theorem(
    id="trpo_improvement_kl-v1",
    title="Trust region policy optimisation: lower bound on the new return, Kullback-Leibler form",
    topic="policy optimisation",
    statement=(
        r"J(\pi) \ge L_{\phi}(\pi) - \frac{4 \gamma \epsilon}{(1-\gamma)^2} \max_s \mathrm{KL}(\phi \| \pi)(s),"
        r" \quad \epsilon = \max_{s,a} |A^{\phi}(s,a)|"
    ),
    source=Source(TOTAL_VARIATION.source.work, "equation 9", "from memory"),
    status="proved",
    algorithms=ANY_POLICY,
    left=missing.symbol,
    bound=4 * gamma.symbol * A_max.symbol / (1 - gamma.symbol) ** 2 * max_KL.symbol,
    constants=(missing, gamma, A_max, max_KL),
    witness=lambda: Case.new(fork(), [[1, 1]] * 3, "wrong-task", 2**12),
    tightness=0.49999,
    notes=(
        "From the total variation form with TV^2 <= KL. Pinsker's inequality gives TV^2 <= KL/2, so half of this "
        "bound holds as well, and the witness attains that half as gamma tends to 0. The number of the equation is "
        "from memory."
    ),
    steps=None,
    draws=(WRONG_TASK,),
)
