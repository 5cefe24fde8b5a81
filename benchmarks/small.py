"""Many small tasks: our policy iteration and certified optima, the peers', and a plain C program's.

Peers get their data in the layout they prefer; unless a name says "built and solved", the making of their problem
objects is not timed, and none starts from an earlier solution.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from measure import Prepare, Work, uncertified
from plain import compiled
from side_by_side import Problem
from storm import Storm

from bomrl_theory.exact import kernels
from bomrl_theory.exact.enclose import certified_optimum, refine_optimum
from bomrl_theory.exact.solve import policy_iteration
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.garnet import garnet

TOLERANCE = 1e-8
"""Accuracy asked of iterative solvers, in units of return."""


def tasks_of(number: int, states: int = 16, actions: int = 4) -> TaskFamily:
    return garnet(tasks=number, states=states, actions=actions, rng=np.random.default_rng(2024))


def peer(tasks: int, most: int) -> tuple[TaskFamily, np.ndarray]:
    """As many tasks as a slow peer gets, and our values of them."""
    family = tasks_of(min(tasks, most))
    return family, policy_iteration(family).V


def floats(tasks: int) -> Work:
    family = tasks_of(tasks)
    return Work(
        lambda: policy_iteration(family), lambda found: {"status": found.status, "backend": found.backend}, tasks
    )


def certified(tasks: int, states: int = 16, actions: int = 4) -> Work:
    family = tasks_of(tasks, states, actions)

    def told(found: Any) -> dict[str, str | float]:
        return {"status": found.status, "backend": found.backend, "radius": float(found.bounds.radius.max())}

    return Work(
        lambda: certified_optimum(family),
        told,
        tasks,
        needs=lambda _: (policy_iteration_flops(family), family.P.nbytes),
    )


def policy_iteration_flops(family: TaskFamily) -> float:
    """Of the LU factorisations and backups that policy iteration makes, and of one residual; needs numba."""
    found = kernels.solve_batch(family.P, family.r, float(family.gamma), maximum_iterations=1000)
    tasks, states, actions = family.tasks, family.states, family.actions
    backup = 2 * states**2 * actions
    return float(found.iterations.sum() * (2 / 3 * states**3 + backup) + tasks * backup)


def refined(tasks: int) -> Work:
    family = tasks_of(tasks)

    def call() -> tuple[Any, Any]:
        found = certified_optimum(family)
        return found, refine_optimum(family, found.V)

    return Work(call, lambda both: {"status": both[0].status, "radius": float(both[1].radius.max())}, tasks)


def without_numba(prepare: Prepare) -> Prepare:
    def prepared(tasks: int) -> Work:
        kernels.backend = lambda: "numpy"
        work = prepare(tasks)
        return Work(work.call, work.told, work.units)

    return prepared


def plain_c(*flags: str) -> Prepare:
    def prepare(tasks: int) -> Work:
        family, V = peer(tasks, tasks)
        solve, gamma = compiled.policy_iteration(*flags), float(family.gamma)
        return Work(lambda: solve(family.P, family.r, gamma), lambda found: uncertified(found, V), tasks)

    return prepare


def quantecon_built(tasks: int) -> Work:
    from quantecon.markov import DiscreteDP

    family, V = peer(tasks, 1000)
    data = list(family)

    def call() -> list[Any]:
        return [DiscreteDP(task.r, task.P, 0.9).solve(method="policy_iteration") for task in data]

    return Work(call, lambda found: uncertified(np.array([one.v for one in found]), V), len(data))


def quantecon(tasks: int) -> Work:
    from quantecon.markov import DiscreteDP

    family, V = peer(tasks, 1000)
    problems = [DiscreteDP(task.r, task.P, float(task.gamma)) for task in family]

    def call() -> list[Any]:
        return [problem.solve(method="policy_iteration") for problem in problems]

    return Work(call, lambda found: uncertified(np.array([one.v for one in found]), V), len(problems))


def pymdptoolbox(tasks: int, *, built: bool) -> Work:
    from mdptoolbox.mdp import PolicyIteration

    family, V = peer(tasks, 200)
    data = [(np.ascontiguousarray(task.P.swapaxes(0, 1)), task.r) for task in family]
    problems: list[Any] = []

    def build() -> None:
        problems[:] = [PolicyIteration(P, r, 0.9) for P, r in data]

    def call() -> None:
        if built:
            build()
        for problem in problems:
            problem.run()

    renew = (lambda: None) if built else build
    return Work(call, lambda _: uncertified(np.array([one.V for one in problems]), V), len(data), renew)


def mdpsolver(tasks: int) -> Work:
    import mdpsolver as package

    family, V = peer(tasks, 500)
    models: list[Any] = []

    def renew() -> None:
        models.clear()
        for task in family:
            models.append(package.model())
            models[-1].mdp(discount=0.9, rewards=task.r.tolist(), tranMatWithZeros=task.P.tolist())

    def call() -> None:
        for model in models:
            model.solve(algorithm="pi", tolerance=TOLERANCE, parallel=False)

    return Work(call, lambda _: uncertified(np.array([one.getValueVector() for one in models]), V), family.tasks, renew)


def highs(tasks: int) -> Work:
    """The linear program of the optimal value: least ``sum v`` with ``v(s) >= r(s,a) + gamma P(.|s,a) v``."""
    from scipy.optimize import linprog

    family, V = peer(tasks, 100)
    states, own = family.states, np.repeat(np.eye(family.states), family.actions, axis=0)
    rows = [(float(task.gamma) * task.P.reshape(-1, states) - own, -task.r.ravel()) for task in family]

    def call() -> list[Any]:
        return [linprog(np.ones(states), *row, bounds=(None, None), method="highs") for row in rows]

    return Work(call, lambda found: uncertified(np.array([one.x for one in found]), V), len(rows))


def storm(tasks: int) -> Work:
    family, V = peer(tasks, 100)
    models = [Storm(task.P.reshape(-1, task.states), task.r, task.gamma, TOLERANCE) for task in family]
    return Work(
        lambda: [model.solve() for model in models],
        lambda found: uncertified(np.array([model.values(one) for model, one in zip(models, found, strict=True)]), V),
        len(models),
    )


SMALL = Problem(
    "batch",
    "{} Garnet MDPs, 16 states, 4 actions, 4 branches, gamma 0.9",
    "MDP",
    (10_000, 1000),
    7,
    {
        "ours, float": floats,
        "ours, certified": certified,
        "ours, certified to 1e-26": refined,
        "ours, float, NumPy only": without_numba(floats),
        "ours, certified, NumPy only": without_numba(certified),
        "plain C": plain_c(),
        "plain C, -ffast-math": plain_c("-ffast-math"),
        "quantecon PI": quantecon,
        "quantecon PI, built and solved": quantecon_built,
        "pymdptoolbox PI": lambda tasks: pymdptoolbox(tasks, built=False),
        "pymdptoolbox PI, built and solved": lambda tasks: pymdptoolbox(tasks, built=True),
        "mdpsolver PI": mdpsolver,
        "SciPy, HiGHS": highs,
        "Storm, value iteration": storm,
    },
    "Plain C is [policy iteration as one writes it by hand](plain/policy_iteration.c), compiled here with `cc -O3 "
    "-march=native`; it solves all of the tasks, quantecon the first 1,000 of them, mdpsolver 500, pymdptoolbox 200, "
    "HiGHS and Storm 100, one call each. Asked to be sound, Storm does the same and returns no bounds for discounted "
    "returns.",
)
