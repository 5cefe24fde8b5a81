"""Meta-training: rules, certified steps, sampled data, and how a run ends when something goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from helpers import drawn

from bomrl_theory.errors import InvalidTask, UnknownName
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta import learner as registry
from bomrl_theory.meta.certified_step import certified_step
from bomrl_theory.meta.hypergradient import hypergradient
from bomrl_theory.meta.learner import Data, Learner, Move, everywhere, learner_named
from bomrl_theory.meta.objective import objective
from bomrl_theory.meta.sampled import sampled_family
from bomrl_theory.meta.train import Config, Record, Trainer, Training, train
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.theorems import maml_ascent, meta_stationarity
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, lam, values, w
from bomrl_theory.theory.expression import evaluate, over_tasks
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.smoothness import SMOOTHNESS, R, n
from bomrl_theory.verify.along_run import along, stationarity
from bomrl_theory.verify.verdict import Outcome, judge

GARNET = "garnet:states=5,actions=3,tasks=3"


def solved(spec: str = GARNET) -> Solved:
    return Solved(drawn(spec))


def iterates(problem: Solved, config: Config, start: Array | None = None) -> tuple[Array, Training]:
    """The logits of every step taken, and the run."""
    trainer = Trainer(problem, config)
    rng = np.random.default_rng(0)
    state, visited, log = trainer.begin(rng, start), [], []
    for record, following in trainer.run(state, rng):
        if record.status == "stepped":
            visited.append(state.theta)
        log.append(record)
        state = following
    return np.array(visited), Training(state.theta, log, state.status, trainer.config)


# --- what a run returns -------------------------------------------------------------------------


def test_log_is_exact_at_every_iterate() -> None:
    """F and both gaps of each record, computed anew from the logits."""
    problem = solved()
    visited, run = iterates(problem, Config(lam=Fraction(1, 2), iterations=4))
    assert [record.iteration for record in run.log] == [0, 1, 2, 3, 4]
    assert run.status == run.log[-1].status == "finished"
    weights = problem.family.weights / problem.family.weights.sum()
    with FLOATS.activated():
        best = float(weights @ problem.star(FLOATS).J)
    for theta, record in zip([*visited, run.theta], run.log, strict=True):
        F = objective(problem, theta, "kl-posterior", 0.5)
        assert pytest.approx(F, rel=1e-13) == record.F
        assert record.gap_after == pytest.approx(best - F, abs=1e-12)
        assert record.gap_before == pytest.approx(best - objective(problem, theta, "none", 0.5), abs=1e-12)
    found = hypergradient(problem, visited[2], "kl-posterior", 0.5)
    assert run.log[2].gradient == np.linalg.norm(found.gradient)
    assert run.log[-1].gradient is None
    assert np.allclose(run.policy, np.exp(run.theta) / np.exp(run.theta).sum(axis=-1, keepdims=True), rtol=1e-14)
    assert np.isnan(run.column("gradient")[-1])
    assert run.rows[0][0] == 0


@pytest.mark.parametrize("name", ["bo-mrl", "bo-mrl-first-order", "maml", "fomaml", "imaml", "promp", "reptile"])
def test_training_lowers_the_gap_after_adaptation(name: str) -> None:
    run = train(solved("frozen-lake-low:size=3,tasks=4"), name, lam=0.3, iterations=25, rng=np.random.default_rng(0))
    assert run.log[-1].gap_after < run.log[0].gap_after
    assert len(run.log) == 26


def test_learners_that_climb_something_else_climb_that() -> None:
    for name in ("e-maml", "joint"):
        run = train(solved("frozen-lake-low:size=3,tasks=4"), name, lam=0.3, iterations=25)
        gains = np.diff(run.column("objective")[:-1])
        assert gains.sum() > 0.01
    assert run.log[-1].gap_before < run.log[0].gap_before  # joint: the return before adaptation


def test_untrained_learners_have_one_record() -> None:
    problem = solved()
    for name in ("random", "barycentre"):
        run = train(problem, name, lam=1, rng=np.random.default_rng(5))
        assert len(run.log) == 1
        assert run.status == "finished"
    assert not np.array_equal(run.theta, train(problem, "random", rng=np.random.default_rng(5)).theta)


def test_alpha_is_the_step_of_the_policy_gradient() -> None:
    """``theta + alpha grad J``, by the log's F."""
    problem = solved("garnet:states=4,actions=2,tasks=1")
    theta = np.random.default_rng(0).normal(size=(4, 2))
    run = train(problem, "maml", alpha=0.3, iterations=0, start=theta)
    stepped = theta + 0.3 * hypergradient(problem, theta, "none").gradient
    assert pytest.approx(objective(problem, stepped, "none", 1.0), rel=1e-12) == run.log[0].F


def test_same_seed_same_run() -> None:
    """With minibatches and trajectories; another seed differs."""
    runs = [
        train(solved(), lam=0.5, iterations=5, batch=2, trajectories=20, rng=np.random.default_rng(seed))
        for seed in (1, 1, 2)
    ]
    assert runs[0].log == runs[1].log
    assert np.array_equal(runs[0].theta, runs[1].theta)
    assert runs[0].log != runs[2].log


# --- the certified step -------------------------------------------------------------------------


def smoothness(problem: Solved, name: str, lambda_: float) -> float:
    """L of the registered theorems, in floats."""
    expression, constants, algorithm = {
        "bo-mrl": (meta_stationarity.L_F, (w, R, gamma, n, lam), "kl-posterior"),
        "joint": (over_tasks(w.symbol * SMOOTHNESS), (w, R, gamma, n), "none"),
        "maml": (
            over_tasks(w.symbol * maml_ascent.LOCAL),
            (w, R, gamma, n, lam, maml_ascent.length),
            "policy-gradient",
        ),
    }[name]
    with FLOATS.activated():
        flat = np.ones((problem.family.states, problem.family.actions))
        m = Measured(Case.new(problem, flat, algorithm, lambda_), FLOATS)
        return float(np.max(evaluate(expression, values(constants, m), FLOATS, m.phi.V.shape)))


CERTIFIED = [("bo-mrl", "kl-posterior", 2), ("joint", "kl-posterior", 2), ("maml", "policy-gradient", 400)]


@pytest.mark.parametrize(("name", "algorithm", "lambda_"), CERTIFIED, ids=[name for name, *_ in CERTIFIED])
def test_certified_step_is_one_over_L_and_ascends(name: str, algorithm: str, lambda_: int) -> None:
    """At most 1/L, by no more than rounding; the objective rises at every step, by ``|grad|^2/(2L)`` at least."""
    problem = solved("garnet:states=4,actions=2,tasks=3")
    theta = 2 * np.random.default_rng(3).normal(size=(4, 2))
    size = certified_step(problem, learner_named(name), algorithm, Fraction(lambda_))
    L = smoothness(problem, name, lambda_)
    flat = size(np.zeros((4, 2)))
    assert 0 < flat <= (1 + 1e-12) / L
    assert flat == pytest.approx(1 / L, rel=1e-9)
    _, run = iterates(problem, Config(learner=name, lam=Fraction(lambda_), rule="ascent", iterations=40), theta)
    climbed = run.column("objective")[:-1]
    promised = run.column("gradient")[:-2] ** 2 * run.column("step")[:-2] / 2
    assert len(climbed) == 40
    assert np.all(np.diff(climbed) > 0)
    assert np.all(np.diff(climbed) >= promised * (1 - 1e-6) - 1e-14)


def test_longer_steps_do_not_always_ascend() -> None:
    """So that the rise above is not for free."""
    problem = solved("garnet:states=4,actions=2,tasks=3")
    size = certified_step(problem, learner_named("bo-mrl"), "kl-posterior", Fraction(2))(np.zeros((4, 2)))
    start = 2 * np.random.default_rng(3).normal(size=(4, 2))
    falls = []
    for factor in (1.0, 1e5):
        run = train(problem, lam=2, rule="ascent", step=factor * size, iterations=40, start=start)
        falls.append(int((np.diff(run.column("F")) < 0).sum()))
    assert falls[0] == 0
    assert falls[1] > 0


def test_no_reward_to_choose_converges_at_once() -> None:
    """L is zero then: any step is as long as another, and the line search has nothing to gain."""
    family = TaskFamily.new(np.ones((1, 1, 2, 1)), [[[1, 1]]], Fraction(1, 2), [1])
    assert train(Solved(family), rule="ascent", iterations=3).status == "finished"
    run = train(Solved(family), rule="line-search", iterations=3)
    assert run.status == "converged"
    assert len(run.log) == 1


def test_stationarity_along_a_run() -> None:
    """HOLDS, certified, with the run's own sum of squares; with a bound far too small it is violated."""
    problem = solved("garnet:states=4,actions=2,tasks=3")
    visited, run = iterates(problem, Config(lam=Fraction(2), rule="ascent", iterations=30))
    verdict = stationarity(problem, visited, Fraction(2))
    assert (verdict.outcome, verdict.certified, verdict.theorem) == (Outcome.HOLDS, True, "meta_stationarity-v1")
    assert verdict.left == pytest.approx(float((run.column("gradient")[:-1] ** 2).sum()), rel=1e-9)
    gap = run.log[0].gap_after
    assert verdict.bound == pytest.approx(2 * smoothness(problem, "bo-mrl", 2) * gap, rel=1e-9)
    assert 30 * float((run.column("gradient")[:-1] ** 2).min()) <= verdict.bound
    case = Case.new(problem, np.ones((4, 2)), "kl-posterior", 2)
    assert verdict.ratio is not None
    (broken,) = judge(along(visited).scaled(Fraction(verdict.ratio) / 2), case)
    assert (broken.outcome, broken.certified) == (Outcome.VIOLATED, True)


# --- other rules --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bo-mrl", "imaml", "joint", "e-maml", "promp"])
def test_line_search_never_loses(name: str) -> None:
    """On exact data of all tasks each accepted step raises the objective. ProMP's is anchored anew each time."""
    run = train(solved(), name, lam=0.5, rule="line-search", iterations=15)
    climbed = run.column("F" if name in ("bo-mrl", "imaml") else "objective")[:-1]
    if name != "promp":
        assert np.all(np.diff(climbed) >= 0)
    assert run.log[0].step is not None
    assert run.log[-1].F > run.log[0].F or name in ("joint", "e-maml")


def test_adam_by_hand() -> None:
    """The first step has the step size in every logit that has a gradient; the second as published."""
    problem = solved()
    visited, _ = iterates(problem, Config(lam=Fraction(1, 2), step=0.25, iterations=3))
    first, second = (hypergradient(problem, theta, "kl-posterior", 0.5).gradient for theta in visited[:2])
    assert np.allclose(visited[1], 0.25 * first / (np.abs(first) + 1e-8), rtol=1e-12)
    mean = (0.9 * 0.1 * first + 0.1 * second) / (1 - 0.9**2)
    square = (0.999 * 0.001 * first**2 + 0.001 * second**2) / (1 - 0.999**2)
    assert np.allclose(visited[2] - visited[1], 0.25 * mean / (np.sqrt(square) + 1e-8), rtol=1e-10)


def test_reptile_ascent_is_its_published_update() -> None:
    problem = solved()
    theta = np.random.default_rng(2).normal(size=(5, 3))
    run = train(problem, "reptile", lam=0.5, rule="ascent", step=0.3, iterations=1, start=theta)
    collect = learner_named("reptile").collect
    assert collect is not None
    data = Data(problem, Trainer(problem, run.config).algorithm, 0.5)
    assert np.allclose(run.theta, theta + 0.3 * collect(data, theta)(theta).direction, rtol=1e-14)


def test_outer_steps_stay_on_the_same_data() -> None:
    """Several steps of the rule an iteration; for an objective without anchor as many single iterations."""
    problem = solved()
    several = train(problem, lam=0.5, iterations=2, outer_steps=3)
    single = train(problem, lam=0.5, iterations=6)
    assert np.allclose(several.theta, single.theta, rtol=1e-13)
    anchored = train(problem, "promp", lam=0.5, iterations=2, outer_steps=3)
    assert not np.allclose(anchored.theta, train(problem, "promp", lam=0.5, iterations=6).theta, rtol=1e-6)


# --- when something goes wrong ------------------------------------------------------------------


def broken(monkeypatch: pytest.MonkeyPatch, move: Callable[[Data, Array], Move]) -> str:
    """A learner for this test, by name."""
    learner = Learner(name="broken", label="broken", summary="for a test", collect=everywhere(move))
    known = {**registry.learners(), "broken": learner}
    monkeypatch.setattr(registry, "learners", lambda: known)
    return "broken"


def honest(data: Data, theta: Array) -> Move:
    found = hypergradient(data.solved, theta, data.algorithm, data.lam)
    return Move(found.gradient, found.value)


@pytest.mark.parametrize(
    ("spoil", "rule", "status"),
    [
        (lambda move: replace(move, direction=move.direction * np.nan), "adam", "gradient is not a number"),
        (lambda move: replace(move, objective=float("nan")), "adam", "gradient is not a number"),
        (lambda move: replace(move, direction=move.direction * 1e308), "line-search", "found no step"),
        (lambda move: replace(move, direction=-move.direction), "line-search", "line search found no step"),
    ],
    ids=["nan direction", "nan objective", "overflow", "downhill"],
)
def test_a_run_that_breaks_keeps_its_last_good_iterate(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Move], Move], rule: str, status: str
) -> None:
    """The learner breaks once it has left the start far enough."""
    far = 0.5

    def move(data: Data, theta: Array) -> Move:
        found = honest(data, theta)
        return spoil(found) if np.abs(theta).max() > far else found

    name = broken(monkeypatch, move)
    run = train(solved(), name, lam=0.5, rule=rule, iterations=40)
    assert run.status.startswith("stopped: ")
    assert status in run.status
    assert run.log[-1].status.startswith(run.status)
    assert len(run.log) < 41
    assert np.all(np.isfinite(run.theta))
    assert run.log[-1].step is None
    assert pytest.approx(objective(solved(), run.theta, "kl-posterior", 0.5), rel=1e-13) == run.log[-1].F


def test_ascent_out_of_range_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    name = broken(monkeypatch, lambda data, theta: Move(np.full(theta.shape, 1e300), 0.0))
    run = train(solved(), name, rule="ascent", step=1e20)
    assert run.status == "stopped: the step left the range of doubles"
    assert np.array_equal(run.theta, np.zeros((5, 3)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learner": "maml", "algorithm": "kl-posterior"}, "'maml' adapts by policy-gradient, not by kl-posterior"),
        ({"learner": "optimum"}, "no meta-policy"),
        ({"learner": "bo_mrl"}, "did you mean bo-mrl"),
        ({"rule": "armijo"}, "unknown rule"),
        ({"algorithm": "kl"}, "unknown algorithm"),
        ({"method": "firstorder"}, "did you mean first-order"),
        ({"learner": "maml", "method": "implicit"}, "no choice of hypergradient method"),
        ({"learner": "fomaml", "rule": "line-search"}, "line search needs the gradient"),
        ({"method": "first-order", "rule": "line-search"}, "line search needs the gradient"),
        ({"learner": "reptile", "rule": "ascent"}, "no smoothness constant is known for 'reptile'.*rule adam"),
        ({"algorithm": "kl-prior", "rule": "ascent"}, "no smoothness constant.*kl-prior.*line-search"),
        ({"learner": "maml", "rule": "ascent", "lam": 0.01}, "alpha <= 1/L_V; raise lambda"),
        ({"rule": "ascent", "batch": 2}, "exact gradients over all tasks"),
        ({"rule": "ascent", "trajectories": 2}, "exact gradients over all tasks"),
        ({"lam": 0.0}, "lambda = 0.0 must be positive"),
        ({"lam": 1, "alpha": 1.0}, "the same thing twice"),
        ({"alpha": float("nan")}, "not a finite number"),
        ({"step": -1.0}, "step = -1.0"),
        ({"iterations": -1}, "iterations = -1"),
        ({"batch": 0}, "batch = 0"),
        ({"trajectories": 0}, "trajectories = 0"),
        ({"outer_steps": 0}, "outer_steps = 0"),
        ({"start": np.zeros((2, 2))}, r"finite logits with shape \[5, 3\]"),
        ({"start": np.full((5, 3), np.nan)}, "finite logits"),
        ({"learner": "barycentre", "start": np.zeros((5, 3))}, "is itself a start"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_contradictions_are_told(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((InvalidTask, UnknownName), match=message):
        train(solved(), **{"iterations": 1, **arguments})


# --- sampled data -------------------------------------------------------------------------------


def sampling_error(problem: Solved, theta: Array, trajectories: int, repeats: int) -> float:
    """Root mean square error of the hypergradient on estimated models, relative to the exact one's length."""
    exact = hypergradient(problem, theta, "kl-posterior", 0.5).gradient
    errors = []
    for seed in range(repeats):
        model = Solved(sampled_family(problem, theta, trajectories, np.random.default_rng(seed)))
        errors.append(np.linalg.norm(hypergradient(model, theta, "kl-posterior", 0.5).gradient - exact) ** 2)
    return float(np.sqrt(np.mean(errors)) / np.linalg.norm(exact))


def test_sampled_hypergradient_tends_to_the_exact_one() -> None:
    """Sixteen times the trajectories, a quarter of the error; and small in the end."""
    problem = solved("garnet:states=4,actions=2,tasks=2,gamma=1/2")
    theta = np.random.default_rng(0).normal(size=(4, 2))
    errors = [sampling_error(problem, theta, count, 30) for count in (50, 800, 12_800)]
    rates = [np.log(one / other) / np.log(16) for one, other in pairwise(errors)]
    assert rates == pytest.approx([0.5, 0.5], abs=0.12)
    assert errors[-1] < 0.03


def test_sampled_models_are_seeded_and_know_nothing_else() -> None:
    """One seed, one model; what was never tried has no advantage, and no row is not a distribution."""
    problem = solved()
    theta = np.zeros((5, 3))
    first, again, other = (sampled_family(problem, theta, 1, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert np.array_equal(first.P, again.P)
    assert not np.array_equal(first.P, other.P)
    assert np.allclose(first.P.sum(axis=-1), 1)
    assert np.all(first.rho.sum(axis=-1) == 1)
    tiny = sampled_family(
        solved("garnet:states=40,actions=4,tasks=1,gamma=1/10"), np.zeros((40, 4)), 1, np.random.default_rng(0)
    )
    asleep = np.all(tiny.P[0] == np.eye(40)[:, None], axis=(1, 2)) & np.all(tiny.r[0] == 0, axis=1)
    assert asleep.sum() > 20  # states that one short trajectory did not reach
    with FLOATS.activated():
        phi = Solved(tiny).evaluate(np.full((40, 4), 0.25), FLOATS)
        # Every state of this trajectory was visited once: the actions not tried there count as the one that was.
        assert (~asleep).sum() == 3
        assert np.abs(phi.advantage[0, ~asleep]).max() <= 1e-12


def test_sampled_training_approaches_exact_training() -> None:
    """The iterates of a run on many trajectories stay near the exact run's, nearer than on few."""
    problem = solved("garnet:states=4,actions=2,tasks=2,gamma=1/2")
    exact = train(problem, lam=1, rule="ascent", step=0.5, iterations=5).theta
    off = [
        float(
            np.linalg.norm(
                train(problem, lam=1, rule="ascent", step=0.5, iterations=5, trajectories=count).theta - exact
            )
        )
        for count in (30, 30_000)
    ]
    assert off[1] < off[0] / 5


def test_minibatches_are_drawn_by_weight() -> None:
    """One task a batch: the mean over many iterations is the weighted mean of the tasks' gradients."""
    family = drawn(GARNET)
    problem = Solved(replace(family, weights=np.array([1.0, 2.0, 5.0])))
    theta = np.random.default_rng(0).normal(size=(5, 3))
    collected: dict[float, int] = {}
    for seed in range(300):
        run = train(problem, lam=0.5, iterations=1, batch=1, rng=np.random.default_rng(seed), start=theta)
        gradient = run.log[0].gradient
        assert gradient is not None
        collected[round(gradient, 12)] = collected.get(round(gradient, 12), 0) + 1
    singles = [
        round(float(np.linalg.norm(hypergradient(Solved(family.only([t])), theta, "kl-posterior", 0.5).gradient)), 12)
        for t in range(3)
    ]
    assert set(collected) == set(singles)
    shares = np.array([collected[single] / 300 for single in singles])
    assert np.all(np.abs(shares - np.array([1, 2, 5]) / 8) < 4 * np.sqrt(0.25 / 300))


def test_records_name_an_inner_solver_that_gave_up(monkeypatch: pytest.MonkeyPatch) -> None:
    name = broken(monkeypatch, lambda data, theta: replace(honest(data, theta), status="stopped"))
    told: list[Record] = []
    train(solved(), name, lam=0.5, iterations=1, on_record=told.append)
    assert told[0].status == "stepped, inner problem stopped"
