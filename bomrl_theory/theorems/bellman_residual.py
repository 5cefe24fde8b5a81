"""Gap of a policy from its Bellman residual."""

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, gap_phi, per_task
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Source, Theorem

residual = per_task(
    "residual",
    "max_s ((T V^phi)(s) - V^phi(s)) = max A^phi",
    "return",
    lambda m: m.numbers.largest(m.numbers.largest(m.phi.advantage, -1), -1),
    nonnegative=True,
)

THEOREM = Theorem(
    id="bellman_residual-v1",
    title="Optimality gap from the Bellman residual",
    topic="policy optimisation",
    statement=r"J^* - J(\phi) \le \frac{1}{1-\gamma} \max_s \left( (T V^{\phi})(s) - V^{\phi}(s) \right)",
    source=Source(
        "MacQueen 1966, A modified dynamic programming method for Markovian decision problems; Porteus 1971,"
        " Some bounds for discounted sequential decision processes",
        "upper bound",
        "from memory",
    ),
    status="proved",
    algorithms=("none",),
    left=gap_phi.symbol,
    bound=residual.symbol / (1 - gamma.symbol),
    constants=(gap_phi, residual, gamma),
    witness=lambda: Case.new(two_arms(), [[1, 3]], "none"),
    tightness=1.0,
    notes="The bound on V* - V for any V, at V = V^phi, whose residual is the largest advantage.",
    steps=None,
)
