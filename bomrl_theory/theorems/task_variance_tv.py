"""One task's gap by the total variation of its optimum from the meta-policy (THEORY section 7)."""

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import INNER, eta
from bomrl_theory.theory.constants import Delta, gamma, gap, lam, nu_star, p, rho
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import corridor
from bomrl_theory.theory.theorem import Source, Theorem

THEOREM = Theorem(
    id="task_variance_tv-v1",
    title="Optimality gap by the optimum's own visitation, total variation form",
    topic="task distribution",
    statement=(
        r"J^* - J(\pi^+) \le \sum_s \left( \frac{\nu^*(s)}{1-\gamma} - \rho(s) \right) \Delta\,"
        r" \mathrm{TV}(\pi^*, \phi)(s) + \lambda \sum_s \rho(s)\, \mathrm{KL}(\pi^* \| \phi)(s)"
    ),
    source=Source("bomrl_theory", "theory section 7, one task, total variation", "derived here"),
    status="proved",
    algorithms=("kl-posterior",),
    left=gap.symbol,
    bound=Delta.symbol * over_states((nu_star.symbol / (1 - gamma.symbol) - rho.symbol) * (1 - p.symbol))
    + lam.symbol * over_states(rho.symbol * -sp.log(p.symbol))
    + INNER,
    constants=(gap, Delta, gamma, nu_star, lam, rho, p, eta),
    witness=lambda: Case.new(corridor(), [[2**52, 1], [1, 1]], "kl-posterior", 2**20),
    tightness=0.999999,
    proof="proofs/task_variance_tv.md",
    notes="Sharper than task_variance_task. As tight as the universal contraction bound, from which it comes.",
)
