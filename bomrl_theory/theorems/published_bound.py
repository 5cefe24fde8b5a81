"""The published form of the bound, reconstructed, without a condition on lambda: refuted (THEORY section 4)."""

from fractions import Fraction
from typing import Any

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, gap, lam, nu_phi, p, w
from bomrl_theory.theory.expression import over_states, over_tasks, positive
from bomrl_theory.theory.small import stay_or_leave
from bomrl_theory.theory.theorem import Derivation, Source, Theorem

PUBLISHED = (
    lam.symbol
    * (1 + gamma.symbol)
    / (1 - gamma.symbol)
    * over_tasks(w.symbol * over_states(nu_phi.symbol * -sp.log(p.symbol)))
)
STATEMENT = (
    r"\mathbb{E}_\tau [J^* - J(\pi^+)] \le \frac{\lambda(1+\gamma)}{1-\gamma}"
    r" \mathbb{E}_\tau \mathbb{E}_{\nu^{\phi}} \mathrm{KL}(\pi^* \| \phi)"
)

DISCOUNT, STAY = positive("gamma"), positive("x")
RETURN = (STAY + (1 - STAY) * DISCOUNT / (1 - DISCOUNT)) / (1 - DISCOUNT * STAY)
"""What a policy that stays with probability x earns in the counterexample's family (stay_or_leave)."""
ADVANTAGE = 1 + DISCOUNT * RETURN - DISCOUNT / (1 - DISCOUNT)
"""Q(stay) - Q(leave) under that policy."""


def factor() -> Any:
    """What stands before the expectation in the published form."""
    return sp.Mul(*(part for part in sp.Mul.make_args(PUBLISHED) if not part.has(sp.Sum)))


DERIVATIONS = (
    Derivation(
        r"the factor $\lambda(1+\gamma)/(1-\gamma)$ is $(\lambda + \kappa)/(1-\gamma)$ of the surrogate bound at"
        r" $\kappa = \gamma \lambda$",
        lambda: factor() - (lam.symbol + gamma.symbol * lam.symbol) / (1 - gamma.symbol),
    ),
    Derivation(
        r"at $\gamma = 0$ it is $\lambda \mathbb{E}_{\nu^{\phi}} \mathrm{KL}(\pi^* \| \phi)$, which is true",
        lambda: factor().subs(gamma.symbol, 0) - lam.symbol,
    ),
    Derivation(
        r"as $\lambda \to 0$ it tends to 0, whatever the gap",
        lambda: sp.limit(factor(), lam.symbol, 0, "+"),
    ),
    Derivation(
        r"no constant repairs it: in the counterexample's family the gap of an even $\pi^+$ is $1/(2-\gamma)$",
        lambda: 1 / (1 - DISCOUNT) - RETURN.subs(STAY, sp.Rational(1, 2)) - 1 / (2 - DISCOUNT),
    ),
    Derivation(
        r"while $Q(\mathrm{stay}) - Q(\mathrm{leave})$, and with it the $\lambda$ that makes $\pi^+$ even, tends to"
        r" $1-\gamma$ as $\phi(\mathrm{stay}) \to 0$",
        lambda: sp.limit(ADVANTAGE, STAY, 0, "+") - (1 - DISCOUNT),
    ),
)

THEOREM = Theorem(
    id="published_bound-v1",
    title="Published form of the bound, any lambda",
    topic="surrogate bounds",
    statement=STATEMENT,
    source=Source(
        "Xu and Zhu 2024, Meta-Reinforcement Learning with Universal Policy Adaptation (NeurIPS)",
        "the line drawn by the authors' plotting script",
        "reconstructed",
    ),
    status="refuted",
    algorithms=("kl-posterior",),
    left=over_tasks(w.symbol * gap.symbol),
    bound=PUBLISHED,
    constants=(w, gap, lam, gamma, nu_phi, p),
    witness=lambda: Case.new(stay_or_leave(), [[1, 9], [2**20, 1]], "kl-posterior", Fraction(1, 10)),
    tightness=1.85,
    proof="proofs/published_bound.md",
    derivations=DERIVATIONS,
    notes=(
        "The paper's text was not at hand: the form is reconstructed from the public figures' script, which draws this "
        "line at lambda = 0.1 or 0.05. Its own statement may carry a condition on lambda; with one it is true "
        "(published_bound_conditional)."
    ),
)
