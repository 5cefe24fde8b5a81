"""From anything violated to a counterexample that a person can check.

Shrinking alone stops where no single change makes a case simpler. So tasks with round numbers are also drawn by the
thousand, measured at once in floats, and the simplest violated one is certified; a large case that does not shrink far
enough is given up for a small one that the worst-case search finds. The simplest of all is returned. Every draw has
a fixed seed, so the same case always leads to the same counterexample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.sparse_family import SparseFamily
from bomrl_theory.theory.case import AnyCase, Case
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.population import Population, Screen
from bomrl_theory.verify.search import Search, Settings, scores
from bomrl_theory.verify.shrink import complexity, shrunk, violation
from bomrl_theory.verify.verdict import Verdict

SMALL = (2, 3, 2)
"""Tasks, states and actions that a person can follow."""
SIZES = ((1, 1, 2), (1, 2, 2), (2, 1, 2), (1, 3, 2), (2, 2, 2))
"""Where simple counterexamples are drawn, smallest first."""
DRAWN = 400
"""Round tasks for each size, discount and lambda."""
DISCOUNTS = tuple(Fraction(n, d) for n, d in ((1, 2), (4, 5), (9, 10)))
LAMBDAS = tuple(Fraction(n, d) for n, d in ((1, 1), (1, 10), (1, 100), (10, 1)))
SHRINKABLE = 300
"""A sparse family of more states is not worth shrinking as a dense one."""
CLEAR = 1.0001
"""A float ratio above this is worth a certified verdict."""
TRIED = 8
STARTS, SECONDS = 4, 5.0


def smallest_counterexample(
    theorem: Theorem, case: AnyCase, verdict: Verdict, *, timed: bool = True
) -> tuple[Any, Verdict]:
    """The smallest certified counterexample found from a violated case, and its verdict.

    A verdict that is not certified, on a task too large for exact arithmetic, is returned as it is; and so is a case of
    another setting than finite MDPs, or one on a large sparse family. A small sparse family shrinks as a dense one.

    Args:
        timed: end the search by the clock; otherwise after one start, and the result is the same on slow machines.
    """
    if not verdict.certified or not isinstance(case, Case):
        return case, verdict
    if isinstance(case.family, SparseFamily):
        if case.family.states > SHRINKABLE:
            return case, verdict
        dense = replace(case, solved=Solved(case.family.dense()))
        if violation(theorem, dense) is None:  # it takes an adaptation that differs in its last digits
            return case, verdict
        case = dense
    found = _shrunk(theorem, case)
    found = min((found, *_round_cases(theorem, found)), key=complexity)
    if any(size > small for size, small in zip(complexity(found)[:3], SMALL, strict=True)):
        found = min((found, *_searched(theorem, found, timed)), key=complexity)
    return found, violation(theorem, found) or verdict


def _shrunk(theorem: Theorem, case: Case) -> Case:
    return shrunk(case, lambda variant: violation(theorem, variant) is not None)


def _round_cases(theorem: Theorem, case: Case) -> Iterator[Case]:
    """The simplest violated one among drawn cases with round numbers, if any is, of the smallest size that has one."""
    sizes = complexity(case)[:3]
    screen = Screen(theorem)
    rng = np.random.default_rng(0)
    for size in SIZES:
        if size > sizes:
            return
        promising: list[Case] = []
        for gamma in DISCOUNTS:
            for lam in LAMBDAS:
                drawn = _round_numbers(rng, size, gamma, lam, case.algorithm.name, case.steps)
                ratios = scores(theorem, screen(drawn))
                rows = np.flatnonzero(ratios > CLEAR)
                cases = [drawn.case(int(row), origin="round numbers") for row in rows[:TRIED]]
                promising += sorted(cases, key=complexity)[:1]
        certified = [c for c in sorted(promising, key=complexity)[:TRIED] if violation(theorem, c) is not None]
        if certified:
            yield _shrunk(theorem, certified[0])
            return


def _round_numbers(
    rng: np.random.Generator, size: tuple[int, int, int], gamma: Fraction, lam: Fraction, algorithm: str, steps: int
) -> Population:
    """Deterministic moves, rewards of 0 and 1, at times -1, a start in state 0, meta-policies like 1 to 9."""
    T, S, A = size
    N = DRAWN
    phi = np.ones((N, S, A))
    rare = np.take(np.array([1.0, 2.0, 4.0, 9.0, 99.0]), rng.integers(5, size=(N, S)))
    np.put_along_axis(phi, rng.integers(A, size=(N, S, 1)), rare[..., None], axis=-1)
    rewards: Array = np.array([0.0, 0.0, 1.0, 1.0, -1.0])
    return Population(
        P=np.eye(S)[rng.integers(S, size=(N, T, S, A))],
        r=rewards[rng.integers(5, size=(N, T, S, A))],
        rho=np.broadcast_to(np.eye(S)[0], (N, T, S)),
        w=np.ones((N, T)),
        phi=phi,
        gamma=gamma,
        lam=lam,
        algorithm=algorithm,
        steps=steps,
    )


def _searched(theorem: Theorem, case: Case, timed: bool) -> Iterator[Case]:
    """A small counterexample from scratch, if the search finds one."""
    for tasks, states, actions in SIZES[1:]:
        settings = Settings(
            states=states,
            actions=actions,
            tasks=tasks,
            steps=case.steps if theorem.steps is None else None,
            starts=STARTS if timed else 1,
            seconds=SECONDS if timed else None,
            algorithm=case.algorithm.name,
        )
        found = Search(theorem, settings).run()
        if found.violated and found.simple is not None:
            yield found.simple
            return
