"""Simulation lemma: a policy's return in two models."""

from fractions import Fraction

from bomrl_theory.numbers import Numeric
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, per_task, scalar, w
from bomrl_theory.theory.expression import over_tasks
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.theorem import Source, Theorem
from bomrl_theory.theory.two_policies import absolute


def value_difference(m: Measured) -> Numeric:
    """``|rho_tau . (V^phi_tau - V^phi_1)|`` [T]."""
    return absolute(m, m.numbers.dot(m.model.rho, m.phi.V - m.phi.V[:1]))


def reward_difference(m: Measured) -> Numeric:
    """``max |r_tau - r_1|`` [T]."""
    return m.numbers.largest(m.numbers.largest(absolute(m, m.model.r - m.model.r[:1]), -1), -1)


def transition_difference(m: Measured) -> Numeric:
    """``max_{s,a} |P_tau(.|s,a) - P_1(.|s,a)|_1`` [T]."""
    rows = absolute(m, m.model.P - m.model.P[:1]).sum(axis=-1)
    return m.numbers.largest(m.numbers.largest(rows, -1), -1)


model_gap = per_task(
    "model_gap", "|rho . (V^phi - V^phi in the first task)|", "return", value_difference, nonnegative=True
)
eps_r = per_task("eps_r", "max |r - r in the first task|", "reward", reward_difference, nonnegative=True)
eps_P = per_task("eps_P", "max_{s,a} sum_s' |P - P in the first task|", "1", transition_difference, nonnegative=True)
R_first = scalar("R_first", "max r - min r in the first task", "reward", lambda m: m.reward_range[0], nonnegative=True)


def detour() -> TaskFamily:
    """Either action leads from state 0 to state 1 in the first task, to state 2 in the second, where rewards differ."""
    P = [[[[0, 1, 0]] * 2, [[0, 1, 0]] * 2, [[0, 0, 1]] * 2], [[[0, 0, 1]] * 2, [[0, 0, 1]] * 2, [[0, 0, 1]] * 2]]
    small = 2.0**-20
    r = [[[0, 0], [1, 1], [0, 0]], [[-small, -small], [1, 1], [-small, -small]]]
    return TaskFamily.new(P, r, Fraction(1, 2**20), [1, 0, 0], name="detour")


THEOREM = Theorem(
    id="simulation_lemma-v1",
    title="Simulation lemma: return of one policy in different models",
    topic="policy optimisation",
    statement=(
        r"\mathbb{E}_\tau |\rho_\tau^\top (V^{\phi}_\tau - V^{\phi}_1)| \le \mathbb{E}_\tau \left["
        r" \frac{\epsilon_r}{1-\gamma} + \frac{\gamma \epsilon_P R_1}{2 (1-\gamma)^2} \right],"
        r" \quad \epsilon_r = \max_{s,a} |r_\tau - r_1|, \quad \epsilon_P = \max_{s,a} \| P_\tau - P_1 \|_1"
    ),
    source=Source(
        "Kearns and Singh 2002, Near-optimal reinforcement learning in polynomial time",
        "simulation lemma, discounted form with constants",
        "reconstructed",
    ),
    status="proved",
    algorithms=("none",),
    left=over_tasks(w.symbol * model_gap.symbol),
    bound=over_tasks(
        w.symbol
        * (
            eps_r.symbol / (1 - gamma.symbol)
            + gamma.symbol * eps_P.symbol * R_first.symbol / (2 * (1 - gamma.symbol) ** 2)
        )
    ),
    constants=(w, model_gap, eps_r, eps_P, R_first, gamma),
    witness=lambda: Case.new(detour(), [[1, 1]] * 3, "none"),
    tightness=0.99999,
    notes=(
        "The first task of the family is the model, the others are what it stands for. The published lemma asks how "
        "close a model must be for a given accuracy; this is the inequality that it rests on, in its usual "
        "discounted form. Proof: V_tau - V_1 = (I - gamma P_tau)^-1 (r_tau - r_1 + gamma (P_tau - P_1) V_1), and "
        "V_1 has span at most R_1/(1-gamma)."
    ),
    steps=None,
)
