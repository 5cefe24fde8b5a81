"""Mirror descent for K steps, and gradients in softmax parameters."""

from __future__ import annotations

from collections.abc import Callable

from flint import fmpq

from bomrl_theory.verify.check.arithmetic import (
    ONE,
    ZERO,
    Number,
    absolute,
    divide,
    exp,
    inner,
    largest,
    log,
    power,
    times,
    total,
)
from bomrl_theory.verify.check.facts import Facts, defines


@defines("K", "case", "number of adaptation steps")
def _steps(x: Facts) -> Number:
    return fmpq(x.case.steps)


@defines("vartheta", "task", "max_s nu*(s)/((1-gamma) rho(s)): concentrability of the start distribution")
def _start_concentrability(x: Facts, tau: int) -> Number:
    task = x.case.tasks[tau]
    return largest(
        divide(x.star(tau).nu[s], (ONE - task.gamma) * task.rho[s]) for s in task.states if task.rho[s] > ZERO
    )


@defines("uncovered", "task", "number of states that pi* visits and that are never the first")
def _uncovered(x: Facts, tau: int) -> Number:
    star = x.star(tau)
    return fmpq(sum(star.visited[s] and star.task.rho[s] == ZERO for s in star.task.states))


@defines("C_phi", "task", "max_s nu*(s)/nu_phi(s): concentrability of the meta-policy")
def _concentrability(x: Facts, tau: int) -> Number:
    star, phi = x.star(tau), x.phi(tau)
    return largest(divide(star.nu[s], phi.nu[s]) for s in star.task.states if star.visited[s])


@defines("nonuniform", "case", "number of probabilities of phi that differ from that of action 0 in their state")
def _nonuniform(x: Facts) -> Number:
    return fmpq(sum(probability != row[0] for row in x.case.phi for probability in row))


def short_of_optimum(x: Facts, tau: int, k: int) -> Number:
    """What step k misses of ``<pi* - pi_(k+1), Q^(k)> <= lambda_k log(pi_(k+1)/pi_k)(a*)``, at worst."""
    start, end = x.along(tau, k), x.along(tau, k + 1)
    lam = x.case.lam / 2**k if x.case.algorithm == "kl-posterior-halving" else x.case.lam
    missed: list[Number] = [ZERO]
    for s in start.task.states:
        best = x.a_star(tau, s)
        gain = start.Q[s][best] - end.average(s, start.Q[s])
        missed.append(gain - times(lam, log(divide(end.pi[s][best], start.pi[s][best]))))
    return largest(missed)


def lost(x: Facts, tau: int, k: int) -> Number:
    """``max_s max(0, V^(k) - <pi_(k+1), Q^(k)>)``."""
    start, end = x.along(tau, k), x.along(tau, k + 1)
    return largest([ZERO, *(start.V[s] - end.average(s, start.Q[s]) for s in start.task.states)])


@defines(
    "drift",
    "task",
    "sum_k [max_s (<pi* - pi_(k+1), Q^(k)> - lambda_k log(pi_(k+1)/pi_k)(a*))^+"
    " + (k+1+gamma/(1-gamma)) max_s (-<pi_(k+1), A^(k)>)^+]: what floating-point steps cost a rate",
)
def _drift(x: Facts, tau: int) -> Number:
    horizon = ONE / (ONE - x.case.tasks[tau].gamma)
    # 1 + gamma/(1-gamma) is the horizon.
    costs = (short_of_optimum(x, tau, k) + times(horizon + k, lost(x, tau, k)) for k in range(x.case.steps))
    return total(costs)


@defines(
    "drift_sum",
    "task",
    "sum_k [max_s (<pi* - pi_(k+1), Q^(k)> - lambda_k log(pi_(k+1)/pi_k)(a*))^+ + max_s (-<pi_(k+1), A^(k)>)^+]",
)
def _drift_sum(x: Facts, tau: int) -> Number:
    return total(short_of_optimum(x, tau, k) + lost(x, tau, k) for k in range(x.case.steps))


def _remaining(fewer: int) -> Callable[[Facts, int], Number]:
    return lambda x, tau: power(ONE - divide(ONE, _start_concentrability(x, tau)), x.case.steps - fewer)


defines("rate_K", "task", "(1 - 1/vartheta)^K")(_remaining(0))
defines("rate_before", "task", "(1 - 1/vartheta)^(K-1)")(_remaining(1))


@defines("soft_gain", "state", "lambda log sum_a phi(a|s) exp(A^phi(s,a)/lambda)")
def _soft_gain(x: Facts, tau: int, s: int) -> Number:
    Q, top = x.phi(tau).Q[s], largest(x.phi(tau).Q[s])
    terms = (times(weight, exp(divide(q - top, x.case.lam))) for weight, q in zip(x.case.phi[s], Q, strict=True))
    return top + times(x.case.lam, log(total(terms))) - x.phi(tau).V[s]


# --- softmax parameters --------------------------------------------------------------------------


def _gradient(x: Facts, tau: int) -> list[list[Number]]:
    """``nu^phi(s) phi(a|s) (Q^phi(s,a) - V^phi(s)) / (1-gamma)``."""
    phi, horizon = x.phi(tau), ONE / (ONE - x.case.tasks[tau].gamma)
    return [
        [times(times(horizon * weight, phi.nu[s]), Q - phi.V[s]) for weight, Q in zip(row, phi.Q[s], strict=True)]
        for s, row in enumerate(x.case.phi)
    ]


def _way(x: Facts, tau: int) -> list[list[Number]]:
    """Logarithms of ``pi+/phi``, less their mean in every state."""
    result = []
    for old, new in zip(x.case.phi, x.case.plus[tau], strict=True):
        change = [log(divide(one, other)) for one, other in zip(new, old, strict=True)]
        mean = divide(total(change), fmpq(len(change)))
        result.append([y - mean for y in change])
    return result


def _product(one: list[list[Number]], other: list[list[Number]]) -> Number:
    return total(inner(*rows) for rows in zip(one, other, strict=True))


@defines("grad_square", "task", "squared norm of the gradient of J in softmax parameters at phi")
def _gradient_square(x: Facts, tau: int) -> Number:
    return _product(_gradient(x, tau), _gradient(x, tau))


@defines("taylor", "task", "|J(pi+) - J(phi) - <grad J(phi), u>|, u from phi to pi+ in softmax parameters")
def _taylor(x: Facts, tau: int) -> Number:
    return absolute(x.plus(tau).J - x.phi(tau).J - _product(_gradient(x, tau), _way(x, tau)))


@defines("u_square", "task", "squared distance of phi and pi+ in softmax parameters, centred in every state")
def _way_square(x: Facts, tau: int) -> Number:
    return _product(_way(x, tau), _way(x, tau))


@defines("missed_square", "task", "squared distance of pi+ from the exact policy-gradient step, in softmax parameters")
def _missed_square(x: Facts, tau: int) -> Number:
    alpha = (ONE - x.case.tasks[tau].gamma) / (2 * x.case.lam)
    pairs = zip(_way(x, tau), _gradient(x, tau), strict=True)
    missed = [[way - times(alpha, slope) for way, slope in zip(*rows, strict=True)] for rows in pairs]
    return _product(missed, missed)


@defines("states", "case", "number of states")
def _states(x: Facts) -> Number:
    return fmpq(len(x.case.phi))


@defines("A_best", "state", "max_a A^phi(s,a)")
def _best_advantage(x: Facts, tau: int, s: int) -> Number:
    return largest(x.phi(tau).Q[s]) - x.phi(tau).V[s]
