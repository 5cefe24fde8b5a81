"""The attack on the certificates: it notices what it is there to notice, and survives a kill."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from flint import fmpq
from helpers import experiment

from bomrl_theory.numbers import ENCLOSURES, Enclosure, Numbers
from bomrl_theory.theory.case import Case
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.verdict import Outcome

SCRIPT = Path(__file__).resolve().parent.parent / "experiments" / "soundness.py"


@pytest.fixture(scope="module")
def soundness() -> ModuleType:
    return experiment("soundness")


@pytest.fixture
def case() -> Case:
    return next(iter(random_cases(np.random.SeedSequence(3), 1)))


def test_small_cases_are_all_checked_and_pass(soundness: ModuleType) -> None:
    tally = soundness.attack(0, 0, 20, 0.5)
    assert tally.passed
    assert tally.cases.total() == 20
    assert tally.exact["at most 6 states"] == tally.cases["at most 6 states"] > 0
    assert 0 < tally.exact["more than 6 states"] < tally.cases["more than 6 states"]
    assert tally.enclosures > 100
    assert tally.compared > 10


@pytest.mark.parametrize("direction", [-1, 1])
def test_enclosures_half_their_radius_past_the_truth_are_counted(
    soundness: ModuleType, case: Case, monkeypatch: pytest.MonkeyPatch, direction: int
) -> None:
    """The fault injection: every enclosure of V, nu and J is centred one and a half radii from the exact value."""
    honest = soundness.quantities

    def moved(case: Case, numbers: Numbers) -> dict[str, Any]:
        found = honest(case, numbers)
        if numbers is not ENCLOSURES:
            return found
        with soundness.EXACT.activated():
            exact = honest(case, soundness.EXACT)
        wrong = {}
        for name, x in found.items():
            rad = np.maximum(x.rad, 1e-9)  # so that rounding the centre to a double moves it by less than half of it
            truth = np.vectorize(lambda value: int(value.p) / int(value.q))(exact[name])
            wrong[name] = Enclosure(truth + direction * 1.5 * rad, rad)
        return wrong

    tally = soundness.Tally()
    soundness.check_enclosures(case, tally)
    assert (tally.excluded, tally.unknown) == (0, 0)
    honestly = tally.enclosures
    monkeypatch.setattr(soundness, "quantities", moved)
    tally = soundness.Tally()
    soundness.check_enclosures(case, tally)
    assert tally.excluded == tally.enclosures == honestly > 0
    assert not tally.passed


def test_a_side_is_excluded_beyond_its_radius_only(soundness: ModuleType) -> None:
    side = Enclosure(np.float64(1.0), np.float64(0.5))
    assert not soundness.excludes(side, fmpq(3, 2))
    assert soundness.excludes(side, fmpq(3, 2) + fmpq(1, 10**30))
    assert soundness.excludes(side, fmpq(1, 2) - fmpq(1, 10**30))


def test_undecided_verdicts_count_against_it(soundness: ModuleType) -> None:
    assert soundness.Tally(verdicts=Counter({Outcome.HOLDS: 9999, Outcome.UNDECIDED: 1})).passed
    assert not soundness.Tally(verdicts=Counter({Outcome.HOLDS: 9998, Outcome.UNDECIDED: 2})).passed
    assert not soundness.Tally(verdicts=Counter({Outcome.HOLDS: 9999, Outcome.VIOLATED: 1})).passed
    assert not soundness.Tally(wrong=1).passed


def test_a_chunk_survives_being_written_and_read(soundness: ModuleType) -> None:
    tally = soundness.attack(0, 0, 10, 0.0)
    total = soundness.Tally()
    total.add(json.loads(json.dumps(soundness.attack_part("0", 0, 10, 0.0))))
    assert total == tally
    assert total.enclosures > 0
