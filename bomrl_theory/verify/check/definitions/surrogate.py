"""How far pi+ is from phi."""

from __future__ import annotations

from flint import fmpq

from bomrl_theory.verify.check.arithmetic import Number, absolute, largest, total
from bomrl_theory.verify.check.definitions.adaptation import kl
from bomrl_theory.verify.check.facts import Facts, defines


@defines("TV", "state", "TV(pi+, phi) at s")
def _total_variation(x: Facts, tau: int, s: int) -> Number:
    changes = (absolute(new - old) for new, old in zip(x.case.plus[tau][s], x.case.phi[s], strict=True))
    return total(changes) / fmpq(2)


@defines("TV_max", "task", "max TV(pi+, phi) over the states that phi visits")
def _largest_variation(x: Facts, tau: int) -> Number:
    phi = x.phi(tau)
    return largest(x.value("TV", tau, s) for s in phi.task.states if phi.visited[s])


@defines("KL", "state", "KL(pi+ || phi) at s")
def _divergence(x: Facts, tau: int, s: int) -> Number:
    return kl(x.case.plus[tau][s], x.case.phi[s])


@defines("nu_min", "task", "min nu_phi over the states that phi visits")
def _smallest_visitation(x: Facts, tau: int) -> Number:
    phi = x.phi(tau)
    return -largest(-phi.nu[s] for s in phi.task.states if phi.visited[s])
