"""Performance difference lemma: the identity under every bound here."""

from fractions import Fraction

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import g, gamma, improvement, nu_plus
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import stay_or_leave
from bomrl_theory.theory.symbolic import performance_difference, visitation_shift
from bomrl_theory.theory.theorem import ADAPTING, Derivation, Source, Theorem

THEOREM = Theorem(
    id="performance_difference-v1",
    title="Performance difference lemma",
    topic="policy optimisation",
    statement=r"J(\pi) - J(\phi) = \frac{1}{1-\gamma} \sum_s \nu^{\pi}(s) \langle \pi(s), A^{\phi}(s,\cdot) \rangle",
    source=Source(
        "Kakade and Langford 2002, Approximately optimal approximate reinforcement learning",
        "Lemma 6.1",
        "from memory",
    ),
    status="proved",
    algorithms=ADAPTING,
    left=improvement.symbol,
    relation="==",
    bound=over_states(nu_plus.symbol * g.symbol) / (1 - gamma.symbol),
    constants=(improvement, gamma, nu_plus, g),
    witness=lambda: Case.new(stay_or_leave(), [[1, 9], [1, 1]], "kl-posterior", Fraction(1, 10)),
    tightness=1.0,
    proof="proofs/performance_difference.md",
    notes="An identity: verdicts are decided in exact rational arithmetic, for the adapted policy pi+.",
    steps=None,
    derivations=(
        Derivation(
            r"two symbolic tasks, states and actions: $J(\pi) - J(\phi) ="
            r" \frac{1}{1-\gamma} \sum_s \nu^{\pi}(s) \langle \pi, A^{\phi}\rangle(s)$",
            performance_difference,
        ),
        Derivation(
            r"two symbolic tasks, states and actions: $\nu^{\pi} - \nu^{\phi} ="
            r" \gamma \nu^{\phi} (P_\pi - P_\phi)(I - \gamma P_\pi)^{-1}$",
            visitation_shift,
        ),
    ),
)
