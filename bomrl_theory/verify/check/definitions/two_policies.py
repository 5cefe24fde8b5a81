"""Any two policies: distance, advantage, surrogate."""

from __future__ import annotations

from bomrl_theory.verify.check.arithmetic import ONE, Number, absolute, divide, inner, larger, largest, times, total
from bomrl_theory.verify.check.definitions.adaptation import kl as divergence
from bomrl_theory.verify.check.facts import Facts, defines


def gains(x: Facts, tau: int) -> list[Number]:
    """``sum_a pi+(a|s) Q^phi(s,a) - V^phi(s)``."""
    phi, plus = x.phi(tau), x.case.plus[tau]
    return [inner(row, values) - V for row, values, V in zip(plus, phi.Q, phi.V, strict=True)]


def distance(x: Facts, tau: int, s: int) -> Number:
    """The mass that pi+ gives to actions beyond what phi gives them."""
    pairs = zip(x.case.plus[tau][s], x.case.phi[s], strict=True)
    return total(larger(one - other, one - one) for one, other in pairs)


@defines("TV", "state", "TV(pi+, phi) at s")
def _distance(x: Facts, tau: int, s: int) -> Number:
    return distance(x, tau, s)


@defines("missing", "task", "L(pi+) - J(pi+): how far the surrogate is above the return")
def _missing(x: Facts, tau: int) -> Number:
    gamma = x.case.tasks[tau].gamma
    surrogate = x.phi(tau).J + divide(inner(x.phi(tau).nu, gains(x, tau)), ONE - gamma)
    return surrogate - x.plus(tau).J


@defines("exceeding", "task", "J(pi+) - L(pi+): how far the return is above the surrogate")
def _exceeding(x: Facts, tau: int) -> Number:
    """By the performance difference lemma: the gains, weighted with the change of visitation."""
    gamma = x.case.tasks[tau].gamma
    change = [new - old for new, old in zip(x.plus(tau).nu, x.phi(tau).nu, strict=True)]
    return divide(total(times(one, other) for one, other in zip(change, gains(x, tau), strict=True)), ONE - gamma)


@defines("g_max", "task", "max_s |<pi+, A^phi>(s)|")
def _largest_gain(x: Facts, tau: int) -> Number:
    return largest(absolute(gain) for gain in gains(x, tau))


@defines("g_span", "task", "span over s of <pi+, A^phi>(s)")
def _span_of_gains(x: Facts, tau: int) -> Number:
    return largest(gains(x, tau)) + largest(-gain for gain in gains(x, tau))


@defines("nu_change", "task", "sum_s |nu+ - nu_phi|: how far the visitation moves")
def _visitation_change(x: Facts, tau: int) -> Number:
    return total(absolute(new - old) for new, old in zip(x.plus(tau).nu, x.phi(tau).nu, strict=True))


@defines("max_KL", "task", "max_s KL(phi || pi+)")
def _largest_divergence(x: Facts, tau: int) -> Number:
    return largest(divergence(x.case.phi[s], x.case.plus[tau][s]) for s in x.case.tasks[tau].states)
