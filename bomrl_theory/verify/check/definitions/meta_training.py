"""Derivatives of the return in softmax logits, hypergradients and MAML, by the inverse of ``I - gamma P_pi``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

from flint import arb, fmpq

from bomrl_theory.verify.check.arithmetic import (
    ONE,
    ZERO,
    Number,
    absolute,
    divide,
    exp,
    inner,
    largest,
    log,
    solve,
    sqrt,
    times,
    total,
)
from bomrl_theory.verify.check.facts import Facts, defines
from bomrl_theory.verify.check.task import Evaluated, Task

Table = list[list[Number]]
"""A number for every state and action."""


@dataclass(frozen=True, eq=False)
class Softmax:
    """A policy of full support on a task, in rationals or in balls, and how its return moves with its logits."""

    task: Task
    pi: Table
    visited: list[bool]
    exact: bool

    @classmethod
    def of(cls, evaluated: Evaluated) -> Softmax:
        """The same policy, with what is known of it kept as long as its evaluation is."""
        if evaluated not in _OF:
            _OF[evaluated] = cls(evaluated.task, evaluated.pi, evaluated.visited, evaluated.exact)
        return _OF[evaluated]

    @cached_property
    def inverse(self) -> Table:
        """``(I - gamma P_pi)^-1``: entry [x][s] is the discounted number of visits to s from x."""
        task = self.task
        step = [[ONE if s == x else ZERO for x in task.states] for s in task.states]
        for s in task.states:
            for a in task.actions:
                for x, probability in task.P[s][a]:
                    step[s][x] = step[s][x] - task.gamma * probability * self.pi[s][a]
        exact = self.exact and all(isinstance(entry, fmpq) for row in step for entry in row)
        columns = [solve(step, [ONE if x == s else ZERO for x in task.states], exact=exact) for s in task.states]
        return [list(row) for row in zip(*columns, strict=True)]

    @cached_property
    def V(self) -> list[Number]:
        rewards = [inner(self.pi[s], self.task.r[s]) for s in self.task.states]
        return [inner(row, rewards) for row in self.inverse]

    @cached_property
    def J(self) -> Number:
        return inner(self.task.rho, self.V)

    @cached_property
    def visits(self) -> list[Number]:
        """``nu/(1-gamma)``."""
        columns = zip(*self.inverse, strict=True)
        return [
            inner(self.task.rho, column) if seen else ZERO for column, seen in zip(columns, self.visited, strict=True)
        ]

    @cached_property
    def Q(self) -> Table:
        task = self.task
        return [[task.r[s][a] + times(task.gamma, task.ahead(s, a, self.V)) for a in task.actions] for s in task.states]

    @cached_property
    def slope(self) -> Table:
        """``pi(a) sum_b pi(b) (Q(a) - Q(b))``: how ``<pi, Q>`` moves with each logit. Ties are exactly zero."""
        task = self.task

        def better(s: int, a: int, b: int) -> Number:
            ahead = dict(task.P[s][a])
            for x, probability in task.P[s][b]:
                ahead[x] = ahead.get(x, ZERO) - probability
            gain = total(times(difference, self.V[x]) for x, difference in ahead.items())
            return task.r[s][a] - task.r[s][b] + times(task.gamma, gain)

        return [
            [
                times(self.pi[s][a], total(times(self.pi[s][b], better(s, a, b)) for b in task.actions))
                for a in task.actions
            ]
            for s in task.states
        ]

    @cached_property
    def gradient(self) -> Table:
        """dJ/dtheta."""
        return [[times(visits, slope) for slope in row] for visits, row in zip(self.visits, self.slope, strict=True)]

    def pulled_back(self, x: Table) -> Table:
        """``sum_{z,b} x(z,b) dQ(z,b)/dtheta(s,a)``: a logit of s moves V by the visits to s."""
        weights = self._arriving(x)
        visits = [total(times(weights[z], self.inverse[z][s]) for z in self.task.states) for s in self.task.states]
        return [[times(visit, slope) for slope in row] for visit, row in zip(visits, self.slope, strict=True)]

    def pulled_back_in(self, x: Table, steps: int) -> Table:
        """The same with the visits cut after so many steps."""
        visits = self.arriving_in(self._arriving(x), steps)
        return [[times(visit, slope) for slope in row] for visit, row in zip(visits, self.slope, strict=True)]

    def waves(self, start: list[Number], steps: int) -> list[list[Number]]:
        """``(gamma P_pi^T)^j start`` for ``j < steps``."""
        waves = [start]
        for _ in range(steps - 1):
            wave = waves[-1]
            waves.append(self._arriving([[times(wave[s], p) for p in self.pi[s]] for s in self.task.states]))
        return waves

    def arriving_in(self, start: list[Number], steps: int) -> list[Number]:
        """The sum of the waves."""
        return [total(column) for column in zip(*self.waves(start, steps), strict=True)]

    def _arriving(self, x: Table) -> list[Number]:
        """``gamma sum_{s,a} x(s,a) P(.|s,a)``."""
        result: list[Number] = [ZERO for _ in self.task.states]
        for s in self.task.states:
            for a in self.task.actions:
                for z, probability in self.task.P[s][a]:
                    result[z] = result[z] + times(times(self.task.gamma, probability), x[s][a])
        return result

    def curved(self, u: Table) -> Table:
        """The Hessian of J times u."""
        task = self.task
        moved = [[times(self.pi[s][a], u[s][a] - inner(self.pi[s], u[s])) for a in task.actions] for s in task.states]
        gain = [inner(u[s], self.slope[s]) for s in task.states]
        dV = [inner(row, gain) for row in self.inverse]
        arriving = self._arriving([[times(self.visits[s], moved[s][a]) for a in task.actions] for s in task.states])
        d_visits = [total(times(arriving[z], self.inverse[z][s]) for z in task.states) for s in task.states]
        result: Table = []
        for s in task.states:
            dQ = [times(task.gamma, task.ahead(s, a, dV)) for a in task.actions]
            V, mean = inner(self.pi[s], self.Q[s]), inner(self.pi[s], dQ) + inner(moved[s], self.Q[s])
            result.append(
                [
                    times(d_visits[s], self.slope[s][a])
                    + times(
                        self.visits[s],
                        times(moved[s][a], self.Q[s][a] - V) + times(self.pi[s][a], dQ[a] - mean),
                    )
                    for a in task.actions
                ]
            )
        return result

    def moved(self, change: Table) -> Softmax:
        """The policy whose logits are larger by ``change``, where it goes and where that tells actions apart."""
        policy: Table = []
        for s in self.task.states:
            if not self.visited[s] or all(_is_zero(x - change[s][0]) for x in change[s]):
                policy.append(self.pi[s])
                continue
            top = largest(change[s])
            grown = [times(weight, exp(x - top)) for weight, x in zip(self.pi[s], change[s], strict=True)]
            policy.append([divide(x, total(grown)) for x in grown])
        return Softmax(self.task, policy, self.visited, self.exact)

    def soft_step(self, lam: Number) -> Softmax:
        """Alg^(2) solved exactly."""
        return self.moved([[divide(q, lam) for q in row] for row in self.Q])

    def soft_hypergradient(self, lam: Number) -> Table:
        """The gradient of ``J(Alg^(2))``."""
        g = self.soft_step(lam).gradient
        return added(g, [[divide(x, lam) for x in row] for row in self.pulled_back(g)])

    def maml_step(self, alpha: Number) -> Softmax:
        """``theta + alpha grad J``."""
        return self.moved([[times(alpha, x) for x in row] for row in self.gradient])

    def maml_hypergradient(self, alpha: Number) -> Table:
        """The gradient of ``J(theta + alpha grad J)``."""
        g = self.maml_step(alpha).gradient
        return added(g, [[times(alpha, x) for x in row] for row in self.curved(g)])


_OF: WeakKeyDictionary[Evaluated, Softmax] = WeakKeyDictionary()


def _is_zero(x: Number) -> bool:
    return bool(x.is_zero()) if isinstance(x, arb) else x == ZERO


def added(x: Table, y: Table) -> Table:
    return [[a + b for a, b in zip(one, other, strict=True)] for one, other in zip(x, y, strict=True)]


def subtracted(x: Table, y: Table) -> Table:
    return added(x, [[-a for a in row] for row in y])


def square(x: Table) -> Number:
    return total(times(a, a) for row in x for a in row)


def half_sum(x: Table) -> Number:
    """Half the sum of absolute values."""
    return total(absolute(a) for row in x for a in row) / 2


def at_phi(x: Facts, tau: int) -> Softmax:
    return Softmax.of(x.phi(tau))


def at_plus(x: Facts, tau: int) -> Softmax:
    return Softmax.of(x.plus(tau))


def _alpha(x: Facts) -> Number:
    return (ONE - x.case.tasks[0].gamma) / (2 * x.case.lam)


def _change(x: Facts, tau: int, gradient: Callable[[Softmax], Table]) -> Number:
    """``|gradient(pi+) - gradient(phi)|^2``, zero where the policies are one."""
    if x.case.plus[tau] == x.case.phi:
        return ZERO
    return square(subtracted(gradient(at_plus(x, tau)), gradient(at_phi(x, tau))))


# --- sizes and distances -------------------------------------------------------------------------


@defines("R", "task", "max r - min r: span of the rewards", key="span of the rewards")
def _span(x: Facts, tau: int) -> Number:
    rewards = [reward for row in x.case.tasks[tau].r for reward in row]
    return max(rewards) - min(rewards)


@defines("n", "case", "number of states", key="number of states")
def _states(x: Facts) -> Number:
    return fmpq(len(x.case.tasks[0].states))


@defines("d2", "task", "|theta' - theta|^2: squared distance of the centred logits of pi+ and phi")
def _distance(x: Facts, tau: int) -> Number:
    result: Number = ZERO
    for phi, plus in zip(x.case.phi, x.case.plus[tau], strict=True):
        change = [log(divide(new, old)) for new, old in zip(plus, phi, strict=True)]
        mean = divide(total(change), fmpq(len(change)))
        result = result + total(times(c - mean, c - mean) for c in change)
    return result


@defines("g1", "task", "sum |grad J(phi)| / 2")
def _size(x: Facts, tau: int) -> Number:
    return half_sum(at_phi(x, tau).gradient)


@defines("g2", "task", "|grad J(phi)|^2")
def _square(x: Facts, tau: int) -> Number:
    return square(at_phi(x, tau).gradient)


@defines("g", "task", "|grad J(phi)|", key="length of grad J(phi)")
def _length(x: Facts, tau: int) -> Number:
    return sqrt(square(at_phi(x, tau).gradient))


@defines("dg2", "task", "|grad J(pi+) - grad J(phi)|^2")
def _gradient_change(x: Facts, tau: int) -> Number:
    return _change(x, tau, lambda at: at.gradient)


# --- Alg^(2) solved exactly ----------------------------------------------------------------------


@defines("G1", "task", "sum |grad F(phi)| / 2 of one task, F = J(Alg^(2)(phi)) solved exactly")
def _meta_size(x: Facts, tau: int) -> Number:
    return half_sum(at_phi(x, tau).soft_hypergradient(x.case.lam))


@defines("dG2", "task", "|grad F(pi+) - grad F(phi)|^2 of one task, F = J(Alg^(2)(phi)) solved exactly")
def _meta_change(x: Facts, tau: int) -> Number:
    return _change(x, tau, lambda at: at.soft_hypergradient(x.case.lam))


@defines("bias", "task", "sum |grad F - grad J(theta+)| / 2, Alg^(2) solved exactly", key="first-order bias")
def _first_order_bias(x: Facts, tau: int) -> Number:
    at = at_phi(x, tau)
    return divide(half_sum(at.pulled_back(at.soft_step(x.case.lam).gradient)), x.case.lam)


@defines("error", "task", "sum |h - grad F| / 2 with the inexact hypergradient h", key="error of the hypergradient")
def _inexact(x: Facts, tau: int) -> Number:
    at, g = at_phi(x, tau), at_plus(x, tau).gradient
    h = added(g, [[divide(y, x.case.lam) for y in row] for row in at.pulled_back_in(g, 4)])
    return half_sum(subtracted(h, at.soft_hypergradient(x.case.lam)))


@defines("off", "task", "max_s range of log pi+ - log phi - Q^phi/lambda over actions")
def _misplacement(x: Facts, tau: int) -> Number:
    ranges = []
    for phi, plus, Q in zip(x.case.phi, x.case.plus[tau], x.phi(tau).Q, strict=True):
        off = [log(divide(new, old)) - divide(q, x.case.lam) for new, old, q in zip(plus, phi, Q, strict=True)]
        ranges.append(largest(off) + largest(-y for y in off))
    return largest(ranges)


@defines("g1_pi", "task", "sum |grad J(pi+)| / 2")
def _plus_size(x: Facts, tau: int) -> Number:
    return half_sum(at_plus(x, tau).gradient)


@defines("gap_soft", "task", "J* - J(Alg^(2)(phi)), Alg^(2) solved exactly")
def _soft_gap(x: Facts, tau: int) -> Number:
    """By the performance difference lemma, in which nothing cancels."""
    plus, star = at_phi(x, tau).soft_step(x.case.lam), x.star(tau)
    states = x.case.tasks[tau].states
    return total(times(plus.visits[s], inner(plus.pi[s], [star.V[s] - q for q in star.Q[s]])) for s in states)


# --- MAML ----------------------------------------------------------------------------------------


@defines("dM2", "task", "|grad F(pi+) - grad F(phi)|^2 of one task, F(theta) = J(theta + alpha grad J(theta))")
def _maml_change(x: Facts, tau: int) -> Number:
    return _change(x, tau, lambda at: at.maml_hypergradient(_alpha(x)))


@defines("M2", "task", "|grad F(phi)|^2 of one task, F(theta) = J(theta + alpha grad J(theta))")
def _maml_square(x: Facts, tau: int) -> Number:
    return square(at_phi(x, tau).maml_hypergradient(_alpha(x)))


@defines("g_least", "task", "min of |grad J(phi)| and |grad J(pi+)|")
def _least(x: Facts, tau: int) -> Number:
    return -largest(-sqrt(square(at.gradient)) for at in (at_phi(x, tau), at_plus(x, tau)))


@defines("bias2", "task", "|alpha Hessian(phi) grad J(theta+)|^2 with theta+ = theta + alpha grad J(theta), exactly")
def _first_order_maml_bias(x: Facts, tau: int) -> Number:
    at, alpha = at_phi(x, tau), _alpha(x)
    return square([[times(alpha, y) for y in row] for row in at.curved(at.maml_step(alpha).gradient)])


@defines("g2_plus", "task", "|grad J(theta+)|^2 with theta+ = theta + alpha grad J(theta), exactly")
def _after_maml(x: Facts, tau: int) -> Number:
    return square(at_phi(x, tau).maml_step(_alpha(x)).gradient)
