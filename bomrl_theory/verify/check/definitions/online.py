"""Tasks in sequence: running averages of their optima."""

from __future__ import annotations

from collections.abc import Iterator

from flint import fmpq

from bomrl_theory.verify.check.arithmetic import ONE, ZERO, Number, divide, larger, log, times, total
from bomrl_theory.verify.check.definitions.mirror_descent import lost, short_of_optimum
from bomrl_theory.verify.check.facts import Facts, defines


def _visits(x: Facts, s: int, a: int, before: int | None = None) -> Number:
    """``sum_t nu*_t(s) pi*_t(a|s)`` over all tasks, or over those before one."""
    sequence = range(len(x.case.tasks) if before is None else before)
    return total(x.star(t).nu[s] for t in sequence if x.a_star(t, s) == a)


def _used(x: Facts) -> Iterator[tuple[int, int]]:
    """States and actions that some optimum visits and takes."""
    for s in x.case.tasks[0].states:
        for a in x.case.tasks[0].actions:
            if any(x.star(t).visited[s] and x.a_star(t, s) == a for t in range(len(x.case.tasks))):
                yield s, a


def _all_visits(x: Facts, s: int) -> Number:
    return total(x.star(t).nu[s] for t in range(len(x.case.tasks)))


def _average(x: Facts, t: int, s: int) -> Number:
    """What the running average gives the optimal action of task t."""
    best = x.a_star(t, s)
    earlier = total(x.star(i).nu[s] for i in range(t))
    return divide(x.case.phi[s][best] + _visits(x, s, best, before=t), ONE + earlier)


@defines("tasks", "case", "number of tasks")
def _tasks(x: Facts) -> Number:
    return fmpq(len(x.case.tasks))


@defines(
    "fixed_loss",
    "case",
    "min_q sum_t E_{nu*_t} KL(pi*_t || q): loss of the best fixed initialisation on all tasks",
)
def _fixed_loss(x: Facts) -> Number:
    return total(times(_visits(x, s, a), log(divide(_all_visits(x, s), _visits(x, s, a)))) for s, a in _used(x))


@defines(
    "regret",
    "case",
    "sum_t E_{nu*_t} KL(pi*_t || phi_t) less that of the best fixed initialisation, phi_t the running average",
)
def _regret(x: Facts) -> Number:
    loss = total(
        times(x.star(t).nu[s], log(divide(ONE, _average(x, t, s))))
        for t in range(len(x.case.tasks))
        for s in x.case.tasks[0].states
        if x.star(t).visited[s]
    )
    return loss - _fixed_loss(x)


@defines("state_logs", "case", "sum_s (1 + log(1 + N(s))), N = sum_t nu*_t, over states that some optimum visits")
def _state_logs(x: Facts) -> Number:
    return total(ONE + log(ONE + _all_visits(x, s)) for s in sorted({s for s, _ in _used(x)}))


@defines("action_logs", "case", "sum_(s,a) log(1 + n(s,a)/phi(a|s)), n = sum_t nu*_t pi*_t")
def _action_logs(x: Facts) -> Number:
    return total(log(ONE + divide(_visits(x, s, a), x.case.phi[s][a])) for s, a in _used(x))


@defines("average_rounding", "case", "sum_t E_{nu*_t} (log phi_t(a*) - log of the floating-point average)^+")
def _average_rounding(x: Facts) -> Number:
    result: Number = ZERO
    for t, task in enumerate(x.case.tasks):
        for s in task.states:
            if x.star(t).visited[s]:
                short = log(divide(_average(x, t, s), x.along(t, 1).pi[s][x.a_star(t, s)]))
                result = result + times(x.star(t).nu[s], larger(short, ZERO))
    return result


@defines("within_drift", "task", "what floating-point steps after the first cost a rate: drift with k-1 for k")
def _within_drift(x: Facts, tau: int) -> Number:
    horizon = ONE / (ONE - x.case.tasks[tau].gamma)
    return total(
        short_of_optimum(x, tau, k) + times(horizon + (k - 1), lost(x, tau, k)) for k in range(1, x.case.steps)
    )


@defines(
    "euclidean_regret",
    "case",
    "sum_t |pi*_t - phi_t|^2/2 less that of the best fixed policy, phi_t the mean of the optima before task t",
)
def _euclidean_regret(x: Facts) -> Number:
    """By Welford's recursion: ``sum_t d_t^2/(2t)``."""
    states, result = x.case.tasks[0].states, ZERO
    for t in range(len(x.case.tasks)):
        for s in states:
            best = x.a_star(t, s)
            for a in x.case.tasks[0].actions:
                before = fmpq(sum(x.a_star(i, s) == a for i in range(t)), t) if t else x.case.phi[s][a]
                result += (fmpq(a == best) - before) ** 2 / (2 * (t + 1))
    return result
