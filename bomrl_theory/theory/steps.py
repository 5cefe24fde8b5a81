"""Constants that look along the adaptation, or several steps of the environment ahead (THEORY sections 2 and 3)."""

from __future__ import annotations

from jaxtyping import Shaped

from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.comparator import e_post, eta_phi, shortfall
from bomrl_theory.theory.constants import Constant, per_state, per_task, values
from bomrl_theory.theory.measured import Measured


def discounted(m: Measured, x: Numeric) -> Numeric:
    """``gamma x``; exactly zero if gamma is, however little is known of x."""
    return m.numbers.multiply(m.numbers.full(x.shape, m.model.gamma), x)


def optimally_ahead(m: Measured, x: Shaped[Numeric, "T S"], n: int) -> Shaped[Numeric, "T S"]:
    """``(gamma P_{pi*})^n x``."""
    for _ in range(n):
        x = discounted(m, m.ahead(x))
    return x


def errors_of_steps(m: Measured) -> Shaped[Numeric, "T S"]:
    """``sum_j (gamma P*)^j e^(K-1-j)``: an error that was made earlier is seen further ahead, by Horner's rule."""
    total = m.numbers.full(m.phi.V.shape, m.model.zero)
    for step in m.steps:
        total = optimally_ahead(m, total, 1) + values([e_post], step)["e_post"]
    return total


def cost_of_steps(m: Measured) -> Shaped[Numeric, " T"]:
    """``sum_j gamma^(j+1)/(1-gamma) max_s eta_phi^(K-1-j)``."""
    total = m.numbers.full(m.star.J.shape, m.model.zero)
    for step in m.steps:
        worst = m.numbers.largest(values([eta_phi], step)["eta_phi"], -1)
        total = discounted(m, total + worst / (1 - m.model.gamma))
    return total


def missed_against_star(m: Measured) -> Shaped[Numeric, "T S"]:
    """By how much every step of mirror descent misses its inequality at pi*, summed."""
    total = m.numbers.full(m.phi.V.shape, m.model.zero)
    for step in m.steps:
        gain = m.at_star(step.phi.Q) - step.plus.average(step.phi.Q)
        moved = m.lam * m.numbers.log(m.at_star(step.plus.pi) / m.at_star(step.phi.pi))
        total = total + m.numbers.maximum(gain - moved, m.numbers.full(gain.shape, m.model.zero))
    return total


def loss(m: Measured) -> Shaped[Numeric, "T S"]:
    """``max(0, -<pi+, A^phi>)`` where pi+ goes."""
    return shortfall(m, -m.plus.average(m.phi.advantage))


def losses_of_steps(m: Measured) -> Shaped[Numeric, " T"]:
    """A step that loses is behind in the value that it reaches, in every return before it, and in what follows."""
    total = m.numbers.full(m.star.J.shape, m.model.zero)
    for k, step in enumerate(m.steps):
        factor = k + 1 + m.model.gamma / (1 - m.model.gamma)
        total = total + factor * m.numbers.largest(loss(step), -1)
    return total


def gained_ahead(m: Measured, n: int) -> Shaped[Numeric, " T"]:
    """``rho . sum_{k<n} (gamma P_{pi+})^k <pi+, A^phi>``."""
    gain = m.plus.average(m.phi.advantage)
    total = gain
    for _ in range(n - 1):
        total = gain + m.model.gamma * m.plus.ahead(total)
    return m.numbers.dot(m.model.rho, total)


D_K = per_state(
    "D_K",
    "((gamma P*)^K (V* - V^phi))(s): the meta-policy's gap K optimal steps ahead",
    "return",
    lambda m: optimally_ahead(m, m.star.V - m.phi.V, m.case.steps),
    nonnegative=True,
)
E_K = per_state(
    "E_K",
    "sum_j ((gamma P*)^j e_post^(K-1-j))(s): what the steps' comparator errors come to",
    "return",
    errors_of_steps,
)
I_K = per_task(
    "I_K",
    "sum_j gamma^(j+1)/(1-gamma) max_s eta_phi^(K-1-j): what inexact steps cost",
    "return",
    cost_of_steps,
    nonnegative=True,
)
G_K = per_state("G_K", "V^(K) - V^phi at s: what K steps gained", "return", lambda m: m.plus.V - m.phi.V)
omega = per_state(
    "omega",
    "sum_k max(0, <pi* - pi_(k+1), Q^(k)> - lambda log(pi_(k+1)/pi_k)(a*)) at s",
    "return",
    missed_against_star,
    nonnegative=True,
)
chi = per_task(
    "chi",
    "sum_k (k+1+gamma/(1-gamma)) max_s max(0, -<pi_(k+1), A^(k)>): what steps that lose cost",
    "return",
    losses_of_steps,
    nonnegative=True,
)
lost = per_state("loss", "max(0, -<pi+, A^phi>) at s, where pi+ goes", "return", loss, nonnegative=True)


def gained(n: int) -> Constant:
    """What n steps under pi+ bring above phi's value."""
    return per_task(
        f"B_{n}",
        f"rho . sum_(k<{n}) (gamma P_(pi+))^k <pi+, A^phi>",
        "return",
        lambda m: gained_ahead(m, n),
    )
