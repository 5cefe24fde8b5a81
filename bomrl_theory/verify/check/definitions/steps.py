"""Several adaptation steps, each from the policy that the one before it led to."""

from __future__ import annotations

from collections.abc import Callable

from flint import fmpq

from bomrl_theory.verify.check.arithmetic import ONE, ZERO, Number, divide, larger, largest, log, power, times, total
from bomrl_theory.verify.check.definitions.adaptation import reached
from bomrl_theory.verify.check.facts import Facts, defines


@defines("K", "case", "number of adaptation steps")
def _steps(x: Facts) -> Number:
    return fmpq(x.case.steps)


def _optimally_ahead(x: Facts, tau: int, values: list[Number], n: int) -> list[Number]:
    """``(gamma P_{pi*})^n values``."""
    task = x.case.tasks[tau]
    for _ in range(n):
        values = [times(task.gamma, task.ahead(s, x.a_star(tau, s), values)) for s in task.states]
    return values


def _shortfall(x: Facts, tau: int, k: int) -> Number:
    """By how much the step after k steps loses against where it starts, at worst."""
    start = x.along(tau, k)
    lost = [start.V[s] - reached(x, tau, s, k) for s in start.task.states if start.visited[s]]
    return largest([ZERO, *lost])


@defines("D_K", "state", "((gamma P*)^K (V* - V^phi))(s): the meta-policy's gap K optimal steps ahead")
def _gap_far_ahead(x: Facts, tau: int, s: int) -> Number:
    missing = [best - own for best, own in zip(x.star(tau).V, x.phi(tau).V, strict=True)]
    return _optimally_ahead(x, tau, missing, x.case.steps)[s]


@defines(
    "E_K",
    "state",
    "sum_j ((gamma P*)^j e_post^(K-1-j))(s): what the steps' comparator errors come to",
)
def _errors_of_steps(x: Facts, tau: int, s: int) -> Number:
    result: Number = ZERO
    for k in range(x.case.steps):
        Q = x.along(tau, k).Q
        errors = [Q[z][x.a_star(tau, z)] - reached(x, tau, z, k) for z in x.case.tasks[tau].states]
        result = result + _optimally_ahead(x, tau, errors, x.case.steps - 1 - k)[s]
    return result


@defines("I_K", "task", "sum_j gamma^(j+1)/(1-gamma) max_s eta_phi^(K-1-j): what inexact steps cost")
def _cost_of_steps(x: Facts, tau: int) -> Number:
    gamma, K = x.case.tasks[tau].gamma, x.case.steps
    return total(times(power(gamma, K - k) / (ONE - gamma), _shortfall(x, tau, k)) for k in range(K))


def _against_star(x: Facts, tau: int, s: int, k: int) -> Number:
    """By how much a step of mirror descent misses its inequality at pi*."""
    start, end, best = x.along(tau, k), x.along(tau, k + 1), x.a_star(tau, s)
    gain = start.Q[s][best] - end.average(s, start.Q[s])
    return larger(gain - times(x.case.lam, log(divide(end.pi[s][best], start.pi[s][best]))), ZERO)


def _lost(x: Facts, tau: int, k: int) -> Number:
    """``max_s max(0, V^(k) - <pi_(k+1), Q^(k)>)`` over visited states."""
    start, end = x.along(tau, k), x.along(tau, k + 1)
    return largest([ZERO, *(start.V[s] - end.average(s, start.Q[s]) for s in start.task.states if start.visited[s])])


@defines("G_K", "state", "V^(K) - V^phi at s: what K steps gained")
def _gained(x: Facts, tau: int, s: int) -> Number:
    return x.plus(tau).V[s] - x.phi(tau).V[s]


@defines("omega", "state", "sum_k max(0, <pi* - pi_(k+1), Q^(k)> - lambda log(pi_(k+1)/pi_k)(a*)) at s")
def _missed(x: Facts, tau: int, s: int) -> Number:
    return total(_against_star(x, tau, s, k) for k in range(x.case.steps))


@defines("chi", "task", "sum_k (k+1+gamma/(1-gamma)) max_s max(0, -<pi_(k+1), A^(k)>): what steps that lose cost")
def _losses(x: Facts, tau: int) -> Number:
    gamma = x.case.tasks[tau].gamma
    return total(times(k + ONE + gamma / (ONE - gamma), _lost(x, tau, k)) for k in range(x.case.steps))


def _gain_ahead(n: int) -> Callable[[Facts, int], Number]:
    def ahead(x: Facts, tau: int) -> Number:
        """``rho . sum_(k<n) (gamma P_{pi+})^k delta``, the rewards of n steps under pi+ above phi's value."""
        task, plus = x.case.tasks[tau], x.plus(tau)
        delta = [x.value("g", tau, s) for s in task.states]
        law, result = list(task.rho), ZERO
        for _ in range(n):
            result = result + total(times(law[s], delta[s]) for s in task.states)
            following: list[Number] = [ZERO for _ in task.states]
            for s in task.states:
                for a in task.actions:
                    for successor, probability in task.P[s][a]:
                        step = times(times(task.gamma, plus.pi[s][a]), probability)
                        following[successor] = following[successor] + times(law[s], step)
            law = following
        return result

    return ahead


for _n in (1, 5):
    defines(f"B_{_n}", "task", f"rho . sum_(k<{_n}) (gamma P_(pi+))^k <pi+, A^phi>")(_gain_ahead(_n))


@defines("loss", "state", "max(0, -<pi+, A^phi>) at s, where pi+ goes")
def _loss(x: Facts, tau: int, s: int) -> Number:
    return larger(ZERO, -x.value("g", tau, s)) if x.plus(tau).visited[s] else ZERO
