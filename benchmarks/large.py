"""One large task, dense or sparse: our certified optimum, and the peers'.

None of the peers certifies. Ours has no uncertified variant here: the last backup is the certificate.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from measure import Prepare, Work, uncertified
from scipy.sparse import csr_array, csr_matrix, eye_array, kron
from side_by_side import Problem
from small import TOLERANCE
from storm import Storm

from bomrl_theory.exact.large import LargeSolution, solve_large
from bomrl_theory.tasks.mdp import MDP
from bomrl_theory.tasks.sparse import SparseMDP, slippery_grid, sparse_garnet

TaskOf = Callable[[int], Any]
"""From a number of states to an :class:`MDP` or :class:`SparseMDP`."""
PRODUCTS = 2
"""With the matrix, in an iteration of BiCGSTAB."""
LINEAR_PROGRAM_S = 30


def dense_task(states: int, actions: int = 8) -> MDP:
    draw = np.random.default_rng(2024)
    P = draw.random((states, actions, states))
    P /= P.sum(axis=-1, keepdims=True)
    return MDP.new(P, draw.random((states, actions)), Fraction(9, 10), np.ones(states), weights=True)


def sparse_task(states: int) -> SparseMDP:
    return sparse_garnet(states=states, rng=np.random.default_rng(2024))


def grid_task(states: int, gamma: Fraction = Fraction(99, 100)) -> SparseMDP:
    return slippery_grid(side=round(states**0.5), gamma=gamma, rng=np.random.default_rng(2024))


def rows_of(task: Any) -> Any:
    """P [S*A, S], dense or sparse."""
    return task.P.reshape(-1, task.states) if isinstance(task, MDP) else task.P


def ours(task: Any) -> np.ndarray:
    return solve_large(task, tolerance=TOLERANCE / 100).V


def certified(task_of: TaskOf) -> Prepare:
    def prepare(states: int) -> Work:
        task = task_of(states)
        entries = task.P.size if isinstance(task, MDP) else task.P.nnz
        size = task.P.nbytes if isinstance(task, MDP) else task.P.data.nbytes + task.P.indices.nbytes

        def told(found: LargeSolution) -> dict[str, str | int | float]:
            work = {"backups": found.iterations, "sweeps": found.sweeps, "BiCGSTAB": found.krylov}
            radius = float(found.bounds.radius.max())
            return {"status": found.status, "backend": found.backend, **work, "radius": radius}

        def needs(found: LargeSolution) -> tuple[float, float]:
            passes = found.iterations + (found.sweeps + PRODUCTS * found.krylov) / task.actions
            return 2 * entries * passes, size * passes

        return Work(lambda: solve_large(task, tolerance=TOLERANCE), told, needs=needs)

    return prepare


def quantecon(task_of: TaskOf) -> Prepare:
    def prepare(states: int) -> Work:
        from quantecon.markov import DiscreteDP

        task = task_of(states)
        gamma = float(task.gamma)
        if isinstance(task, MDP):
            problem = DiscreteDP(task.r, task.P, gamma)
        else:
            place = np.divmod(np.arange(task.r.size), task.actions)
            problem = DiscreteDP(task.r.ravel(), csr_matrix(task.P), gamma, *place)

        def call() -> Any:
            return problem.solve(method="modified_policy_iteration", epsilon=TOLERANCE, max_iter=10_000)

        return Work(call, lambda found: {**uncertified(found.v, ours(task)), "backups": found.num_iter})

    return prepare


def pymdptoolbox(states: int) -> Work:
    from mdptoolbox.mdp import PolicyIteration

    task = dense_task(states)
    P = np.ascontiguousarray(task.P.swapaxes(0, 1))

    def call() -> Any:
        problem = PolicyIteration(P, task.r, 0.9)
        problem.run()
        return problem

    return Work(call, lambda found: uncertified(np.array(found.V), ours(task)))


def mdpsolver(task_of: TaskOf) -> Prepare:
    def prepare(states: int) -> Work:
        import mdpsolver as package

        task = task_of(states)
        models: list[Any] = []

        def renew() -> None:
            models[:] = [package.model()]
            if isinstance(task, MDP):
                data = {"tranMatWithZeros": task.P.tolist()}
            else:
                shape = (task.states, task.actions, -1)
                probabilities, columns = task.P.data.reshape(shape), task.P.indices.reshape(shape)
                data = {"tranMatProbs": probabilities.tolist(), "tranMatColumns": columns.tolist()}
            models[0].mdp(discount=float(task.gamma), rewards=task.r.tolist(), **data)

        def call() -> None:
            models[0].solve(algorithm="mpi", tolerance=TOLERANCE, parallel=False)

        return Work(call, lambda _: uncertified(np.array(models[0].getValueVector()), ours(task)), renew=renew)

    return prepare


def storm(task_of: TaskOf) -> Prepare:
    def prepare(states: int) -> Work:
        task = task_of(states)
        model = Storm(rows_of(task), task.r, task.gamma, TOLERANCE)
        return Work(model.solve, lambda found: uncertified(model.values(found), ours(task)))

    return prepare


def highs(task_of: TaskOf) -> Prepare:
    """The linear program of the optimal value, by interior points: the simplex method takes far longer here."""

    def prepare(states: int) -> Work:
        from scipy.optimize import linprog

        task = task_of(states)
        own = kron(eye_array(task.states), np.ones((task.actions, 1)))
        matrix = csr_array(float(task.gamma) * rows_of(task) - own)

        def call() -> np.ndarray:
            limits = {"time_limit": LINEAR_PROGRAM_S}
            cost, right = np.ones(task.states), -task.r.ravel()
            found = linprog(cost, matrix, right, bounds=(None, None), method="highs-ipm", options=limits)
            if found.status:
                raise SystemExit(f"not done in {LINEAR_PROGRAM_S} s on {states:,} states")
            return found.x

        return Work(call, lambda found: uncertified(found, ours(task)))

    return prepare


LARGE = (
    Problem(
        "dense",
        "one dense MDP, {} states, 8 actions, gamma 0.9",
        "MDP",
        (2000, 100),
        7,
        {
            "ours, certified": certified(dense_task),
            "quantecon MPI": quantecon(dense_task),
            "mdpsolver MPI": mdpsolver(dense_task),
            "pymdptoolbox PI, built and solved": pymdptoolbox,
            "SciPy, HiGHS interior point": highs(dense_task),
        },
        "Ours has no uncertified variant here: the last backup is the certificate.",
    ),
    Problem(
        "sparse",
        "one sparse Garnet MDP, {} states, 4 actions, 5 branches, gamma 0.9",
        "MDP",
        (100_000, 1000),
        7,
        {
            "ours, certified": certified(sparse_task),
            "quantecon MPI": quantecon(sparse_task),
            "mdpsolver MPI": mdpsolver(sparse_task),
            "SciPy, HiGHS interior point": highs(sparse_task),
            "Storm, value iteration": storm(sparse_task),
        },
        "pymdptoolbox builds dense arrays of 75 GiB.",
    ),
    Problem(
        "million",
        "one sparse Garnet MDP, {} states, 4 actions, 5 branches, gamma 0.9",
        "MDP",
        (1_000_000, None),
        5,
        {
            "ours, certified": certified(sparse_task),
            "quantecon MPI": quantecon(sparse_task),
            "Storm, value iteration": storm(sparse_task),
        },
        "mdpsolver is left out: its lists take more than 3 GiB.",
    ),
)
