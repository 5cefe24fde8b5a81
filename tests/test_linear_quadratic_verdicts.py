"""Linear-quadratic control in balls: enclosures of exact references, verdicts that can fail, and the command line."""

from __future__ import annotations

import csv
import gzip
import json
import pickle
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from click.testing import CliRunner
from flint import arb, fmpq, fmpq_mat
from helpers import Bomrl, encloses, experiment, fraction, radius
from hypothesis import given
from hypothesis import strategies as st

from bomrl_theory.errors import InvalidFile, InvalidTask
from bomrl_theory.linear_quadratic import GaussianPolicy, balls, random_family
from bomrl_theory.linear_quadratic import closed_form as cf
from bomrl_theory.linear_quadratic.enclose import best, enclosed_model, enclosed_optimum
from bomrl_theory.linear_quadratic.model import Model
from bomrl_theory.numbers import FLOATS, Array, Balls, SingularSystem, to_floats
from bomrl_theory.theory.linear_quadratic import LinearQuadraticCase, LinearQuadraticView
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.small_quadratic import scalar_policy, scalar_task, task_policy
from bomrl_theory.theory.terms import terms
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.casefile import load_case, save_case
from bomrl_theory.verify.quadratic_cases import quadratic_cases
from bomrl_theory.verify.run import Plan, draws_of, settings_of, verify
from bomrl_theory.verify.search import Search
from bomrl_theory.verify.tightness import best_certified
from bomrl_theory.verify.verdict import Outcome, judge
from bomrl_theory.verify.work import _message, jobs

BALLS = Balls(128)
THEOREMS = [theorem for theorem in registry().values() if theorem.setting == "linear-quadratic"]
every_theorem = pytest.mark.parametrize("theorem", THEOREMS, ids=lambda theorem: theorem.id)
seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, count: int = 1) -> list[LinearQuadraticCase]:
    return list(quadratic_cases(np.random.SeedSequence(seed), count))


# --- enclosures of exact references -----------------------------------------------------------------


def exact_cost(A: Array, B: Array, R_x: Array, R_u: Array, K: Array, gamma: Fraction) -> list[list[Fraction]]:
    """P_K in rationals: the Lyapunov equation as a linear system in all entries."""
    n = len(A)

    def matrix(x: Array) -> fmpq_mat:
        rows, columns = x.shape
        return fmpq_mat(rows, columns, [fmpq(*float(v).as_integer_ratio()) for v in x.flat])

    a, b, k = matrix(A), matrix(B), matrix(K)
    F = a - b * k
    M = matrix(R_x) + k.transpose() * matrix(R_u) * k
    g = fmpq(gamma.numerator, gamma.denominator)
    rows = [
        [fmpq(int((i, j) == (p, q))) - g * F[p, i] * F[q, j] for p in range(n) for q in range(n)]
        for i in range(n)
        for j in range(n)
    ]
    system = fmpq_mat(n * n, n * n, [x for row in rows for x in row])
    solution = system.solve(fmpq_mat(n * n, 1, M.entries()))
    entries = [Fraction(int(x.p), int(x.q)) for x in solution.entries()]
    return [entries[i * n : (i + 1) * n] for i in range(n)]


@given(seeds)
def test_costs_enclose_the_rational_solution(seed: int) -> None:
    """Every entry of P, within 30 digits of its size."""
    case = drawn(seed)[0]
    family = case.family
    with BALLS.activated():
        value = LinearQuadraticView(case, BALLS).phi
    for task in range(family.tasks):
        exact = exact_cost(family.A[task], family.B[task], family.R_x[task], family.R_u[task], case.phi.K, family.gamma)
        size = max(abs(x) for row in exact for x in row)
        for i in range(family.states):
            for j in range(family.states):
                assert encloses(value.P[task, i, j], exact[i][j])
                assert radius(value.P[task, i, j]) < size / 10**20


@given(st.tuples(*[st.integers(-20, 20)] * 2, *[st.integers(1, 20)] * 3), st.sampled_from([0, 1, 5, 9, 99]))
def test_scalar_optimum_encloses_the_quadratic_formula(numbers: tuple[int, ...], discount: int) -> None:
    """``gamma B^2 P^2 + (R_u (1 - gamma A^2) - gamma B^2 R_x) P - R_x R_u = 0`` has one positive root."""
    A, B, R_x, R_u, W = (Fraction(x, 16) for x in numbers)
    gamma = Fraction(discount, max(discount + 1, 2)) if discount else Fraction(0)
    if B == 0 and gamma * A**2 >= Fraction(9, 10):
        return
    family = scalar_task(float(A), float(B), W=float(W), R_x=float(R_x), R_u=float(R_u), gamma=gamma)
    with BALLS.activated():
        found = best(family, enclosed_model(family, BALLS), BALLS)
    with mpmath.workdps(80):
        a, b, c = gamma * B**2, R_u * (1 - gamma * A**2) - gamma * B**2 * R_x, -R_x * R_u
        p, q, r = (mpmath.mpf(x.numerator) / x.denominator for x in (a, b, c))
        root = -r / q if a == 0 else (-q + mpmath.sqrt(q * q - 4 * p * r)) / (2 * p)
        P = found.P[0, 0, 0]
        middle, width = fraction(P), radius(P)
        assert abs(mpmath.mpf(middle.numerator) / middle.denominator - root) <= mpmath.mpf(
            width.numerator
        ) / width.denominator + mpmath.mpf(10) ** -70 * abs(root)
        assert width <= Fraction(1, 10**25) * abs(middle)


@given(seeds)
def test_balls_and_floats_agree(seed: int) -> None:
    """Both views of the same quantities; the second is the first's mid-point up to rounding."""
    for case in drawn(seed):
        with BALLS.activated():
            enclosed = LinearQuadraticView(case, BALLS)
            pairs = [(enclosed.star.J, "star"), (enclosed.phi.J, "phi"), (enclosed.plus.J, "plus")]
        plain = LinearQuadraticView(case, FLOATS)
        for J, name in pairs:
            np.testing.assert_allclose(to_floats(J), getattr(plain, name).J, rtol=1e-6)


def test_the_verdict_of_a_scalar_case_encloses_mpmath() -> None:
    """Both sides of the main theorem, computed once more by hand at 60 digits: A = 1/2, B = 1, gamma = 3/4."""
    family = scalar_task(0.5, 1, W=0.25, R_x=1, R_u=0.5, gamma="3/4", x=1.5)
    (verdict,) = judge(
        theorem_named("contraction_linear_quadratic"), LinearQuadraticCase.new(family, scalar_policy(0.25, 2), "1/3")
    )
    assert verdict.sides is not None
    with mpmath.workdps(60):
        A, B, W, R_x, R_u, g, x, lam = map(mpmath.mpf, (0.5, 1, 0.25, 1, 0.5, 0.75, 1.5, 1))
        lam = lam / 3

        def value(K: Any, S: Any) -> tuple[Any, Any]:
            P = (R_x + R_u * K**2) / (1 - g * (A - B * K) ** 2)
            return P, (R_u * S + g * P * (W + B * B * S)) / (1 - g)

        K, S = mpmath.mpf(0.25), mpmath.mpf(2)
        P, c = value(K, S)
        H_uu, H_ux = R_u + g * B * P * B, g * B * P * A
        S_plus = 1 / (1 / S + 2 * H_uu / lam)
        K_plus = S_plus * (K / S + 2 * H_ux / lam)
        p, q, r = g * B**2, R_u * (1 - g * A**2) - g * B**2 * R_x, -R_x * R_u
        P_star = (-q + mpmath.sqrt(q * q - 4 * p * r)) / (2 * p)
        K_star = g * B * P_star * A / (R_u + g * B * P_star * B)
        c_star = g * P_star * W / (1 - g)
        P_plus, c_plus = value(K_plus, S_plus)
        left = P_plus * x * x + c_plus - P_star * x * x - c_star
        F = A - B * K_star
        D = (P - P_star) * (F * F * x * x + W) + c - c_star
        KL = (S_plus / S - 1 + mpmath.log(S / S_plus) + (K_star - K) ** 2 * x * x / S) / 2
        bound = g * D + H_uu * S_plus + lam * KL
        for ball, reference in zip(verdict.sides, (left, bound), strict=True):
            middle, width = fraction(ball), radius(ball)
            difference = abs(mpmath.mpf(middle.numerator) / middle.denominator - reference)
            assert difference <= mpmath.mpf(width.numerator) / width.denominator + mpmath.mpf(10) ** -55
            assert width < Fraction(1, 10**30)


def test_the_smallest_error_is_the_soft_maximum() -> None:
    """``Q^phi(x, u*) - lambda log E_phi exp(Q^phi/lambda)`` by quadrature, against the closed form by divergences."""
    case = LinearQuadraticCase.new(scalar_task(0.5, 1, R_x=1, R_u=0.5, gamma="3/4", x=1.5), scalar_policy(0.25, 2), 1)
    (constant,) = [c for c in theorem_named("contraction_linear_quadratic_posteriori").constants if c.name == "e_rho"]
    m = LinearQuadraticView(case, FLOATS)
    H_xx, H_ux, H_uu, K_star = (x[0, 0, 0] for x in (m.phi.H_xx, m.phi.H_ux, m.phi.H_uu, m.star.K))

    def Q(u: Any) -> Any:
        return -(H_xx * 1.5**2 + 2 * H_ux * 1.5 * u + H_uu * u * u)

    mean = -0.25 * 1.5
    integral = mpmath.quad(lambda u: mpmath.npdf(u, mean, mpmath.sqrt(2)) * mpmath.exp(Q(u)), [-20, -2, 0, 2, 20])
    assert constant.measure(m)[0] == pytest.approx(float(Q(-K_star * 1.5) - mpmath.log(integral)), rel=1e-9)


# --- what cannot be proved is not claimed -----------------------------------------------------------


@pytest.mark.parametrize("factor", [1, Fraction(1001, 1000), 2])
def test_no_cost_without_stability(factor: Any) -> None:
    """A loop of radius 1 or more has no enclosure, at any precision."""
    F = np.vectorize(arb, otypes=[object])(np.array([[[0.0, 1.0], [-1.0, 0.0]]])) * arb(float(factor))
    for bits in (64, 512):
        with Balls(bits).activated(), pytest.raises(SingularSystem, match="not certainly stable"):
            balls.lyapunov(F, F @ F.mT, 1)


def test_a_loop_just_inside_is_enclosed() -> None:
    with BALLS.activated():
        F = np.array([[[1 - arb(2) ** -40]]], dtype=object)
        P = balls.lyapunov(F, np.array([[[arb(1)]]], dtype=object), arb(1))[0, 0, 0]
        assert P.contains(1 / (1 - (1 - arb(2) ** -40) ** 2).mid())


def test_an_optimum_that_does_not_stabilise_is_refused() -> None:
    """``sqrt(gamma) A = 1`` and no cost of states: doing nothing is optimal, and no lower bound can be proved."""
    one = np.array([[[arb(1)]]], dtype=object)
    with BALLS.activated():
        model = Model(2 * one, one, one, 0 * one, one, arb(1) / 4, one[0], one, np.array([arb(1)]))
        with pytest.raises(SingularSystem, match="not certainly stable"):
            enclosed_optimum(model, np.array([[[0.0]]]))
        with pytest.raises(SingularSystem):
            enclosed_optimum(model, np.array([[[1.5]]]))


def test_a_bad_guess_does_no_harm() -> None:
    """Policy iteration leads from any stabilising gain into the same enclosure."""
    family = random_family(np.random.default_rng(4), tasks=1, states=2, actions=1, gamma=Fraction(9, 10))
    with BALLS.activated():
        model = enclosed_model(family, BALLS)
        near, K = best(family, model, BALLS), cf.optimum(family.model()).K
        far = K + 1e-4
        assert np.all(family.radius(far) < 1)
        other = enclosed_optimum(model, far)
        assert all(x.overlaps(y) for x, y in zip(near.P.flat, other.P.flat, strict=True))


def test_too_few_bits_leave_it_undecided() -> None:
    theorem = theorem_named("contraction_linear_quadratic")
    case = theorem.witness()
    assert {v.outcome for v in judge(theorem, case, only=(Balls(20),))} == {Outcome.UNDECIDED}
    assert {v.outcome for v in judge(theorem, case)} == {Outcome.HOLDS}


def test_floats_are_never_called_certified() -> None:
    for theorem in THEOREMS:
        assert not any(verdict.certified for verdict in judge(theorem, theorem.witness(), only=(FLOATS,)))


# --- verdicts ---------------------------------------------------------------------------------------


def test_random_families_hold_and_every_kind_is_there() -> None:
    theorems = {theorem.name: theorem for theorem in THEOREMS}
    assert len(theorems) == 4
    kinds, judged = set(), 0
    for case in drawn(5, 12):
        kinds.add(case.family.name)
        for theorem in theorems.values():
            if theorem.covers(case):
                verdicts = judge(theorem, case)
                judged += len(verdicts)
                assert {(v.outcome, v.certified) for v in verdicts} == {(Outcome.HOLDS, True)}
    assert judged > 40
    assert kinds == {f"linear-quadratic {kind}" for kind in ("dynamics", "input", "costs", "goals")}


@every_theorem
def test_a_tenth_less_is_violated(theorem: Theorem) -> None:
    (verdict,) = judge(theorem.scaled(Fraction(9, 10)), theorem.witness())
    assert verdict.outcome is Outcome.VIOLATED
    assert verdict.certified


@every_theorem
def test_every_term_is_needed(theorem: Theorem) -> None:
    """A bound without one of its terms is violated on the witness, a probe or a random case."""
    parts = terms(sp.sympify(theorem.bound))
    known = [theorem.witness(), *(make() for make in theorem.probes)]
    for part in parts if len(parts) > 1 else ():
        mutant = replace(theorem, bound=theorem.bound - part)
        outcomes = {verdict.outcome for case in known for verdict in judge(mutant, case)}
        assert Outcome.VIOLATED in outcomes, part


def test_the_exact_policy_in_doubles_pays_next_to_nothing() -> None:
    """Alg^(2)'s own policy, rounded, has the bound of the exact one up to rounding, and a bad one pays for it."""
    case = drawn(8)[0]
    model = case.family.model()
    value = cf.evaluate(model, case.phi.K, case.phi.Sigma)
    K, Sigma = cf.adapt(value, float(case.lam))
    theorem, exact = theorem_named("inexact_linear_quadratic"), theorem_named("contraction_linear_quadratic")

    def bounds(K: Array, Sigma: Array) -> list[float]:
        adapted = GaussianPolicy.new(K, Sigma)
        verdicts = judge(theorem, LinearQuadraticCase.new(case.family, case.phi, case.lam, adapted=adapted))
        assert {verdict.outcome for verdict in verdicts} == {Outcome.HOLDS}
        return [verdict.bound for verdict in verdicts]

    wanted = [verdict.bound for verdict in judge(exact, case)]
    np.testing.assert_allclose(bounds(K, Sigma), wanted, rtol=1e-9)
    assert np.all(np.array(bounds(K, 2 * Sigma)) > np.array(wanted))


def test_average_over_tasks_follows() -> None:
    """The expectation over tasks with the exact weights."""
    theorem = theorem_named("contraction_linear_quadratic")
    case = next(case for case in drawn(2, 9) if theorem.covers(case) and case.family.tasks > 2)
    (average,) = judge(theorem.averaged(), case)
    each = np.array([verdict.bound for verdict in judge(theorem, case)])
    assert average.bound == pytest.approx(np.average(each, weights=case.family.weights), rel=1e-12)


# --- cases, files, processes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda f: LinearQuadraticCase.new(f, scalar_policy(2, 1)),
            "the meta-policy does not stabilise task 0: .* 1\\.5",
        ),
        (lambda f: LinearQuadraticCase.new(f, task_policy(0, 1)), r"the meta-policy's K has shape \[1, 1, 1\]"),
        (lambda f: LinearQuadraticCase.new(f, scalar_policy(0, 1), 0), "lambda = 0 must be positive"),
        (
            lambda f: LinearQuadraticCase.new(f, scalar_policy(0, 1), adapted=task_policy(2, 1)),
            "the adapted policy does not stabilise",
        ),
        (
            lambda f: LinearQuadraticCase.new(f, scalar_policy(0, 1), adapted=scalar_policy(0, 1)),
            r"the adapted K has shape \[1, 1\]",
        ),
        (
            lambda f: LinearQuadraticCase.new(f, scalar_policy(0, 1), adapted=task_policy(0, 1), steps=2),
            "an estimate is made once",
        ),
        (lambda f: LinearQuadraticCase.new(f, scalar_policy(0, 1), steps=-1), "must not be negative"),
    ],
)
def test_invalid_cases(make: Any, message: str) -> None:
    with pytest.raises(InvalidTask, match=message):
        make(scalar_task(0.5, 1, R_x=1, gamma=Fraction(999_999, 1_000_000)))


@pytest.mark.parametrize("index", [0, 2], ids=["exact", "estimated"])
def test_a_saved_case_is_replayed_to_the_same_balls(index: int, tmp_path: Path) -> None:
    case = drawn(13)[index]
    theorem = next(theorem for theorem in THEOREMS if theorem.covers(case))
    verdict = judge(theorem, case)[0]
    name, again = load_case(save_case(case, verdict, tmp_path))
    assert name == theorem.id
    assert isinstance(again, LinearQuadraticCase)
    assert judge(theorem, again)[0].exact == verdict.exact
    assert again.describe() == case.describe()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"setting": "quantum"}, "setting is 'quantum'"),
        ({"meta_policy": {"K": [[1]]}}, "an object with the keys K and Sigma"),
        ({"family": {"A": [[[1]]]}}, "key 'B' is missing"),
        ({"family": {"P": 1}}, "unknown key 'P'"),
    ],
)
def test_a_damaged_case_file_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    theorem = THEOREMS[0]
    case = theorem.witness()
    path = save_case(case, judge(theorem, case)[0], tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidFile, match=message):
        load_case(path)


def test_a_job_survives_the_way_to_another_process() -> None:
    (job, *_) = [job for job in jobs(THEOREMS, drawn(3), sparing=False) if len(job.cases) == 3]
    opened = pickle.loads(pickle.dumps(_message(job))).open()
    theorem = theorem_named("inexact_linear_quadratic")
    verdicts = [judge(theorem, cases[2]) for cases in (job.cases, opened)]
    assert [v.exact for v in verdicts[0]] == [v.exact for v in verdicts[1]]


def test_a_plan_draws_what_its_theorems_speak_about() -> None:
    plan = Plan(cases=3, draws=draws_of(THEOREMS), settings=settings_of(THEOREMS))
    cases = list(plan.generate())
    assert len(cases) == plan.count == 2 * 3
    assert {case.setting for case in cases} == {"linear-quadratic"}
    run = verify(THEOREMS, cases)
    assert run.exit_code == 0
    assert all(result.in_scope > 1 for result in run.results)
    named = Plan(("bandit",), 1, settings=settings_of(THEOREMS)).generate()
    assert {case.setting for case in named} == {"tabular"}


def test_the_search_says_that_it_does_not_range_there() -> None:
    with pytest.raises(InvalidTask, match="ranges over finite MDPs"):
        Search(THEOREMS[0])


# --- command line -----------------------------------------------------------------------------------


def test_verify_and_certificates(bomrl: Bomrl, tmp_path: Path) -> None:
    arguments = ("verify", "contraction_linear_quadratic", "no_adaptation", "--cases", "2", "--workers", "1", "--json")
    code, out, err = bomrl(*arguments, "--certificates", "run.jsonl")
    assert code == 0
    rows = {row["id"]: row for row in json.loads(out)["theorems"]}
    assert rows["contraction_linear_quadratic-v1"]["verdicts"]["HOLDS"] >= 2
    assert "run.jsonl: without" in err
    assert "cases that are sparse or no finite MDPs" in err
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert {line["data"]["id"] for line in lines if line["kind"] == "theorem"} == {"no_adaptation-v1"}


def test_show_names_the_setting(bomrl: Bomrl) -> None:
    code, out, _ = bomrl("show", "inexact_linear_quadratic", "--json")
    assert code == 0
    shown = json.loads(out)
    assert shown["setting"] == "linear-quadratic"
    assert shown["evidence"]["cases"] >= 1000
    assert set(shown["evidence"]["verdicts"]) == {"HOLDS"}
    assert shown["tightness"]["ratio"] > 0.9999


def test_a_broken_claim_is_saved_and_replayed(bomrl: Bomrl, tmp_path: Path) -> None:
    """A user's file with a tenth off: exit 1, a case file, and its replay says the same."""
    (tmp_path / "mine.py").write_text(
        "from fractions import Fraction\nfrom dataclasses import replace\n"
        "from bomrl_theory.theorems.contraction_linear_quadratic import THEOREM as T\n"
        "THEOREM = replace(T.scaled(Fraction(9, 10)), id='mine-v1', topic='yours')\n"
    )
    code, out, _ = bomrl("verify", "mine.py", "--cases", "1", "--workers", "1")
    assert code == 1
    assert "BROKEN" in out
    assert "meta-policy: K = [[0.0]]" in out
    (path,) = (tmp_path / "counterexamples").glob("*.json")
    assert bomrl("verify", "mine.py", "--replay", str(path))[0] == 1


def test_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The Python blocks of docs/linear_quadratic.md, in order: everything in them holds."""
    text = (Path(__file__).parents[1] / "docs" / "linear_quadratic.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.S):
        exec(block, names)
    assert capsys.readouterr().out.count("HOLDS") == 4
    assert np.all((names["found"].gap > 0) & (names["found"].gap < names["found"].gap_phi))
    assert names["verdict"].ratio > 0


# --- the experiment ---------------------------------------------------------------------------------

ROOT = Path(__file__).parents[1]


@pytest.fixture
def script() -> ModuleType:
    """experiments/linear_quadratic.py."""
    return experiment("linear_quadratic")


def test_experiment_writes_its_folder(script: ModuleType, tmp_path: Path) -> None:
    result = CliRunner().invoke(script.main, ["--families", "2", "--seed", "7", "-o", str(tmp_path)])
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    rows = list(csv.DictReader(gzip.decompress((tmp_path / "verdicts.csv.gz").read_bytes()).decode().splitlines()))
    assert set(summary["theorems"]) == {theorem.id for theorem in THEOREMS}
    assert len(rows) == sum(sum(x["verdicts"].values()) for x in summary["theorems"].values())
    assert "--families 2 --seed 7" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_published_results_are_about_the_registry_and_hold() -> None:
    """A thousand families, all certified; every smaller bound is caught; nobody's ratio is rounded up."""
    summary = json.loads((ROOT / "results" / "linear_quadratic" / "summary.json").read_text(encoding="utf-8"))
    assert set(summary["theorems"]) == {theorem.id for theorem in THEOREMS}
    for theorem in THEOREMS:
        row = summary["theorems"][theorem.id]
        assert row["families"] == 1000
        assert set(row["verdicts"]) == {"HOLDS"}
        assert row["certified"] == row["verdicts"]["HOLDS"]
        known = [theorem.witness(), *(make() for make in theorem.probes)]
        assert row["best_known"] == max(best_certified(theorem, case) or 0 for case in known)
        assert 0.99 < row["max_ratio"] <= row["best_known"] < 1
    assert all(row["violated_on"] for row in summary["mutations"])


def test_published_verdicts_are_decided_again(script: ModuleType) -> None:
    """The first families of the table, drawn and judged anew."""
    path = ROOT / "results" / "linear_quadratic" / "verdicts.csv.gz"
    recorded = csv.DictReader(gzip.decompress(path.read_bytes()).decode().splitlines())
    again = [
        dict(zip(script.COLUMNS, script.row(case, verdict), strict=True))
        for case in quadratic_cases(np.random.SeedSequence(0), 3)
        for theorem in THEOREMS
        if theorem.covers(case)
        for verdict in judge(theorem, case)
    ]
    assert len(again) > 10
    for row, now in zip(recorded, again, strict=False):
        assert (row["theorem"], row["family"], row["lambda"]) == (now["theorem"], now["family"], str(now["lambda"]))
        assert (row["task"], row["outcome"]) == (str(now["task"]), now["outcome"])
        for side in ("left", "bound"):
            assert float(row[side]) == pytest.approx(now[side], rel=1e-9)
