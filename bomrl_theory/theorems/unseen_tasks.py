"""Unseen tasks: how often the empirical Bernstein bound fails (THEORY section 9)."""

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.samples import delta, failure
from bomrl_theory.theory.small import opposite_arms
from bomrl_theory.theory.theorem import ADAPTING, Source, Theorem

THEOREM = Theorem(
    id="unseen_tasks-v1",
    title="Unseen tasks: the empirical Bernstein bound fails with probability at most delta",
    topic="task distribution",
    statement=(
        r"\mathrm{Pr} \left[ \mathbb{E} z > \bar z + \sqrt{\frac{2 \hat v \log(2/\delta)}{n}}"
        r" + \frac{7 H \log(2/\delta)}{3 (n-1)} \right] \le \delta, \quad z_i = J^* - J(\pi^+) \in [0, H]"
    ),
    source=Source(
        "Maurer and Pontil 2009, Empirical Bernstein bounds and sample variance penalization",
        "theorem 4, for gaps of tasks: theory section 9",
        "from memory",
    ),
    status="proved",
    algorithms=("none", *ADAPTING),
    left=failure.symbol,
    bound=delta.symbol,
    constants=(failure, delta),
    witness=lambda: Case.new(opposite_arms(weights=(94_865, 5_135)), [[2**60, 1]], "none"),
    tightness=0.068,
    notes=(
        "Nothing is sampled: the probability is summed over every possible sample of n draws from the finite family, "
        "so the verdict is certain. n is the largest up to 64 with at most 1000 different samples; delta is 1/2, where "
        "the statement asks most of so few draws."
    ),
    steps=None,
)
