"""Values and advantages."""

from __future__ import annotations

from bomrl_theory.verify.check.arithmetic import Number, absolute, largest
from bomrl_theory.verify.check.facts import Facts, defines


@defines("p", "state", "phi(a*|s): what the meta-policy gives the optimal action")
def _p(x: Facts, tau: int, s: int) -> Number:
    return x.case.phi[s][x.a_star(tau, s)]


@defines("a", "state", "advantage of the optimal action under phi")
def _advantage(x: Facts, tau: int, s: int) -> Number:
    return x.phi(tau).Q[s][x.a_star(tau, s)] - x.phi(tau).V[s]


@defines("D", "state", "P_{pi*}(V* - V^phi): the meta-policy's gap one optimal step ahead")
def _gap_ahead(x: Facts, tau: int, s: int) -> Number:
    task = x.case.tasks[tau]
    missing = [best - own for best, own in zip(x.star(tau).V, x.phi(tau).V, strict=True)]
    return task.ahead(s, x.a_star(tau, s), missing)


@defines("g", "state", "<pi+, A^phi> at s")
def _gain(x: Facts, tau: int, s: int) -> Number:
    return x.plus(tau).average(s, [Q - x.phi(tau).V[s] for Q in x.phi(tau).Q[s]])


@defines("Delta", "task", "max_s span Q^phi(s,.)")
def _span(x: Facts, tau: int) -> Number:
    return largest(largest(Q) + largest(-q for q in Q) for Q in x.phi(tau).Q)


@defines("Delta_star", "task", "max_{s,a} (V*(s) - Q*(s,a))")
def _span_star(x: Facts, tau: int) -> Number:
    star = x.star(tau)
    return largest(V - q for V, Q in zip(star.V, star.Q, strict=True) for q in Q)


@defines("A_max", "task", "max |A^phi|")
def _largest_advantage(x: Facts, tau: int) -> Number:
    phi = x.phi(tau)
    return largest(absolute(q - V) for V, Q in zip(phi.V, phi.Q, strict=True) for q in Q)
