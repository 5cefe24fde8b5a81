"""Task variance."""

from __future__ import annotations

from bomrl_theory.verify.check.arithmetic import ZERO, Number, divide, log, times, total
from bomrl_theory.verify.check.facts import Facts, defines


def _use(x: Facts, s: int) -> list[Number]:
    """``E_tau[nu*(s) pi*(a|s)]`` for every action."""
    mass: list[Number] = [ZERO for _ in x.case.phi[s]]
    for tau, weight in enumerate(x.case.weights):
        mass[x.a_star(tau, s)] = mass[x.a_star(tau, s)] + times(weight, x.star(tau).nu[s])
    return mass


def _in_use(x: Facts, s: int) -> list[int]:
    """Actions that some optimum takes at a state that it visits."""
    taken = {x.a_star(tau, s) for tau in range(len(x.case.tasks)) if x.star(tau).visited[s]}
    return sorted(taken)


@defines("Var", "case", "task variance: E_tau E_{nu*} KL(pi* || barycentre)")
def _variance(x: Facts) -> Number:
    """The barycentre is ``E_tau[nu*(s) pi*(a|s)] / E_tau[nu*(s)]``."""
    states = x.case.tasks[0].states
    use = {s: _use(x, s) for s in states}
    return total(
        times(times(weight, x.star(tau).nu[s]), log(divide(total(use[s]), use[s][x.a_star(tau, s)])))
        for tau, weight in enumerate(x.case.weights)
        for s in states
        if x.star(tau).visited[s]
    )


@defines("M", "case", "mismatch of the meta-policy: E_tau E_{nu*} KL(barycentre || phi)")
def _mismatch(x: Facts) -> Number:
    result: Number = ZERO
    for s in x.case.tasks[0].states:
        use = _use(x, s)
        for a in _in_use(x, s):
            barycentre = divide(use[a], total(use))
            result = result + times(use[a], log(divide(barycentre, x.case.phi[s][a])))
    return result


@defines("X", "case", "E_tau E_{nu*} [KL(pi*||phi) - KL(pi*||barycentre)]: what phi has more than the barycentre")
def _excess(x: Facts) -> Number:
    """Both divergences are logarithms of what a policy gives the optimal action."""
    result: Number = ZERO
    for tau, weight in enumerate(x.case.weights):
        for s in x.case.tasks[tau].states:
            if x.star(tau).visited[s]:
                best, use = x.a_star(tau, s), _use(x, s)
                quotient = divide(divide(use[best], total(use)), x.case.phi[s][best])
                result = result + times(times(weight, x.star(tau).nu[s]), log(quotient))
    return result
