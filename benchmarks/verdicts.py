"""Whole certified verdicts of the universal bound: from the arrays of the tasks to the decision."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from measure import Work
from side_by_side import Problem
from small import policy_iteration_flops, tasks_of

from bomrl_theory.exact.solved import Solved
from bomrl_theory.tasks.catalogue import family_named
from bomrl_theory.tasks.policy import uniform_policy
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.registry import theorem_named
from bomrl_theory.verify.verdict import judge

ALGORITHMS = ("kl-posterior", "kl-prior", "euclidean")


def many(tasks: int) -> Work:
    """On small tasks, a case each."""
    family, phi = tasks_of(tasks), uniform_policy(16, 4)
    theorem = theorem_named("contraction_kl_posterior")

    def call() -> list[Any]:
        return judge(theorem, Case.new(Solved(family), phi, "kl-posterior", "1/10"))

    def needs(_: list[Any]) -> tuple[float, float]:
        evaluation = tasks * (2 / 3 * 16**3 + 2 * 16**2 * 4)
        return policy_iteration_flops(family) + 2 * evaluation, family.P.nbytes

    def told(found: list[Any]) -> dict[str, int]:
        return {"certified to hold": sum(v.certified and v.outcome == "HOLDS" for v in found)}

    return Work(call, told, tasks, needs=needs)


def one(family: str, algorithm: str, states: int) -> Work:
    """On a sparse task."""
    size = f"states={states}" if family == "sparse-garnet" else f"side={round(states**0.5)}"
    tasks = family_named(f"{family}:{size}", np.random.default_rng(2024))
    phi = uniform_policy(tasks.states, tasks.actions)
    theorem = theorem_named(f"contraction_{algorithm.replace('-', '_')}")

    def call() -> Any:
        (found,) = judge(theorem, Case.new(tasks, phi, algorithm, "1/10"))
        return found

    def told(found: Any) -> dict[str, str | int]:
        held = int(found.certified and found.outcome == "HOLDS")
        return {"certified to hold": held, "grade": found.grade, "gap": f"gap {found.exact[0]}", "by": found.numbers}

    return Work(call, told)


VERDICTS = (
    Problem(
        "verdicts",
        "whole verdicts of the universal bound, i = 2, on {} Garnet tasks of 16 states",
        "verdict",
        (5000, 1000),
        5,
        {"ours, certified": many},
        "From the arrays to certified verdicts: optimum, adaptation, both sides, decision.",
    ),
    Problem(
        "large-verdicts",
        "a whole certified verdict on {} sparse states, 4 actions (garnet: gamma 0.9, grid: gamma 0.99)",
        "case",
        (100_000, None),
        3,
        {
            f"{family}, {algorithm}": partial(one, family, algorithm)
            for family in ("sparse-garnet", "slippery-grid")
            for algorithm in ALGORITHMS
        },
        "From the arrays to the verdict: optimum, three policies, visitation where Alg^(3) asks for it, adaptation, "
        "both sides, decision. The grid has 99,856 states.",
        "sparse-garnet, kl-posterior",
    ),
    Problem(
        "million-verdict",
        "a whole certified verdict on {} sparse states, 4 actions, gamma 0.9",
        "case",
        (1_000_000, None),
        2,
        {"sparse-garnet, kl-posterior": partial(one, "sparse-garnet", "kl-posterior")},
        reference="sparse-garnet, kl-posterior",
    ),
)
