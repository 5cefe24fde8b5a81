"""Adaptation steps and their errors."""

from __future__ import annotations

from collections.abc import Callable

from flint import fmpq

from bomrl_theory.verify.check.arithmetic import (
    ONE,
    ZERO,
    Number,
    Undefined,
    divide,
    exp,
    inner,
    larger,
    largest,
    log,
    power,
    times,
    total,
)
from bomrl_theory.verify.check.facts import Facts, defines


def kl(p: list[fmpq], q: list[fmpq]) -> Number:
    """``KL(p || q)``, both with full support."""
    return inner(p, [log(divide(one, other)) for one, other in zip(p, q, strict=True)])


def _centred_square(p: list[fmpq], q: list[fmpq]) -> Number:
    """``min_c |log q - log p - c|^2``: squared distance of softmax parameters."""
    change = [log(divide(other, one)) for one, other in zip(p, q, strict=True)]
    mean = divide(total(change), fmpq(len(change)))
    return total(power(x - mean, 2) for x in change)


@defines("ell", "state", "lambda / nu_phi(s)")
def _ell(x: Facts, tau: int, s: int) -> Number:
    # At unvisited states Alg^(3) stays at phi, and nothing is paid.
    return divide(x.case.lam, x.phi(tau).nu[s]) if x.phi(tau).visited[s] else ZERO


def _free(name: str) -> Callable[[Facts, int, int], Number]:
    def recorded(x: Facts, tau: int, s: int) -> Number:
        try:
            return x.chosen[name][tau][s]
        except KeyError:
            raise Undefined(f"the certificate does not record {name}") from None

    return recorded


defines("eps", "state", "mixture weight of phi in the comparator (1-eps) pi* + eps phi")(_free("eps"))
defines("t", "state", "logit added to a* in the comparator")(_free("t"))


@defines(
    "e",
    "state",
    "comparator error e_i of the case's algorithm",
    "comparator error e_i of the case's algorithm; may be negative",
)
def _comparator_error(x: Facts, tau: int, s: int) -> Number:
    """``<pi* - q, Q^phi> + lambda d_i(phi, q)`` for the comparator q."""
    best, phi, Q = x.a_star(tau, s), x.case.phi[s], x.phi(tau).Q[s]
    match x.case.algorithm:
        case "kl-prior":
            eps = x.value("eps", tau, s)
            q = [eps * weight + (ONE - eps if a == best else ZERO) for a, weight in enumerate(phi)]
            return Q[best] - inner(q, Q) + times(x.case.lam, kl(phi, q))
        case "kl-posterior":  # q = pi*
            return -times(x.case.lam, log(phi[best]))
        case "euclidean":
            t = x.value("t", tau, s)
            raised = [times(weight, exp(t)) if a == best else weight for a, weight in enumerate(phi)]
            gain = Q[best] - divide(inner(raised, Q), total(raised))
            centred = [(t if a == best else ZERO) - t / len(phi) for a in range(len(phi))]
            return gain + times(x.value("ell", tau, s), inner(centred, centred))
    raise Undefined(f"{x.case.algorithm} has no comparator error")


def penalty(x: Facts, tau: int, s: int, k: int | None = None) -> Number:
    """``lambda d_i``: what the algorithm charges for the way from phi to pi+, or for the step after k steps."""
    start, end = (x.phi(tau), x.plus(tau)) if k is None else (x.along(tau, k), x.along(tau, k + 1))
    phi, plus = start.pi[s], end.pi[s]
    match x.case.algorithm:
        case "kl-prior":
            return times(x.case.lam, kl(phi, plus))
        case "kl-posterior":
            return times(x.case.lam, kl(plus, phi))
        case "euclidean":
            # At unvisited states the step stays, and nothing is paid.
            ell = divide(x.case.lam, start.nu[s]) if start.visited[s] else ZERO
            return ZERO if ell == ZERO else times(ell, _centred_square(phi, plus))
    raise Undefined(f"{x.case.algorithm} maximises no regularised objective")


def reached(x: Facts, tau: int, s: int, k: int | None = None) -> Number:
    """``<pi+, Q^phi> - lambda d_i(phi, pi+)``: what the adaptation reached of what it maximises.

    With k it is the step that follows k steps which is meant.
    """
    start, end = (x.phi(tau), x.plus(tau)) if k is None else (x.along(tau, k), x.along(tau, k + 1))
    return end.average(s, start.Q[s]) - penalty(x, tau, s, k)


@defines(
    "e_post", "state", "<pi* - pi+, Q^phi> + lambda d_i(phi, pi+): comparator error of pi+ itself; may be negative"
)
def _own_error(x: Facts, tau: int, s: int) -> Number:
    return x.phi(tau).Q[s][x.a_star(tau, s)] - reached(x, tau, s)


@defines("eta_phi", "state", "by how much pi+ falls short of phi in the algorithm's objective, where pi+ goes")
def _short_of_phi(x: Facts, tau: int, s: int) -> Number:
    return larger(ZERO, x.phi(tau).V[s] - reached(x, tau, s)) if x.plus(tau).visited[s] else ZERO


@defines("penalty", "state", "lambda d_i(phi, pi+) at s: what the step pays for its change")
def _penalty(x: Facts, tau: int, s: int) -> Number:
    return penalty(x, tau, s)


@defines(
    "credit",
    "state",
    "min(lambda d_i(phi, pi+), <pi+, A^phi>) at s: what the step pays for its change, if it earns as much",
)
def _credit(x: Facts, tau: int, s: int) -> Number:
    return -largest([-penalty(x, tau, s), -x.value("g", tau, s)])


@defines(
    "eta",
    "state",
    "inner error: by how much pi+ falls short of phi and of the comparator in its own objective",
)
def _inner_error(x: Facts, tau: int, s: int) -> Number:
    own = reached(x, tau, s)
    comparator = x.phi(tau).Q[s][x.a_star(tau, s)] - x.value("e", tau, s)
    return largest([ZERO, x.phi(tau).V[s] - own, comparator - own])


@defines(
    "eta",
    "state",
    "inner error: by how much pi+ falls short of phi and of the comparator in its own objective, where pi+ goes",
    key="eta where pi+ goes",
)
def _inner_error_visited(x: Facts, tau: int, s: int) -> Number:
    return x.value("eta", tau, s) if x.plus(tau).visited[s] else ZERO


@defines(
    "k",
    "state",
    "KL(pi*||phi) - KL(pi*||pi+) - KL(pi+||phi), measured as <pi* - pi+, Q^phi>/lambda (three-point identity)",
)
def _three_points(x: Facts, tau: int, s: int) -> Number:
    Q = x.phi(tau).Q[s]
    return divide(Q[x.a_star(tau, s)] - inner(x.case.plus[tau][s], Q), x.case.lam)


@defines("zeta", "state", "lambda KL(pi+ || Alg^(2)(phi)): by how much pi+ misses the maximum of its objective")
def _missed_maximum(x: Facts, tau: int, s: int) -> Number:
    Q, phi, plus = x.phi(tau).Q[s], x.case.phi[s], x.case.plus[tau][s]
    top = largest(Q)
    unscaled = [times(weight, exp(divide(q - top, x.case.lam))) for weight, q in zip(phi, Q, strict=True)]
    scale = total(unscaled)
    missed = inner(plus, [log(times(divide(one, other), scale)) for one, other in zip(plus, unscaled, strict=True)])
    return times(x.case.lam, larger(missed, ZERO))
