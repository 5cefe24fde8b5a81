"""The problems and who solves them: each contestant prepares its own data untimed, then returns a timed call.

The call returns one line of what was achieved. Peers get their data in the layout they prefer, unless a name says
"built and solved" the making of their problem objects is not timed, and none starts from an earlier solution.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import meta_training
import numpy as np

from bomrl_theory.exact import kernels
from bomrl_theory.exact.enclose import certified_optimum, refine_optimum
from bomrl_theory.exact.large import solve_large
from bomrl_theory.exact.solve import policy_iteration
from bomrl_theory.exact.solved import Solved
from bomrl_theory.tasks.catalogue import family_named
from bomrl_theory.tasks.garnet import garnet
from bomrl_theory.tasks.mdp import MDP
from bomrl_theory.tasks.policy import uniform_policy
from bomrl_theory.tasks.sparse import SparseMDP, slippery_grid, sparse_garnet
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.registry import theorem_named
from bomrl_theory.verify.verdict import judge

Timed = Callable[[], str]
TOLERANCE = 1e-8
"""Accuracy asked of every iterative solver, in units of return."""


@dataclass(frozen=True)
class Contestant:
    """Someone who solves a problem.

    Attributes:
        name: in the table.
        prepare: from the problem's size to the timed call and how many units it solves.
        module: the package it needs, or None.
    """

    name: str
    prepare: Callable[[int], tuple[Timed, int]]
    module: str | None = None


@dataclass(frozen=True)
class Problem:
    """One block of the table.

    Attributes:
        name: for ``--only``.
        title: what is solved; ``{}`` is the size.
        unit: what times are given per.
        size: full, and with ``--quick`` (None: left out).
        repeats: timed calls, after one that is not counted.
        contestants: who takes part.
        remarks: who does not, and why.
        reference: the contestant whose CPU time is 1.
    """

    name: str
    title: str
    unit: str
    size: tuple[int, int | None]
    repeats: int
    contestants: tuple[Contestant, ...]
    remarks: str = ""
    reference: str = "ours, certified"


@dataclass(frozen=True)
class Renewed:
    """A timed call that needs fresh objects each time, because a solved one starts from its solution."""

    solve: Timed
    renew: Callable[[], None]

    def __call__(self) -> str:
        return self.solve()


def installed(module: str | None) -> bool:
    """Whether a contestant's package can be imported."""
    return module is None or importlib.util.find_spec(module) is not None


def rng() -> np.random.Generator:
    return np.random.default_rng(2024)


# --- many small tasks ---


def batch_float(tasks: int) -> tuple[Timed, int]:
    family = garnet(tasks=tasks, rng=rng())

    def solve() -> str:
        found = policy_iteration(family)
        return f"{found.status}, {found.backend}"

    return solve, tasks


def batch_certified(tasks: int) -> tuple[Timed, int]:
    family = garnet(tasks=tasks, rng=rng())

    def solve() -> str:
        found = certified_optimum(family)
        return f"{found.status}, {found.backend}, radius {found.bounds.radius.max():.1e}"

    return solve, tasks


def batch_refined(tasks: int) -> tuple[Timed, int]:
    family = garnet(tasks=tasks, rng=rng())

    def solve() -> str:
        found = certified_optimum(family)
        return f"{found.status}, radius {refine_optimum(family, found.V).radius.max():.1e}"

    return solve, tasks


def batch_without_numba(prepare: Callable[[int], tuple[Timed, int]]) -> Callable[[int], tuple[Timed, int]]:
    def prepared(tasks: int) -> tuple[Timed, int]:
        kernels.backend = lambda: "numpy"
        return prepare(tasks)

    return prepared


def batch_quantecon_built(tasks: int) -> tuple[Timed, int]:
    from quantecon.markov import DiscreteDP

    family = garnet(tasks=min(tasks, 1000), rng=rng())
    data = list(family)

    def solve() -> str:
        for task in data:
            DiscreteDP(task.r, task.P, 0.9).solve(method="policy_iteration")
        return "uncertified"

    return solve, len(data)


def batch_quantecon(tasks: int) -> tuple[Timed, int]:
    from quantecon.markov import DiscreteDP

    family = garnet(tasks=min(tasks, 1000), rng=rng())
    problems = [DiscreteDP(task.r, task.P, float(task.gamma)) for task in family]

    def solve() -> str:
        for problem in problems:
            problem.solve(method="policy_iteration")
        return "uncertified"

    return solve, len(problems)


def batch_pymdptoolbox(tasks: int) -> tuple[Timed, int]:
    from mdptoolbox.mdp import PolicyIteration

    family = garnet(tasks=min(tasks, 200), rng=rng())
    data = [(np.ascontiguousarray(task.P.swapaxes(0, 1)), task.r) for task in family]

    def solve() -> str:
        for P, r in data:
            PolicyIteration(P, r, 0.9).run()
        return "uncertified"

    return solve, len(data)


def batch_mdpsolver(tasks: int) -> tuple[Timed, int]:
    import mdpsolver

    family = garnet(tasks=min(tasks, 500), rng=rng())
    models: list[Any] = []

    def renew() -> None:
        models.clear()
        for task in family:
            models.append(mdpsolver.model())
            models[-1].mdp(discount=0.9, rewards=task.r.tolist(), tranMatWithZeros=task.P.tolist())

    def solve() -> str:
        for model in models:
            model.solve(algorithm="pi", tolerance=TOLERANCE, parallel=False)
        return "uncertified"

    return Renewed(solve, renew), family.tasks


def batch_highs(tasks: int) -> tuple[Timed, int]:
    """The linear program of the optimal value: least ``sum v`` with ``v(s) >= r(s,a) + gamma P(.|s,a) v``."""
    from scipy.optimize import linprog

    family = garnet(tasks=min(tasks, 100), rng=rng())
    states, actions = family.states, family.actions
    own = np.repeat(np.eye(states), actions, axis=0)
    rows = [(float(task.gamma) * task.P.reshape(-1, states) - own, -task.r.ravel()) for task in family]

    def solve() -> str:
        for matrix, right in rows:
            found = linprog(np.ones(states), matrix, right, bounds=(None, None), method="highs")
            assert found.status == 0, found.message
        return "uncertified"

    return solve, len(rows)


# --- one large task ---


def dense_task(states: int) -> MDP:
    draw = rng()
    P = draw.random((states, 8, states))
    P /= P.sum(axis=-1, keepdims=True)
    return MDP.new(P, draw.random((states, 8)), Fraction(9, 10), np.ones(states), weights=True)


def sparse_task(states: int) -> SparseMDP:
    return sparse_garnet(states=states, rng=rng())


def grid_task(states: int) -> SparseMDP:
    return slippery_grid(side=round(states**0.5), gamma=Fraction(99, 100), rng=rng())


def large_certified(task_of: Callable[[int], MDP | SparseMDP]) -> Callable[[int], tuple[Timed, int]]:
    def prepare(states: int) -> tuple[Timed, int]:
        task = task_of(states)

        def solve() -> str:
            found = solve_large(task, tolerance=TOLERANCE)
            worst = found.bounds.radius.max()
            return f"{found.status}, {found.backend}, {found.iterations} backups, radius {worst:.1e}"

        return solve, 1

    return prepare


def large_quantecon(task_of: Callable[[int], Any]) -> Callable[[int], tuple[Timed, int]]:
    def prepare(states: int) -> tuple[Timed, int]:
        from quantecon.markov import DiscreteDP
        from scipy.sparse import csr_matrix

        task = task_of(states)
        gamma = float(task.gamma)
        if isinstance(task, MDP):
            problem = DiscreteDP(task.r, task.P, gamma)
        else:
            place = np.divmod(np.arange(task.r.size), task.actions)
            problem = DiscreteDP(task.r.ravel(), csr_matrix(task.P), gamma, *place)

        def solve() -> str:
            found = problem.solve(method="modified_policy_iteration", epsilon=TOLERANCE, max_iter=10_000)
            return f"uncertified, {found.num_iter} backups"

        return solve, 1

    return prepare


def dense_pymdptoolbox(states: int) -> tuple[Timed, int]:
    from mdptoolbox.mdp import PolicyIteration

    task = dense_task(states)
    P = np.ascontiguousarray(task.P.swapaxes(0, 1))

    def solve() -> str:
        PolicyIteration(P, task.r, 0.9).run()
        return "uncertified"

    return solve, 1


def large_mdpsolver(task_of: Callable[[int], Any]) -> Callable[[int], tuple[Timed, int]]:
    def prepare(states: int) -> tuple[Timed, int]:
        import mdpsolver

        task = task_of(states)
        models: list[Any] = []

        def renew() -> None:
            models[:] = [mdpsolver.model()]
            if isinstance(task, MDP):
                data = {"tranMatWithZeros": task.P.tolist()}
            else:
                shape = (task.states, task.actions, -1)
                probabilities, columns = task.P.data.reshape(shape), task.P.indices.reshape(shape)
                data = {"tranMatProbs": probabilities.tolist(), "tranMatColumns": columns.tolist()}
            models[0].mdp(discount=float(task.gamma), rewards=task.r.tolist(), **data)

        def solve() -> str:
            models[0].solve(algorithm="mpi", tolerance=TOLERANCE, parallel=False)
            return "uncertified"

        return Renewed(solve, renew), 1

    return prepare


# --- whole verdicts ---


def verdicts(tasks: int) -> tuple[Timed, int]:
    family = garnet(tasks=tasks, rng=rng())
    phi = uniform_policy(16, 4)
    theorem = theorem_named("contraction_kl_posterior")

    def solve() -> str:
        found = judge(theorem, Case.new(Solved(family), phi, "kl-posterior", "1/10"))
        return f"{sum(v.outcome == 'HOLDS' and v.certified for v in found)} of {tasks} hold, certified"

    return solve, tasks


def large_verdict(family: str, algorithm: str) -> Callable[[int], tuple[Timed, int]]:
    """From a sparse family's arrays to the verdict of the universal bound."""

    def prepare(states: int) -> tuple[Timed, int]:
        size = f"states={states}" if family == "sparse-garnet" else f"side={round(states**0.5)}"
        tasks = family_named(f"{family}:{size}", rng())
        phi = uniform_policy(tasks.states, tasks.actions)
        theorem = theorem_named(f"contraction_{algorithm.replace('-', '_')}")

        def solve() -> str:
            (found,) = judge(theorem, Case.new(tasks, phi, algorithm, "1/10"))
            return f"{found.outcome}, {found.grade}, gap {found.exact[0]}, {found.numbers}"

        return solve, 1

    return prepare


def _large_verdicts(*, slowly: bool) -> tuple[Contestant, ...]:
    algorithms = ("kl-posterior", "kl-prior", "euclidean") if slowly else ("kl-posterior",)
    families = ("sparse-garnet", "slippery-grid") if slowly else ("sparse-garnet",)
    return tuple(
        Contestant(f"{family}, {algorithm}", large_verdict(family, algorithm))
        for family in families
        for algorithm in algorithms
    )


def _large(task_of: Callable[[int], Any], *, mdpsolver: bool = True) -> tuple[Contestant, ...]:
    peers = (Contestant("mdpsolver MPI", large_mdpsolver(task_of), "mdpsolver"),) if mdpsolver else ()
    return (
        Contestant("ours, certified", large_certified(task_of)),
        Contestant("quantecon MPI", large_quantecon(task_of), "quantecon"),
        *peers,
    )


PROBLEMS = (
    Problem(
        "batch",
        "{} Garnet MDPs, 16 states, 4 actions, 4 branches, gamma 0.9",
        "MDP",
        (10_000, 1000),
        7,
        (
            Contestant("ours, float", batch_float),
            Contestant("ours, certified", batch_certified),
            Contestant("ours, certified to 1e-26", batch_refined),
            Contestant("ours, float, NumPy only", batch_without_numba(batch_float)),
            Contestant("ours, certified, NumPy only", batch_without_numba(batch_certified)),
            Contestant("quantecon PI, built and solved", batch_quantecon_built, "quantecon"),
            Contestant("quantecon PI", batch_quantecon, "quantecon"),
            Contestant("pymdptoolbox PI, built and solved", batch_pymdptoolbox, "mdptoolbox"),
            Contestant("mdpsolver PI", batch_mdpsolver, "mdpsolver"),
            Contestant("SciPy, HiGHS on the linear program", batch_highs),
        ),
        "Peers solve the first 1,000, 200, 500 and 100 of them, one call each.",
    ),
    Problem(
        "dense",
        "one dense MDP, {} states, 8 actions, gamma 0.9",
        "MDP",
        (2000, 300),
        7,
        (*_large(dense_task), Contestant("pymdptoolbox PI, built and solved", dense_pymdptoolbox, "mdptoolbox")),
        "Ours has no uncertified variant here: the last backup is the certificate.",
    ),
    Problem(
        "sparse",
        "one sparse Garnet MDP, {} states, 4 actions, 5 branches, gamma 0.9",
        "MDP",
        (100_000, 10_000),
        7,
        _large(sparse_task),
        "pymdptoolbox builds dense arrays of 75 GiB.",
    ),
    Problem(
        "grid",
        "one slippery grid, about {} states, gamma 0.99 (mixes slowly)",
        "MDP",
        (100_000, 10_000),
        3,
        _large(grid_task, mdpsolver=False),
    ),
    Problem(
        "million",
        "one sparse Garnet MDP, {} states, 4 actions, 5 branches, gamma 0.9",
        "MDP",
        (1_000_000, None),
        3,
        _large(sparse_task, mdpsolver=False),
        "mdpsolver is left out: its lists take more than 3 GiB.",
    ),
    Problem(
        "verdicts",
        "whole verdicts of the universal bound, i = 2, on {} Garnet tasks of 16 states",
        "verdict",
        (5000, 1000),
        5,
        (Contestant("ours, certified", verdicts),),
        "From the arrays to certified verdicts: optimum, adaptation, both sides, decision.",
    ),
    Problem(
        "large-verdicts",
        "a whole certified verdict on {} sparse states, 4 actions (garnet: gamma 0.9, grid: gamma 0.99)",
        "case",
        (100_000, 10_000),
        3,
        _large_verdicts(slowly=True),
        "From the arrays to the verdict: optimum, three policies, visitation where Alg^(3) asks for it, adaptation, "
        "both sides, decision. The grid has 99,856 states.",
        "sparse-garnet, kl-posterior",
    ),
    Problem(
        "million-verdict",
        "a whole certified verdict on {} sparse states, 4 actions, gamma 0.9",
        "case",
        (1_000_000, None),
        1,
        _large_verdicts(slowly=False),
        "",
        "sparse-garnet, kl-posterior",
    ),
    Problem(
        "meta",
        "{} meta-iterations: plain ascent, exact gradient, Alg^(2), 20 Frozen Lake tasks of high variance, gamma 4/5",
        "run",
        (150, 15),
        5,
        (
            Contestant("ours, closed form", meta_training.ours("exact")),
            Contestant("ours, autodiff", meta_training.ours("autodiff"), "torch"),
            Contestant("PyTorch, autodiff through everything", meta_training.torch_everything, "torch"),
        ),
        "In float64, from the uniform policy, with lambda 1/10 and a step of 1. Both reach the same logits.",
        "ours, closed form",
    ),
)
