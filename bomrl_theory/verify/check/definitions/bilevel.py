"""Policy evaluation as an inner problem: iterates, unrolled and implicit derivatives, and their errors."""

from __future__ import annotations

from bomrl_theory.verify.check.arithmetic import ONE, ZERO, Number, absolute, inner, largest, times, total
from bomrl_theory.verify.check.definitions.meta_training import (
    Softmax,
    Table,
    added,
    at_phi,
    at_plus,
    half_sum,
    subtracted,
)
from bomrl_theory.verify.check.facts import Facts, defines


def _iterates(at: Softmax, steps: int) -> list[list[Number]]:
    """``w <- r_pi + gamma P_pi w`` so often, from zero, with all that comes before."""
    iterates: list[list[Number]] = [[ZERO for _ in at.task.states]]
    for _ in range(steps):
        values = _action_values(at, iterates[-1])
        iterates.append([inner(row, Q) for row, Q in zip(at.pi, values, strict=True)])
    return iterates


def _action_values(at: Softmax, w: list[Number]) -> Table:
    task = at.task
    return [[task.r[s][a] + times(task.gamma, task.ahead(s, a, w)) for a in task.actions] for s in task.states]


def _slopes(at: Softmax, w: list[Number]) -> Table:
    """How ``<pi, Q_w>`` moves with each logit."""
    return [
        [times(weight, q - inner(row, values)) for weight, q in zip(row, values, strict=True)]
        for row, values in zip(at.pi, _action_values(at, w), strict=True)
    ]


def _steepness(slopes: Table) -> Number:
    return largest(half_sum([row]) for row in slopes)


def _scaled(v: list[Number], x: Table) -> Table:
    return [[times(weight, y) for y in row] for weight, row in zip(v, x, strict=True)]


def _unrolled(at: Softmax, steps: int, kept: int) -> Table:
    """The derivative of ``rho . w_steps`` through the last steps."""
    result: Table = [[ZERO for _ in row] for row in at.pi]
    iterates, waves = _iterates(at, steps - 1), at.waves(list(at.task.rho), kept)
    for j, wave in enumerate(waves):
        result = added(result, _scaled(wave, _slopes(at, iterates[-1 - j])))
    return result


def implicit(at: Softmax, steps: int, terms: int) -> Table:
    """Implicit differentiation after so many inner and adjoint steps."""
    return _scaled(at.arriving_in(list(at.task.rho), terms), _slopes(at, _iterates(at, steps)[-1]))


@defines("V_max", "task", "max_s |V^phi(s)|: |w(theta) - w_0|")
def _largest_value(x: Facts, tau: int) -> Number:
    return largest(absolute(value) for value in x.phi(tau).V)


@defines("L_Phi", "task", "max_s sum_a phi(a|s) |A^phi(s,a)| / 2: |d2 Phi| at the inner solution")
def _phi_steepness(x: Facts, tau: int) -> Number:
    return _steepness(at_phi(x, tau).slope)


@defines("L_Phi_plus", "task", "max_s sum_a pi+(a|s) |A^{pi+}(s,a)| / 2: |d2 Phi| at the inner solution")
def _plus_steepness(x: Facts, tau: int) -> Number:
    return _steepness(at_plus(x, tau).slope)


@defines("itd", "task", "sum |grad f_4 - grad f| / 2, unrolled")
def _unrolled_error(x: Facts, tau: int) -> Number:
    at = at_phi(x, tau)
    return half_sum(subtracted(_unrolled(at, 4, 4), at.gradient))


@defines("aid", "task", "sum |h - grad f| / 2, implicit differentiation after 4 inner and 4 adjoint steps")
def _implicit_error(x: Facts, tau: int) -> Number:
    at = at_phi(x, tau)
    return half_sum(subtracted(implicit(at, 4, 4), at.gradient))


@defines("dropped", "task", "sum |grad f_6 - h_2| / 2, back-propagation cut after 2 of 6 steps")
def _dropped(x: Facts, tau: int) -> Number:
    at = at_phi(x, tau)
    return half_sum(subtracted(_unrolled(at, 6, 6), _unrolled(at, 6, 2)))


@defines("M_B", "task", "max_t |d2 Phi(w_t)| over 6 inner steps from w = 0")
def _steepest(x: Facts, tau: int) -> Number:
    at = at_phi(x, tau)
    return largest(_steepness(_slopes(at, w)) for w in _iterates(at, 5))


@defines("hoag", "task", "sum |h - grad J(pi+)| / 2, h from V^phi and nu^phi")
def _warm_start_error(x: Facts, tau: int) -> Number:
    at, phi = at_plus(x, tau), x.phi(tau)
    visits = [nu / (ONE - at.task.gamma) for nu in phi.nu]
    return half_sum(subtracted(_scaled(visits, _slopes(at, phi.V)), at.gradient))


@defines("res_w", "task", "max_s |<pi+, Q^phi> - V^phi|: residual of V^phi as the value of pi+")
def _value_residual(x: Facts, tau: int) -> Number:
    phi, plus = x.phi(tau), x.plus(tau)
    return largest(absolute(plus.average(s, phi.Q[s]) - phi.V[s]) for s in plus.task.states)


@defines("res_v", "task", "sum_s |rho + gamma P_+^T v - v| with v = nu^phi/(1-gamma)")
def _adjoint_residual(x: Facts, tau: int) -> Number:
    at = at_plus(x, tau)
    visits = [nu / (ONE - at.task.gamma) for nu in x.phi(tau).nu]
    # One step of the adjoint iteration from v instead of rho, so with v once too often.
    ahead = at.arriving_in(visits, 2)
    return total(absolute(start + after - 2 * v) for start, after, v in zip(at.task.rho, ahead, visits, strict=True))
