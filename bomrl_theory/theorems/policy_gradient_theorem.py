"""The policy gradient theorem, along the straight line from phi to pi+."""

from fractions import Fraction

from jaxtyping import Shaped

from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, nu_phi, per_state, per_task
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import stay_or_leave
from bomrl_theory.theory.theorem import Source, Theorem
from bomrl_theory.theory.two_policies import ANY_POLICY, WRONG_TASK


def derivative(m: Measured) -> Shaped[Numeric, " T"]:
    """``d/dt J(phi + t (pi+ - phi))`` at t = 0: Bellman's equation, differentiated and solved."""
    change = m.numbers.dot(m.plus.pi - m.phi.pi, m.model.r)
    change = change + m.model.gamma * m.numbers.dot(m.plus.P - m.phi.P, m.phi.V[:, None, :])
    return m.numbers.dot(m.model.rho, m.numbers.solve_discounted(m.phi.P, m.model.gamma, change))


slope = per_task("slope", "derivative of J(phi + t (pi+ - phi)) at t = 0", "return", derivative)
h = per_state("h", "<pi+ - phi, Q^phi> at s", "return", lambda m: m.numbers.dot(m.plus.pi - m.phi.pi, m.phi.Q))

THEOREM = Theorem(
    id="policy_gradient_theorem-v1",
    title="Policy gradient theorem",
    topic="policy optimisation",
    statement=(r"\nabla J(\phi) = \frac{1}{1-\gamma} \sum_s \nu^{\phi}(s) \sum_a \nabla \phi(a|s)\, Q^{\phi}(s,a)"),
    source=Source(
        "Sutton, McAllester, Singh and Mansour 1999, Policy gradient methods for reinforcement learning with function"
        " approximation",
        "Theorem 1",
        "from memory",
    ),
    status="proved",
    algorithms=ANY_POLICY,
    left=slope.symbol,
    relation="==",
    bound=over_states(nu_phi.symbol * h.symbol) / (1 - gamma.symbol),
    constants=(slope, gamma, nu_phi, h),
    witness=lambda: Case.new(stay_or_leave(), [[1, 9], [1, 1]], "kl-posterior", Fraction(1, 10)),
    tightness=1.0,
    notes=(
        "An identity, decided in rationals: both sides are applied to the direction pi+ - phi, in which nabla phi "
        "is that direction itself. The left side comes from Bellman's equation, differentiated. Every "
        "parametrisation follows by the chain rule."
    ),
    steps=None,
    draws=(WRONG_TASK,),
)
