"""Adaptation on estimated action values."""

from __future__ import annotations

from flint import fmpq

from bomrl_theory.verify.check.arithmetic import ZERO, Number, Undefined, absolute, inner, largest, log, times
from bomrl_theory.verify.check.definitions.adaptation import kl
from bomrl_theory.verify.check.facts import Facts, defines


def _estimate(x: Facts, tau: int, s: int) -> list[fmpq]:
    if x.case.estimates is None:
        raise Undefined("the certificate records no estimates")
    return x.case.estimates[tau][s]


def _error(x: Facts, tau: int, s: int) -> Number:
    return largest(absolute(own - Q) for own, Q in zip(_estimate(x, tau, s), x.phi(tau).Q[s], strict=True))


@defines(
    "b",
    "state",
    "eta_hat + 2 max_a |Qhat - Q^phi| at s, where pi+ goes: inner error on the estimate, and what the estimate hides",
)
def _cost(x: Facts, tau: int, s: int) -> Number:
    if not x.plus(tau).visited[s]:
        return ZERO
    seen, phi, plus = _estimate(x, tau, s), x.case.phi[s], x.case.plus[tau][s]
    best = x.a_star(tau, s)
    reached = inner(plus, seen) - times(x.case.lam, kl(plus, phi))
    at_star = seen[best] + times(x.case.lam, log(phi[best]))
    return largest([ZERO, inner(phi, seen) - reached, at_star - reached]) + 2 * _error(x, tau, s)
