"""The universal contraction bound averaged over tasks: the expected optimality gap (THEORY section 2)."""

from bomrl_theory.theorems import contraction_euclidean, contraction_kl_posterior, contraction_kl_prior
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import COMPARATOR_ERRORS, INNER, e, eta
from bomrl_theory.theory.constants import D, gamma, gap, rho, w
from bomrl_theory.theory.expression import over_states, over_tasks, replaced
from bomrl_theory.theory.small import corridor
from bomrl_theory.theory.theorem import Derivation, Source, Theorem

ONE_TASK = (contraction_kl_prior.THEOREM, contraction_kl_posterior.THEOREM, contraction_euclidean.THEOREM)
DERIVATIONS = tuple(
    Derivation(
        rf"with $e_{i}$ for $e_i$ it is the average over tasks of {theorem.name}",
        lambda theorem=theorem: (
            replaced(THEOREM.bound, {e.symbol: COMPARATOR_ERRORS[theorem.algorithms[0]][0]}) - theorem.averaged().bound
        ),
    )
    for i, theorem in enumerate(ONE_TASK, 1)
)

THEOREM = Theorem(
    id="contraction_task_average-v1",
    title="Universal contraction bound on the expected optimality gap",
    topic="adaptation",
    statement=(
        r"\mathbb{E}_\tau [J^* - J(\pi^+)] \le \mathbb{E}_\tau \sum_s \rho(s)"
        r" \left[ \gamma (P_{\pi^*}(V^* - V^{\phi}))(s) + e_i(s) \right]"
    ),
    source=Source("bomrl_theory", "theory section 2, averaged over tasks, i = 1, 2, 3", "derived here"),
    status="proved",
    algorithms=("kl-prior", "kl-posterior", "euclidean"),
    left=over_tasks(w.symbol * gap.symbol),
    bound=over_tasks(w.symbol * (over_states(rho.symbol * (gamma.symbol * D.symbol + e.symbol)) + INNER)),
    constants=(w, gap, rho, gamma, D, e, eta),
    witness=lambda: Case.new(corridor(), [[2**52, 1], [1, 1]], "kl-posterior", 2**20),
    tightness=0.999999,
    proof="proofs/contraction_task_average.md",
    derivations=DERIVATIONS,
    probes=contraction_kl_posterior.THEOREM.probes,
    notes="e_i is the a priori comparator error of the case's own algorithm.",
)
