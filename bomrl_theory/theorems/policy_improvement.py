"""Adaptation improves on the meta-policy, by at least its own penalty (THEORY sections 2 and 4)."""

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import g, gamma, gap, gap_phi, nu_plus, per_state, values
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import corridor
from bomrl_theory.theory.theorem import Source, Theorem

credit = per_state(
    "credit",
    "min(lambda d_i(phi, pi+), <pi+, A^phi>) at s: what the step pays for its change, if it earns as much",
    "return",
    # A minimum and not the penalty less an error: where rounding decides, both sides then are the same rational.
    lambda m: -m.numbers.maximum(-m.penalty, -values([g], m)["g"]),
)

THEOREM = Theorem(
    id="policy_improvement-v1",
    title="Policy improvement by at least the penalty",
    topic="adaptation",
    statement=r"J(\pi^+) \ge J(\phi) + \frac{1}{1-\gamma} \sum_s \nu^+(s)\, \lambda\, d_i(\phi, \pi^+)(s)",
    source=Source("bomrl_theory", "theory sections 2 and 4, i = 1, 2, 3", "derived here"),
    status="proved",
    algorithms=("kl-prior", "kl-posterior", "euclidean"),
    left=gap.symbol,
    bound=gap_phi.symbol - over_states(nu_plus.symbol * credit.symbol) / (1 - gamma.symbol),
    constants=(gap, gap_phi, nu_plus, credit, gamma),
    witness=lambda: Case.new(corridor(), [[1, 1], [1, 1]], "kl-posterior", 2**20),
    tightness=0.9999995,
    proof="proofs/policy_improvement.md",
    notes=(
        "Written as a bound on the gap. It says that J(pi+) >= J(phi), and more wherever the policy moves. "
        "For i = 3 the penalty is weighted with lambda / nu_phi(s)."
    ),
)
