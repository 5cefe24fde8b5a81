"""The meta-objective in high precision, and its derivative by central differences: the reference for hypergradients.

In doubles a difference of F loses the digits that a small gradient has. Here F is evaluated in numbers of some
hundred digits (mid-points of balls), so that a central difference with a step of ``2^-120`` is right to some 60 digits.
The inner problems are solved anew at every point: closed forms as they are, the others by Newton's method with the
slope of the float64 solution, which gains about twelve digits an iteration. No derivative formula of this package
enters but as such a slope, which decides how fast the iteration converges, not what it converges to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from flint import arb
from jaxtyping import Float64

from bomrl_theory.adapt.constrained import ConstrainedStep
from bomrl_theory.adapt.convex_program import BudgetProgram
from bomrl_theory.adapt.step import Algorithm
from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.model import Model
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.lower_level import lower_level
from bomrl_theory.meta.lower_level.euclidean import Euclidean
from bomrl_theory.meta.objective import Adapted
from bomrl_theory.numbers import FLOATS, Array, Balls, to_floats
from bomrl_theory.tasks.policy import SMALLEST

PRECISION = 400
"""In bits."""
STEP = 2.0**-120
MAXIMUM_ITERATIONS = 60
SETTLED = 2.0**-330
"""Newton's method ends when its step is this small, relative to 1 plus the unknown."""


@dataclass(frozen=True, eq=False)
class Precise:
    """F near some logits, for the same arguments as a hypergradient. Build it with :meth:`of`.

    Attributes:
        theta: logits [S, A].
        adapted: the adaptation there in float64: where Newton's method starts.
    """

    theta: Float64[Array, "S A"]
    adapted: Adapted

    @classmethod
    def of(
        cls, solved: Solved, theta: Float64[Array, "S A"], algorithm: str | Algorithm = "kl-posterior", lam: float = 1.0
    ) -> Precise:
        """Raises as :meth:`Adapted.of`; constraints must not be weakly active, where F has a kink."""
        with FLOATS.activated():
            return cls(theta, Adapted.of(solved, theta, algorithm, lam))

    def derivative(self, direction: Float64[Array, "S A"]) -> float:
        """dF along a direction, by a central difference.

        Raises:
            InvalidTask: Newton's method did not converge, or the algorithm is unknown here.
        """
        numbers = Balls(PRECISION)
        with numbers.activated():
            ahead, behind = (self.value(side * STEP * direction) for side in (1, -1))
            return float((ahead - behind) / (2 * arb(STEP)))

    def value(self, shift: Float64[Array, "S A"]) -> Any:
        """``F(theta + shift)``; use it inside ``Balls(PRECISION).activated()``.

        Raises: as :meth:`derivative`.
        """
        at = self._phi(_arbs(self.theta) + _arbs(shift))
        plus = self._evaluation(self._adapted(at))
        return (self._model.w * plus.J).sum()

    @cached_property
    def _model(self) -> Model:
        return Model(self.adapted.phi.model.family, Balls(PRECISION))

    def _evaluation(self, pi: Array) -> Evaluation:
        return Evaluation(self._model, _mid(pi), np.ones(pi.shape))

    def _phi(self, logits: Array) -> Evaluation:
        return self._evaluation(np.broadcast_to(_softmax(logits), self.adapted.phi.Q.shape))

    def _adapted(self, at: Evaluation) -> Array:
        lam = arb(self.adapted.lam)
        if isinstance(self.adapted.step, ConstrainedStep):
            return self._constrained(at, self.adapted.step)
        match self.adapted.algorithm.name:
            case "none":
                return at.pi
            case "kl-posterior":
                return _tilted(at.pi, at.Q / lam)
            case "policy-gradient":
                return _tilted(at.pi, at.nu[..., None] * at.pi * at.advantage / (2 * lam))
            case "kl-prior":
                return _prior(at.pi, at.Q, lam, self.adapted.plus.pi)
            case "euclidean":
                return self._euclidean(at, lam)
        raise InvalidTask(f"'{self.adapted.algorithm.name}' is not evaluated in high precision")

    def _euclidean(self, at: Evaluation, lam: Any) -> Array:
        """``nu pi (Q - <pi, Q>) / (2 lambda) = u`` for ``u = y - theta``."""
        with FLOATS.activated():
            level = lower_level(self.adapted)
            assert isinstance(level, Euclidean)
            inverse = np.linalg.inv(level.blocks)
            start = np.log(self.adapted.plus.pi / self.adapted.phi.pi)
            start = start - start.mean(axis=-1, keepdims=True)
        share = at.nu[..., None] / (2 * lam)

        def step(u: Array) -> Array:
            pi = _tilted(at.pi, u)
            off = share * pi * (at.Q - (pi * at.Q).sum(axis=-1, keepdims=True)) - u
            return (_arbs(inverse) * off[..., None, :]).sum(axis=-1)

        return _tilted(at.pi, _newton(step, _arbs(start)))

    def _constrained(self, at: Evaluation, step: ConstrainedStep) -> Array:
        """One multiplier a task; the step at a fixed one is the free step."""
        program = step.program
        prior = program.divergence.algorithm.name == "kl-prior"
        one = at.model.numbers.constant(1)
        active = np.array([activity == "active" for activity in step.activity])
        with FLOATS.activated():
            curvature = program.curvature(step.multiplier, step.log_policy - np.log(program.phi.pi))
            slope = _arbs(np.where(active, curvature, 1))
            solution = np.maximum(np.exp(step.log_policy), SMALLEST)
            best = getattr(program, "best", np.ones(at.pi.shape, dtype=bool))

        def policy(R: Array, lam: Any) -> Array:
            return _prior(at.pi, R, lam, solution) if prior else _tilted(at.pi, R / lam)

        if isinstance(program, BudgetProgram):
            cost, numbers = _arbs(program.cost), at.model.numbers
            Vc = numbers.solve_discounted(at.P, at.model.gamma, at.average(cost))
            Qc = cost + at.model.gamma * numbers.dot(at.model.P, Vc[:, None, None, :])

            def at_multiplier(kappa: Array) -> Array:
                return policy(at.Q - kappa[:, None, None] * Qc, arb(program.regularisation))

            def left_side(pi: Array) -> Array:
                return (at.nu * (pi * Qc).sum(axis=-1)).sum(axis=-1)
        else:

            def at_multiplier(kappa: Array) -> Array:
                inside = policy(at.Q, np.where(active, kappa, one)[:, None, None])
                kept = np.where(best, at.pi, at.model.zero)
                return np.where(active[:, None, None], inside, kept / kept.sum(axis=-1, keepdims=True))

            def left_side(pi: Array) -> Array:
                pi = np.where(active[:, None, None], pi, at.pi)
                ratio = at.model.numbers.log(pi / at.pi)
                return (at.nu * (-at.pi * ratio if prior else pi * ratio).sum(axis=-1)).sum(axis=-1)

        limit = _arbs(program.limit)

        def move(kappa: Array) -> Array:
            return np.where(active, (left_side(at_multiplier(kappa)) - limit) / slope, at.model.zero)

        return at_multiplier(_newton(move, _arbs(step.multiplier)))


def _arbs(values: Array) -> Array:
    return Balls(PRECISION).load(values)


def _mid(values: Array) -> Array:
    """Without the radii, which Newton's method would only let grow."""
    return np.asarray(np.frompyfunc(lambda x: x.mid(), 1, 1)(values), dtype=object)


def _softmax(logits: Array) -> Array:
    grown = Balls(PRECISION).exp(logits)
    return grown / grown.sum(axis=-1, keepdims=True)


def _tilted(pi: Array, change: Array) -> Array:
    """``pi exp(change) / Z``."""
    highest = np.take_along_axis(change, to_floats(change).argmax(axis=-1)[..., None], axis=-1)
    grown = pi * Balls(PRECISION).exp(change - highest)
    return grown / grown.sum(axis=-1, keepdims=True)


def _prior(phi: Array, R: Array, lam: Any, solution: Float64[Array, "T S A"]) -> Array:
    """``lambda phi / (y + h)`` with ``h = max R - R``: normalised by Newton's method in y."""
    best = to_floats(R).argmax(axis=-1)[..., None]
    h = np.take_along_axis(R, best, axis=-1) - R

    def terms(y: Array) -> Array:
        return lam * phi / (y + h)

    def step(y: Array) -> Array:
        now = terms(y)
        return (now.sum(axis=-1, keepdims=True) - 1) / (now / (y + h)).sum(axis=-1, keepdims=True)

    start = np.take_along_axis(lam * phi, best, axis=-1) / _arbs(np.take_along_axis(solution, best, axis=-1))
    return terms(_newton(step, _mid(start)))


def _newton(step: Callable[[Array], Array], start: Array) -> Array:
    """Add steps until they vanish.

    Raises:
        InvalidTask: they do not.
    """
    x = start
    for _ in range(MAXIMUM_ITERATIONS):
        change = _mid(step(x))
        x = _mid(x + change)
        if np.all(abs(change) <= SETTLED * (1 + abs(x))):
            return x
    raise InvalidTask(f"the inner problem did not converge in high precision in {MAXIMUM_ITERATIONS} iterations")
