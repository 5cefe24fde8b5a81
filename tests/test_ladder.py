"""The bound ladder: its tables hold every bound that covers the case, its figures mark what is violated."""

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex

from bomrl_theory.adapt.adapt import algorithm_named
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.barycentre import barycentre
from bomrl_theory.report import figures
from bomrl_theory.report.frozen_lake import GAP, VARIANCES
from bomrl_theory.report.ladder import (
    ALGORITHM,
    DECIDED,
    NO_ADAPTATION,
    Ladder,
    Settings,
    _apart,
    bound_ladders,
    bound_sweep,
    ladder,
)
from bomrl_theory.tasks.frozen_lake import frozen_lake
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.verify.verdict import Outcome, judge

SETTINGS = Settings(tasks=3, states=4, garnet_tasks=2, shares=(0.0, 0.5, 1.0))
LAKE = "Frozen Lake, high task variance"


@pytest.fixture(scope="module")
def rungs() -> Ladder:
    return ladder(registry().values(), SETTINGS)


@pytest.fixture(scope="module")
def case() -> Case:
    """The first panel's, built here again."""
    rng = np.random.default_rng(np.random.SeedSequence(SETTINGS.seed, spawn_key=(VARIANCES.index("high"), 0)))
    solved = Solved(frozen_lake("high", size=SETTINGS.size, tasks=SETTINGS.tasks, rng=rng))
    phi = barycentre(solved.family, solved.optimum, uniform_share=SETTINGS.uniform_share)
    return Case.new(solved, phi, ALGORITHM, SETTINGS.lambdas[0])


def test_every_covering_bound_is_a_rung_with_its_certified_value(rungs: Ladder, case: Case):
    unadapted = replace(case, algorithm=algorithm_named("none"))
    panel = rungs.cases[(rungs.cases["family"] == LAKE) & (rungs.cases["lambda"] == "1/10")].set_index("quantity")
    covering = {
        theorem: about
        for theorem in registry().values()
        if theorem.bounds_gap
        for about in (case, unadapted)
        if theorem.covers(about)
    }
    assert set(panel.index) == {GAP, NO_ADAPTATION, *(theorem.id for theorem in covering)}
    assert len(covering) > 25
    assert panel["certified"].all()
    for theorem, about in covering.items():
        row = panel.loc[theorem.id]
        (verdict,) = judge(theorem.averaged(), about)
        reference = NO_ADAPTATION if about is unadapted else GAP
        assert row["about"] == reference
        if row["outcome"] in DECIDED:
            assert row["value"] == verdict.bound
            assert row["left"] == pytest.approx(panel.loc[reference, "value"], rel=1e-12)
        else:
            assert math.isnan(row["value"])
            assert row["reason"]


def test_grades_agree_with_the_line_without_adaptation(rungs: Ladder):
    for table, keys in ((rungs.cases, ["family", "lambda"]), (rungs.sweep, ["share"])):
        for _, group in table.groupby(keys):
            gap, without = (group.loc[group["quantity"] == q, "value"].item() for q in (GAP, NO_ADAPTATION))
            holding = group[group["outcome"] == Outcome.HOLDS]
            assert len(holding)
            assert (holding["value"] >= gap * (1 - 1e-12)).all()
            assert (holding.loc[holding["grade"] == "informative", "value"] < without).all()
            assert (holding.loc[holding["grade"] != "informative", "value"] >= without * (1 - 1e-12)).all()


def test_sweep_starts_from_equal_tasks(rungs: Ladder):
    variance = rungs.sweep.groupby("share")["task_variance"].agg(["min", "max"])
    assert list(variance.index) == list(SETTINGS.shares)
    assert variance.loc[0.0, "max"] == 0
    assert variance.loc[1.0, "min"] > 0


def test_a_violated_bound_is_marked():
    """Maps enough for the published form to break at a small lambda."""
    rungs = ladder([theorem_named("published_bound"), theorem_named("coverage")], Settings(shares=(1.0,)))
    broken = rungs.cases[rungs.cases["outcome"] == Outcome.VIOLATED]
    assert set(zip(broken["quantity"], broken["lambda"], strict=True)) == {("published_bound-v1", "1/100")}
    assert (broken["value"] < broken["left"]).all()
    figure = bound_ladders(rungs.cases)
    marked = []
    for panel in figure.axes:
        for text in panel.texts:
            if "VIOLATED" in text.get_text():
                assert to_hex(text.get_color()) == figures.VERMILLION
                marked.append(panel.get_title(loc="left"))
        coloured = [label for label in panel.get_yticklabels() if to_hex(label.get_color()) == figures.VERMILLION]
        assert [label.get_text() for label in coloured] == ["published_bound ⊘"] * (panel.get_title("left") in marked)
    assert marked == [f"{LAKE}, λ = 1/100"]


def test_figures_render(rungs: Ladder, tmp_path: Path):
    drawings = {"ladders": bound_ladders(rungs.cases), "sweep": bound_sweep(rungs.sweep)}
    for stem, figure in drawings.items():
        for path in figures.save(figure, tmp_path, stem):
            assert path.stat().st_size > 10_000
    first = drawings["ladders"].axes[0]
    values = rungs.cases[rungs.cases["family"] == LAKE].query("`lambda` == '1/10'")["value"].dropna()
    assert first.get_xscale() == "log"
    assert first.get_xlim()[0] < values.min()
    assert first.get_xlim()[1] > values.max()
    assert len(first.get_yticklabels()) == len(values) - 2


def test_a_run_without_bounds_has_its_gaps_drawn():
    rungs = ladder([theorem_named("performance_difference")], replace(SETTINGS, shares=(0.0, 1.0)))
    assert set(rungs.cases["quantity"]) == {GAP, NO_ADAPTATION}
    for figure in (bound_ladders(rungs.cases), bound_sweep(rungs.sweep)):
        assert figures.svg(figure).count("<svg") == 1


def test_labels_are_moved_apart_no_more_than_needed():
    assert _apart(np.array([0.0, 0.5, 1.0]), 0.1) == pytest.approx([0.0, 0.5, 1.0])
    assert _apart(np.array([0.5, 0.5, 0.9]), 0.1) == pytest.approx([0.45, 0.55, 0.9])


def test_lambdas_are_exact(rungs: Ladder):
    assert {Fraction(lam) for lam in rungs.cases["lambda"]} == set(SETTINGS.lambdas)
