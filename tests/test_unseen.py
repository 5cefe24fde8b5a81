"""Unseen tasks: the coverage of the statistical bound by exact enumeration, and what is printed about it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from fractions import Fraction
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from flint import arb, fmpq

from bomrl_theory.cli import cli
from bomrl_theory.errors import InvalidTask, UnknownName
from bomrl_theory.tasks.catalogue import CATALOGUE
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.files import save_family
from bomrl_theory.tasks.sampler import _inside, sampler_named
from bomrl_theory.theory.small import opposite_arms
from bomrl_theory.verify.unseen import UnseenReport, empirical_bernstein, enclosed_gaps, unseen, upper_end

Distribution = dict[Fraction, Fraction]
"""Gaps and their probabilities."""
Bound = Callable[[list[arb], Fraction, Fraction], arb]

RARE: Distribution = {Fraction(0): Fraction(9, 10), Fraction(1): Fraction(1, 10)}
SPREAD: Distribution = {Fraction(0): Fraction(1, 2), Fraction(1, 3): Fraction(1, 4), Fraction(1): Fraction(1, 4)}


def failure_probability(bound: Bound, gaps: Distribution, n: int, delta: Fraction) -> Fraction:
    """The exact probability that n draws put the bound below the expected gap; every comparison is certain."""
    expected = sum(gap * share for gap, share in gaps.items())
    failing = Fraction(0)
    for sample in combinations_with_replacement(gaps, n):
        counts = {gap: sample.count(gap) for gap in gaps}
        found = bound([arb(fmpq(gap.numerator, gap.denominator)) for gap in sample], Fraction(1), delta)
        target = arb(fmpq(expected.numerator, expected.denominator))
        assert (found < target) or (found >= target)
        if found < target:
            ways = math.factorial(n) // math.prod(math.factorial(count) for count in counts.values())
            failing += ways * math.prod(gaps[gap] ** count for gap, count in counts.items())
    return failing


@pytest.mark.parametrize("gaps", [RARE, SPREAD])
@pytest.mark.parametrize(("n", "delta"), [(15, Fraction(1, 20)), (15, Fraction(1, 2)), (24, Fraction(1, 2))])
def test_coverage_by_enumeration(gaps: Distribution, n: int, delta: Fraction) -> None:
    assert failure_probability(empirical_bernstein, gaps, n, delta) <= delta


def test_a_bound_that_is_too_tight_is_caught() -> None:
    """Without the term for what a sample cannot show, fifteen zeros in a row break the level: 0.9^15 > 1/20."""

    def without_range(gaps: list[arb], largest: Fraction, delta: Fraction) -> arb:
        return empirical_bernstein(gaps, 0 * largest, delta)

    found = failure_probability(without_range, RARE, 15, Fraction(1, 20))
    assert found == Fraction(9, 10) ** 15
    assert found > Fraction(1, 20)


def test_the_mean_alone_is_caught() -> None:
    """Nor is the mean a bound: it falls short about every other time."""

    def mean(gaps: list[arb], largest: Fraction, delta: Fraction) -> arb:
        return sum(gaps, arb(0)) / len(gaps)

    assert failure_probability(mean, RARE, 15, Fraction(1, 20)) > Fraction(1, 2)


def test_formula_by_hand() -> None:
    """Gaps 0 and 1, H = 2, delta = 2/e^3: mean 1/2, variance 1/2, logarithm 3."""
    delta = Fraction(2 * math.exp(-3))
    found = empirical_bernstein([arb(0), arb(1)], Fraction(2), delta)
    assert upper_end(found) == pytest.approx(0.5 + math.sqrt(1.5) + 14, rel=1e-12)


def test_equal_gaps_have_no_deviation() -> None:
    """Their variance is a ball around 0, whose root is 0 and no NaN."""
    third = arb(1) / 3
    found = empirical_bernstein([third, third, third], Fraction(1), Fraction(1, 2))
    assert upper_end(found) == pytest.approx(1 / 3 + 7 * math.log(4) / 6, rel=1e-9)


def bandits(tasks: int = 40, seed: int = 0, **options: object) -> UnseenReport:
    sampler = sampler_named("bandit:arms=3")
    rng = np.random.default_rng(seed)
    return unseen(sampler, tasks, Fraction(1, 20), "kl-posterior", Fraction(1, 10), rng=rng, **options)  # pyright: ignore[reportArgumentType]


def test_gaps_are_upper_ends_of_the_tasks_gaps() -> None:
    """Recomputed from the rewards: a bandit's gap is the best reward less the policy's, over 1 - gamma."""
    report = bandits()
    best = report.case.family.r[:, 0].max(axis=-1)
    policy = report.case.adaptation.policies[-1][:, 0]
    earned = (policy / policy.sum(axis=-1, keepdims=True) * report.case.family.r[:, 0]).sum(axis=-1)
    assert report.gaps == pytest.approx(2 * (best - earned), abs=1e-12)
    assert report.mean == pytest.approx(report.gaps.mean(), rel=1e-12)
    assert report.largest == pytest.approx(2, rel=1e-9)
    assert report.mean < report.bound
    balls, enclosed = enclosed_gaps(report.case)
    assert enclosed
    assert all(ball.upper() <= top for ball, top in zip(balls, report.gaps.tolist(), strict=True))


def test_meta_policy_is_made_without_the_test_tasks() -> None:
    """The default is the barycentre of tasks that are drawn before, and the test tasks are the later ones."""
    first, more = bandits(train=1), bandits(train=5)
    assert not np.array_equal(first.case.phi, more.case.phi)
    phi = np.array([[1.0, 2.0, 3.0]])
    given = bandits(phi=phi)
    sampler = sampler_named("bandit:arms=3")
    assert np.array_equal(given.case.phi, phi)
    assert np.array_equal(given.case.family.r, sampler.draw(40, np.random.default_rng(0)).r)


def test_files_are_drawn_by_their_weights(tmp_path: Path) -> None:
    """With replacement; the range of rewards is that of the whole file, whatever was drawn."""
    path = tmp_path / "family.json"
    save_family(opposite_arms(weights=(3, 1)), path)
    sampler = sampler_named(str(path))
    drawn = sampler.draw(4000, np.random.default_rng(1))
    first = (drawn.r[:, 0, 0] == 1).mean()
    assert 0.72 < first < 0.78
    assert sampler.largest_gap(drawn.gamma) == 2
    assert np.array_equal(drawn.weights, np.ones(4000))


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if entry.rewards is not None])
def test_declared_rewards_are_kept(name: str) -> None:
    """No drawn reward is outside the range that the level rests on, slips included."""
    spec = f"{name}:slip=0.3" if name.startswith("frozen") else name
    family = sampler_named(spec).draw(200, np.random.default_rng(0))
    low, high = CATALOGUE[name].rewards or (0, 0)
    assert low - 1e-9 <= family.r.min() < family.r.max() <= high + 1e-9
    assert family.tasks == 200


def test_rewards_outside_the_declared_range_are_refused() -> None:
    family = TaskFamily.new([[[[1], [1]]]], [[[0, 2]]], 0, [1], name="greedy")
    with pytest.raises(InvalidTask, match=r"rewards of greedy reach from 0 to 2, outside the declared 0 \.\. 1"):
        _inside(family, Fraction(0), Fraction(1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["random-dense"], "have no bound"),
        (["bandit:arms=2,tasks=3"], "leave tasks= out"),
        (["bandit", "--tasks", "1"], "--tasks 1: draw at least 2"),
        (["bandit", "--train", "0"], "--train 0: draw at least 1"),
        (["bandit", "--delta", "1"], "no probability of failure"),
        (["bandit", "--algorithm", "online-average"], "not independent"),
    ],
)
def test_bad_input(arguments: list[str], message: str) -> None:
    options = [] if "--algorithm" in arguments else ["--algorithm", "none"]
    result = CliRunner().invoke(cli, ["unseen", *arguments, *options, "--lambda", "1"])
    assert isinstance(result.exception, InvalidTask)
    assert message in str(result.exception)


def test_unknown_sampler() -> None:
    with pytest.raises(UnknownName, match="bandit"):
        sampler_named("bandits")


ARGUMENTS = ["unseen", "bandit:arms=3", "--tasks", "60", "--algorithm", "kl-posterior", "--lambda", "1/10"]


def test_the_verdict_carries_its_level_and_never_reads_certified() -> None:
    result = CliRunner().invoke(cli, ARGUMENTS)
    assert result.exit_code == 0
    assert "STATISTICAL: with probability at least 0.95 over the draw" in result.output
    assert "certif" not in result.output.lower()
    strict = CliRunner().invoke(cli, [*ARGUMENTS, "--delta", "1/1000"])
    assert "at least 0.999 over the draw" in strict.output


def test_json_says_the_same() -> None:
    details = json.loads(CliRunner().invoke(cli, [*ARGUMENTS, "--json"]).output)
    assert (details["status"], details["level"], details["delta"]) == ("STATISTICAL", 0.95, "1/20")
    assert len(details["gaps"]) == details["tasks"] == 60
    assert details["vacuous"] is (details["bound"] >= details["largest"])
    assert "certif" not in json.dumps(details).lower()
    stricter = json.loads(CliRunner().invoke(cli, [*ARGUMENTS, "--delta", "1/1000", "--json"]).output)
    assert stricter["bound"] > details["bound"]
    assert stricter["gaps"] == details["gaps"]


def test_a_vacuous_bound_says_so() -> None:
    result = CliRunner().invoke(cli, [*ARGUMENTS[:2], "--tasks", "5", *ARGUMENTS[4:]])
    assert "no policy can have a larger gap than that: draw more tasks" in result.output
