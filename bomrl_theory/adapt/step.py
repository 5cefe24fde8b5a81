"""What every within-task adaptation algorithm offers, and what one step returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from jaxtyping import Float64, Shaped

from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import Array, Numeric

Status = Literal["solved", "stopped"]


@dataclass(frozen=True, eq=False)
class Step:
    """One adaptation step on every task, in float64.

    Attributes:
        policy: adapted policies [T, S, A], full support.
        status: "solved", or "stopped" (iteration cap reached; the policy is still valid, and its
            inner error is measured, not assumed).
        residual: largest violation of the inner problem's first-order condition over tasks and
            states, in the unit of probability.
        iterations: of the inner solver.
        estimate: the action values [T, S, A] that the step used in place of Q^phi, if it estimated them.
    """

    policy: Float64[Array, "T S A"]
    status: Status
    residual: float
    iterations: int
    estimate: Float64[Array, "T S A"] | None = None

    def of_tasks(self, chosen: list[int]) -> Step:
        """The same step on some of its tasks."""
        estimate = None if self.estimate is None else self.estimate[chosen]
        return replace(self, policy=self.policy[chosen], estimate=estimate)


@dataclass(frozen=True)
class Algorithm:
    """An adaptation algorithm.

    Attributes:
        name: on the command line.
        label: in figures and tables.
        summary: one sentence.
        solve: from an evaluation of phi in float64 and lambda to a :class:`Step`.
        divergence: ``d_i(phi, pi)`` [T, S] in any number system, from evaluations of both policies;
            None for algorithms that do not solve a regularised problem.
        regularisation: the weight of the divergence at each state [T, S]; None likewise.
        solve_kth: the k-th step, k = 0, 1, ..., of an algorithm whose steps differ; None if all are ``solve``.
        mixes_tasks: whether a task's policy depends on the family's other tasks, or on the task's place among them.
    """

    name: str
    label: str
    summary: str
    solve: Callable[[Evaluation, float], Step]
    divergence: Callable[[Evaluation, Evaluation], Shaped[Numeric, "T S"]] | None = None
    regularisation: Callable[[Evaluation, Any], Shaped[Numeric, "T S"]] | None = None
    solve_kth: Callable[[Evaluation, float, int], Step] | None = None
    mixes_tasks: bool = False

    def step(self, policies: Evaluation, lam: float, k: int) -> Step:
        """The k-th adaptation step, from the policies that the steps before it left."""
        return self.solve(policies, lam) if self.solve_kth is None else self.solve_kth(policies, lam, k)

    def penalty(self, phi: Evaluation, lam: Any, pi: Evaluation) -> Shaped[Numeric, "T S"]:
        """``lambda d_i(phi, pi)``, state by state.

        Raises:
            TypeError: the algorithm has no such penalty.
        """
        if self.divergence is None or self.regularisation is None:
            raise TypeError(f"{self.name} does not maximise a regularised objective")
        return self.regularisation(phi, lam) * self.divergence(phi, pi)

    def objective(self, phi: Evaluation, lam: Any, pi: Evaluation) -> Shaped[Numeric, "T S"]:
        """``<pi, Q^phi> - lambda d_i(phi, pi)``, state by state (THEORY section 1)."""
        return pi.average(phi.Q) - self.penalty(phi, lam, pi)


def constant_regularisation(phi: Evaluation, lam: Any) -> Shaped[Numeric, "T S"]:
    """The same lambda at every state."""
    return phi.model.numbers.full(phi.V.shape, lam)


def kl(p: Evaluation, q: Evaluation) -> Shaped[Numeric, "T S"]:
    """``KL(p || q)`` per state; both policies have full support."""
    ratio = p.pi / q.pi
    return p.average(p.model.numbers.log(ratio))
