"""Sparse families: every quantity and verdict is what the dense family has, and certificates hold in rationals."""

from __future__ import annotations

import gc
import pickle
import re
import subprocess
import sys
import weakref
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exact_reference import hard_families
from helpers import Bomrl, fraction

from bomrl_theory import cli
from bomrl_theory.adapt.adapt import ADAPTING
from bomrl_theory.errors import InvalidTask, LostWorker, TooLarge, UnknownName
from bomrl_theory.exact import discounted
from bomrl_theory.exact.discounted import DiscountedSystem
from bomrl_theory.exact.solved import Solved
from bomrl_theory.exact.sparse_solved import SparseSolved
from bomrl_theory.meta.barycentre import barycentre, barycentre_of
from bomrl_theory.numbers import ENCLOSURES, FLOATS, Array, Balls, Rationals
from bomrl_theory.numbers.enclosure import Enclosure
from bomrl_theory.tasks.catalogue import family_named
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.garnet import garnet
from bomrl_theory.tasks.policy import uniform_policy
from bomrl_theory.tasks.sparse import SparseMDP, slippery_grid, sparse_garnet
from bomrl_theory.tasks.sparse_family import SparseFamily
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.registry import theorem_named
from bomrl_theory.verify import casefile, counterexample, memory
from bomrl_theory.verify.certificate import CertificateWriter
from bomrl_theory.verify.evaluate import evaluate_case
from bomrl_theory.verify.readable import exact_lines, exact_mapping
from bomrl_theory.verify.run import Run, TheoremResult
from bomrl_theory.verify.verdict import Outcome, judge
from bomrl_theory.verify.work import judged

UNIVERSAL = {
    "kl-prior": ("contraction_kl_prior", "contraction_kl_prior_posteriori"),
    "kl-posterior": ("contraction_kl_posterior", "contraction_kl_posterior_posteriori"),
    "euclidean": ("contraction_euclidean", "contraction_euclidean_posteriori"),
}


def small(seed: int = 0, tasks: int = 2, states: int = 12) -> TaskFamily:
    return garnet(states=states, actions=3, branching=3, tasks=tasks, rng=np.random.default_rng(seed))


def random_phi(family: Any, seed: int) -> Array:
    return np.random.default_rng(seed).random((family.states, family.actions)) + 0.05


def holds_exactly(enclosed: Any, exact: Array) -> None:
    """Every exact rational lies inside its enclosure."""
    assert enclosed.shape == exact.shape
    for mid, rad, value in zip(enclosed.mid.ravel(), enclosed.rad.ravel(), exact.ravel(), strict=True):
        assert np.isnan(rad) or np.isinf(rad) or abs(fraction(value) - Fraction(mid)) <= Fraction(rad)


# --- sparse equals dense ---


@pytest.mark.parametrize("algorithm", [*ADAPTING, "none"])
@pytest.mark.parametrize("steps", [1, 3])
def test_evaluation_is_that_of_the_dense_family(algorithm: str, steps: int) -> None:
    dense = small()
    sparse = SparseFamily.from_dense(dense)
    names = [
        *UNIVERSAL.get(algorithm, ()),
        "contraction_steps",
        "contraction_task_average",
        "no_adaptation",
        "coverage",
    ]
    theorems = [theorem_named(name) for name in names]
    phi = random_phi(dense, 1)
    one, other = (evaluate_case(Case.new(f, phi, algorithm, "1/10", steps=steps), theorems) for f in (dense, sparse))
    assert other.certified
    for mine, theirs in zip(one.tasks, other.tasks, strict=True):
        assert vars(mine) == pytest.approx(vars(theirs), abs=1e-10)
    assert len(one.bounds) == len(other.bounds)
    for mine, theirs in zip(one.bounds, other.bounds, strict=True):
        assert mine.verdict.theorem == theirs.verdict.theorem
        assert (mine.verdict.outcome, mine.verdict.grade) == (theirs.verdict.outcome, theirs.verdict.grade)
        assert mine.verdict.bound == pytest.approx(theirs.verdict.bound, rel=1e-9)
        assert theirs.verdict.certified
        assert len(mine.tasks) == len(theirs.tasks)


@pytest.mark.parametrize("algorithm", ADAPTING)
def test_adapted_policies_are_those_of_the_dense_family(algorithm: str) -> None:
    dense = small(3)
    phi = random_phi(dense, 2)
    one, other = (
        Case.new(f, phi, algorithm, "1/5", steps=2).adaptation for f in (dense, SparseFamily.from_dense(dense))
    )
    assert np.abs(one.policies - other.policies).max() < 1e-10
    assert one.status == other.status == "solved"


def test_the_barycentre_is_that_of_the_dense_family() -> None:
    dense = small(4, tasks=3)
    solved = Solved(dense)
    sparse = barycentre_of(SparseSolved(SparseFamily.from_dense(dense)))
    assert np.abs(sparse - barycentre(dense, solved.optimum)).max() < 1e-12
    assert np.array_equal(barycentre_of(solved), barycentre(dense, solved.optimum))


# --- enclosures hold in rationals ---


@pytest.mark.parametrize("states", [1, 4])
def test_enclosures_hold_exactly_on_hard_tasks(states: int) -> None:
    for name, dense in hard_families(np.random.default_rng(states), states, 2):
        exact, sparse = Solved(dense), SparseSolved(SparseFamily.from_dense(dense))
        phi = random_phi(dense, 5)
        with Rationals(128).activated():
            star, at = exact.star(Rationals(128)), exact.evaluate(phi, Rationals(128))
            wanted = [(star.V, star.J), (at.V, at.Q, at.nu, at.J, at.advantage)]
            visited = at.visited, exact.optimum.actions
        with ENCLOSURES.activated():
            mine, other = sparse.star(ENCLOSURES), sparse.evaluate(phi, ENCLOSURES)
            found = [(mine.V, mine.J), (other.V, other.Q, other.nu, other.J, other.advantage)]
        for enclosed, rational in zip((*found[0], *found[1]), (*wanted[0], *wanted[1]), strict=True):
            holds_exactly(enclosed, rational)
        assert np.array_equal(other.visited, visited[0]), name
        possible = np.take_along_axis(sparse.optimum.possible, visited[1][..., None], -1)
        assert possible.all(), f"{name}: the optimal action was ruled out"


def test_visitation_of_an_optimum_with_states_apart() -> None:
    dense = small(6, tasks=1)
    start = np.eye(dense.states)[0][None]
    dense = TaskFamily.new(dense.P, dense.r, dense.gamma, start, row_weights=True)
    exact, sparse = Solved(dense), SparseSolved(SparseFamily.from_dense(dense))
    with Rationals(64).activated():
        wanted = exact.star(Rationals(64))
        nu, visited = wanted.nu, wanted.visited
    with ENCLOSURES.activated():
        found = sparse.star(ENCLOSURES)
        holds_exactly(found.nu, nu)
    assert np.array_equal(found.visited, visited)
    assert not visited.all()
    assert np.all((found.nu.mid == 0) == ~visited)


def test_a_narrowed_visitation_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Power: with a poor guess the enclosure is wide for a reason; a hundredth of it misses the truth."""
    monkeypatch.setattr(discounted, "ROUNDS", 1)
    monkeypatch.setattr(discounted, "REDUCTION", 1e-1)
    dense = small(7, tasks=1)
    phi = random_phi(dense, 8)
    with Rationals(64).activated():
        exact = Solved(dense).evaluate(phi, Rationals(64)).nu
    with ENCLOSURES.activated():
        nu = SparseSolved(SparseFamily.from_dense(dense)).evaluate(phi, ENCLOSURES).nu
    holds_exactly(nu, exact)
    with pytest.raises(AssertionError):
        holds_exactly(Enclosure(nu.mid, nu.rad / 100), exact)


# --- ties ---


def tied() -> TaskFamily:
    """In state 0 two different actions are exactly as good."""
    P = np.zeros((1, 3, 2, 3))
    P[0, 0, 0, 1] = P[0, 0, 1, 2] = P[0, 1, :, 1] = P[0, 2, :, 2] = 1
    r = np.array([[[0.0, 0.0], [1.0, 0.5], [1.0, 0.5]]])
    return TaskFamily.new(P, r, "1/2", [1, 1, 1], row_weights=True)


def test_a_tie_is_enclosed_over_both_actions() -> None:
    dense, phi = tied(), [[1, 3], [1, 1], [1, 1]]
    sparse = SparseSolved(SparseFamily.from_dense(dense))
    assert sparse.optimum.decided == ("enclosed",)
    assert sparse.optimum.open.tolist() == [[True, False, False]]
    with ENCLOSURES.activated():
        m = Measured(Case.new(sparse, phi), ENCLOSURES)
        p = m.at_star(m.phi.pi)
        assert p.low[0, 0] <= 0.25 < 0.75 <= p.high[0, 0]
        assert p.high[0, 1] - p.low[0, 1] < 1e-14
    theorem = theorem_named("contraction_kl_posterior")
    (exact,), (verdict,) = (judge(theorem, Case.new(f, phi, "kl-posterior", 1)) for f in (dense, sparse))
    assert verdict.sides is not None
    left, bound = verdict.sides
    assert left.low <= exact.left <= left.high
    assert bound.low <= exact.bound <= bound.high
    (lost,) = judge(theorem_named("coverage"), Case.new(sparse, phi, "kl-posterior", 1))
    assert lost.outcome in (Outcome.UNDECIDED, Outcome.HOLDS)


def test_a_copy_of_an_action_is_no_tie() -> None:
    family = small(9)
    P, r = np.repeat(family.P, 2, axis=2), np.repeat(family.r, 2, axis=2)
    dense = TaskFamily.new(P, r, family.gamma, family.rho, row_weights=True)
    sparse = SparseSolved(SparseFamily.from_dense(dense))
    assert sparse.optimum.unique
    assert np.array_equal(sparse.optimum.actions, Solved(dense).optimum.actions)


# --- verdicts ---


@pytest.mark.parametrize("algorithm", UNIVERSAL)
@pytest.mark.parametrize("family", ["sparse-garnet:states=2000", "slippery-grid:side=40,gamma=0.95"])
def test_medium_families_get_certified_verdicts(algorithm: str, family: str) -> None:
    sparse = family_named(family, np.random.default_rng(0))
    case = Case.new(sparse, uniform_policy(sparse.states, sparse.actions), algorithm, "1/10")
    views: dict = {}
    for name in UNIVERSAL[algorithm]:
        (verdict,) = judge(theorem_named(name), case, views)
        assert verdict.outcome is Outcome.HOLDS
        assert verdict.certified
        assert verdict.numbers == "float64 enclosure"
        # A wrongly tightened claim is caught, and only then.
        factor = Fraction(verdict.left / verdict.bound)
        assert judge(theorem_named(name).scaled(factor * (1 - Fraction(1, 10**6))), case, views)[0].outcome is (
            Outcome.VIOLATED
        )
        assert judge(theorem_named(name).scaled(factor * (1 + Fraction(1, 10**6))), case, views)[0].outcome is (
            Outcome.HOLDS
        )
        assert judge(theorem_named(name).scaled(factor), case, views)[0].outcome is not Outcome.OUT_OF_SCOPE


@pytest.mark.parametrize("name", ["garnet:states=4", "sparse-garnet:states=50"])
@pytest.mark.parametrize("algorithm", list(UNIVERSAL))
def test_a_judged_case_leaves_memory_with_its_last_reference(name: str, algorithm: str) -> None:
    """Nothing waits for the collector of cycles, which does not see how large arrays are."""
    family = family_named(name, np.random.default_rng(0))
    gc.disable()
    try:
        case = Case.new(family, random_phi(family, 0), algorithm, "1/10")
        judge(theorem_named(UNIVERSAL[algorithm][0]), case)
        solved = weakref.ref(case.solved)
        del case
        assert solved() is None
    finally:
        gc.enable()


def test_a_slow_solver_widens_and_never_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse = SparseSolved(SparseFamily.from_dense(small(10)))
    monkeypatch.setattr(DiscountedSystem, "solve", lambda self, b, **_: np.zeros_like(b))
    phi = random_phi(sparse.family, 1)
    (verdict, _) = judge(theorem_named("contraction_kl_posterior"), Case.new(sparse, phi, "kl-posterior", "1/10"))
    assert verdict.outcome is Outcome.UNDECIDED
    assert verdict.reason


def test_what_would_need_states_squared_is_undecided_and_says_so() -> None:
    sparse = SparseFamily.from_dense(small(11))
    case = Case.new(sparse, uniform_policy(12, 3), "kl-posterior", 1)
    verdict = judge(theorem_named("published_bound_uncontrolled"), case)[0]
    assert verdict.outcome is Outcome.UNDECIDED
    assert "12 x 12 states" in verdict.reason
    for numbers in (Balls(128), Rationals(128)):
        with pytest.raises(TooLarge, match="number system"):
            case.solved.model(numbers)
    for wanted in (lambda: sparse.P, lambda: case.solved.model(FLOATS).P, lambda: case.solved.star(FLOATS).P):
        with pytest.raises(TooLarge, match="states"):
            wanted()
    with pytest.raises(TooLarge):
        _ = Case.new(sparse, uniform_policy(12, 3), "kl-posterior-sampled", 1).adaptation


# --- float systems ---


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("method", ["series", "bicgstab", "lu"])
def test_systems_by_every_method(method: str, transposed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    task = slippery_grid(side=12, gamma=Fraction(999, 1000), rng=np.random.default_rng(0))
    if method == "series":
        task = sparse_garnet(states=144, gamma=Fraction(1, 2), rng=np.random.default_rng(0))
    if method == "lu":
        monkeypatch.setattr(DiscountedSystem, "_bicgstab", lambda self, operator, residual: (residual, True))
    P = task.P[np.arange(task.states) * task.actions]
    system = DiscountedSystem(P, float(task.gamma))
    matrix = np.eye(task.states) - float(task.gamma) * P.toarray()
    matrix = matrix.T if transposed else matrix
    b = np.random.default_rng(1).random(task.states)
    x = system.solve(b, transposed=transposed)
    assert system.used == [method]
    assert np.abs(matrix @ x - b).max() < 1e-10
    assert np.abs(x - np.linalg.solve(matrix, b)).max() < 1e-8


def test_the_envelope_tells_narrow_graphs_from_wide_ones() -> None:
    rng = np.random.default_rng(2)
    grid, wild = slippery_grid(side=30, rng=rng), sparse_garnet(states=900, rng=rng)
    narrow, wide = (discounted.envelope(task.P[np.arange(900) * 4]) for task in (grid, wild))
    assert narrow < 900 * 4 * 30
    assert wide > 900**2 / 4


# --- hostile input, and the command line ---


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sparse-garnet:states=1000000000000", "the limit is 1e\\+08"),
        ("sparse-garnet:states=10000,actions=10000,branching=10000", "lower a size"),
        ("sparse-garnet:states=0", "at least 1"),
        ("sparse-garnet:states=3", "branching = 5 exceeds"),
        ("sparse-garnet:states=100,tasks=-1", "at least 1"),
        ("slippery-grid:side=1000000", "the limit is"),
        ("slippery-grid:side=3,slip=2", "no probability|not a probability"),
        ("slippery-grid:side=3,gamma=1", "outside"),
    ],
)
def test_hostile_sizes_are_refused_before_memory_goes(spec: str, message: str) -> None:
    with pytest.raises(InvalidTask, match=message):
        family_named(spec, np.random.default_rng(0))


def test_families_of_unlike_tasks_are_refused() -> None:
    rng = np.random.default_rng(3)
    one, other = sparse_garnet(states=6, rng=rng), sparse_garnet(states=7, rng=rng)
    for tasks, weights, message in (
        ([], None, "empty"),
        ([one, other], None, "share states"),
        ([one], [1, 2], "there are 1 tasks"),
        ([one, one], [1, 0], "leave out"),
    ):
        with pytest.raises(InvalidTask, match=message):
            SparseFamily.of(tasks, weights)


def test_restricted_to_some_tasks() -> None:
    dense = small(12, tasks=3)
    sparse = SparseFamily.from_dense(dense)
    case = Case.new(sparse, random_phi(dense, 0), "kl-prior", 1)
    part = case.restricted((2,))
    assert part.family.tasks == 1
    assert part.family.members[0] is sparse.members[2]
    whole, alone = (
        judge(theorem_named("contraction_kl_prior"), case),
        judge(theorem_named("contraction_kl_prior"), part),
    )
    assert whole[2].bound == pytest.approx(alone[0].bound, rel=1e-12)


def test_uncontrolled_families_move_like_the_first_action() -> None:
    sparse = SparseFamily.from_dense(small(13)).uncontrolled()
    for task in sparse:
        P = task.dense().P
        assert np.array_equal(P, np.repeat(P[:, :1], 3, axis=1))


def test_the_command_line_takes_sparse_families(bomrl: Bomrl) -> None:
    code, out, _ = bomrl(
        "verify", "contraction_kl_posterior", "contraction_steps", "--family", "sparse-garnet:states=60", "--json"
    )
    assert code == 0
    assert '"VIOLATED": 0' in out
    code, out, _ = bomrl("evaluate", "slippery-grid:side=6", "--algorithm", "kl-prior", "--lambda", "1/10", "--json")
    assert code == 0
    assert '"certified": true' in out


def violated(states: int) -> tuple[Case, Run]:
    """A wrong claim on a sparse case."""
    family = family_named(f"sparse-garnet:states={states}", np.random.default_rng(0))
    case = Case.new(family, uniform_policy(states, 4), lam="1/10")
    wrong = theorem_named("contraction_kl_posterior").scaled(Fraction(1, 1000))
    return case, Run([TheoremResult(wrong)])


def test_a_violated_large_sparse_case_is_told_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is drawn again from its name and seed; neither shrinking nor a file of a million states would help."""
    monkeypatch.setattr(counterexample, "SHRINKABLE", 39)
    monkeypatch.setattr(casefile, "LARGEST_SPARSE", 100)
    case, run = violated(40)
    with CertificateWriter(tmp_path / "run.jsonl", seed=0) as writer:
        run.judge(case, run.results, writer.write)
    assert writer.left_out == 1
    assert run.exit_code == 1
    found = run.results[0].counterexample
    assert found is not None
    assert found[0] is case
    assert cli._save_counterexamples(run, tmp_path) == {}
    assert exact_lines(case) == ["1 task, 40 states, 4 actions; gamma = 9/10; kl-posterior, lambda = 1/10"]


def test_a_violated_small_sparse_case_shrinks_to_a_file() -> None:
    case, run = violated(40)
    run.judge(case, run.results)
    found = run.results[0].counterexample
    assert found is not None
    assert found[0].family.states <= 3
    assert found[1].outcome is Outcome.VIOLATED


def test_a_sparse_case_in_a_file_is_replayed(tmp_path: Path) -> None:
    """To the same verdict, with the family as it was."""
    case, run = violated(12)
    theorem = run.results[0].theorem
    (verdict,) = judge(theorem, case)
    casefile.write_case(case, verdict, tmp_path / "case.json")
    name, again = casefile.load_case(tmp_path / "case.json")
    assert (name, again.family.sha256) == (theorem.id, case.family.sha256)
    assert isinstance(again.solved, SparseSolved)
    assert judge(theorem, again)[0].exact == verdict.exact
    small = Case.new(SparseFamily.from_dense(tied()), [[1, 3], [1, 1], [1, 1]])
    dense = Case.new(tied(), [[1, 3], [1, 1], [1, 1]])
    assert exact_lines(small) == exact_lines(dense)
    assert len(exact_lines(small)) > 1
    assert exact_mapping(small) == exact_mapping(dense)


def test_nothing_large_is_kept_between_theorems(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured again gives the same verdicts."""
    theorems = [theorem_named(name) for name in ("contraction_kl_posterior", "coverage", "policy_improvement")]
    case = Case.new(SparseFamily.from_dense(small(15)), random_phi(small(15), 0), lam="1/10")
    kept = [[str(verdict) for verdict in verdicts] for verdicts, _ in judged(theorems, case)]
    views: dict = {}
    judge(theorems[0], case, views)
    memory.forget_constants(views)
    assert views
    monkeypatch.setattr(memory, "LARGE", 24)
    memory.forget_constants(views)
    assert not views
    assert [[str(verdict) for verdict in verdicts] for verdicts, _ in judged(theorems, case)] == kept


def test_errors_cross_processes() -> None:
    """Each arrives as what it was, whatever its class is made from."""
    for error in (TooLarge("an array", 7), InvalidTask("wrong"), LostWorker(), UnknownName("family", "x", ["y"])):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))


def test_sparse_tasks_round_trip() -> None:
    dense = small(14)
    for task, other in zip(dense, SparseFamily.from_dense(dense), strict=True):
        assert np.array_equal(SparseMDP.of(task).dense().P, other.dense().P)


# --- other commands ---


def test_commands_that_need_dense_arrays_say_so(bomrl: Bomrl) -> None:
    code, _, err = bomrl("train", "slippery-grid:side=3", "-o", "run", "--seed", "2")
    assert code == 2
    assert "make it one with 'bomrl family slippery-grid:side=3 --dense --seed 2 -o dense.npz'" in err
    assert not Path("run").exists()
    code, _, _ = bomrl("family", "slippery-grid:side=3", "--dense", "--seed", "2", "-o", "dense.npz", "--json")
    assert code == 0
    code, _, _ = bomrl("train", "dense.npz", "-o", "run", "--iterations", "1", "--json")
    assert code == 0
    code, _, err = bomrl("family", "sparse-garnet:states=50000", "--dense")
    assert code == 2
    assert "lower a size" in err


def test_a_family_file_goes_wherever_a_name_does(bomrl: Bomrl) -> None:
    code, out, _ = bomrl("family", "sparse-garnet:states=9,branching=3,tasks=2", "--seed", "4", "-o", "own.npz")
    assert (code, out.splitlines()[-1]) == (0, "wrote own.npz")
    names = ("own.npz", "sparse-garnet:states=9,branching=3,tasks=2")
    how = ("--algorithm", "kl-posterior", "--lambda", "1/10", "--seed", "4", "--json")
    one, other = (bomrl("evaluate", name, *how) for name in names)
    assert one[0] == other[0] == 0
    assert one[1] == other[1]
    for arguments in (
        ("verify", "coverage", "--family", "own.npz", "--record", "run.jsonl"),
        ("verify", "coverage", "--family", "own.npz", "--record", "run.jsonl", "--resume"),
        ("unseen", "own.npz", "--algorithm", "none", "--lambda", "1", "--tasks", "20"),
        ("unseen", names[1].removesuffix(",tasks=2"), "--algorithm", "none", "--lambda", "1", "--tasks", "20"),
    ):
        code, out, err = bomrl(*arguments)
        assert code == 0, (arguments, err)
    code, _, err = bomrl("family", "own.npz", "-o", "own.txt")
    assert code == 2
    assert "use .npz or .json" in err


def test_long_runs_tell_their_progress_without_a_terminal(bomrl: Bomrl, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line at a time: how far, how long still, and what was done last."""
    monkeypatch.setattr(cli, "SECONDS_A_LINE", 0.0)
    _, _, err = bomrl("verify", "coverage", "--family", "slippery-grid:side=2")
    assert re.fullmatch(
        r"verifying: 1 of 34, \S+/s, \S+ min left; slippery-grid:side=2, barycentre", err.splitlines()[0]
    )
    _, _, err = bomrl("evaluate", "slippery-grid:side=2", "--algorithm", "none", "--lambda", "1")
    assert re.fullmatch(r"evaluating: 1 of \d+, \S+/s, \S+ min left; advantage_range-v1", err.splitlines()[0])


def test_commands_without_sparse_tasks_start_without_scipy() -> None:
    code = "import sys, bomrl_theory.verify.run; sys.exit(bool({'scipy.sparse', 'scipy.optimize'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
