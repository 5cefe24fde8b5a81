"""The mutation check: a smaller constant in any proved bound is noticed, or is listed with the reason why not.

What is noticed, and on which case, was found by experiments/mutations.py and is decided anew here. A new
theorem needs its entry: the failure says which command makes it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp

from bomrl_theory.numbers import FLOATS
from bomrl_theory.theory.case import AnyCase
from bomrl_theory.theory.constants import values
from bomrl_theory.theory.expression import evaluate
from bomrl_theory.theory.registry import registry
from bomrl_theory.theory.terms import terms
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.theory.views import view
from bomrl_theory.verify.casefile import case_from_mapping
from bomrl_theory.verify.mutation import JUST_BELOW, Site, best_ratio, examine, is_violated, sites
from bomrl_theory.verify.quadratic_cases import quadratic_cases
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.verdict import Views

FOLDER = Path(__file__).parents[1] / "results" / "mutations"
RECORDED: dict[str, Any] = json.loads((FOLDER / "mutations.json").read_text(encoding="utf-8"))["theorems"]
PROVED = [pytest.param(t, id=t.id) for t in registry().values() if t.status == "proved" and t.relation == "<="]
every_bound = pytest.mark.parametrize("theorem", PROVED)


def entry(theorem: Theorem) -> dict[str, Any]:
    remedy = f"run: python experiments/mutations.py --theorem {theorem.name}"
    assert theorem.id in RECORDED, f"no mutation of {theorem.id} was ever tried; {remedy}"
    recorded = RECORDED[theorem.id]
    # SymPy orders the arguments of a minimum differently from process to process.
    assert sorted(row["site"] for row in recorded["sites"]) == sorted(site.key for site in sites(theorem)), (
        f"the bound has changed since its mutations were tried; {remedy}"
    )
    return recorded


def place(theorem: Theorem, recorded: dict[str, Any], where: str) -> AnyCase:
    """The witness, a probe, or a case of the record."""
    kind, _, number = where.partition(" ")
    if kind == "witness":
        return theorem.witness()
    if kind == "probe":
        return theorem.probes[int(number)]()
    return case_from_mapping(recorded["cases"][int(number)], name="recorded")


@every_bound
def test_recorded_mutations_are_noticed_today(theorem: Theorem) -> None:
    """Caught just below the best ratio, weak ones at their own factor: each a certified violation."""
    recorded = entry(theorem)
    known = [theorem.witness(), *(probe() for probe in theorem.probes)]
    ratio = Fraction(best_ratio(theorem, known))
    assert float(ratio) == pytest.approx(recorded["best_ratio"], rel=1e-9)
    by_key = {site.key: site for site in sites(theorem)}
    places: dict[str, tuple[AnyCase, Views]] = {}
    for row in recorded["sites"]:
        if row["outcome"] == "unnoticed":
            continue
        factor = Fraction(row["factor"])
        mildness = min(factor, 1 / factor) if factor else factor
        mutant = by_key[row["site"]].scaled(theorem, factor)
        if row["where"] not in places:
            places[row["where"]] = place(theorem, recorded, row["where"]), {}
        assert is_violated(mutant, *places[row["where"]]), row
        assert (row["outcome"] == "caught") == (mildness >= min(ratio, 1) * JUST_BELOW * (1 - Fraction(1, 10**9)))
    assert recorded["sites"][0]["site"].startswith("bound: ")
    assert recorded["sites"][0]["outcome"] == "caught"


@every_bound
def test_what_is_not_caught_is_listed_with_its_reason(theorem: Theorem) -> None:
    """And is indeed not noticed where the bound is tightest."""
    recorded = entry(theorem)
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    known = [theorem.witness(), *(probe() for probe in theorem.probes)]
    fine = min(Fraction(best_ratio(theorem, known)), Fraction(1)) * JUST_BELOW
    by_key = {site.key: site for site in sites(theorem)}
    views: list[Views] = [{} for _ in known]
    for row in recorded["sites"]:
        if row["outcome"] == "caught":
            continue
        assert row["reason"]
        assert f"| `{theorem.id}` | `{row['text'].replace('|', chr(92) + '|')}` | {row['outcome']} |" in text
        for factor in (fine, 1 / fine):
            mutant = by_key[row["site"]].scaled(theorem, factor)
            assert not any(is_violated(mutant, *pair) for pair in zip(known, views, strict=True)), row


@every_bound
def test_terms_sum_to_the_bound(theorem: Theorem) -> None:
    """Taking a bound apart loses nothing and doubles nothing: compared in floats on the witness and random cases."""
    bound = sp.sympify(theorem.bound)
    seeds = np.random.SeedSequence(2)
    drawn = [case for case in (*random_cases(seeds, 4), *quadratic_cases(seeds, 2)) if theorem.covers(case)][:2]
    for case in (theorem.witness(), *drawn):
        with FLOATS.activated():
            measured = values(theorem.constants, view(case, FLOATS))
            sizes = (case.family.tasks, case.family.states)
            apart = [evaluate(term, measured, FLOATS, sizes) for term in terms(bound)]
            whole = evaluate(bound, measured, FLOATS, sizes)
        np.testing.assert_allclose(sum(apart), whole, rtol=1e-9, atol=1e-9 * max(np.abs(x).max() for x in apart))


def test_a_loose_bound_is_noticed_from_its_own_ratio() -> None:
    """A bound with a third added has ratio 3/4 where the tight one has 1; just below it is caught, above it not."""
    theorem = registry()["no_adaptation-v1"]
    slack = replace(theorem, bound=sp.Rational(4, 3) * theorem.bound)
    whole = next(examine(slack))
    assert (whole.outcome, whole.origin) == ("caught", "witness")
    assert whole.factor == Fraction(3, 4) * JUST_BELOW
    assert not is_violated(whole.site.scaled(slack, Fraction(3, 4)), theorem.witness())


def test_terms_that_are_not_needed_are_reported() -> None:
    """Where either of two terms suffices, leaving out the other is noticed by nothing."""
    theorem = registry()["no_adaptation-v1"]
    padded = replace(theorem, bound=theorem.bound + theorem.left)
    findings = list(examine(padded, random_cases(np.random.SeedSequence(0), 5)))
    assert [finding.outcome for finding in findings if finding.site.kind == "term"] == ["unnoticed", "unnoticed"]
    assert findings[0].outcome == "caught"


def test_scaling_changes_one_site_only() -> None:
    """The other terms keep their value."""
    theorem = registry()["contraction_kl_posterior-v1"]
    parts = terms(sp.sympify(theorem.bound))
    for part in parts:
        mutant = Site("term", part).scaled(theorem, Fraction(1, 3))
        assert sp.expand(sum(terms(sp.sympify(mutant.bound))) - (sum(parts) - part * sp.Rational(2, 3))) == 0
