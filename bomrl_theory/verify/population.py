"""Many candidate cases at once in plain floats: the fast, uncertified half of the worst-case search.

A task family's arrays are batched over tasks, so N candidates with T tasks each are measured as one family of N T
tasks. Then each claim is walked with the candidates along one more axis. A constant that mixes the tasks of a family
(no index tau, not shared) cannot be measured so and is measured candidate by candidate. Whether a theorem's constants
really are batchable is not believed: the first candidates are compared with one measurement each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import sympy as sp
from jaxtyping import Float64

from bomrl_theory.adapt.adapt import Adaptation, algorithm_named
from bomrl_theory.adapt.step import Step
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.optimum import Optimum
from bomrl_theory.exact.solve import policy_iteration
from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import Constant, along_families, values, w
from bomrl_theory.theory.expression import evaluate, tau
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.theorem import Theorem

FLAT = 1e-3
"""A largest gap below this share of the returns does not lower what counts as noise any further."""


@dataclass(frozen=True, eq=False)
class Population:
    """N candidate cases that share sizes, discount, lambda and algorithm; all arrays hold positive or zero weights.

    Attributes:
        P: transition weights [N, T, S, A, S].
        r: rewards [N, T, S, A].
        rho: start weights [N, T, S].
        w: task weights [N, T].
        phi: meta-policy weights [N, S, A].
        gamma, lam: exact, shared.
        algorithm, steps: how every task adapts.
    """

    P: Float64[Array, "N T S A Z"]
    r: Float64[Array, "N T S A"]
    rho: Float64[Array, "N T S"]
    w: Float64[Array, "N T"]
    phi: Float64[Array, "N S A"]
    gamma: Fraction
    lam: Fraction
    algorithm: str
    steps: int = 1

    @classmethod
    def of(cls, case: Case) -> Population:
        """The population that holds one case."""
        family = case.family
        return cls(
            family.P[None],
            family.r[None],
            family.rho[None],
            family.weights[None],
            case.phi[None],
            family.gamma,
            case.lam,
            case.algorithm.name,
            case.steps,
        )

    @property
    def size(self) -> int:
        return len(self.P)

    def chosen(self, rows: Array) -> Population:
        """Some of the candidates, in the given order."""
        arrays = {name: getattr(self, name)[rows] for name in ("P", "r", "rho", "w", "phi")}
        return replace(self, **arrays)

    def case(self, index: int, *, origin: str = "") -> Case:
        """One candidate as a case, validated.

        Raises:
            InvalidTask: the candidate is no valid case.
        """
        family = TaskFamily.new(
            self.P[index],
            self.r[index],
            self.gamma,
            self.rho[index],
            self.w[index],
            name=origin or "candidate",
            row_weights=True,
        )
        return Case.new(family, self.phi[index], self.algorithm, self.lam, steps=self.steps, origin=origin)


@dataclass(frozen=True, eq=False)
class Sides:
    """Both sides of a claim for every candidate, in floats.

    Attributes:
        left, bound: [count, N]; count is the number of tasks, or 1 for a claim about the average.
        margins: of the assumptions, each must be >= 0 [K, count, N].
        size: the size of what both sides are made of: the largest gap, and not below :data:`FLAT` of the largest
            return, for where all policies do equally well the sides are the returns' rounding errors [count, N].
    """

    left: Float64[Array, "C N"]
    bound: Float64[Array, "C N"]
    margins: Float64[Array, "K C N"]
    size: Float64[Array, "C N"]


class Screen:
    """Evaluates one theorem on populations.

    Args:
        theorem: any registered or user's theorem that is an inequality or an identity.
    """

    def __init__(self, theorem: Theorem):
        self.theorem = theorem
        self.claims = [sp.sympify(x) for x in (theorem.left, theorem.bound, *(a.margin for a in theorem.assumptions))]
        self.constants = tuple(dict.fromkeys((*theorem.constants, w)))
        self.batchable: dict[Constant, bool] = {
            constant: constant.shared or tau in constant.symbol.free_symbols for constant in self.constants
        }
        self._checked = False

    def __call__(self, population: Population) -> Sides:
        """Both sides for every candidate; where floats break down they are NaN or infinite."""
        if not self._checked:
            self._checked = True
            self._check(population)
        with FLOATS.activated():
            return self._sides(population)

    def _check(self, population: Population) -> None:
        """Fall back to one measurement a candidate where batching changes a claim on the first candidates."""
        few = population.chosen(np.arange(min(population.size, 4)))
        with FLOATS.activated():
            together = self._sides(few)
            alone = [self._sides(few.chosen(np.array([index]))) for index in range(few.size)]
        for name in ("left", "bound", "margins"):
            separate = np.concatenate([getattr(sides, name) for sides in alone], axis=-1)
            if not np.allclose(getattr(together, name), separate, rtol=1e-6, atol=1e-12, equal_nan=True):
                self.batchable = dict.fromkeys(self.batchable, False)

    def _sides(self, population: Population) -> Sides:
        N, T, S = population.rho.shape
        whole = _measured(population)
        measured = {c: v for c, v in self.batchable.items() if v and c is not w}
        shared = {name: along_families(value, N) for name, value in values(measured, whole).items()}
        weights = population.w / population.w.sum(axis=-1, keepdims=True)
        shared[w.name] = weights.T[:, None, :]
        apart = [c for c, together in self.batchable.items() if not together and c is not w]
        if apart:
            each = [values(apart, _measured(population.chosen(np.array([index])))) for index in range(N)]
            for constant in apart:
                shared[constant.name] = np.stack([value[constant.name] for value in each], axis=-1)
        count = T if self.theorem.scope == "task" else 1
        columns = [np.broadcast_to(evaluate(claim, shared, FLOATS, (T, S))[:, 0], (count, N)) for claim in self.claims]
        returns = np.abs(population.r).max(axis=(-2, -1)) / (1 - float(population.gamma))
        size = np.maximum(whole.largest_gap.reshape(N, T), FLAT * returns).T
        if self.theorem.scope == "family":
            size = (weights.T * size).sum(axis=0, keepdims=True)
        left, bound, *margins = columns
        return Sides(left, bound, np.array(margins).reshape(len(margins), count, N), size)


def _measured(population: Population) -> Measured:
    """All candidates' tasks as one family. Its optimum is a float proposal, its adaptation unchecked."""
    N, T, S, A, _ = population.P.shape
    family = TaskFamily(
        population.P.reshape(N * T, S, A, S),
        population.r.reshape(N * T, S, A),
        population.gamma,
        population.rho.reshape(N * T, S),
        population.w.reshape(N * T),
    )
    solved = Solved(family)
    proposal = policy_iteration(family, model=solved.model(FLOATS)).actions
    solved.optimum = Optimum(proposal, ("float",) * family.tasks)
    algorithm = algorithm_named(population.algorithm)
    case = Case(solved, population.phi[0], algorithm, population.lam, population.steps)
    if algorithm.mixes_tasks and N > 1:
        each = [_measured(population.chosen(np.array([index]))).case.adaptation for index in range(N)]
        case.__dict__["adaptation"] = _side_by_side(each)
        return _Together(case, FLOATS)
    policies, steps = [np.repeat(population.phi, T, axis=0)], []
    for k in range(0 if algorithm.name == "none" else population.steps):
        steps.append(algorithm.step(solved.evaluate(policies[-1], FLOATS), float(population.lam), k))
        policies.append(steps[-1].policy)
    case.__dict__["adaptation"] = Adaptation(np.stack(policies), tuple(steps))
    return _Together(case, FLOATS)


def _side_by_side(each: Sequence[Adaptation]) -> Adaptation:
    """Adaptations of several families as one of all their tasks, for what depends on the tasks of one's own family."""
    steps = []
    for taken in zip(*(one.steps for one in each), strict=True):
        estimates = [step.estimate for step in taken if step.estimate is not None]
        steps.append(
            Step(
                np.concatenate([step.policy for step in taken]),
                "solved" if all(step.status == "solved" for step in taken) else "stopped",
                max(step.residual for step in taken),
                max(step.iterations for step in taken),
                np.concatenate(estimates) if estimates else None,
            )
        )
    return Adaptation(np.concatenate([one.policies for one in each], axis=1), tuple(steps))


class _Together(Measured):
    """Measurements where every task has a meta-policy of its own: the adaptation's first one."""

    @property
    def phi(self) -> Evaluation:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Evaluation of the meta-policies."""
        return self.case.solved.evaluate(self.case.adaptation.policies[0], self.numbers)
