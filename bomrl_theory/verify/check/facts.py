"""Every quantity that the bounds speak about, from its mathematical definition.

A definition is a function of the facts of a case and of the indices that it depends on. It is used
only for a claim whose certificate gives its name the same meaning: two theorems may call different
things C, and a quantity whose meaning changes is another one, so that older certificates stay checkable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import flint
from flint import fmpq

from bomrl_theory.verify.check.arithmetic import (
    ONE,
    ZERO,
    Number,
    Undefined,
    absolute,
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
from bomrl_theory.verify.check.task import Evaluated, Policy, Task, deterministic

Per = Literal["case", "task", "state"]
PER: tuple[Per, ...] = ("case", "task", "state")
"""How many indices a quantity has: its place here."""


@dataclass(frozen=True, eq=False)
class CaseData:
    """A case in exact rationals.

    Attributes:
        tasks: T of them.
        weights: of the tasks, summing to 1.
        optimal: optimal actions [T][S].
        phi: meta-policy.
        plus: adapted policies [T].
    """

    tasks: list[Task]
    weights: list[fmpq]
    optimal: list[list[int]]
    phi: Policy
    plus: list[Policy]
    algorithm: str
    lam: fmpq

    def policy(self, which: str, tau: int) -> Policy:
        if which == "star":
            return deterministic(self.tasks[tau], self.optimal[tau])
        return self.phi if which == "phi" else self.plus[tau]


@dataclass(eq=False)
class Facts:
    """The quantities of a case at the current precision.

    Attributes:
        case: the data.
        exact: whether linear systems are solved in rationals.
        evaluations: for each role of a policy what was evaluated, by precision (0: exact) and task; shared.
        chosen: the comparators' free parameters, by name and task: a list over states.
    """

    case: CaseData
    exact: bool
    evaluations: dict[str, dict[tuple[int, int], Evaluated]]
    chosen: dict[str, dict[int, list[fmpq]]] = field(default_factory=dict)
    _known: dict[tuple[str, int | None, int | None], Number] = field(default_factory=dict, repr=False)

    def evaluated(self, which: str, tau: int) -> Evaluated:
        """A policy ("star", "phi" or "plus") on a task."""
        known, key = self.evaluations[which], (0 if self.exact else flint.ctx.prec, tau)
        if key not in known:
            known[key] = Evaluated(self.case.tasks[tau], self.case.policy(which, tau), self.exact)
        return known[key]

    def star(self, tau: int) -> Evaluated:
        return self.evaluated("star", tau)

    def phi(self, tau: int) -> Evaluated:
        return self.evaluated("phi", tau)

    def plus(self, tau: int) -> Evaluated:
        return self.evaluated("plus", tau)

    def a_star(self, tau: int, s: int) -> int:
        return self.case.optimal[tau][s]

    def value(self, key: str, tau: int | None, s: int | None) -> Number:
        """A quantity at a task and a state, of which it takes what it needs.

        Raises:
            Undefined: it does not exist here, or cannot be enclosed at this precision.
        """
        definition = DEFINITIONS[key]
        place = (None, None) if definition.per == "case" else (tau, None) if definition.per == "task" else (tau, s)
        indices = place[: PER.index(definition.per)]
        if None in indices:
            raise Undefined(f"{key} was asked for outside a sum or a maximum over its index")
        if (key, *place) not in self._known:
            self._known[key, *place] = definition.function(self, *indices)
        return self._known[key, *place]


@dataclass(frozen=True)
class Definition:
    """A quantity: its name in claims, what it may be said to mean there, what it depends on, how it is computed."""

    name: str
    meanings: tuple[str, ...]
    per: Per
    function: Callable[..., Number]


DEFINITIONS: dict[str, Definition] = {}


def key_of(name: str, meaning: Any) -> str | None:
    """The key of the definition that a claim means by ``name``; None where there is none."""
    for key, definition in DEFINITIONS.items():
        if definition.name == name and meaning in definition.meanings:
            return key
    return None


def _defines(
    name: str, per: Per, *meanings: str, key: str = ""
) -> Callable[[Callable[..., Number]], Callable[..., Number]]:
    def register(function: Callable[..., Number]) -> Callable[..., Number]:
        DEFINITIONS[key or name] = Definition(name, meanings, per, function)
        return function

    return register


# --- the case ------------------------------------------------------------------------------------


@_defines("gamma", "case", "discount")
def _gamma(x: Facts) -> Number:
    return x.case.tasks[0].gamma


@_defines("lambda", "case", "regularisation of the adaptation step")
def _lambda(x: Facts) -> Number:
    return x.case.lam


@_defines("A", "case", "number of actions")
def _actions(x: Facts) -> Number:
    return fmpq(len(x.case.tasks[0].actions))


@_defines("w", "task", "task weight")
def _weight(x: Facts, tau: int) -> Number:
    return x.case.weights[tau]


@_defines("rho", "state", "start distribution")
def _start(x: Facts, tau: int, s: int) -> Number:
    return x.case.tasks[tau].rho[s]


# --- returns and visitation ----------------------------------------------------------------------


@_defines("gap", "task", "J* - J(pi+): optimality gap after adaptation")
def _gap(x: Facts, tau: int) -> Number:
    return x.star(tau).J - x.plus(tau).J


@_defines("gap_phi", "task", "J* - J(phi): optimality gap without adaptation")
def _gap_phi(x: Facts, tau: int) -> Number:
    return x.star(tau).J - x.phi(tau).J


@_defines("improvement", "task", "J(pi+) - J(phi)")
def _improvement(x: Facts, tau: int) -> Number:
    return x.plus(tau).J - x.phi(tau).J


@_defines("nu_phi", "state", "discounted visitation of phi")
def _nu_phi(x: Facts, tau: int, s: int) -> Number:
    return x.phi(tau).nu[s]


@_defines("nu_star", "state", "discounted visitation of pi*")
def _nu_star(x: Facts, tau: int, s: int) -> Number:
    return x.star(tau).nu[s]


@_defines("nu_plus", "state", "discounted visitation of pi+")
def _nu_plus(x: Facts, tau: int, s: int) -> Number:
    return x.plus(tau).nu[s]


@_defines("C", "task", "max_s nu*(s)/nu+(s): concentrability, a posteriori")
def _concentrability(x: Facts, tau: int) -> Number:
    star, plus = x.star(tau), x.plus(tau)
    return largest(divide(star.nu[s], plus.nu[s]) for s in star.task.states if star.visited[s])


@_defines("largest gap", "task", "(max r - min r)/(1-gamma): what no policy can miss the optimum by")
def _largest_gap(x: Facts, tau: int) -> Number:
    task = x.case.tasks[tau]
    rewards = [reward for row in task.r for reward in row]
    return (max(rewards) - min(rewards)) / (ONE - task.gamma)


# --- values and advantages -----------------------------------------------------------------------


@_defines("p", "state", "phi(a*|s): what the meta-policy gives the optimal action")
def _p(x: Facts, tau: int, s: int) -> Number:
    return x.case.phi[s][x.a_star(tau, s)]


@_defines("a", "state", "advantage of the optimal action under phi")
def _advantage(x: Facts, tau: int, s: int) -> Number:
    return x.phi(tau).Q[s][x.a_star(tau, s)] - x.phi(tau).V[s]


@_defines("D", "state", "P_{pi*}(V* - V^phi): the meta-policy's gap one optimal step ahead")
def _gap_ahead(x: Facts, tau: int, s: int) -> Number:
    task = x.case.tasks[tau]
    missing = [best - own for best, own in zip(x.star(tau).V, x.phi(tau).V, strict=True)]
    return task.ahead(s, x.a_star(tau, s), missing)


@_defines("g", "state", "<pi+, A^phi> at s")
def _gain(x: Facts, tau: int, s: int) -> Number:
    return x.plus(tau).average(s, [Q - x.phi(tau).V[s] for Q in x.phi(tau).Q[s]])


@_defines("Delta", "task", "max_s span Q^phi(s,.)")
def _span(x: Facts, tau: int) -> Number:
    return largest(largest(Q) + largest(-q for q in Q) for Q in x.phi(tau).Q)


@_defines("Delta_star", "task", "max_{s,a} (V*(s) - Q*(s,a))")
def _span_star(x: Facts, tau: int) -> Number:
    star = x.star(tau)
    return largest(V - q for V, Q in zip(star.V, star.Q, strict=True) for q in Q)


@_defines("A_max", "task", "max |A^phi|")
def _largest_advantage(x: Facts, tau: int) -> Number:
    phi = x.phi(tau)
    return largest(absolute(q - V) for V, Q in zip(phi.V, phi.Q, strict=True) for q in Q)


# --- adaptation ----------------------------------------------------------------------------------


def kl(p: list[fmpq], q: list[fmpq]) -> Number:
    """``KL(p || q)``, both with full support."""
    return inner(p, [log(divide(one, other)) for one, other in zip(p, q, strict=True)])


def _centred_square(p: list[fmpq], q: list[fmpq]) -> Number:
    """``min_c |log q - log p - c|^2``: squared distance of softmax parameters."""
    change = [log(divide(other, one)) for one, other in zip(p, q, strict=True)]
    mean = divide(total(change), fmpq(len(change)))
    return total(power(x - mean, 2) for x in change)


@_defines("ell", "state", "lambda / nu_phi(s)")
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


_defines("eps", "state", "mixture weight of phi in the comparator (1-eps) pi* + eps phi")(_free("eps"))
_defines("t", "state", "logit added to a* in the comparator")(_free("t"))


@_defines(
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


def objective(x: Facts, tau: int, s: int) -> Number:
    """``<pi+, Q^phi> - lambda d_i(phi, pi+)``: what the adaptation reached of what it maximises."""
    phi, plus = x.case.phi[s], x.case.plus[tau][s]
    gain = inner(plus, x.phi(tau).Q[s])
    match x.case.algorithm:
        case "kl-prior":
            return gain - times(x.case.lam, kl(phi, plus))
        case "kl-posterior":
            return gain - times(x.case.lam, kl(plus, phi))
        case "euclidean":
            ell = x.value("ell", tau, s)
            return gain if ell == ZERO else gain - times(ell, _centred_square(phi, plus))
    raise Undefined(f"{x.case.algorithm} maximises no regularised objective")


@_defines(
    "eta",
    "state",
    "inner error: by how much pi+ falls short of phi and of the comparator in its own objective",
)
def _inner_error(x: Facts, tau: int, s: int) -> Number:
    reached = objective(x, tau, s)
    comparator = x.phi(tau).Q[s][x.a_star(tau, s)] - x.value("e", tau, s)
    return largest([ZERO, x.phi(tau).V[s] - reached, comparator - reached])


@_defines(
    "eta",
    "state",
    "inner error: by how much pi+ falls short of phi and of the comparator in its own objective, where pi+ goes",
    key="eta where pi+ goes",
)
def _inner_error_visited(x: Facts, tau: int, s: int) -> Number:
    return x.value("eta", tau, s) if x.plus(tau).visited[s] else ZERO


@_defines(
    "k",
    "state",
    "KL(pi*||phi) - KL(pi*||pi+) - KL(pi+||phi), measured as <pi* - pi+, Q^phi>/lambda (three-point identity)",
)
def _three_points(x: Facts, tau: int, s: int) -> Number:
    Q = x.phi(tau).Q[s]
    return divide(Q[x.a_star(tau, s)] - inner(x.case.plus[tau][s], Q), x.case.lam)


@_defines("zeta", "state", "lambda KL(pi+ || Alg^(2)(phi)): by how much pi+ misses the maximum of its objective")
def _missed_maximum(x: Facts, tau: int, s: int) -> Number:
    Q, phi, plus = x.phi(tau).Q[s], x.case.phi[s], x.case.plus[tau][s]
    top = largest(Q)
    unscaled = [times(weight, exp(divide(q - top, x.case.lam))) for weight, q in zip(phi, Q, strict=True)]
    scale = total(unscaled)
    missed = inner(plus, [log(times(divide(one, other), scale)) for one, other in zip(plus, unscaled, strict=True)])
    return times(x.case.lam, larger(missed, ZERO))


# --- task variance -------------------------------------------------------------------------------


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


@_defines("Var", "case", "task variance: E_tau E_{nu*} KL(pi* || barycentre)")
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


@_defines("M", "case", "mismatch of the meta-policy: E_tau E_{nu*} KL(barycentre || phi)")
def _mismatch(x: Facts) -> Number:
    result: Number = ZERO
    for s in x.case.tasks[0].states:
        use = _use(x, s)
        for a in _in_use(x, s):
            barycentre = divide(use[a], total(use))
            result = result + times(use[a], log(divide(barycentre, x.case.phi[s][a])))
    return result
