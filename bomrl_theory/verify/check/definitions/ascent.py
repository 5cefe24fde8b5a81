"""Gradient ascent with steps of a certified length, and the constants that the lengths are made of."""

from __future__ import annotations

from collections.abc import Callable

from flint import fmpq

from bomrl_theory.verify.check.arithmetic import ONE, ZERO, Number, divide, larger, sqrt, times, total
from bomrl_theory.verify.check.definitions.bilevel import implicit
from bomrl_theory.verify.check.definitions.meta_training import Softmax, Table, added, at_phi, square, subtracted
from bomrl_theory.verify.check.facts import Facts, defines


def _smaller(x: Number, y: Number) -> Number:
    return -larger(-x, -y)


class Constants:
    """The smoothness constants of one task (theory section 8)."""

    def __init__(self, x: Facts, tau: int):
        gamma, n, R = (
            x.case.tasks[0].gamma,
            x.value("number of states", tau, None),
            x.value("span of the rewards", tau, None),
        )
        horizon = ONE / (ONE - gamma)
        root = sqrt((ONE + gamma) * horizon)
        self.gamma, self.lam = gamma, x.case.lam
        unit = R * horizon / 4
        pairs = horizon * (ONE + 2 * sqrt(ONE + gamma) * _smaller(gamma * sqrt(horizon), sqrt(fmpq(2))))
        self.first = times(unit, _smaller(n, root))
        self.spread = times(unit, _smaller(n, 2 * root))
        self.second = times(unit / 2, _smaller(n + gamma * horizon * (n - ONE), pairs))
        self.third = horizon * (
            7 * R * horizon / 16 + times(3 * gamma / 8, self.spread) + times(3 * gamma / 2, self.second)
        )
        self.smoothness = times(unit, _smaller(ONE + gamma * horizon * sqrt(n - ONE) / 2, pairs))

    @property
    def meta_smoothness(self) -> Number:
        chain = ONE + times(self.gamma / self.lam, self.spread)
        return 2 * times(self.second, times(chain, chain) + times(2 * self.gamma / self.lam, self.first))

    def maml_smoothness(self, length: Number, alpha: Number) -> Number:
        """L(theta) at a gradient of this length."""
        return 4 * self.smoothness + times(4 * sqrt(fmpq(2)) * alpha, times(self.third, length))


def _shortened(gradient: Table, smoothness: Number) -> Table:
    """``gradient / smoothness``; no step where there is no reward to choose, and so no gradient."""
    return [[divide(y, smoothness) if smoothness > 0 else ZERO for y in row] for row in gradient]


def _average(x: Facts, of: Callable[[int], Table]) -> Table:
    result: Table = [[ZERO for _ in row] for row in x.case.phi]
    for tau, weight in enumerate(x.case.weights):
        result = added(result, [[times(weight, y) for y in row] for row in of(tau)])
    return result


@defines("G2", "case", "sum of |grad F(theta_t)|^2 over 3 steps of exact ascent with step 1/L_F")
def _ascent(x: Facts) -> Number:
    tasks = range(len(x.case.tasks))
    smoothness = total(times(w, Constants(x, tau).meta_smoothness) for tau, w in enumerate(x.case.weights))
    at: list[Softmax] = [at_phi(x, tau) for tau in tasks]
    result: Number = ZERO
    for _ in range(3):
        gradient = _average(x, lambda tau: at[tau].soft_hypergradient(x.case.lam))  # noqa: B023  (used at once)
        result = result + square(gradient)
        at = [each.moved(_shortened(gradient, smoothness)) for each in at]
    return result


@defines("gain", "task", "J(theta + h/L_V) - J(theta), h as in aid_error", key="gain of an inexact step")
def _inexact_gain(x: Facts, tau: int) -> Number:
    at = at_phi(x, tau)
    return at.moved(_shortened(implicit(at, 4, 4), Constants(x, tau).smoothness)).J - at.J


@defines(
    "aid2",
    "task",
    "|h - grad J(phi)|^2, implicit differentiation after 4 inner and 4 adjoint steps",
)
def _inexact_square(x: Facts, tau: int) -> Number:
    at = at_phi(x, tau)
    return square(subtracted(implicit(at, 4, 4), at.gradient))


@defines("gain", "task", "F(theta + grad F(theta)/L(theta)) - F(theta)", key="gain of a MAML step")
def _maml_gain(x: Facts, tau: int) -> Number:
    at, alpha = at_phi(x, tau), (ONE - x.case.tasks[0].gamma) / (2 * x.case.lam)
    smoothness = Constants(x, tau).maml_smoothness(sqrt(square(at.gradient)), alpha)
    ahead = at.moved(_shortened(at.maml_hypergradient(alpha), smoothness))
    return ahead.maml_step(alpha).J - at.maml_step(alpha).J
