"""Task variance bounds the expected optimality gap, whatever the regularisation (THEORY section 7)."""

import sympy as sp

from bomrl_theory.theorems.task_variance import M, Var
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import eta_phi
from bomrl_theory.theory.constants import Delta, gamma, gap, w
from bomrl_theory.theory.expression import largest_over_states, largest_over_tasks, over_tasks, positive
from bomrl_theory.theory.small import keep_or_lose, swapped_keep_or_lose
from bomrl_theory.theory.theorem import Derivation, Source, Theorem

DISCOUNT, SHARE = positive("gamma"), positive("p")


def _ratio_of_keep_or_lose() -> sp.Expr:
    """The gap of the policy that keeps with probability p over the bound."""
    returns = SHARE / (1 - DISCOUNT * SHARE)
    span = 1 + DISCOUNT * returns
    return (1 / (1 - DISCOUNT) - returns) / (span / (1 - DISCOUNT) * -sp.log(SHARE)) - (1 - SHARE) / -sp.log(SHARE)


THEOREM = Theorem(
    id="task_variance_sharp-v1",
    title="Task variance bounds the expected optimality gap, whatever lambda",
    topic="task distribution",
    statement=(
        r"\mathbb{E}_\tau [J^* - J(\pi^+)] \le \frac{\max_\tau \Delta_\tau}{1-\gamma}"
        r" \left( \mathrm{Var} + \mathbb{E}_\tau \mathbb{E}_{\nu^*} \mathrm{KL}(\bar\phi \| \phi) \right)"
    ),
    source=Source("bomrl_theory", "theory section 7, without lambda", "derived here"),
    status="proved",
    algorithms=("kl-prior", "kl-posterior", "euclidean"),
    left=over_tasks(w.symbol * gap.symbol),
    bound=largest_over_tasks(Delta.symbol) / (1 - gamma.symbol) * (Var.symbol + M.symbol)
    + over_tasks(w.symbol * largest_over_states(eta_phi.symbol)) / (1 - gamma.symbol),
    constants=(w, gap, Delta, gamma, Var, M, eta_phi),
    witness=lambda: Case.new(keep_or_lose(), [[2**20, 1], [1, 1]], "kl-posterior", 2**60),
    tightness=0.999999,
    proof="proofs/task_variance_sharp.md",
    derivations=(
        Derivation(
            r"in keep-or-lose, gap over bound of a policy that keeps with $p = \phi(\mathrm{keep})$ is"
            r" $(1-p)/(-\log p)$, for every $\gamma$",
            _ratio_of_keep_or_lose,
        ),
        Derivation(
            r"which tends to 1 if $p \to 1$",
            lambda: sp.limit((1 - SHARE) / -sp.log(SHARE), SHARE, 1, "-") - 1,
        ),
    ),
    # Even phi is the barycentre: M = 0, and the bound rests on Var.
    probes=(lambda: Case.new(swapped_keep_or_lose(), [[1, 1], [1, 1]], "kl-posterior", 2**60),),
    notes=(
        "Sharper than task_variance wherever lambda > Delta, and for all three algorithms. It bounds the gap of the "
        "meta-policy already, so it is never informative; and neither is task_variance, which is no smaller."
    ),
)
