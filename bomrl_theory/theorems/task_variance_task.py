"""One task's gap by the divergence of its optimum from the meta-policy (THEORY section 7)."""

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import INNER, eta
from bomrl_theory.theory.constants import Delta, gamma, gap, lam, nu_star, p, rho
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import keep_or_lose
from bomrl_theory.theory.theorem import Source, Theorem

THEOREM = Theorem(
    id="task_variance_task-v1",
    title="Optimality gap by the optimum's own visitation, Kullback-Leibler form",
    topic="task distribution",
    statement=(
        r"J^* - J(\pi^+) \le \frac{\Delta}{1-\gamma} \sum_s \nu^*(s)\, \mathrm{KL}(\pi^* \| \phi)(s)"
        r" + \max(\lambda - \Delta, 0) \sum_s \rho(s)\, \mathrm{KL}(\pi^* \| \phi)(s)"
    ),
    source=Source("bomrl_theory", "theory section 7, one task", "derived here"),
    status="proved",
    algorithms=("kl-posterior",),
    left=gap.symbol,
    bound=Delta.symbol / (1 - gamma.symbol) * over_states(nu_star.symbol * -sp.log(p.symbol))
    + sp.Max(lam.symbol - Delta.symbol, 0) * over_states(rho.symbol * -sp.log(p.symbol))
    + INNER,
    constants=(gap, Delta, gamma, nu_star, lam, rho, p, eta),
    witness=lambda: Case.new(keep_or_lose(), [[99, 1], [1, 1]], "kl-posterior", 64),
    tightness=0.9946,
    proof="proofs/task_variance_task.md",
    notes="Averaged over tasks it leads to task_variance. The weights belong to the optimum, not to phi.",
)
