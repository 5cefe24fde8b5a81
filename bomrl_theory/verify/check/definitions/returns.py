"""Returns and visitation."""

from __future__ import annotations

from bomrl_theory.verify.check.arithmetic import ONE, Number, divide, largest
from bomrl_theory.verify.check.facts import Facts, defines


@defines("gap", "task", "J* - J(pi+): optimality gap after adaptation")
def _gap(x: Facts, tau: int) -> Number:
    return x.star(tau).J - x.plus(tau).J


@defines("gap_phi", "task", "J* - J(phi): optimality gap without adaptation")
def _gap_phi(x: Facts, tau: int) -> Number:
    return x.star(tau).J - x.phi(tau).J


@defines("improvement", "task", "J(pi+) - J(phi)")
def _improvement(x: Facts, tau: int) -> Number:
    return x.plus(tau).J - x.phi(tau).J


@defines("nu_phi", "state", "discounted visitation of phi")
def _nu_phi(x: Facts, tau: int, s: int) -> Number:
    return x.phi(tau).nu[s]


@defines("nu_star", "state", "discounted visitation of pi*")
def _nu_star(x: Facts, tau: int, s: int) -> Number:
    return x.star(tau).nu[s]


@defines("nu_plus", "state", "discounted visitation of pi+")
def _nu_plus(x: Facts, tau: int, s: int) -> Number:
    return x.plus(tau).nu[s]


@defines("C", "task", "max_s nu*(s)/nu+(s): concentrability, a posteriori")
def _concentrability(x: Facts, tau: int) -> Number:
    star, plus = x.star(tau), x.plus(tau)
    return largest(divide(star.nu[s], plus.nu[s]) for s in star.task.states if star.visited[s])


@defines("largest gap", "task", "(max r - min r)/(1-gamma): what no policy can miss the optimum by")
def _largest_gap(x: Facts, tau: int) -> Number:
    task = x.case.tasks[tau]
    rewards = [reward for row in task.r for reward in row]
    return (max(rewards) - min(rewards)) / (ONE - task.gamma)
