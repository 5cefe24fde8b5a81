r"""For notebooks and scripts: draw tasks, adapt, and verify bounds, with pandas tables as answers.

Examples:
    >>> from bomrl_theory import api
    >>> lake = api.family("frozen-lake-high")
    >>> lake
    TaskFamily('frozen-lake-high', 20 tasks, 16 states, 4 actions, gamma = 4/5)
    >>> case = api.adapt(lake, algorithm="kl-posterior", lam="1/10")
    >>> case
    Case('frozen-lake-high, barycentre; kl-posterior, lambda = 1/10', 20 tasks)
    >>> bool(api.returns(case)["gap"].max() < 2)
    True
    >>> table = api.verify("contraction_kl_posterior", case)
    >>> table["outcome"].value_counts().to_dict()
    {'HOLDS': 20}

Families, cases, solutions and theorems show themselves as tables in a notebook. Needs the extra ``report`` (pandas).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from bomrl_theory.errors import InvalidTask, MissingExtra

try:
    import pandas as pd
except ImportError:
    raise MissingExtra("pandas", "report") from None

from bomrl_theory.exact.solved import Solved
from bomrl_theory.exact.sparse_solved import solved_family
from bomrl_theory.meta.barycentre import barycentre_of
from bomrl_theory.numbers import computing_on
from bomrl_theory.report import tables
from bomrl_theory.report.table import Table
from bomrl_theory.tasks.catalogue import family_named
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.policy import check_policy, uniform_policy
from bomrl_theory.tasks.sparse_family import SparseFamily
from bomrl_theory.theory.case import AnyCase, Case
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify import run as runs
from bomrl_theory.verify.evaluate import evaluate_case

POLICIES = ("barycentre", "uniform")


def family(spec: str | Path, *, seed: int = 0) -> TaskFamily | SparseFamily:
    """Draw a family by name, or load it from a file, as ``bomrl verify --family`` does.

    Args:
        spec: ``"frozen-lake-high:size=8"``, ``"gymnasium:FrozenLake-v1"``, ``"my_family.npz"``; names are listed by
            ``bomrl list --families``.
        seed: of what is drawn.

    Raises:
        UnknownName: no such family (offers close names).
        InvalidFile, InvalidTask, MissingExtra: the file, a parameter or the environment is invalid.

    Examples:
        >>> family("garnet:states=5,actions=2,tasks=3")
        TaskFamily('garnet:states=5,actions=2,tasks=3', 3 tasks, 5 states, 2 actions, gamma = 9/10)
    """
    if seed < 0:
        raise InvalidTask(f"seed = {seed}: seeds are whole numbers from 0")
    return family_named(str(spec), np.random.default_rng(np.random.SeedSequence(seed)))


def solve(family: TaskFamily | SparseFamily | Solved) -> Solved:
    """The family with its exact optimum; solved once, however often it is used.

    Examples:
        >>> solve(TaskFamily.new([[[[1], [1]]]], [[[0, 1]]], "1/2", [1])).optimum.actions.tolist()
        [[1]]
    """
    return family if isinstance(family, Solved) else solved_family(family)


def theorem(name: str) -> Theorem:
    """A registered theorem by id or name, or the one in a Python file.

    Raises:
        UnknownName: no such theorem (offers close names).
        InvalidTheorem: the file cannot be used.

    Examples:
        >>> theorem("contraction_kl_posterior").title
        'Universal contraction bound, Alg^(2): KL(pi || phi)'
    """
    return theorem_named(name)


def theorems() -> Table:
    """The registry: one row a theorem.

    Examples:
        >>> "published_bound-v1" in set(theorems().query("status == 'refuted'")["theorem"])
        True
    """
    columns = {
        entry.id: (entry.title, entry.topic, entry.status, entry.source.work, entry.source.place, entry.source.obtained)
        for entry in registry().values()
    }
    names = ["title", "topic", "status", "source", "place", "obtained"]
    return pd.DataFrame.from_dict(columns, orient="index", columns=names).rename_axis("theorem").reset_index()


def adapt(
    family: TaskFamily | SparseFamily | Solved,
    phi: Any = "barycentre",
    *,
    algorithm: str = "kl-posterior",
    lam: Any = 1,
    steps: int = 1,
) -> Case:
    """A meta-policy adapted to every task: what theorems speak about.

    Args:
        family: the tasks; pass ``solve(family)`` to solve them once for many cases.
        phi: "barycentre" (of the optima, 10 % uniform mixed in), "uniform", or probabilities [S, A].
        algorithm: as listed by ``bomrl list --algorithms``; "none" leaves phi as it is.
        lam: lambda, exact: 0.1 is the double, "1/10" the fraction.
        steps: K, how often data are collected and the step is solved.

    Raises:
        InvalidTask: phi is no full-support policy of this family, or lambda is not positive.
        UnknownName: no such algorithm, or no such meta-policy.

    Examples:
        >>> bandit = TaskFamily.new([[[[1], [1]]]], [[[0, 1]]], 0, [1])
        >>> adapt(bandit, "uniform", lam="1/2").adaptation.policies[-1].round(3).tolist()
        [[[0.119, 0.881]]]
    """
    solved = solve(family)
    shape = solved.family.states, solved.family.actions
    if isinstance(phi, str):
        if phi not in POLICIES:
            raise InvalidTask(f"phi = '{phi}': name one of {', '.join(POLICIES)}, or give probabilities {list(shape)}")
        label = f", {phi}" if phi == "barycentre" else ", uniform policy"
        phi = barycentre_of(solved) if phi == "barycentre" else uniform_policy(*shape)
    else:
        phi, label = check_policy(phi, *shape), ""
    return Case.new(solved, phi, algorithm, lam, steps=steps, origin=solved.family.name + label)


def returns(case: Case) -> Table:
    """Exact returns and gaps of every task and of their expectation, as the nearest doubles.

    Examples:
        >>> bandit = TaskFamily.new([[[[1], [1]]]], [[[0, 1]]], 0, [1])
        >>> returns(adapt(bandit, "uniform", lam="1/2")).round(3).values.tolist()
        [[1.0, 0.5, 0.881, 0.119], [1.0, 0.5, 0.881, 0.119]]
    """
    found = evaluate_case(case, ())
    index = pd.Index([*range(len(found.tasks)), "expected"], name="task")
    return pd.DataFrame([vars(row) for row in (*found.tasks, found.expected)], index=index)


def bounds(case: Case) -> Table:
    """Every registered bound on the expected gap that speaks about the case, sharpest first, with its verdict.

    Examples:
        >>> bandit = TaskFamily.new([[[[1], [1]]]], [[[0, 1]]], 0, [1])
        >>> table = bounds(adapt(bandit, "uniform", lam="1/2"))
        >>> set(table["outcome"]) <= {"HOLDS", "OUT_OF_SCOPE", "VIOLATED"}, table["theorem"].is_unique
        (True, True)
    """
    rows = [
        {
            "theorem": bound.theorem.id,
            "bound": bound.verdict.bound,
            "gap": bound.verdict.left,
            "outcome": str(bound.verdict.outcome),
            "grade": None if bound.verdict.grade is None else str(bound.verdict.grade),
            "certified": bound.verdict.certified,
            "reason": bound.verdict.reason,
        }
        for bound in evaluate_case(case, registry().values()).bounds
    ]
    names = ["theorem", "bound", "gap", "outcome", "grade", "certified", "reason"]
    return pd.DataFrame(rows, columns=names).sort_values("bound", kind="stable", ignore_index=True)


def verify(
    theorems: str | Theorem | Iterable[str | Theorem],
    on: TaskFamily | SparseFamily | Solved | AnyCase | str | Iterable[AnyCase] | None = None,
    *,
    cases: int = 0,
    seed: int = 0,
    device: str | None = None,
) -> Table:
    """Decide theorems: one row a verdict.

    Args:
        theorems: one or several: ids, names, files or :class:`Theorem` objects.
        on: a case or several; or a family (or its name), which is judged under the barycentre and the uniform policy
            at every lambda of ``bomrl verify`` and under ``cases`` random ones; or nothing: the families and the random
            cases of ``bomrl verify``.
        cases: see above; without ``on`` the number of random families (0: as many as ``bomrl verify``).
        seed: of what is drawn.
        device: "cuda" or another device of torch, on which dense families are solved and verdicts begin; what stays
            open there goes on on the host.

    Returns:
        Columns: theorem, the case (origin, algorithm, lambda, steps, tasks, states, actions, gamma), task, outcome,
        left, bound, ratio (nearest doubles), grade, the number system that decided, certified, both sides as exact
        text, and the reason where there is no decision. A witness of each theorem is always among the cases when
        ``on`` does not give them.

    Raises:
        UnknownName, InvalidTheorem, InvalidTask, InvalidFile, MissingExtra: as the pieces do.

    Examples:
        >>> lake = family("frozen-lake-low")
        >>> table = verify(["contraction_kl_posterior", "no_adaptation"], lake)
        >>> sorted(table["outcome"].unique()), bool(table["certified"].all())
        (['HOLDS'], True)
    """
    names = [theorems] if isinstance(theorems, (str, Theorem)) else list(theorems)
    chosen = [theorem_named(entry) if isinstance(entry, str) else entry for entry in names]
    with computing_on(device):
        return tables.verdicts(_run(chosen, on, cases, seed))


def _run(chosen: list[Theorem], on: Any, cases: int, seed: int) -> runs.Run:
    if on is None or isinstance(on, str):
        plan = runs.Plan.of(chosen, () if on is None else (on,), cases or None, seed)
        return runs.verify(chosen, plan.generate(), sparing=True)
    if isinstance(on, (TaskFamily, SparseFamily, Solved)):
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        return runs.verify(chosen, runs.family_cases(solve(on), cases, rng), sparing=True)
    run = runs.Run([runs.TheoremResult(entry) for entry in chosen])
    for case in [on] if isinstance(on, AnyCase) else on:
        run.judge(case, (result for result in run.results if result.theorem.covers(case)))
    return run
