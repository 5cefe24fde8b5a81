"""The lower level under a constraint, as a convex program with one multiplier a task.

For ``d_1 = KL(phi || pi)`` and ``d_2 = KL(pi || phi)`` every task maximises, over policies,

- with a cost budget: ``E_nu[<pi, Q> - lambda d]`` subject to ``E_nu <pi, Qc> <= budget``;
- with a trust region: ``E_nu <pi, Q>`` subject to ``E_nu d <= radius``,

``nu = nu^phi, Q = Q^phi, Qc = Qc^phi``. For a fixed multiplier ``kappa`` the Lagrangian is maximised by the
unconstrained step, with ``R = Q - kappa Qc`` in place of Q, or with ``lambda = kappa``
(docs/constrained.md). Only that step is ever computed; the multiplier is a scalar root.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64

from bomrl_theory.adapt.constraint import Constraint, TrustRegion, for_tasks
from bomrl_theory.adapt.divergence import Divergence
from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.mdp import at


@dataclass(frozen=True, eq=False)
class ConvexProgram:
    """The program of every task; use it inside ``FLOATS.activated()``.

    Policies are given as ``x = log(pi/phi)``, multipliers as ``kappa`` [T].

    Attributes:
        phi: float64 evaluation of the meta-policy.
        divergence: ``d_i``.
        limit: the budget, or the radius [T].
    """

    phi: Evaluation
    divergence: Divergence
    limit: Float64[Array, " T"]

    def reward(self, kappa: Float64[Array, " T"]) -> Float64[Array, "T S A"]:
        """R: what the step maximises at this multiplier."""
        raise NotImplementedError

    def lam(self, kappa: Float64[Array, " T"]) -> Float64[Array, "T 1 1"]:
        """The regularisation of the step at this multiplier."""
        raise NotImplementedError

    def direction(self, kappa: Float64[Array, " T"]) -> Float64[Array, "T S A"]:
        """Gradient C of the constraint's left side at the maximiser, over nu and up to a constant for each state.

        ``dpi/dkappa = -N C`` for both constraints.
        """
        raise NotImplementedError

    def excess(self, x: Float64[Array, "T S A"]) -> Float64[Array, " T"]:
        """The constraint's left side above :attr:`floor`, computed without cancellation."""
        raise NotImplementedError

    def at_zero(self) -> tuple[Float64[Array, "T S A"], Float64[Array, " T"]]:
        """``x`` and its excess when the constraint does not bind (the limit ``kappa -> 0``)."""
        raise NotImplementedError

    def start(self) -> Float64[Array, " T"]:
        """A first guess of a positive multiplier."""
        raise NotImplementedError

    @cached_property
    def floor(self) -> Float64[Array, " T"]:
        """Infimum of the constraint's left side."""
        raise NotImplementedError

    @cached_property
    def range(self) -> Float64[Array, " T"]:
        """The scale on which slack is judged: what the left side can vary by."""
        raise NotImplementedError

    @cached_property
    def rounding(self) -> Float64[Array, " T"]:
        """Differences of the left side up to this are rounding."""
        raise NotImplementedError

    @cached_property
    def smallest(self) -> Float64[Array, " T"]:
        """Smallest multiplier that can be computed with."""
        raise NotImplementedError

    @property
    def room(self) -> Float64[Array, " T"]:
        """``limit - floor``."""
        return self.limit - self.floor

    def log_ratio(self, kappa: Float64[Array, " T"]) -> Float64[Array, "T S A"]:
        """The maximiser of the Lagrangian."""
        return self.divergence.log_ratio(self.phi.pi, self.reward(kappa), self.lam(kappa))

    def policy(self, x: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
        """``phi e^x``."""
        return self.phi.pi * np.exp(x)

    def centred(self, x: Float64[Array, "T S A"], weighted: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
        """``E^T (weighted/pi)``: how ``<weighted/pi, pi>`` at the maximiser moves with ``log phi``, R held fixed.

        ``E = diag(pi) - m pi^T`` with ``m`` the distribution proportional to ``pi * looseness``.
        """
        pi, looseness = self.policy(x), self.divergence.looseness(x)
        total = (pi * looseness).sum(axis=-1, keepdims=True)
        return weighted - pi * (looseness * weighted).sum(axis=-1, keepdims=True) / total

    def response(
        self, x: Float64[Array, "T S A"], lam: Float64[Array, "T 1 1"], weighted: Float64[Array, "T S A"]
    ) -> Float64[Array, "T S A"]:
        """``N (weighted/pi)``: how the maximiser moves when R moves by ``weighted/pi``; zero where lambda is 0.

        ``N = diag(looseness) E^T / lambda`` is symmetric. It takes the weighted vector because pi may underflow.
        """
        moved = self.divergence.looseness(x) * self.centred(x, weighted)
        return np.where(lam > 0, moved / np.where(lam > 0, lam, 1), 0)

    def curvature(self, kappa: Float64[Array, " T"], x: Float64[Array, "T S A"]) -> Float64[Array, " T"]:
        """``sum_s nu C.N C >= 0``: how fast the constraint's left side falls with the multiplier."""
        C = self.direction(kappa)
        response = self.response(x, self.lam(kappa), self.policy(x) * C)
        return np.einsum("ts,tsa,tsa->t", self.phi.nu, C, response)

    def average(self, values: Float64[Array, "T S"]) -> Float64[Array, " T"]:
        """``E_nu``; a state that is never visited adds nothing, also where its value is infinite."""
        return np.where(self.phi.visited, self.phi.nu * values, 0).sum(axis=-1)


@dataclass(frozen=True, eq=False)
class BudgetProgram(ConvexProgram):
    """A cost budget.

    Attributes:
        regularisation: lambda.
        cost: per step [T, S, A].
    """

    regularisation: float
    cost: Float64[Array, "T S A"]

    @cached_property
    def Qc(self) -> Float64[Array, "T S A"]:
        """Action value of the cost under phi."""
        model = self.phi.model
        Vc = model.numbers.solve_discounted(self.phi.P, model.gamma, self.phi.average(self.cost))
        return self.cost + model.gamma * model.numbers.dot(model.P, Vc[:, None, None, :])

    @cached_property
    def floor(self) -> Float64[Array, " T"]:
        return self.average(self.Qc.min(axis=-1))

    @cached_property
    def range(self) -> Float64[Array, " T"]:
        return self.average(np.ptp(self.Qc, axis=-1))

    @cached_property
    def rounding(self) -> Float64[Array, " T"]:
        return _rounding(self.phi, np.abs(self.Qc).max(axis=(-2, -1)))

    @cached_property
    def smallest(self) -> Float64[Array, " T"]:
        return np.zeros(len(self.limit))

    def reward(self, kappa: Float64[Array, " T"]) -> Float64[Array, "T S A"]:
        # Constants for each state change no policy; large ones would only cost digits.
        centred = self.phi.Q - self.phi.Q.max(axis=-1, keepdims=True)
        return centred - kappa[:, None, None] * self.direction(kappa)

    def lam(self, kappa: Float64[Array, " T"]) -> Float64[Array, "T 1 1"]:
        return np.full((len(kappa), 1, 1), self.regularisation)

    def direction(self, kappa: Float64[Array, " T"]) -> Float64[Array, "T S A"]:
        return self.Qc - self.Qc.min(axis=-1, keepdims=True)

    def excess(self, x: Float64[Array, "T S A"]) -> Float64[Array, " T"]:
        return self.average((self.policy(x) * self.direction(self.limit)).sum(axis=-1))

    def at_zero(self) -> tuple[Float64[Array, "T S A"], Float64[Array, " T"]]:
        x = self.log_ratio(np.zeros(len(self.limit)))
        return x, self.excess(x)

    def start(self) -> Float64[Array, " T"]:
        """The linear estimate at ``kappa = 0``, or a guess by units where the curvature vanishes."""
        zero = np.zeros(len(self.limit))
        x, excess = self.at_zero()
        linear = (excess - self.room) / self.curvature(zero, x)
        units = self.regularisation / np.where(self.range > 0, self.range, 1)
        return np.where((linear > 0) & (linear < 1e6 * units), linear, units)

    def check(self) -> None:
        """Refuse budgets that no policy of full support meets.

        Raises:
            InvalidTask: names the task, the budget and the least achievable cost.
        """
        impossible = (self.limit < self.floor - self.rounding) | (
            (self.room <= self.rounding) & (self.range > self.rounding)
        )
        if np.any(impossible):
            task = int(np.flatnonzero(impossible)[0])
            raise InvalidTask(
                f"task {task}: the budget {self.limit[task]:.12g} cannot be met; the least achievable cost "
                f"E_nu[min_a Qc] is {self.floor[task]:.12g}, and a policy of full support needs more than that; "
                "raise the budget"
            )


@dataclass(frozen=True, eq=False)
class RegionProgram(ConvexProgram):
    """A trust region: the multiplier is lambda. ``floor`` is 0, attained by phi."""

    @cached_property
    def Q(self) -> Float64[Array, "T S A"]:
        """Q^phi with ties made exact: a tiny lambda would otherwise decide them by rounding."""
        Q = self.phi.Q
        top = Q.max(axis=-1, keepdims=True)
        return np.where(top - Q <= _rounding(self.phi, np.abs(Q).max(axis=(-2, -1)))[:, None, None], top, Q)

    @cached_property
    def best(self) -> Bool[Array, "T S A"]:
        """Actions of largest value."""
        return self.Q.max(axis=-1, keepdims=True) == self.Q

    @cached_property
    def floor(self) -> Float64[Array, " T"]:
        return np.zeros(len(self.limit))

    @cached_property
    def range(self) -> Float64[Array, " T"]:
        return self.limit

    @cached_property
    def rounding(self) -> Float64[Array, " T"]:
        return np.zeros(len(self.limit))

    @cached_property
    def smallest(self) -> Float64[Array, " T"]:
        # Q / lambda enters squared: stay clear of the largest doubles.
        return 1e-120 * np.ptp(self.Q, axis=-1).max(axis=-1)

    def reward(self, kappa: Float64[Array, " T"]) -> Float64[Array, "T S A"]:
        return self.Q

    def lam(self, kappa: Float64[Array, " T"]) -> Float64[Array, "T 1 1"]:
        return kappa[:, None, None]

    def direction(self, kappa: Float64[Array, " T"]) -> Float64[Array, "T S A"]:
        # d's gradient at the maximiser is Q / lambda up to a constant: the first-order condition.
        centred = self.Q - self.Q.max(axis=-1, keepdims=True)
        return centred / np.where(kappa > 0, kappa, 1)[:, None, None]

    def excess(self, x: Float64[Array, "T S A"]) -> Float64[Array, " T"]:
        return self.average(self.divergence.value(self.phi.pi, x))

    def at_zero(self) -> tuple[Float64[Array, "T S A"], Float64[Array, " T"]]:
        """phi restricted to the best actions: of all maximisers the one that the limit selects."""
        kept = np.where(self.best, self.phi.pi, 0).sum(axis=-1, keepdims=True)
        x = np.where(self.best, -np.log(kept), -np.inf)
        # Where every action is best the step stays at phi, to the last bit.
        x = np.where(self.best.all(axis=-1, keepdims=True), 0.0, x)
        return x, self.excess(x)

    def start(self) -> Float64[Array, " T"]:
        """From ``d = Var_phi(Q) / (2 lambda^2)``, its leading term for large lambda."""
        centred = self.Q - self.phi.average(self.Q)[..., None]
        variance = self.average(self.phi.average(centred**2))
        return np.sqrt(np.where(variance > 0, variance, 1) / (2 * self.limit))


def _rounding(phi: Evaluation, largest: Float64[Array, " T"]) -> Float64[Array, " T"]:
    """How far values of this size may be off: the linear system's condition is at most ``2 / (1 - gamma)``."""
    return 16 * np.finfo(np.float64).eps * largest / (1 - phi.model.gamma)


def convex_program(
    phi: Evaluation, divergence: Divergence, constraint: Constraint, lam: float | None
) -> BudgetProgram | RegionProgram:
    """The checked program of a constraint.

    Raises:
        InvalidTask: phi without full support or not finite, a constraint of another shape than the
            family's, lambda missing, superfluous or not positive, or a budget that cannot be met.
    """
    shape = phi.model.family.r.shape
    bad = np.argwhere(~(np.isfinite(phi.weights) & (phi.weights > 0)))
    if len(bad):
        place = tuple(int(i) for i in bad[0])
        raise InvalidTask(
            f"{at('the meta-policy', place, ('tau', 's', 'a'))} is {phi.weights[place]:g}, but adaptation needs full "
            "support; mix in a little of the uniform policy"
        )
    if isinstance(constraint, TrustRegion):
        if lam is not None:
            raise InvalidTask(f"lambda = {lam} given with a trust region, whose radius determines lambda; leave it out")
        return RegionProgram(phi, divergence, for_tasks("radius", constraint.radius, shape[0]))
    if lam is None or not (lam > 0 and np.isfinite(lam)):
        raise InvalidTask(f"lambda = {lam} must be positive and finite with a cost budget")
    if constraint.cost.shape not in (shape, shape[1:]):
        raise InvalidTask(
            f"cost has shape {list(constraint.cost.shape)}; the family asks for {list(shape)} or {list(shape[1:])}"
        )
    budget = for_tasks("budget", constraint.budget, shape[0])
    program = BudgetProgram(phi, divergence, budget, float(lam), np.broadcast_to(constraint.cost, shape))
    program.check()
    return program
