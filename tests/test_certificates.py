"""Certificates: every verdict survives an independent check, and no fault that is put in does."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import flint
import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from flint import arb, fmpq
from helpers import tabular

import bomrl_theory.verify.check as check_package
from bomrl_theory.errors import InvalidFile
from bomrl_theory.numbers import ENCLOSURES, Balls, Rationals
from bomrl_theory.tasks.catalogue import family_named
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.theorems import _template
from bomrl_theory.theorems.contraction_kl_prior import THEOREM as KL_PRIOR
from bomrl_theory.theory import expression
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, lam
from bomrl_theory.theory.expression import Largest, over_states
from bomrl_theory.theory.registry import registry
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import ADAPTING, Theorem
from bomrl_theory.verify.certificate import CertificateWriter, certificate, side, tree
from bomrl_theory.verify.check import CheckResult, check_file
from bomrl_theory.verify.check.arithmetic import ball, times, total
from bomrl_theory.verify.check.facts import Facts
from bomrl_theory.verify.check.records import Case as CheckedCase
from bomrl_theory.verify.check.records import Claim, Family
from bomrl_theory.verify.check.tree import evaluate
from bomrl_theory.verify.check.verdict import _recorded
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.run import verify
from bomrl_theory.verify.verdict import Outcome, Verdict, judge

Lines = list[dict[str, Any]]


def written(path: Path, theorems: list[Theorem], cases: Iterator[Case] | list[Case]) -> Path:
    """A run's certificates."""
    with CertificateWriter(path, seed=5) as writer:
        verify(theorems, cases, on_verdicts=writer.write)
    return path


def read(path: Path) -> Lines:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rewritten(path: Path, lines: Lines) -> CheckResult:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return check_file(path)


def reasons(result: CheckResult) -> str:
    return "\n".join(f"{finding.kind}: {finding.reason}" for finding in result.findings)


def rehash(lines: Lines) -> None:
    """Give altered data the hashes that a forger would give them."""
    for kind in ("theorem", "family", "case"):
        for line in lines:
            if line["kind"] != kind:
                continue
            text = json.dumps(line["data"], sort_keys=True, separators=(",", ":"))
            old, line["sha256"] = line["sha256"], hashlib.sha256(text.encode()).hexdigest()
            for other in lines:
                where = other["data"] if other["kind"] == "case" else other
                where |= {key: line["sha256"] for key in ("claim", "case", "family") if where.get(key) == old}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All theorems on their witnesses and on random cases."""
    path = tmp_path_factory.mktemp("certificates") / "random.jsonl"
    return written(path, tabular(), random_cases(np.random.SeedSequence(11), 8))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """One verdict of a bound with a free parameter, on a task with two states."""
    P = [[[[1, 2], [3, 1]], [[1, 1], [0, 1]]]]
    family = TaskFamily.new(P, [[[0, 1], [2, 0]]], Fraction(1, 2), [1, 3], row_weights=True)
    case = Case.new(family, [[1, 4], [3, 2]], "kl-prior", Fraction(1, 2))
    path = tmp_path / "small.jsonl"
    with CertificateWriter(path, seed=5) as writer:
        writer.write(KL_PRIOR, case, judge(KL_PRIOR, case))
    return path


def only(lines: Lines, kind: str) -> dict[str, Any]:
    (line,) = (line for line in lines if line["kind"] == kind)
    return line


# --- what was decided is confirmed ---------------------------------------------------------------


def test_every_verdict_of_a_run_is_confirmed(everything: Path) -> None:
    """Witnesses and random cases: all theorems, all outcomes, no disagreement and nothing left open."""
    result = check_file(everything)
    assert not result.findings, reasons(result)
    assert result.exit_code == 0
    assert set(result.counts) == {theorem.id for theorem in tabular()}
    outcomes = {line["outcome"] for line in read(everything) if line["kind"] == "verdict"}
    assert outcomes == {"HOLDS", "VIOLATED", "OUT_OF_SCOPE"}
    grades = {line["grade"] for line in read(everything) if line["kind"] == "verdict"}
    assert grades == {"informative", "uninformative", "trivial", None}


def test_there_is_one_line_a_verdict_with_all_that_the_format_promises(everything: Path) -> None:
    lines = read(everything)
    verdicts = [line for line in lines if line["kind"] == "verdict"]
    assert {line["schema"] for line in lines} == {"bomrl-certificate-1"}
    bits = {(line["tier"], line["precision"]) for line in verdicts if line["outcome"] != "OUT_OF_SCOPE"}
    assert bits >= {(0, 53), (3, 256)}
    assert bits <= {(0, 53), (2, 128), (2, 1024), (3, 256), (3, 4096)}
    for line in verdicts:
        assert line["seed"] == 5
        assert line["certified"] is True
        assert set(line["versions"]) == {"bomrl_theory", "python-flint", "numpy", "python"}
    shared = [line["sha256"] for line in lines if line["kind"] != "verdict"]
    assert len(shared) == len(set(shared))


@pytest.mark.parametrize("variance", ["high", "low"])
def test_frozen_lake_is_confirmed(variance: str, tmp_path: Path) -> None:
    """Ties between moves, absorbing states, and an adaptation of several steps."""
    family = family_named(f"frozen-lake-{variance}:tasks=2", np.random.default_rng(3))
    phi = np.full((family.states, family.actions), 0.25)
    cases = [Case.new(family, phi, algorithm, Fraction(1, 10)) for algorithm in ("none", *ADAPTING)]
    cases.append(Case.new(family, phi, "kl-posterior", Fraction(1, 10), steps=3))
    result = check_file(written(tmp_path / "lake.jsonl", tabular(), cases))
    assert not result.findings, reasons(result)


def test_large_tasks_are_checked_in_balls(tmp_path: Path) -> None:
    """Beyond EXACT_STATES the linear systems are solved in balls; tied optimal actions are still proved."""
    family = family_named("frozen-lake-high:size=9,tasks=1,slip=0.1", np.random.default_rng(1))
    case = Case.new(family, np.full((81, 4), 0.25), "kl-posterior", 1)
    theorem = registry()["contraction_kl_posterior-v1"]
    result = check_file(written(tmp_path / "large.jsonl", [theorem], [case]))
    assert not result.findings, reasons(result)


def test_every_registered_quantity_has_an_independent_definition(everything: Path) -> None:
    for line in read(everything):
        if line["kind"] == "theorem":
            assert Claim.read(line["data"]).unknown == [], line["data"]["id"]


def test_a_single_certificate_is_the_line_in_the_file(tmp_path: Path) -> None:
    case = KL_PRIOR.witness()
    (verdict,) = judge(KL_PRIOR, case)
    line = only(read(written(tmp_path / "witness.jsonl", [KL_PRIOR], [])), "verdict")
    assert certificate(KL_PRIOR, case, verdict, seed=5) == line


def test_out_of_scope_by_algorithm_is_confirmed(tmp_path: Path) -> None:
    case = replace(KL_PRIOR.witness(), steps=2)
    path = tmp_path / "scope.jsonl"
    with CertificateWriter(path, seed=0) as writer:
        verdicts = judge(KL_PRIOR, case)
        writer.write(KL_PRIOR, case, verdicts)
    assert verdicts[0].outcome is Outcome.OUT_OF_SCOPE
    assert check_file(path).exit_code == 0


# --- faults are found ----------------------------------------------------------------------------


def checked_facts(lines: Lines, verdict: dict[str, Any]) -> tuple[Claim, CheckedCase, Facts]:
    """A verdict's claim and case as the independent path sees them."""
    by_hash = {line["sha256"]: line["data"] for line in lines if line["kind"] != "verdict"}
    case = by_hash[verdict["case"]]
    checked = CheckedCase.read(case, Family.read(by_hash[case["family"]]), verdict["case"])
    rows = verdict["chosen"].items()
    exact = {name: values if verdict["task"] is None else [values] for name, values in rows}
    first = verdict["task"] or 0
    chosen = {
        name: {first + i: [fmpq(*x.as_integer_ratio()) for x in row] for i, row in enumerate(values)}
        for name, values in exact.items()
    }
    return Claim.read(by_hash[verdict["claim"]]), checked, checked.facts(chosen, exact=True)


@pytest.mark.parametrize("name", ["left", "bound"])
@pytest.mark.parametrize("direction", [-1, 1])
def test_an_enclosure_half_its_radius_past_the_truth_is_objected_to(
    everything: Path, tmp_path: Path, name: str, direction: int
) -> None:
    """The fault injection: the ball's edge misses the true value by half a radius, and every one is noticed."""
    lines = read(everything)
    moved = []
    with flint.ctx.workprec(600):
        for line in lines:
            if line["kind"] != "verdict" or line[name] is None or line["theorem"] == "performance_difference-v1":
                continue
            if len(moved) == 80:
                break
            claim, _, facts = checked_facts(lines, line)
            truth = ball(evaluate(claim.left if name == "left" else claim.bound, facts, line["task"]))[0]
            _, rad = _recorded(line[name], name)
            rad = rad or fmpq(1, 2**200)
            wrong = truth + direction * fmpq(3, 2) * rad
            exact = {"mid": _dyadic(wrong, rad), "rad": _dyadic(rad, rad)}
            moved.append(line | {name: exact})
    assert len({line["tier"] for line in moved}) > 1
    shared = [line for line in lines if line["kind"] != "verdict"]
    result = rewritten(tmp_path / "moved.jsonl", shared + moved)
    assert result.count("disagreement") == len(moved) == 80
    assert "outside the recorded" in reasons(result)


def _dyadic(x: fmpq, rad: fmpq) -> str:
    """``x`` to within a thousandth of ``rad``, as the format writes it."""
    exponent = 0
    while fmpq(1, 2**exponent) * 1000 > rad:
        exponent += 1
    return f"{(x * 2**exponent).floor()}*2^{-exponent}"


FLIPS = {
    "HOLDS": ("VIOLATED", "OUT_OF_SCOPE"),
    "VIOLATED": ("HOLDS", "OUT_OF_SCOPE"),
    "OUT_OF_SCOPE": ("HOLDS", "VIOLATED"),
}


def test_every_flipped_outcome_is_objected_to(everything: Path, tmp_path: Path) -> None:
    lines = read(everything)
    shared = [line for line in lines if line["kind"] != "verdict"]
    verdicts = [line for line in lines if line["kind"] == "verdict"][::7]
    flipped = [line | {"outcome": other} for line in verdicts for other in FLIPS[line["outcome"]]]
    result = rewritten(tmp_path / "flipped.jsonl", shared + flipped)
    assert result.count("disagreement") == len(flipped)
    assert result.exit_code == 1


TIES = {
    ("trivial", "uninformative"): "largest gap",
    ("uninformative", "trivial"): "largest gap",
    ("informative", "uninformative"): "gap_phi",
    ("uninformative", "informative"): "gap_phi",
}
"""Recorded grade, another grade, and what the bound must tie with, as far as the recorded sides can tell, for the
other grade to be right as well: what they cannot tell counts against the bound, and more digits may tell."""


def test_every_wrong_grade_is_objected_to(everything: Path, tmp_path: Path) -> None:
    """Any grade but the recorded one; where another is accepted, the bound ties with what parts the two grades."""
    lines = read(everything)
    shared = [line for line in lines if line["kind"] != "verdict"]
    graded = [line for line in lines if line["kind"] == "verdict" and line["grade"]][::7]
    also_right = [also_right_grades(lines, line) for line in graded]
    others = [
        (line | {"grade": grade}, grade in right)
        for line, right in zip(graded, also_right, strict=True)
        for grade in ("informative", "uninformative", "trivial")
        if grade != line["grade"]
    ]
    result = rewritten(tmp_path / "grades.jsonl", shared + [line for line, _ in others])
    objected = {finding.line for finding in result.findings if finding.kind == "disagreement"}
    accepted = [number not in objected for number in range(len(shared) + 1, len(shared) + len(others) + 1)]
    assert accepted == [right for _, right in others]
    assert result.count("disagreement") + result.count("confirmed") == len(others)
    assert 0 < sum(accepted) < 0.1 * len(others)


def also_right_grades(lines: Lines, verdict: dict[str, Any]) -> set[str]:
    """Grades besides the recorded one that are right, each because of a tie in :data:`TIES`."""
    claim, _, facts = checked_facts(lines, verdict)
    task, weights = verdict["task"], facts.case.weights
    right = set()
    with flint.ctx.workprec(600):
        bound = evaluate(claim.bound, facts, task)
        doubt = 4 * sum((_recorded(verdict[name], name)[1] for name in ("left", "bound")), fmpq(0))
        for (recorded, other), name in TIES.items():
            if verdict["grade"] != recorded:
                continue
            each = [facts.value(name, tau, None) for tau in range(len(weights))]
            reference = each[task] if task is not None else total(map(times, weights, each))
            excess = ball(bound - reference)[0]
            true = {"uninformative": True, "informative": excess < 0, "trivial": excess >= 0}[other]
            if true and abs(excess) <= doubt:
                right.add(other)
    return right


def test_no_grade_and_an_unknown_grade_are_malformed(everything: Path, tmp_path: Path) -> None:
    lines = read(everything)
    shared = [line for line in lines if line["kind"] != "verdict"]
    graded = [line for line in lines if line["kind"] == "verdict" and line["grade"]][::40]
    malformed = [line | {"grade": grade} for line in graded for grade in (None, "excellent")]
    result = rewritten(tmp_path / "malformed.jsonl", shared + malformed)
    assert result.count("unreadable") == len(malformed)


def alter_family(key: str, *place: int, to: Any) -> Callable[[Lines], None]:
    def change(lines: Lines) -> None:
        target = only(lines, "family")["data"][key]
        for index in place[:-1]:
            target = target[index]
        target[place[-1]] = to

    return change


def _drop_last_term(lines: Lines) -> None:
    data = only(lines, "theorem")["data"]
    assert data["bound"][0] == "+"
    data["bound"].remove(max(data["bound"], key=lambda term: len(str(term))))


FAULTS: dict[str, tuple[Callable[[Lines], Any], str]] = {
    "a transition": (alter_family("P", 0, 0, 0, to=[[0, 1.0], [1, 2.1]]), "outside the recorded"),
    "a reward": (alter_family("r", 0, 1, 0, to=2.0000000001), "outside the recorded"),
    "a start": (alter_family("rho", 0, to=[1.0, 3.0000000001]), "outside the recorded"),
    "an optimal action": (alter_family("optimal_actions", 0, 1, to=1), "is better"),
    "a negative weight": (alter_family("P", 0, 0, 0, to=[[0, -1.0], [1, 2.0]]), "negative weight"),
    "lambda": (
        lambda lines: only(lines, "case")["data"].update({"lambda": "5000000001/10000000000"}),
        "outside the recorded",
    ),
    "the sign of lambda": (lambda lines: only(lines, "case")["data"].update({"lambda": "-1"}), "not positive"),
    "gamma": (
        lambda lines: only(lines, "family")["data"].update(gamma="5000000001/10000000000"),
        "outside the recorded",
    ),
    "gamma = 1": (lambda lines: only(lines, "family")["data"].update(gamma="1"), "outside [0, 1)"),
    "the meta-policy": (
        lambda lines: only(lines, "case")["data"].update(meta_policy=[[1.0, 4.0], [3.0, 2.0000001]]),
        "outside the recorded",
    ),
    "lost support": (
        lambda lines: only(lines, "case")["data"].update(meta_policy=[[1.0, 1.0], [1.0, 0.0]]),
        "lacks full support",
    ),
    "the adapted policy": (
        lambda lines: only(lines, "case")["data"].update(policies=[[[[1.0, 9.0], [5.0, 1.0]]]]),
        "outside the recorded",
    ),
    "the algorithm": (lambda lines: only(lines, "case")["data"].update(algorithm="euclidean"), "does not speak about"),
    "eps": (lambda lines: only(lines, "verdict")["chosen"]["eps"].__setitem__(1, 0.25), "outside the recorded"),
    "eps = 0": (lambda lines: only(lines, "verdict")["chosen"]["eps"].__setitem__(1, 0.0), "outside (0, 1]"),
    "eps > 1": (lambda lines: only(lines, "verdict")["chosen"]["eps"].__setitem__(1, 1.5), "outside (0, 1]"),
    "a dropped term": (_drop_last_term, "outside the recorded"),
    "another theorem": (lambda lines: only(lines, "theorem")["data"].update(id="other-v1"), "its claim is other-v1's"),
    "a wide radius": (
        lambda lines: only(lines, "verdict").update(bound={"mid": "0x0.0p+0", "rad": "0x1.0p+40"}),
        "do not prove HOLDS",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_forged_file_is_objected_to(fault: str, small: Path) -> None:
    """Data are altered and their hashes recomputed, so only the arithmetic can tell."""
    alter, said = FAULTS[fault]
    lines = read(small)
    assert rewritten(small, lines).exit_code == 0
    alter(lines)
    rehash(lines)
    result = rewritten(small, lines)
    assert result.exit_code == 1
    assert said in reasons(result)


def test_altered_data_with_their_old_hash_are_objected_to(small: Path) -> None:
    lines = read(small)
    alter_family("r", 0, 1, 0, to=3.0)(lines)
    assert "family's data do not match their hash" in reasons(rewritten(small, lines))


def test_a_comparator_at_an_unvisited_state_is_objected_to(tmp_path: Path) -> None:
    """There Alg^(3) stays at phi and nothing is charged for t, so t > 0 would make the bound too small."""
    P = [[[[1, 0], [1, 0]], [[0, 1], [0, 1]]]]
    family = TaskFamily.new(P, [[[1, 0], [1, 0]]], Fraction(1, 2), [1, 0])
    case = Case.new(family, [[1, 1], [1, 1]], "euclidean", 1)
    path = tmp_path / "unvisited.jsonl"
    theorem = registry()["contraction_euclidean-v1"]
    with CertificateWriter(path, seed=0) as writer:
        writer.write(theorem, case, judge(theorem, case))
    lines = read(path)
    assert rewritten(path, lines).exit_code == 0
    only(lines, "verdict")["chosen"]["t"][1] = 1.0
    assert "not admissible at an unvisited state" in reasons(rewritten(path, lines))


# --- files that are not what they should be ------------------------------------------------------


def test_a_truncated_last_line_is_told_and_the_rest_is_checked(small: Path) -> None:
    """What a killed run leaves."""
    text = small.read_text()
    second = text.splitlines()[-1]
    small.write_text(text + second[: len(second) // 2])
    result = check_file(small)
    assert (result.count("confirmed"), result.count("unreadable"), result.exit_code) == (1, 1, 3)
    assert "truncated" in reasons(result)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no JSON at all", "not JSON"),
        ('{"schema": "bomrl-certificate-1", "kind": "verdict", "task": NaN}', "not JSON"),
        ('{"schema": "bomrl-case-1"}', "schema 'bomrl-case-1', not bomrl-certificate-1"),
        ("[1, 2]", "schema 'None'"),
        ('{"schema": "bomrl-certificate-1", "kind": "poem"}', "kind 'poem' is none of"),
        ('{"schema": "bomrl-certificate-1", "kind": "verdict"}', "names no theorem"),
        ('{"schema": "bomrl-certificate-1", "kind": "case"}', "without its hash"),
        ('{"schema": "bomrl-certificate-1", "kind": "case", "sha256": "00"}', "without data"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_foreign_line_is_told(line: str, said: str, small: Path) -> None:
    small.write_text(line + "\n" + small.read_text())
    result = check_file(small)
    assert result.count("confirmed") == 1
    assert result.exit_code == 3
    assert [finding.line for finding in result.findings] == [1]
    assert said in reasons(result)


@pytest.mark.parametrize("kind", ["theorem", "family", "case"])
def test_a_missing_line_is_told(kind: str, small: Path) -> None:
    result = rewritten(small, [line for line in read(small) if line["kind"] != kind])
    assert f"no {kind} line with the hash" in reasons(result)
    assert result.exit_code == 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("task", 7),
        ("task", None),
        ("task", True),
        ("precision", "many"),
        ("precision", 10**9),
        ("outcome", "MAYBE"),
        ("grade", "splendid"),
        ("chosen", {"eps": [1.0]}),
        ("chosen", {"eps": [1.0, "1"]}),
        ("chosen", []),
        ("bound", None),
        ("bound", {"rational": "1/0"}),
        ("bound", {"rational": "1e9"}),
        ("bound", {"mid": "nan", "rad": "0x0.0p+0"}),
        ("bound", {"mid": "0x1.0p+1", "rad": "-0x1.0p+1"}),
        ("bound", {"mid": "1*2^99999999999", "rad": "0*2^0"}),
    ],
)
def test_a_malformed_verdict_is_told(key: str, value: Any, small: Path) -> None:
    lines = read(small)
    only(lines, "verdict")[key] = value
    result = rewritten(small, lines)
    assert (result.count("unreadable"), result.exit_code) == (1, 3), reasons(result)


@pytest.mark.parametrize(
    "bound",
    [["q"], ["+"], ["^", ["q", "gamma"], 0.5], ["^", ["q", "gamma"], 10**9], ["sum", "a", ["q", "gamma"]], "gamma", 3],
)
def test_an_expression_outside_the_language_is_told(bound: Any, small: Path) -> None:
    lines = read(small)
    only(lines, "theorem")["data"]["bound"] = bound
    rehash(lines)
    result = rewritten(small, lines)
    assert "is not in the language of bounds" in reasons(result)
    assert result.exit_code == 3


def test_an_empty_file_confirms_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    assert check_file(tmp_path / "empty.jsonl").exit_code == 3


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="cannot read"):
        check_file(tmp_path / "none.jsonl")


def test_an_existing_file_is_not_overwritten(small: Path) -> None:
    before = small.read_bytes()
    with pytest.raises(InvalidFile, match="exists already"):
        CertificateWriter(small, seed=0)
    assert small.read_bytes() == before


def test_lines_are_whole_while_the_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "running.jsonl"
    case = KL_PRIOR.witness()
    with CertificateWriter(path, seed=0) as writer:
        writer.write(KL_PRIOR, case, judge(KL_PRIOR, case))
        assert check_file(path).exit_code == 0


# --- what cannot be checked is told --------------------------------------------------------------


def test_a_user_quantity_is_unchecked_and_named(tmp_path: Path) -> None:
    mine = replace(_template.R, meaning="a quantity of one's own")
    constants = tuple(mine if constant is _template.R else constant for constant in _template.THEOREM.constants)
    theorem = replace(_template.THEOREM, constants=constants)
    result = check_file(written(tmp_path / "own.jsonl", [theorem], []))
    assert result.counts["reward_range-v1"] == {"unchecked": 1}
    assert "no independent definition of R" in reasons(result)
    assert result.exit_code == 3


def test_a_known_name_with_another_meaning_is_unchecked(small: Path) -> None:
    lines = read(small)
    only(lines, "theorem")["data"]["quantities"]["a"] = "something else"
    rehash(lines)
    assert "no independent definition of a" in reasons(rewritten(small, lines))


def test_a_case_that_is_too_large_is_only_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bomrl_theory.verify.certificate.MAXIMUM_NUMBERS", 10)
    result = check_file(written(tmp_path / "hashed.jsonl", [KL_PRIOR], []))
    assert "numbers is only hashed" in reasons(result)
    assert (result.count("unchecked"), result.exit_code) == (1, 3)


@pytest.mark.parametrize(
    ("outcome", "certified", "status"), [(Outcome.HOLDS, False, "unchecked"), (Outcome.UNDECIDED, True, "undecided")]
)
def test_what_claims_nothing_is_not_confirmed(outcome: Outcome, certified: bool, status: str, tmp_path: Path) -> None:
    case = KL_PRIOR.witness()
    (verdict,) = judge(KL_PRIOR, case)
    path = tmp_path / "open.jsonl"
    with CertificateWriter(path, seed=0) as writer:
        writer.write(KL_PRIOR, case, [replace(verdict, outcome=outcome, certified=certified)])
    result = check_file(path)
    assert (result.count(status), result.exit_code) == (1, 3)


# --- the command line ----------------------------------------------------------------------------


def bomrl(*arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bomrl_theory", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_commands_write_and_check(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    arguments = ("verify", "coverage", "--family", "two.json", "--certificates", path)
    (tmp_path / "two.json").write_text(json.dumps(TWO))
    arguments = tuple(str(tmp_path / x) if x == "two.json" else x for x in arguments)
    assert bomrl(*arguments).returncode == 0
    again = bomrl(*arguments)
    assert (again.returncode, "exists already" in again.stderr) == (2, True)
    checked = bomrl("check", path)
    assert checked.returncode == 0, checked.stdout
    assert "verdicts confirmed independently, 0 disagreements" in checked.stdout

    lines = read(path)
    verdict = next(line for line in lines if line["kind"] == "verdict")
    verdict["outcome"] = "VIOLATED"
    rewritten(path, lines)
    checked = bomrl("check", path)
    assert checked.returncode == 1
    assert "DISAGREEMENT coverage-v1 on task 0: VIOLATED is wrong" in checked.stdout
    answer = bomrl("check", path, "--json")
    told = json.loads(answer.stdout)
    assert (answer.returncode, told["disagreement"], told["exit_code"]) == (1, 1, 1)
    assert told["findings"][0]["theorem"] == "coverage-v1"

    missing = bomrl("check", tmp_path / "none.jsonl")
    assert (missing.returncode, "cannot read" in missing.stderr) == (2, True)


TWO = {
    "P": [[[[1, 2], [3, 1]], [[1, 1], [0, 1]]]],
    "r": [[[0, 1], [2, 0]]],
    "gamma": "1/2",
    "rho": [[1, 3]],
    "rows": "weights",
}


# --- independence --------------------------------------------------------------------------------

SOURCES = sorted(Path(check_package.__file__).parent.glob("*.py"))
ALLOWED = {"bomrl_theory.errors", "flint", "flint.utils.flint_exceptions"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_check_imports_nothing_of_the_fast_path(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            modules = [str(node.module)]
        else:
            continue
        for module in modules:
            own = module.startswith(check_package.__name__)
            assert own or module in ALLOWED or module.split(".")[0] in sys.stdlib_module_names, module


def test_the_check_loads_nothing_of_the_fast_path() -> None:
    program = "import sys, bomrl_theory.verify.check; print(*sorted(m for m in sys.modules if m.startswith('bomrl')))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    own = check_package.__name__
    expected = {"bomrl_theory", "bomrl_theory.errors", "bomrl_theory.verify"}
    assert {module for module in loaded if not module.startswith(own)} == expected


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("numbers", [ENCLOSURES, Balls(128), Balls(1024), Rationals(256)], ids=lambda x: x.name)
def test_sides_are_written_without_rounding(numbers: Any) -> None:
    """The written ball is the one that was known: it holds the number and its radius is not lost."""
    with numbers.activated():
        third = numbers.full((1,), numbers.constant(Fraction(1, 3)))
        values = [third[0], numbers.log(third)[0]]
        sides = [side(value) for value in values]
    for value, found in zip(values, sides, strict=True):
        mid, rad = _recorded(found, "left")
        if isinstance(value, arb):
            assert ball(value) == (mid, rad)
        elif isinstance(value, fmpq):
            assert (value, fmpq(0)) == (mid, rad)
        else:
            assert (mid, rad) == tuple(fmpq(*float(x).as_integer_ratio()) for x in (value.mid, value.rad))


def test_what_is_not_finite_is_written_as_nothing() -> None:
    assert side(arb("nan")) is None
    assert side(arb(1) / arb(0)) is None
    with ENCLOSURES.activated():
        assert side(ENCLOSURES.log(ENCLOSURES.full((), 0.0))) is None
    assert side(float("inf")) is None
    assert side(0.5) == {"double": "0x1.0000000000000p-1"}


def test_trees_know_the_whole_language() -> None:
    x, y = gamma.symbol, lam.symbol
    assert tree(sp.sqrt(x) + 1 / sp.sqrt(y)) in (
        ["+", ["sqrt", ["q", "gamma"]], ["^", ["sqrt", ["q", "lambda"]], -1]],
        ["+", ["^", ["sqrt", ["q", "lambda"]], -1], ["sqrt", ["q", "gamma"]]],
    )
    assert tree(sp.exp(x)) == ["exp", ["q", "gamma"]]
    assert tree(sp.Rational(-1, 3)) == ["rational", "-1/3"]
    assert tree(sp.Abs(sp.Symbol("z", real=True))) == ["abs", ["q", "z"]]
    assert tree(Largest(x, expression.s)) == ["largest", "s", ["q", "gamma"]]
    assert tree(over_states(x)) == ["sum", "s", ["q", "gamma"]]
    assert tree(7) == ["rational", "7"]
    with pytest.raises(sp.SympifyError):
        tree("7 +")


class WithMpmath:
    """Quantities once more, in 60-digit mpmath, straight from a fast-path case: shares no code with either path."""

    def __init__(self, case: Case, task: int):
        family, chosen = case.family, [[mp.mpf(float(x)) for x in row] for row in case.phi]
        self.states, self.actions = range(family.states), range(family.actions)
        self.gamma = mp.mpf(family.gamma.numerator) / family.gamma.denominator
        self.lam = mp.mpf(case.lam.numerator) / case.lam.denominator
        self.P = [[self.shares(row) for row in rows] for rows in family.P[task].tolist()]
        self.r = family.r[task].tolist()
        self.rho = self.shares(family.rho[task].tolist())
        self.best = case.solved.optimum.actions[task].tolist()
        self.phi = [self.shares(row) for row in chosen]
        self.plus = [self.shares(row) for row in case.adaptation.policies[-1][task].tolist()]
        self.star = [[mp.mpf(a == self.best[s]) for a in self.actions] for s in self.states]
        self.V = {name: self.value(getattr(self, name)) for name in ("phi", "plus", "star")}
        self.Q = [
            [self.r[s][a] + self.gamma * mp.fdot(self.P[s][a], self.V["phi"]) for a in self.actions]
            for s in self.states
        ]

    @staticmethod
    def shares(row: list[Any]) -> list[Any]:
        exact = [mp.mpf(x) for x in row]
        return [x / mp.fsum(exact) for x in exact]

    def system(self, pi: Any) -> Any:
        n = len(self.states)
        return mp.matrix(n, n) + mp.matrix(
            [
                [(i == j) - self.gamma * mp.fsum(pi[i][a] * self.P[i][a][j] for a in self.actions) for j in self.states]
                for i in self.states
            ]
        )

    def value(self, pi: Any) -> Any:
        return list(mp.lu_solve(self.system(pi), mp.matrix([mp.fdot(pi[s], self.r[s]) for s in self.states])))

    def visitation(self, pi: Any) -> Any:
        return list(mp.lu_solve(self.system(pi).T, (1 - self.gamma) * mp.matrix(self.rho)))

    def objective(self, s: int) -> Any:
        plus, phi = self.plus[s], self.phi[s]
        return mp.fdot(plus, self.Q[s]) - self.lam * mp.fsum(plus[a] * mp.log(plus[a] / phi[a]) for a in self.actions)

    def gap(self) -> Any:
        return mp.fdot(self.rho, [x - y for x, y in zip(self.V["star"], self.V["plus"], strict=True)])

    def contraction(self) -> Any:
        """The bound of contraction_kl_posterior."""
        missing = [x - y for x, y in zip(self.V["star"], self.V["phi"], strict=True)]
        total, etas = mp.mpf(0), []
        for s in self.states:
            error = -self.lam * mp.log(self.phi[s][self.best[s]])
            reached = self.objective(s)
            etas.append(max(mp.mpf(0), self.V["phi"][s] - reached, self.Q[s][self.best[s]] - error - reached))
            total += self.rho[s] * (self.gamma * mp.fdot(self.P[s][self.best[s]], missing) + error + etas[-1])
        return total + self.gamma / (1 - self.gamma) * max(etas)

    def coverage(self) -> Any:
        """The bound of coverage."""
        star, plus = self.visitation(self.star), self.visitation(self.plus)
        C = max(star[s] / plus[s] for s in self.states if star[s] > mp.mpf(10) ** -40)
        unadapted = mp.fdot(self.rho, [x - y for x, y in zip(self.V["star"], self.V["phi"], strict=True)])
        bracket, missed = mp.mpf(0), mp.mpf(0)
        for s in self.states:
            gain = self.Q[s][self.best[s]] - mp.fdot(self.plus[s], self.Q[s])
            soft = self.lam * mp.log(mp.fsum(self.phi[s][a] * mp.exp(self.Q[s][a] / self.lam) for a in self.actions))
            bracket += star[s] * gain / self.lam
            missed += (plus[s] - star[s] / C) * max(mp.mpf(0), soft - self.objective(s))
        return (1 - 1 / C) * unadapted + self.lam / (C * (1 - self.gamma)) * bracket + missed / (1 - self.gamma)


@pytest.mark.parametrize("theorem", ["contraction_kl_posterior-v1", "coverage-v1"])
def test_both_sides_agree_with_mpmath(theorem: str, tmp_path: Path) -> None:
    """A third computation: the recorded enclosures and the independent path against 60 decimal digits."""
    cases = [case for case in random_cases(np.random.SeedSequence(2), 25) if case.algorithm.name == "kl-posterior"]
    compared = 0
    for index, case in enumerate(cases):
        if case.lam < Fraction(1, 100) or case.family.gamma > Fraction(99, 100):
            continue  # pi+ down to 1e-271: 60 digits are too few
        verdicts: list[Verdict] = judge(registry()[theorem], case)
        path = tmp_path / f"{index}.jsonl"
        with CertificateWriter(path, seed=0) as writer:
            writer.write(registry()[theorem], case, verdicts)
        lines = read(path)
        for line in (line for line in lines if line["kind"] == "verdict"):
            with mp.workdps(60):
                other = WithMpmath(case, line["task"])
                third = (other.gap(), other.contraction() if theorem.startswith("contraction") else other.coverage())
                claim, _, facts = checked_facts(lines, line)
                with flint.ctx.workprec(256):
                    own = [ball(evaluate(tree, facts, line["task"]))[0] for tree in (claim.left, claim.bound)]
                for value, exact, name in zip(third, own, ("left", "bound"), strict=True):
                    mine = mp.mpf(int(exact.p)) / int(exact.q)
                    assert abs(value - mine) <= mp.mpf(10) ** -40 * (1 + abs(mine))
                    mid, rad = (mp.mpf(int(x.p)) / int(x.q) for x in _recorded(line[name], name))
                    assert abs(value - mid) <= rad + mp.mpf(10) ** -40 * (1 + abs(mine))
            compared += 1
    assert compared >= 25


def test_a_sum_over_states_counts_every_state() -> None:
    """Also one of something that does not depend on the state."""
    case = two_arms()
    family = Family.read(
        {
            "P": [[[[[0, 1.0]], [[0, 1.0]]], [[[1, 1.0]], [[1, 1.0]]]]],
            "r": [[[1.0, 0.0], [1.0, 0.0]]],
            "gamma": str(case.gamma),
            "rho": [[1.0, 0.0]],
            "weights": [1.0],
            "optimal_actions": [[0, 0]],
        }
    )
    data = {
        "algorithm": "none",
        "lambda": "1",
        "steps": 0,
        "meta_policy": [[1.0, 1.0], [1.0, 1.0]],
        "policies": [],
    }
    facts = CheckedCase.read(data, family, "").facts({}, exact=True)
    assert evaluate(["sum", "s", ["q", "gamma"]], facts) == 1
    assert evaluate(["largest", "tau", ["sum", "s", ["q", "rho"]]], facts) == 1
