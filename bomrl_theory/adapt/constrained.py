"""The lower level under a cost budget or a trust region, for Alg^(1) and Alg^(2).

Each task has one multiplier, the root of a monotone function (docs/constrained.md): bracketed, then Newton's method
on logarithms. The result is judged by its own KKT residuals. cvxpy solves the same programs independently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64

from bomrl_theory.adapt.constraint import Constraint, CostBudget
from bomrl_theory.adapt.convex_program import BudgetProgram, ConvexProgram, RegionProgram, convex_program
from bomrl_theory.adapt.divergence import divergence_of
from bomrl_theory.adapt.kkt import KKT, residuals
from bomrl_theory.adapt.step import Algorithm, Step
from bomrl_theory.errors import InvalidTask, UnknownName
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.tasks.policy import SMALLEST

Activity = Literal["inactive", "active", "weakly active"]

MAXIMUM_ITERATIONS = 500
WEAK = 1e-9
"""A slack at multiplier 0 of at most this share of the constraint's range is called weakly active."""
TOLERANCES = {"dual": 1e-9, "cvxpy": 1e-5}
"""Largest KKT residual of a "solved" step, by method."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ConstrainedStep(Step):
    """One constrained step on every task.

    ``residual`` is the largest KKT residual, and ``status`` is "solved" when that is small, whatever a solver said.

    Attributes:
        log_policy: logarithm of the normalised policies [T, S, A], also below the smallest doubles that
            ``policy`` is kept above; minus infinity for actions that a trust region wide enough drops.
        multiplier: dual variable of the constraint [T], never negative: return per unit of cost for a budget; lambda,
            in the unit of return, for a trust region.
        slack: limit minus the constraint's left side [T].
        activity: task by task. "weakly active" (multiplier and slack both vanish) is where the policy has a kink as
            a function of phi.
        kkt: the residuals.
        program: what was solved.
    """

    log_policy: Float64[Array, "T S A"]
    multiplier: Float64[Array, " T"]
    slack: Float64[Array, " T"]
    activity: tuple[Activity, ...]
    kkt: KKT
    program: BudgetProgram | RegionProgram


def constrained_step(
    phi: Evaluation,
    algorithm: str | Algorithm,
    constraint: Constraint,
    lam: float | None = None,
    *,
    method: str = "dual",
) -> ConstrainedStep:
    """Solve the lower level of every task under a constraint.

    Args:
        phi: float64 evaluation of the meta-policy, full support.
        algorithm: "kl-prior" (Alg^(1)) or "kl-posterior" (Alg^(2)).
        constraint: a cost budget or a trust region.
        lam: regularisation with a cost budget; None with a trust region, which determines it.
        method: "dual" for the scalar root, precise to rounding; "cvxpy" for a general conic solver, about six digits.

    Raises:
        UnknownName: the algorithm has no constrained form, or no such method.
        InvalidTask: see :func:`~bomrl_theory.adapt.convex_program.convex_program`; a budget that cannot be met is named
            with its task and the least achievable cost. Also a limit that no multiplier within doubles attains.
        MissingExtra: cvxpy is asked for and not installed.
    """
    if method not in TOLERANCES:
        raise UnknownName("method", method, TOLERANCES)
    with FLOATS.activated():
        program = convex_program(phi, divergence_of(algorithm), constraint, lam)
        x0, excess = program.at_zero()
        slack = program.room - excess
        weak = np.abs(slack) <= np.maximum(WEAK * program.range, program.rounding)
        binding = (slack < 0) & (program.range > program.rounding)
        if method == "cvxpy":
            from bomrl_theory.adapt.cvxpy_solver import solve_by_cvxpy

            kappa, x, iterations = solve_by_cvxpy(program)
        else:
            kappa, iterations = _multipliers(program, binding)
            solved = program.log_ratio(np.where(binding, kappa, 1.0))
            x = np.where(binding[:, None, None], solved, x0)
        kkt = residuals(program, kappa, x)
        R = program.reward(kappa)
        still = np.all(R.max(axis=-1, keepdims=True) == R, axis=-1, keepdims=True)
        policy = np.where(still, phi.weights, np.maximum(program.policy(x), SMALLEST))
        return ConstrainedStep(
            policy=policy,
            status="solved" if kkt.largest <= TOLERANCES[method] else "stopped",
            residual=kkt.largest,
            iterations=iterations,
            log_policy=np.log(phi.pi) + x,
            multiplier=kappa,
            slack=program.room - program.excess(x),
            activity=tuple(_activity(w, b) for w, b in zip(weak.tolist(), binding.tolist(), strict=True)),
            kkt=kkt,
            program=program,
        )


def constrained(algorithm: str | Algorithm, constraint: Constraint, *, method: str = "dual") -> Algorithm:
    """The constrained form of an algorithm, for :func:`~bomrl_theory.adapt.adapt.adapt`.

    Every step evaluates Q, Qc and nu of the policy reached and has the same budget or radius. With a trust region
    the ``lam`` that ``adapt`` asks for is not used. The result has no ``objective``: the theorems about the
    regularised step do not cover it.

    Raises:
        UnknownName: the algorithm has no constrained form.
    """
    base = divergence_of(algorithm).algorithm
    budgeted = isinstance(constraint, CostBudget)
    kind = "cost budget" if budgeted else "trust region"
    return Algorithm(
        name=f"{base.name} with a {kind}",
        label=f"{base.label}, {kind}",
        summary=f"{base.summary}; under a {kind}",
        solve=lambda phi, lam: constrained_step(phi, base, constraint, lam if budgeted else None, method=method),
    )


def _activity(weak: bool, binding: bool) -> Activity:
    if weak:
        return "weakly active"
    return "active" if binding else "inactive"


def _multipliers(program: ConvexProgram, binding: Bool[Array, " T"]) -> tuple[Float64[Array, " T"], int]:
    """The multipliers of the tasks whose constraint binds, 0 elsewhere.

    Raises:
        InvalidTask: a multiplier outside the range of doubles.
    """

    def evaluate(kappa: Array) -> tuple[Array, Array]:
        x = program.log_ratio(kappa)
        return program.excess(x), program.curvature(kappa, x)

    start = np.where(binding, program.start(), 1.0)
    kappa, iterations = decreasing_root(evaluate, start, program.room, binding)
    lost = binding & ~((kappa >= program.smallest) & np.isfinite(kappa))
    if np.any(lost):
        task = int(np.flatnonzero(lost)[0])
        raise InvalidTask(
            f"task {task}: no multiplier in the range of doubles attains the limit {program.limit[task]:g}; "
            "choose a limit nearer to what phi has"
        )
    return np.where(binding, kappa, 0.0), iterations


def decreasing_root(
    evaluate: Callable[[Array], tuple[Array, Array]],
    start: Float64[Array, " T"],
    target: Float64[Array, " T"],
    wanted: Bool[Array, " T"],
) -> tuple[Float64[Array, " T"], int]:
    """Solve ``value(kappa) = target`` for each task, ``value`` positive and decreasing in ``kappa > 0``.

    Newton's method on ``log value`` as a function of ``log kappa``, kept inside a bracket that first grows by
    factors of 16 and is bisected where a Newton step leaves it or did not halve the error. On these scales both
    constraints are nearly straight lines, a divergence falls like ``kappa^-2``, a cost like ``1/kappa`` (i = 1);
    for a small lambda the cost is a staircase instead (i = 2), where Newton's method alone may crawl.

    Args:
        evaluate: from ``kappa`` to ``(value, -dvalue/dkappa)``.
        start: a positive guess.
        target: positive where wanted.
        wanted: tasks to solve; the others keep their start.

    Returns:
        The roots and the iterations; 0 or infinity where there is none in the range of doubles.
    """
    kappa = start.copy()
    low, high = np.zeros_like(start), np.full_like(start, np.inf)
    active = wanted.copy()
    before = np.full_like(start, np.inf)
    bisected = np.ones_like(wanted)
    iteration = 0
    while np.any(active) and iteration < MAXIMUM_ITERATIONS:
        iteration += 1
        value, fall = evaluate(kappa)
        off = np.log(value / target)
        low, high = np.where(active & (off > 0), kappa, low), np.where(active & ~(off > 0), kappa, high)
        newton = kappa * np.exp(off * value / (kappa * fall))
        middle = np.where(np.isinf(high), 16 * low, np.where(low == 0, high / 16, np.sqrt(low) * np.sqrt(high)))
        quick = (newton > low) & (newton < high) & (bisected | (np.abs(off) <= before / 2))
        following = np.where(quick, newton, middle)
        before, bisected = np.abs(off), ~quick
        close = 4 * np.finfo(np.float64).eps
        settled = (off == 0) | (np.abs(newton - kappa) <= close * kappa) | (high <= low * (1 + close))
        # A settled task stays, whatever rounding says of it later: a batch's last bits depend on its other tasks.
        active &= ~settled
        kappa = np.where(active, following, kappa)
        # A root below or above all doubles drives the bracket to 0 or infinity.
        active &= (following > 0) & np.isfinite(following)
    return kappa, iteration
