"""Gradient domination for direct parametrisation, with the visitation of phi itself."""

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import C_phi, gamma, gap_phi, nu_phi, per_state
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Source, Theorem

A_best = per_state(
    "A_best",
    "max_a A^phi(s,a)",
    "return",
    lambda m: m.numbers.largest(m.phi.advantage, -1),
    nonnegative=True,
)
ASCENT = over_states(nu_phi.symbol * A_best.symbol) / (1 - gamma.symbol)
"""``max_q <q - phi, grad J(phi)>`` over all policies q: the best action in every state."""

THEOREM = Theorem(
    id="gradient_domination-v1",
    title="Gradient domination, direct parametrisation",
    topic="policy optimisation",
    statement=(
        r"J^* - J(\phi) \le \max_s \frac{\nu^*(s)}{\nu^{\phi}(s)} \; \max_{q} \langle q - \phi, \nabla J(\phi) \rangle,"
        r" \quad \nabla J(\phi)(s,a) = \frac{\nu^{\phi}(s) Q^{\phi}(s,a)}{1-\gamma}"
    ),
    source=Source(
        "Agarwal, Kakade, Lee and Mahajan 2021, On the theory of policy gradient methods: optimality, "
        "approximation, and distribution shift",
        "Lemma 4 (Lemma 4.1 of the preprint), first inequality",
        "from memory",
    ),
    status="proved",
    algorithms=("none",),
    left=gap_phi.symbol,
    bound=C_phi.symbol * ASCENT,
    constants=(gap_phi, C_phi, gamma, nu_phi, A_best),
    witness=lambda: Case.new(two_arms(), [[1, 3]], "none"),
    tightness=1.0,
    notes=(
        "With the start distribution of the task in place of the source's mu. The maximum over policies takes the "
        "best action in every state. Re-derived: (1-gamma) gap = E_{nu*} <pi*, A> <= E_{nu*} max_a A, and max_a A "
        ">= 0."
    ),
    steps=None,
)
