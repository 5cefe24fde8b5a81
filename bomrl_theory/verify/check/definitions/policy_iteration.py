"""Policy gradients along a line, mixtures, greedy policies, and models that differ."""

from __future__ import annotations

from flint import fmpq

from bomrl_theory.verify.check.arithmetic import (
    ONE,
    ZERO,
    Number,
    absolute,
    divide,
    inner,
    largest,
    power,
    times,
    total,
)
from bomrl_theory.verify.check.definitions.two_policies import gains
from bomrl_theory.verify.check.facts import Facts, defines
from bomrl_theory.verify.check.task import Evaluated, Policy, Task


@defines("slope", "task", "derivative of J(phi + t (pi+ - phi)) at t = 0")
def _slope(x: Facts, tau: int) -> Number:
    """``dV = r_d + gamma P_d V + gamma P dV`` for the direction d = pi+ - phi; two evaluations of one resolvent."""
    task, phi, plus = x.case.tasks[tau], x.case.phi, x.case.plus[tau]
    change: list[Number] = []
    for s in task.states:
        entry: Number = ZERO
        for a in task.actions:
            move = plus[s][a] - phi[s][a]
            entry = entry + times(move, task.r[s][a]) + times(task.gamma * move, task.ahead(s, a, x.phi(tau).V))
        change.append(entry)
    # rho (I - gamma P)^-1 is the visitation without its normalisation.
    return divide(inner(x.phi(tau).nu, change), ONE - task.gamma)


@defines("h", "state", "<pi+ - phi, Q^phi> at s")
def _gain_by_values(x: Facts, tau: int, s: int) -> Number:
    move = [new - old for new, old in zip(x.case.plus[tau][s], x.case.phi[s], strict=True)]
    return inner(move, x.phi(tau).Q[s])


# --- mixtures ------------------------------------------------------------------------------------


def _policy_advantage(x: Facts, tau: int) -> Number:
    return inner(x.phi(tau).nu, gains(x, tau))


def _return_of_mixture(x: Facts, tau: int, alpha: fmpq) -> Number:
    rows = zip(x.case.phi, x.case.plus[tau], strict=True)
    mixed = [[(ONE - alpha) * old + alpha * new for old, new in zip(*row, strict=True)] for row in rows]
    return Evaluated(x.case.tasks[tau], mixed, x.exact).J


@defines("advantage_plus", "task", "E_{nu^phi} <pi+, A^phi>: policy advantage of pi+ over phi")
def _advantage(x: Facts, tau: int) -> Number:
    return _policy_advantage(x, tau)


@defines(
    "mixture_missing",
    "task",
    "J(phi) + alpha/(1-gamma) E_{nu^phi} <pi+, A^phi> - J((1-alpha) phi + alpha pi+), alpha = 1/(1+lambda)",
)
def _mixture_missing(x: Facts, tau: int) -> Number:
    alpha = ONE / (ONE + x.case.lam)
    promised = divide(times(alpha, _policy_advantage(x, tau)), ONE - x.case.tasks[tau].gamma)
    return x.phi(tau).J + promised - _return_of_mixture(x, tau, alpha)


@defines("R", "task", "max r - min r")
def _reward_range(x: Facts, tau: int) -> Number:
    return _range(x.case.tasks[tau])


def _range(task: Task) -> fmpq:
    rewards = [reward for row in task.r for reward in row]
    return max(rewards) - min(rewards)


# --- greedy policies -----------------------------------------------------------------------------


@defines("delta", "task", "max_s [max_a Q^phi(s,a) - <pi+, Q^phi>(s)]: how far pi+ is from greedy for V^phi")
def _greedy_error(x: Facts, tau: int) -> Number:
    return largest(largest(Q) - inner(row, Q) for row, Q in zip(x.case.plus[tau], x.phi(tau).Q, strict=True))


@defines("value_distance", "task", "min_c max_s |V*(s) - V^phi(s) - c|")
def _value_distance(x: Facts, tau: int) -> Number:
    missing = [best - own for best, own in zip(x.star(tau).V, x.phi(tau).V, strict=True)]
    return (largest(missing) + largest(-y for y in missing)) / fmpq(2)


@defines("gamma_K", "case", "gamma^K, K the number of steps")
def _discount_of_steps(x: Facts) -> Number:
    return power(x.case.tasks[0].gamma, x.case.steps)


@defines("V_gap_phi", "task", "max_s (V*(s) - V^phi(s))")
def _value_gap_before(x: Facts, tau: int) -> Number:
    return largest(best - own for best, own in zip(x.star(tau).V, x.phi(tau).V, strict=True))


@defines("V_gap_plus", "task", "max_s (V*(s) - V^{pi+}(s))")
def _value_gap_after(x: Facts, tau: int) -> Number:
    return largest(best - own for best, own in zip(x.star(tau).V, x.plus(tau).V, strict=True))


@defines("V_gap_K", "task", "max_s |V*(s) - (T^K V^phi)(s)|: K sweeps of value iteration from V^phi")
def _value_gap_of_sweeps(x: Facts, tau: int) -> Number:
    task, V = x.case.tasks[tau], x.phi(tau).V
    for _ in range(x.case.steps):
        V = [largest(task.r[s][a] + times(task.gamma, task.ahead(s, a, V)) for a in task.actions) for s in task.states]
    return largest(absolute(best - own) for best, own in zip(x.star(tau).V, V, strict=True))


@defines(
    "delta_K",
    "task",
    "sum_k gamma^(K-1-k) max_s [max_a Q^(k) - <pi_(k+1), Q^(k)>]: how far the K steps are from greedy",
)
def _greedy_errors(x: Facts, tau: int) -> Number:
    task, K = x.case.tasks[tau], x.case.steps
    result: Number = ZERO
    for k in range(K):
        Q, end = x.along(tau, k).Q, x.along(tau, k + 1)
        error = largest(largest(Q[s]) - end.average(s, Q[s]) for s in task.states)
        result = result + times(power(task.gamma, K - 1 - k), error)
    return result


@defines("residual", "task", "max_s ((T V^phi)(s) - V^phi(s)) = max A^phi")
def _residual(x: Facts, tau: int) -> Number:
    phi = x.phi(tau)
    return largest(largest(Q) - V for Q, V in zip(phi.Q, phi.V, strict=True))


# --- models that differ --------------------------------------------------------------------------


@defines("model_gap", "task", "|rho . (V^phi - V^phi in the first task)|")
def _model_gap(x: Facts, tau: int) -> Number:
    return absolute(x.phi(tau).J - inner(x.case.tasks[tau].rho, x.phi(0).V))


@defines("eps_r", "task", "max |r - r in the first task|")
def _reward_difference(x: Facts, tau: int) -> Number:
    pairs = zip(x.case.tasks[tau].r, x.case.tasks[0].r, strict=True)
    return largest(absolute(one - other) for rows in pairs for one, other in zip(*rows, strict=True))


@defines("eps_P", "task", "max_{s,a} sum_s' |P - P in the first task|")
def _transition_difference(x: Facts, tau: int) -> Number:
    task, first = x.case.tasks[tau], x.case.tasks[0]

    def row_difference(s: int, a: int) -> Number:
        change = {successor: -probability for successor, probability in first.P[s][a]}
        for successor, probability in task.P[s][a]:
            change[successor] = change.get(successor, ZERO) + probability
        return total(absolute(y) for y in change.values())

    return largest(row_difference(s, a) for s in task.states for a in task.actions)


@defines("R_first", "case", "max r - min r in the first task")
def _first_range(x: Facts) -> Number:
    return _range(x.case.tasks[0])


@defines(
    "mixture_improvement",
    "task",
    "J((1-alpha) phi + alpha pi+) - J(phi), alpha = (1-gamma)^2 max(0, E_{nu^phi} <pi+, A^phi>)/(4R)",
)
def _mixture_improvement(x: Facts, tau: int) -> Number:
    """The mixture has to be known exactly, so its weight is computed in rationals whatever the rest is."""
    task = x.case.tasks[tau]
    if _range(task) == ZERO:
        return ZERO
    phi = Evaluated(task, x.case.phi, exact=True)
    advantage = inner(phi.nu, [_gain(phi, x.case.plus[tau], s) for s in task.states])
    alpha = (ONE - task.gamma) ** 2 * max(advantage, ZERO) / (4 * _range(task))
    return _return_of_mixture(x, tau, alpha) - x.phi(tau).J


def _gain(phi: Evaluated, pi: Policy, s: int) -> Number:
    """``<pi, A^phi>`` at s."""
    return inner(pi[s], phi.Q[s]) - phi.V[s]
